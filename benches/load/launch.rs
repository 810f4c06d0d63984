//! How each kind of server is started.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;
use crate::args::Args;
use crate::choices::Kind;

const PROGRAM: &str = env!("CARGO_BIN_EXE_chat-room");
const HERE: &str = env!("CARGO_MANIFEST_DIR");
/// Where benches/peers/install.sh puts them.
const PEERS: &str = ".tools/peers";
/// Connections that are opened beside those of a run: to see whether it is ready, to warm up.
const FURTHER_CONNECTIONS: usize = 100;

/// A server to start.
pub(crate) struct Launch {
    pub(crate) command: Command,
    /// Where it will listen, if it does not say so in a line of its own.
    pub(crate) address: Option<SocketAddr>,
}

/// The command that starts a server of this kind; `folder` is its own.
pub(crate) fn launch(args: &Args, kind: Kind, folder: &Path) -> Result<Launch, Error> {
    let mut command = match kind {
        Kind::Ours => ours(args),
        Kind::Write => {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("--be-write-loop");
            command
        }
        Kind::Bun => {
            let mut command = Command::new(installed(&bun())?);
            command.arg(adapter("bun.js"));
            command
        }
        Kind::Ws => {
            let mut command = Command::new("node");
            command
                .arg(adapter("ws.cjs"))
                .env("NODE_PATH", installed("node_modules")?);
            command
        }
        Kind::Nchan => return nchan(args, folder),
    };
    command.env_remove("RUST_LOG");
    Ok(Launch {
        command,
        address: None,
    })
}

fn ours(args: &Args) -> Command {
    let connections = args.connections() + FURTHER_CONNECTIONS;
    let mut command = Command::new(PROGRAM);
    command
        .args(["--listen", "127.0.0.1:0", "--max-connections"])
        .arg(connections.to_string())
        .args(&args.further)
        .env("CHAT_ROOM_LOG_LEVEL", "warn")
        // What the server can take is what is measured.
        .env("CHAT_ROOM_ROOM_RATE", "off");
    command
}

/// nginx in one process, with a configuration made from benches/peers/nginx.conf.
fn nchan(args: &Args, folder: &Path) -> Result<Launch, Error> {
    // It cannot choose a port by itself.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let module = installed("nginx/usr/lib/nginx/modules/ngx_nchan_module.so")?;
    // It gives up idle ones when fewer than a sixteenth are left.
    let connections = 2 * (args.connections() + FURTHER_CONNECTIONS);
    let configuration = std::fs::read_to_string(adapter("nginx.conf"))?
        .replace("@module@", &module.display().to_string())
        .replace("@address@", &address.to_string())
        .replace("@connections@", &connections.to_string());
    let file = folder.join("nginx.conf");
    std::fs::write(&file, configuration)?;
    let mut command = Command::new(installed("nginx/usr/sbin/nginx")?);
    command
        .arg("-p")
        .arg(folder)
        .args(["-e", "stderr", "-c"])
        .arg(file);
    Ok(Launch {
        command,
        address: Some(address),
    })
}

/// Bun's program, in the package that npm chooses for this processor.
fn bun() -> String {
    let processor = match std::env::consts::ARCH {
        "aarch64" => "aarch64",
        _ => "x64",
    };
    format!("node_modules/@oven/bun-linux-{processor}/bin/bun")
}

fn adapter(name: &str) -> PathBuf {
    Path::new(HERE).join("benches/peers").join(name)
}

fn installed(name: &str) -> Result<PathBuf, Error> {
    let path = Path::new(HERE).join(PEERS).join(name);
    if path.exists() {
        return Ok(path);
    }
    Err(format!(
        "{} is missing: bash benches/peers/install.sh",
        path.display()
    )
    .into())
}
