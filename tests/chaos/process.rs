//! Child processes: the instances, and the one that holds the stream.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use crate::instance;

/// What is started as an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// The program as it is.
    AsItIs,
    /// One that shows repeats.
    ShowsRepeats,
}

impl Program {
    fn command(self) -> io::Result<Command> {
        Ok(match self {
            Self::AsItIs => Command::new(env!("CARGO_BIN_EXE_chat-room")),
            Self::ShowsRepeats => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg(instance::ARGUMENT);
                command
            }
        })
    }
}

/// Below the ports that the system gives to outgoing connections, one of which could else take the port of a dead instance.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// The processes that run, so that none outlives us.
static RUNNING: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn running() -> MutexGuard<'static, BTreeSet<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `kill -9` for every child that still runs.
pub(crate) fn kill_everything() {
    for pid in std::mem::take(&mut *running()) {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
    }
}

/// The program with its settings, running or not. Dropped, it is killed.
pub(crate) struct Process {
    pub(crate) name: String,
    program: Program,
    args: Vec<String>,
    envs: Vec<(String, String)>,
    folder: PathBuf,
    child: Option<Child>,
}

impl Process {
    pub(crate) fn new(
        program: Program,
        name: &str,
        folder: &Path,
        args: &[&str],
        envs: &[(&str, &str)],
    ) -> io::Result<Self> {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(Self {
            name: name.to_owned(),
            program,
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            envs: envs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            folder,
            child: None,
        })
    }

    fn log(&self) -> io::Result<File> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
    }

    /// What it writes to stdout and stderr, over all its starts.
    pub(crate) fn log_path(&self) -> PathBuf {
        self.folder.join("log.txt")
    }

    pub(crate) fn start(&mut self) -> io::Result<()> {
        let log = self.log()?;
        let child = self
            .program
            .command()?
            .args(&self.args)
            .current_dir(&self.folder)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            // Nothing of the caller's own AWS, and no probing of a metadata service.
            .env("HOME", &self.folder)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("RUST_BACKTRACE", "1")
            .envs(self.envs.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        running().insert(child.id());
        self.child = Some(child);
        Ok(())
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        match &self.child {
            Some(child) => Ok(kill_process(Pid::from_child(child), signal)?),
            None => Ok(()),
        }
    }

    /// `kill -9`, also of one that is stopped.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
            running().remove(&child.id());
        }
    }

    /// How it ended, if it did so by itself.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let child = self.child.as_mut()?;
        let status = child.try_wait().ok()??;
        running().remove(&child.id());
        self.child = None;
        Some(status)
    }

    /// Asks for a clean stop, and waits for it.
    pub(crate) async fn stop(&mut self, limit: Duration) -> Result<(), String> {
        self.signal(Signal::TERM)
            .map_err(|error| error.to_string())?;
        let start = Instant::now();
        while start.elapsed() < limit {
            match self.ended() {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("{} ended with {status}", self.name)),
                None => sleep(Duration::from_millis(20)).await,
            }
        }
        self.kill();
        Err(format!("{} did not stop within {limit:?}", self.name))
    }

    /// The last lines of its log.
    pub(crate) fn last_words(&self) -> String {
        let text = std::fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n    ")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A loopback address that nobody uses now. Not by the seed: two runs with the same one side by
/// side would take each other's ports while an instance is down.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    for _ in 0..1_000 {
        let address = SocketAddr::from(([127, 0, 0, 1], fastrand::u16(PORTS)));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err(io::Error::other("there is no free port"))
}
