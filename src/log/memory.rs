//! How much memory the log holds, counted where it is held.
//!
//! A [`Charge`] lives inside what it counts and takes its bytes back when that is dropped. So the
//! account is right whoever keeps something alive: the log itself, or a viewer that lags.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes held by all rooms together.
#[derive(Clone, Debug, Default)]
pub struct Account(Arc<AtomicUsize>);

impl Account {
    /// The bytes held now.
    pub fn bytes(&self) -> usize {
        // A figure to decide by; nothing is published through it.
        self.0.load(Ordering::Relaxed)
    }

    /// Counts `bytes` until the charge is dropped.
    pub fn charge(&self, bytes: usize) -> Charge {
        let charge = Charge {
            account: self.clone(),
            bytes: AtomicUsize::new(0),
        };
        charge.add(bytes);
        charge
    }
}

/// Bytes on an account.
#[derive(Debug)]
pub struct Charge {
    account: Account,
    bytes: AtomicUsize,
}

impl Charge {
    /// Counts further bytes.
    pub fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.account.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What it counts.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account
            .0
            .fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}
