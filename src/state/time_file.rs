//! The time file of quick-fedora-mirror, which is that program's lock too.
//!
//! That program locks it as `zsystem flock` of zsh does: by a record lock (`fcntl`) on all of the file. Such a lock goes when its process
//! closes *any* descriptor of the file, so it is opened once, and all that is done to it is done through that.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;

use super::StateError;

/// Another process may put a new file in the place of the one that was opened: so often that is looked at again.
const OPENINGS: u32 = 3;

/// The time file, locked until this is dropped.
#[derive(Debug)]
pub struct TimeFile {
    file: File,
    path: PathBuf,
}

impl TimeFile {
    /// Locks the file at `path`, without waiting; it is made where it is not there.
    ///
    /// # Errors
    /// [`StateError::TimeFileLocked`] if another process has it.
    pub fn lock(path: &Path) -> Result<TimeFile, StateError> {
        let taken = || StateError::TimeFileLocked { path: path.to_owned() };
        for _ in 0..OPENINGS {
            let file = File::options().create(true).truncate(false).read(true).write(true).open(path);
            let file = file.map_err(StateError::io("cannot open the time file (setting time_file)", path))?;
            match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if is_at(&file, path) => return Ok(TimeFile { file, path: path.to_owned() }),
                // What is locked is a file that was there before.
                Ok(()) => {}
                Err(Errno::AGAIN | Errno::ACCESS) => return Err(taken()),
                Err(error) => {
                    return Err(StateError::io("cannot lock the time file (setting time_file)", path)(error.into()));
                }
            }
        }
        Err(taken())
    }

    /// Writes that the mirror is in step with upstream as it was at `time`, seconds since the epoch; what stood there is kept beside it, as
    /// `<name>.prev`. In place: a new file would not be the one that is locked. That program reads it by running it as shell.
    ///
    /// # Errors
    /// If either cannot be written.
    pub fn write(&self, time: i64) -> Result<(), StateError> {
        let mut previous = self.path.clone().into_os_string();
        previous.push(".prev");
        let keep = || {
            let mut text = vec![0; usize::try_from(self.file.metadata()?.len()).map_err(io::Error::other)?];
            self.file.read_exact_at(&mut text, 0)?;
            let mut beside = tempfile::NamedTempFile::new_in(self.path.parent().unwrap_or(Path::new("/")))?;
            beside.write_all(&text)?;
            beside.as_file().set_permissions(self.file.metadata()?.permissions())?;
            beside.as_file().sync_all()?;
            beside.persist(&previous).map_err(|error| error.error).map(drop)
        };
        keep().map_err(StateError::io("cannot keep what was in the time file as", &previous))?;
        let text = format!("LASTTIME={time}\n");
        let written = self.file.write_all_at(text.as_bytes(), 0).and_then(|()| self.file.set_len(text.len() as u64));
        written.and_then(|()| self.file.sync_all()).map_err(StateError::io("cannot write the time file", &self.path))
    }

    /// Whether another process has the lock. Nothing is made or kept locked by asking.
    pub fn is_locked(path: &Path) -> bool {
        let refused = |file: File| fcntl_lock(&file, FlockOperation::NonBlockingLockShared).err();
        // What cannot be opened is told of by a run that needs it.
        File::open(path).is_ok_and(|file| matches!(refused(file), Some(Errno::AGAIN | Errno::ACCESS)))
    }
}

/// Whether an open file is the one at `path`.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |stat: io::Result<fs::Metadata>| stat.map(|stat| (stat.dev(), stat.ino()));
    matches!((identity(file.metadata()), identity(fs::metadata(path))), (Ok(open), Ok(there)) if open == there)
}
