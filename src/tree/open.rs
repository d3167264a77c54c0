//! Opening for others what was kept from them.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::stamp::is_absence;
use super::walk::{is_open, local_kind};
use super::{Root, Stamp, TreeError};
use crate::list::Kind;
use crate::path::RelPath;

/// What is to be known of an entry before it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whether others may read it; of a directory, enter it too.
    pub is_open: bool,
    /// Change time, nanoseconds since the epoch.
    pub ctime: i64,
}

/// Looks at entries of one directory: for each, by name and kind, what was seen, or `None` if nothing of that kind is here. No link is
/// followed, on the way or at the end.
///
/// # Errors
/// If the directory is there, and it or an entry cannot be looked at.
pub fn look(root: &Root, dir: RelPath<'_>, entries: &[(&[u8], Kind)]) -> Result<Vec<Option<Seen>>, TreeError> {
    let failed = |error| TreeError::new("cannot look at", root.path_of(dir), error);
    let fd = match root.open_dir(dir) {
        Ok(fd) => fd,
        Err(error) if is_absence(&error) => return Ok(vec![None; entries.len()]),
        Err(error) => return Err(failed(error)),
    };
    let seen = |&(name, kind): &(&[u8], Kind)| match rustix::fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(None),
        stat => Ok(seen(&stat?, kind)),
    };
    entries.iter().map(seen).collect::<io::Result<Vec<_>>>().map_err(failed)
}

/// Gives group and others the rights to read and to execute, or to enter, that the owner has, as `chmod a+rX` does. Whether they had not
/// all of them; what is not there, or not of that kind, stays as it is.
///
/// # Errors
/// If its mode cannot be looked at or changed.
pub fn open(root: &Root, path: RelPath<'_>, kind: Kind) -> Result<bool, TreeError> {
    match root.open_dir(path.parent()).and_then(|dir| open_at(&dir, path.name(), kind)) {
        Err(error) if is_absence(&error) => Ok(false),
        opened => opened.map_err(|error| TreeError::new("cannot open for others", root.path_of(path), error)),
    }
}

fn open_at(dir: &OwnedFd, name: &[u8], kind: Kind) -> io::Result<bool> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, OsStr::from_bytes(name), flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&fd)?;
    if seen(&stat, kind).is_none_or(|seen| seen.is_open) {
        return Ok(false);
    }
    rustix::fs::fchmod(&fd, opened(Mode::from_raw_mode(stat.st_mode)))?;
    Ok(true)
}

fn seen(stat: &Stat, kind: Kind) -> Option<Seen> {
    let local = local_kind(FileType::from_raw_mode(stat.st_mode));
    local.is(kind).then(|| Seen { is_open: is_open(stat, local), ctime: Stamp::of(stat).ctime })
}

fn opened(mode: Mode) -> Mode {
    let owner = mode.intersection(Mode::RUSR | Mode::XUSR).bits();
    mode.union(Mode::from_bits_truncate(owner >> 3 | owner >> 6))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    #[test]
    fn all_get_the_rights_to_read_and_execute_that_the_owner_has() {
        for (before, after) in [(0o600, 0o644), (0o640, 0o644), (0o750, 0o755), (0o550, 0o555), (0o740, 0o755)] {
            assert_eq!(opened(Mode::from_raw_mode(before)).bits(), after, "{before:o}");
        }
    }

    #[test]
    fn only_what_is_of_that_kind_is_opened_and_no_link_is_followed() {
        let (top, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root = Root::open(top.path()).unwrap();
        let mode = |path: &std::path::Path| fs::metadata(path).unwrap().mode() & 0o777;
        let make = |path: std::path::PathBuf| {
            fs::write(&path, "secret").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            path
        };
        let (ours, theirs) = (make(top.path().join("file")), make(outside.path().join("file")));
        symlink(&theirs, top.path().join("link")).unwrap();
        symlink(outside.path(), top.path().join("dir")).unwrap();
        let path = |text: &'static str| RelPath::new(text.as_bytes()).unwrap();
        for (name, kind) in [("file", Kind::Dir), ("link", Kind::File), ("dir/file", Kind::File), ("none", Kind::File)]
        {
            assert!(!open(&root, path(name), kind).unwrap(), "{name}");
            let seen = look(&root, path(name).parent(), &[(path(name).name(), kind)]).unwrap();
            assert_eq!(seen, [None], "{name}");
        }
        assert_eq!((mode(&ours), mode(&theirs)), (0o640, 0o640));
        assert!(open(&root, path("file"), Kind::File).unwrap() && !open(&root, path("file"), Kind::File).unwrap());
        assert_eq!((mode(&ours), mode(&theirs)), (0o644, 0o640));
    }
}
