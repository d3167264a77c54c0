//! What is here and should not be: why, how much it is, and what speaks against deleting it.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use rayon::prelude::*;

use super::Run;
use super::reading::Reading;
use super::subject::Since;
use crate::config::DeleteMode;
use crate::list::Listing;
use crate::list::listing::{Wanted, named_by};
use crate::list::row::Bad;
use crate::path::{RelPath, escape};
use crate::plan::compare::{Extra, LocalKind};
use crate::plan::guard::{self, Facts, Hold, Limits, MayReplace};
use crate::plan::{BadLine, Delete, DeleteCause, InTheWay, Weight};
use crate::report::Event;
use crate::state::Applied;
use crate::state::applied::Pending;
use crate::tree::walk::{self, Survey};
use crate::tree::{Root, TreeError};

/// So many bad rows are reported by line; a list that is all bad rows needs no more.
const BAD_ROWS_SHOWN: usize = 20;

/// So many bytes of a bad row are shown.
const BAD_ROW_SHOWN: usize = 200;

impl Run<'_> {
    /// What is here and should not be, with why and how much it is; by path, backwards.
    pub(super) fn deletes(
        &self,
        reading: &Reading<'_>,
        since: Option<&Since<'_>>,
        applied: Option<&Applied>,
        survey: &mut Survey<'_>,
    ) -> Vec<Delete> {
        let Some(root) = &reading.root else { return Vec::new() };
        let pending = by_path(applied);
        let now = crate::clock::now().timestamp();
        let in_doubt = in_doubt(since);
        let weigh = |extra: Extra| {
            let dir = extra.dir.as_path();
            let weight = match extra.kind {
                LocalKind::Dir => weigh(root, dir, &extra.name, &in_doubt)?,
                _ => Weight { entries: 1, dirs: 0, in_doubt: extra.is_linked && in_doubt(extra.ctime) },
            };
            let cause = cause(reading, since, &pending, &extra);
            let mut delete = Delete::new(extra, cause, weight, now);
            if let Some(pending) = pending.get(delete.path().as_slice()) {
                (delete.earlier, delete.since) = (pending.earlier, pending.since);
            }
            Ok(delete)
        };
        let extra = std::mem::take(&mut survey.found.extra);
        let (deletes, failed): (Vec<_>, Vec<_>) =
            extra.into_par_iter().map(weigh).partition_map(|weighed| match weighed {
                Ok(delete) => rayon::iter::Either::Left(delete),
                Err(error) => rayon::iter::Either::Right(error),
            });
        survey.unreadable.extend::<Vec<TreeError>>(failed);
        let mut deletes: Vec<Delete> = deletes;
        deletes.sort_by(|a, b| (&b.dir, &b.name).cmp(&(&a.dir, &a.name)));
        deletes
    }

    /// Takes out what stays for some time, unless something holds all of it: then nobody knows yet whether it goes.
    pub(super) fn take_staying(&self, deletes: &mut Vec<Delete>, holds: &[Hold]) -> Vec<Delete> {
        let (now, after) = (crate::clock::now().timestamp(), self.config.delete.after);
        let (staying, due) =
            std::mem::take(deletes).into_iter().partition(|delete| holds.is_empty() && delete.stays(now, after));
        *deletes = due;
        staying
    }

    /// How much the directories hold that must make way.
    pub(super) fn weigh_in_the_way<'t>(
        &self,
        reading: &Reading<'t>,
        since: Option<&Since<'_>>,
        survey: &mut Survey<'t>,
    ) -> Vec<InTheWay<'t>> {
        let Some(root) = &reading.root else { return Vec::new() };
        let mut weighed = Vec::new();
        for path in std::mem::take(&mut survey.found.in_the_way) {
            match weigh(root, path.parent(), path.name(), in_doubt(since)) {
                Ok(Weight { entries, in_doubt, .. }) => weighed.push(InTheWay { path, entries, in_doubt }),
                Err(error) => survey.unreadable.push(error),
            }
        }
        weighed
    }

    /// The directories that must not make way, by path.
    pub(super) fn held_in_the_way<'t>(
        &self,
        module: usize,
        in_the_way: &[InTheWay<'t>],
        holds: &[Hold],
    ) -> Vec<RelPath<'t>> {
        let exceptions = self.exceptions(module);
        let paths = in_the_way.iter().map(|directory| directory.path);
        paths.filter(|path| MayReplace::ask(holds, &exceptions, *path).is_none()).collect()
    }

    /// What speaks against a module's deletions, less what the admin lets pass as a whole.
    pub(super) fn holds(&self, module: usize, deletes: &[Delete], facts: &Facts) -> Vec<Hold> {
        let settings = &self.config.delete;
        let (max_share, min_entries, max_shrink) = (settings.max_share, settings.min_entries, settings.max_shrink);
        let limits = Limits { max_share, min_entries, max_shrink };
        let mut holds = guard::judge(deletes, facts, &limits);
        if settings.mode == DeleteMode::Never && (!deletes.is_empty() || facts.displaced > 0) {
            holds.push(Hold::Never);
        }
        let allowed = self.exceptions(module).iter().any(|exception| exception.subtree.is_empty());
        holds.retain(|hold| !(allowed && hold.can_be_allowed()));
        holds
    }

    /// The rows that were set aside, and how many of them are in doubt: not in the applied list too, byte for byte.
    pub(super) fn bad_rows(
        &self,
        reading: &Reading<'_>,
        since: Option<&Since<'_>>,
        applied: Option<&Applied>,
    ) -> (Vec<BadLine>, usize) {
        let (listing, module) = (&reading.listing, self.name(reading.module));
        let text = listing.text();
        let known = since.map(|since| contradicted_before(listing, since)).unwrap_or_default();
        // A list that is the same has nothing new, and one without a saved one has nothing else.
        let is_habit = |bad: &Bad| {
            let was_bad = !bad.why.is_contradicted() || known.contains(&text[bad.line.clone()]);
            since.is_some_and(|since| !since.changes.is_new(bad.line.start)) && was_bad
        };
        let bad = all_bad(listing, since);
        let shown = bad.iter().take(BAD_ROWS_SHOWN).map(|bad| {
            let line = &text[bad.line.clone()];
            let shown = escape(&line[..line.len().min(BAD_ROW_SHOWN)]);
            let line = BadLine { number: bad.line_number(text), text: shown, why: bad.why.to_string() };
            self.listener.hear(&Event::BadRow { module, line: &line, habit: is_habit(bad) });
            line
        });
        let shown: Vec<BadLine> = shown.collect();
        if bad.len() > shown.len() {
            let more = bad.len() - shown.len();
            self.listener.hear(&Event::Warning(&format!("{module}: {more} more rows of the list are set aside")));
        }
        let doubtful = bad.iter().filter(|bad| !is_habit(bad)).count();
        // The same list again tells nothing new: what was in doubt still is.
        let doubtful =
            if reading.new_list { doubtful } else { applied.map_or(doubtful, |applied| applied.doubtful_rows) };
        (shown, doubtful)
    }
}

