//! One directory against its rows.
//!
//! All decisions come from here: the full check compares every directory, the quick one those that changed, and the check after
//! a transfer those that were written to. What differs is only which directories are looked at, and who vouches for a file
//! that has the right size.

use std::collections::HashSet;

use foldhash::fast::RandomState;

use super::filter::Filter;
use super::publish::Class;
use super::spans::{Ctimes, Touch};
use crate::list::listing::DirId;
use crate::list::{Carry, Kind, Listing, Mark, Row};
use crate::path::{RelPath, RelPathBuf};

/// What an entry of the local tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Link,
    /// A device, a socket or a pipe: nothing that a list names.
    Other,
}

impl LocalKind {
    /// The word for human eyes.
    pub const fn word(self) -> &'static str {
        match self {
            LocalKind::File => "file",
            LocalKind::Dir => "directory",
            LocalKind::Link => "link",
            LocalKind::Other => "special file",
        }
    }

    /// Whether a list would say `kind` of it.
    pub fn is(self, kind: Kind) -> bool {
        matches!(
            (self, kind),
            (LocalKind::File, Kind::File) | (LocalKind::Dir, Kind::Dir) | (LocalKind::Link, Kind::Link)
        )
    }
}

/// Which file of the machine a name is of: names with the same are hard links of one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Inode {
    /// The device of its file system.
    pub device: u64,
    /// Its number there.
    pub number: u64,
}

/// What stat said of one entry of a local directory.
#[derive(Clone, Copy, Debug)]
pub struct Local<'a> {
    /// Its name: any bytes but `/` and NUL, an LF among them.
    pub name: &'a [u8],
    /// What it is.
    pub kind: LocalKind,
    /// Bytes.
    pub size: u64,
    /// Modification time, seconds since the epoch.
    pub mtime: i64,
    /// Change time, nanoseconds since the epoch.
    pub ctime: i64,
    /// Whether others may read it; of a directory, enter it too. A link has no mode of its own.
    pub is_open: bool,
    /// Which file it is, if it is one with several names.
    pub inode: Option<Inode>,
}

/// Why an entry is to be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FetchCause {
    /// It is not here.
    Missing,
    /// Something else is here under its name.
    Kind,
    /// It has another size.
    Size,
    /// The admin wants it anew, whatever it looks like.
    Refresh,
    /// The list's time is newer than what can be vouched for: no saved list says that it was applied here.
    Newer,
    /// Its row differs from the one that was applied here.
    Changed,
    /// It was touched by others: written to after upstream's last change of it, or changed when no run of ours was at work.
    Altered,
    /// Its checksum differs.
    Checksum,
    /// It is one file here with a name that is another file by the list.
    Linked,
    /// Upstream could not deliver it last time.
    Undelivered,
    /// It waited for a directory that was held in the way.
    HeldBack,
    /// A directory whose time is put right: something is deleted from it, or the admin wants that of all of them.
    Surrounding,
}

impl FetchCause {
    /// All causes, in the order in which they are reported.
    pub const ALL: [FetchCause; 12] = [
        FetchCause::Missing,
        FetchCause::Kind,
        FetchCause::Size,
        FetchCause::Refresh,
        FetchCause::Newer,
        FetchCause::Changed,
        FetchCause::Altered,
        FetchCause::Checksum,
        FetchCause::Linked,
        FetchCause::Undelivered,
        FetchCause::HeldBack,
        FetchCause::Surrounding,
    ];

    /// The word in reports and in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            FetchCause::Missing => "missing",
            FetchCause::Kind => "kind",
            FetchCause::Size => "size",
            FetchCause::Refresh => "refresh",
            FetchCause::Newer => "newer",
            FetchCause::Changed => "changed",
            FetchCause::Altered => "altered",
            FetchCause::Checksum => "checksum",
            FetchCause::Linked => "linked",
            FetchCause::Undelivered => "undelivered",
            FetchCause::HeldBack => "held-back",
            FetchCause::Surrounding => "surrounding",
        }
    }
}

