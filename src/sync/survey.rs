//! Comparing: which modules, how closely, and what must be done about them.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::Utc;
use foldhash::fast::RandomState;
use rayon::prelude::*;

use super::checksums;
use super::lists::{List, Lists};
use super::{Failure, GivenUp, Run};
use crate::config::DeleteMode;
use crate::exit::Status;
use crate::list::listing::DirId;
use crate::list::{BadRow, Kind, Listing, Sections, is_list_name};
use crate::path::{RelPath, RelPathBuf, escape};
use crate::plan::changes::Changes;
use crate::plan::compare::{Fetch, FetchCause, LocalKind, Look, Vouched};
use crate::plan::filter::Filter;
use crate::plan::guard::{self, Facts, Hold, Limits};
use crate::plan::twins::{Haystack, Missing};
use crate::plan::{BadLine, Delete, DeleteCause, Depth, InTheWay, Link, ModulePlan, Plan};
use crate::report::Event;
use crate::state::{Applied, Map};
use crate::tree::stamp::{self, Standing};
use crate::tree::walk::{self, Survey, Walk};
use crate::tree::{Root, Stamp, TreeError};

/// So many bad rows are reported by line; a list that is all bad rows needs no more.
const BAD_ROWS_SHOWN: usize = 20;

/// What was applied of a module before this run.
pub(super) struct Subject {
    /// What the saved state says.
    pub applied: Option<Applied>,
    /// The saved list, where it can be compared with.
    pub saved: Option<(Map, Sections)>,
}

/// A module under comparison: its list, and what was seen of its tree.
pub(super) struct Reading<'t> {
    /// The module, by number.
    pub module: usize,
    /// What its list carries.
    pub listing: Listing<'t>,
    /// Its directory, if there is one.
    pub root: Option<Root>,
    /// How closely it was compared.
    pub depth: Depth,
    /// Whether the list is another than the applied one.
    pub new_list: bool,
    /// When every directory and file was last compared, seconds since the epoch.
    pub last_full_check: i64,
    /// What the guard was told.
    pub facts: Facts,
    /// Stamps of directories that need not be read again next time.
    pub stamps: HashMap<RelPathBuf, Stamp, RandomState>,
    /// Something failed here: the list must not be installed.
    pub blocked: bool,
}

/// One module, compared.
type Compared<'t> = (ModulePlan<'t>, Option<Reading<'t>>);

