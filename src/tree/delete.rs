//! The deleting hands, and the moving aside of what rsync cannot make way for.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rayon::prelude::*;
use rustix::fs::{AtFlags, RenameFlags, Stat, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;

use super::below::each_below;
use super::root::Writable;
use super::{Root, TreeError, with_free_name};
use crate::interrupt::Interrupt;
use crate::path::{RelPath, RelPathBuf};
use crate::plan::Delete;
use crate::plan::guard::{Allowed, MayReplace};
use crate::plan::leftovers::ASIDE;
use crate::plan::publish::Leave;

/// What came of deletions.
#[derive(Debug, Default)]
pub struct Deleted {
    /// Entries that went.
    pub entries: u64,
    /// Their paths, in the order of the plan: those that were planned, not what lay below.
    pub paths: Vec<Vec<u8>>,
    /// What could not be deleted. It is still there.
    pub failed: Vec<TreeError>,
    /// Directories that did not get back the time that they had.
    pub untimed: Vec<TreeError>,
}

impl Deleted {
    fn and(mut self, mut other: Deleted) -> Deleted {
        self.entries += other.entries;
        self.paths.append(&mut other.paths);
        self.failed.append(&mut other.failed);
        self.untimed.append(&mut other.untimed);
        self
    }
}

/// Deletes what the guard allowed: what leads clients to other entries before those, children before parents, directories in parallel.
///
/// A directory keeps the mtime that it had: rsync gave it upstream's, and only the deletion that upstream made too would
/// change it.
pub fn delete(root: &Root, allowed: &Allowed<'_>, interrupt: &Interrupt) -> Deleted {
    let is_content = |delete: &&Delete| {
        let is_among = |part: &[u8]| Leave::of(part) != Leave::Content;
        Leave::of(&delete.name) == Leave::Content && !delete.dir.as_path().parts().any(is_among)
    };
    let (content, leading): (Vec<&Delete>, Vec<&Delete>) = allowed.deletes().iter().copied().partition(is_content);
    let led = delete_those(root, leading, interrupt);
    led.and(delete_those(root, content, interrupt))
}

fn delete_those(root: &Root, deletes: Vec<&Delete>, interrupt: &Interrupt) -> Deleted {
    let mut by_dir: BTreeMap<RelPath<'_>, Vec<&Delete>> = BTreeMap::new();
    for delete in deletes {
        by_dir.entry(delete.dir.as_path()).or_default().push(delete);
    }
    by_dir.values_mut().for_each(|deletes| deletes.sort_by_key(|delete| Leave::of(&delete.name)));
    let by_dir: Vec<_> = by_dir.into_iter().rev().collect();
    by_dir
        .into_par_iter()
        .map(
            |(dir, deletes)| {
                if interrupt.raised().is_some() { Deleted::default() } else { delete_in(root, dir, &deletes) }
            },
        )
        .reduce(Deleted::default, Deleted::and)
}

fn delete_in(root: &Root, dir: RelPath<'_>, deletes: &[&Delete]) -> Deleted {
    let mut deleted = Deleted::default();
    let opened = root.open_dir(dir).and_then(|fd| Ok((rustix::fs::fstat(&fd)?, fd)));
    let (stat, fd) = match opened {
        Ok(opened) => opened,
        Err(error) if super::stamp::is_absence(&error) => return deleted,
        Err(error) => {
            deleted.failed.push(TreeError::new("cannot open", root.path_of(dir), error));
            return deleted;
        }
    };
    let _writable = Writable::make(fd.as_fd());
    for delete in deletes {
        match remove(&fd, &delete.name) {
            Ok(0) => {}
            Ok(entries) => {
                deleted.entries += entries;
                deleted.paths.push(delete.path());
            }
            Err(error) => {
                let path: PathBuf = root.path().join(OsStr::from_bytes(&delete.path()));
                deleted.failed.push(TreeError::new("cannot remove", path, error));
            }
        }
    }
    if deleted.entries > 0
        && let Err(error) = set_time(&fd, &stat)
    {
        deleted.untimed.push(TreeError::new("cannot set the time of", root.path_of(dir), error));
    }
    deleted
}

/// Gives a directory the mtime that it had.
pub(super) fn set_time(fd: &OwnedFd, had: &Stat) -> io::Result<()> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: had.st_mtime, tv_nsec: had.st_mtime_nsec as _ },
    };
    Ok(rustix::fs::futimens(fd, &times)?)
}

