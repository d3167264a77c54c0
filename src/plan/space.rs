//! Whether there is room for what a plan brings, known before the first byte of it.
//!
//! rsync writes beside the old file and renames, so both are there until then, and deletions come last: nothing that goes makes room
//! for what comes, but what was excluded, where it must. What is needed is a range, since a list does not say which names are one file, nor which of the files in doubt
//! differ. Where even the lower end does not fit nothing is begun; where only the upper end does not, the admin is told.

use std::collections::HashSet;

use foldhash::fast::RandomState;
use serde::Serialize;

use super::compare::{Fetch, FetchCause};
use super::publish::Class;
use super::twins::Key;
use super::{Amount, Plan, words};
use crate::list::Kind;

/// A file system that holds modules, as it is before the transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// A directory of ours on it, for human eyes.
    pub path: String,
    /// The modules on it, by number.
    pub modules: Vec<usize>,
    /// Bytes of a block: a file takes whole ones.
    pub block: u64,
    /// What is free.
    pub free: Free,
}

/// What is free on a file system; `None` where there is no limit, or none is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Free {
    /// Inodes.
    pub entries: Option<u64>,
    /// Bytes.
    pub bytes: Option<u64>,
}

/// Whether what comes fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All of it, whatever turns out.
    Fits,
    /// Perhaps: it depends on what can be linked, and what differs.
    Tight,
    /// Not even the least that it can be.
    Short,
}

/// What a plan needs on one file system, and what is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Room {
    /// A directory of ours on the file system.
    pub path: String,
    /// The modules on it, by name.
    pub modules: Vec<String>,
    /// What comes at least, with whatever it takes the place of still there.
    pub least: Amount,
    /// What comes at most.
    pub most: Amount,
    /// What would be enough: the most, and the margin.
    pub enough: Amount,
    /// What is free.
    pub free: Free,
    /// What deletions before the transfer free, which are made where it would not fit without them and does with them.
    pub relief: Amount,
    /// Whether it fits, with that.
    pub verdict: Verdict,
}

/// What a plan needs on each file system. `lists` are the bytes of the lists that are to be installed, by module; `margin` is what
/// must be free beyond what is needed, in percent of it; `freed` is what may go before the transfer, by module.
pub fn rooms(plan: &Plan<'_>, lists: &[u64], file_systems: Vec<FileSystem>, margin: u8, freed: &[Amount]) -> Vec<Room> {
    let linked: HashSet<_, RandomState> = plan.links.iter().map(|link| link.missing).collect();
    let room = |file_system: FileSystem| {
        let mut need = Need { block: file_system.block.max(1), ..Need::default() };
        for &module in &file_system.modules {
            let of_module = &plan.modules[module];
            for fetch in &of_module.fetch {
                need.add(fetch, linked.contains(&(module, fetch.path)));
            }
            if of_module.new_list {
                need.surely(lists[module]);
            }
        }
        let modules = file_system.modules.iter().map(|&module| plan.modules[module].module.clone()).collect();
        let freed = file_system.modules.iter().filter_map(|&module| freed.get(module));
        let freed = freed.fold(Amount::default(), |sum, freed| sum.and(*freed));
        need.room(file_system.path, modules, (file_system.free, freed), margin)
    };
    file_systems.into_iter().map(room).collect()
}

/// What is needed on one file system, while it is summed up.
#[derive(Default)]
struct Need<'t> {
    block: u64,
    least: Amount,
    most: Amount,
    /// The largest of the files that surely take the place of others one by one, each of which makes room for the next.
    surely_in_turn: u64,
    /// The same of those that may, and have the size of what is here.
    perhaps_in_turn: u64,
    /// The files of which one name was counted.
    known: HashSet<Key<'t>, RandomState>,
}

impl<'t> Need<'t> {
    fn add(&mut self, fetch: &Fetch<'t>, may_be_linked: bool) {
        use FetchCause::{
            Altered, Changed, Checksum, HeldBack, Linked, Missing, Newer, Refresh, Size, Surrounding, Undelivered,
        };
        let in_turn = fetch.class() == Class::Content;
        match (fetch.kind, fetch.cause) {
            // What is here stays, under another name.
            (Kind::File, Linked) => self.perhaps(fetch.size),
            // What takes the place of something else comes like what is new.
            (Kind::File, Missing | FetchCause::Kind) => {
                self.perhaps(fetch.size);
                if !may_be_linked && self.known.insert(Key::of_fetch(fetch)) {
                    self.least.add(fetch.size);
                }
            }
            (Kind::File, Size | Checksum | Refresh) => {
                if fetch.cause != Size && in_turn {
                    self.perhaps_in_turn = self.perhaps_in_turn.max(fetch.size);
                } else {
                    self.perhaps(fetch.size);
                }
                match (may_be_linked, in_turn) {
                    (true, _) => {}
                    (false, true) => self.surely_in_turn = self.surely_in_turn.max(fetch.size),
                    (false, false) => self.least.add(fetch.size),
                }
            }
            // rsync may find that nothing differs but the time.
            (Kind::File, Newer | Changed | Altered | HeldBack) if in_turn => {
                self.perhaps_in_turn = self.perhaps_in_turn.max(fetch.size);
            }
            // Or upstream may still not have it.
            (Kind::File, Newer | Changed | Altered | Undelivered | HeldBack) => self.perhaps(fetch.size),
            (Kind::Dir | Kind::Link, Missing | FetchCause::Kind) => {
                self.least.add(0);
                self.perhaps(1);
            }
            (
                _,
                Size | Checksum | Refresh | Linked | Newer | Changed | Altered | Undelivered | HeldBack | Surrounding,
            )
            | (Kind::Unreadable, _) => {}
        }
    }

