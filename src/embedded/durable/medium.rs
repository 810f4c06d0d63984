//! What bytes are kept on: a file, or in tests something that forgets.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Bytes that last once they are synced.
pub(crate) trait Medium: Debug + Send + Sync + 'static {
    /// How many there are.
    fn len(&self) -> io::Result<u64>;
    /// Cuts off, or adds zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Fills all of `out`.
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
    /// Writes all of `data`, not beyond the end.
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()>;
    /// Returns when all that was written lasts.
    fn sync(&self) -> io::Result<()>;
}

impl Medium for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(out, offset)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.write_all_at(data, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
