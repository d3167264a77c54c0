//! Looking whether it came: after a transfer, what was asked for is compared with the list again.
//!
//! rsync's word is not enough. It passes over names that upstream has no more, and it compares whole seconds and sizes.

use std::collections::{HashMap, HashSet};

use super::checksums::{Sums, is_wrong};
use super::reading::Reading;
use super::text::Lists;
use super::transfer::Came;
use super::{Failure, GivenUp, Left, Run};
use crate::list::Listing;
use crate::list::listing::DirId;
use crate::path::RelPath;
use crate::plan::compare::{Fetch, Look, Vouched};
use crate::plan::{ModulePlan, Plan};
use crate::report::Why;
use crate::tree::Root;
use crate::tree::stamp::{self, is_absence};
use crate::tree::walk;

/// So many public paths that stay closed for others are remembered: more of them are a decision of the admin's or the file system's.
const MOST_CLOSED: usize = 1000;

impl Run<'_> {
    /// What of the plan is not here as the lists have it.
    pub(super) fn check(&self, plan: &Plan<'_>, readings: &mut [Reading<'_>], lists: &Lists, came: Came) -> Left {
        let Came { mut left, unsafe_links } = came;
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
                    self.check_module(&plan.modules[module], reading, &root, &sums, &unsafe_links, &mut left);
                    reading.root = Some(root);
                }
                Err(error) if is_absence(&error.source) => {
                    left.entries.extend(fetched.iter().map(|fetch| (module, fetch.path.to_owned())));
                }
                Err(error) => {
                    self.failed(module, &Failure::from(error));
                    reading.blocked = true;
                }
            }
        }
        left
    }

    /// Adds what of one module is not here.
    fn check_module(
        &self,
        plan: &ModulePlan<'_>,
        reading: &mut Reading<'_>,
        root: &Root,
        sums: &Sums<'_>,
        unsafe_links: &GivenUp,
        left: &mut Left,
    ) {
        let module = reading.module;
        let (start, absent) = asked_for(module, &reading.listing, &plan.fetch, root);
        left.entries.extend(absent);
        let survey = self.walk(module, root, &reading.listing, Vouched::Transfer, false).survey(start);
        for error in survey.unreadable {
            self.unread(module, error);
            reading.blocked = true;
        }
        if let Some(closed) = &mut reading.closed {
            closed.extend(survey.found.closed.iter().map(|path| (*path).to_owned()));
            closed.sort();
            closed.dedup();
        }
        reading.closed.take_if(|closed| closed.len() > MOST_CLOSED);
        let missing = survey.found.fetch.iter().map(|fetch| (module, fetch.path.to_owned()));
        left.entries.extend(missing.filter(|missing| !unsafe_links.contains(missing)));
        reading.left_out.extend(unsafe_links.iter().filter(|(of, _)| *of == module).map(|(_, path)| path.clone()));
        // A link that is left out is not missing; but what was here before it must not pass for it.
        let stale = unsafe_links.iter().filter(|(of, path)| *of == module && root.stat(path.as_path()).is_ok());
        left.entries.extend(stale.cloned());
        let wrong = plan.fetch.iter().filter(|fetch| is_wrong(root, sums, fetch.path));
        wrong.for_each(|fetch| left.add((module, fetch.path.to_owned()), Why::Checksum));
        let is_left = |path: RelPath<'_>| left.entries.contains(&(module, path.to_owned()));
        let wrong = self.wrong_indexes(reading, root, &plan.fetch, is_left);
        wrong.into_iter().for_each(|path| left.add((module, path.to_owned()), Why::Checksum));
    }

    /// Renews the stamps of directories that were changed by us, if they hold what the list has and nothing else. The others are read
    /// again by the next run.
    ///
    /// # Errors
    /// If temporary entries of ours are there and do not go.
    pub(super) fn stamp_anew(
        &self,
        reading: &mut Reading<'_>,
        root: &Root,
        plan: &ModulePlan<'_>,
    ) -> Result<(), Failure> {
        let listing = &reading.listing;
        let mut dirs = touched(listing, &plan.fetch);
        let deletes = plan.deletes.iter().chain(&plan.staying);
        dirs.extend(deletes.filter_map(|delete| listing.dir(delete.dir.as_path())));
        let clock = stamp::clock(root);
        let anew = walk::stamp_anew(root, listing, dirs, self.keep(reading.module));
        // What of them did not come is tried from its beginning by the next run. Clearing changes a directory, and it is read again then.
        self.clear_of_ours(reading, root, anew.littered.iter().map(|dir| listing.dir_path(*dir)), |_| None)?;
        reading.keep(anew.stamps, clock);
        Ok(())
    }
}

/// Where to look for what a transfer was asked for, and what of it is not here, because its directory is not.
fn asked_for<'t>(
    module: usize,
    listing: &Listing<'t>,
    fetched: &[Fetch<'t>],
    root: &Root,
) -> (Vec<(DirId, Look<'t>)>, GivenUp) {
    let mut names: HashMap<DirId, Vec<&'t [u8]>> = HashMap::new();
    for fetch in fetched {
        if let Some(dir) = listing.dir(fetch.path.parent()) {
            names.entry(dir).or_default().push(fetch.path.name());
        }
    }
    let is_here = |dir: DirId| !root.stat(listing.dir_path(dir)).is_err_and(|error| is_absence(&error));
    let mut left = GivenUp::new();
    let mut start = Vec::with_capacity(names.len());
    for (dir, mut names) in names {
        if is_here(dir) {
            names.sort_unstable();
            names.dedup();
            start.push((dir, Look::Names(names)));
        } else {
            let paths = names.iter().filter_map(|name| listing.dir_path(dir).join(name).ok());
            left.extend(paths.map(|path| (module, path)));
        }
    }
    (start, left)
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