/// Who vouches for a file of the right size.
#[derive(Clone, Copy, Debug)]
pub enum Vouched<'a> {
    /// The saved list was applied.
    Applied {
        /// These paths have another row now.
        changed: &'a HashSet<RelPath<'a>, RandomState>,
        /// What was carried of the saved list, if that was not what is carried now: the rest was put here by other hands.
        carried: Option<&'a Filter>,
        /// What ctimes tell. `None` if that is not known.
        ctimes: Option<&'a Ctimes>,
        /// A run that did not finish changed it since: directories may have the time of that.
        unfinished: bool,
    },
    /// Another program that followed lists: its list is here, and it was in step then.
    Earlier {
        /// What upstream changed before this moment was here, seconds since the epoch.
        before: i64,
        /// These paths have another row now than in its list.
        changed: &'a HashSet<RelPath<'a>, RandomState>,
    },
    /// Nobody: only a file whose mtime is the list's time is surely the one meant.
    Nobody,
    /// The transfer that just ended: kind and size are looked at, and whether a file is not newer than the list has it.
    Transfer,
}

impl Vouched<'_> {
    fn doubts(self, row: &Row, path: RelPath<'_>, local: &Local<'_>) -> Option<FetchCause> {
        let is_newer = row.time != 0 && local.mtime > row.time;
        let is_newer_dir = is_newer && row.kind == Kind::Dir;
        let altered = || (is_newer && !is_newer_dir).then_some(FetchCause::Altered);
        match self {
            Vouched::Applied { changed, carried, ctimes, unfinished } => {
                let is_other =
                    changed.contains(&path) || carried.is_some_and(|then| then.carry(row, path) != Carry::Yes);
                // Another file may have been renamed to this name, or the mode changed: nothing but this time tells.
                let touched = || ctimes.is_some_and(|ctimes| ctimes.touch(local.ctime) != Touch::Known);
                if is_other {
                    Some(FetchCause::Changed)
                } else if unfinished && is_newer_dir {
                    Some(FetchCause::Surrounding)
                } else {
                    altered().or_else(|| touched().then_some(FetchCause::Altered))
                }
            }
            // It may have fetched newer indexes and pointers than its list has, and those often keep their size.
            Vouched::Earlier { before, changed }
                if row.time < before && !changed.contains(&path) && Class::of(path, row.kind) == Class::Content =>
            {
                if is_newer_dir {
                    Some(FetchCause::Surrounding)
                } else {
                    altered()
                }
            }
            Vouched::Earlier { .. } => Vouched::Nobody.doubts(row, path, local),
            Vouched::Nobody if row.time == 0 || local.mtime == row.time => None,
            Vouched::Nobody => altered().or(Some(FetchCause::Newer)),
            // It came from an upstream that has moved on; should that go back to this very list, nothing would look at it again.
            Vouched::Transfer => (is_newer && row.kind == Kind::File).then_some(FetchCause::Newer),
        }
    }

    /// Who touched a file of the right size. One that is newer than the list has it is another by its time.
    fn touch(self, row: &Row, local: &Local<'_>) -> Touch {
        match self {
            _ if row.time != 0 && local.mtime > row.time => Touch::Known,
            Vouched::Applied { ctimes: Some(ctimes), .. } => ctimes.touch(local.ctime),
            _ => Touch::Known,
        }
    }
}

/// An entry to be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch<'t> {
    /// Its path in the module.
    pub path: RelPath<'t>,
    /// What upstream has there.
    pub kind: Kind,
    /// Why.
    pub cause: FetchCause,
    /// Bytes upstream.
    pub size: u64,
    /// The list's time.
    pub time: i64,
    /// What others did to the content of what is here.
    pub doubt: Doubt,
}

/// By what rsync tells whether a file that is here is the one that it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// Size and time.
    Time,
    /// Its content: what is right stays, with all its names.
    Content,
    /// Nothing: it is made anew.
    Nothing,
}

/// What becomes of a file that others touched: its content may be another, whatever its size and time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Doubt {
    /// Others did not touch it.
    #[default]
    None,
    /// It is compared by content.
    Read,
    /// It is compared by size and time, and stays in doubt.
    Left,
}

