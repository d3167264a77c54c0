//! What to do, worked out from lists and from what was seen, as values. Nothing here touches a disk, a network or a clock.
//!
//! [`filter`] says what a mirror carries, [`changes`] what differs between two lists, [`compare`] what differs between a list and
//! a directory, [`twins`] which names may be one file, [`publish`] in which order clients may see it, [`repository`]
//! what belongs together, [`leftovers`] what is temporary, and [`guard`] what may be deleted. The [`Plan`] holds the outcome, and has two
//! readers: the dry run explains it ([`explain`]), the conductor
//! carries it out.

pub mod changes;
pub mod compare;
pub mod explain;
pub mod filter;
pub mod guard;
pub mod leftovers;
pub mod openings;
pub mod publish;
pub mod relink;
pub mod repomd;
pub mod repository;
pub mod request;
pub mod rolling;
pub mod size;
pub mod space;
pub mod spans;
pub mod twins;
pub mod words;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::list::Kind;
use crate::path::{RelPath, RelPathBuf};
use compare::{Extra, Fetch, FetchCause, LocalKind};
use guard::Hold;
use twins::Twin;

/// How closely a module was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// The list did not change and nothing is pending: not at all.
    None,
    /// What differs between the lists, and directories that changed.
    Quick,
    /// Every directory and every file.
    Full,
}

impl Depth {
    /// The word in reports and in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Depth::None => "none",
            Depth::Quick => "quick",
            Depth::Full => "full",
        }
    }
}

/// Why something is to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeleteCause {
    /// The list that was applied here had it, the new one has not.
    Gone,
    /// The admin left it out.
    Excluded,
    /// It is not for everybody (any more), and this mirror carries only what is.
    Restricted,
    /// No list that was applied here had it.
    NeverListed,
}

impl DeleteCause {
    /// All causes, in the order in which they are reported.
    pub const ALL: [DeleteCause; 4] =
        [DeleteCause::Gone, DeleteCause::Excluded, DeleteCause::Restricted, DeleteCause::NeverListed];

    /// The word in reports and in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            DeleteCause::Gone => "gone",
            DeleteCause::Excluded => "excluded",
            DeleteCause::Restricted => "restricted",
            DeleteCause::NeverListed => "never-listed",
        }
    }

    /// The cause of this word.
    pub fn of_word(word: &str) -> Option<DeleteCause> {
        DeleteCause::ALL.into_iter().find(|cause| cause.word() == word)
    }
}

/// What an earlier run made of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// None saw it.
    Unseen,
    /// It was in doubt, it failed, or the settings were against it.
    Left,
    /// The guard held it: it waits for a human.
    Held,
    /// The guard let it pass, and it stays for its time.
    Staying,
}

/// How much goes with an entry: it itself, and all that is below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// How many entries.
    pub entries: u64,
    /// How many of them are directories.
    pub dirs: u64,
    /// Whether it has names of files that have others, and whose content is in doubt.
    pub in_doubt: bool,
}

/// A deletion: one local entry, and all that is below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// The directory that holds it.
    pub dir: RelPathBuf,
    /// Its name there, as the file system has it: any bytes but `/` and NUL.
    pub name: Box<[u8]>,
    /// What it is.
    pub kind: LocalKind,
    /// Why.
    pub cause: DeleteCause,
    /// How many entries go: 1, and what is below.
    pub entries: u64,
    /// How many of them are directories.
    pub dirs: u64,
    /// What an earlier run made of it.
    pub earlier: Earlier,
    /// When it was first seen that it should go, seconds since the epoch.
    pub since: i64,
    /// Whether names go with it of files that have others, and whose content is in doubt: they change with that.
    pub in_doubt: bool,
}

impl Delete {
    /// A deletion of something that the list does not have.
    pub fn new(extra: Extra, cause: DeleteCause, weight: Weight, since: i64) -> Delete {
        let (Extra { dir, name, kind, .. }, Weight { entries, dirs, in_doubt }) = (extra, weight);
        Delete { dir, name, kind, cause, entries, dirs, earlier: Earlier::Unseen, since, in_doubt }
    }

