//! Keeping the streams on disk.
//!
//! # What
//! A folder with one file, a redb database, that holds all that the store knows: streams, shards, consumers, and the
//! records, those that left memory too.
//!
//! # How
//! The store decides and notes what it has decided; [`writer`], a thread, takes all of it, writes it in one transaction,
//! and only when that has reached the disk lets it be seen and answered. What was decided meanwhile is the next commit:
//! many callers share a sync. [`reader`] brings back what is no longer in memory, for whom the store says that it is
//! needed. [`backend`] stands between database and file and keeps a full disk from both. [`keeper`] deletes what
//! retention has passed.
//!
//! # Limits
//! A commit takes 8 MiB of records and deletes 32 MiB; eight reads run at once. Puts are refused while more than
//! [`MOST_WAITING`] bytes wait to be written.
//!
//! # Invariants
//! - What was answered or seen has reached the disk, in the order of its sequence numbers.
//! - No sequence number is given twice, whatever happened in between: after a start they go on far above the last one.
//! - A file that cannot be read is told by its name, and nothing in it is deleted.

mod backend;
mod chunk;
mod disk;
mod folder;
mod keeper;
mod medium;
mod reader;
mod sealed;
mod writer;
#[cfg(test)]
mod tests;

pub(super) use self::backend::Trouble;
pub use self::folder::OpenError;
pub(super) use self::folder::{Opened, open};
pub(super) use self::reader::Reader;
pub(super) use self::writer::start;

/// Bytes of records that may wait to be written.
pub(super) const MOST_WAITING: usize = 64 << 20;
