//! Files of our own beside what upstream has: a trace, and the mark that a run is under way.
//!
//! They may lie in a directory of the list. That keeps its time, and no link on the way is followed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::root::Writable;
use super::{Root, TreeError, with_free_name};
use crate::path::RelPath;
use crate::plan::leftovers::STAGED;

/// No file of our own is larger, in bytes.
const LARGEST: u64 = 64 << 10;

/// Puts a file that everybody may read in the place of what was there, whole and at once. Directories on the way are made.
///
/// # Errors
/// If it cannot be written; then what was there still is.
pub fn put(root: &Root, path: RelPath<'_>, text: &[u8]) -> Result<(), TreeError> {
    make_way(root, path)
        .and_then(|()| in_its_directory(root, path, |dir| put_at(dir, path, text)))
        .map_err(|error| cannot("cannot write", root, path, error))
}

/// Reads a file of our own, or the beginning of another one; `None` if there is none.
///
/// # Errors
/// If it cannot be read.
pub fn get(root: &Root, path: RelPath<'_>) -> Result<Option<Vec<u8>>, TreeError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let read = || {
        let dir = root.open_dir(path.parent())?;
        let mut bytes = Vec::new();
        File::from(rustix::fs::openat(&dir, path.name(), flags, Mode::empty())?)
            .take(LARGEST)
            .read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    absent(read()).map_err(|error| cannot("cannot read", root, path, error))
}

/// Removes a file of our own, if it is there.
///
/// # Errors
/// If it cannot be removed.
pub fn remove(root: &Root, path: RelPath<'_>) -> Result<(), TreeError> {
    let remove = |dir: &OwnedFd| Ok(rustix::fs::unlinkat(dir, path.name(), AtFlags::empty())?);
    absent(in_its_directory(root, path, remove)).map(drop).map_err(|error| cannot("cannot remove", root, path, error))
}

fn absent<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        done => done.map(Some),
    }
}

fn cannot(what: &'static str, root: &Root, path: RelPath<'_>, error: io::Error) -> TreeError {
    TreeError::new(what, root.path_of(path), error)
}

/// Makes the directories that are to hold a file.
fn make_way(root: &Root, path: RelPath<'_>) -> io::Result<()> {
    let missing = path.ancestors().filter(|directory| root.stat(*directory).is_err());
    let missing: Vec<RelPath<'_>> = missing.collect();
    for directory in missing.into_iter().rev() {
        in_its_directory(root, directory, |parent| {
            match rustix::fs::mkdirat(parent, directory.name(), Mode::RWXU) {
                Err(Errno::EXIST) => return Ok(()),
                made => made?,
            }
            Ok(rustix::fs::fchmod(root.open_dir(directory)?, Mode::from_raw_mode(0o755))?)
        })?;
    }
    Ok(())
}

/// Does something in the directory that holds `path`, which keeps its time.
fn in_its_directory(root: &Root, path: RelPath<'_>, act: impl FnOnce(&OwnedFd) -> io::Result<()>) -> io::Result<()> {
    let dir = root.open_dir(path.parent())?;
    let stat = rustix::fs::fstat(&dir)?;
    {
        let _writable = Writable::make(dir.as_fd());
        act(&dir)?;
    }
    let modified = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ };
    let accessed = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
    rustix::fs::futimens(&dir, &Timestamps { last_access: accessed, last_modification: modified })?;
    Ok(rustix::fs::fsync(&dir)?)
}

fn put_at(dir: &OwnedFd, path: RelPath<'_>, text: &[u8]) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let create = |name: &str| rustix::fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR);
    let (beside, fd) = with_free_name(STAGED, create)?;
    let write = || {
        let mut file = File::from(fd);
        file.write_all(text)?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644))?;
        file.sync_all()?;
        Ok(rustix::fs::renameat(dir, &beside, dir, path.name())?)
    };
    write().inspect_err(|_: &io::Error| {
        // What stays here goes with the next full comparison, and the first error tells more.
        let _left = rustix::fs::unlinkat(dir, &beside, AtFlags::empty());
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    #[test]
    fn a_file_of_our_own_comes_whole_and_its_directory_keeps_its_time() {
        let top = tempfile::tempdir().unwrap();
        let root = Root::open(top.path()).unwrap();
        let path = RelPath::new(b"project/trace/host").unwrap();
        assert_eq!(get(&root, path).unwrap(), None);
        remove(&root, path).unwrap();
        put(&root, path, b"one").unwrap();
        let trace = top.path().join("project/trace");
        let before = fs::metadata(&trace).unwrap().mtime_nsec();
        put(&root, path, b"two").unwrap();
        assert_eq!(get(&root, path).unwrap().unwrap(), b"two");
        assert_eq!(fs::metadata(&trace).unwrap().mtime_nsec(), before);
        assert_eq!(fs::metadata(&trace).unwrap().mode() & 0o7777, 0o755);
        assert_eq!(fs::metadata(trace.join("host")).unwrap().mode() & 0o7777, 0o644);
        remove(&root, path).unwrap();
        assert_eq!(fs::read_dir(&trace).unwrap().count(), 0);
    }

    #[test]
    fn no_link_is_followed() {
        let top = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("host"), "theirs").unwrap();
        symlink(outside.path(), top.path().join("project")).unwrap();
        let root = Root::open(top.path()).unwrap();
        let path = RelPath::new(b"project/host").unwrap();
        assert!(put(&root, path, b"ours").is_err() && remove(&root, path).is_err());
        assert_eq!(fs::read_to_string(outside.path().join("host")).unwrap(), "theirs");
        // What is a link itself makes way.
        symlink(outside.path().join("host"), top.path().join("trace")).unwrap();
        put(&root, RelPath::new(b"trace").unwrap(), b"ours").unwrap();
        assert_eq!(fs::read_to_string(outside.path().join("host")).unwrap(), "theirs");
        assert_eq!(fs::read_to_string(top.path().join("trace")).unwrap(), "ours");
    }
}
