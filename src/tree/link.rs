//! Equal files become one: looking at them, reading them, and the hand that gives one of them the name of another.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{Advice, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::delete::set_time;
use super::root::Writable;
use super::stamp::is_absence;
use super::{Root, Stamp, TreeError, with_free_name};
use crate::interrupt::Interrupt;
use crate::path::RelPath;
use crate::plan::compare::Inode;
use crate::plan::leftovers::LINKED;
use crate::plan::relink::Facts;

/// So much is read at once.
const BUFFER: usize = 1 << 20;

/// What the content of a file is trusted to be known by.
pub type Hash = [u8; 32];

/// A name of a file, with what is known of that.
#[derive(Clone, Copy, Debug)]
pub struct Place<'p> {
    /// The module's directory.
    pub root: &'p Root,
    /// The path in it.
    pub path: RelPath<'p>,
    /// What was seen there.
    pub facts: Facts,
}

/// What is at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A regular file.
    File(Facts),
    /// Nothing.
    Absent,
    /// Something else, or something on another file system than the module's directory: that is not ours.
    Other,
}

/// Looks at a name.
///
/// # Errors
/// If it cannot be looked at.
pub fn look(root: &Root, path: RelPath<'_>) -> Result<Seen, TreeError> {
    let device = rustix::fs::fstat(root.fd()).map(|stat| stat.st_dev);
    let failed = |error: io::Error| TreeError::new("cannot look at", root.path_of(path), error);
    let device = device.map_err(|error| failed(error.into()))?;
    match root.stat(path) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile => Ok(Seen::Other),
        Ok(stat) if stat.st_dev != device => Ok(Seen::Other),
        Ok(stat) => Ok(Seen::File(facts(&stat))),
        Err(error) if is_absence(&error) => Ok(Seen::Absent),
        Err(error) => Err(failed(error)),
    }
}

fn facts(stat: &Stat) -> Facts {
    let stamp = Stamp::of(stat);
    Facts {
        file: Inode { device: stat.st_dev, number: stat.st_ino },
        // Their types differ between architectures.
        #[allow(clippy::unnecessary_cast, reason = "32 bits on some architectures")]
        links: stat.st_nlink as u64,
        owner: stat.st_uid,
        group: stat.st_gid,
        mode: stat.st_mode,
        size: stat.st_size.unsigned_abs(),
        mtime: stamp.mtime,
        ctime: stamp.ctime,
    }
}

/// Reads a file, and says what its content is known by. `None` if it is not what was seen, before or after, or if the program is asked
/// to end.
///
/// # Errors
/// If it cannot be read.
pub fn hash(place: &Place<'_>, interrupt: &Interrupt) -> Result<Option<Hash>, TreeError> {
    match hash_at(place, interrupt) {
        Err(error) if is_absence(&error) => Ok(None),
        hashed => hashed.map_err(|error| TreeError::new("cannot read", place.root.path_of(place.path), error)),
    }
}

