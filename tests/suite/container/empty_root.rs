//! A root folder that holds the binary and nothing else.

use std::path::{Path, PathBuf};
use std::process::Command;

use reqwest::StatusCode;
use tempfile::TempDir;

use super::names::NameServer;
use super::{program, run};
use crate::faults::make_certificates;
use crate::harness::{Launch, Server, Viewer, eventually};

/// The root, and how to make a program see nothing else.
struct Root {
    folder: TempDir,
    /// What is mounted at /data.
    data: TempDir,
    /// `unshare` and its flags: a namespace in which mounting is ours to do.
    namespace: Vec<&'static str>,
}

impl Root {
    /// `None` where there is no static binary, or this cannot be done; the reason is told.
    fn new() -> Option<Self> {
        let program = program()?;
        let ways: [&[&str]; 2] = [
            &["unshare", "--mount"],
            &["unshare", "--mount", "--map-root-user"],
        ];
        let mut problems = Vec::new();
        let namespace = ways.into_iter().find(|way| {
            let tried = run(Command::new(way[0]).args(&way[1..]).arg("true"));
            tried.map_err(|problem| problems.push(problem)).is_ok()
        });
        let Some(namespace) = namespace else {
            eprintln!("NOT RUN: an empty root needs root or user namespaces: {problems:?}");
            return None;
        };
        let folder = TempDir::new().expect("a folder");
        std::fs::copy(program, folder.path().join("chat-room")).expect("the binary");
        std::fs::create_dir(folder.path().join("data")).expect("a place to mount at");
        Some(Self {
            folder,
            data: TempDir::new().expect("a folder"),
            namespace: namespace.to_vec(),
        })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The program within.
    fn launch(&self, launch: Launch) -> Launch {
        let (root, data) = (self.path().display(), self.data.path().display());
        let within =
            format!("mount --bind {data} {root}/data && exec chroot {root} /chat-room \"$@\"");
        let mut prefix = self.namespace.clone();
        prefix.extend(["sh", "-c", &within, "sh"]);
        launch.through(&prefix)
    }

    /// Every file that is in it.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push(path.strip_prefix(self.path()).unwrap().to_owned());
                }
            }
        }
        files.sort();
        files
    }
}

#[tokio::test]
async fn the_binary_alone_is_the_whole_chat() {
    let Some(root) = Root::new() else { return };
    let kept = || root.launch(Launch::new().args(&["--embedded-data", "/data"]));
    let server = kept().start().await;
    let page = server.get("/").await;
    assert_eq!(page.status(), StatusCode::OK);
    assert!(page.text().await.expect("the page").contains("<title"));
    let mut viewer = Viewer::join(&server, "room=den").await;
    server.say("den", "hello out there").await;
    assert_eq!(viewer.next().await.text, "hello out there");
    assert!(server.metrics().await.contains("chat_room_build_info"));
    server.stop().await;

    assert_eq!(root.files(), [Path::new("chat-room")]);
    let again = kept().start().await;
    let mut viewer = Viewer::join(&again, "room=den").await;
    assert_eq!(viewer.next().await.text, "hello out there");
    again.stop().await;
}

/// A stream over https, at a name that its certificate is for.
async fn https(folder: &Path) -> Server {
    make_certificates(folder);
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (file("localhost.pem"), file("localhost.key"));
    Server::start_sharing(&[
        "--embedded-tls-cert",
        &certificate,
        "--embedded-tls-key",
        &key,
    ])
    .await
}

#[tokio::test]
async fn a_name_is_resolved_and_the_root_of_ssl_cert_file_is_believed() {
    let Some(root) = Root::new() else { return };
    let names = match NameServer::start().await {
        Ok(names) => names,
        Err(error) => {
            eprintln!("NOT RUN: a name server of the test's own needs port 53: {error}");
            return;
        }
    };
    let certificates = TempDir::new().unwrap();
    let stream = https(certificates.path()).await;
    std::fs::create_dir(root.path().join("etc")).unwrap();
    let file = root.path().join("etc/resolv.conf");
    std::fs::write(file, format!("nameserver {}\n", names.address())).unwrap();
    std::fs::copy(
        certificates.path().join("root.pem"),
        root.path().join("roots.pem"),
    )
    .unwrap();

    let launch = Launch::on_https_at(stream.kinesis()).env("SSL_CERT_FILE", "/roots.pem");
    let server = root.launch(launch).start().await;
    let mut viewer = Viewer::join(&stream, "room=den").await;
    server.say("den", "over https").await;
    assert_eq!(viewer.next().await.text, "over https");
    assert!(names.asked() > 0, "the name was looked up");
    server.stop().await;

    // Without it, and without any file of roots, those that are compiled in are believed, and this one is not among them.
    let launch = Launch::on_https_at(stream.kinesis());
    let server = root.launch(launch).start_unready().await;
    for said in ["the roots that are compiled in", "UnknownIssuer"] {
        eventually(said, || async { server.said().contains(said) }).await;
    }
}
