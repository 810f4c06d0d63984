//! What is done with runs: one alone, in turn with peers, in search of a rate, for one value after the other, or for long.

use crate::Error;
use crate::args::Args;
use crate::choices::{Encoding, Kind, Rate, Varied};
use crate::outcome::Outcome;
use crate::page::Page;
use crate::ramp::Ramp;
use crate::run;
use crate::server::{Server, raise_open_files};
use crate::{charts, compare, soak};

/// Connections and files beside those of viewers and publishers.
const FURTHER_FILES: usize = 200;

/// Does what was asked for.
pub(crate) fn session(args: &Args) -> Result<(), Error> {
    raise_open_files(args.connections() + FURTHER_FILES)?;
    if args.soak {
        return soak::soak(args);
    }
    if !args.against.is_empty() {
        return against(args);
    }
    if let Some(bound) = args.ramp {
        return ramp(args, bound);
    }
    if args.vary.is_some() {
        return vary(args);
    }
    let outcome = on_its_own(args, Kind::Ours)?;
    println!("{outcome}");
    report(args, "A run", |page| page.add_run(&outcome))?;
    judge(&[outcome])
}

/// Some of everything, in a few seconds.
pub(crate) fn smoke(args: &Args) -> Result<(), Error> {
    let small = args.smaller();
    let runs = [
        (small.clone(), Kind::Ours),
        (
            Args {
                encoding: Encoding::V1,
                rate: Rate::Flat,
                rooms: 1,
                text: 2_000,
                seconds: 2,
                stalled: 0.25,
                newcomers: 10,
                sources: 2,
                ..small.clone()
            },
            Kind::Ours,
        ),
        (
            Args {
                compression: true,
                rate: Rate::Flat,
                ..small.clone()
            },
            Kind::Ours,
        ),
        (small, Kind::Write),
    ];
    for (args, kind) in runs {
        let outcome = on_its_own(&args, kind)?;
        println!("{outcome}");
        judge(&[outcome])?;
    }
    Ok(())
}

/// One run on a server that is started for it, where it is not one that runs already.
fn on_its_own(args: &Args, kind: Kind) -> Result<Outcome, Error> {
    let server = Server::start(args, kind)?;
    let outcome = run::run(args, &server)?;
    server.stop()?;
    Ok(outcome)
}

/// Writes the page that was asked for.
fn report(args: &Args, title: &str, fill: impl FnOnce(&mut Page)) -> Result<(), Error> {
    let Some(folder) = &args.report else {
        return Ok(());
    };
    let mut page = Page::new(title);
    fill(&mut page);
    page.write(folder)
}

fn judge(outcomes: &[Outcome]) -> Result<(), Error> {
    let wrong = outcomes.iter().filter_map(|outcome| {
        let wrong = outcome.wrong()?;
        Some(format!("{}: {wrong}", outcome.title()))
    });
    let wrong: Vec<_> = wrong.collect();
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("\n").into())
    }
}

/// The same work on ours and on each peer, in turn, for several rounds.
fn against(args: &Args) -> Result<(), Error> {
    let mut kinds = vec![Kind::Ours];
    kinds.extend(&args.against);
    let mut outcomes: Vec<Vec<Outcome>> = kinds.iter().map(|_| Vec::new()).collect();
    for round in 0..args.rounds() {
        // Nobody is always the first.
        for turn in 0..kinds.len() {
            let index = (turn + round) % kinds.len();
            let outcome = on_its_own(args, kinds[index])?;
            println!("{outcome}\n");
            outcomes[index].push(outcome);
        }
    }
    let table = compare::table(&outcomes);
    println!("{table}");
    report(args, "The same work on several servers", |page| {
        page.add_charts(compare::bars(&outcomes));
        page.add_text(&table);
        outcomes
            .iter()
            .filter_map(|runs| runs.last())
            .for_each(|run| page.add_run(run));
    })?;
    // What others lose is in the table; it is not our failure.
    judge(&outcomes[0])
}

/// The largest rate that keeps p99 within `bound`, and everything offered accepted and delivered.
fn ramp(args: &Args, bound: std::time::Duration) -> Result<(), Error> {
    let first = match args.rate {
        Rate::PerSecond(rate) => rate,
        Rate::Flat => return Err("--ramp begins at a rate, not flat out".into()),
    };
    let mut ramp = Ramp::new(first);
    let mut tried = Vec::new();
    let last = loop {
        let rate = Rate::PerSecond(ramp.rate());
        let args = Args {
            rate,
            ..args.clone()
        };
        let outcome = on_its_own(&args, Kind::Ours)?;
        if let Some(damage) = outcome.damage() {
            return Err(format!("{}: {damage}", outcome.title()).into());
        }
        let p99 = outcome.p99();
        let met = p99 <= bound && outcome.kept_up();
        let said = match (met, outcome.kept_up()) {
            (true, _) => "met",
            (false, true) => "missed",
            (false, false) => "missed: it does not keep up",
        };
        println!("{:>10.1} messages/s: p99 {p99:.1?}, {said}", ramp.rate());
        tried.push((ramp.rate(), p99));
        if !ramp.judge(met) {
            break outcome;
        }
    };
    report(args, "The largest rate within a bound", |page| {
        page.add_charts([("ramp".to_owned(), charts::ramp(&tried, bound))]);
        page.add_run(&last);
    })?;
    let found = ramp.met.ok_or("no rate keeps p99 within the bound")?;
    println!("the largest rate with p99 within {bound:?}: {found:.1} messages/s");
    println!(
        "{}",
        serde_json::json!({ "bound_ms": bound.as_secs_f64() * 1e3, "messages_per_second": found })
    );
    Ok(())
}

/// A run for each value, as often as there are rounds.
fn vary(args: &Args) -> Result<(), Error> {
    let Some(vary) = &args.vary else {
        return Ok(());
    };
    let mut outcomes: Vec<Vec<Outcome>> = vary.values.iter().map(|_| Vec::new()).collect();
    for _ in 0..args.rounds() {
        for (index, &value) in vary.values.iter().enumerate() {
            let mut args = args.clone();
            match vary.what {
                Varied::Viewers => args.viewers = value,
                Varied::Rooms => {
                    // Each room has fewer viewers: with as much more to say, there are as many deliveries.
                    args.rooms = value;
                    args.rate = args.rate.times(value);
                }
                Varied::Sweep => args.further.push(format!("--sweep-interval={value}ms")),
            }
            let outcome = on_its_own(&args, Kind::Ours)?;
            println!("{outcome}\n");
            outcomes[index].push(outcome);
        }
    }
    let table = compare::varied(vary, &outcomes);
    println!("{table}");
    report(args, "How cost grows", |page| {
        page.add_charts(compare::growth(vary, &outcomes));
        page.add_text(&table);
    })?;
    judge(&outcomes.into_iter().flatten().collect::<Vec<_>>())
}