fn hash_at(place: &Place<'_>, interrupt: &Interrupt) -> io::Result<Option<Hash>> {
    let dir = place.root.open_dir(place.path.parent())?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let name = OsStr::from_bytes(place.path.name());
    // That it was read need not be written down for millions of files; who does not own it cannot say so.
    let file = match rustix::fs::openat(&dir, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => rustix::fs::openat(&dir, name, flags, Mode::empty())?,
        opened => opened?,
    };
    let is_as_seen = |file: &File| io::Result::Ok(place.facts.is_untouched(&facts(&rustix::fs::fstat(file)?)));
    let mut file = File::from(file);
    if !is_as_seen(&file)? {
        return Ok(None);
    }
    // Advice that is not taken costs speed alone.
    let _not_taken = rustix::fs::fadvise(&file, 0, None, Advice::Sequential);
    let mut hash = Sha256::new();
    let size = usize::try_from(place.facts.size).unwrap_or(BUFFER);
    let mut buffer = vec![0; BUFFER.min(size + 1)];
    loop {
        if interrupt.raised().is_some() {
            return Ok(None);
        }
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => hash.update(&buffer[..len]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(is_as_seen(&file)?.then(|| hash.finalize().into()))
}

/// What came of giving a file the name of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relinked {
    /// Done.
    Done {
        /// What stat says of the file now.
        facts: Facts,
        /// The stamp of the name's directory before it.
        before: Stamp,
        /// And after it.
        after: Stamp,
    },
    /// It has the name already.
    Already,
    /// One of both is not what it was.
    Changed,
    /// The file cannot have more names.
    Full,
    /// Names of it cannot be made there.
    Elsewhere,
}

/// Gives the file at `survivor` the name of the one at `twin`, if both are still what was seen. The name is never missing, and its
/// directory keeps its mtime.
///
/// # Errors
/// If that cannot be done; then the name is what it was. Or if the time of the directory cannot be set.
pub fn relink(survivor: &Place<'_>, twin: &Place<'_>) -> Result<Relinked, TreeError> {
    match relink_at(survivor, twin) {
        Err(error) if is_absence(&error) => Ok(Relinked::Changed),
        relinked => relinked.map_err(|error| TreeError::new("cannot link", twin.root.path_of(twin.path), error)),
    }
}

fn relink_at(survivor: &Place<'_>, twin: &Place<'_>) -> io::Result<Relinked> {
    let from = survivor.root.open_dir(survivor.path.parent())?;
    let dir = twin.root.open_dir(twin.path.parent())?;
    let had = rustix::fs::fstat(&dir)?;
    let now = at(&dir, twin.path.name())?;
    if survivor.facts.is_file(&now) {
        return Ok(Relinked::Already);
    }
    if !twin.facts.is_untouched(&now) || !survivor.facts.is_untouched(&at(&from, survivor.path.name())?) {
        return Ok(Relinked::Changed);
    }
    let put = {
        let _writable = Writable::make(dir.as_fd());
        match link(&from, survivor.path.name(), &dir)? {
            Link::Made(temporary) => put(&dir, &temporary, survivor, twin),
            Link::Full => return Ok(Relinked::Full),
            Link::Elsewhere => return Ok(Relinked::Elsewhere),
        }
    };
    // The directory changed, whatever came of it.
    set_time(&dir, &had)?;
    Ok(match put? {
        Some(facts) => Relinked::Done { facts, before: Stamp::of(&had), after: Stamp::of(&rustix::fs::fstat(&dir)?) },
        None => Relinked::Changed,
    })
}

fn at(dir: &OwnedFd, name: &[u8]) -> io::Result<Facts> {
    Ok(facts(&rustix::fs::statat(dir, OsStr::from_bytes(name), AtFlags::SYMLINK_NOFOLLOW)?))
}

enum Link {
    Made(String),
    Full,
    Elsewhere,
}

/// A further name for a file, hidden.
fn link(from: &OwnedFd, name: &[u8], dir: &OwnedFd) -> io::Result<Link> {
    let link = |temporary: &str| rustix::fs::linkat(from, OsStr::from_bytes(name), dir, temporary, AtFlags::empty());
    match with_free_name(LINKED, link) {
        Ok((temporary, ())) => Ok(Link::Made(temporary)),
        Err(Errno::MLINK) => Ok(Link::Full),
        Err(Errno::XDEV) => Ok(Link::Elsewhere),
        Err(error) => Err(error.into()),
    }
}

/// Puts the hidden name in the place of the twin's, or removes it, if either is not what it should be. Nothing but what others do within
/// two calls is not seen.
fn put(dir: &OwnedFd, temporary: &str, survivor: &Place<'_>, twin: &Place<'_>) -> io::Result<Option<Facts>> {
    let name = OsStr::from_bytes(twin.path.name());
    let put = || -> io::Result<Option<Facts>> {
        let is_survivor = survivor.facts.is_unwritten(&at(dir, temporary.as_bytes())?);
        if !is_survivor || !twin.facts.is_untouched(&at(dir, twin.path.name())?) {
            return Ok(None);
        }
        rustix::fs::renameat(dir, temporary, dir, name)?;
        at(dir, twin.path.name()).map(Some)
    };
    let put = put();
    if !matches!(put, Ok(Some(_))) {
        match rustix::fs::unlinkat(dir, temporary, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    put
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    fn path(bytes: &str) -> RelPath<'_> {
        RelPath::new(bytes.as_bytes()).unwrap()
    }

    fn seen<'p>(root: &'p Root, name: &'p str) -> Place<'p> {
        let Seen::File(facts) = look(root, path(name)).unwrap() else { panic!("{name} is no file") };
        Place { root, path: path(name), facts }
    }

    /// Two directories with a file each, and a handle of the directory that holds them.
    fn two() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join("f"), "same").unwrap();
        }
        let root = Root::open(dir.path()).unwrap();
        (dir, root)
    }

    #[test]
    fn a_name_gets_the_other_file_and_its_directory_keeps_its_time() {
        let (dir, root) = two();
        let had = fs::metadata(dir.path().join("b")).unwrap();
        let (a, b) = (seen(&root, "a/f"), seen(&root, "b/f"));
        let Relinked::Done { facts, before, after } = relink(&a, &b).unwrap() else { panic!("not linked") };
        assert_eq!((facts.file.number, facts.links), (a.facts.file.number, 2));
        assert_eq!(fs::metadata(dir.path().join("b/f")).unwrap().ino(), a.facts.file.number);
        let has = fs::metadata(dir.path().join("b")).unwrap();
        assert_eq!((has.mtime(), has.mtime_nsec()), (had.mtime(), had.mtime_nsec()));
        assert_eq!((before.mtime, before.inode), (after.mtime, after.inode));
        assert_eq!(fs::read_dir(dir.path().join("b")).unwrap().count(), 1);
        assert_eq!(relink(&Place { facts, ..a }, &b).unwrap(), Relinked::Already);
    }

    #[test]
    fn what_is_not_what_it_was_is_left_alone() {
        let changes: [fn(&std::path::Path); 4] = [
            |file| fs::write(file, "else").unwrap(),
            |file| fs::remove_file(file).unwrap(),
            |file| {
                fs::remove_file(file).unwrap();
                fs::write(file, "same").unwrap();
            },
            |file| {
                fs::remove_file(file).unwrap();
                std::os::unix::fs::symlink("/etc/passwd", file).unwrap();
            },
        ];
        for change in changes {
            for changed in ["a/f", "b/f"] {
                let (dir, root) = two();
                let (a, b) = (seen(&root, "a/f"), seen(&root, "b/f"));
                change(&dir.path().join(changed));
                assert_eq!(relink(&a, &b).unwrap(), Relinked::Changed);
                assert!(fs::read_dir(dir.path().join("b")).unwrap().count() < 2, "something is left");
                let place = if changed == "a/f" { a } else { b };
                assert!(!matches!(hash(&place, &Interrupt::default()), Ok(Some(_))));
            }
        }
    }

    #[test]
    fn no_link_is_followed_to_a_file() {
        let (dir, root) = two();
        let (a, b) = (seen(&root, "a/f"), seen(&root, "b/f"));
        fs::rename(dir.path().join("b"), dir.path().join("c")).unwrap();
        std::os::unix::fs::symlink("c", dir.path().join("b")).unwrap();
        assert_eq!(relink(&a, &b).unwrap(), Relinked::Changed);
        assert_eq!(relink(&b, &a).unwrap(), Relinked::Changed);
        assert_eq!(hash(&b, &Interrupt::default()).unwrap(), None);
        assert_eq!(fs::metadata(dir.path().join("c/f")).unwrap().nlink(), 1);
        assert_eq!(look(&root, path("b")).unwrap(), Seen::Other);
        assert_eq!(look(&root, path("none")).unwrap(), Seen::Absent);
    }

    #[test]
    fn what_others_named_as_if_it_were_ours_stays() {
        let (dir, root) = two();
        fs::write(dir.path().join("b/.qfm-link.0"), "theirs").unwrap();
        assert!(matches!(relink(&seen(&root, "a/f"), &seen(&root, "b/f")).unwrap(), Relinked::Done { .. }));
        assert_eq!(fs::read(dir.path().join("b/.qfm-link.0")).unwrap(), b"theirs");
    }
}