    fn perhaps(&mut self, bytes: u64) {
        // A file that ends in the middle of a block takes all of it. Some file systems put small ones elsewhere: at least it is its bytes.
        self.most.add(bytes.div_ceil(self.block).saturating_mul(self.block));
    }

    fn surely(&mut self, bytes: u64) {
        self.least.add(bytes);
        self.perhaps(bytes);
    }

    fn room(mut self, path: String, modules: Vec<String>, (free, freed): (Free, Amount), margin: u8) -> Room {
        // They may come before all that stays beside what is here, or after it.
        self.least.bytes = self.least.bytes.max(self.surely_in_turn);
        if self.perhaps_in_turn > 0 {
            self.perhaps(self.perhaps_in_turn);
        }
        let (least, most) = (self.least, self.most);
        let judge = |relief: Amount| {
            let fits = |amount: Amount| free.and(relief).holds(with_margin(amount, margin));
            match (fits(least), fits(most)) {
                (_, true) => Verdict::Fits,
                (true, false) => Verdict::Tight,
                (false, false) => Verdict::Short,
            }
        };
        let (relief, verdict) = match (judge(Amount::default()), judge(freed)) {
            (Verdict::Short, relieved) if relieved != Verdict::Short => (freed, relieved),
            (verdict, _) => (Amount::default(), verdict),
        };
        Room { path, modules, least, most, enough: with_margin(most, margin), free, relief, verdict }
    }
}

impl Free {
    /// The same, and what is freed.
    #[must_use]
    fn and(self, freed: Amount) -> Free {
        let [entries, bytes] = [(self.entries, freed.entries), (self.bytes, freed.bytes)]
            .map(|(free, freed)| free.map(|free| free.saturating_add(freed)));
        Free { entries, bytes }
    }

    /// Whether there is room for so much.
    pub fn holds(self, amount: Amount) -> bool {
        self.entries.is_none_or(|free| amount.entries <= free) && self.bytes.is_none_or(|free| amount.bytes <= free)
    }
}

/// An amount, and so many percent more.
pub fn with_margin(amount: Amount, percent: u8) -> Amount {
    let more = |number: u64| {
        let sum = u128::from(number) + (u128::from(number) * u128::from(percent)).div_ceil(100);
        u64::try_from(sum).unwrap_or(u64::MAX)
    };
    Amount { entries: more(amount.entries), bytes: more(amount.bytes) }
}

impl Room {
    /// Whether something goes before the transfer.
    pub fn is_relieved(&self) -> bool {
        self.relief != Amount::default()
    }

    /// Whether anything comes.
    pub fn is_needed(&self) -> bool {
        self.most.entries > 0
    }

    /// Bytes needed, in words: one number, or the range.
    pub fn needed_bytes(&self) -> String {
        range(words::bytes(self.least.bytes), words::bytes(self.most.bytes))
    }

    /// Inodes needed, in words.
    pub fn needed_entries(&self) -> String {
        range(self.least.entries.to_string(), self.most.entries.to_string())
    }

    /// Bytes free, in words.
    pub fn free_bytes(&self) -> String {
        self.free.bytes.map_or_else(|| "no limit".to_owned(), words::bytes)
    }

    /// Inodes free, in words.
    pub fn free_entries(&self) -> String {
        self.free.entries.map_or_else(|| "no limit".to_owned(), |entries| entries.to_string())
    }
}

impl std::fmt::Display for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (needed, free) = (self.needed_bytes(), self.free_bytes());
        write!(f, "Space on {}: {needed} needed until all is in place, {free} free", self.path)?;
        if self.free.entries.is_some_and(|free| free < self.enough.entries) {
            write!(f, "; {} inodes needed, {} free", self.needed_entries(), self.free_entries())?;
        }
        if self.is_relieved() {
            write!(f, "; {} freed before, by what is excluded", words::bytes(self.relief.bytes))?;
        }
        Ok(())
    }
}

