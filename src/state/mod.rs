//! What a run leaves for the next: one directory for each mirror root. And what triggers leave for jobs ([`jobs`]).
//!
//! | file | what |
//! | --- | --- |
//! | `lock` | held for the run; opened, never renamed |
//! | `journal` | there while a run changes the mirror; its presence at start means that the last run did not finish |
//! | `lists/<directory>/<name>` | the list as applied, byte for byte, with upstream's mtime |
//! | `<directory>.applied` | what was applied of it: settings, what is undelivered or held, how far the rolling check is |
//! | `<directory>.stamps` | its directories, and what stat said of each |
//! | `runs` | the last runs |
//! | `traced` | the times of the lists when the last trace was left |
//! | `untold.…` | something is new here that downstreams were not told of |
//! | `openings` | what an admin opened before upstream's lists give it to everybody |
//! | `checkin/` | what MirrorManager was told last, with a lock of its own |
//! | `work/` | what is on its way; emptied by each run |
//!
//! Every file but the lists, and those whose presence says all, is sealed: a line with its name and version, then its text, then a checksum; written in `work/`,
//! synced, renamed. What does not read back is treated as absent, with a warning: absence costs time, never
//! correctness.

pub mod applied;
pub mod changes;
pub mod checkin;
pub mod jobs;
pub mod journal;
pub mod map;
pub mod news;
pub mod openings;
pub mod runs;
pub mod sealed;
pub mod spans;
pub mod stamps;
pub mod time_file;
pub mod traced;

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha1::{Digest, Sha1};
use walkdir::WalkDir;

pub use applied::Applied;
pub use jobs::JobState;
pub use map::Map;
pub use stamps::Stamps;
pub use time_file::{LastTime, TimeFile};

use crate::path::escape;

/// What is on its way: lists from upstream, and files of the state before they take their place.
const WORK: &str = "work";

/// The state directory of one mirror root.
#[derive(Clone, Debug)]
pub struct State {
    dir: PathBuf,
}

/// Something about the state directory that failed.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another run holds the lock.
    #[error("another run is under way: it holds {}", path.display())]
    Locked {
        /// The lock.
        path: PathBuf,
    },
    /// quick-fedora-mirror holds its lock.
    #[error("quick-fedora-mirror, or another run, is under way: it holds {}", path.display())]
    TimeFileLocked {
        /// The time file.
        path: PathBuf,
    },
    /// The file system has no locks, and without one two runs could meet.
    #[error("cannot lock {}: its file system has no locks that work; let the setting `state` name a directory on another, or mend the locks (NFS: rpc.statd runs here and at the server)", path.display())]
    NoLocks {
        /// The lock.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is another user's, who could not use any more what is left here.
    #[error("the state {} belongs to {user}: run this as that user, for example with `sudo -u {user} qfm …`; nothing was done", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// Its owner, as sudo takes it.
        user: String,
    },
    /// A file or directory could not be read or written.
    #[error("{what} {}{}", path.display(), remedy(source))]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A user as sudo takes it: by name, or by number with a sign, which a shell must not take for a comment.
pub fn for_sudo(uid: u32) -> String {
    uzers::get_user_by_uid(uid).map_or_else(|| format!("'#{uid}'"), |user| user.name().to_string_lossy().into_owned())
}

/// Removes a file, if it is there; `what` says in an error what was tried.
fn remove(what: &'static str, path: &Path) -> Result<(), StateError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StateError::io(what, path)(error)),
        _ => Ok(()),
    }
}

/// What helps against an error that the next run would meet again.
fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::IsADirectory => "; a directory is in the place of a file of the state: remove that directory",
        io::ErrorKind::PermissionDenied => "; run qfm as the user who owns that",
        _ => "",
    }
}

impl StateError {
    /// A failure on `path`.
    pub fn io(what: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> StateError {
        move |source| StateError::Io { what, path: path.as_ref().to_owned(), source }
    }
}

/// The lock of a run, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl State {
    /// The state of the mirror at `root` (absolute, without links) below `base`. Nothing is made.
    pub fn at(base: &Path, root: &Path) -> State {
        State { dir: base.join(folder(root)) }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes the directory where it is not there.
    ///
    /// # Errors
    /// If it cannot be made, or is another user's.
    pub fn create(&self) -> Result<(), StateError> {
        make_directory(&self.dir).map_err(StateError::io("cannot make the state directory", &self.dir))?;
        // Who may do everything would leave files that the owner can neither write nor set the times of.
        let owner = fs::metadata(&self.dir).map_err(StateError::io("cannot look at", &self.dir))?.uid();
        if owner == rustix::process::geteuid().as_raw() {
            return Ok(());
        }
        Err(StateError::Foreign { path: self.dir.clone(), user: for_sudo(owner) })
    }

    /// Whether who asks may read the state, if there is any.
    ///
    /// # Errors
    /// If a file of it cannot be opened, or the directory cannot be read.
    pub fn check_readable(&self) -> Result<(), StateError> {
        let failed = |path: &Path, error| StateError::io("cannot read the saved state in", path)(error);
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(|error| failed(&self.dir, error))?,
        };
        for entry in entries {
            let entry = entry.map_err(|error| failed(&self.dir, error))?;
            let path = entry.path();
            if entry.file_type().map_err(|error| failed(&path, error))?.is_file() {
                match File::open(&path) {
                    // A run that is under way puts others in their places.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    opened => drop(opened.map_err(|error| failed(&path, error))?),
                }
            }
        }
        Ok(())
    }

