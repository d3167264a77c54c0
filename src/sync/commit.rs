//! The end of a run: lists into the tree, lists into the state, deletions, stamps.
//!
//! In this order, module by module. Killed between two steps, the journal is still there, and the next run compares the module
//! in full.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::path::PathBuf;

use super::reading::Reading;
use super::text::{List, Lists};
use super::{Failure, Left, Run};
use crate::config::DeleteMode;
use crate::exit::Status;
use crate::path::{RelPath, RelPathBuf};
use crate::plan::guard::{Allowed, Hold, Unusual, Whole, biggest_subtrees, let_pass, passes};
use crate::plan::{Delete, Depth, Earlier, InTheWay, ModulePlan, Plan, deletes_by_cause, repository};
use crate::report::{Event, Held, Why};
use crate::state::applied::{Identity, Pending};
use crate::state::{Applied, replace_list};
use crate::tree::delete::Deleted;
use crate::tree::install::{self, Staged};
use crate::tree::{Root, TreeError};

/// So many entries are named that upstream did not deliver; the saved state has them all.
const UNDELIVERED_SHOWN: usize = 10;

/// The cause, beside those of deletions, why something goes that makes way for what upstream has in its place.
const REPLACED: &str = "replaced";

/// Lists that wait beside their places in the tree, by module, or why one cannot.
pub(super) type StagedLists = HashMap<usize, Result<Staged, Failure>>;

