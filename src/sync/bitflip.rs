//! The bitflip: what a mirror got before it was public is opened, and stays open while upstream's lists still call it restricted.
//!
//! Files come first, in the order of publication, then the directories, the deepest first. So what lies below a closed directory is all
//! open before anybody can come there, and nobody meets a half-open tree.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::lock::{self, Held, Patience};
use super::prepare::{beside_runs, filters, mirror_root, readable, take_over};
use super::reading::Reading;
use super::subject::{Subject, filter_of};
use super::{Failure, Options, Run};
use crate::config::Config;
use crate::exit::Status;
use crate::interrupt::Interrupt;
use crate::list::listing::Wanted;
use crate::list::{Kind, Listing, Row};
use crate::path::RelPath;
use crate::plan::Plan;
use crate::plan::openings::below;
use crate::plan::publish::Class;
use crate::report::bitflip::{Bitflip, Subtree};
use crate::report::{Event, Listener};
use crate::state::journal::Journal;
use crate::state::{State, openings};
use crate::tree::Root;
use crate::tree::open::{look, open};

/// How it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It is only shown what would be.
    DryRun,
    /// It gives way to a run that is under way.
    AtOnce,
    /// It waits for the end of such a run.
    Waits,
}

/// Opens what the applied lists mark as restricted at and below a path, which is below the mirror root; or only says what that is.
/// `None` if it could not be done, which was told to `listener`.
pub fn bitflip(
    config: &Config,
    path: RelPath<'_>,
    how: How,
    interrupt: &Interrupt,
    listener: &dyn Listener,
) -> Option<Bitflip> {
    story(config, path, how, interrupt, listener)
        .map_err(|Failure { error, status }| listener.hear(&Event::Failed { module: None, error: &error, status }))
        .ok()
}

fn story(
    config: &Config,
    path: RelPath<'_>,
    how: How,
    interrupt: &Interrupt,
    listener: &dyn Listener,
) -> Result<Bitflip, Failure> {
    if !config.restricted {
        let text = "this mirror has nothing that is restricted (setting restricted), so there is nothing to open";
        return Err(Failure::said(Status::Usage, text));
    }
    let concerned = config.modules.iter().enumerate();
    let concerned = concerned.filter_map(|(module, of)| Some((module, below(&of.directory, path)?)));
    let concerned: Vec<(usize, RelPath<'_>)> = concerned.collect();
    if concerned.is_empty() {
        let known = config.directories().join(", ");
        let text = format!("{path} lies in no module's directory; name a path that begins with one of these: {known}");
        return Err(Failure::said(Status::Usage, text));
    }
    let config = &beside_runs(config);
    let root = mirror_root(&config.root)?;
    let state = State::at(&config.state, &root);
    let patience = if how == How::Waits { Patience::Waits(interrupt) } else { Patience::GivesWay };
    let dry_run = how == How::DryRun;
    let _held: Option<Held> = if dry_run {
        readable(&state)?;
        lock::warn_if_held(config, &root, &state, listener);
        None
    } else {
        Some(take_over(config, &root, &state, patience, listener)?)
    };
    let options = Options { dry_run, ..Options::default() };
    let work = state.dir().to_owned();
    let mut run = Run::new((config, &options), interrupt, listener, filters(config)?, root, state, work);
    run.unfinished = Journal::of(&run.state).unfinished();
    run.bitflip(path, &concerned)
}

/// What a list marks as restricted, and is here.
struct Entry<'t> {
    module: usize,
    path: RelPath<'t>,
    kind: Kind,
    is_in_doubt: bool,
}

/// What was found to be opened.
#[derive(Default)]
struct Found<'t> {
    closed: Vec<Entry<'t>>,
    /// By their highest restricted directories, or else the directory that holds them; below the mirror root.
    subtrees: BTreeMap<String, Subtree>,
    absent: u64,
    /// The newest time of their rows, seconds since the epoch.
    newest: i64,
}