/// Removes an entry and all below it; says how many entries went. What is not there is no error.
pub(super) fn remove(dir: &OwnedFd, name: &[u8]) -> io::Result<u64> {
    let mut entries = 0;
    each_below(dir.as_fd(), name, Writable::make, |below| {
        let flags = if below.is_dir { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        match rustix::fs::unlinkat(below.dir, below.name(), flags) {
            Ok(()) => entries += 1,
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    })?;
    Ok(entries)
}

/// A directory that was moved aside.
#[derive(Debug)]
pub struct Aside {
    /// Where it was.
    pub path: RelPathBuf,
    /// Its name now, in the directory that held it.
    pub name: Box<[u8]>,
}

/// Moves a directory to a hidden name beside its own, so that rsync can put something else there.
///
/// # Errors
/// If it cannot be renamed.
pub fn move_aside(root: &Root, path: RelPath<'_>, _leave: &MayReplace) -> Result<Aside, TreeError> {
    let failed = |error: io::Error| TreeError::new("cannot move aside", root.path_of(path), error);
    let dir = root.open_dir(path.parent()).map_err(failed)?;
    let _writable = Writable::make(dir.as_fd());
    let moved = with_free_name(ASIDE, |name| {
        rustix::fs::renameat_with(&dir, OsStr::from_bytes(path.name()), &dir, name, RenameFlags::NOREPLACE)
    });
    let (name, ()) = moved.map_err(|error| failed(error.into()))?;
    Ok(Aside { path: path.to_owned(), name: name.into_bytes().into() })
}

/// Moves a directory back. What took its place meanwhile, which is not what should have, makes way again.
///
/// # Errors
/// If it cannot be renamed, or what took its place not be removed.
pub fn move_back(root: &Root, aside: &Aside) -> Result<(), TreeError> {
    let (from, to) = (OsStr::from_bytes(&aside.name), OsStr::from_bytes(aside.path.as_path().name()));
    in_its_directory(root, aside, "cannot move back", |dir| {
        match rustix::fs::renameat_with(dir, from, dir, to, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {
                rustix::fs::renameat_with(dir, from, dir, to, RenameFlags::EXCHANGE)?;
                remove(dir, &aside.name).map(drop)
            }
            renamed => Ok(renamed?),
        }
    })
}

/// Deletes what was moved aside, now that something else is in its place.
///
/// # Errors
/// If something of it cannot be removed.
pub fn delete_aside(root: &Root, aside: &Aside, _leave: &MayReplace) -> Result<u64, TreeError> {
    in_its_directory(root, aside, "cannot remove", |dir| remove(dir, &aside.name))
}

/// Does something in the directory that holds what was moved aside, which keeps the mtime that rsync gave it.
fn in_its_directory<T>(
    root: &Root,
    aside: &Aside,
    what: &'static str,
    act: impl FnOnce(&OwnedFd) -> io::Result<T>,
) -> Result<T, TreeError> {
    let path = aside.path.as_path();
    let acted = root.open_dir(path.parent()).and_then(|dir| {
        let stat = rustix::fs::fstat(&dir)?;
        let _writable = Writable::make(dir.as_fd());
        let acted = act(&dir)?;
        set_time(&dir, &stat).map(|()| acted)
    });
    acted.map_err(|error| TreeError::new(what, root.path_of(path), error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    use rustix::fs::{Mode, OFlags};

    /// As many directories one in the other as may be open at once where nobody raised that.
    const DEPTH: u64 = 900;

    #[test]
    fn what_a_link_leads_to_stays_and_no_depth_is_too_much() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("outside/dir")).unwrap();
        fs::create_dir_all(dir.path().join("root/deep")).unwrap();
        std::os::unix::fs::symlink("../outside", dir.path().join("root/link")).unwrap();
        let root = OwnedFd::from(File::open(dir.path().join("root")).unwrap());
        // Deeper than a path can name.
        let mut deep = OwnedFd::from(File::open(dir.path().join("root/deep")).unwrap());
        for _ in 0..DEPTH {
            rustix::fs::mkdirat(&deep, "d", Mode::RWXU).unwrap();
            deep = rustix::fs::openat(&deep, "d", OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
        drop(deep);
        assert_eq!(remove(&root, b"link").unwrap(), 1);
        assert_eq!(remove(&root, b"deep").unwrap(), DEPTH + 1);
        assert_eq!(remove(&root, b"none").unwrap(), 0);
        assert!(dir.path().join("outside/dir").exists());
    }
}
