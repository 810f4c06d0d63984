//! The checker before its own eyes: a recording in which all is well is broken in one place, and that must be noticed.

use super::{Key, Recording, Start, Stay, Viewer, Violation, check};

/// Drops, repeats, swaps and misroutes one message each, and shows what a run without the removal of repeats would have.
/// `raw` is what the stream holds: for each room the messages in order, with every write that was retried.
///
/// # Errors
/// Says what was not noticed, or why it could not be tried.
pub(crate) fn prove(recording: &Recording, raw: &[Vec<Key>]) -> Result<Vec<String>, String> {
    let mut proofs = Vec::new();
    let mut prove =
        |what: &str, broken: Option<(Recording, Key)>, is_it: &dyn Fn(&Violation, Key) -> bool| {
            let (broken, key) =
                broken.ok_or_else(|| format!("there is no message to try it with: {what}"))?;
            let (_, violations) = check(&broken);
            let found = violations.iter().find(|violation| is_it(violation, key));
            let found = found.ok_or_else(|| format!("not noticed: {what}, {key}"))?;
            proofs.push(format!("{what}: {found}"));
            Ok::<(), String>(())
        };
    prove(
        "one message dropped",
        drop_one(recording),
        &|violation, key| matches!(violation, Violation::Lost { key: lost, .. } if *lost == key),
    )?;
    prove(
        "one message repeated",
        repeat_one(recording),
        &|violation, key| matches!(violation, Violation::Repeated { key: again, .. } if *again == key),
    )?;
    prove(
        "two messages swapped",
        swap_two(recording),
        &|violation, _| matches!(violation, Violation::Disordered { .. }),
    )?;
    prove(
        "one message misrouted",
        misroute_one(recording),
        &|violation, key| matches!(violation, Violation::Misrouted { key: astray, .. } if *astray == key),
    )?;
    prove(
        "repeats not removed",
        keep_repeats(recording, raw),
        &|violation, key| matches!(violation, Violation::Repeated { key: again, .. } if *again == key),
    )?;
    Ok(proofs)
}

/// A viewer that stayed to the end, and its longest stay.
fn victim(recording: &Recording) -> Option<(usize, usize)> {
    let stays = recording
        .viewers
        .iter()
        .enumerate()
        .flat_map(|(v, viewer)| {
            let stays = viewer.stays.iter().enumerate();
            stays
                .filter(|_| !viewer.left)
                .map(move |(s, stay)| (stay.shown.len(), v, s))
        });
    stays.max().map(|(_, viewer, stay)| (viewer, stay))
}

/// Changes the victim's stay, at the middle of what it saw; `change` gives the message it is about.
fn change(
    recording: &Recording,
    change: impl FnOnce(&mut Stay, usize) -> Option<Key>,
) -> Option<(Recording, Key)> {
    let (viewer, stay) = victim(recording)?;
    let mut broken = recording.clone();
    let stay = broken.viewers.get_mut(viewer)?.stays.get_mut(stay)?;
    let middle = stay.shown.len() / 2;
    let key = change(stay, middle)?;
    Some((broken, key))
}

fn drop_one(recording: &Recording) -> Option<(Recording, Key)> {
    let (viewer, stay) = victim(recording)?;
    let shown = &recording.viewers.get(viewer)?.stays.get(stay)?.shown;
    let acknowledged = |key: &&Key| {
        let fate = recording.messages.get(*key);
        fate.is_some_and(|fate| fate.acknowledged.is_some())
    };
    let key = *shown.iter().skip(shown.len() / 2).find(acknowledged)?;
    let mut broken = recording.clone();
    // Also where the newest history has shown it again.
    for stay in &mut broken.viewers.get_mut(viewer)?.stays {
        stay.shown.retain(|other| *other != key);
    }
    Some((broken, key))
}

fn repeat_one(recording: &Recording) -> Option<(Recording, Key)> {
    change(recording, |stay, middle| {
        let key = *stay.shown.get(middle)?;
        let later = (middle + 3).min(stay.shown.len());
        stay.shown.insert(later, key);
        Some(key)
    })
}

fn swap_two(recording: &Recording) -> Option<(Recording, Key)> {
    change(recording, |stay, middle| {
        let key = *stay.shown.get(middle)?;
        (middle + 1 < stay.shown.len()).then(|| stay.shown.swap(middle, middle + 1))?;
        Some(key)
    })
}

fn misroute_one(recording: &Recording) -> Option<(Recording, Key)> {
    let (viewer, _) = victim(recording)?;
    let own = recording.viewers.get(viewer)?.room;
    let (key, _) = recording
        .messages
        .iter()
        .find(|(_, fate)| fate.room != own)?;
    change(recording, |stay, middle| {
        stay.shown.insert(middle, *key);
        Some(*key)
    })
}

/// Viewers that saw what the stream holds, all of it: what an instance would show that removed no repeats.
fn keep_repeats(recording: &Recording, raw: &[Vec<Key>]) -> Option<(Recording, Key)> {
    let mut broken = recording.clone();
    broken.viewers.clear();
    let mut repeated = None;
    for (room, shown) in raw.iter().enumerate() {
        let mut seen = std::collections::HashSet::new();
        repeated = repeated.or_else(|| shown.iter().copied().find(|key| !seen.insert(*key)));
        broken.viewers.push(Viewer {
            name: format!("a viewer of the raw stream in room {room}"),
            room,
            left: true,
            stays: vec![Stay {
                start: Start::Anew,
                joined: 0,
                shown: shown.clone(),
            }],
            diary: Vec::new(),
            strange: Vec::new(),
        });
    }
    Some((broken, repeated?))
}
