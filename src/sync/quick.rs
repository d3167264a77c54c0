//! The quick depth: what changed between two lists, directories whose stamp changed, and a slice of the others.
//!
//! Of the list only the rows of directories that matter are read: those where a row changed, those whose stamp did, those whose turn
//! it is, and all above them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use foldhash::fast::RandomState;
use rayon::prelude::*;

use super::reading::Reading;
use super::subject::{Since, Subject, give_opened, read};
use super::text::List;
use super::{Failure, Run};
use crate::exit::Status;
use crate::list::listing::{DirId, Wanted, named_by};
use crate::list::{Kind, Listing, Row};
use crate::path::{RelPath, RelPathBuf};
use crate::plan::Depth;
use crate::plan::compare::{Look, Vouched};
use crate::plan::filter::Filter;
use crate::plan::rolling;
use crate::state::applied::Checked;
use crate::state::{Applied, Stamps};
use crate::tree::Root;
use crate::tree::stamp::{self, Standing};
use crate::tree::walk::Survey;

/// Where more than one in so many rows changed, a full comparison is as quick.
const MANY_CHANGES: u64 = 4;

/// By directory, the names in it that are looked at, sorted.
type Names<'t> = BTreeMap<RelPath<'t>, Vec<&'t [u8]>>;

/// How directories stand to their stamps.
type Standings<'s> = HashMap<RelPath<'s>, Standing, RandomState>;

impl Run<'_> {
    /// Compares what changed. `None` if that cannot be told: then everything is to be compared.
    pub(super) fn quick<'t>(
        &self,
        module: usize,
        list: &'t List,
        subject: &'t Subject,
        since: &Since<'t>,
        root: &Root,
    ) -> Result<Option<(Reading<'t>, Survey<'t>)>, Failure> {
        let Some(applied) = &subject.applied else { return Ok(None) };
        if since.changes.rows.len() as u64 > applied.carried.entries / MANY_CHANGES + 1000 {
            return Ok(None);
        }
        let stamps = match Stamps::read(&self.state, self.directory(module), applied.stamps) {
            Ok(stamps) => stamps,
            Err(error) => {
                self.everything_is_compared(&error.into());
                return Ok(None);
            }
        };
        let text = list.text.get()?;
        let filter = self.filters[module].clone().for_list(text.0, text.1);
        if filter.oldest_release() != applied.oldest_release {
            return Ok(None);
        }

        let clock = stamp::clock(root);
        let dirs: Vec<RelPath<'_>> = stamps.dirs().collect();
        let standing = |dir: RelPath<'_>| Standing::of(root, dir, stamps.of(dir));
        let mut standings: Standings<'_> = dirs.into_par_iter().map(|dir| (dir, standing(dir))).collect();
        let (checked, slice) = self.slice(applied, &stamps, clock);
        for dir in slice {
            standings.entry(dir).and_modify(|standing| {
                if *standing == Standing::Same {
                    *standing = Standing::Different;
                }
            });
        }
        let wanted = wanted(since, applied, &filter, &standings, text.0);
        // Rows in doubt may be anywhere, and are told of as long as they are there.
        let listing = if applied.doubtful_rows > 0 && !list.new {
            read(text, &filter).map_err(|error| Failure::new(Status::List, error))?
        } else {
            let mut listing = Listing::read_some(text.0, text.1, &wanted, |row, path| filter.carry(row, path));
            give_opened(&mut listing, &filter);
            listing
        };
        drop(wanted);

        let mut reading = Reading::full(module, listing, filter, None, list.new);
        reading.depth = Depth::Quick;
        reading.checked = checked;
        let mut names = Names::new();
        for path in touched(since, &reading.filter).chain(applied.lacking()) {
            look_at(&mut names, &reading.listing, path);
        }
        let start = start(&mut reading, root, &standings, names);
        reading.news.gone = gone(since, &reading.listing, &stamps);
        drop(standings);
        reading.stamps = Some((stamps, applied.stamps));

        let vouched = Vouched::Applied {
            changed: &since.changed(),
            carried: None,
            ctimes: since.ctimes.as_ref(),
            unfinished: false,
        };
        let mut survey = self.walk(module, root, &reading.listing, vouched, false).survey(start);
        if !survey.found.unread.is_empty() {
            return Ok(None);
        }
        reading.keep(survey.take_stamps(), clock);
        Ok(Some((reading, survey)))
    }

    /// The directories whose turn it is, and what will have been compared with them; `clock` is a time of the file system's clock, read
    /// before that.
    fn slice<'s>(&self, applied: &Applied, stamps: &'s Stamps, clock: Option<i64>) -> (Checked, Vec<RelPath<'s>>) {
        let (checked, every, now) = (&applied.checked, self.config.full_check_every, crate::clock::now().timestamp());
        if !rolling::is_due(seconds_since(now, checked.last), every) {
            return (checked.clone(), Vec::new());
        }
        let mut dirs: Vec<RelPath<'_>> = stamps.dirs().collect();
        dirs.par_sort_unstable();
        let up_to = checked.up_to.as_ref().map(RelPathBuf::as_path);
        let slice = rolling::slice(&dirs, up_to, seconds_since(now, checked.all), every);
        let checked = if slice.end == dirs.len() {
            checked.completed(now, clock)
        } else {
            let up_to = slice.end.checked_sub(1).map(|last| dirs[last].to_owned());
            let round = Some((slice.end as u64, dirs.len() as u64));
            Checked { last: now, up_to, round, ..checked.clone() }
        };
        (checked, dirs[slice].to_vec())
    }
}

