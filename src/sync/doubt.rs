//! What others touched here: its content may be another, whatever its size and time.
//!
//! As long as it is not too much, it is read. What is not read stays in doubt, as long as it is there: the moment before which a ctime
//! says nothing does not pass over it, and the time of a change of ours that may hide it is in no span.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;
use rustix::fs::{FileType, Stat};

use super::Run;
use super::reading::Reading;
use super::subject::Subject;
use crate::path::RelPath;
use crate::plan::compare::{Doubt, FetchCause, Inode, Touched};
use crate::plan::spans::Ctimes;
use crate::plan::twins::Twin;
use crate::plan::words::{bytes, count};
use crate::plan::{Amount, Depth, ModulePlan, Plan};
use crate::report::Event;
use crate::tree::{Root, Stamp};

/// Files that are read, each once whatever its names.
type Read = HashSet<Inode, RandomState>;

impl Run<'_> {
    /// Settles for each file that others touched whether it is read. About what is not, and what rsync was asked about already, it is not
    /// asked again.
    pub(super) fn settle_doubt(&self, plan: &mut Plan<'_>, readings: &mut [Reading<'_>], subjects: &[Subject]) {
        let mut read = Read::default();
        for reading in readings {
            let mut touched = std::mem::take(&mut reading.touched);
            // Who verifies is told of all.
            if self.options.verify {
                continue;
            }
            let of_module = &mut plan.modules[reading.module];
            let fetch = &mut of_module.fetch;
            if self.options.repair {
                let altered = fetch.iter_mut().filter(|fetch| fetch.cause == FetchCause::Altered);
                altered.for_each(|fetch| fetch.doubt = Doubt::Read);
            }
            // What is held back is not asked about, nor what a refresh does not name.
            touched.retain(|it| {
                let is_asked = fetch.binary_search_by_key(&it.path, |fetch| fetch.path).is_ok();
                if !is_asked {
                    reading.checked.leave(it.ctime);
                }
                is_asked
            });
            let (known, new): (Vec<_>, Vec<_>) = touched.into_iter().partition(|it| it.asked);
            let left = self.read_or_leave(of_module, reading, &new, &mut read);
            self.tell_unread(of_module, &subjects[reading.module], left);
            self.read_or_leave(of_module, reading, &known, &mut read);
            let known: HashSet<RelPath<'_>, RandomState> = known.iter().map(|it| it.path).collect();
            of_module.fetch.retain(|fetch| {
                fetch.doubt != Doubt::Left || fetch.cause != FetchCause::Altered || !known.contains(&fetch.path)
            });
        }
    }

    /// Settles it for some files of a module together. Returns how much of them is left in doubt.
    fn read_or_leave(
        &self,
        plan: &mut ModulePlan<'_>,
        reading: &mut Reading<'_>,
        touched: &[Touched<'_>],
        read: &mut Read,
    ) -> Amount {
        let amount = amount(touched.iter().map(|it| (it.inode, it.size)), read);
        let is_read = self.may_read(reading, amount.bytes);
        for it in touched {
            if let Ok(at) = plan.fetch.binary_search_by_key(&it.path, |fetch| fetch.path) {
                plan.fetch[at].doubt = if is_read { Doubt::Read } else { Doubt::Left };
            }
        }
        if is_read {
            read.extend(touched.iter().filter_map(|it| it.inode));
            return Amount::default();
        }
        touched.iter().for_each(|it| reading.checked.leave(it.ctime));
        plan.unread = plan.unread.and(amount);
        amount
    }

    /// Whether so many bytes of a module are read; then they count.
    fn may_read(&self, reading: &mut Reading<'_>, bytes: u64) -> bool {
        let read = reading.checked.read.saturating_add(bytes);
        let may = self.options.repair || bytes == 0 || read <= self.config.read_altered;
        if may && !self.options.repair {
            reading.checked.read = read;
        }
        may
    }

    /// Settles it for names that are here and that missing ones may be linked to: damage must not spread.
    pub(super) fn settle_doubt_of_twins<'t>(
        &self,
        plan: &mut Plan<'t>,
        readings: &mut [Reading<'_>],
        roots: &HashMap<usize, Root>,
        subjects: &[Subject],
    ) {
        let mut ctimes: HashMap<usize, Option<Ctimes>> = HashMap::new();
        let mut touched = |twin: &Twin<'t>| {
            let ctimes = ctimes.entry(twin.module).or_insert_with(|| self.ctimes_before(twin.module, subjects));
            let stat = roots.get(&twin.module)?.stat(twin.path).ok()?;
            ctimes.as_ref()?.doubt(Stamp::of(&stat).ctime).then_some(stat)
        };
        let seen: Vec<(usize, Stat)> =
            plan.twins.iter().enumerate().filter_map(|(at, twin)| Some((at, touched(twin)?))).collect();
        if seen.is_empty() {
            return;
        }
        // Where rsync only looks at names that are here, it links nothing to them.
        let is_linked = |&(module, path): &(usize, RelPath<'t>)| {
            let fetch: &[_] = &plan.modules[module].fetch;
            let at = fetch.binary_search_by_key(&path, |fetch| fetch.path);
            at.is_ok_and(|at| fetch[at].cause != FetchCause::Altered)
        };
        let linked = plan.links.iter().filter(|link| is_linked(&link.missing));
        let linked: HashMap<_, usize, RandomState> = linked.map(|link| (link.local, link.missing.0)).collect();
        let module_of = |twin: &Twin<'t>| linked.get(&(twin.module, twin.path)).copied();
        for (at, _) in &seen {
            plan.twins[*at].doubt = Doubt::Left;
        }
        for reading in readings.iter_mut().filter(|_| !self.options.verify) {
            let of_module = seen.iter().filter(|(at, _)| module_of(&plan.twins[*at]) == Some(reading.module));
            let of_module: Vec<&(usize, Stat)> = of_module.collect();
            let files = of_module.iter().map(|(_, stat)| {
                let inode = Inode { device: stat.st_dev, number: stat.st_ino };
                (Some(inode), stat.st_size.unsigned_abs())
            });
            let amount = amount(files, &Read::default());
            if self.may_read(reading, amount.bytes) {
                of_module.iter().for_each(|(at, _)| plan.twins[*at].doubt = Doubt::Read);
            } else {
                let of_module = &mut plan.modules[reading.module];
                of_module.unread = of_module.unread.and(amount);
                self.tell_unread(of_module, &subjects[reading.module], amount);
            }
        }
    }

    /// What ctimes tell of a module, as it was left.
    pub(super) fn ctimes_before(&self, module: usize, subjects: &[Subject]) -> Option<Ctimes> {
        self.ctimes(module, subjects[module].applied.as_ref()?)
    }

    /// Whether a file is here, and its content is in doubt.
    pub(super) fn is_in_doubt(&self, module: usize, root: &Root, path: RelPath<'_>, subjects: &[Subject]) -> bool {
        // What cannot be looked at is not changed either.
        let Ok(stat) = root.stat(path) else { return false };
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let ctimes = || self.ctimes_before(module, subjects);
        is_file && ctimes().is_some_and(|ctimes| ctimes.doubt(Stamp::of(&stat).ctime))
    }

    /// Says what of a module is left in doubt, where it was not in doubt before.
    fn tell_unread(&self, plan: &ModulePlan<'_>, subject: &Subject, left: Amount) {
        let was_in_doubt = subject.applied.as_ref().is_some_and(|applied| applied.checked.is_in_doubt());
        if left.entries == 0 || was_in_doubt && plan.depth != Depth::Full {
            return;
        }
        let (module, files) = (plan.module.as_str(), count(left.entries, "file", "files"));
        let text = format!(
            "{module}: others touched {files} here, {}, which is more than what is read of such files (read_altered): rsync compares \
             size and time, and the content stays in doubt. To have it compared: qfm verify --repair {module}",
            bytes(left.bytes)
        );
        self.listener.hear(&Event::Warning(&text));
    }

    /// Does something that, if so, changes what is in doubt.
    pub(super) fn keeping_doubt<T>(&self, changes_doubted: bool, act: impl FnOnce() -> T) -> T {
        if !changes_doubted {
            return act();
        }
        let since = self.moment();
        let done = act();
        self.keep_doubt(since);
        done
    }

    /// The moment before something is done that may change what is in doubt.
    pub(super) fn moment(&self) -> i64 {
        let begin = || self.changing.get().copied().unwrap_or(i64::MIN);
        self.clock(None).unwrap_or_else(begin)
    }

    /// What was done since a moment changed what is in doubt: a change of that time is no sign of us.
    pub(super) fn keep_doubt(&self, since: i64) {
        let until = self.clock(None).unwrap_or(i64::MAX);
        self.in_doubt.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).add(since, until);
    }
}

/// How much these files are that are not read anyway, each once.
fn amount(files: impl Iterator<Item = (Option<Inode>, u64)>, read: &Read) -> Amount {
    let mut counted = Read::default();
    let mut amount = Amount::default();
    for (_, size) in
        files.filter(|(inode, _)| inode.is_none_or(|inode| !read.contains(&inode) && counted.insert(inode)))
    {
        amount.add(size);
    }
    amount
}
