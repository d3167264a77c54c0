//! What may be deleted.
//!
//! Absence is not evidence. A deletion needs proof that both sides were seen to their end ([`Whole`]), and that it is within what
//! is normal for the module; what is neither is held until a human has looked. The deleting hands take nothing but
//! [`Allowed`], and only this file makes one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::words::{bytes, count};
use super::{Amount, Delete, DeleteCause, Earlier};
use crate::path::{RelPath, escape};

/// A list that lost less than this does not count as shrunk in bytes: there it is the entries that tell.
const FEW_BYTES: u64 = 1 << 30;

/// So many directories that may be let pass are named one by one.
const FLAGS_SHOWN: usize = 3;

/// So long what a module had is remembered for what it is measured by: many small losses are one large one.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// Why deletions of a module are held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The list has rows that cannot be read, and any of them may be any name.
    BadRows(usize),
    /// Local directories could not be read.
    Unreadable(usize),
    /// Something that was planned did not come.
    Incomplete,
    /// It is not what usually happens.
    Unusual(Unusual),
    /// An earlier run held some of them, and nobody let them pass since.
    Waiting {
        /// What they were held for.
        because: Vec<Unusual>,
    },
    /// The settings say that nothing is deleted.
    Never,
}

/// What is not normal for a module. It is saved with what it holds, as it was measured then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unusual {
    /// More would go than the guard lets pass.
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
        /// The most that it had within a day.
        before: u64,
    },
    /// What the list names shrank by more than the guard lets pass.
    Lighter {
        /// Bytes of files now.
        bytes: u64,
        /// The most that it had within a day.
        before: u64,
    },
    /// Repositories lost the metadata that clients begin with, and stay.
    Headless(Vec<String>),
    /// The list is older than the one that was applied.
    Older,
}

impl std::fmt::Display for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Hold::BadRows(rows) => {
                write!(f, "{} cannot be read", count(*rows as u64, "row of the list", "rows of the list"))
            }
            Hold::Unreadable(directories) => {
                let directories = count(*directories as u64, "local directory", "local directories");
                write!(f, "{directories} could not be read")
            }
            Hold::Incomplete => write!(f, "not everything that was planned came"),
            Hold::Unusual(what) => what.fmt(f),
            Hold::Waiting { because } => {
                let because: Vec<String> = because.iter().map(ToString::to_string).collect();
                write!(f, "a human must look since an earlier run ({})", because.join("; "))
            }
            Hold::Never => write!(f, "the setting delete.mode is \"never\""),
        }
    }
}

impl std::fmt::Display for Unusual {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // How many would go is said beside it, as it is now.
            Unusual::TooMany { of, .. } => write!(f, "too many at once of {}", count(*of, "entry", "entries")),
            Unusual::Shrunk { entries, before } => write!(f, "the list shrank from {before} to {entries} entries"),
            Unusual::Lighter { bytes: now, before } => {
                write!(f, "what the list names shrank from {} to {}", bytes(*before), bytes(*now))
            }
            Unusual::Headless(repositories) => {
                write!(f, "the metadata that clients begin with is gone, and the packages stay: ")?;
                match repositories.as_slice() {
                    [first, second, third, _, ..] => {
                        write!(f, "{first}, {second}, {third} and {} more", repositories.len() - 3)
                    }
                    few => f.write_str(&few.join(", ")),
                }
            }
            Unusual::Older => write!(f, "upstream went back in time: its list is older than the one that was applied"),
        }
    }
}

impl Hold {
    /// Whether the admin may let it pass once (`--allow-delete`). Doubt about what was seen is not a matter of permission.
    pub fn can_be_allowed(&self) -> bool {
        !self.unusual().is_empty()
    }

    /// Whether the admin may let a directory make way once. That settings delete nothing is no doubt, and nothing else would ever bring
    /// what upstream has in its place.
    fn lets_make_way(&self) -> bool {
        self.can_be_allowed() || *self == Hold::Never
    }

    /// What of it is remembered until a human lets it pass.
    pub fn unusual(&self) -> &[Unusual] {
        match self {
            Hold::Unusual(what) => std::slice::from_ref(what),
            Hold::Waiting { because, .. } => because,
            _ => &[],
        }
    }
}

