//! The walk: directories are read in parallel, through handles, and each is compared with its rows at once. What is not a
//! difference is forgotten; the local tree never stands in memory.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rayon::prelude::*;
use rustix::fs::{AtFlags, FileType, Mode, Stat};

use super::below::{Below, each_below};
use super::root::each_entry;
use super::{Root, Stamp, TreeError};
use crate::interrupt::Interrupt;
use crate::list::listing::DirId;
use crate::list::{Kind, Listing};
use crate::path::RelPath;
use crate::plan::Weight;
use crate::plan::compare::{Found, Inode, Local, LocalKind, Look, Vouched, compare_directory};
use crate::plan::leftovers::{STAGED, Temporary};

/// What a walk looks at, and how it judges.
pub struct Walk<'w, 't, K> {
    /// The module's directory.
    pub root: &'w Root,
    /// What should be there.
    pub listing: &'w Listing<'t>,
    /// Who vouches for a file of the right size.
    pub vouched: Vouched<'w>,
    /// Local names that are never in the way and never deleted.
    pub keep: K,
    /// Whether subdirectories are entered.
    pub descend: bool,
    /// Ends the walk early; what was found by then is of no use.
    pub interrupt: &'w Interrupt,
}

/// What a walk saw.
#[derive(Debug, Default)]
pub struct Survey<'t> {
    /// The differences.
    pub found: Found<'t>,
    /// For each directory that was read as a whole, what stat said before it was read.
    pub stamps: Vec<(DirId, Stamp)>,
    /// What could not be read. Nothing may be deleted by such a survey.
    pub unreadable: Vec<TreeError>,
}

impl Survey<'_> {
    /// The stamps, taken out.
    pub fn take_stamps(&mut self) -> impl Iterator<Item = (DirId, Option<Stamp>)> + use<> {
        std::mem::take(&mut self.stamps).into_iter().map(|(dir, stamp)| (dir, Some(stamp)))
    }

    fn and(mut self, mut other: Self) -> Self {
        self.found = self.found.and(other.found);
        self.stamps.append(&mut other.stamps);
        self.unreadable.append(&mut other.unreadable);
        self
    }
}