    /// Takes the lock, without waiting.
    ///
    /// # Errors
    /// [`StateError::Locked`] if another run has it.
    pub fn lock(&self) -> Result<Lock, StateError> {
        let path = self.dir.join("lock");
        let failed = StateError::io("cannot open the lock", &path);
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StateError::Locked { path }),
            Err(TryLockError::Error(source)) => Err(StateError::NoLocks { path, source }),
        }
    }

    /// When the first run took the lock: its file is made then, and nothing is written to it. `None` if there was none.
    pub fn first_run(&self) -> Option<SystemTime> {
        fs::metadata(self.dir.join("lock")).and_then(|stat| stat.modified()).ok()
    }

    /// Whether a run is under way. Nothing is made or kept locked by asking.
    pub fn is_locked(&self) -> bool {
        let file = File::open(self.dir.join("lock"));
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Where the applied lists are: `<directory>/<name>`, as rsync finds them below the source.
    pub fn lists(&self) -> PathBuf {
        self.dir.join("lists")
    }

    /// Where one applied list is.
    pub fn list(&self, directory: &str, name: &str) -> PathBuf {
        self.lists().join(directory).join(name)
    }

    /// An empty scratch directory, on the same file system as the lists.
    ///
    /// # Errors
    /// If what an earlier run left cannot be removed, or the directory cannot be made.
    pub fn work(&self) -> Result<PathBuf, StateError> {
        let work = self.dir.join(WORK);
        self.clear_work()?;
        fs::create_dir_all(&work).map_err(StateError::io("cannot make", &work))?;
        Ok(work)
    }

    /// Removes the scratch directory.
    ///
    /// # Errors
    /// If something of it cannot be removed.
    pub fn clear_work(&self) -> Result<(), StateError> {
        let work = self.dir.join(WORK);
        let removed = match fs::remove_dir_all(&work) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                make_removable(&work);
                fs::remove_dir_all(&work)
            }
            removed => removed,
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StateError::io("cannot remove", &work)(error)),
            _ => Ok(()),
        }
    }
}

/// Gives the owner all rights on directories: what came from upstream has its modes. What cannot be changed is told of when it cannot be
/// removed.
fn make_removable(top: &Path) {
    let directories = WalkDir::new(top).into_iter().filter_map(Result::ok).filter(|entry| entry.file_type().is_dir());
    directories.for_each(|entry| fs::set_permissions(entry.path(), Permissions::from_mode(0o700)).unwrap_or_default());
}

/// A folder name for a mirror root: readable, and never the same for two.
fn folder(root: &Path) -> String {
    let bytes = root.as_os_str().as_bytes();
    let readable: String = escape(bytes).chars().map(|c| if c == '/' || c == '\\' { '-' } else { c }).collect();
    let readable: String = readable.trim_matches('-').chars().take(40).collect();
    let digest = Sha1::digest(bytes);
    let digest: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("{readable}-{digest}")
}

/// Makes a directory and those above it where they are not there, so that they stay.
fn make_directory(dir: &Path) -> io::Result<()> {
    let missing = dir.ancestors().take_while(|dir| !dir.exists()).count();
    fs::create_dir_all(dir)?;
    dir.ancestors().skip(1).take(missing).try_for_each(|above| File::open(above)?.sync_all())
}

/// Puts a list that was fetched in the place of the applied one.
///
/// # Errors
/// If it cannot be synced or moved; then the old one is still there.
pub fn replace_list(fetched: &Path, applied: &Path) -> Result<(), StateError> {
    let failed = |error| StateError::io("cannot save the list", applied)(error);
    let dir = applied.parent().unwrap_or(Path::new("/"));
    make_directory(dir).map_err(failed)?;
    File::open(fetched).and_then(|file| file.sync_all()).map_err(failed)?;
    fs::rename(fetched, applied).map_err(failed)?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_have_folders_of_their_own() {
        let a = folder(Path::new("/srv/mirror/pub"));
        assert!(a.starts_with("srv-mirror-pub-"), "{a}");
        assert_ne!(a, folder(Path::new("/srv/mirror-pub")));
    }

    #[test]
    fn a_second_run_does_not_get_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::at(dir.path(), Path::new("/srv"));
        state.create().unwrap();
        assert!(!state.is_locked());
        let lock = state.lock().unwrap();
        assert!(state.is_locked());
        assert!(matches!(state.lock(), Err(StateError::Locked { .. })));
        drop(lock);
        assert!(state.lock().is_ok());
    }
}
