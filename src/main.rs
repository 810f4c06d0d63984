//! The `chat-room` program: settings, then [`app::run`] or one of its smaller tasks.

use std::env;
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use chat_room::app;
use chat_room::cli::{self, Task};
use chat_room::config::Settings;

/// The command line or a setting cannot be understood.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let flags = match cli::parse(env::args_os()) {
        Ok(flags) => flags,
        Err(answer) => {
            // Help and version are such answers too, with an exit code of their own.
            let _ = answer.print();
            return u8::try_from(answer.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    let load = || {
        let given = flags.settings.iter().cloned();
        Settings::load(given, flags.config.as_deref(), env::vars_os())
    };
    let settings = match load() {
        Ok(settings) => settings,
        Err(error) => return complain(&error, ExitCode::from(USAGE)),
    };
    let done = match flags.task {
        Task::Serve => app::run(&settings, &load).map(|()| true),
        Task::Doctor => app::examine(&settings),
        Task::Health(question) => Ok(app::check(&settings, question)),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => complain(&error, ExitCode::FAILURE),
    }
}

/// One line with the error and what caused it.
fn complain(error: &dyn Error, code: ExitCode) -> ExitCode {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    // Without anywhere to write to, the exit code has to do.
    let _ = writeln!(io::stderr(), "chat-room: {text}");
    code
}