impl Run<'_> {
    fn bitflip(&self, path: RelPath<'_>, concerned: &[(usize, RelPath<'_>)]) -> Result<Bitflip, Failure> {
        let subjects = self.subjects();
        let mut listings = Vec::new();
        for &(module, subtree) in concerned {
            match self.applied_below(module, subtree, &subjects[module]) {
                Ok(listing) => listings.push((module, subtree, listing)),
                Err(failure) => self.failed(module, &failure),
            }
        }
        let mut found = Found::default();
        let mut roots = BTreeMap::new();
        for (module, subtree, listing) in &listings {
            let looked = Root::open(&self.root.join(self.directory(*module))).and_then(|root| {
                self.find_restricted(*module, (&root, *subtree), listing, &subjects, &mut found)?;
                roots.insert(*module, root);
                Ok(())
            });
            looked.map_err(Failure::from).unwrap_or_else(|failure| self.failed(*module, &failure));
        }
        if found.absent > 0 {
            let text = format!("{} restricted entries of the lists are not here yet", found.absent);
            self.listener.hear(&Event::Warning(&text));
        }
        let Found { closed, subtrees, absent, newest } = found;
        let modes = closed.len() as u64;
        let opened =
            if self.options.dry_run || subtrees.is_empty() { 0 } else { self.flip((path, newest), closed, &roots)? };
        let subtrees = subtrees.into_values().collect();
        Ok(Bitflip { path: path.to_string(), dry_run: self.options.dry_run, subtrees, absent, modes, opened })
    }

    /// The applied list of a module, as far as it is about what lies at and below a path, and above it.
    fn applied_below<'t>(
        &self,
        module: usize,
        subtree: RelPath<'_>,
        subject: &'t Subject,
    ) -> Result<Listing<'t>, Failure> {
        let (Some(applied), Some(saved)) = (&subject.applied, &subject.saved) else {
            let text = format!("nothing that was applied here is known; run once: qfm {}", self.name(module));
            return Err(Failure::said(Status::Partial, text));
        };
        let (text, sections) = saved.get()?;
        let filter = filter_of(applied).map_err(|error| Failure::new(Status::Local, anyhow::Error::new(error)))?;
        let carry = |row: &Row, path: RelPath<'_>| filter.carry(row, path);
        if subtree.is_top() {
            return Listing::read(text, sections, carry).map_err(|error| Failure::new(Status::List, error));
        }
        let mut wanted = Wanted::default();
        wanted.add_subtree(subtree);
        let listing = Listing::read_some(text, sections, &wanted, carry);
        if listing.find(subtree).is_none() {
            let text = format!("the applied list names nothing at {subtree}: is the path right, and was it synced?");
            return Err(Failure::said(Status::Usage, text));
        }
        if let Some(above) = subtree.ancestors().find(|path| is_restricted(&listing, *path)) {
            let directory = self.directory(module);
            let text = format!("{directory}/{above} is restricted too, and stays closed with all that is below it");
            self.listener.hear(&Event::Warning(&text));
        }
        Ok(listing)
    }

    /// Looks at what a list marks as restricted at and below a path.
    fn find_restricted<'t>(
        &self,
        module: usize,
        (root, subtree): (&Root, RelPath<'_>),
        listing: &Listing<'t>,
        subjects: &[Subject],
        found: &mut Found<'t>,
    ) -> Result<(), crate::tree::TreeError> {
        let ctimes = self.ctimes_before(module, subjects);
        for dir in listing.dirs() {
            let is_meant = |row: &&Row| {
                // A link has no mode of its own.
                let has_mode = matches!(row.kind, Kind::File | Kind::Dir);
                has_mode && !row.mark.is_public() && listing.path(row).is_within(subtree)
            };
            let rows: Vec<&Row> = listing.entries(dir).iter().filter(is_meant).collect();
            if rows.is_empty() {
                continue;
            }
            let dir = listing.dir_path(dir);
            let above = [dir].into_iter().chain(dir.ancestors());
            let above = above.take_while(|path| path.is_within(subtree) && is_restricted(listing, *path)).last();
            let names: Vec<(&[u8], Kind)> = rows.iter().map(|row| (listing.name(row), row.kind)).collect();
            for (row, seen) in rows.into_iter().zip(look(root, dir, &names)?) {
                found.newest = found.newest.max(row.time);
                let Some(seen) = seen else {
                    found.absent += 1;
                    continue;
                };
                let path = listing.path(row);
                let highest = above.unwrap_or(if row.kind == Kind::Dir { path } else { dir });
                let shown = [self.directory(module), "/", &highest.to_string()].concat();
                let shown = shown.trim_end_matches('/').to_owned();
                let subtree = found.subtrees.entry(shown.clone()).or_insert_with(|| Subtree::at(shown));
                match row.kind {
                    Kind::Dir => subtree.directories += 1,
                    _ => subtree.files.add(row.size),
                }
                if !seen.is_open {
                    subtree.modes += 1;
                    let is_file = row.kind == Kind::File;
                    let is_in_doubt = is_file && ctimes.as_ref().is_some_and(|ctimes| ctimes.doubt(seen.ctime));
                    found.closed.push(Entry { module, path, kind: row.kind, is_in_doubt });
                }
            }
        }
        Ok(())
    }

    /// Opens entries. Before that it is written down that they are: a run that follows leaves them open, however this ends. That is for what
    /// was listed, none of which is newer than `newest`: what upstream has made since, an admin did not see.
    fn flip(
        &self,
        (path, newest): (RelPath<'_>, i64),
        closed: Vec<Entry<'_>>,
        roots: &BTreeMap<usize, Root>,
    ) -> Result<u64, Failure> {
        // What cannot be read back makes way: its loss was told by the last run, or is by the next.
        let mut opened = openings::read(&self.state).unwrap_or_default();
        opened.add(path, newest);
        openings::write(&self.state, &opened)?;
        if closed.is_empty() {
            return Ok(self.state.clear_work().map(|()| 0)?);
        }
        let changed: BTreeSet<usize> = closed.iter().map(|entry| entry.module).collect();
        let since = |module: &usize| (self.directory(*module), self.clock(roots.get(module)).unwrap_or(i64::MAX));
        let since: Vec<(&str, i64)> = changed.iter().map(since).collect();
        Journal::of(&self.state).begin(&since, "bitflip")?;
        if let Some(begin) = since.iter().map(|&(_, since)| since).min().filter(|since| *since != i64::MAX) {
            self.changing.get_or_init(|| begin);
        }
        let opened = self.open_all(closed, roots);
        self.save_span()?;
        // What an earlier run left in disorder is still to be put in order by the next.
        let is_in_order = |module: &usize| !self.unfinished.concerns(self.directory(*module));
        self.end_journal(&changed.into_iter().filter(is_in_order).collect::<Vec<_>>())?;
        self.state.clear_work()?;
        match self.interrupt.raised() {
            None => Ok(opened),
            Some(signal) => {
                let text = format!("interrupted; {opened} modes were changed, and the same command does the rest");
                Err(Failure::said(signal.into(), text))
            }
        }
    }

    /// Opens entries, what leads to others last. Returns how many were.
    fn open_all(&self, mut entries: Vec<Entry<'_>>, roots: &BTreeMap<usize, Root>) -> u64 {
        entries.sort_unstable_by_key(|entry| {
            (entry.kind == Kind::Dir, Class::of(entry.path, entry.kind), entry.module, Reverse(entry.path))
        });
        let mut opened = 0;
        for entry in entries.iter().take_while(|_| self.interrupt.raised().is_none()) {
            let Some(root) = roots.get(&entry.module) else { continue };
            let open = || self.open(entry.module, root, entry.path, entry.kind);
            opened += u64::from(self.keeping_doubt(entry.is_in_doubt, open));
        }
        opened
    }

    /// Opens one entry, and says so. Whether it was closed.
    fn open(&self, module: usize, root: &Root, path: RelPath<'_>, kind: Kind) -> bool {
        match open(root, path, kind) {
            Ok(true) => {
                let (directory, path) = (self.directory(module), path.bytes());
                self.listener.hear(&Event::Opened { module: self.name(module), directory, path });
            }
            Ok(false) => return false,
            Err(error) => {
                self.failed(module, &Failure::from(error));
                return false;
            }
        }
        true
    }

    /// Opens once more what an admin opened and rsync closed: it gives what it is asked for, and the directories above that, upstream's
    /// modes.
    pub(super) fn open_again(&self, plan: &Plan<'_>, readings: &[Reading<'_>], subjects: &[Subject]) {
        for reading in readings.iter().filter(|reading| reading.filter.has_openings()) {
            let Some(root) = &reading.root else { continue };
            let listing = &reading.listing;
            let fetched = plan.modules[reading.module].fetch.iter().map(|fetch| fetch.path);
            let touched: BTreeSet<RelPath<'_>> =
                fetched.flat_map(|path| [path].into_iter().chain(path.ancestors())).collect();
            let opened = |path: RelPath<'_>| {
                let row = listing.find(path)?;
                (row.mark.is_public() && row.time != 0 && reading.filter.is_opened(row, path)).then_some(row.kind)
            };
            // What lies below comes first.
            for (path, kind) in touched.into_iter().rev().filter_map(|path| Some((path, opened(path)?))) {
                let is_in_doubt = self.is_in_doubt(reading.module, root, path, subjects);
                self.keeping_doubt(is_in_doubt, || self.open(reading.module, root, path, kind));
            }
        }
    }
}

fn is_restricted(listing: &Listing<'_>, path: RelPath<'_>) -> bool {
    listing.find(path).is_some_and(|row| !row.mark.is_public())
}
