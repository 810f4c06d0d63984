//! The server's process: its start, its cores, its end.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Signal};
use rustix::thread::CpuSet;
use tempfile::TempDir;

use crate::Error;
use crate::args::Args;
use crate::choices::Kind;
use crate::http;
use crate::launch;
use crate::usage::Process;

const READY_WITHIN: Duration = Duration::from_secs(30);
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);
const STOPPED_WITHIN: Duration = Duration::from_secs(15);

/// A server of our own, or one that runs already.
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    /// From its start to the first time it said that it is ready.
    pub(crate) ready: Option<Duration>,
    pid: Option<u32>,
    own: Option<(Child, TempDir)>,
}

impl Server {
    /// Starts a server of this kind and waits until it is ready, or takes the one that `args` names.
    pub(crate) fn start(args: &Args, kind: Kind) -> Result<Self, Error> {
        if let Some(address) = args.url {
            wait_until_ready(kind, address)?;
            return Ok(Self {
                kind,
                address,
                ready: None,
                pid: args.pid,
                own: None,
            });
        }
        let folder = tempfile::tempdir()?;
        let mut launch = launch::launch(args, kind, folder.path())?;
        // A child has the cores of the thread that starts it.
        pin(&args.server_cores)?;
        let start = Instant::now();
        let spawned = launch
            .command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        pin(&args.client_cores)?;
        let mut child = spawned
            .map_err(|error| format!("{}: {error}", launch.command.get_program().display()))?;
        let lines = BufReader::new(child.stdout.take().ok_or("stdout is piped")?).lines();
        let mut server = Self {
            kind,
            address: ([127, 0, 0, 1], 0).into(),
            ready: None,
            pid: Some(child.id()),
            own: Some((child, folder)),
        };
        server.address = match launch.address {
            Some(address) => address,
            None => listening(lines)?,
        };
        wait_until_ready(kind, server.address)?;
        server.ready = Some(start.elapsed());
        Ok(server)
    }

    /// Its process, where that is known.
    pub(crate) fn process(&self) -> Option<Process> {
        self.pid.map(|pid| Process(Some(pid)))
    }

    /// Stops a server of our own; an error if it does not end well. Others are killed: they have nothing to lose.
    pub(crate) fn stop(mut self) -> Result<(), Error> {
        let Some((child, _)) = self.own.as_mut().filter(|_| self.kind == Kind::Ours) else {
            return Ok(());
        };
        rustix::process::kill_process(Pid::from_child(child), Signal::TERM)?;
        let start = Instant::now();
        while start.elapsed() < STOPPED_WITHIN {
            if let Some(status) = child.try_wait()? {
                return if status.success() {
                    Ok(())
                } else {
                    Err(format!("the server ended with {status}").into())
                };
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(format!("the server did not stop within {STOPPED_WITHIN:?}").into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.own {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Allows as many open files as the system does: the server inherits it.
pub(crate) fn raise_open_files(wanted: usize) -> Result<(), Error> {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    rustix::process::setrlimit(Resource::Nofile, limit)?;
    match limit.maximum {
        Some(most) if most < wanted as u64 => {
            Err(format!("{wanted} open files are needed, {most} are allowed").into())
        }
        _ => Ok(()),
    }
}

/// Keeps this thread, and those it starts from now on, on `cores`; on all cores again if there are none.
fn pin(cores: &[usize]) -> Result<(), Error> {
    let mut set = CpuSet::new();
    let all: Vec<usize> = (0..CpuSet::MAX_CPU).collect();
    for &core in if cores.is_empty() { &all[..] } else { cores } {
        if core >= CpuSet::MAX_CPU {
            return Err(format!("there is no core {core}").into());
        }
        set.set(core);
    }
    rustix::thread::sched_setaffinity(None, &set)
        .map_err(|error| format!("cores {cores:?}: {error}").into())
}

/// The address in the program's line on stdout. Reads on in a thread, for nobody must wait for a full pipe.
fn listening(
    lines: impl Iterator<Item = std::io::Result<String>> + Send + 'static,
) -> Result<SocketAddr, Error> {
    let (found, address) = mpsc::channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            if let Some(address) = line.strip_prefix("listening on http://") {
                let _ = found.send(address.trim().trim_end_matches('/').parse());
            }
        }
    });
    let waited = address.recv_timeout(READY_WITHIN);
    Ok(waited.map_err(|_| "the server did not say where it listens")??)
}

fn wait_until_ready(kind: Kind, address: SocketAddr) -> Result<(), Error> {
    let start = Instant::now();
    loop {
        match http::get(address, "/readyz", ANSWERED_WITHIN) {
            // Others have no such thing: it is enough that they answer.
            Ok(answer) if answer.status == 200 || kind != Kind::Ours => return Ok(()),
            said if start.elapsed() > READY_WITHIN => {
                let said = said.map_or_else(|error| error, |answer| answer.error("/readyz"));
                return Err(format!(
                    "http://{address} is not ready within {READY_WITHIN:?}: {said}"
                )
                .into());
            }
            _ => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}