impl Run<'_> {
    /// What was applied of each module before.
    pub(super) fn subjects(&self) -> Vec<Subject> {
        (0..self.config.modules.len()).map(|module| self.subject(module)).collect()
    }

    fn subject(&self, module: usize) -> Subject {
        let settings = &self.config.modules[module];
        let path = self.state.list(&settings.directory, &settings.list);
        let applied = Applied::read(&self.state, &settings.directory, &path).unwrap_or_else(|error| {
            self.listener.hear(&Event::Warning(&format!("{:#}; everything is compared", anyhow::Error::new(error))));
            None
        });
        let saved = Map::open(&path).ok().and_then(|map| Sections::find(&map).ok().map(|sections| (map, sections)));
        match saved {
            Some(saved) => Subject { applied, saved: Some(saved) },
            None => Subject { applied: None, saved: None },
        }
    }

    /// What upstream could not deliver in the last runs: asking for newer lists was tried then.
    pub(super) fn undelivered_before(&self, subjects: &[Subject]) -> GivenUp {
        let undelivered = subjects.iter().enumerate().flat_map(|(module, subject)| {
            let applied = subject.applied.iter();
            applied.flat_map(move |applied| applied.undelivered.iter().map(move |path| (module, path.clone())))
        });
        undelivered.collect()
    }

    /// Compares all modules, and works out what is to be done.
    ///
    /// Modules that cannot be compared are reported and left out.
    pub(super) fn plan<'t>(&self, lists: &'t Lists, subjects: &'t [Subject]) -> (Plan<'t>, Vec<Reading<'t>>) {
        let mut modules = Vec::new();
        let mut readings = Vec::new();
        for (index, list) in lists.iter().enumerate() {
            let compared = match list {
                Some(list) => self.compare(index, list, &subjects[index]),
                None => Ok((self.nothing_planned(index), None)),
            };
            let (plan, reading) = compared.unwrap_or_else(|failure| {
                self.failed(index, &failure);
                (self.nothing_planned(index), None)
            });
            modules.push(plan);
            readings.extend(reading);
        }
        let mut plan = Plan { modules, twins: Vec::new(), links: Vec::new() };
        self.find_twins(&mut plan, lists);
        (plan, readings)
    }

    fn nothing_planned<'t>(&self, module: usize) -> ModulePlan<'t> {
        let settings = &self.config.modules[module];
        ModulePlan {
            module: settings.name.clone(),
            directory: settings.directory.clone(),
            depth: Depth::None,
            new_list: false,
            fetch: Vec::new(),
            in_the_way: Vec::new(),
            deletes: Vec::new(),
            holds: Vec::new(),
            carried: 0,
            bad_rows: Vec::new(),
        }
    }

    fn compare<'t>(&self, module: usize, list: &'t List, subject: &'t Subject) -> Result<Compared<'t>, Failure> {
        let filter = &self.filters[module];
        let applied = subject.applied.as_ref();
        let depth = self.depth(module, list, applied);
        if depth == Depth::None {
            return Ok((self.nothing_planned(module), None));
        }
        let listing = read(&list.map, &list.sections, filter.clone()).map_err(|error| {
            Failure::new(Status::List, anyhow::Error::new(error).context(list.path.display().to_string()))
        })?;
        let old = old_listing(subject);
        let root = self.open_module(module, applied, depth)?;

        let mut changes = old.as_ref().map(|old| Changes::between(old, &listing));
        let nothing_changed = HashSet::new();
        let vouched = match &changes {
            Some(changes) => Vouched::Applied(&changes.changed),
            None => Vouched::Nobody,
        };
        let clock = root.as_ref().and_then(stamp::clock);
        let (mut survey, same) = match (&root, applied, depth) {
            (None, ..) => (walk::nothing_here(&listing, self.keep(module)), HashMap::default()),
            (Some(root), Some(applied), Depth::Quick) => {
                let mut names = changes.as_mut().map(|changes| std::mem::take(&mut changes.names)).unwrap_or_default();
                look_also_at(&listing, applied, &mut names);
                let standing = stamp::check(root, &listing, |path| applied.stamps.get(&path.to_owned()).copied());
                let (start, same) = start(&listing, &standing, names);
                let vouched = changes.as_ref().map_or(&nothing_changed, |changes| &changes.changed);
                (self.walk(module, root, &listing, Vouched::Applied(vouched), false).survey(start), same)
            }
            (Some(root), ..) => {
                let start = vec![(0, Look::Whole)];
                (self.walk(module, root, &listing, vouched, true).survey(start), HashMap::default())
            }
        };
        let mut stamps = same;
        stamps.extend(kept(&listing, &survey, clock));

        let deletes = self.deletes(module, &listing, old.as_ref(), applied, root.as_ref(), &mut survey);
        let in_the_way = weigh_in_the_way(root.as_ref(), &mut survey);
        let (bad_rows, doubtful_rows) = self.bad_rows(module, &listing, old.as_ref(), list.new, applied);
        let facts = Facts {
            before: old.as_ref().map_or(survey.found.seen, |old| old.len() as u64),
            after: listing.len() as u64,
            bad_rows: doubtful_rows,
            unreadable: survey.unreadable.len(),
            displaced: in_the_way.iter().map(|directory| directory.entries).sum(),
        };
        let holds = self.holds(module, &deletes, &facts);
        for error in survey.unreadable.drain(..) {
            self.failed(module, &Failure::from(error));
        }

        let mut fetch = std::mem::take(&mut survey.found.fetch);
        add_undelivered(&listing, applied, &mut fetch);
        if let Some(root) = &root {
            checksums::add_wrong(root, list, subject, &listing, depth, &mut fetch);
        }
        if holds.is_empty() {
            add_surroundings(&listing, &deletes, &mut fetch);
        }
        fetch.sort_unstable_by_key(|fetch| (fetch.path, fetch.cause));
        fetch.dedup_by_key(|fetch| fetch.path);
        self.listener.hear(&Event::Compared { module: self.name(module), depth, carried: facts.after });
        let plan = ModulePlan {
            depth,
            new_list: list.new,
            fetch,
            in_the_way,
            deletes,
            holds,
            carried: facts.after,
            bad_rows,
            ..self.nothing_planned(module)
        };
        let blocked = facts.unreadable > 0;
        let new_list = list.new;
        let last_full_check = applied.map_or(0, |applied| applied.full_check);
        let reading = Reading { module, listing, root, depth, new_list, last_full_check, facts, stamps, blocked };
        Ok((plan, Some(reading)))
    }

    /// How closely a module must be compared.
    fn depth(&self, module: usize, list: &List, applied: Option<&Applied>) -> Depth {
        let Some(applied) = applied else { return Depth::Full };
        let due = Utc::now().timestamp() - applied.full_check >= self.config.full_check_every.as_secs() as i64;
        let changed_settings = applied.selection != *self.filters[module].selection();
        if self.options.full || due || changed_settings || self.unfinished.concerns(self.directory(module)) {
            Depth::Full
        } else if list.new || applied.is_open(self.config.delete.mode == DeleteMode::Now) {
            Depth::Quick
        } else {
            Depth::None
        }
    }

    /// Opens a module's directory; `None` if it is not there and was not before.
    fn open_module(&self, module: usize, applied: Option<&Applied>, depth: Depth) -> Result<Option<Root>, Failure> {
        let path = self.root.join(self.directory(module));
        let root = match Root::open(&path) {
            Ok(root) => Some(root),
            Err(error) if error.source.kind() == std::io::ErrorKind::NotFound && !path.is_symlink() => None,
            Err(error) => return Err(error.into()),
        };
        let emptied = match &root {
            None => true,
            Some(root) => walk::is_empty(root).map_err(|error| TreeError::new("cannot read", &path, error))?,
        };
        let asked_for = self.options.full && depth == Depth::Full;
        if emptied && !asked_for && applied.is_some_and(|applied| !applied.stamps.is_empty()) {
            let (path, name) = (path.display(), self.name(module));
            return Err(Failure::said(
                Status::Local,
                format!(
                    "{path} is empty or not there, but the saved state says that it was filled: perhaps a volume is not mounted. \
                     If it is to be filled anew, run once: qfm --full {name}"
                ),
            ));
        }
        Ok(root)
    }

    pub(super) fn walk<'w, 't>(
        &'w self,
        module: usize,
        root: &'w Root,
        listing: &'w Listing<'t>,
        vouched: Vouched<'w>,
        descend: bool,
    ) -> Walk<'w, 't, impl Fn(RelPath<'_>) -> bool + Sync + 'w> {
        Walk { root, listing, vouched, keep: self.keep(module), descend, interrupt: self.interrupt }
    }

    /// Local names that are never deleted: lists and what lies beside them.
    fn keep(&self, module: usize) -> impl Fn(RelPath<'_>) -> bool + Sync + '_ {
        move |path| is_list_name(path, &self.filters[module].selection().own_names)
    }

    /// What is here and should not be, with why and how much it is; by path, backwards.
    fn deletes(
        &self,
        module: usize,
        listing: &Listing<'_>,
        old: Option<&Listing<'_>>,
        applied: Option<&Applied>,
        root: Option<&Root>,
        survey: &mut Survey<'_>,
    ) -> Vec<Delete> {
        let Some(root) = root else { return Vec::new() };
        let filter = &self.filters[module];
        let pending: HashMap<&[u8], DeleteCause> = applied
            .map(|applied| applied.pending.iter().map(|(path, cause)| (path.as_slice(), *cause)).collect())
            .unwrap_or_default();
        let extra = std::mem::take(&mut survey.found.extra);
        let weighed: Vec<Result<Delete, TreeError>> = extra
            .into_par_iter()
            .map(|extra| {
                let dir = extra.dir.as_path();
                let is_dir = extra.kind == LocalKind::Dir;
                let weight = if is_dir { walk::weigh(root, dir, &extra.name) } else { Ok(1) };
                let entries = weight.map_err(|error| TreeError::new("cannot read all of", root.path_of(dir), error))?;
                let cause = match dir.join(&extra.name) {
                    Err(_) => DeleteCause::NeverListed,
                    Ok(path) => {
                        let path = path.as_path();
                        let was_listed = old.is_some_and(|old| old.find(path).is_some());
                        if filter.excludes(path, is_dir) {
                            DeleteCause::Excluded
                        } else if listing.withholds(path) {
                            DeleteCause::Restricted
                        } else if was_listed {
                            DeleteCause::Gone
                        } else {
                            pending.get(path.bytes()).copied().unwrap_or(DeleteCause::NeverListed)
                        }
                    }
                };
                Ok(Delete::new(extra, cause, entries))
            })
            .collect();
        let mut deletes = Vec::with_capacity(weighed.len());
        for weighed in weighed {
            match weighed {
                Ok(delete) => deletes.push(delete),
                Err(error) => survey.unreadable.push(error),
            }
        }
        deletes.sort_by(|a, b| (&b.dir, &b.name).cmp(&(&a.dir, &a.name)));
        deletes
    }

    fn holds(&self, module: usize, deletes: &[Delete], facts: &Facts) -> Vec<Hold> {
        let settings = &self.config.delete;
        let limits = Limits { max_share: settings.max_share, min_entries: settings.min_entries };
        let mut holds = guard::judge(deletes, facts, &limits);
        if settings.mode == DeleteMode::Never && !deletes.is_empty() {
            holds.push(Hold::Never);
        }
        let allowed = self.exceptions(module).iter().any(|exception| exception.subtree.is_empty());
        holds.retain(|hold| !(allowed && hold.can_be_allowed()));
        holds
    }

    /// The rows that were set aside, and how many of them are in doubt: not in the applied list too, byte for byte.
    fn bad_rows(
        &self,
        module: usize,
        listing: &Listing<'_>,
        old: Option<&Listing<'_>>,
        new_list: bool,
        applied: Option<&Applied>,
    ) -> (Vec<BadLine>, usize) {
        let known: HashSet<&[u8]> =
            old.iter().flat_map(|old| old.bad.iter().map(|bad| &old.text()[bad.line.clone()])).collect();
        let line = |bad: &crate::list::listing::Bad| &listing.text()[bad.line.clone()];
        let doubtful = listing.bad.iter().filter(|bad| !known.contains(line(bad))).count();
        let shown: Vec<(BadLine, bool)> = listing
            .bad
            .iter()
            .take(BAD_ROWS_SHOWN)
            .map(|bad| (bad_line(bad.line_number(listing.text()), line(bad), bad.why), known.contains(line(bad))))
            .collect();
        for (line, habit) in &shown {
            self.listener.hear(&Event::BadRow { module: self.name(module), line, habit: *habit });
        }
        if listing.bad.len() > shown.len() {
            let more = listing.bad.len() - shown.len();
            self.listener.hear(&Event::Warning(&format!("{}: {more} more rows are set aside", self.name(module))));
        }
        // The same list again tells nothing new: what was in doubt still is.
        let doubtful = if new_list { doubtful } else { applied.map_or(doubtful, |applied| applied.doubtful_rows) };
        (shown.into_iter().map(|(line, _)| line).collect(), doubtful)
    }

    /// Names the local names of files that are missing under another.
    fn find_twins<'t>(&self, plan: &mut Plan<'t>, lists: &'t Lists) {
        let missing = plan.missing();
        let fetched: HashSet<(usize, RelPath<'t>), RandomState> = plan
            .modules
            .iter()
            .enumerate()
            .flat_map(|(module, of)| of.fetch.iter().map(move |fetch| (module, fetch.path)))
            .collect();
        let haystacks: Vec<Haystack<'t, '_>> = lists
            .iter()
            .enumerate()
            .filter_map(|(module, list)| {
                let list = list.as_ref()?;
                Some(Haystack { module, text: &list.map, sections: &list.sections, filter: &self.filters[module] })
            })
            .collect();
        let twins = missing.twins(&haystacks, &fetched);
        let links = twins.iter().flat_map(|twin| {
            let local = (twin.module, twin.path);
            missing.names(&twin.key).iter().map(move |&missing| Link { missing, local })
        });
        let mut links: Vec<Link<'t>> = links.collect();
        links.sort_unstable_by_key(|link| (link.missing, link.local));
        plan.links = links;
        plan.twins = twins;
    }
}

/// How much the directories hold that must make way.
fn weigh_in_the_way<'t>(root: Option<&Root>, survey: &mut Survey<'t>) -> Vec<InTheWay<'t>> {
    let mut weighed = Vec::new();
    let Some(root) = root else { return weighed };
    for path in std::mem::take(&mut survey.found.in_the_way) {
        match walk::weigh(root, path.parent(), path.name()) {
            Ok(entries) => weighed.push(InTheWay { path, entries }),
            Err(error) => survey.unreadable.push(TreeError::new("cannot read all of", root.path_of(path), error)),
        }
    }
    weighed
}

