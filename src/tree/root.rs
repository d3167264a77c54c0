//! A handle of a directory, and the way to everything below it that no symbolic link can bend.

use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, RawDirEntry, ResolveFlags, Stat};
use rustix::io::Errno;

use super::TreeError;
use super::stamp::is_absence;
use crate::list::Kind;
use crate::path::RelPath;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// How often a look-up is repeated that the kernel gave up because something was renamed meanwhile.
const RENAME_RACES: usize = 16;

/// Bytes of directory entries that are read at once.
const BUFFER: usize = 32 << 10;

/// A directory that was opened once; all below it is reached from there.
///
/// The directory itself may be reached through symbolic links: a link as the mirror root, or as a module's own directory, is
/// the admin's choice.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    fd: OwnedFd,
}

impl Root {
    /// Opens a directory.
    ///
    /// # Errors
    /// If it is not there, not a directory, or may not be read.
    pub fn open(path: &Path) -> Result<Root, TreeError> {
        let fd = rustix::fs::open(path, DIRECTORY.difference(OFlags::NOFOLLOW), Mode::empty())
            .map_err(|error| TreeError::new("cannot open", path, error))?;
        Ok(Root { path: path.to_owned(), fd })
    }

    /// Makes a directory that everybody may read, and opens it.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn make(path: &Path) -> Result<Root, TreeError> {
        let failed = |error| TreeError::new("cannot make", path, error);
        rustix::fs::mkdir(path, Mode::RWXU).map_err(failed)?;
        let root = Root::open(path)?;
        rustix::fs::fchmod(&root.fd, Mode::from_raw_mode(0o755)).map_err(failed)?;
        Ok(root)
    }

    /// Where it was opened: for messages, and for programs that take paths.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of an entry, for messages.
    pub fn path_of(&self, path: RelPath<'_>) -> PathBuf {
        self.path.join(OsStr::from_bytes(path.bytes()))
    }

    /// The handle.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Has the file system write down all that was changed in it; who came first pays for all.
    ///
    /// # Errors
    /// If something could not be written, now or since the directory was opened.
    pub fn sync(&self) -> Result<(), TreeError> {
        rustix::fs::syncfs(&self.fd).map_err(|error| TreeError::new("cannot write all of", &self.path, error))
    }

    /// Opens a directory below, through directories only.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory` or `FilesystemLoop` (a part is a symbolic link), or what else the system says.
    pub fn open_dir(&self, path: RelPath<'_>) -> io::Result<OwnedFd> {
        if path.is_top() {
            return Ok(rustix::fs::openat(&self.fd, ".", DIRECTORY, Mode::empty())?);
        }
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..RENAME_RACES {
            match rustix::fs::openat2(&self.fd, path.bytes(), DIRECTORY, Mode::empty(), resolve) {
                Err(Errno::AGAIN) => {}
                // Kernels before 5.6, and sandboxes that do not know the call.
                Err(Errno::NOSYS | Errno::PERM) => return self.open_dir_by_parts(path),
                opened => return Ok(opened?),
            }
        }
        self.open_dir_by_parts(path)
    }

    fn open_dir_by_parts(&self, path: RelPath<'_>) -> io::Result<OwnedFd> {
        let mut fd = rustix::fs::openat(&self.fd, ".", DIRECTORY, Mode::empty())?;
        for part in path.parts() {
            fd = rustix::fs::openat(&fd, part, DIRECTORY, Mode::empty())?;
        }
        Ok(fd)
    }

    /// What is at `path`, without following a link at its end.
    ///
    /// Looking is not touching: links on the way are followed here, and nobody decides anything by what lies behind one,
    /// because the link itself is seen first.
    ///
    /// # Errors
    /// What the system says.
    pub fn stat(&self, path: RelPath<'_>) -> io::Result<Stat> {
        let bytes = if path.is_top() { b"." } else { path.bytes() };
        Ok(rustix::fs::statat(&self.fd, bytes, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Whether something of this kind is at `path`. What cannot be looked at is not there.
    pub fn has_kind(&self, path: RelPath<'_>, kind: Kind) -> bool {
        let wanted = match kind {
            Kind::File => FileType::RegularFile,
            Kind::Dir => FileType::Directory,
            Kind::Link => FileType::Symlink,
            Kind::Unreadable => return false,
        };
        self.stat(path).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == wanted)
    }

    /// Whether a regular file of this size is at `path`. What cannot be looked at is not there.
    pub fn has_file(&self, path: RelPath<'_>, size: u64) -> bool {
        self.stat(path).is_ok_and(|stat| is_file(&stat, size))
    }

    /// The same, but what cannot be looked at may be there.
    pub fn may_have_file(&self, path: RelPath<'_>, size: u64) -> bool {
        self.stat(path).map_or_else(|error| !is_absence(&error), |stat| is_file(&stat, size))
    }
}

fn is_file(stat: &Stat, size: u64) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_size.unsigned_abs() == size
}

/// Goes through the entries of a directory, without itself and the one above, as long as `visit` says so.
pub(super) fn each_entry(fd: &OwnedFd, mut visit: impl FnMut(&RawDirEntry<'_>) -> io::Result<bool>) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER);
    let mut dir = RawDir::new(fd, buffer.spare_capacity_mut() as &mut [MaybeUninit<u8>]);
    while let Some(entry) = dir.next() {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") && !visit(&entry)? {
            break;
        }
    }
    Ok(())
}

/// A directory that can be written to for a while, also where upstream's mode, which it has, does not let its owner do so.
#[derive(Debug)]
pub(super) struct Writable<D: AsFd> {
    dir: D,
    /// The mode that it is given back.
    mode: Option<Mode>,
}

impl<D: AsFd> Writable<D> {
    /// Makes it so. Who may not do that may not write to it either, and hears so then.
    pub fn make(dir: D) -> Writable<D> {
        const OWNERS: Mode = Mode::WUSR.union(Mode::XUSR);
        let change = || {
            let mode = Mode::from_raw_mode(rustix::fs::fstat(&dir).ok()?.st_mode);
            let is_locked = !mode.contains(OWNERS) && !rustix::process::geteuid().is_root();
            (is_locked && rustix::fs::fchmod(&dir, mode | OWNERS).is_ok()).then_some(mode)
        };
        Writable { mode: change(), dir }
    }
}

impl<D: AsFd> AsFd for Writable<D> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

impl<D: AsFd> Drop for Writable<D> {
    fn drop(&mut self) {
        if let Some(mode) = self.mode {
            // A mode that could be changed can be changed back.
            let _back = rustix::fs::fchmod(&self.dir, mode);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn no_link_below_the_root_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("root/a/b")).unwrap();
        fs::create_dir_all(dir.path().join("outside/b")).unwrap();
        std::os::unix::fs::symlink("../outside", dir.path().join("root/link")).unwrap();
        let root = Root::open(&dir.path().join("root")).unwrap();
        let path = |bytes: &'static str| RelPath::new(bytes.as_bytes()).unwrap();
        for open in [Root::open_dir, Root::open_dir_by_parts] {
            assert!(open(&root, path("a/b")).is_ok());
            assert!(open(&root, path("link")).is_err());
            assert!(open(&root, path("link/b")).is_err());
            assert_eq!(open(&root, path("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
        }
        assert!(root.open_dir(RelPath::TOP).is_ok());
    }
}