impl<'t> Fetch<'t> {
    /// An entry of `listing`.
    pub fn new(listing: &Listing<'t>, row: &Row, cause: FetchCause) -> Fetch<'t> {
        let (path, doubt) = (listing.path(row), Doubt::None);
        Fetch { path, kind: row.kind, cause, size: row.size, time: row.time, doubt }
    }

    /// By what rsync tells whether what is here is the file: its quick check would pass over what is wrong behind the right size and time.
    pub fn by(&self) -> By {
        use FetchCause::{Checksum, Linked, Refresh};
        let is_dir_here = self.kind == Kind::Dir && !matches!(self.cause, FetchCause::Missing | FetchCause::Kind);
        match self.cause {
            _ if is_dir_here => By::Time,
            Checksum | Linked | Refresh => By::Nothing,
            _ if self.doubt == Doubt::Read => By::Content,
            _ => By::Time,
        }
    }

    /// The publication class in which it comes.
    pub fn class(&self) -> Class {
        if self.cause == FetchCause::Missing {
            Class::of_new(self.path, self.kind)
        } else {
            Class::of(self.path, self.kind)
        }
    }

    /// Whether what is here under its name, if anything, is not the file: then another name of it may be.
    pub fn is_not_here(&self) -> bool {
        use FetchCause::{Altered, Checksum, Kind, Linked, Missing, Refresh, Size};
        matches!(self.cause, Missing | Kind | Size | Refresh | Altered | Checksum | Linked)
    }
}

/// A local entry that the list does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extra {
    /// The directory that holds it; the list has that.
    pub dir: RelPathBuf,
    /// Its name, as the file system has it.
    pub name: Box<[u8]>,
    /// What it is. A directory was not opened.
    pub kind: LocalKind,
    /// Change time, nanoseconds since the epoch.
    pub ctime: i64,
    /// Whether it is a file with other names.
    pub is_linked: bool,
}

/// A file of the right size that others touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched<'t> {
    /// Its path in the module.
    pub path: RelPath<'t>,
    /// Bytes.
    pub size: u64,
    /// Change time, nanoseconds since the epoch.
    pub ctime: i64,
    /// Which file it is, if it is one with several names.
    pub inode: Option<Inode>,
    /// Whether rsync was asked about it by size and time already.
    pub asked: bool,
}

/// What the comparison found.
#[derive(Debug, Default)]
pub struct Found<'t> {
    /// What must come.
    pub fetch: Vec<Fetch<'t>>,
    /// What is here and not in the list.
    pub extra: Vec<Extra>,
    /// Directories where upstream has a file or a link: rsync cannot make way for those.
    pub in_the_way: Vec<RelPath<'t>>,
    /// How many local entries were seen.
    pub seen: u64,
    /// Directories that are not here, and whose rows were not read: what is missing below them is not known.
    pub unread: Vec<RelPath<'t>>,
    /// What the list gives to everybody, others cannot read here, and nothing else is wrong with.
    pub closed: Vec<RelPath<'t>>,
    /// What the list keeps from others, they can read here, and nothing else is wrong with.
    pub opened: Vec<RelPath<'t>>,
    /// Names of files with several, of which the row changed.
    pub linked: Vec<Linked<'t>>,
    /// What others touched, all of which is also to be fetched.
    pub touched: Vec<Touched<'t>>,
}

/// One of several names of a local file, and what the list says of the file that belongs there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linked<'t> {
    /// Its path in the module.
    pub path: RelPath<'t>,
    /// Which file it is here.
    pub inode: Inode,
    /// The list's time.
    pub time: i64,
    /// Who may read it upstream.
    pub mark: Mark,
    /// Whether others may read it here.
    pub is_open: bool,
}

impl Linked<'_> {
    /// Whether both may be one file upstream: names of one have the same time and mode.
    pub fn may_be(&self, other: &Linked<'_>) -> bool {
        (self.time, self.mark) == (other.time, other.mark)
    }
}

impl Found<'_> {
    /// Adds what another thread found.
    #[must_use]
    pub fn and(mut self, mut other: Self) -> Self {
        self.fetch.append(&mut other.fetch);
        self.extra.append(&mut other.extra);
        self.in_the_way.append(&mut other.in_the_way);
        self.seen += other.seen;
        self.unread.append(&mut other.unread);
        self.closed.append(&mut other.closed);
        self.opened.append(&mut other.opened);
        self.linked.append(&mut other.linked);
        self.touched.append(&mut other.touched);
        self
    }
}

/// Which entries of a directory are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look<'a> {
    /// All of them, and its local names.
    Whole,
    /// Those of these names only, sorted.
    Names(Vec<&'a [u8]>),
}

impl Look<'_> {
    /// Whether an entry of this name is looked at.
    pub fn at(&self, name: &[u8]) -> bool {
        match self {
            Look::Whole => true,
            Look::Names(names) => names.binary_search(&name).is_ok(),
        }
    }
}

