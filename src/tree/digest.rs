//! Checksums of files in the tree.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{Mode, OFlags};
use sha1::digest::{Digest, Output};

use super::Root;
use crate::path::RelPath;

/// Opens a regular file.
///
/// # Errors
/// If it is not there, is no regular file, or may not be read.
pub fn open(root: &Root, path: RelPath<'_>) -> io::Result<File> {
    let dir = root.open_dir(path.parent())?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(&dir, OsStr::from_bytes(path.name()), flags, Mode::empty())?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// The checksum of a file's content, from where it stands.
///
/// # Errors
/// If it cannot be read.
pub fn digest<D: Digest>(mut file: File) -> io::Result<Output<D>> {
    let (mut digest, mut buffer) = (D::new(), vec![0; 1 << 16]);
    loop {
        let len = file.read(&mut buffer)?;
        if len == 0 {
            return Ok(digest.finalize());
        }
        digest.update(&buffer[..len]);
    }
}