    /// Whether it stays for clients that still read the old indexes: what upstream had, for the time `after`.
    pub fn stays(&self, now: i64, after: Duration) -> bool {
        stays(self.cause, self.since, now, after)
    }

    /// Its path, as bytes: a name that was read from a directory may hold what no list can name.
    pub fn path(&self) -> Vec<u8> {
        let dir = self.dir.as_path().bytes();
        if dir.is_empty() { self.name.to_vec() } else { [dir, b"/", &self.name].concat() }
    }
}

/// How many entries go for each cause, by its word.
pub fn deletes_by_cause<'d>(deletes: impl IntoIterator<Item = &'d Delete>) -> BTreeMap<&'static str, u64> {
    let mut by_cause = BTreeMap::new();
    for delete in deletes {
        *by_cause.entry(delete.cause.word()).or_default() += delete.entries;
    }
    by_cause
}

/// Whether something that should go since a moment stays for the time `after`; moments are seconds since the epoch. A moment that is
/// yet to come, by a clock that was put back, is no reason to stay.
pub fn stays(cause: DeleteCause, since: i64, now: i64, after: Duration) -> bool {
    let passed = u64::try_from(now.saturating_sub(since)).unwrap_or(u64::MAX);
    cause == DeleteCause::Gone && passed < after.as_secs()
}

/// What is to be done in one module.
#[derive(Debug)]
pub struct ModulePlan<'t> {
    /// The module's name.
    pub module: String,
    /// Its directory below the mirror root.
    pub directory: String,
    /// Whether the run is about other modules.
    pub left_alone: bool,
    /// It could not be compared, which was reported.
    pub failed: bool,
    /// How closely it was looked at.
    pub depth: Depth,
    /// Whether the list is another than the one that was applied.
    pub new_list: bool,
    /// What must come, by path.
    pub fetch: Vec<Fetch<'t>>,
    /// How many of these upstream lists as it did to the last run, and did not deliver then.
    pub undelivered: usize,
    /// Directories in the way of what upstream has there: to be moved aside, if they are not held.
    pub in_the_way: Vec<InTheWay<'t>>,
    /// What does not come because directories are held in its way: what upstream has there, and the indexes and pointers that may lead
    /// to it. By path.
    pub held_back: Vec<Fetch<'t>>,
    /// What must go, in the order in which it would: by path, backwards.
    pub deletes: Vec<Delete>,
    /// What should go and stays for some time, in the same order.
    pub staying: Vec<Delete>,
    /// How many entries should go and stay, for each cause, where nothing was looked at and nothing is deleted.
    pub kept: BTreeMap<&'static str, u64>,
    /// What speaks against the deletions.
    pub holds: Vec<Hold>,
    /// Entries that the list carries.
    pub carried: u64,
    /// How many of them are directories.
    pub dirs: u64,
    /// Names whose rows differ between the applied list and the new one; of a list that follows none, none.
    pub changed_rows: u64,
    /// Files whose content was compared with a checksum.
    pub hashed: usize,
    /// Files that others touched and that stay in doubt, for they are too much to be read.
    pub unread: Amount,
    /// Rows that were set aside, as line number, escaped line, and what is wrong.
    pub bad_rows: Vec<BadLine>,
}

/// A directory where upstream has a file or a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InTheWay<'t> {
    /// Its path in the module.
    pub path: RelPath<'t>,
    /// Entries that go with it, itself included.
    pub entries: u64,
    /// Whether names go with it of files that have others, and whose content is in doubt: they change with that.
    pub in_doubt: bool,
}

/// A line of a list that was set aside, for human eyes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Its number in the list, from 1.
    pub number: usize,
    /// The line, escaped and cut short.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