/// The flags that let pass what `holds` hold of a module, if any can: its deletions, if there are any, and the directories that are held
/// in the way. Where only these can, they are named one by one, as far as that is short and needs no quotes.
pub fn let_pass(module: &str, holds: &[Hold], deletes: bool, in_the_way: &[RelPath<'_>]) -> Option<String> {
    let flag = format!("--allow-delete {module}");
    if holds.is_empty() {
        return None;
    }
    if in_the_way.is_empty() || deletes && holds.iter().all(Hold::can_be_allowed) {
        return holds.iter().all(Hold::can_be_allowed).then_some(flag);
    }
    let is_plain =
        |path: &RelPath<'_>| path.bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || b"/._+-".contains(byte));
    let is_short = in_the_way.len() <= FLAGS_SHOWN && in_the_way.iter().all(is_plain);
    holds.iter().all(Hold::lets_make_way).then(|| {
        let each: Vec<String> = in_the_way.iter().map(|path| format!("{flag}/{path}")).collect();
        if is_short { each.join(" ") } else { flag }
    })
}

/// What is normal for a module.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Deletions above this share (percent) of the entries are not normal …
    pub max_share: u8,
    /// … if they are also more than this.
    pub min_entries: u64,
    /// A list that shrank by more than this share (percent), in entries or in bytes, is not normal.
    pub max_shrink: u8,
}

impl Limits {
    /// Whether something is still not normal, by the measure of its time.
    fn forbid(&self, what: &Unusual) -> bool {
        let exceeds = |part: u64, of: u64, share: u8, few: u64| {
            part > few && u128::from(part) * 100 > u128::from(of) * u128::from(share)
        };
        match what {
            Unusual::TooMany { entries, of } => exceeds(*entries, *of, self.max_share, self.min_entries),
            Unusual::Shrunk { entries, before } => {
                exceeds(before.saturating_sub(*entries), *before, self.max_shrink, self.min_entries)
            }
            Unusual::Lighter { bytes, before } => {
                exceeds(before.saturating_sub(*bytes), *before, self.max_shrink, FEW_BYTES)
            }
            Unusual::Headless(repositories) => !repositories.is_empty(),
            Unusual::Older => true,
        }
    }
}

/// The most that a module had within a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peak {
    /// Entries, and bytes of files.
    pub amount: Amount,
    /// Since when that is remembered, seconds since the epoch.
    pub since: i64,
}

impl Peak {
    /// The peak once a module has `amount`, at `now`. What is too old, and what it is not below, is forgotten; so is all if a human
    /// just let deletions pass.
    #[must_use]
    pub fn and_then(self, amount: Amount, now: i64, allowed: bool) -> Peak {
        let age = u64::try_from(now.saturating_sub(self.since)).unwrap_or(u64::MAX);
        let most = self.amount.at_least(amount);
        if allowed || age >= REMEMBERED.as_secs() || most == amount {
            Peak { amount, since: now }
        } else {
            Peak { amount: most, since: self.since }
        }
    }
}

