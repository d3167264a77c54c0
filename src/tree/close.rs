//! Closing what is not for others any more.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::stamp::is_absence;
use super::{Root, TreeError};
use crate::path::RelPath;

const OTHERS: Mode = Mode::RWXO;

/// Takes every right from others on a file, or on a directory and by that on all below it. Whether they had any; on what is not
/// there, and on a link, which has no mode of its own, they have none.
///
/// # Errors
/// If its mode cannot be looked at or changed.
pub fn close(root: &Root, path: RelPath<'_>) -> Result<bool, TreeError> {
    match close_at(root, path) {
        Err(error) if is_absence(&error) => Ok(false),
        closed => closed
            .map_err(|error| TreeError::new("cannot take from others the right to read", root.path_of(path), error)),
    }
}

fn close_at(root: &Root, path: RelPath<'_>) -> io::Result<bool> {
    let dir = root.open_dir(path.parent())?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = match rustix::fs::openat(&dir, OsStr::from_bytes(path.name()), flags, Mode::empty()) {
        Err(Errno::LOOP) => return Ok(false),
        opened => opened?,
    };
    let stat = rustix::fs::fstat(&fd)?;
    let mode = Mode::from_raw_mode(stat.st_mode);
    let has_mode = matches!(FileType::from_raw_mode(stat.st_mode), FileType::RegularFile | FileType::Directory);
    if !has_mode || !mode.intersects(OTHERS) {
        return Ok(false);
    }
    rustix::fs::fchmod(&fd, mode.difference(OTHERS))?;
    Ok(true)
}