/// Compares the local entries of one directory, sorted by name, with its rows.
///
/// `locals` are all those that `look` covers. Returns the subdirectories that are here as they should be. Everything below a
/// directory that is not here is missing; everything below one that the list does not have goes with it.
pub fn compare_directory<'t>(
    listing: &Listing<'t>,
    dir: DirId,
    look: &Look<'_>,
    locals: &[Local<'_>],
    vouched: Vouched<'_>,
    keep: impl Fn(RelPath<'_>) -> bool,
    found: &mut Found<'t>,
) -> Vec<DirId> {
    let mut subdirectories = Vec::new();
    let mut locals = locals.iter().peekable();
    let extra = |local: &Local<'_>, found: &mut Found<'t>| {
        found.seen += 1;
        let dir = listing.dir_path(dir);
        if !dir.join(local.name).is_ok_and(|path| keep(path.as_path())) {
            let (Local { kind, ctime, .. }, is_linked) = (*local, local.inode.is_some());
            found.extra.push(Extra { dir: dir.to_owned(), name: local.name.into(), kind, ctime, is_linked });
        }
    };
    let name_start = listing.name_start(dir);
    for row in listing.entries(dir) {
        let path = listing.path(row);
        let name = &path.bytes()[name_start..];
        while let Some(local) = locals.next_if(|local| local.name < name) {
            extra(local, found);
        }
        if !look.at(name) {
            continue;
        }
        match locals.next_if(|local| local.name == name) {
            None if row.kind == Kind::Unreadable => {}
            None => add_missing(listing, row, FetchCause::Missing, found),
            Some(_) if row.kind == Kind::Unreadable => found.seen += 1,
            Some(local) if !local.kind.is(row.kind) => {
                found.seen += 1;
                if local.kind == LocalKind::Dir {
                    found.in_the_way.push(path);
                }
                add_missing(listing, row, FetchCause::Kind, found);
            }
            Some(local) => {
                found.seen += 1;
                let wrong_size = row.kind != Kind::Dir && local.size != row.size;
                let cause = wrong_size.then_some(FetchCause::Size).or_else(|| vouched.doubts(row, path, local));
                if let (Some(FetchCause::Changed), Some(inode)) = (cause, local.inode) {
                    let (time, mark, is_open) = (row.time, row.mark, local.is_open);
                    found.linked.push(Linked { path, inode, time, mark, is_open });
                }
                let asked = match (cause, vouched.touch(row, local)) {
                    (Some(FetchCause::Altered | FetchCause::Changed), Touch::Others { asked }) => Some(asked),
                    (Some(FetchCause::Altered), Touch::Killed) => Some(false),
                    _ => None,
                };
                if let (Kind::File, Some(asked)) = (row.kind, asked) {
                    let (size, ctime, inode) = (row.size, local.ctime, local.inode);
                    found.touched.push(Touched { path, size, ctime, inode, asked });
                }
                match cause {
                    Some(cause) => found.fetch.push(Fetch::new(listing, row, cause)),
                    // Of a directory that has no row nothing is said.
                    None if !local.is_open && row.mark.is_public() && row.time != 0 => found.closed.push(path),
                    None if local.is_open && row.mark == Mark::Restricted && row.kind != Kind::Link => {
                        found.opened.push(path);
                    }
                    None => {}
                }
                if row.kind == Kind::Dir {
                    subdirectories.extend(listing.dir(path));
                }
            }
        }
    }
    locals.for_each(|local| extra(local, found));
    subdirectories
}

/// Adds a row, and all that lies below it.
fn add_missing<'t>(listing: &Listing<'t>, row: &Row, cause: FetchCause, found: &mut Found<'t>) {
    let mut open = Vec::new();
    let mut add = |row: &Row, cause, open: &mut Vec<DirId>| {
        found.fetch.push(Fetch::new(listing, row, cause));
        if row.kind == Kind::Dir {
            match listing.dir(listing.path(row)) {
                Some(dir) => open.push(dir),
                None => found.unread.push(listing.path(row)),
            }
        }
    };
    add(row, cause, &mut open);
    while let Some(dir) = open.pop() {
        for row in listing.entries(dir).iter().filter(|row| row.kind != Kind::Unreadable) {
            add(row, FetchCause::Missing, &mut open);
        }
    }
}
