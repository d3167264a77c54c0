//! Closing what is not for others any more.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::delete::set_time;
use super::root::Writable;
use super::stamp::is_absence;
use super::walk::inode;
use super::{Root, TreeError};
use crate::path::RelPath;
use crate::plan::compare::Inode;

const OTHERS: Mode = Mode::RWXO;

/// So many bytes of a name are in that of a copy beside it: 255 at most, with two dots and six digits.
const NAME: usize = 247;

/// What others may read or enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// An entry with no other name.
    Alone,
    /// A file that has other names, too.
    Linked {
        /// Which file it is.
        inode: Inode,
        /// Bytes.
        size: u64,
    },
}

/// What others may do with an entry; `None` if nothing, or if it is not there. A link has no mode of its own.
///
/// # Errors
/// If it cannot be looked at.
pub fn open_for_others(root: &Root, path: RelPath<'_>) -> Result<Option<Open>, TreeError> {
    let stat = match root.stat(path) {
        Ok(stat) => stat,
        Err(error) if is_absence(&error) => return Ok(None),
        Err(error) => return Err(TreeError::new("cannot look at", root.path_of(path), error)),
    };
    let linked = || inode(&stat).map(|inode| Open::Linked { inode, size: stat.st_size.unsigned_abs() });
    Ok(is_open(&stat).then(|| linked().unwrap_or(Open::Alone)))
}

/// Takes every right from others on a file, whatever its names, or on a directory and by that on all below it. Whether they had any; on
/// what is not there, and on a link, they have none.
///
/// # Errors
/// If its mode cannot be looked at or changed.
pub fn close(root: &Root, path: RelPath<'_>) -> Result<bool, TreeError> {
    done(close_at(root, path), root, path)
}

/// The same for one name of a file: it becomes a file of its own, a copy that others have no right on. Its other names stay as they
/// are, and its directory keeps its mtime.
///
/// # Errors
/// If it cannot be copied; then it stays as it is.
pub fn close_apart(root: &Root, path: RelPath<'_>) -> Result<bool, TreeError> {
    done(close_apart_at(root, path), root, path)
}

fn done(closed: io::Result<bool>, root: &Root, path: RelPath<'_>) -> Result<bool, TreeError> {
    match closed {
        Err(error) if is_absence(&error) => Ok(false),
        closed => closed
            .map_err(|error| TreeError::new("cannot take from others the right to read", root.path_of(path), error)),
    }
}

fn is_open(stat: &Stat) -> bool {
    let has_mode = matches!(FileType::from_raw_mode(stat.st_mode), FileType::RegularFile | FileType::Directory);
    has_mode && Mode::from_raw_mode(stat.st_mode).intersects(OTHERS)
}

fn closed(stat: &Stat) -> Mode {
    Mode::from_raw_mode(stat.st_mode).difference(OTHERS)
}

/// An entry that others have rights on, with what stat says of it.
fn open(dir: &OwnedFd, name: &[u8]) -> io::Result<Option<(OwnedFd, Stat)>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = match rustix::fs::openat(dir, OsStr::from_bytes(name), flags, Mode::empty()) {
        Err(Errno::LOOP) => return Ok(None),
        opened => opened?,
    };
    let stat = rustix::fs::fstat(&fd)?;
    Ok(is_open(&stat).then_some((fd, stat)))
}

fn close_at(root: &Root, path: RelPath<'_>) -> io::Result<bool> {
    let dir = root.open_dir(path.parent())?;
    let Some((fd, stat)) = open(&dir, path.name())? else { return Ok(false) };
    rustix::fs::fchmod(&fd, closed(&stat))?;
    Ok(true)
}

fn close_apart_at(root: &Root, path: RelPath<'_>) -> io::Result<bool> {
    let dir = root.open_dir(path.parent())?;
    let Some((file, stat)) = open(&dir, path.name())? else { return Ok(false) };
    let had = rustix::fs::fstat(&dir)?;
    let _writable = Writable::make(dir.as_fd());
    let (name, copy) = create(&dir, path.name())?;
    let name = OsStr::from_bytes(&name);
    let put = fill(File::from(file), &stat, File::from(copy))
        .and_then(|()| Ok(rustix::fs::renameat(&dir, name, &dir, OsStr::from_bytes(path.name()))?));
    if put.is_err() {
        // What stays is closed, and goes with what the next run finds of this one.
        let _left = rustix::fs::unlinkat(&dir, name, AtFlags::empty());
    }
    put.and_then(|()| set_time(&dir, &had)).map(|()| true)
}

/// A new file for its owner alone, named as rsync names what is on its way to `name`.
fn create(dir: &OwnedFd, name: &[u8]) -> io::Result<(Vec<u8>, OwnedFd)> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for number in 0..=999_999 {
        let temporary = [b".", &name[..name.len().min(NAME)], format!(".{number:06}").as_bytes()].concat();
        match rustix::fs::openat(dir, OsStr::from_bytes(&temporary), flags, Mode::RUSR | Mode::WUSR) {
            Ok(fd) => return Ok((temporary, fd)),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Makes `copy` what `file` is, but for the rights of others.
fn fill(mut file: File, stat: &Stat, mut copy: File) -> io::Result<()> {
    io::copy(&mut file, &mut copy)?;
    let (owner, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    match rustix::fs::fchown(&copy, Some(owner), Some(group)) {
        // Who is not root owns what it makes, as where rsync makes it.
        Ok(()) | Err(Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    rustix::fs::fchmod(&copy, closed(stat))?;
    let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ };
    rustix::fs::futimens(&copy, &Timestamps { last_access: time, last_modification: time })?;
    copy.sync_all()
}