impl Run<'_> {
    /// Has the file systems write down what came: no list may say so, and no state, that outlives it in a loss of power.
    pub(super) fn sync_trees(&self, plan: &Plan<'_>, readings: &mut [Reading<'_>]) {
        for reading in readings.iter_mut().filter(|reading| !plan.modules[reading.module].fetch.is_empty()) {
            if let Some(Err(error)) = reading.root.as_ref().map(Root::sync) {
                self.failed(reading.module, &Failure::from(error));
                reading.blocked = true;
            }
        }
    }

    /// Commits every module of which all is here that upstream delivers. Returns those that were.
    pub(super) fn commit(
        &self,
        plan: &Plan<'_>,
        readings: Vec<Reading<'_>>,
        lists: &Lists,
        left: &Left,
        mut staged: StagedLists,
    ) -> Vec<usize> {
        let mut committed = Vec::new();
        for reading in readings {
            let module = reading.module;
            let Some(list) = &lists[module] else { continue };
            match self.commit_module(&plan.modules[module], reading, list, left, staged.remove(&module)) {
                Ok(true) => committed.push(module),
                Ok(false) => {}
                Err(failure) => self.failed(module, &failure),
            }
        }
        committed
    }

    fn commit_module(
        &self,
        plan: &ModulePlan<'_>,
        mut reading: Reading<'_>,
        list: &List,
        left: &Left,
        staged: Option<Result<Staged, Failure>>,
    ) -> Result<bool, Failure> {
        let module = reading.module;
        if reading.blocked {
            let incomplete = [Hold::Incomplete];
            let holds = if plan.holds.is_empty() { &incomplete } else { plan.holds.as_slice() };
            self.hold(plan, &plan.deletes.iter().collect::<Vec<_>>(), &plan.in_the_way, holds);
            return Ok(false);
        }
        let undelivered = self.tell_undelivered(module, left);
        let root = match reading.root.take() {
            Some(root) => root,
            // Nothing of it is carried: no transfer made its directory, and its list is all that it has.
            None if plan.fetch.is_empty() => Root::make(&self.root.join(self.directory(module)))?,
            None => return Ok(false),
        };
        let applied_list = self.install_list(module, list, plan, staged)?;
        // Where indexes or pointers did not come, clients still follow those that are here.
        let held_back: Vec<RelPathBuf> = plan.held_back.iter().map(|fetch| fetch.path.to_owned()).collect();
        let lacking = || undelivered.iter().chain(&held_back).map(RelPathBuf::as_path);
        let followed = lacking().filter_map(repository::led_to).collect();
        let pending = self.delete(plan, &mut reading, &root, followed)?;
        let identity = Identity::of(&applied_list).map_err(|error| Failure::new(Status::Local, error))?;
        let Some(identity) = identity else {
            return Err(Failure::said(
                Status::Local,
                format!(
                    "the saved list {} went away under the run; the next one compares everything",
                    applied_list.display()
                ),
            ));
        };
        let is_kept = self.config.delete.mode == DeleteMode::Never;
        let kept = if is_kept { deletes_by_cause(pending.iter().copied()) } else { BTreeMap::new() };
        let mut held: Vec<Unusual> = plan.holds.iter().flat_map(Hold::unusual).cloned().collect();
        if pending.is_empty() && held_back.is_empty() {
            held.clear();
        }
        let earlier = if held.is_empty() { Earlier::Left } else { Earlier::Held };
        let staying = plan.staying.iter().map(|delete| pending_of(delete, Earlier::Staying));
        let pending = pending.into_iter().map(|delete| pending_of(delete, earlier)).chain(staying).collect();
        lacking().for_each(|path| reading.forget(path.parent().to_owned()));
        reading.left_out.sort();
        let news = reading.all_news();
        let (stamps, len) = reading.stamps.map_or_else(Default::default, |(stamps, len)| (stamps, Some(len)));
        let stamps = stamps.write(news, &self.state, self.directory(module), len)?;
        let applied = Applied {
            selection: reading.filter.selection().clone(),
            list: identity,
            carried: reading.facts.after,
            peak: reading.peak,
            oldest_release: reading.filter.oldest_release(),
            stamps,
            checked: reading.checked,
            racy_list: list.racy,
            doubtful_rows: reading.facts.bad_rows,
            held,
            undelivered,
            held_back,
            left_out: reading.left_out,
            closed: reading.closed,
            pending,
            kept,
        };
        applied.write(&self.state, self.directory(module))?;
        Ok(true)
    }

    /// Tells what of a module did not come, and why; returns it, by path.
    pub(super) fn tell_undelivered(&self, module: usize, left: &Left) -> Vec<RelPathBuf> {
        let undelivered = left.entries.iter().filter(|(of, _)| *of == module).map(|(_, path)| path.clone());
        let mut undelivered: Vec<_> = undelivered.collect();
        undelivered.sort();
        let why = |path: &RelPathBuf| left.why.get(&(module, path.clone())).unwrap_or(&Why::Absent);
        let (beside, told): (Vec<_>, Vec<_>) =
            undelivered.iter().map(|path| (path, why(path))).partition(|(_, why)| **why == Why::Beside);
        for (path, why) in told.iter().take(UNDELIVERED_SHOWN).chain(&beside) {
            let path = path.as_path().to_string();
            self.listener.hear(&Event::Undelivered { module: self.name(module), path: &path, why });
        }
        if told.len() > UNDELIVERED_SHOWN {
            let more = told.len() - UNDELIVERED_SHOWN;
            self.listener.hear(&Event::MoreUndelivered { module: self.name(module), more });
        }
        undelivered
    }

    /// Puts the list into the tree, then into the state: the one that was processed, byte for byte. Returns where the state has it.
    fn install_list(
        &self,
        module: usize,
        list: &List,
        plan: &ModulePlan<'_>,
        staged: Option<Result<Staged, Failure>>,
    ) -> Result<PathBuf, Failure> {
        let settings = &self.config.modules[module];
        let saved = self.state.list(&settings.directory, &settings.list);
        let staged = match staged {
            Some(staged) => Some(staged?),
            None => self.stage(module, list, plan)?,
        };
        if let Some(staged) = staged {
            staged.publish()?;
            let path = format!("{}/{}", settings.directory, settings.list);
            self.listener.hear(&Event::Installed { module: &settings.name, path: &path });
        }
        if plan.new_list {
            replace_list(&list.text.path, &saved)?;
        }
        Ok(saved)
    }

    /// Puts the list of a module beside its place in the tree, unless it is there.
    fn stage(&self, module: usize, list: &List, plan: &ModulePlan<'_>) -> Result<Option<Staged>, Failure> {
        let root = Root::open(&self.root.join(self.directory(module)))?;
        let mut file = File::open(&list.text.path).map_err(|error| Failure::new(Status::Local, error))?;
        // A list that did not change is compared byte by byte when everything is.
        let closely = plan.new_list || plan.depth == Depth::Full;
        let staged = install::stage(root, &self.config.modules[module].list, &mut file, closely)?;
        if plan.new_list {
            // It is synced before it is saved: then this is done already. What goes wrong here is not told a second time.
            file.sync_all().map_err(|error| TreeError::new("cannot sync", &list.text.path, error))?;
        }
        Ok(staged)
    }

    /// New lists beside their places, by module, where there are directories for them: while others transfer, because copies of this
    /// size take a while.
    pub(super) fn stage_lists(&self, plan: &Plan<'_>, lists: &Lists) -> StagedLists {
        let modules = plan.modules.iter().zip(lists).enumerate();
        let modules = modules.filter(|(_, (of, _))| of.new_list && self.root.join(&of.directory).is_dir());
        let staged = |(module, (of, list)): (usize, (&ModulePlan<'_>, &Option<List>))| {
            Some((module, self.stage(module, list.as_ref()?, of).transpose()?))
        };
        modules.filter_map(staged).collect()
    }

    /// Deletes what may be deleted. Returns what should go and is still here.
    fn delete<'p>(
        &self,
        plan: &'p ModulePlan<'_>,
        reading: &mut Reading<'_>,
        root: &Root,
        followed: Vec<RelPath<'_>>,
    ) -> Result<Vec<&'p Delete>, Failure> {
        let module = reading.module;
        let exceptions = self.exceptions(module);
        let (allowed, deleted) = match Whole::prove(&reading.facts, !reading.blocked) {
            Ok(whole) => {
                let allowed = Allowed::new(&whole, &plan.deletes, &plan.holds, &exceptions);
                let allowed = allowed.outside(&followed);
                let changes_doubted = allowed.deletes().iter().any(|delete| delete.in_doubt);
                let delete = || crate::tree::delete::delete(root, &allowed, self.interrupt);
                let deleted = self.keeping_doubt(changes_doubted, delete);
                (allowed.deletes().len(), deleted)
            }
            Err(_) => (0, Deleted::default()),
        };
        let gone: HashSet<Vec<u8>> = deleted.paths.iter().cloned().collect();
        let is_gone = |delete: &&Delete| gone.contains(&delete.path());
        let pending: Vec<&Delete> = plan.deletes.iter().filter(|delete| !is_gone(delete)).collect();
        // Nobody would look at the time of a directory again, were it not for the journal.
        if let Some(error) = self.tell_deleted(module, &plan.deletes, deleted) {
            return Err(error.into());
        }
        if !plan.staying.is_empty() {
            self.listener.hear(&Event::Staying { module: self.name(module), entries: plan.staying_entries() });
        }
        let in_the_way = plan.held_in_the_way();
        if !plan.holds.is_empty() && (allowed < plan.deletes.len().max(1) || !in_the_way.is_empty()) {
            self.hold(plan, &pending, &in_the_way, &plan.holds);
        }
        self.stamp_anew(reading, root, plan)?;
        self.check_interrupt()?;
        Ok(pending)
    }

    /// Tells what a run by this plan would hold.
    pub(super) fn preview_held(&self, plan: &Plan<'_>) {
        for (module, of) in plan.modules.iter().enumerate().filter(|(_, of)| !of.holds.is_empty()) {
            let exceptions = self.exceptions(module);
            let is_held = |delete: &&Delete| !passes(delete, &of.holds, &exceptions);
            let pending: Vec<&Delete> = of.deletes.iter().filter(is_held).collect();
            self.hold(of, &pending, &of.held_in_the_way(), &of.holds);
        }
    }

    /// Tells what came of deletions of a module. Returns why a directory has not the time that it had, if one has not.
    pub(super) fn tell_deleted(&self, module: usize, deletes: &[Delete], deleted: Deleted) -> Option<TreeError> {
        let name = self.name(module);
        let gone: HashSet<&[u8]> = deleted.paths.iter().map(Vec::as_slice).collect();
        for delete in deletes.iter().filter(|delete| gone.contains(delete.path().as_slice())) {
            let (cause, entries, path) = (delete.cause, delete.entries, &delete.path());
            self.listener.hear(&Event::Deleted {
                module: name,
                cause,
                entries,
                directory: self.directory(module),
                path,
            });
        }
        if deleted.entries > 0 {
            self.listener.hear(&Event::DeletedEntries { module: name, entries: deleted.entries });
        }
        for error in deleted.failed {
            self.failed(module, &Failure::from(error));
        }
        deleted.untimed.into_iter().next()
    }

    fn hold(&self, plan: &ModulePlan<'_>, pending: &[&Delete], in_the_way: &[InTheWay<'_>], holds: &[Hold]) {
        // Nothing is held where nothing is to go, unless rows are in doubt: then it is not known what is.
        let doubt = holds.iter().any(|hold| matches!(hold, Hold::BadRows(_)));
        if pending.is_empty() && in_the_way.is_empty() && !doubt {
            return;
        }
        let paths = pending.iter().map(|delete| (delete.path(), delete.entries));
        let paths =
            paths.chain(in_the_way.iter().map(|directory| (directory.path.bytes().to_vec(), directory.entries)));
        let paths: Vec<(Vec<u8>, u64)> = paths.collect();
        let entries = paths.iter().map(|(_, entries)| entries).sum();
        let module = plan.module.as_str();
        let mut causes = deletes_by_cause(pending.iter().copied());
        let replaced = in_the_way.iter().map(|directory| directory.entries).sum();
        // Nobody needs to look at what goes in no case.
        let is_kept = holds.iter().all(|hold| *hold == Hold::Never || hold.can_be_allowed());
        if holds.contains(&Hold::Never) && is_kept && in_the_way.is_empty() {
            self.listener.hear(&Event::Kept { module, entries, causes: &causes });
            return;
        }
        if replaced > 0 {
            causes.insert(REPLACED, replaced);
        }
        let why: Vec<String> = holds.iter().map(ToString::to_string).collect();
        let subtrees = biggest_subtrees(paths, 3);
        let ways: Vec<RelPath<'_>> = in_the_way.iter().map(|directory| directory.path).collect();
        let let_pass = let_pass(module, holds, !pending.is_empty(), &ways);
        let let_pass = let_pass.as_deref();
        let (causes, why, subtrees) = (&causes, why.as_slice(), subtrees.as_slice());
        let held_back = plan.held_back.len() as u64;
        self.listener.hear(&Event::Held(Held { module, entries, causes, why, subtrees, held_back, let_pass }));
    }
}

fn pending_of(delete: &Delete, earlier: Earlier) -> Pending {
    Pending { path: delete.path(), cause: delete.cause, since: delete.since, earlier }
}
