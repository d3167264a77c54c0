//! What may be deleted.
//!
//! Absence is not evidence. A deletion needs proof that both sides were seen to their end ([`Whole`]), and that it is within what
//! is normal for the module; what is neither is held until a human has looked. The deleting hands take nothing but
//! [`Allowed`], and only this file makes one.

use super::Delete;
use crate::path::{RelPath, escape};

/// Why deletions of a module are held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The list has rows that cannot be read, and any of them may be any name.
    BadRows(usize),
    /// Local directories could not be read.
    Unreadable(usize),
    /// Something that was planned did not come.
    Incomplete,
    /// More than the guard lets pass.
    TooMany {
        /// Entries that would go.
        entries: u64,
        /// Entries that the module had.
        of: u64,
    },
    /// The list shrank by more than the guard lets pass.
    Shrunk {
        /// Entries in the list now.
        entries: u64,
        /// Entries in the list that was applied.
        before: u64,
    },
    /// An earlier run held some of them, and nobody let them pass since.
    Waiting {
        /// Entries that were held.
        entries: u64,
    },
    /// The settings say that nothing is deleted.
    Never,
}

impl std::fmt::Display for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Hold::BadRows(count) => write!(f, "{count} rows of the list cannot be read"),
            Hold::Unreadable(count) => write!(f, "{count} local directories could not be read"),
            Hold::Incomplete => write!(f, "not everything that was planned came"),
            Hold::TooMany { entries, of } => write!(f, "{entries} of {of} entries would go"),
            Hold::Shrunk { entries, before } => write!(f, "the list shrank from {before} to {entries} entries"),
            Hold::Waiting { entries } => {
                write!(f, "{entries} entries were held by an earlier run and wait for a human")
            }
            Hold::Never => write!(f, "the setting delete.mode is \"never\""),
        }
    }
}

impl Hold {
    /// Whether the admin may let it pass once (`--allow-delete`). Doubt about what was seen is not a matter of permission.
    pub fn can_be_allowed(&self) -> bool {
        matches!(self, Hold::TooMany { .. } | Hold::Shrunk { .. } | Hold::Waiting { .. })
    }
}

/// What is normal for a module.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Deletions above this share (percent) of the entries are not normal …
    pub max_share: u8,
    /// … if they are also more than this.
    pub min_entries: u64,
}

/// What was measured when deletions were first held: so much of so much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Measure {
    /// Entries that would have gone.
    pub part: u64,
    /// Entries that the module had.
    pub of: u64,
}

/// What the guard is told of a module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    /// Entries that the module had here: carried by the applied list, or seen in the tree where there is none.
    pub before: u64,
    /// Entries that the new list carries.
    pub after: u64,
    /// Rows that cannot be read, and stood not in the applied list as they are.
    pub bad_rows: usize,
    /// Local directories that could not be read.
    pub unreadable: usize,
    /// Entries in directories that must make way for a file or a link.
    pub displaced: u64,
    /// What an earlier run held its deletions for.
    pub held: Option<Measure>,
}

/// The guard's word on one module's deletions: everything that speaks against them.
pub fn judge(deletes: &[Delete], facts: &Facts, limits: &Limits) -> Vec<Hold> {
    let mut holds = Vec::new();
    if facts.bad_rows > 0 {
        holds.push(Hold::BadRows(facts.bad_rows));
    }
    if facts.unreadable > 0 {
        holds.push(Hold::Unreadable(facts.unreadable));
    }
    let entries: u64 = deletes.iter().map(|delete| delete.entries).sum::<u64>() + facts.displaced;
    let exceeds_of = |part: u64, of: u64| part > limits.min_entries && part * 100 > of * u64::from(limits.max_share);
    let exceeds = |part: u64| exceeds_of(part, facts.before);
    // What is normal is measured against the list that was applied, and that moves on: what was held once stays held, by the
    // measure of that time, until a human lets it pass or changes the limits.
    let waiting: u64 = deletes.iter().filter(|delete| delete.was_held).map(|delete| delete.entries).sum();
    if waiting > 0 && facts.held.is_some_and(|measure| exceeds_of(measure.part, measure.of)) {
        holds.push(Hold::Waiting { entries: waiting });
    } else if exceeds(entries) {
        holds.push(Hold::TooMany { entries, of: facts.before });
    } else if entries > 0 && exceeds(facts.before.saturating_sub(facts.after)) {
        holds.push(Hold::Shrunk { entries: facts.after, before: facts.before });
    }
    holds
}

