//! `chat-room health`, and what there is to ask before an instance is ready.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use rustix::process::Signal;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::draining;
use crate::faults::make_certificates;
use crate::harness::{Ended, Launch, Server};
use crate::trouble::Holder;

async fn ask(server: &Server, args: &[&str]) -> Ended {
    let listen = Launch::new().listen(server.address());
    listen.args(&["health"]).args(args).run().await
}

#[tokio::test]
async fn before_it_is_ready_an_instance_listens_and_says_so() {
    let holder = Holder::start(&[]).await;
    let late = json!({"fault": "delay", "operation": "SubscribeToShard", "consumer": "late", "delay": "2s"});
    holder.add(&late).await;
    let name = ["--consumer-name", "late", "--consumer", "enhanced"];
    let mut server = holder.beside(&name).start_unready().await;
    let (status, body) = server.readiness().await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    assert!(body.contains(r#""status":"starting""#), "{body}");
    assert_eq!(server.get("/").await.status(), StatusCode::OK);
    assert_eq!(ask(&server, &[]).await.code, Some(0));
    server.once_it_is_ready().await;
    let ready = ask(&server, &["--ready"]).await;
    assert_eq!(ready.code, Some(0), "{ready:?}");
}

/// From the start of the process to 200 at /readyz, the quickest of some. The limit is one for a build without optimizations on
/// a busy machine, and finds what waits for something; the load bench says the real figure (`ready_ms`).
#[tokio::test]
async fn on_the_embedded_stream_it_is_ready_within_2_s_of_its_start() {
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        let server = Server::start(&[]).await;
        quickest = quickest.min(start.elapsed());
        server.stop().await;
    }
    println!("{quickest:?} from start to ready");
    assert!(
        quickest < Duration::from_secs(2),
        "{quickest:?} from start to ready"
    );
}

#[tokio::test]
async fn health_is_a_line_and_an_exit_code() {
    let server = Server::start(&["--drain-delay", "10m"]).await;
    let alive = ask(&server, &[]).await;
    assert_eq!(alive.code, Some(0), "{alive:?}");
    let said = format!(
        "ok   http://{}/livez: 200 {{\"status\":\"live\"}}",
        server.address()
    );
    assert_eq!(alive.stdout, said);

    server.signal(Signal::TERM);
    draining(&server).await;
    assert_eq!(ask(&server, &[]).await.code, Some(0), "it is alive still");
    let leaving = ask(&server, &["--ready"]).await;
    assert_eq!(leaving.code, Some(1), "{leaving:?}");
    assert!(leaving.stdout.starts_with("fail "), "{leaving:?}");
    assert!(leaving.stdout.contains("503"), "{leaving:?}");

    let address = server.address();
    drop(server);
    let gone = Launch::new().listen(address).args(&["health"]).run().await;
    assert_eq!(gone.code, Some(1));
    assert!(gone.stdout.contains("refused"), "{gone:?}");
}

#[tokio::test]
async fn health_asks_the_address_of_the_operations_where_they_have_one() {
    let server = Server::start(&["--metrics-listen", "127.0.0.1:0"]).await;
    let url = server.metrics_url("");
    let address = url.strip_prefix("http://").unwrap();
    let alive = ask(&server, &["--metrics-listen", address]).await;
    assert_eq!(alive.code, Some(0), "{alive:?}");
    // On the public one there is no such page.
    let elsewhere = ask(&server, &[]).await;
    assert_eq!(elsewhere.code, Some(1), "{elsewhere:?}");
    assert!(elsewhere.stdout.contains("404"), "{elsewhere:?}");
}

#[tokio::test]
async fn health_asks_over_tls_where_that_is_spoken() {
    let launch = Launch::new();
    make_certificates(launch.folder());
    let files = ["--tls-cert", "localhost.pem", "--tls-key", "localhost.key"];
    let server = launch.args(&files).start_unready().await;
    let here = Launch::new().listen(server.address()).args(&["health"]);
    let file = |name: &str| server.folder().join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (file(files[1]), file(files[3]));
    let alive = here
        .args(&[files[0], &certificate, files[2], &key])
        .run()
        .await;
    assert_eq!(alive.code, Some(0), "{alive:?}");
    assert!(alive.stdout.starts_with("ok   https://"), "{alive:?}");
    // Asked without it, what answers there is not understood.
    let otherwise = ask(&server, &[]).await;
    assert_eq!(otherwise.code, Some(1), "{otherwise:?}");
}

#[tokio::test]
async fn i6_health_does_not_wait_for_an_answer_that_never_comes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mute = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut request = [0; 1_024];
        let asked = tcp.read(&mut request).await.unwrap();
        tcp.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        (tcp, asked)
    });
    let ended = Launch::new().listen(address).args(&["health"]).run().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(mute.await.unwrap().1 > 0);
}
