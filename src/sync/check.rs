//! Looking whether it came: after a transfer, what was written to is compared with the list again.
//!
//! rsync's word is not enough. It passes over names that upstream has no more, and it compares whole seconds and sizes.

use std::collections::HashSet;

use super::checksums::{Sums, is_wrong};
use super::lists::Lists;
use super::reading::Reading;
use super::transfer::Came;
use super::{Failure, GivenUp, Run};
use crate::list::Listing;
use crate::list::listing::DirId;
use crate::plan::compare::{Fetch, Look, Vouched};
use crate::plan::{ModulePlan, Plan};
use crate::tree::Root;
use crate::tree::stamp::{self, is_absence};
use crate::tree::walk::Survey;

impl Run<'_> {
    /// What of the plan is not here as the lists have it. Directories that were written to and are as they should be get new
    /// stamps.
    pub(super) fn check(&self, plan: &Plan<'_>, readings: &mut [Reading<'_>], lists: &Lists, came: Came) -> GivenUp {
        let Came { unseen: mut left, unsafe_links } = came;
        for reading in readings.iter_mut() {
            let module = reading.module;
            let fetched = &plan.modules[module].fetch;
            if fetched.is_empty() {
                continue;
            }
            // The first transfer made the directory.
            let root = match reading.root.take() {
                Some(root) => Ok(root),
                None => Root::open(&self.root.join(self.directory(module))),
            };
            match root {
                Ok(root) => {
                    let sums = lists[module].as_ref().map(Sums::of).transpose();
                    let sums = sums.map_err(|failure| self.failed(module, &failure)).ok().flatten().unwrap_or_default();
                    left.extend(self.check_module(&plan.modules[module], reading, &root, &sums, &unsafe_links));
                    reading.root = Some(root);
                }
                Err(error) if is_absence(&error.source) => {
                    left.extend(fetched.iter().map(|fetch| (module, fetch.path.to_owned())));
                }
                Err(error) => {
                    self.failed(module, &Failure::from(error));
                    reading.blocked = true;
                }
            }
        }
        left
    }

    fn check_module(
        &self,
        plan: &ModulePlan<'_>,
        reading: &mut Reading<'_>,
        root: &Root,
        sums: &Sums<'_>,
        unsafe_links: &GivenUp,
    ) -> GivenUp {
        let module = reading.module;
        let survey = self.look_again(reading, root, touched(&reading.listing, &plan.fetch));
        let missing = survey.found.fetch.iter().map(|fetch| (module, fetch.path.to_owned()));
        let mut left: GivenUp = missing.filter(|missing| !unsafe_links.contains(missing)).collect();
        // A link that is left out is not missing; but what was here before it must not pass for it.
        let stale = unsafe_links.iter().filter(|(of, path)| *of == module && root.stat(path.as_path()).is_ok());
        left.extend(stale.cloned());
        let wrong = plan.fetch.iter().filter(|fetch| is_wrong(root, sums, fetch.path));
        left.extend(wrong.map(|fetch| (module, fetch.path.to_owned())));
        for (_, path) in &left {
            reading.forget(path.as_path().parent().to_owned());
        }
        left
    }

    /// Compares directories that were changed by us, and renews the stamps of those that hold nothing but what the list has. The others
    /// are read again by the next run.
    pub(super) fn look_again<'t>(&self, reading: &mut Reading<'t>, root: &Root, dirs: HashSet<DirId>) -> Survey<'t> {
        for &dir in &dirs {
            reading.forget(reading.listing.dir_path(dir).to_owned());
        }
        let is_here = |dir: &DirId| !root.stat(reading.listing.dir_path(*dir)).is_err_and(|error| is_absence(&error));
        let start = dirs.into_iter().filter(is_here).map(|dir| (dir, Look::Whole)).collect();
        let clock = stamp::clock(root);
        let mut survey = self.walk(reading.module, root, &reading.listing, Vouched::Transfer, false).survey(start);
        for error in survey.unreadable.drain(..) {
            self.failed(reading.module, &Failure::from(error));
            reading.blocked = true;
        }
        reading.keep(&survey, clock);
        for extra in &survey.found.extra {
            reading.forget(extra.dir.clone());
        }
        survey
    }
}

/// The directories that a transfer wrote to: those that hold what came, those that came, and those above, whose times rsync sets.
fn touched(listing: &Listing<'_>, fetched: &[Fetch<'_>]) -> HashSet<DirId> {
    let mut touched = HashSet::from([0]);
    for fetch in fetched {
        touched.extend(listing.dir(fetch.path));
        for path in fetch.path.ancestors() {
            match listing.dir(path) {
                Some(dir) if !touched.insert(dir) => break,
                _ => {}
            }
        }
    }
    touched
}