/// Proof that both sides were seen to their end: the list had its `[End]` and no row in doubt, every local directory that
/// mattered was read, and everything that was planned came.
#[derive(Debug)]
pub struct Whole(());

impl Whole {
    /// The proof, if it can be had.
    ///
    /// # Errors
    /// What is missing from it.
    pub fn prove(facts: &Facts, complete: bool) -> Result<Whole, Hold> {
        match facts {
            Facts { bad_rows: 1.., .. } => Err(Hold::BadRows(facts.bad_rows)),
            Facts { unreadable: 1.., .. } => Err(Hold::Unreadable(facts.unreadable)),
            _ if !complete => Err(Hold::Incomplete),
            _ => Ok(Whole(())),
        }
    }
}

/// Leave to replace a directory by what upstream has in its place. It is asked for before anything was transferred, so it
/// takes a guard who holds nothing, or an admin who lets it pass.
#[derive(Debug)]
pub struct MayReplace(());

impl MayReplace {
    /// The leave for one directory, unless something speaks against the module's deletions.
    pub fn ask(holds: &[Hold], exceptions: &[Exception], path: RelPath<'_>) -> Option<MayReplace> {
        let may_pass = holds.iter().all(Hold::can_be_allowed);
        let allowed = || may_pass && exceptions.iter().any(|exception| exception.covers(path));
        (holds.is_empty() || allowed()).then_some(MayReplace(()))
    }
}

/// Deletions that may happen.
#[derive(Debug)]
pub struct Allowed<'p> {
    deletes: Vec<&'p Delete>,
}

