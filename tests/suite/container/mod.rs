//! The static binary where there is nothing else: in an empty root, and in the image that the Dockerfile makes.
//!
//! `make test` builds everything so, where the machine can; else `CHAT_ROOM_STATIC` may name one that is, such as
//! `$(bash packaging/static.sh dev)`. What cannot be done on a machine is said, and is no failure.

mod empty_root;
mod image;
mod names;

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The static binary, if there is one; else the reason is told.
fn program() -> Option<PathBuf> {
    let named = std::env::var_os("CHAT_ROOM_STATIC").map(PathBuf::from);
    // The program was built with the flags of this test.
    let built = cfg!(target_feature = "crt-static").then_some(env!("CARGO_BIN_EXE_chat-room"));
    let Some(path) = named.or(built.map(PathBuf::from)) else {
        eprintln!(
            "NOT RUN: the program is not static here, and CHAT_ROOM_STATIC names none that is: packaging/static.sh makes one"
        );
        return None;
    };
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
