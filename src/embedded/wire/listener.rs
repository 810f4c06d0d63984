//! The TCP way in: HTTP/1.1 and HTTP/2 on one port, with TLS or without.
//!
//! Bounded on every side: connections by a semaphore taken before `accept`, heads by count, size and time, bodies by
//! size, by time, and all of them together by a second semaphore. The accept task owns the connections' tasks; they end
//! with it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::connection::{Shared, serve};
use crate::embedded::Service;
use crate::tls::Certificate;

/// How long a stop waits for answers under way. Subscriptions are ended at once.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// The first and the longest pause after an accept error.
const ACCEPT_PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// The service on a TCP port. Dropping it, or [`Listener::stop`], ends the port and every connection.
#[derive(Debug)]
pub struct Listener {
    addr: SocketAddr,
    certificate: Option<Certificate>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Listener {
    /// Binds `addr` (port 0 picks a free one) and starts to serve. Needs a tokio runtime.
    pub(in crate::embedded) fn bind(service: Service, addr: SocketAddr) -> io::Result<Self> {
        let tls = &service.config().listener.tls;
        let certificate = tls.clone().map(Certificate::read).transpose()?;
        let tls = certificate
            .as_ref()
            .map(Certificate::acceptor)
            .transpose()?;
        let std_listener = std::net::TcpListener::bind(addr)?;
        std_listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(std_listener)?;
        let addr = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(accept(service, tls, listener, stopped));
        Ok(Self {
            addr,
            certificate,
            stop: Some(stop),
            task,
        })
    }

    /// The address that was bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its certificate, if it speaks TLS: to renew it.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    /// Stops: no new connections, subscriptions end, answers under way get two seconds, then whatever is left is cut.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let _ = (&mut self.task).await;
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The task owns the JoinSet of connections: aborting it aborts them.
        self.task.abort();
    }
}

async fn accept(
    service: Service,
    tls: Option<TlsAcceptor>,
    listener: TcpListener,
    mut stopped: oneshot::Receiver<()>,
) {
    let (stopping, on_stop) = watch::channel(false);
    let places = service.config().listener.connections;
    let places = Arc::new(Semaphore::new(places.clamp(1, Semaphore::MAX_PERMITS)));
    let shared = Shared::new(service, tls, on_stop);
    let mut connections = JoinSet::new();
    let mut pause = ACCEPT_PAUSE.0;
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let accepted = tokio::select! {
            _ = &mut stopped => break,
            Some(_) = connections.join_next() => continue,
            accepted = next => accepted,
        };
        match accepted {
            (Ok(place), Ok((stream, _))) => {
                pause = ACCEPT_PAUSE.0;
                let served = serve(shared.clone(), stream);
                connections.spawn(async move {
                    served.await;
                    drop(place);
                });
            }
            (_, Err(error)) => {
                tracing::warn!(%error, "embedded kinesis: accept failed");
                sleep(pause).await;
                pause = (pause * 2).min(ACCEPT_PAUSE.1);
            }
            (Err(_), _) => break,
        }
    }
    drop(listener);
    let _ = stopping.send(true);
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(STOP_GRACE, all).await.is_err() {
        connections.shutdown().await;
    }
}