impl<'p> Allowed<'p> {
    /// Those of `deletes` that the guard lets pass: all if nothing holds them, else those below `exceptions`, which the admin
    /// allowed for this run.
    pub fn new(_proof: &Whole, deletes: &'p [Delete], holds: &[Hold], exceptions: &[Exception]) -> Allowed<'p> {
        let may_pass = holds.iter().all(Hold::can_be_allowed);
        let deletes = deletes.iter().filter(|delete| {
            holds.is_empty() || may_pass && exceptions.iter().any(|exception| exception.covers_delete(delete))
        });
        Allowed { deletes: deletes.collect() }
    }

    /// Those that are not within the given directories.
    #[must_use]
    pub fn outside(mut self, spared: &[RelPath<'_>]) -> Allowed<'p> {
        self.deletes.retain(|delete| !spared.iter().any(|dir| delete.dir.as_path().is_within(*dir)));
        self
    }

    /// The deletions.
    pub fn deletes(&self) -> &[&'p Delete] {
        &self.deletes
    }
}

/// What `--allow-delete` lets pass: a module, or a subtree of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    /// The path in the module; empty for all of it.
    pub subtree: Box<[u8]>,
}

impl Exception {
    fn covers(&self, path: RelPath<'_>) -> bool {
        self.subtree.is_empty() || RelPath::new(&self.subtree).is_ok_and(|subtree| path.is_within(subtree))
    }

    fn covers_delete(&self, delete: &Delete) -> bool {
        let dir = delete.dir.as_path();
        // A name that no list can name lies in a directory that one can.
        !dir.is_top() && self.covers(dir)
            || self.subtree.is_empty()
            || dir.join(&delete.name).is_ok_and(|path| self.covers(path.as_path()))
    }
}

/// The subtrees that most of the deletions are in: two directories and a name at most, with the number of entries; at most `most`,
/// biggest first.
pub fn biggest_subtrees(deletes: impl IntoIterator<Item = (Vec<u8>, u64)>, most: usize) -> Vec<(String, u64)> {
    let mut counts = std::collections::BTreeMap::<String, u64>::new();
    for (path, entries) in deletes {
        let parts: Vec<&[u8]> = path.split(|&byte| byte == b'/').take(3).collect();
        *counts.entry(escape(&parts.join(&b'/'))).or_default() += entries;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts.truncate(most);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{DeleteCause, compare::LocalKind};

    const LIMITS: Limits = Limits { max_share: 30, min_entries: 50 };

    fn deletes(dir: &str, count: u64) -> Vec<Delete> {
        let dir = RelPath::new(dir.as_bytes()).unwrap();
        let delete = |number: u64| Delete {
            dir: dir.to_owned(),
            name: number.to_string().into_bytes().into(),
            kind: LocalKind::File,
            cause: DeleteCause::Gone,
            entries: 1,
            was_held: false,
            since: 0,
        };
        (0..count).map(delete).collect()
    }

    fn facts(before: u64, after: u64) -> Facts {
        Facts { before, after, ..Facts::default() }
    }

    #[test]
    fn deletions_are_held_when_they_are_both_many_and_a_large_share() {
        for (count, before, held) in
            [(50, 60, false), (51, 60, true), (300, 1000, false), (301, 1000, true), (0, 0, false)]
        {
            let holds = judge(&deletes("a", count), &facts(before, before - count.min(before)), &LIMITS);
            assert_eq!(!holds.is_empty(), held, "{count} of {before}: {holds:?}");
        }
    }

    #[test]
    fn a_list_that_shrank_holds_even_few_deletions() {
        assert_eq!(judge(&deletes("a", 1), &facts(1000, 600), &LIMITS), [Hold::Shrunk { entries: 600, before: 1000 }]);
        assert_eq!(judge(&[], &facts(1000, 600), &LIMITS), []);
    }

    #[test]
    fn what_was_held_stays_held_however_the_module_grows() {
        let mut all = deletes("a", 60);
        all[0].was_held = true;
        let facts = Facts { held: Some(Measure { part: 60, of: 100 }), ..facts(100_000, 100_000) };
        let holds = judge(&all, &facts, &LIMITS);
        assert_eq!(holds, [Hold::Waiting { entries: 1 }]);
        assert!(holds[0].can_be_allowed());
        assert_eq!(judge(&all, &facts, &Limits { max_share: 70, ..LIMITS }), [], "the limits were raised");
    }

    #[test]
    fn doubt_holds_everything_and_no_permission_lets_it_pass() {
        let deletes = deletes("a", 1);
        let facts = Facts { bad_rows: 1, ..facts(1000, 999) };
        let holds = judge(&deletes, &facts, &LIMITS);
        assert_eq!(holds, [Hold::BadRows(1)]);
        assert_eq!(Whole::prove(&facts, true).unwrap_err(), Hold::BadRows(1));
        let whole = Whole::prove(&Facts::default(), true).unwrap();
        let everything = [Exception { subtree: Box::default() }];
        assert!(Allowed::new(&whole, &deletes, &holds, &everything).deletes().is_empty());
        assert_eq!(Whole::prove(&Facts::default(), false).unwrap_err(), Hold::Incomplete);
    }

    #[test]
    fn permission_lets_a_module_or_a_subtree_pass() {
        let mut all = deletes("a/b", 60);
        all.extend(deletes("c", 40));
        let holds = judge(&all, &facts(100, 0), &LIMITS);
        let whole = Whole::prove(&Facts::default(), true).unwrap();
        let allowed = |subtree: &str| {
            let exceptions = [Exception { subtree: subtree.as_bytes().into() }];
            Allowed::new(&whole, &all, &holds, &exceptions).deletes().len()
        };
        assert_eq!(Allowed::new(&whole, &all, &holds, &[]).deletes().len(), 0);
        assert_eq!((allowed(""), allowed("a"), allowed("a/b"), allowed("c/1"), allowed("d")), (100, 60, 60, 1, 0));
        assert_eq!(biggest_subtrees(all.iter().map(|delete| (delete.path(), 1)), 1).len(), 1);
    }
}
