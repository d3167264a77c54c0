//! Putting a list into the tree: whole, at once, byte for byte what was processed.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps};

use super::root::Writable;
use super::{Root, TreeError, with_free_name};
use crate::plan::leftovers::STAGED;

/// A list that waits beside its place in the tree, whole and synced. It goes with this value if it is not published.
#[derive(Debug)]
pub struct Staged {
    root: Root,
    name: String,
    temporary: String,
    published: bool,
}

/// Puts a copy of `list` at the top of a module, beside the place of `name`, readable for all, with the list's mtime. `None` if the
/// list is there already: one of the same size and time, and of the same bytes where it is to be looked at `closely`.
///
/// # Errors
/// If it cannot be written; then nothing of it is left.
pub fn stage(root: Root, name: &str, list: &mut File, closely: bool) -> Result<Option<Staged>, TreeError> {
    let path = root.path().join(name);
    stage_at(root, name, list, closely).map_err(|error| TreeError::new("cannot install", path, error))
}

fn stage_at(root: Root, name: &str, list: &mut File, closely: bool) -> io::Result<Option<Staged>> {
    if is_there(&root, name, list, closely)? {
        return Ok(None);
    }
    list.rewind()?;
    let stat = rustix::fs::fstat(&*list)?;
    let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ };
    let (temporary, copy) = {
        let _writable = Writable::make(root.fd());
        create(&root, name)?
    };
    let staged = Staged { root, name: name.to_owned(), temporary, published: false };
    let mut copy = File::from(copy);
    io::copy(list, &mut copy)?;
    rustix::fs::fchmod(&copy, Mode::from_raw_mode(0o644))?;
    rustix::fs::futimens(&copy, &Timestamps { last_access: time, last_modification: time })?;
    copy.sync_all()?;
    Ok(Some(staged))
}

impl Staged {
    /// Renames it over the old one, so that a client sees the old list or the new one.
    ///
    /// # Errors
    /// If it cannot be renamed; then the old list is still there.
    pub fn publish(mut self) -> Result<(), TreeError> {
        let _writable = Writable::make(self.root.fd());
        let renamed = rustix::fs::renameat(self.root.fd(), &self.temporary, self.root.fd(), &self.name);
        self.published = renamed.is_ok();
        let synced = renamed.and_then(|()| rustix::fs::fsync(self.root.fd()));
        synced.map_err(|error| TreeError::new("cannot install", self.root.path().join(&self.name), error))
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.published {
            let _writable = Writable::make(self.root.fd());
            // What stays here goes with the next full comparison.
            let _left = rustix::fs::unlinkat(self.root.fd(), &self.temporary, AtFlags::empty());
        }
    }
}

/// A new file beside `name`, and its name.
fn create(root: &Root, name: &str) -> io::Result<(String, OwnedFd)> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let create = |temporary: &str| rustix::fs::openat(root.fd(), temporary, flags, Mode::RUSR | Mode::WUSR);
    with_free_name(STAGED, create).map_err(|error| io::Error::other(format!("{name}: {error}")))
}

/// Whether the list at the top of a module is this one, byte for byte.
///
/// # Errors
/// If it cannot be read.
pub fn is_installed(root: &Root, name: &str, list: &mut File) -> Result<bool, TreeError> {
    is_there(root, name, list, true).map_err(|error| TreeError::new("cannot read", root.path().join(name), error))
}

fn is_there(root: &Root, name: &str, list: &mut File, closely: bool) -> io::Result<bool> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut here = match rustix::fs::openat(root.fd(), name, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(_) => return Ok(false),
    };
    let (ours, theirs) = (here.metadata()?, list.metadata()?);
    if !ours.is_file() || ours.len() != theirs.len() || ours.modified()? != theirs.modified()? {
        return Ok(false);
    }
    list.rewind()?;
    Ok(!closely || same_content(&mut here, list)?)
}

/// Whether two files hold the same bytes from where they stand.
///
/// # Errors
/// If either cannot be read.
pub fn same_content(a: &mut impl Read, b: &mut impl Read) -> io::Result<bool> {
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let len = a.read(&mut left)?;
        if len == 0 {
            return Ok(b.read(&mut right[..1])? == 0);
        }
        match b.read_exact(&mut right[..len]) {
            Ok(()) if left[..len] == right[..len] => {}
            Ok(()) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}