/// Reads a list through a filter, which may have to look at the list first.
fn read<'t>(text: &'t [u8], sections: &Sections, filter: Filter) -> Result<Listing<'t>, crate::list::ListError> {
    let filter = filter.for_list(text, sections);
    Listing::read(text, sections, |row, path| filter.carry(row, path))
}

/// What was applied, as it was carried then.
fn old_listing(subject: &Subject) -> Option<Listing<'_>> {
    let (map, sections) = subject.saved.as_ref()?;
    let filter = Filter::new(&subject.applied.as_ref()?.selection).ok()?;
    read(map, sections, filter).ok()
}

/// What is still open from earlier runs is looked at too.
fn look_also_at<'t>(listing: &Listing<'t>, applied: &'t Applied, names: &mut BTreeMap<RelPath<'t>, Vec<&'t [u8]>>) {
    // What is held is found without this: no stamp is kept of a directory that holds it.
    for path in &applied.undelivered {
        Changes::look_at(names, listing, path.as_path());
    }
}

/// Where a quick comparison starts: directories that changed as a whole, and single names elsewhere. Also the stamps of those that
/// did not change.
fn start<'t>(
    listing: &Listing<'t>,
    standing: &[Standing],
    mut names: BTreeMap<RelPath<'t>, Vec<&'t [u8]>>,
) -> (Vec<(DirId, Look<'t>)>, HashMap<RelPathBuf, Stamp, RandomState>) {
    for dir in listing.dirs().filter(|&dir| standing[dir as usize] == Standing::Absent) {
        let path = listing.dir_path(dir);
        if !path.is_top() {
            Changes::look_at(&mut names, listing, path);
        }
    }
    let mut start = Vec::new();
    let mut same: HashMap<RelPathBuf, Stamp, RandomState> = HashMap::default();
    for dir in listing.dirs() {
        let path = listing.dir_path(dir);
        match standing[dir as usize] {
            Standing::Same(stamp) => {
                same.insert(path.to_owned(), stamp);
                start.extend(names.remove(&path).map(|names| (dir, Look::Names(names))));
            }
            Standing::Different | Standing::Unknown => start.push((dir, Look::Whole)),
            Standing::Absent => {}
        }
    }
    (start, same)
}

/// Stamps of a survey that are safe to keep.
pub(super) fn kept<'a>(
    listing: &'a Listing<'_>,
    survey: &'a Survey<'_>,
    clock: Option<i64>,
) -> impl Iterator<Item = (RelPathBuf, Stamp)> + 'a {
    let safe = survey.stamps.iter().filter(move |(_, stamp)| clock.is_some_and(|clock| !stamp.is_racy(clock)));
    safe.map(|(dir, stamp)| (listing.dir_path(*dir).to_owned(), *stamp))
}

