//! The program itself with the removal of repeats switched off, which no setting of it can do: this executable, started anew.

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use chat_room::config::Settings;
use chat_room::{app, cli, consumer};

/// The first argument of an executable that is to be one.
pub(crate) const ARGUMENT: &str = "instance-that-shows-repeats";

/// Runs to its end, with the flags of the program.
pub(crate) fn run(flags: &[String]) -> ExitCode {
    match serve(flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(flags: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let flags = [ARGUMENT]
        .into_iter()
        .chain(flags.iter().map(String::as_str));
    let flags = cli::parse(flags.map(OsString::from))?;
    let settings = Settings::load(flags.settings, flags.config.as_deref(), env::vars_os())?;
    let consumer = consumer::Config {
        repeats: Duration::ZERO,
        ..app::consumer_config(&settings)
    };
    Ok(app::run_with(
        &settings,
        consumer,
        &|| Ok(settings.clone()),
    )?)
}
