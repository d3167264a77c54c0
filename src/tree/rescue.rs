//! What a run that was cut off left in directories of the list: temporary files of ours. What the list wants of them is used, the rest
//! goes; those of others are not touched.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, Mode, Stat};
use rustix::io::Errno;

use super::below::open_entry_dir;
use super::delete::{remove, set_time};
use super::root::Writable;
use super::root::each_entry;
use super::stamp::is_absence;
use super::walk::local_kind;
use super::{Root, Stamp, TreeError};
use crate::path::RelPath;
use crate::plan::leftovers::{PARTIAL, Temporary};

/// A file that is to be fetched, and that a temporary one may be, or may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Bytes upstream.
    pub size: u64,
    /// The list's time.
    pub time: i64,
    /// Clients may see it before anything else comes.
    pub at_once: bool,
    /// rsync goes on from a part of it.
    pub resumes: bool,
}

impl Wanted {
    /// Whether rsync had finished it: it sets the time last, after it compared the content.
    fn is(&self, stat: &Stat) -> bool {
        stat.st_size.unsigned_abs() == self.size && stat.st_mtime == self.time
    }
}

/// What the list says of the names of one directory.
pub struct Names<'n> {
    /// Whether it has a name: then what is here under it is not temporary.
    pub is_listed: &'n dyn Fn(&[u8]) -> bool,
    /// What is to be fetched under a name.
    pub wanted: &'n dyn Fn(&[u8]) -> Option<Wanted>,
}

/// Clears one directory of temporary entries of ours: those that changed since the moment `since` of the file system's clock. What is
/// wanted of them is put in its place, or where rsync finds it and goes on. The directory keeps its mtime.
///
/// # Errors
/// If it cannot be read, or something in it not be moved or removed.
pub fn clear(root: &Root, dir: RelPath<'_>, since: Option<i64>, names: &Names<'_>) -> Result<(), TreeError> {
    let cleared = root.open_dir(dir).and_then(|fd| clear_at(&fd, since, names));
    match cleared {
        Err(error) if !is_absence(&error) => Err(TreeError::new("cannot clear", root.path_of(dir), error)),
        _ => Ok(()),
    }
}

fn clear_at(dir: &OwnedFd, since: Option<i64>, names: &Names<'_>) -> io::Result<()> {
    let had = rustix::fs::fstat(dir)?;
    let _writable = Writable::make(dir.as_fd());
    let mut is_changed = false;
    for (name, stat) in entries(dir)? {
        let kind = local_kind(FileType::from_raw_mode(stat.st_mode));
        let temporary = Temporary::of(&name, kind).filter(|_| !(names.is_listed)(&name));
        let ours = temporary.filter(|temporary| temporary.may_be_ours(Stamp::of(&stat).ctime, since));
        is_changed |= ours.is_some();
        match ours {
            None => {}
            Some(Temporary::Partial) => clear_partial(dir, since, names)?,
            Some(Temporary::Copy(of)) => clear_copy(dir, &name, &stat, of, names)?,
            Some(Temporary::Staged | Temporary::Aside | Temporary::Nfs) => drop(remove(dir, &name)?),
        }
    }
    if is_changed { set_time(dir, &had) } else { Ok(()) }
}

/// A copy that rsync was about to rename to a name, or to that name with a dot before it.
fn clear_copy(dir: &OwnedFd, name: &[u8], stat: &Stat, of: &[u8], names: &Names<'_>) -> io::Result<()> {
    let hidden = [b".", of].concat();
    let wanted = [of, &hidden].into_iter().find_map(|of| Some((of, (names.wanted)(of)?)));
    match wanted.filter(|_| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile) {
        Some((of, wanted)) if wanted.at_once && wanted.is(stat) => put(dir, name, dir, of),
        Some((of, wanted)) if wanted.resumes => {
            make_partial(dir)?;
            match open_entry_dir(dir.as_fd(), PARTIAL.as_bytes())? {
                Some(partial) => put(dir, name, &partial, of),
                None => remove(dir, name).map(drop),
            }
        }
        _ => remove(dir, name).map(drop),
    }
}

fn clear_partial(dir: &OwnedFd, since: Option<i64>, names: &Names<'_>) -> io::Result<()> {
    let Some(partial) = open_entry_dir(dir.as_fd(), PARTIAL.as_bytes())? else { return Ok(()) };
    for (name, stat) in entries(&partial)? {
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if !is_file || since.is_none_or(|since| since > Stamp::of(&stat).ctime) {
            continue;
        }
        match (names.wanted)(&name) {
            Some(wanted) if wanted.at_once && wanted.is(&stat) => put(&partial, &name, dir, &name)?,
            Some(wanted) if wanted.resumes => {}
            _ => drop(remove(&partial, &name)?),
        }
    }
    match rustix::fs::unlinkat(dir, PARTIAL, AtFlags::REMOVEDIR) {
        // What others have in it stays, and so does what rsync goes on from.
        Ok(()) | Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn make_partial(dir: &OwnedFd) -> io::Result<()> {
    match rustix::fs::mkdirat(dir, PARTIAL, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Puts a file in the place of another; where something else is in its place, it goes.
fn put(from: &OwnedFd, name: &[u8], to: &OwnedFd, new: &[u8]) -> io::Result<()> {
    match rustix::fs::renameat(from, OsStr::from_bytes(name), to, OsStr::from_bytes(new)) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR) => remove(from, name).map(drop),
        Err(error) => Err(error.into()),
    }
}

/// The entries of a directory.
fn entries(dir: &OwnedFd) -> io::Result<Vec<(Vec<u8>, Stat)>> {
    let mut entries = Vec::new();
    each_entry(dir, |entry| {
        let name = entry.file_name().to_bytes();
        match rustix::fs::statat(dir, OsStr::from_bytes(name), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => entries.push((name.to_vec(), stat)),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    })?;
    Ok(entries)
}
