//! Putting a list into the tree: whole, at once, byte for byte what was processed.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::{Root, TreeError};

/// Puts a copy of `list` at the top of a module as `name`, readable for all, with the list's mtime.
///
/// A temporary file is written, synced and renamed over the old one, so that a client sees the old list or the new one. A
/// list that is there already is left alone: one of the same size and time, and of the same bytes where it is to be looked at
/// `closely`. Returns whether anything was written.
///
/// # Errors
/// If it cannot be written; then the old list is still there.
pub fn install(root: &Root, name: &str, list: &mut File, closely: bool) -> Result<bool, TreeError> {
    let path = root.path().join(name);
    install_at(root, name, list, closely).map_err(|error| TreeError::new("cannot install", path, error))
}

fn install_at(root: &Root, name: &str, list: &mut File, closely: bool) -> io::Result<bool> {
    if is_there(root, name, list, closely)? {
        return Ok(false);
    }
    list.rewind()?;
    let stat = rustix::fs::fstat(&*list)?;
    let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ };
    let (temporary, copy) = create(root, name)?;
    let mut copy = File::from(copy);
    let written = io::copy(list, &mut copy)
        .and_then(|_| Ok(rustix::fs::fchmod(&copy, Mode::from_raw_mode(0o644))?))
        .and_then(|()| Ok(rustix::fs::futimens(&copy, &Timestamps { last_access: time, last_modification: time })?))
        .and_then(|()| copy.sync_all())
        .and_then(|()| Ok(rustix::fs::renameat(root.fd(), &temporary, root.fd(), name)?))
        .and_then(|()| Ok(rustix::fs::fsync(root.fd())?));
    if written.is_err() {
        match rustix::fs::unlinkat(root.fd(), &temporary, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    written.map(|()| true)
}

/// A new file beside `name`, and its name.
fn create(root: &Root, name: &str) -> io::Result<(String, OwnedFd)> {
    for number in 0.. {
        let temporary = format!(".qfm-list.{number}");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(root.fd(), &temporary, flags, Mode::RUSR | Mode::WUSR) {
            Ok(fd) => return Ok((temporary, fd)),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(io::Error::other(format!("{name}: {error}"))),
        }
    }
    unreachable!("the numbers do not end")
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
