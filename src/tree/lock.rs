//! One run at a time in a module's directory, whatever configuration it was started with.
//!
//! What is locked is the open directory itself (`flock`): that leaves no file in a tree that is published, and the lock goes with
//! its holder, however that ends. A directory that is not there yet cannot be locked; who is to fill it locks the mirror root for
//! itself, and all others share that.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

use super::TreeError;

/// Locked directories, until this is dropped.
#[derive(Debug, Default)]
pub struct Locks {
    held: Vec<OwnedFd>,
    /// Directories whose file system cannot lock them (NFS locks what is open for writing, and no directory is).
    pub unlockable: Vec<PathBuf>,
}

/// Why directories could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run works there.
    #[error("another run is under way: it works in {}", .0.display())]
    Taken(PathBuf),
    /// The system refused.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// Locks the directories of some modules below the mirror root, without waiting.
///
/// # Errors
/// If another run has one of them, or is about to make one of them.
pub fn lock(root: &Path, directories: &[&str]) -> Result<Locks, LockError> {
    let mut locks = Locks::default();
    let mut all_there = true;
    let mut known = Vec::new();
    for path in directories.iter().map(|directory| root.join(directory)) {
        let Some(directory) = open(&path)? else {
            all_there = false;
            continue;
        };
        let stat = rustix::fs::fstat(&directory).map_err(|error| TreeError::new("cannot look at", &path, error))?;
        // Two modules may lead to one directory, through links: it is not locked against ourselves.
        if !known.contains(&(stat.st_dev, stat.st_ino)) {
            known.push((stat.st_dev, stat.st_ino));
            locks.take(directory, path, FlockOperation::NonBlockingLockExclusive)?;
        }
    }
    let shared =
        if all_there { FlockOperation::NonBlockingLockShared } else { FlockOperation::NonBlockingLockExclusive };
    if let Some(directory) = open(root)? {
        locks.take(directory, root.to_owned(), shared)?;
    }
    Ok(locks)
}

/// Whether a run is under way in one of these directories. Nothing is kept locked by asking.
pub fn is_locked(root: &Path, directories: &[&str]) -> bool {
    let taken = |directory: &&str| match open(&root.join(directory)) {
        Ok(Some(directory)) => flock(directory, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK),
        // What cannot be opened is no reason to warn; what it is a reason for is said by whoever needs it.
        Ok(None) | Err(_) => false,
    };
    directories.iter().any(taken)
}

impl Locks {
    fn take(&mut self, directory: OwnedFd, path: PathBuf, how: FlockOperation) -> Result<(), LockError> {
        match flock(&directory, how) {
            Ok(()) => self.held.push(directory),
            Err(Errno::WOULDBLOCK) => return Err(LockError::Taken(path)),
            // For whatever reason: a mirror that cannot be locked is mirrored all the same.
            Err(_) => self.unlockable.push(path),
        }
        Ok(())
    }
}

/// A directory, through links; `None` if none is there. What else is there is told of when the module is compared.
fn open(path: &Path) -> Result<Option<OwnedFd>, TreeError> {
    match rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(directory) => Ok(Some(directory)),
        Err(error) if is_no_directory(error.kind()) => Ok(None),
        Err(error) => Err(TreeError::new("cannot open", path, error)),
    }
}

fn is_no_directory(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn is_taken(locks: Result<Locks, LockError>) -> bool {
        matches!(locks, Err(LockError::Taken(_)))
    }

    #[test]
    fn a_directory_has_one_run_and_a_root_several() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        ["fedora", "epel"].iter().for_each(|name| fs::create_dir(root.join(name)).unwrap());
        let fedora = lock(root, &["fedora"]).unwrap();
        assert!(fedora.unlockable.is_empty() && is_locked(root, &["epel", "fedora"]) && !is_locked(root, &["epel"]));
        assert!(is_taken(lock(root, &["fedora"])) && is_taken(lock(root, &["epel", "fedora"])));
        let epel = lock(root, &["epel"]).unwrap();
        drop(fedora);
        assert!(lock(root, &["fedora"]).is_ok() && is_taken(lock(root, &["epel"])));
        drop(epel);
        // Another name of the same directory.
        std::os::unix::fs::symlink("fedora", root.join("also")).unwrap();
        let both = lock(root, &["fedora", "also"]).unwrap();
        assert!(is_taken(lock(root, &["also"])));
        drop(both);
    }

    #[test]
    fn who_is_to_make_a_directory_has_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir(root.join("fedora")).unwrap();
        let alt = lock(root, &["alt"]).unwrap();
        assert!(is_taken(lock(root, &["alt"])) && is_taken(lock(root, &["fedora"])));
        fs::create_dir(root.join("alt")).unwrap();
        assert!(is_taken(lock(root, &["alt"])), "it was made meanwhile");
        drop(alt);
        assert!(lock(root, &["alt", "fedora"]).is_ok());
    }
}