impl<'t> ModulePlan<'t> {
    /// Nothing to do, and nothing looked at.
    pub fn nothing(module: &str, directory: &str) -> Self {
        ModulePlan {
            module: module.to_owned(),
            directory: directory.to_owned(),
            left_alone: false,
            failed: false,
            depth: Depth::None,
            new_list: false,
            fetch: Vec::new(),
            undelivered: 0,
            in_the_way: Vec::new(),
            held_back: Vec::new(),
            deletes: Vec::new(),
            staying: Vec::new(),
            kept: BTreeMap::new(),
            holds: Vec::new(),
            carried: 0,
            dirs: 0,
            changed_rows: 0,
            hashed: 0,
            unread: Amount::default(),
            bad_rows: Vec::new(),
        }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.fetch.is_empty() && self.deletes.is_empty() && !self.new_list
    }

    /// The directories in the way that are held.
    pub fn held_in_the_way(&self) -> Vec<InTheWay<'t>> {
        let is_held = |directory: &&InTheWay<'_>| {
            self.held_back.binary_search_by_key(&directory.path, |fetch| fetch.path).is_ok()
        };
        self.in_the_way.iter().filter(is_held).copied().collect()
    }

    /// The flags that let pass what is held, if any can.
    pub fn let_pass(&self) -> Option<String> {
        let in_the_way: Vec<RelPath<'_>> = self.held_in_the_way().iter().map(|directory| directory.path).collect();
        guard::let_pass(&self.module, &self.holds, !self.deletes.is_empty(), &in_the_way)
    }

    /// Entries that should go and stay for some time.
    pub fn staying_entries(&self) -> u64 {
        self.staying.iter().map(|delete| delete.entries).sum()
    }

    /// The subtrees that most of what would go is in, with the number of entries, biggest first.
    pub fn biggest_subtrees(&self) -> Vec<(String, u64)> {
        let deletes = self.deletes.iter().map(|delete| (delete.path(), delete.entries));
        let in_the_way = self.in_the_way.iter().map(|directory| (directory.path.bytes().to_vec(), directory.entries));
        guard::biggest_subtrees(deletes.chain(in_the_way), 3)
    }
}

/// Everything that a run would do.
#[derive(Debug, Default)]
pub struct Plan<'t> {
    /// By module, in the order of the configuration.
    pub modules: Vec<ModulePlan<'t>>,
    /// Names that are here, to be named beside missing ones.
    pub twins: Vec<Twin<'t>>,
    /// For each twin the missing names that it may be linked to, by module and path.
    pub links: Vec<Link<'t>>,
}

/// A missing name and a local name of what may be the same file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link<'t> {
    /// The missing name: module, path.
    pub missing: (usize, RelPath<'t>),
    /// The local one.
    pub local: (usize, RelPath<'t>),
}

/// An amount of entries and of the bytes in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Amount {
    /// How many.
    pub entries: u64,
    /// Bytes of files.
    pub bytes: u64,
}

impl Amount {
    /// Adds an entry.
    pub fn add(&mut self, bytes: u64) {
        self.entries += 1;
        // A list may say anything.
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Amount) -> Amount {
        Amount { entries: self.entries + other.entries, bytes: self.bytes.saturating_add(other.bytes) }
    }

    /// The larger of both numbers each.
    #[must_use]
    pub fn at_least(self, other: Amount) -> Amount {
        Amount { entries: self.entries.max(other.entries), bytes: self.bytes.max(other.bytes) }
    }
}

impl<'t> Plan<'t> {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.modules.iter().all(ModulePlan::is_empty)
    }

    /// The files whose bytes must come over the wire, each file once whatever its names, and without those that can be linked
    /// to what is here. An upper bound: rsync takes what it can from an older version that is here.
    pub fn expected(&self) -> Amount {
        let linked: HashSet<_, RandomState> = self.links.iter().map(|link| link.missing).collect();
        let mut known: HashSet<_, RandomState> = HashSet::default();
        let mut expected = Amount::default();
        for (index, module) in self.modules.iter().enumerate() {
            for fetch in module.fetch.iter().filter(|fetch| fetch.kind == Kind::File) {
                let file = (fetch.path.name(), fetch.size, fetch.time);
                if fetch.cause != FetchCause::Surrounding
                    && !linked.contains(&(index, fetch.path))
                    && known.insert(file)
                {
                    expected.add(fetch.size);
                }
            }
        }
        expected
    }
}

#[cfg(test)]
mod tests;