/// What the guard is told of a module.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What the module had here: carried by the applied list, or seen in the tree where there is none.
    pub before: Amount,
    /// The most that lists gave it within a day by the settings of now: what the admin left out did not shrink the list.
    pub most: Amount,
    /// What the new list carries.
    pub after: Amount,
    /// Rows that cannot be read, and stood not in the applied list as they are.
    pub bad_rows: usize,
    /// Local directories that could not be read.
    pub unreadable: usize,
    /// Entries in directories that must make way for a file or a link.
    pub displaced: u64,
    /// Repositories that stay without the metadata that they had.
    pub headless: Vec<String>,
    /// The list is older than the one that was applied.
    pub older: bool,
    /// What an earlier run held its deletions for.
    pub held: Vec<Unusual>,
    /// Whether it held a directory in the way, and that is there still.
    pub waiting: bool,
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
    // What is normal is measured against the list that was applied, and that moves on: what was held once stays held, by the
    // measure of that time, until a human lets it pass or changes the limits.
    let waits = facts.waiting || deletes.iter().any(|delete| delete.earlier == Earlier::Held);
    let because: Vec<Unusual> = facts.held.iter().filter(|what| limits.forbid(what)).cloned().collect();
    if waits && !because.is_empty() {
        holds.push(Hold::Waiting { because });
        return holds;
    }
    // What stays for its time was judged when it was first missed.
    let judged = deletes.iter().filter(|delete| delete.earlier != Earlier::Staying);
    let entries = judged.map(|delete| delete.entries).sum::<u64>() + facts.displaced;
    let Facts { before, most, after, .. } = facts;
    let mut unusual = vec![
        Unusual::TooMany { entries, of: before.entries },
        Unusual::Shrunk { entries: after.entries, before: most.entries },
        Unusual::Lighter { bytes: after.bytes, before: most.bytes },
        Unusual::Headless(facts.headless.clone()),
    ];
    unusual.extend(facts.older.then_some(Unusual::Older));
    unusual.retain(|what| limits.forbid(what));
    if !deletes.is_empty() || facts.displaced > 0 {
        holds.extend(unusual.into_iter().map(Hold::Unusual));
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
    /// The leave for one directory, unless something speaks against the module's deletions that the admin did not allow.
    pub fn ask(holds: &[Hold], exceptions: &[Exception], path: RelPath<'_>) -> Option<MayReplace> {
        let may_pass = holds.iter().all(Hold::lets_make_way);
        let allowed = || may_pass && exceptions.iter().any(|exception| exception.covers(path));
        (holds.is_empty() || allowed()).then_some(MayReplace(()))
    }
}

