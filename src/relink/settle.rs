//! What the next run must know of what was linked: nothing of it is the work of others.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use foldhash::fast::RandomState;

use super::{Module, Run};
use crate::path::RelPath;
use crate::plan::compare::Inode;
use crate::plan::relink::{Facts, Name};
use crate::plan::spans::Spans;
use crate::state::journal::{Journal, Unfinished};
use crate::state::stamps::News;
use crate::state::{Applied, Stamps, spans};
use crate::sync::Failure;
use crate::tree::{Stamp, stamp};

/// The clock of a file system moves on after so long, in steps of this.
const TICKS: u32 = 20;
const TICK: Duration = Duration::from_millis(1);

/// A directory in which we changed names.
struct Touched {
    /// Its stamp before the first time.
    before: Stamp,
    /// And after the last.
    after: Stamp,
    /// Nobody else changed it in between.
    is_ours: bool,
}

/// What is to be settled in the end, once anything was changed.
#[derive(Default)]
pub(super) struct Settling<'t> {
    /// What the journal named before, once something is changed.
    began: Option<Unfinished>,
    /// Before the first change, by the clock of the file system; `None` where that cannot be read.
    since: Option<i64>,
    touched: BTreeMap<(usize, RelPath<'t>), Touched>,
    /// Modules of which something did not go as it should.
    doubted: BTreeSet<usize>,
    /// Files that others touched: their content may be another than the lists mean.
    in_doubt: HashSet<Inode, RandomState>,
    /// When such files got or lost a name.
    changed_doubted: Spans,
}

impl<'t> Settling<'t> {
    /// Before the first change: all that was written is on the disk, because the only name of content that is there could be given to
    /// content that is not; and a run that finds us killed compares everything.
    pub fn begin(&mut self, run: &Run<'_>, modules: &[Module<'_>]) -> Result<(), Failure> {
        if self.began.is_some() {
            return Ok(());
        }
        for module in modules {
            module.root.sync()?;
        }
        let journal = Journal::of(&run.state);
        self.began = Some(journal.unfinished());
        self.since = modules.iter().filter_map(|module| stamp::clock(&module.root)).min();
        let since = |module: &Module<'_>| stamp::clock(&module.root).unwrap_or(i64::MAX);
        let named: Vec<(&str, i64)> = modules.iter().map(|module| (module.directory, since(module))).collect();
        Ok(journal.begin(&named, "hardlink")?)
    }

    /// A name in a directory was changed by us.
    pub fn note(&mut self, name: Name<'t>, before: Stamp, after: Stamp) {
        let touched = self.touched.entry((name.module, name.path.parent()));
        let touched = touched.or_insert(Touched { before, after: before, is_ours: true });
        touched.is_ours &= touched.after == before;
        touched.after = after;
    }

    /// Does something that changes files, of which `touched` says what was seen of each before, and in which module.
    pub fn keeping_doubt<T>(
        &mut self,
        modules: &[Module<'_>],
        touched: [(usize, &Facts); 2],
        act: impl FnOnce() -> T,
    ) -> T {
        for (module, facts) in touched {
            // What changed since is our work.
            let is_ours = self.since.is_none_or(|since| facts.ctime >= since);
            if !is_ours && modules[module].ctimes.as_ref().is_some_and(|ctimes| ctimes.doubt(facts.ctime)) {
                self.in_doubt.insert(facts.file);
            }
        }
        if !touched.iter().any(|(_, facts)| self.in_doubt.contains(&facts.file)) {
            return act();
        }
        let clock = || stamp::clock(&modules[touched[0].0].root);
        let since = clock();
        let done = act();
        self.changed_doubted.add(since.unwrap_or(i64::MIN), clock().unwrap_or(i64::MAX));
        done
    }

    /// Something in a module did not go as it should: the next run looks at all of it.
    pub fn doubt(&mut self, module: usize) {
        self.doubted.insert(module);
    }

    /// After the last change.
    pub fn end(self, run: &Run<'_>, modules: &[Module<'_>]) -> Result<(), Failure> {
        let Some(began) = &self.began else { return Ok(()) };
        let settled = self.settle(began, run, modules);
        let cleared = run.state.clear_work();
        settled.and(cleared.map_err(Failure::from))
    }

    fn settle(&self, began: &Unfinished, run: &Run<'_>, modules: &[Module<'_>]) -> Result<(), Failure> {
        for (number, module) in modules.iter().enumerate() {
            if let Err(failure) = self.renew_stamps(run, number, module) {
                let text = format!("{}: {:#}; the next run reads what was linked", module.name, failure.error);
                run.listener.hear(&crate::report::Event::Warning(&text));
            }
        }
        let now = modules.iter().filter_map(|module| stamp::clock(&module.root)).max();
        if let (Some(begin), Some(end)) = (self.since, now) {
            let mut span = Spans::default();
            span.add(begin, end);
            spans::add(&run.state, &span.without(&self.changed_doubted))?;
        }
        // What an earlier run left in disorder is still to be put in order by the next.
        let is_in_order = |(number, module): &(usize, &Module<'_>)| {
            !began.concerns(module.directory) && !self.doubted.contains(number)
        };
        let in_order = modules.iter().enumerate().filter(is_in_order).map(|(_, module)| module.directory);
        let in_order: Vec<&str> = in_order.collect();
        if in_order.is_empty() {
            return Ok(());
        }
        Ok(Journal::of(&run.state).end(&in_order, &run.config.directories())?)
    }

    /// Directories that were as the saved state says before we changed them are so after it.
    fn renew_stamps(&self, run: &Run<'_>, number: usize, module: &Module<'_>) -> Result<(), Failure> {
        let of_module = || {
            let touched = self.touched.iter().filter(|((module, _), _)| *module == number);
            touched.map(|((_, dir), touched)| (*dir, touched))
        };
        let Some(newest) = of_module().map(|(_, touched)| touched.after.ctime).max() else { return Ok(()) };
        let saved = run.state.list(module.directory, module.list);
        let Some(applied) = Applied::read(&run.state, module.directory, &saved)? else { return Ok(()) };
        let stamps = Stamps::read(&run.state, module.directory, applied.stamps)?;
        let mut clock = stamp::clock(&module.root);
        for _ in 0..TICKS {
            if clock.is_none_or(|clock| clock > newest) {
                break;
            }
            std::thread::sleep(TICK);
            clock = stamp::clock(&module.root);
        }
        let mut news = News::default();
        for (dir, touched) in of_module().filter(|(dir, touched)| stamps.of(*dir) == Some(touched.before)) {
            let now = module.root.stat(dir).map(|stat| Stamp::of(&stat));
            let is_ours = touched.is_ours && now.is_ok_and(|now| now == touched.after);
            let is_safe = is_ours && clock.is_some_and(|clock| !touched.after.is_racy(clock));
            news.known.insert(dir.to_owned(), is_safe.then_some(touched.after));
        }
        let stamps = stamps.write(news, &run.state, module.directory, Some(applied.stamps))?;
        Applied { stamps, ..applied }.write(&run.state, module.directory)?;
        Ok(())
    }
}