/// How long ago a moment was; a moment that is yet to come was just now.
pub(super) fn seconds_since(now: i64, then: i64) -> Duration {
    Duration::from_secs(u64::try_from(now.saturating_sub(then)).unwrap_or_default())
}

/// The paths where something changed that is carried, or was.
fn touched<'c, 't>(since: &'c Since<'t>, filter: &'c Filter) -> impl Iterator<Item = RelPath<'t>> + 'c {
    let rows = since.changes.rows.iter();
    let carried = rows.filter(|it| since.filter.carries(it.old, it.path) || filter.carries(it.new, it.path));
    carried.map(|changed| changed.path)
}

/// The directories whose rows matter.
fn wanted<'w>(
    since: &Since<'w>,
    applied: &'w Applied,
    filter: &Filter,
    standings: &Standings<'w>,
    text: &'w [u8],
) -> Wanted<'w> {
    let mut wanted = Wanted::default();
    wanted.add(RelPath::TOP);
    for changed in &since.changes.rows {
        let row = |filter: &Filter, row: Option<Row>| row.map(|row| (row.kind, filter.carry(&row, changed.path)));
        match (row(&since.filter, changed.old), row(filter, changed.new)) {
            // What lies below stays what it is.
            (Some(old), Some(new)) if old == new && old.0 == Kind::Dir => wanted.add(changed.path),
            (Some(old), Some(new)) if old == new => wanted.add(changed.path.parent()),
            _ => wanted.add_subtree(changed.path),
        }
    }
    let old = since.old.map(|(old, _)| old).unwrap_or_default();
    for (text, bad) in [(old, &since.changes.bad_old), (text, &since.changes.bad_new)] {
        bad.iter().filter_map(|bad| named_by(text, bad)).for_each(|path| wanted.add_subtree(path));
    }
    applied.lacking().for_each(|path| wanted.add_subtree(path));
    for (dir, standing) in standings {
        match standing {
            Standing::Same => {}
            Standing::Different | Standing::Unknown => wanted.add(*dir),
            Standing::Absent => wanted.add_subtree(*dir),
        }
    }
    wanted
}

/// Adds one path to the names that are looked at: the name in the nearest directory above that the list has.
fn look_at<'t>(names: &mut Names<'t>, listing: &Listing<'_>, path: RelPath<'t>) {
    let mut path = path;
    while !path.is_top() {
        if listing.dir(path.parent()).is_some() {
            let names = names.entry(path.parent()).or_default();
            if let Err(index) = names.binary_search(&path.name()) {
                names.insert(index, path.name());
            }
            return;
        }
        path = path.parent();
    }
}

/// Where the comparison starts: directories as a whole, and single names elsewhere.
fn start<'t>(
    reading: &mut Reading<'t>,
    root: &Root,
    standings: &Standings<'_>,
    mut names: Names<'t>,
) -> Vec<(DirId, Look<'t>)> {
    let listing = &reading.listing;
    let standing = |dir: DirId| {
        let path = listing.dir_path(dir);
        let known = standings.get(&path).copied();
        known.unwrap_or_else(|| Standing::of(root, path, None))
    };
    let standings: Vec<(DirId, Standing)> = listing.dirs().map(|dir| (dir, standing(dir))).collect();
    // The row of a directory is judged in the one above.
    for (dir, _) in standings.iter().filter(|(_, standing)| matches!(standing, Standing::Absent | Standing::Different))
    {
        look_at(&mut names, listing, listing.dir_path(*dir));
    }
    let mut start = Vec::new();
    let mut known = Vec::new();
    for (dir, standing) in standings {
        let path = listing.dir_path(dir);
        match standing {
            Standing::Same => start.extend(names.remove(&path).map(|names| (dir, Look::Names(names)))),
            Standing::Different | Standing::Unknown => {
                start.push((dir, Look::Whole));
                reading.whole.insert(dir);
                known.push((path.to_owned(), None));
            }
            Standing::Absent => known.push((path.to_owned(), None)),
        }
    }
    reading.news.known.extend(known);
    start
}

/// Directories that had a stamp, and that the list has no more.
fn gone(since: &Since<'_>, listing: &Listing<'_>, stamps: &Stamps) -> Vec<RelPathBuf> {
    let changed = since.changes.rows.iter().filter(|changed| changed.old.is_some());
    let paths = changed.flat_map(|changed| std::iter::once(changed.path).chain(changed.path.ancestors()));
    let gone: HashSet<RelPath<'_>, RandomState> =
        paths.filter(|path| stamps.knows(*path) && listing.dir(*path).is_none()).collect();
    gone.into_iter().map(RelPath::to_owned).collect()
}
