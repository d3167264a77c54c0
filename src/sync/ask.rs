//! What the admin asks for beyond what differs: entries that are asked of rsync although they look right, and runs that only transfer.

use std::collections::HashSet;

use super::reading::Reading;
use super::{Failure, Run};
use crate::exit::Status;
use crate::list::{Kind, Row};
use crate::path::{RelPath, is_among};
use crate::plan::compare::{Fetch, FetchCause};
use crate::plan::{ModulePlan, repository};

impl Run<'_> {
    /// Adds the entries of a list that is known as a whole that the options name. What else is known to be fetched for another reason
    /// may be added again.
    pub(super) fn add_asked_for<'t>(&self, reading: &Reading<'t>, fetch: &mut Vec<Fetch<'t>>) {
        if !self.options.asks_for_more() {
            return;
        }
        let listing = &reading.listing;
        let mut matches = self.matcher(reading.module);
        let mut cause = |row: &Row, path: RelPath<'_>| {
            let is_newer = || self.options.since.is_some_and(|since| row.time >= since);
            if matches(path) {
                Some(FetchCause::Refresh)
            } else if self.options.dir_times && row.kind == Kind::Dir {
                Some(FetchCause::Surrounding)
            } else {
                is_newer().then_some(FetchCause::Newer)
            }
        };
        let rows = listing.rows().iter().filter(|row| row.kind != Kind::Unreadable);
        let asked = rows.filter_map(|row| {
            let path = listing.path(row);
            let cause = cause(row, path).filter(|_| !is_among(path, &reading.left_out))?;
            Some(Fetch::new(listing, row, cause))
        });
        fetch.extend(asked);
    }

    /// Whether `--refresh` names a path of a module.
    fn matcher(&self, module: usize) -> impl FnMut(RelPath<'_>) -> bool {
        let mut text = format!("{}/", self.directory(module)).into_bytes();
        let start = text.len();
        move |path| {
            text.truncate(start);
            text.extend_from_slice(path.bytes());
            self.options.refresh.as_ref().is_some_and(|pattern| pattern.is_match(&text))
        }
    }

    /// Leaves of a plan what a run does that only transfers: nothing goes, and no list enters the tree.
    ///
    /// Of a refresh, what matches is left, and all that a repository lacks of which an index or a pointer matches: what comes may lead
    /// there.
    pub(super) fn only_transfer<'t>(&self, plan: &mut ModulePlan<'t>, reading: &mut Reading<'t>) {
        if self.options.refresh.is_some() {
            let mut matches = self.matcher(reading.module);
            let matching: HashSet<RelPath<'_>> =
                plan.fetch.iter().map(|fetch| fetch.path).filter(|path| matches(*path)).collect();
            let led_to: HashSet<RelPath<'_>> = matching.iter().filter_map(|path| repository::led_to(*path)).collect();
            plan.fetch.retain(|fetch| {
                let above = || std::iter::once(RelPath::TOP).chain(fetch.path.ancestors());
                matching.contains(&fetch.path) || above().any(|above| led_to.contains(&above))
            });
        }
        plan.fetch.retain(|fetch| self.options.brings(fetch.class()));
        let blocked: HashSet<RelPath<'_>> = plan.in_the_way.drain(..).map(|directory| directory.path).collect();
        let waits = plan.fetch.extract_if(.., |fetch| blocked.contains(&fetch.path));
        let waits: Vec<RelPath<'_>> = waits.map(|fetch| fetch.path).collect();
        if let [first, more @ ..] = &*waits {
            let more = if more.is_empty() { String::new() } else { format!(", and {} more like it", more.len()) };
            let text = format!(
                "the directory {first} is in the way of what upstream has under that name{more}; a run that also deletes puts that right"
            );
            self.failed(reading.module, &Failure::said(Status::Partial, text));
            reading.blocked = true;
        }
        plan.deletes.clear();
        plan.staying.clear();
        plan.holds.clear();
        (plan.new_list, reading.new_list) = (false, false);
    }
}
