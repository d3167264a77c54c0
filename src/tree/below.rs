//! An entry and all that lies below it, children before parents: to weigh it, or to remove it.
//!
//! What is there was put there by others, and may be nested deeper than any path is long: so the way is kept on the heap, with a handle
//! for each directory on it, and no path is ever looked up.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::root::each_entry;
use crate::plan::publish::Leave;

/// An entry is opened as a directory, and if it is none itself, not at all.
const ENTRY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// One entry on the way.
pub(super) struct Below<'b> {
    /// The directory that holds it.
    pub dir: BorrowedFd<'b>,
    /// Its path, from the name that the way began with.
    pub path: &'b [u8],
    /// Whether it is a directory. All that it held was visited.
    pub is_dir: bool,
}

impl Below<'_> {
    /// Its name.
    pub fn name(&self) -> &OsStr {
        OsStr::from_bytes(self.path.rsplit(|&byte| byte == b'/').next().unwrap_or_default())
    }
}

/// A directory that is not done.
struct Level<D> {
    held: D,
    /// The names in it that were not visited, the next one last.
    names: Vec<Box<[u8]>>,
}

/// Visits an entry of a directory and all below it, children before parents, and of what lies beside each other first what leads clients to
/// the rest. Each directory on the way is handed to `hold`, and what that makes of it dropped when it is done.
///
/// # Errors
/// If something cannot be read, if something is mounted below, and what `visit` says.
pub(super) fn each_below<D: AsFd>(
    dir: BorrowedFd<'_>,
    name: &[u8],
    hold: impl Fn(OwnedFd) -> D,
    mut visit: impl FnMut(&Below<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let enter = |dir: BorrowedFd<'_>, name: &[u8]| {
        let Some(fd) = open_entry_dir(dir, name)? else { return Ok::<_, io::Error>(None) };
        let mut names: Vec<Box<[u8]>> = Vec::new();
        each_entry(&fd, |entry| {
            names.push(entry.file_name().to_bytes().into());
            Ok(true)
        })?;
        names.sort_unstable_by(|a, b| (Leave::of(b), b).cmp(&(Leave::of(a), a)));
        Ok(Some(Level { held: hold(fd), names }))
    };
    let mut path = name.to_vec();
    let Some(first) = enter(dir, name)? else { return visit(&Below { dir, path: &path, is_dir: false }) };
    let mut levels = vec![first];
    while let Some(level) = levels.last_mut() {
        if let Some(name) = level.names.pop() {
            path.push(b'/');
            path.extend_from_slice(&name);
            if let Some(below) = enter(level.held.as_fd(), &name)? {
                levels.push(below);
                continue;
            }
            visit(&Below { dir: level.held.as_fd(), path: &path, is_dir: false })?;
        } else {
            levels.pop();
            let dir = levels.last().map_or(dir, |above| above.held.as_fd());
            visit(&Below { dir, path: &path, is_dir: true })?;
        }
        path.truncate(path.iter().rposition(|&byte| byte == b'/').unwrap_or_default());
    }
    Ok(())
}

/// Opens an entry if it is a directory itself, not a link to one; `None` for anything else, and for nothing.
///
/// A mount point is an error: what is mounted there is not ours to empty.
pub(super) fn open_entry_dir(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<Option<OwnedFd>> {
    let name = OsStr::from_bytes(name);
    judge_opened(match rustix::fs::openat2(dir, name, ENTRY, Mode::empty(), ResolveFlags::NO_XDEV) {
        // Kernels before 5.6, and sandboxes that do not know the call.
        Err(Errno::NOSYS | Errno::PERM) => open_on_device(dir, name),
        opened => opened,
    })
}

/// The same for kernels that do not tell of mounts: only what is mounted from another file system is known then.
fn open_on_device(dir: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let opened = rustix::fs::openat(dir, name, ENTRY, Mode::empty())?;
    let (above, here) = (rustix::fs::fstat(dir)?, rustix::fs::fstat(&opened)?);
    if above.st_dev == here.st_dev { Ok(opened) } else { Err(Errno::XDEV) }
}

fn judge_opened(opened: rustix::io::Result<OwnedFd>) -> io::Result<Option<OwnedFd>> {
    match opened {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::NOTDIR | Errno::LOOP | Errno::NOENT) => Ok(None),
        Err(Errno::XDEV) => Err(io::Error::other("something is mounted there")),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};

    fn by_device(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<Option<OwnedFd>> {
        judge_opened(open_on_device(dir, OsStr::from_bytes(name)))
    }

    #[test]
    fn only_directories_themselves_are_opened_and_no_mounts() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("outside/dir")).unwrap();
        fs::create_dir_all(dir.path().join("root/dir")).unwrap();
        fs::write(dir.path().join("root/file"), "").unwrap();
        std::os::unix::fs::symlink("../outside", dir.path().join("root/link")).unwrap();
        let root = OwnedFd::from(File::open(dir.path().join("root")).unwrap());
        let everything = OwnedFd::from(File::open("/").unwrap());
        for open in [open_entry_dir, by_device] {
            assert!(open(root.as_fd(), b"dir").unwrap().is_some());
            for name in [&b"file"[..], b"link", b"none"] {
                assert!(open(root.as_fd(), name).unwrap().is_none(), "{}", name.escape_ascii());
            }
            assert!(open(everything.as_fd(), b"proc").unwrap_err().to_string().contains("mounted"));
        }
    }

    #[test]
    fn children_come_before_parents_and_what_leads_to_others_first() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["top/repo/repodata/repomd.xml", "top/repo/repodata/primary.xml", "top/repo/a.rpm", "top/b"] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let fd = OwnedFd::from(File::open(dir.path()).unwrap());
        let mut seen = Vec::new();
        let visited = each_below(
            fd.as_fd(),
            b"top",
            |fd| fd,
            |below| {
                assert!(below.path.ends_with(below.name().as_bytes()));
                seen.push((String::from_utf8_lossy(below.path).into_owned(), below.is_dir));
                Ok(())
            },
        );
        visited.unwrap();
        let paths: Vec<&str> = seen.iter().map(|(path, _)| path.as_str()).collect();
        let repodata = ["top/repo/repodata/repomd.xml", "top/repo/repodata/primary.xml", "top/repo/repodata"];
        assert_eq!(paths, [&["top/b"][..], &repodata, &["top/repo/a.rpm", "top/repo", "top"]].concat());
        let dirs = seen.iter().filter(|(_, is_dir)| *is_dir).count();
        assert_eq!(dirs, 3);
    }
}
