//! Inflates compressed frames, and each only once: all viewers get the same bytes, and the tool must not become what is measured.

use std::collections::HashMap;

use flate2::{Decompress, FlushDecompress};

use crate::stamp::{Stamp, stamps};

/// The largest text that a frame may hold: more than the server sends.
const MOST: usize = 1 << 20;
/// Frames remembered: far more than are on their way at a time.
const REMEMBERED: usize = 512;
/// What a sender leaves out at the end (RFC 7692, section 7.2.1).
pub(crate) const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// A thread's inflated frames. There is no context takeover, so a frame alone says all.
#[derive(Default)]
pub(crate) struct Inflater {
    known: HashMap<Box<[u8]>, Inflated>,
}

/// What a frame held.
#[derive(Clone, Default)]
pub(crate) struct Inflated {
    pub(crate) stamps: Vec<Stamp>,
    /// Bytes of its text.
    pub(crate) length: usize,
}

impl Inflater {
    /// What a frame's payload holds; `None` if it is not deflated as RFC 7692 says.
    pub(crate) fn inflated(&mut self, payload: &[u8]) -> Option<&Inflated> {
        if !self.known.contains_key(payload) {
            if self.known.len() >= REMEMBERED {
                self.known.clear();
            }
            let text = inflate(payload)?;
            let inflated = Inflated {
                stamps: stamps(&text).collect(),
                length: text.len(),
            };
            self.known.insert(payload.into(), inflated);
        }
        self.known.get(payload)
    }
}

fn inflate(payload: &[u8]) -> Option<Vec<u8>> {
    let mut decompress = Decompress::new(false);
    let mut text = Vec::with_capacity(payload.len() * 8 + 1024);
    let input = [payload, &TAIL].concat();
    loop {
        let taken = usize::try_from(decompress.total_in()).ok()?;
        let written = text.len();
        decompress
            .decompress_vec(input.get(taken..)?, &mut text, FlushDecompress::Sync)
            .ok()?;
        if decompress.total_in() == input.len() as u64 && text.len() < text.capacity() {
            return Some(text);
        }
        if text.len() > MOST || (text.len() == written && text.len() < text.capacity()) {
            return None;
        }
        text.reserve(text.capacity());
    }
}
