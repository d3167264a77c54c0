//! Temporary entries that the list does not have: those of a run of ours that did not finish, or of quick-fedora-mirror before our
//! first, are used or removed; those of others are left alone.

use std::time::{SystemTime, UNIX_EPOCH};

use super::deletes::{by_path, cause};
use super::reading::Reading;
use super::subject::Since;
use super::transfer::LARGE;
use super::{Failure, Run};
use crate::config::Module;
use crate::list::Kind;
use crate::path::{RelPath, RelPathBuf};
use crate::plan::compare::{Extra, Fetch};
use crate::plan::leftovers::Temporary;
use crate::plan::publish::Class;
use crate::plan::{DeleteCause, Plan};
use crate::state::Applied;
use crate::state::journal::Journal;
use crate::tree::rescue::{self, Wanted};
use crate::tree::walk::Survey;
use crate::tree::{Root, stamp};

impl Run<'_> {
    /// Takes temporary entries out of what is here and should not be, unless a list had them. Directories where some may be ours are
    /// remembered.
    pub(super) fn set_temporary_apart(
        &self,
        reading: &mut Reading<'_>,
        since: Option<&Since<'_>>,
        applied: Option<&Applied>,
        survey: &mut Survey<'_>,
    ) {
        fn temporary(extra: &Extra) -> Option<Temporary<'_>> {
            Temporary::of(&extra.name, extra.kind)
        }
        if !survey.found.extra.iter().any(|extra| temporary(extra).is_some()) {
            return;
        }
        let (pending, began) = (by_path(applied), self.changed_since(reading.module));
        survey.found.extra.retain(|extra| match temporary(extra) {
            Some(temporary) if cause(reading, since, &pending, extra) == DeleteCause::NeverListed => {
                if temporary.may_be_ours(extra.ctime, began) {
                    reading.littered.insert(extra.dir.clone());
                }
                false
            }
            _ => true,
        });
    }

    /// Before a transfer: what a run before left in the tree is put where it is of use, or goes.
    pub(super) fn clear_leftovers(&self, plan: &Plan<'_>, readings: &mut [Reading<'_>]) {
        for reading in readings {
            let fetched = &plan.modules[reading.module].fetch;
            let fetch = |path: RelPath<'_>| {
                let at = fetched.binary_search_by_key(&path, |fetch| fetch.path).ok()?;
                Some(&fetched[at]).filter(|fetch| fetch.kind == Kind::File)
            };
            let littered = std::mem::take(&mut reading.littered);
            let Some(root) = &reading.root else { continue };
            let dirs = littered.iter().map(RelPathBuf::as_path);
            let cleared = self.clear_of_ours(reading, root, dirs, |path| fetch(path).map(wanted));
            reading.blocked |= cleared.map_err(|failure| self.failed(reading.module, &failure)).is_err();
        }
    }

    /// Clears directories of temporary entries of ours; `wanted` says what is to be fetched.
    pub(super) fn clear_of_ours<'d>(
        &self,
        reading: &Reading<'_>,
        root: &Root,
        mut dirs: impl Iterator<Item = RelPath<'d>>,
        wanted: impl Fn(RelPath<'_>) -> Option<Wanted>,
    ) -> Result<(), Failure> {
        let (listing, since) = (&reading.listing, self.changed_since(reading.module));
        dirs.try_for_each(|dir| {
            let names = rescue::Names {
                is_listed: &|name| dir.join(name).is_ok_and(|path| listing.find(path.as_path()).is_some()),
                wanted: &|name| dir.join(name).ok().and_then(|path| wanted(path.as_path())),
            };
            Ok(rescue::clear(root, dir, since, &names)?)
        })
    }

    /// Since when a module was changed by runs, this one too, that did not put it in order; by the clock of its file system. Before
    /// the first run of ours all is the old tool's, whose lock this one has: what that left is as good.
    fn changed_since(&self, module: usize) -> Option<i64> {
        let Module { directory, list, .. } = &self.config.modules[module];
        let recovers = !self.config.old.as_ref().is_some_and(|old| old.no_recovery);
        let takes_over = recovers && self.config.time_file.is_some() && !self.state.list(directory, list).exists();
        if takes_over { Some(i64::MIN) } else { Journal::of(&self.state).unfinished().since(directory) }
    }

    /// The moment of the clock of a module's file system, nanoseconds since the epoch; this machine's where that cannot be read.
    pub(super) fn now(&self, reading: &Reading<'_>) -> i64 {
        let ours = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        self.clock(reading.root.as_ref()).unwrap_or_else(|| i64::try_from(ours()).unwrap_or(i64::MAX))
    }

    /// The moment of the clock of a module's file system, nanoseconds since the epoch; `None` where that cannot be read.
    pub(super) fn clock(&self, root: Option<&Root>) -> Option<i64> {
        match root {
            Some(root) => stamp::clock(root),
            // A directory that is not there yet is made in the mirror root.
            None => stamp::clock(&Root::open(&self.root).ok()?),
        }
    }
}

fn wanted(fetch: &Fetch<'_>) -> Wanted {
    let is_content = fetch.class() == Class::Content;
    Wanted { size: fetch.size, time: fetch.time, at_once: is_content, resumes: !is_content || fetch.size >= LARGE }
}