/// The lines that were set aside. What a quick comparison did not read counts too if it is new.
fn all_bad(listing: &Listing<'_>, since: Option<&Since<'_>>) -> Vec<Bad> {
    let mut bad = listing.bad.clone();
    bad.extend(since.into_iter().flat_map(|since| since.changes.bad_new.iter().cloned()));
    bad.sort_by_key(|bad| bad.line.start);
    bad.dedup_by_key(|bad| bad.line.start);
    bad
}

/// The rows that were contradicted in the saved list too, where rows are now.
fn contradicted_before<'t>(listing: &Listing<'t>, since: &Since<'t>) -> HashSet<&'t [u8]> {
    let contradicted = || listing.bad.iter().filter(|bad| bad.why.is_contradicted());
    let Some((text, sections)) = since.old else {
        return contradicted().map(|bad| &listing.text()[bad.line.clone()]).collect();
    };
    if contradicted().next().is_none() {
        return HashSet::new();
    }
    let mut wanted = Wanted::default();
    contradicted().filter_map(|bad| named_by(listing.text(), bad)).for_each(|path| wanted.add_subtree(path));
    let before = Listing::read_some(text, sections, &wanted, |row, path| since.filter.carry(row, path));
    before.bad.into_iter().map(|bad| &text[bad.line]).collect()
}

/// Whether a file that changed at a moment is in doubt.
fn in_doubt(since: Option<&Since<'_>>) -> impl Fn(i64) -> bool + Sync {
    let ctimes = since.and_then(|since| since.ctimes.as_ref());
    move |ctime| ctimes.is_some_and(|ctimes| ctimes.doubt(ctime))
}

/// How much goes with a directory.
fn weigh(root: &Root, dir: RelPath<'_>, name: &[u8], in_doubt: impl Fn(i64) -> bool) -> Result<Weight, TreeError> {
    walk::weigh(root, dir, name, in_doubt).map_err(|error| {
        // It may be no path that a list can have.
        let path = root.path_of(dir).join(OsStr::from_bytes(name));
        TreeError::new("cannot read all of", path, error)
    })
}

/// What should go and did not, by path.
pub(super) type PendingByPath<'p> = HashMap<&'p [u8], &'p Pending>;

/// What should have gone with the runs before.
pub(super) fn by_path(applied: Option<&Applied>) -> PendingByPath<'_> {
    let pending = applied.into_iter().flat_map(|applied| &applied.pending);
    pending.map(|pending| (pending.path.as_slice(), pending)).collect()
}

/// Why something should go.
pub(super) fn cause(
    reading: &Reading<'_>,
    since: Option<&Since<'_>>,
    pending: &PendingByPath<'_>,
    extra: &Extra,
) -> DeleteCause {
    // No list can name what is no path.
    let Ok(path) = extra.dir.as_path().join(&extra.name) else { return DeleteCause::NeverListed };
    let path = path.as_path();
    if reading.filter.excludes(path, extra.kind == LocalKind::Dir) {
        DeleteCause::Excluded
    } else if reading.listing.withholds(path) {
        DeleteCause::Restricted
    } else if since.is_some_and(|since| since.was_carried(path)) {
        DeleteCause::Gone
    } else {
        // It may have gone from an earlier list, and been held since.
        pending.get(path.bytes()).map_or(DeleteCause::NeverListed, |pending| pending.cause)
    }
}