/// Whether the guard lets a deletion pass, by itself or because the admin allowed it for this run.
pub fn passes(delete: &Delete, holds: &[Hold], exceptions: &[Exception]) -> bool {
    let may_pass = || holds.iter().all(Hold::can_be_allowed);
    holds.is_empty() || may_pass() && exceptions.iter().any(|exception| exception.covers_delete(delete))
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
        Allowed { deletes: deletes.iter().filter(|delete| passes(delete, holds, exceptions)).collect() }
    }

    /// Those that are not within the given directories.
    #[must_use]
    pub fn outside(mut self, spared: &[RelPath<'_>]) -> Allowed<'p> {
        self.deletes.retain(|delete| !spared.iter().any(|dir| delete.dir.as_path().is_within(*dir)));
        self
    }

    /// Those of one cause.
    #[must_use]
    pub fn only(mut self, cause: DeleteCause) -> Allowed<'p> {
        self.deletes.retain(|delete| delete.cause == cause);
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
    /// Whether it is about this path.
    pub fn covers(&self, path: RelPath<'_>) -> bool {
        self.subtree.is_empty() || RelPath::new(&self.subtree).is_ok_and(|subtree| path.is_within(subtree))
    }

    /// Whether it is about this deletion.
    pub fn covers_delete(&self, delete: &Delete) -> bool {
        let dir = delete.dir.as_path();
        // A name that no list can name lies in a directory that one can.
        !dir.is_top() && self.covers(dir)
            || self.subtree.is_empty()
            || dir.join(&delete.name).is_ok_and(|path| self.covers(path.as_path()))
    }
}

/// The subtrees that most of the deletions are in: three directories deep at most, with the number of entries; at most `most`, biggest
/// first.
pub fn biggest_subtrees(deletes: impl IntoIterator<Item = (Vec<u8>, u64)>, most: usize) -> Vec<(String, u64)> {
    let mut counts = std::collections::BTreeMap::<String, u64>::new();
    for (path, entries) in deletes {
        let parts: Vec<&[u8]> = path.split(|&byte| byte == b'/').collect();
        // An entry alone is told of by what holds it, if that is not the module.
        let deep = if entries > 1 { parts.len() } else { parts.len().max(2) - 1 };
        let parts = &parts[..deep.min(3)];
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
    use crate::plan::compare::LocalKind;

    const LIMITS: Limits = Limits { max_share: 30, min_entries: 50, max_shrink: 30 };

    fn deletes(dir: &str, count: u64) -> Vec<Delete> {
        let dir = RelPath::new(dir.as_bytes()).unwrap();
        let delete = |number: u64| Delete {
            in_doubt: false,
            dir: dir.to_owned(),
            name: number.to_string().into_bytes().into(),
            kind: LocalKind::File,
            cause: DeleteCause::Gone,
            entries: 1,
            dirs: 0,
            earlier: Earlier::Unseen,
            since: 0,
        };
        (0..count).map(delete).collect()
    }

    fn amount(entries: u64) -> Amount {
        Amount { entries, bytes: entries }
    }

    fn facts(before: u64, after: u64) -> Facts {
        Facts { before: amount(before), most: amount(before), after: amount(after), ..Facts::default() }
    }

    #[test]
    fn deletions_are_held_when_they_are_both_many_and_a_large_share() {
        for (count, before, held) in
            [(50, 60, false), (51, 60, true), (300, 1000, false), (301, 1000, true), (0, 0, false)]
        {
            let holds = judge(&deletes("a", count), &facts(before, before), &LIMITS);
            let expected = [Hold::Unusual(Unusual::TooMany { entries: count, of: before })];
            assert_eq!(holds, if held { &expected[..] } else { &[] }, "{count} of {before}");
        }
    }

    #[test]
    fn a_list_that_shrank_holds_even_few_deletions() {
        let shrunk = |entries| [Hold::Unusual(Unusual::Shrunk { entries, before: 1000 })];
        assert_eq!(judge(&deletes("a", 1), &facts(1000, 600), &LIMITS), shrunk(600));
        assert_eq!(judge(&deletes("a", 1), &facts(1000, 600), &Limits { max_shrink: 40, ..LIMITS }), []);
        assert_eq!(judge(&deletes("a", 1), &facts(100, 50), &LIMITS), [], "it is small");
        assert_eq!(judge(&[], &facts(1000, 600), &LIMITS), [], "nothing would go");
        // The same in many steps.
        let facts = Facts { most: amount(1000), ..facts(800, 650) };
        assert_eq!(judge(&deletes("a", 1), &facts, &LIMITS), shrunk(650));
    }

    #[test]
    fn a_list_that_names_far_fewer_bytes_holds_too() {
        let of = |before: u64, after: u64| {
            let (before, after) = (Amount { entries: 9, bytes: before }, Amount { entries: 8, bytes: after });
            let facts = Facts { before, most: before, after, ..Facts::default() };
            judge(&deletes("a", 1), &facts, &LIMITS)
        };
        let (before, after) = (10 << 30, 6 << 30);
        assert_eq!(of(before, after), [Hold::Unusual(Unusual::Lighter { bytes: after, before })]);
        assert_eq!(of(before, 8 << 30), [], "a small share");
        assert_eq!(of(1 << 30, 0), [], "few bytes");
        assert_eq!(of(u64::MAX, u64::MAX / 2).len(), 1, "a list may say anything");
    }

    #[test]
    fn metadata_that_went_and_a_list_that_is_older_hold_whatever_would_go() {
        let headless = Facts { headless: vec!["os".to_owned()], ..facts(1000, 999) };
        let older = Facts { older: true, ..facts(1000, 999) };
        for (facts, expected) in [(headless, Unusual::Headless(vec!["os".to_owned()])), (older, Unusual::Older)] {
            assert_eq!(judge(&deletes("a", 1), &facts, &LIMITS), [Hold::Unusual(expected)]);
            assert_eq!(judge(&[], &facts, &LIMITS), []);
            assert_eq!(judge(&[], &Facts { displaced: 1, ..facts }, &LIMITS).len(), 1);
        }
    }

    #[test]
    fn what_was_held_stays_held_however_the_module_grows() {
        let mut all = deletes("a", 60);
        all[0].earlier = Earlier::Held;
        let because = vec![Unusual::TooMany { entries: 60, of: 100 }];
        let facts = Facts { held: because.clone(), ..facts(100_000, 100_000) };
        let holds = judge(&all, &facts, &LIMITS);
        assert_eq!(holds, [Hold::Waiting { because }]);
        assert_eq!(let_pass("m", &holds, true, &[]).as_deref(), Some("--allow-delete m"));
        assert_eq!(judge(&all, &facts, &Limits { max_share: 70, ..LIMITS }), [], "the limits were raised");
        all[0].earlier = Earlier::Left;
        assert_eq!(judge(&all, &facts, &LIMITS), [], "what was held came back");
        let facts = Facts { waiting: true, displaced: 1, ..facts };
        assert_eq!(judge(&[], &facts, &LIMITS).len(), 1, "a directory in the way waits as well");
    }

    #[test]
    fn what_stays_for_its_time_is_judged_once() {
        let mut all = deletes("a", 400);
        all[..200].iter_mut().for_each(|delete| delete.earlier = Earlier::Staying);
        assert_eq!(judge(&all, &facts(1000, 1000), &LIMITS), []);
        all[..200].iter_mut().for_each(|delete| delete.earlier = Earlier::Left);
        assert_eq!(judge(&all, &facts(1000, 1000), &LIMITS).len(), 1);
    }

    #[test]
    fn many_small_losses_are_measured_together_for_a_day_or_until_a_human_agreed() {
        let day = REMEMBERED.as_secs().cast_signed();
        let peak = Peak::default().and_then(amount(1000), 10, false);
        assert_eq!(peak, Peak { amount: amount(1000), since: 10 });
        assert_eq!(peak.and_then(amount(800), 20, false), peak);
        assert_eq!(peak.and_then(amount(1001), 20, false), Peak { amount: amount(1001), since: 20 });
        let mixed = peak.and_then(Amount { entries: 900, bytes: 2000 }, 20, false);
        assert_eq!(mixed, Peak { amount: Amount { entries: 1000, bytes: 2000 }, since: 10 });
        assert_eq!(peak.and_then(amount(800), 20, true), Peak { amount: amount(800), since: 20 });
        assert_eq!(peak.and_then(amount(800), 10 + day, false), Peak { amount: amount(800), since: 10 + day });
    }

    #[test]
    fn doubt_holds_everything_and_no_permission_lets_it_pass() {
        let deletes = deletes("a", 1);
        let facts = Facts { bad_rows: 1, ..facts(1000, 999) };
        let holds = judge(&deletes, &facts, &LIMITS);
        assert_eq!(holds, [Hold::BadRows(1)]);
        assert_eq!(let_pass("m", &holds, true, &[]), None);
        assert_eq!(Whole::prove(&facts, true).unwrap_err(), Hold::BadRows(1));
        let whole = Whole::prove(&Facts::default(), true).unwrap();
        let everything = [Exception { subtree: Box::default() }];
        assert!(Allowed::new(&whole, &deletes, &holds, &everything).deletes().is_empty());
        assert_eq!(Whole::prove(&Facts::default(), false).unwrap_err(), Hold::Incomplete);
    }

    #[test]
    fn a_directory_may_be_let_make_way_though_nothing_is_deleted_and_not_in_doubt() {
        let ways = ["os/a", "os/b c", "d", "e"].map(|path| RelPath::new(path.as_bytes()).unwrap());
        let passes = |holds: &[Hold], deletes, ways: &[RelPath<'_>]| let_pass("m", holds, deletes, ways);
        let unusual = Hold::Unusual(Unusual::Older);
        let never = [unusual.clone(), Hold::Never];
        assert_eq!(passes(&never, true, &ways[..1]).as_deref(), Some("--allow-delete m/os/a"));
        assert_eq!(passes(&[unusual], true, &ways[..1]).as_deref(), Some("--allow-delete m"), "deletions too");
        assert_eq!(passes(&never, false, &ways[2..]).as_deref(), Some("--allow-delete m/d --allow-delete m/e"));
        assert_eq!(passes(&never, false, &ways[1..2]).as_deref(), Some("--allow-delete m"), "it needs quotes");
        assert_eq!(passes(&never, false, &ways).as_deref(), Some("--allow-delete m"), "these are many");
        assert_eq!(passes(&never, true, &[]), None);
        assert_eq!(passes(&[Hold::Never, Hold::BadRows(1)], false, &ways), None);
        let allowed = [Exception { subtree: b"os".as_slice().into() }];
        let asks = |holds: &[Hold], way: usize| MayReplace::ask(holds, &allowed, ways[way]).is_some();
        assert_eq!((asks(&never, 0), asks(&never, 2), asks(&[Hold::BadRows(1)], 0)), (true, false, false));
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
