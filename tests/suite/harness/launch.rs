//! How the program is started: in an empty folder, with a clean environment, on ports the system chooses.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tempfile::TempDir;

use super::{DEADLINE, Server};
use crate::faults::make_certificates;

/// The program as cargo built it.
const PROGRAM: &str = env!("CARGO_BIN_EXE_chat-room");

/// The settings of one start.
pub(crate) struct Launch {
    listen: Option<String>,
    args: Vec<String>,
    envs: Vec<(String, String)>,
    under: Option<String>,
    /// What is run with the program's arguments, where it is not the program itself.
    through: Vec<String>,
    folder: TempDir,
}

/// A program that ran to its end.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Lines that a thread gathers from one of the program's outputs.
pub(super) type Lines = Arc<Mutex<Vec<String>>>;

impl Launch {
    /// The embedded stream, everything else by default.
    pub(crate) fn new() -> Self {
        Self {
            listen: Some("127.0.0.1:0".to_owned()),
            args: Vec::new(),
            envs: Vec::new(),
            under: None,
            through: Vec::new(),
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    /// An instance on a Kinesis that somebody serves at `endpoint`.
    pub(crate) fn on_kinesis_at(endpoint: SocketAddr) -> Self {
        Self::on(&format!("http://{endpoint}"))
    }

    /// An instance on a Kinesis that somebody serves over https at a port of this machine, by its name.
    pub(crate) fn on_https_at(endpoint: SocketAddr) -> Self {
        Self::on(&format!("https://localhost:{}", endpoint.port()))
    }

    fn on(endpoint: &str) -> Self {
        Self::new().args(&[
            "--kinesis",
            "aws",
            "--region",
            "us-east-1",
            "--endpoint-url",
            endpoint,
        ])
    }

    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }

    pub(crate) fn env(mut self, key: &str, value: &str) -> Self {
        self.envs.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Lets the program have so many open files, and so many if it asks for more.
    pub(crate) fn open_files(self, soft: u32, hard: u32) -> Self {
        self.under(&format!("ulimit -Sn {soft} && ulimit -Hn {hard}"))
    }

    /// Runs these shell commands first, in the process that then becomes the program.
    pub(crate) fn under(mut self, commands: &str) -> Self {
        self.under = Some(commands.to_owned());
        self
    }

    /// Runs this command, which runs the program with the arguments that follow, in its own process.
    pub(crate) fn through(mut self, command: &[&str]) -> Self {
        self.through = command.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// A file in the folder the program starts in.
    pub(crate) fn file(self, name: &str, content: &str) -> Self {
        std::fs::write(self.folder.path().join(name), content)
            .expect("a file in the temporary folder");
        self
    }

    /// The folder the program starts in.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Serves the chat over TLS, with certificates of its own that are in its folder, and the operations beside it.
    pub(crate) fn tls(self) -> Self {
        make_certificates(self.folder.path());
        self.args(&[
            "--tls-cert",
            "localhost.pem",
            "--tls-key",
            "localhost.key",
            "--metrics-listen",
            "127.0.0.1:0",
        ])
    }

    /// Listens there and not on a port that the system chooses.
    pub(crate) fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = Some(address.to_string());
        self
    }

    /// Says nothing about where to listen.
    pub(crate) fn without_listen(mut self) -> Self {
        self.listen = None;
        self
    }

    /// Starts the program and waits until it is ready.
    pub(crate) async fn start(self) -> Server {
        let (mut child, folder, args) = self.spawn();
        let stdout = gather(child.stdout.take().expect("stdout is piped"));
        let stderr = gather(child.stderr.take().expect("stderr is piped"));
        Server::once_ready(child, folder, &args, stdout, stderr).await
    }

    /// Starts the program and waits only until it listens.
    pub(crate) async fn start_unready(self) -> Server {
        let (mut child, folder, args) = self.spawn();
        let stdout = gather(child.stdout.take().expect("stdout is piped"));
        let stderr = gather(child.stderr.take().expect("stderr is piped"));
        Server::once_listening(child, folder, &args, stdout, stderr).await
    }

    /// Starts the program, which is expected to end by itself, and waits for that.
    pub(crate) async fn run(self) -> Ended {
        let (mut child, _folder, args) = self.spawn();
        let stdout = gather(child.stdout.take().expect("stdout is piped"));
        let stderr = gather(child.stderr.take().expect("stderr is piped"));
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().expect("the state of the child") {
                break status;
            }
            if start.elapsed() > DEADLINE {
                let _ = child.kill();
                let _ = child.wait();
                panic!(
                    "{PROGRAM} {args:?} should have ended by itself\n{}",
                    joined(&stderr)
                );
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        };
        // Both outputs end with the process; the gathering threads see that a moment later.
        super::eventually("the outputs of an ended process end", || async {
            Arc::strong_count(&stdout) == 1 && Arc::strong_count(&stderr) == 1
        })
        .await;
        Ended {
            code: status.code(),
            stdout: joined(&stdout),
            stderr: joined(&stderr),
        }
    }

    fn spawn(self) -> (Child, TempDir, Vec<String>) {
        let mut args = Vec::new();
        if let Some(listen) = self.listen {
            args.extend(["--listen".to_owned(), listen]);
        }
        args.extend(self.args);
        let mut command = match (&self.under, self.through.split_first()) {
            (None, None) => Command::new(PROGRAM),
            (None, Some((program, args))) => {
                let mut command = Command::new(program);
                command.args(args);
                command
            }
            (Some(commands), _) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("{commands} && exec \"$0\" \"$@\""), PROGRAM]);
                shell
            }
        };
        let child = command
            .args(&args)
            .current_dir(self.folder.path())
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            // Nothing of the caller's own AWS, and no probing of a metadata service.
            .env("HOME", self.folder.path())
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("RUST_BACKTRACE", "1")
            .envs(self.envs)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{PROGRAM} does not start: {error}"));
        (child, self.folder, args)
    }
}

/// Gathers the lines of `output` in a thread, so that the program is never blocked on a full pipe.
fn gather(output: impl Read + Send + 'static) -> Lines {
    let lines = Lines::default();
    let theirs = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            theirs.lock().unwrap().push(line);
        }
    });
    lines
}

pub(super) fn joined(lines: &Lines) -> String {
    lines.lock().unwrap().join("\n")
}