impl<'t, K: Fn(RelPath<'_>) -> bool + Sync> Walk<'_, 't, K> {
    /// Walks from the given directories, which must not hold one another if subdirectories are entered. All of one depth come before
    /// those below them: so the stack does not grow with the tree, which upstream may nest as deep as a path is long.
    pub fn survey(&self, start: Vec<(DirId, Look<'t>)>) -> Survey<'t> {
        let (mut survey, mut below) = self.visit_all(start);
        while !below.is_empty() {
            let (deeper, next) = self.visit_all(below.into_iter().map(|dir| (dir, Look::Whole)).collect());
            survey = survey.and(deeper);
            below = next;
        }
        survey
    }

    /// Visits directories, and says which are to be visited next.
    fn visit_all(&self, dirs: Vec<(DirId, Look<'t>)>) -> (Survey<'t>, Vec<DirId>) {
        let visit = |(mut survey, mut below): (Survey<'t>, Vec<DirId>), (dir, look): (DirId, Look<'t>)| {
            below.append(&mut self.visit(dir, &look, &mut survey));
            (survey, below)
        };
        let both = |(survey, mut below): (Survey<'t>, Vec<DirId>), (other, mut more): (Survey<'t>, Vec<DirId>)| {
            below.append(&mut more);
            (survey.and(other), below)
        };
        dirs.into_par_iter().fold(Default::default, visit).reduce(Default::default, both)
    }

    /// Visits a directory. Returns those in it, if they are entered.
    fn visit(&self, dir: DirId, look: &Look<'t>, survey: &mut Survey<'t>) -> Vec<DirId> {
        if self.interrupt.raised().is_some() {
            return Vec::new();
        }
        let path = self.listing.dir_path(dir);
        match self.compare(dir, path, look, survey) {
            Ok(subdirectories) if self.descend => subdirectories,
            Ok(_) => Vec::new(),
            Err(error) => {
                survey.unreadable.push(TreeError::new("cannot read", self.root.path_of(path), error));
                Vec::new()
            }
        }
    }

    fn compare(
        &self,
        dir: DirId,
        path: RelPath<'_>,
        look: &Look<'t>,
        survey: &mut Survey<'t>,
    ) -> io::Result<Vec<DirId>> {
        let fd = self.root.open_dir(path)?;
        let names = match look {
            Look::Whole => {
                survey.stamps.push((dir, Stamp::of(&rustix::fs::fstat(&fd)?)));
                Names::read(&fd)?
            }
            Look::Names(names) => Names::look_up(&fd, names)?,
        };
        let found = &mut survey.found;
        Ok(compare_directory(self.listing, dir, look, &names.locals(), self.vouched, &self.keep, found))
    }
}

/// What was found out about directories that were changed by us.
#[derive(Debug, Default)]
pub struct Anew {
    /// Their stamps; `None` for those that do not hold the names of the list, of the kinds that it gives, and no others but temporary
    /// entries and what is kept.
    pub stamps: Vec<(DirId, Option<Stamp>)>,
    /// Those that hold temporary entries.
    pub littered: Vec<DirId>,
}

/// The stamps of directories, in which the names that `keep` knows make no difference. Nothing but names is looked at.
pub fn stamp_anew(
    root: &Root,
    listing: &Listing<'_>,
    dirs: impl IntoParallelIterator<Item = DirId>,
    keep: impl Fn(RelPath<'_>) -> bool + Sync,
) -> Anew {
    let stamp = |dir| -> io::Result<(Option<Stamp>, bool)> {
        let fd = root.open_dir(listing.dir_path(dir))?;
        let stamp = Stamp::of(&rustix::fs::fstat(&fd)?);
        let names = Names::kinds(&fd)?;
        let is_temporary = |entry: &Entry| Temporary::of(entry.name(&names.bytes), entry.kind).is_some();
        let kept = |entry: &Entry| {
            let path = listing.dir_path(dir).join(entry.name(&names.bytes));
            path.is_ok_and(|path| keep(path.as_path()))
        };
        let (mut has_all, mut has_others, mut is_littered) = (true, false, false);
        let mut other = |entry: &Entry| {
            let is_temporary = is_temporary(entry);
            is_littered |= is_temporary;
            has_others |= !is_temporary && !kept(entry);
        };
        let mut entries = names.entries.iter().peekable();
        for row in listing.entries(dir) {
            let name = listing.name(row);
            while let Some(entry) = entries.next_if(|entry| entry.name(&names.bytes) < name) {
                other(entry);
            }
            let here = entries.next_if(|entry| entry.name(&names.bytes) == name);
            has_all &= row.kind == Kind::Unreadable || here.is_some_and(|entry| entry.kind.is(row.kind));
        }
        entries.for_each(other);
        Ok(((has_all && !has_others).then_some(stamp), is_littered))
    };
    // What cannot be read has no stamp; who reads it again says why.
    let read = dirs.into_par_iter().map(|dir| (dir, stamp(dir).unwrap_or_default())).collect::<Vec<_>>();
    let littered = read.iter().filter(|(_, (_, is_littered))| *is_littered).map(|(dir, _)| *dir).collect();
    Anew { stamps: read.into_iter().map(|(dir, (stamp, _))| (dir, stamp)).collect(), littered }
}

/// The survey of a module that has no directory yet: all is missing.
pub fn nothing_here<'t>(listing: &Listing<'t>, keep: impl Fn(RelPath<'_>) -> bool) -> Survey<'t> {
    let mut survey = Survey::default();
    compare_directory(listing, 0, &Look::Whole, &[], Vouched::Nobody, keep, &mut survey.found);
    survey
}

/// Whether nothing is in a directory but what `keep` knows, what a new file system has, and what of ours waits to take its place.
///
/// # Errors
/// If it cannot be read.
pub fn is_empty(root: &Root, keep: impl Fn(RelPath<'_>) -> bool) -> io::Result<bool> {
    let counts = |name: &[u8]| {
        let kept = RelPath::new(name).is_ok_and(&keep);
        !kept && name != b"lost+found" && !name.starts_with(STAGED.as_bytes())
    };
    let mut is_empty = true;
    each_entry(&root.open_dir(RelPath::TOP)?, |entry| {
        is_empty &= !counts(entry.file_name().to_bytes());
        Ok(is_empty)
    })?;
    Ok(is_empty)
}

/// The names in a directory, one after the other, and what stat says of each.
#[derive(Default)]
struct Names {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

struct Entry {
    start: u32,
    len: u16,
    kind: LocalKind,
    size: u64,
    mtime: i64,
    ctime: i64,
    is_open: bool,
    inode: Option<Inode>,
}

impl Names {
    /// All entries of a directory, sorted by name.
    fn read(fd: &OwnedFd) -> io::Result<Names> {
        let mut names = Names::default();
        each_entry(fd, |entry| names.add(fd, entry.file_name().to_bytes()).map(|()| true))?;
        names.sort();
        Ok(names)
    }

    /// All entries of a directory, sorted by name: what they are, and no more.
    fn kinds(fd: &OwnedFd) -> io::Result<Names> {
        let mut names = Names::default();
        each_entry(fd, |entry| {
            let name = entry.file_name().to_bytes();
            match entry.file_type() {
                // Some file systems do not say.
                FileType::Unknown => names.add(fd, name)?,
                known => names.push(name, local_kind(known), None),
            }
            Ok(true)
        })?;
        names.sort();
        Ok(names)
    }

    /// Those of `wanted`, which are sorted, that are there.
    fn look_up(fd: &OwnedFd, wanted: &[&[u8]]) -> io::Result<Names> {
        let mut names = Names::default();
        wanted.iter().try_for_each(|name| names.add(fd, name))?;
        Ok(names)
    }

    /// Adds an entry, unless it went meanwhile.
    fn add(&mut self, dir: &OwnedFd, name: &[u8]) -> io::Result<()> {
        let stat = match rustix::fs::statat(dir.as_fd(), OsStr::from_bytes(name), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(rustix::io::Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let kind = local_kind(FileType::from_raw_mode(stat.st_mode));
        self.push(name, kind, Some(&stat));
        Ok(())
    }

    fn push(&mut self, name: &[u8], kind: LocalKind, stat: Option<&Stat>) {
        // One directory's names fill no 4 GiB, and Linux has no name of more than 255 bytes.
        let (start, len) = (self.bytes.len() as u32, name.len() as u16);
        let size = stat.map_or(0, |stat| stat.st_size.unsigned_abs());
        let (mtime, ctime) = stat.map_or((0, 0), |stat| (stat.st_mtime, Stamp::of(stat).ctime));
        let is_open = stat.is_none_or(|stat| is_open(stat, kind));
        self.entries.push(Entry { start, len, kind, size, mtime, ctime, is_open, inode: stat.and_then(inode) });
        self.bytes.extend_from_slice(name);
    }

    fn sort(&mut self) {
        let bytes = &self.bytes;
        self.entries.sort_unstable_by(|a, b| a.name(bytes).cmp(b.name(bytes)));
    }

    fn locals(&self) -> Vec<Local<'_>> {
        let local = |entry: &Entry| Local {
            name: entry.name(&self.bytes),
            kind: entry.kind,
            size: entry.size,
            mtime: entry.mtime,
            ctime: entry.ctime,
            is_open: entry.is_open,
            inode: entry.inode,
        };
        // An iterator over borrowed entries cannot be handed on and peeked at by name without being collected.
        self.entries.iter().map(local).collect()
    }
}

impl Entry {
    fn name<'n>(&self, bytes: &'n [u8]) -> &'n [u8] {
        &bytes[self.start as usize..][..usize::from(self.len)]
    }
}

/// Whether others may read an entry; of a directory, enter it too.
pub(super) fn is_open(stat: &Stat, kind: LocalKind) -> bool {
    let wanted = match kind {
        LocalKind::File => Mode::ROTH,
        LocalKind::Dir => Mode::ROTH | Mode::XOTH,
        LocalKind::Link | LocalKind::Other => Mode::empty(),
    };
    Mode::from_raw_mode(stat.st_mode).contains(wanted)
}

/// Which file an entry is, if it may have other names.
pub(super) fn inode(stat: &Stat) -> Option<Inode> {
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    (is_file && stat.st_nlink > 1).then_some(Inode { device: stat.st_dev, number: stat.st_ino })
}

pub(super) fn local_kind(file_type: FileType) -> LocalKind {
    match file_type {
        FileType::RegularFile => LocalKind::File,
        FileType::Directory => LocalKind::Dir,
        FileType::Symlink => LocalKind::Link,
        _ => LocalKind::Other,
    }
}

/// The ctime of a file that has other names.
fn linked_since(below: &Below<'_>) -> io::Result<Option<i64>> {
    match rustix::fs::statat(below.dir, below.name(), AtFlags::SYMLINK_NOFOLLOW) {
        // It went meanwhile.
        Err(rustix::io::Errno::NOENT) => Ok(None),
        stat => Ok(Some(stat?).filter(|stat| inode(stat).is_some()).map(|stat| Stamp::of(&stat).ctime)),
    }
}

/// What the deletion of a directory weighs: all that it holds, at any depth, itself included. `in_doubt` says of the ctime of a file that
/// has other names whether its content is in doubt.
///
/// # Errors
/// If something of it cannot be read.
pub fn weigh(root: &Root, dir: RelPath<'_>, name: &[u8], in_doubt: impl Fn(i64) -> bool) -> io::Result<Weight> {
    let mut weight = Weight::default();
    each_below(
        root.open_dir(dir)?.as_fd(),
        name,
        |fd| fd,
        |below| {
            weight.entries += 1;
            weight.dirs += u64::from(below.is_dir);
            weight.in_doubt |= !below.is_dir && linked_since(below)?.is_some_and(&in_doubt);
            Ok(())
        },
    )?;
    Ok(weight)
}

/// Everything that goes with a directory, as paths below `dir`, children before parents.
///
/// # Errors
/// If something of it cannot be read.
pub fn contents(root: &Root, dir: RelPath<'_>, name: &[u8]) -> io::Result<Vec<Vec<u8>>> {
    let mut paths = Vec::new();
    each_below(
        root.open_dir(dir)?.as_fd(),
        name,
        |fd| fd,
        |below| {
            paths.push(if dir.is_top() { below.path.to_vec() } else { [dir.bytes(), b"/", below.path].concat() });
            Ok(())
        },
    )?;
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::{Carry, Sections};

    /// As many directories one in the other as may be open at once where nobody raised that.
    const DEPTH: usize = 900;

    #[test]
    fn a_small_stack_is_enough_for_any_depth() {
        let dir = tempfile::tempdir().unwrap();
        let path = |depth: usize| "d/".repeat(depth).trim_end_matches('/').to_owned();
        std::fs::create_dir_all(dir.path().join(path(DEPTH))).unwrap();
        let rows: String = (1..=DEPTH).map(|depth| format!("1\td\t0\t{}\n", path(depth))).collect();
        let list = format!("[Version]\n2\n\n[Files]\n{rows}\n[End]\n").into_bytes();
        let sections = Sections::find(&list).unwrap();
        let listing = Listing::read(&list, &sections, |_, _| Carry::Yes).unwrap();
        let (root, interrupt) = (Root::open(dir.path()).unwrap(), Interrupt::default());
        let walk = Walk {
            root: &root,
            listing: &listing,
            vouched: Vouched::Transfer,
            keep: |_: RelPath<'_>| false,
            descend: true,
            interrupt: &interrupt,
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).stack_size(128 << 10).build().unwrap();
        pool.install(|| {
            let survey = walk.survey(vec![(0, Look::Whole)]);
            assert!(survey.unreadable.is_empty() && survey.found.fetch.is_empty());
            assert_eq!((survey.stamps.len(), survey.found.seen), (DEPTH + 1, DEPTH as u64));
            assert_eq!(
                weigh(&root, RelPath::TOP, b"d", |_| true).unwrap(),
                Weight { entries: 900, dirs: 900, in_doubt: false }
            );
        });
    }
}
