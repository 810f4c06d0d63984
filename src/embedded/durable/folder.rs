//! The folder with the stream in it: one file, and one process at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use super::backend::Trouble;
use super::disk::{Disk, DiskError, Found};
use super::keeper::Keeper;

/// The database.
const FILE: &str = "stream.redb";
/// Locked by the process that uses the folder.
const LOCK: &str = "lock";

/// Why a stream that is kept on disk cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be made, read or written.
    #[error("cannot use {}: {source}", path.display())]
    Folder {
        /// The folder, or the file in it.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// There is something else than a folder.
    #[error("cannot use {}: it is not a folder", path.display())]
    NotAFolder {
        /// What is there.
        path: PathBuf,
    },
    /// Another process uses it.
    #[error("{} is in use by another process: each needs a folder of its own", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The file is not as it was written.
    #[error(
        "{} is damaged ({problem}): put a backup in its place, or move it away to begin with an empty stream",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        problem: String,
    },
}

/// An open folder.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) disk: Disk,
    pub(crate) keeper: Keeper,
    pub(crate) found: Found,
    pub(crate) trouble: Trouble,
}

/// Opens a folder, which is made if it is missing.
pub(crate) fn open(folder: &Path) -> Result<Opened, OpenError> {
    let refused = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Folder { path, source }
    };
    if folder.exists() && !folder.is_dir() {
        return Err(OpenError::NotAFolder {
            path: folder.to_owned(),
        });
    }
    fs::create_dir_all(folder).map_err(refused(folder))?;
    let lock = lock(folder)?;
    let path = folder.join(FILE);
    match fs::metadata(&path) {
        // The database would take it for a new one.
        Ok(found) if found.len() == 0 => {
            let problem = "it is empty".to_owned();
            return Err(OpenError::Damaged { path, problem });
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(folder, &path)?,
        Err(error) => return Err(refused(&path)(error)),
    }
    let file = OpenOptions::new().read(true).write(true).open(&path);
    let file = file.map_err(refused(&path))?;
    let trouble = Trouble::new();
    let (mut disk, keeper, found) = open_file(file, &path, trouble.clone())?;
    disk.hold(lock);
    // Whatever is wrong from now on is ridden out.
    trouble.be_patient(true);
    Ok(Opened {
        disk,
        keeper,
        found,
        trouble,
    })
}

fn lock(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join(LOCK);
    let refused = |source| OpenError::Folder {
        path: path.clone(),
        source,
    };
    let file = OpenOptions::new().create(true).append(true).open(&path);
    let file = file.map_err(refused)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse {
            path: folder.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(refused(error)),
    }
}

/// Makes the file under another name first: there is none that is half made.
fn make(folder: &Path, path: &Path) -> Result<(), OpenError> {
    let new = path.with_extension("new");
    let refused = |source| OpenError::Folder {
        path: new.clone(),
        source,
    };
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(true);
    let file = options.open(&new).map_err(refused)?;
    let made = Disk::make(file, &new);
    made.map_err(|error| refused(io::Error::other(error)))?;
    let renamed = fs::rename(&new, path).and_then(|()| File::open(folder)?.sync_all());
    renamed.map_err(refused)
}

fn open_file(
    file: File,
    path: &Path,
    trouble: Trouble,
) -> Result<(Disk, Keeper, Found), OpenError> {
    let damaged = |problem: String| OpenError::Damaged {
        path: path.to_owned(),
        problem,
    };
    // On some kinds of damage the database panics: on a thread of its own, so that this is an answer too.
    let opened = thread::scope(|scope| {
        let opening = scope.spawn(|| Disk::open(file, path, trouble));
        opening.join()
    });
    match opened {
        Ok(Ok(opened)) => Ok(opened),
        Ok(Err(DiskError::Database(redb::Error::Io(source))))
            if source.kind() != io::ErrorKind::InvalidData
                && source.kind() != io::ErrorKind::UnexpectedEof =>
        {
            Err(OpenError::Folder {
                path: path.to_owned(),
                source,
            })
        }
        Ok(Err(error)) => Err(damaged(error.to_string())),
        Err(_) => Err(damaged("the database has panicked".to_owned())),
    }
}
