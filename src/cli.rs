//! The command line: a flag for each setting, made from the table of settings.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, Command, value_parser};

use crate::app::Question;
use crate::config::{SETTINGS, Setting, env_name};

/// What the program is asked to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Task {
    /// To serve the chat.
    #[default]
    Serve,
    /// To check whether it could.
    Doctor,
    /// To ask an instance that does.
    Health(Question),
}

/// What the command line says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// What to do.
    pub task: Task,
    /// The settings it gives, by key, unchecked.
    pub settings: Vec<(String, String)>,
    /// The file of settings it names.
    pub config: Option<PathBuf>,
}

const DOCTOR: &str = "doctor";
const HEALTH: &str = "health";
const READY: &str = "ready";

/// The command line's grammar.
pub fn command() -> Command {
    let config = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .global(true)
        .value_parser(value_parser!(PathBuf))
        .help(format!(
            "read settings from this file [default: chat-room.toml, if it is there] [env: {}]",
            env_name("config")
        ));
    Command::new("chat-room")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Serve a live chat whose messages run through an Amazon Kinesis stream")
        .after_help(
            "Settings come from chat-room.toml (keys as the flags, without the dashes before \
             them),\nover that the environment, over that the flags.",
        )
        .arg(config)
        .args(SETTINGS.iter().map(flag))
        .subcommand(
            Command::new(DOCTOR).about(
                "Check the stream, the credentials and the permissions, and say what is to do",
            ),
        )
        .subcommand(
            Command::new(HEALTH)
                .about("Ask the instance that runs with these settings on this machine whether it is alive")
                .arg(
                    Arg::new(READY)
                        .long(READY)
                        .action(ArgAction::SetTrue)
                        .help("ask whether it is ready for clients instead: /readyz, not /livez"),
                ),
        )
        .disable_help_subcommand(true)
}

fn flag(setting: &Setting) -> Arg {
    Arg::new(setting.key)
        .long(setting.key)
        .value_name(setting.value)
        .global(true)
        // Checked with the other layers, so that all of them give the same messages.
        .value_parser(value_parser!(String))
        .help(format!(
            "{} [default: {}] [env: {}]",
            setting.help,
            setting.default.shown(),
            setting.env()
        ))
}

/// Reads the command line; the first argument is the program's name.
///
/// # Errors
/// clap's, also for `--help` and `--version`: it knows what to print where, and the exit code.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Flags, clap::Error> {
    let mut matches = command().try_get_matches_from(args)?;
    let task = match matches.subcommand() {
        Some((DOCTOR, _)) => Task::Doctor,
        Some((HEALTH, asked)) if asked.get_flag(READY) => Task::Health(Question::Ready),
        Some((HEALTH, _)) => Task::Health(Question::Alive),
        _ => Task::Serve,
    };
    // A flag may stand on either side of the subcommand, which knows them all.
    if let Some((_, inner)) = matches.remove_subcommand() {
        matches = inner;
    }
    let config = matches.remove_one("config");
    let given = SETTINGS.iter().filter_map(|setting| {
        let value: String = matches.remove_one(setting.key)?;
        Some((setting.key.to_owned(), value))
    });
    Ok(Flags {
        task,
        settings: given.collect(),
        config,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Flags, clap::Error> {
        let args = ["chat-room"].iter().chain(args).map(OsString::from);
        super::parse(args)
    }

    #[test]
    fn the_grammar_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn what_is_given_is_found_and_nothing_else() {
        let flags = parse(&["--history", "5", "--config", "x.toml"]).unwrap();
        assert_eq!(flags.settings, [("history".into(), "5".into())]);
        assert_eq!(flags.config, Some("x.toml".into()));
        assert_eq!(parse(&[]).unwrap(), Flags::default());
    }

    #[test]
    fn the_doctor_takes_the_same_flags_on_either_side() {
        let settings = [
            ("kinesis".to_owned(), "aws".to_owned()),
            ("stream".to_owned(), "s".to_owned()),
        ];
        for args in [
            &["doctor", "--stream", "s", "--kinesis", "aws"][..],
            &["--kinesis", "aws", "doctor", "--stream", "s"],
            &["--kinesis", "aws", "--stream", "s", "doctor"],
        ] {
            let flags = parse(args).unwrap();
            assert_eq!(
                (flags.task, &*flags.settings),
                (Task::Doctor, &settings[..])
            );
        }
        assert_eq!(parse(&[]).unwrap().task, Task::Serve);
    }

    #[test]
    fn health_asks_one_of_two_questions() {
        let task = |args: &[&str]| parse(args).unwrap().task;
        assert_eq!(task(&["health"]), Task::Health(Question::Alive));
        assert_eq!(
            task(&["health", "--ready", "--listen", "0.0.0.0:80"]),
            Task::Health(Question::Ready)
        );
        assert!(parse(&["--ready"]).is_err());
    }

    #[test]
    fn help_begins_with_a_verb_and_shows_every_setting_with_default_and_variable() {
        let error = parse(&["--help"]).unwrap_err();
        assert_eq!(error.exit_code(), 0);
        let help = error.to_string();
        assert!(help.starts_with("Serve "), "{help}");
        for setting in SETTINGS {
            assert!(
                help.contains(&format!("--{} <", setting.key)),
                "{}",
                setting.key
            );
            assert!(help.contains(&setting.env()), "{}", setting.key);
        }
        assert!(help.contains("[default: 127.0.0.1:8080]"), "{help}");
    }

    #[test]
    fn version_names_program_and_version() {
        let error = parse(&["--version"]).unwrap_err();
        assert_eq!(error.exit_code(), 0);
        assert_eq!(
            error.to_string(),
            concat!("chat-room ", env!("CARGO_PKG_VERSION"), "\n")
        );
    }

    #[test]
    fn an_unknown_or_repeated_flag_is_a_usage_error() {
        for args in [
            &["--prot", "1"][..],
            &["--history"],
            &["--history", "1", "--history", "2"],
            &["x"],
        ] {
            assert_eq!(parse(args).unwrap_err().exit_code(), 2, "{args:?}");
        }
    }
}
