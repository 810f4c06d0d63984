//! The static binary where there is nothing else: in an empty root, and in the image that the Dockerfile makes.
//!
//! Which binary that is says `CHAT_ROOM_STATIC`, such as `$(bash packaging/static.sh dev)`. What cannot be done on a machine
//! is said, and is no failure.

mod empty_root;
mod image;
mod names;

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The static binary, if there is one; else the reason is told.
fn program() -> Option<PathBuf> {
    let Some(path) = std::env::var_os("CHAT_ROOM_STATIC") else {
        eprintln!(
            "NOT RUN: CHAT_ROOM_STATIC names no static binary: packaging/static.sh makes one"
        );
        return None;
    };
    let path = PathBuf::from(path);
    assert!(path.is_file(), "CHAT_ROOM_STATIC: {}", path.display());
    Some(path)
}

/// Runs a command to its end; gives what it said, or why it cannot be done here.
fn run(command: &mut Command) -> Result<String, String> {
    let done = command.stdin(Stdio::null()).output();
    let done = done.map_err(|error| format!("{command:?}: {error}"))?;
    let said = |bytes| String::from_utf8_lossy(bytes).into_owned();
    if done.status.success() {
        return Ok(said(&done.stdout));
    }
    Err(format!(
        "{command:?}: {}\n{}{}",
        done.status,
        said(&done.stdout),
        said(&done.stderr)
    ))
}