/// What upstream could not deliver is asked for again.
fn add_undelivered<'t>(listing: &Listing<'t>, applied: Option<&Applied>, fetch: &mut Vec<Fetch<'t>>) {
    for path in applied.iter().flat_map(|applied| &applied.undelivered) {
        let row = listing.find(path.as_path()).filter(|row| row.kind != Kind::Unreadable);
        fetch.extend(row.map(|row| Fetch::new(listing, row, FetchCause::Undelivered)));
    }
}

/// Directories from which something goes that upstream never had: their time is upstream's no more, and rsync puts that right.
fn add_surroundings<'t>(listing: &Listing<'t>, deletes: &[Delete], fetch: &mut Vec<Fetch<'t>>) {
    for delete in deletes.iter().filter(|delete| delete.cause != DeleteCause::Gone) {
        let row = listing.find(delete.dir.as_path());
        fetch.extend(row.map(|row| Fetch::new(listing, row, FetchCause::Surrounding)));
    }
}

fn bad_line(number: usize, line: &[u8], why: BadRow) -> BadLine {
    let shown = &line[..line.len().min(200)];
    BadLine { number, text: escape(shown), why: why.to_string() }
}

impl<'t> Plan<'t> {
    /// The files of which nothing is here.
    pub(super) fn missing(&self) -> Missing<'t> {
        Missing::of(self.modules.iter().enumerate().map(|(module, of)| (module, of.fetch.as_slice())))
    }
}
