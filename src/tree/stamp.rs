//! What stat says of a directory: the same stamp, the same names in it.

use std::os::fd::AsFd;

use rustix::fs::{FileType, Mode, OFlags, Stat};

use super::Root;
use crate::path::RelPath;

/// A directory's times and identity. Any change of its entries changes it; a file overwritten in place does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Modification time, nanoseconds since the epoch.
    pub mtime: i64,
    /// Change time, nanoseconds since the epoch.
    pub ctime: i64,
    /// Inode.
    pub inode: u64,
}

impl Stamp {
    /// The stamp of a directory that was looked at.
    pub fn of(stat: &Stat) -> Stamp {
        let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Stamp {
            mtime: nanoseconds(stat.st_mtime, stat.st_mtime_nsec as i64),
            ctime: nanoseconds(stat.st_ctime, stat.st_ctime_nsec as i64),
            inode: stat.st_ino,
        }
    }

    /// Whether a change right after the stamp was taken could leave the same stamp, because the clock of the file system had
    /// not moved on. `clock` is a time of that clock, read before the stamp was taken ([`clock`]). Git's index has the same
    /// problem, and the same answer: such a stamp is not kept.
    pub fn is_racy(&self, clock: i64) -> bool {
        self.ctime >= clock || self.mtime >= clock
    }
}

/// How a directory stands to its saved stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The same.
    Same,
    /// It changed, or there was no stamp.
    Different,
    /// There is no directory of that name.
    Absent,
    /// It could not be looked at.
    Unknown,
}

impl Standing {
    /// Looks at one directory.
    pub fn of(root: &Root, dir: RelPath<'_>, saved: Option<Stamp>) -> Standing {
        match root.stat(dir) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::Directory => Standing::Absent,
            Ok(stat) if saved == Some(Stamp::of(&stat)) => Standing::Same,
            Ok(_) => Standing::Different,
            Err(error) if is_absence(&error) => Standing::Absent,
            Err(_) => Standing::Unknown,
        }
    }
}

/// Whether an error says that there is no such directory.
pub fn is_absence(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
        || error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

/// What the clock of the file system says, nanoseconds since the epoch.
///
/// A file without a name is made and stamped by the file system itself, and leaves no trace. `None` where that cannot be done:
/// then no stamp can be trusted, which costs time and nothing else.
pub fn clock(root: &Root) -> Option<i64> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(root.fd(), ".", flags, Mode::RUSR | Mode::WUSR).ok()?;
    rustix::fs::fstat(file.as_fd()).ok().map(|stat| Stamp::of(&stat).ctime)
}
