//! The program's life: how it starts, reloads and ends, and what it tells a service manager.

mod check;
mod reload;
mod rolling;
mod stop;
mod supervision;

use reqwest::StatusCode;

use super::harness::{Server, eventually};

/// Waits until `/readyz` says that the instance is being stopped.
async fn draining(server: &Server) {
    eventually("/readyz is 503 and says draining", || async {
        let (status, body) = server.readiness().await;
        status == StatusCode::SERVICE_UNAVAILABLE && body.contains(r#""status":"draining""#)
    })
    .await;
}
