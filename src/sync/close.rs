//! Closing what is restricted and was not, before anything else is changed.
//!
//! Deletions come last, and may be held; a new mode comes with the transfer, which may fail. Nothing is lost by a mode: what is public
//! again is opened again by rsync. A mode is that of all names of a file, though: where another one is for everybody, the restricted name
//! becomes a file of its own.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use super::reading::Reading;
use super::subject::Subject;
use super::text::{Lists, Text};
use super::{Failure, Run};
use crate::list::Listing;
use crate::path::RelPath;
use crate::plan::compare::{FetchCause, Inode};
use crate::plan::twins::public_of_size;
use crate::plan::{ModulePlan, Plan};
use crate::report::Event;
use crate::tree::close::{Open, close, close_apart, open_for_others};
use crate::tree::{Root, TreeError};

impl Run<'_> {
    /// Takes from others the right to read what their lists mark as restricted.
    pub(super) fn close_restricted(
        &self,
        plan: &Plan<'_>,
        readings: &[Reading<'_>],
        lists: &Lists,
        subjects: &[Subject],
    ) {
        let mut open = Vec::new();
        for reading in readings {
            let Some(root) = &reading.root else { continue };
            for path in restricted(&plan.modules[reading.module], &reading.listing) {
                match open_for_others(root, path) {
                    Ok(found) => open.extend(found.map(|found| (reading.module, root, path, found))),
                    Err(error) => self.failed(reading.module, &Failure::from(error)),
                }
            }
        }
        if open.is_empty() {
            return;
        }
        let are_doubted = open.iter().any(|(module, root, path, _)| self.is_in_doubt(*module, root, *path, subjects));
        self.keeping_doubt(are_doubted, || self.close_those(open, plan, lists, subjects));
    }

    fn close_those(
        &self,
        open: Vec<(usize, &Root, RelPath<'_>, Open)>,
        plan: &Plan<'_>,
        lists: &Lists,
        subjects: &[Subject],
    ) {
        // Names of files that have others.
        let mut linked = Vec::new();
        for (module, root, path, open) in open {
            match open {
                Open::Alone => self.close(module, root, path, close),
                Open::Linked { inode, size } => linked.push((module, root, path, inode, size)),
            }
        }
        if linked.is_empty() {
            return;
        }
        let sizes = linked.iter().map(|&(.., inode, size)| (inode, size)).collect();
        let public = self.public(&sizes, &texts(plan, lists, subjects));
        for (module, root, path, inode, _) in linked {
            self.close(module, root, path, if public.contains(&inode) { close_apart } else { close });
        }
    }

    fn close(
        &self,
        module: usize,
        root: &Root,
        path: RelPath<'_>,
        close: fn(&Root, RelPath<'_>) -> Result<bool, TreeError>,
    ) {
        match close(root, path) {
            Ok(true) => {
                let (directory, path) = (self.directory(module), path.bytes());
                self.listener.hear(&Event::Closed { module: self.name(module), directory, path });
            }
            Ok(false) => {}
            Err(error) => self.failed(module, &Failure::from(error)),
        }
    }

    /// Of these files, by size, those that have a name here which a list gives to everybody. Where what it gives has another size, it is
    /// another file, which is yet to come.
    fn public(&self, sizes: &HashMap<Inode, u64, RandomState>, lists: &[(usize, &Text)]) -> HashSet<Inode> {
        let haystacks = self.haystacks(lists);
        let roots = self.roots(&haystacks);
        let names = public_of_size(&haystacks, &sizes.values().copied().collect());
        let here = names.into_iter().filter_map(|(module, path)| {
            // What cannot be looked at is not known to be there.
            let stat = roots.get(&module)?.stat(path).ok()?;
            Some(Inode { device: stat.st_dev, number: stat.st_ino })
        });
        here.filter(|inode| sizes.contains_key(inode)).collect()
    }
}

/// The lists of the modules that could be compared; the saved ones of those that are left alone.
fn texts<'t>(plan: &Plan<'_>, lists: &'t Lists, subjects: &'t [Subject]) -> Vec<(usize, &'t Text)> {
    let modules = plan.modules.iter().enumerate().filter(|(_, of)| !of.failed);
    let text = |module: usize| match &lists[module] {
        Some(list) => Some(&list.text),
        None => subjects[module].saved.as_ref(),
    };
    modules.filter_map(|(module, _)| Some((module, text(module)?))).collect()
}

/// What may be here and readable, and should not be readable: each with all that is below it, by path.
fn restricted<'t>(plan: &ModulePlan<'t>, listing: &Listing<'t>) -> Vec<RelPath<'t>> {
    let is_marked = |path: RelPath<'_>| listing.find(path).is_some_and(|row| !row.mark.is_public());
    let here = plan.fetch.iter().filter(|fetch| fetch.cause != FetchCause::Missing).map(|fetch| fetch.path);
    let carried = here.filter(|path| is_marked(*path) && !is_marked(path.parent()));
    let mut paths: Vec<RelPath<'t>> = listing.withheld().chain(carried).collect();
    paths.sort_unstable();
    paths
}
