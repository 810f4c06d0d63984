//! The image: built by the Dockerfile as it is, but on a base whose compiler hands over a binary that is built already.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{program, run};
use crate::harness::{Launch, Viewer};

/// What the build stage starts from, as the Dockerfile names it.
const BASE: &str = "docker.io/library/rust:1.95-bookworm";
const IMAGE: &str = "chat-room-test";
/// What the build stage runs of a system.
const SYSTEM: [&str; 6] = ["bash", "env", "sed", "cp", "mkdir", "dirname"];
/// In place of the compiler.
const RUSTC: &str = "#!/usr/bin/bash\necho 'host: this-machine'\n";
const CARGO: &str = r#"#!/usr/bin/bash
case $1 in
metadata) echo '{"target_directory":"/src/target"}' ;;
build) mkdir -p /src/target/this-machine/dist && cp /chat-room.built /src/target/this-machine/dist/chat-room ;;
esac
"#;

/// Images of the test's own.
struct Store(TempDir);

impl Store {
    fn run(&self, args: &[&str]) -> Result<String, String> {
        let mut command = Command::new("buildah");
        let (root, state) = (self.0.path().join("root"), self.0.path().join("state"));
        command.arg("--root").arg(root).arg("--runroot").arg(state);
        // What it caches goes with the rest.
        command.env("TMPDIR", self.0.path());
        run(command.args(["--storage-driver", "vfs"]).args(args))
    }

    fn build(&self, context: &Path, tag: &str) -> Result<String, String> {
        let context = context.to_str().expect("a path");
        self.run(&[
            "bud",
            "--quiet",
            "--pull-never",
            "--format",
            "docker",
            "--isolation",
            "chroot",
            "--tag",
            tag,
            context,
        ])
    }
}

/// The root folder of the base, with a file `Dockerfile` that takes it.
fn base(program: &Path) -> TempDir {
    let folder = TempDir::new().expect("a folder");
    let root = folder.path().join("root");
    let bin = root.join("usr/bin");
    std::fs::create_dir_all(&bin).expect("folders");
    std::os::unix::fs::symlink("usr/bin", root.join("bin")).expect("a link");
    std::os::unix::fs::symlink("bash", bin.join("sh")).expect("a link");
    for name in SYSTEM {
        let which = run(Command::new("which").arg(name)).expect(name);
        let path = Path::new(which.trim());
        std::fs::copy(path, bin.join(name)).expect(name);
        let libraries = run(Command::new("ldd").arg(path)).expect("ldd");
        for library in libraries
            .split_whitespace()
            .filter(|word| word.starts_with('/'))
        {
            let copy = root.join(library.trim_start_matches('/'));
            std::fs::create_dir_all(copy.parent().unwrap()).expect("folders");
            std::fs::copy(library, copy).expect(library);
        }
    }
    for (name, text) in [("rustc", RUSTC), ("cargo", CARGO)] {
        let path = bin.join(name);
        std::fs::write(&path, text).expect(name);
        run(Command::new("chmod").arg("+x").arg(path)).expect(name);
    }
    std::fs::copy(program, root.join("chat-room.built")).expect("the binary");
    std::fs::write(
        folder.path().join("Dockerfile"),
        "FROM scratch\nCOPY root /\n",
    )
    .expect("a file");
    folder
}

#[tokio::test]
async fn the_dockerfile_makes_an_image_that_runs_and_is_healthy() {
    let Some(program) = program() else { return };
    let store = Store(TempDir::new().expect("a folder"));
    // Whether a builder is there and may do here what it must.
    if let Err(reason) = store.build(base(&program).path(), BASE) {
        eprintln!("NOT RUN: no image can be built on this machine: {reason}");
        return;
    }
    let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
    store.build(sources, IMAGE).expect("the image");
    let image = store
        .run(&["inspect", "--type", "image", IMAGE])
        .expect("what is in it");
    let image: Value = serde_json::from_str(&image).expect("JSON");
    let config = &image["Docker"]["config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["ExposedPorts"], json!({"8080/tcp": {}}));
    assert_eq!(config["Entrypoint"], json!(["/chat-room"]));
    assert_eq!(
        config["Healthcheck"]["Test"],
        json!(["CMD", "/chat-room", "health"])
    );
    let env = config["Env"].to_string();
    assert!(env.contains("CHAT_ROOM_LISTEN=0.0.0.0:8080"), "{env}");

    let container = store
        .run(&["from", "--pull-never", IMAGE])
        .expect("a container");
    let container = container.trim();
    let mounted = store.run(&["mount", container]).expect("its files");
    let mut files: Vec<_> = std::fs::read_dir(mounted.trim())
        .expect("its files")
        .map(|entry| entry.unwrap().file_name())
        .collect();
    files.sort();
    assert_eq!(files, ["chat-room", "data"], "nothing else is in it");

    // Not by `buildah run`: what that starts outlives it, should the test end it by force.
    let launch = Launch::new()
        .without_listen()
        .env("CHAT_ROOM_LISTEN", "0.0.0.0:0")
        .env("CHAT_ROOM_EMBEDDED_DATA", "/data")
        .through(&[
            "chroot",
            "--userspec=65532:65532",
            mounted.trim(),
            "/chat-room",
        ]);
    let server = launch.start().await;
    let mut viewer = Viewer::join(&server, "room=den").await;
    server.say("den", "from within").await;
    assert_eq!(viewer.next().await.text, "from within");

    let listen = format!("CHAT_ROOM_LISTEN=0.0.0.0:{}", server.address().port());
    let health = ["--env", &listen, container, "--", "/chat-room", "health"];
    let health = store.run(&[&["run", "--isolation", "chroot"], &health[..]].concat());
    let health = health.expect("healthy");
    assert!(health.starts_with("ok "), "{health}");
    server.stop().await;
}