fn range(least: String, most: String) -> String {
    if least == most { most } else { format!("{least} to {most}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::RelPath;
    use crate::plan::{Link, ModulePlan};

    fn fetch(path: &'static str, kind: Kind, cause: FetchCause, size: u64) -> Fetch<'static> {
        Fetch { path: RelPath::new(path.as_bytes()).unwrap(), kind, cause, size, time: 1, doubt: Default::default() }
    }

    fn plan(fetches: &[&[Fetch<'static>]]) -> Plan<'static> {
        let module = |fetch: &&[Fetch<'static>]| ModulePlan { fetch: fetch.to_vec(), ..ModulePlan::nothing("m", "d") };
        Plan { modules: fetches.iter().map(module).collect(), ..Plan::default() }
    }

    fn on(modules: &[usize], entries: u64, bytes: u64) -> FileSystem {
        let free = Free { entries: Some(entries), bytes: Some(bytes) };
        FileSystem { path: "/srv".to_owned(), modules: modules.to_vec(), block: 1, free }
    }

    fn amount(entries: u64, bytes: u64) -> Amount {
        Amount { entries, bytes }
    }

    #[test]
    fn what_may_be_a_link_is_a_range() {
        use FetchCause::{Changed, Checksum, Missing, Size};
        let mut plan = plan(&[
            &[
                fetch("a/x.rpm", Kind::File, Missing, 100),
                fetch("b/x.rpm", Kind::File, Missing, 100),
                fetch("c/y.rpm", Kind::File, Missing, 30),
                fetch("d", Kind::Dir, Missing, 4096),
                fetch("l", Kind::Link, Missing, 0),
                fetch("e", Kind::File, Changed, 7),
                fetch("f.iso", Kind::File, Size, 1000),
                fetch("g.iso", Kind::File, Checksum, 900),
                fetch("repodata/repomd.xml", Kind::File, Size, 5),
            ],
            &[fetch("x.rpm", Kind::File, Missing, 100)],
        ]);
        plan.links
            .push(Link { missing: (0, plan.modules[0].fetch[2].path), local: (1, plan.modules[1].fetch[0].path) });
        let needed = |file_systems| {
            let rooms = rooms(&plan, &[0, 0], file_systems, 0, &[]);
            rooms.iter().map(|room| (room.least, room.most)).collect::<Vec<_>>()
        };
        // One of the equal names, the directory, the link, the pointer that stays beside the old one; or the largest that takes turns.
        let least = amount(4, 1000);
        // Every name, the directory, the link, the pointer, what has another size than here, and one of those that have not.
        assert_eq!(needed(vec![on(&[0, 1], 0, 0)]), [(least, amount(9, 100 * 3 + 30 + 2 + 5 + 1000 + 900))]);
        // There are no links from one file system to another.
        let apart = needed(vec![on(&[0], 0, 0), on(&[1], 0, 0)]);
        assert_eq!((apart[0].0, apart[1].0), (least, amount(1, 100)));
    }

    #[test]
    fn the_verdict_is_on_the_range_with_its_margin() {
        let plan = plan(&[&[
            fetch("a/x", Kind::File, FetchCause::Missing, 100),
            fetch("b/x", Kind::File, FetchCause::Missing, 100),
        ]]);
        let verdict = |file_system| rooms(&plan, &[0], vec![file_system], 10, &[]).remove(0).verdict;
        assert_eq!(verdict(on(&[0], 9, 220)), Verdict::Fits);
        assert_eq!(verdict(on(&[0], 9, 219)), Verdict::Tight);
        assert_eq!(verdict(on(&[0], 9, 110)), Verdict::Tight);
        assert_eq!(verdict(on(&[0], 9, 109)), Verdict::Short);
        assert_eq!(verdict(on(&[0], 2, 999)), Verdict::Tight);
        assert_eq!(verdict(on(&[0], 1, 999)), Verdict::Short);
        let no_limit = Free { entries: None, bytes: None };
        assert_eq!(verdict(FileSystem { free: no_limit, ..on(&[0], 0, 0) }), Verdict::Fits);
    }

    #[test]
    fn what_may_go_before_counts_only_where_it_is_needed_and_helps() {
        let plan = plan(&[&[fetch("a/x", Kind::File, FetchCause::Missing, 100)]]);
        let room = |bytes, freed| rooms(&plan, &[0], vec![on(&[0], 9, bytes)], 0, &[amount(1, freed)]).remove(0);
        for (free, freed, relief, verdict) in
            [(100, 50, 0, Verdict::Fits), (60, 40, 40, Verdict::Fits), (60, 39, 0, Verdict::Short)]
        {
            let room = room(free, freed);
            assert_eq!((room.relief.bytes, room.verdict), (relief, verdict), "{free} and {freed}");
        }
    }

    #[test]
    fn blocks_and_lists_count_and_no_number_is_too_large() {
        let mut plan = plan(&[&[
            fetch("a", Kind::File, FetchCause::Missing, 1),
            fetch("b", Kind::File, FetchCause::Missing, u64::MAX),
        ]]);
        plan.modules[0].fetch.truncate(1);
        plan.modules[0].new_list = true;
        let rooms_of = |plan: &Plan<'_>| {
            rooms(plan, &[5000], vec![FileSystem { block: 4096, ..on(&[0], 9, 0) }], 100, &[]).remove(0)
        };
        let room = rooms_of(&plan);
        assert_eq!((room.least, room.most), (amount(2, 5001), amount(2, 3 * 4096)));
        plan.modules[0].fetch.push(fetch("b", Kind::File, FetchCause::Missing, u64::MAX));
        assert_eq!((rooms_of(&plan).enough.bytes, rooms_of(&plan).verdict), (u64::MAX, Verdict::Short));
    }
}
