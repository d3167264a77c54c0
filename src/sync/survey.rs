//! Comparing: what must be done about each module.

use std::collections::{HashMap, HashSet};
use std::io;

use rayon::prelude::*;

use super::groups::Group;
use super::quick::seconds_since;
use super::reading::Reading;
use super::subject::{Since, Subject, read};
use super::text::{List, Lists, Text};
use super::{Failure, Run};
use crate::config::DeleteMode;
use crate::exit::Status;
use crate::list::{Kind, Listing, Row, is_list_name, leads_to};
use crate::path::{RelPath, RelPathBuf, is_among};
use crate::plan::compare::{Fetch, FetchCause, Look, Vouched};
use crate::plan::filter::Filter;
use crate::plan::guard::{Facts, Peak};
use crate::plan::twins::{Haystack, Missing};
use crate::plan::{Amount, Delete, DeleteCause, Depth, Link, ModulePlan, Plan, repository, rolling};
use crate::report::Event;
use crate::state::applied::Checked;
use crate::state::{Applied, Stamps};
use crate::tree::walk::{self, Survey, Walk};
use crate::tree::{Root, TreeError};

impl Run<'_> {
    /// Compares all modules, and works out what is to be done.
    ///
    /// Modules that cannot be compared are reported and left out.
    pub(super) fn plan<'t>(
        &self,
        lists: &'t Lists,
        subjects: &'t [Subject],
        groups: &[Group],
    ) -> (Plan<'t>, Vec<Reading<'t>>) {
        let mut plan = Plan::default();
        let mut readings = Vec::new();
        let mut sound = Vec::new();
        for (module, list) in lists.iter().enumerate() {
            let settings = &self.config.modules[module];
            let mut of_module = ModulePlan::nothing(&settings.name, &settings.directory);
            if let Some(list) = list {
                match self.compare(module, list, &subjects[module]) {
                    Ok(compared) => {
                        sound.push((module, &list.text));
                        if let Some((plan, reading)) = compared {
                            of_module = plan;
                            readings.push(reading);
                        } else if let (DeleteMode::Never, Some(applied)) =
                            (self.config.delete.mode, &subjects[module].applied)
                        {
                            of_module.kept = applied.kept.clone();
                        }
                    }
                    Err(failure) => {
                        self.failed(module, &failure);
                        of_module.failed = true;
                    }
                }
            } else if !self.is_selected(module) {
                of_module.left_alone = true;
                // Its files may have other names in modules that are not left alone.
                sound.extend(subjects[module].saved.as_ref().map(|saved| (module, saved)));
            } else {
                of_module.failed = true;
            }
            plan.modules.push(of_module);
        }
        part(&mut plan, &readings);
        self.settle_doubt(&mut plan, &mut readings, subjects);
        self.find_twins(&mut plan, (&sound, subjects), groups, &mut readings);
        (plan, readings)
    }

    /// Compares one module; `None` if that is not needed.
    fn compare<'t>(
        &self,
        module: usize,
        list: &'t List,
        subject: &'t Subject,
    ) -> Result<Option<(ModulePlan<'t>, Reading<'t>)>, Failure> {
        let applied = subject.applied.as_ref();
        // A volume that is not mounted is told of, whether the list changed or not.
        let root = self.open_module(module, applied)?;
        let now = crate::clock::now().timestamp();
        let depth = self.depth(module, list, applied);
        if depth == Depth::None {
            return Ok(None);
        }
        let since = self.since(module, list, subject)?;
        let (mut reading, mut survey) = self.look(module, list, subject, since.as_ref(), root, depth)?;
        if let (Some(since), Some(applied), false) = (&since, applied, self.options.fills_anew())
            && is_another_tree(&reading, since, applied, &survey)
        {
            return Err(self.not_mounted(module, "holds nothing of what it should"));
        }
        self.set_temporary_apart(&mut reading, since.as_ref(), applied, &mut survey);
        let mut deletes = self.deletes(&reading, since.as_ref(), applied, &mut survey);
        let in_the_way = self.weigh_in_the_way(&reading, since.as_ref(), &mut survey);
        let (bad_rows, doubtful) = self.bad_rows(&reading, since.as_ref(), applied);
        let displaced = in_the_way.iter().map(|directory| directory.entries).sum();
        // Of what should not be here, directories were seen from outside.
        let inside: u64 = deletes.iter().map(|delete| delete.entries - 1).sum();
        let seen = Amount { entries: survey.found.seen + inside + displaced, bytes: 0 };
        let before = applied.map_or(seen, |applied| applied.carried);
        let after = match (&since, reading.depth) {
            (Some(since), Depth::Quick) => carried_since(before, since, &reading.filter),
            _ => carried(&reading.listing),
        };
        let dirs = match (&since, &reading.stamps) {
            (Some(since), Some((stamps, _))) => dirs_since(stamps, since, &reading.filter),
            _ => reading.listing.rows().iter().filter(|row| row.kind == Kind::Dir).count() as u64,
        };
        let changed_rows = since.as_ref().map_or(0, |since| since.changes.rows.len() as u64);
        let allowed = !self.exceptions(module).is_empty();
        let peak = match (&since, applied) {
            (Some(since), applied) if applied.is_none() || since.carried_otherwise(&reading.filter).is_some() => {
                Peak::default().and_then(carried_before(after, since, &reading.filter), now, allowed)
            }
            (_, Some(applied)) if applied.selection == *reading.filter.selection() => {
                applied.peak.and_then(before, now, allowed)
            }
            // There is no list to measure by.
            _ => Peak::default().and_then(after, now, allowed),
        };
        reading.peak = peak.and_then(after, now, allowed);
        reading.facts = Facts {
            before,
            most: peak.amount,
            after,
            bad_rows: doubtful,
            unreadable: survey.unreadable.len(),
            displaced,
            headless: self.headless(module, &reading, since.as_ref()),
            older: went_back(list, since.as_ref()),
            held: applied.map(|applied| applied.held.clone()).unwrap_or_default(),
            waiting: in_the_way.iter().any(|directory| is_among(directory.path, held_back(subject))),
        };
        self.warn_of_older(module, list, reading.facts.older);
        let holds = self.holds(module, &deletes, &reading.facts);
        let staying = self.take_staying(&mut deletes, &holds);
        reading.blocked = !survey.unreadable.is_empty();
        for error in survey.unreadable {
            self.unread(module, error);
        }

        let mut fetch = survey.found.fetch;
        reading.linked = survey.found.linked;
        reading.touched = survey.found.touched;
        reading.closed = self.left_closed(applied, since.as_ref());
        if let Some(left) = &reading.closed {
            let closed = survey.found.closed.into_iter().filter(|path| !is_among(*path, left));
            let rows = closed.filter_map(|path| reading.listing.find(path));
            fetch.extend(rows.map(|row| Fetch::new(&reading.listing, row, FetchCause::Altered)));
        }
        // A list is not changed by a mode that somebody gives it here.
        let opened = survey.found.opened.iter().filter_map(|path| reading.listing.find(*path));
        fetch.extend(opened.map(|row| Fetch::new(&reading.listing, row, FetchCause::Altered)));
        reading.left_out = self.left_out(applied, since.as_ref());
        fetch.retain(|fetch| fetch.cause != FetchCause::Missing || !is_among(fetch.path, &reading.left_out));
        add_lacking(&reading.listing, subject, &mut fetch);
        let hashed = self.add_wrong(&reading, list, since.as_ref(), &mut fetch)?;
        let never_listed = |delete: &&Delete| holds.is_empty() && delete.cause == DeleteCause::NeverListed;
        let surroundings = deletes.iter().filter(never_listed).map(|delete| &delete.dir).chain(&reading.littered);
        add_surroundings(&reading.listing, surroundings, &mut fetch);
        self.add_asked_for(&reading, &mut fetch);
        fetch.par_sort_unstable_by_key(|fetch| (fetch.path, fetch.cause));
        fetch.dedup_by_key(|fetch| fetch.path);
        // Who only transfers moves no directory.
        let held = if self.options.commits() { self.held_in_the_way(module, &in_the_way, &holds) } else { Vec::new() };
        let held_back = repository::hold_back(&mut fetch, &held);
        let undelivered = applied.map(|applied| applied.undelivered.as_slice()).unwrap_or_default();
        let undelivered = since.as_ref().map(|since| since.unchanged(undelivered)).unwrap_or_default();
        let undelivered = fetch.iter().filter(|fetch| is_among(fetch.path, &undelivered)).count();
        let (depth, new_list, carried) = (reading.depth, reading.new_list, after.entries);
        self.listener.hear(&Event::Compared { module: self.name(module), depth, carried });
        let settings = &self.config.modules[module];
        let nothing = ModulePlan::nothing(&settings.name, &settings.directory);
        let mut plan = ModulePlan {
            depth,
            new_list,
            fetch,
            undelivered,
            in_the_way,
            held_back,
            deletes,
            staying,
            holds,
            carried,
            dirs,
            changed_rows,
            hashed,
            bad_rows,
            ..nothing
        };
        if !self.options.commits() {
            self.only_transfer(&mut plan, &mut reading);
        }
        Ok(Some((plan, reading)))
    }

    /// The links that an earlier run left out, and that are the same still: nobody needs to hear of them again, unless all is to be
    /// looked at anew. By path.
    fn left_out(&self, applied: Option<&Applied>, since: Option<&Since<'_>>) -> Vec<RelPathBuf> {
        let (Some(applied), Some(since)) = (applied, since) else { return Vec::new() };
        if self.looks_anew() || !self.config.rsync.safe_links {
            return Vec::new();
        }
        since.unchanged(&applied.left_out)
    }

    /// What stays closed for others, because asking for it changed nothing in an earlier run; unless its row changed, or all is to be looked
    /// at anew. By path; `None` if it is too much to be remembered.
    fn left_closed(&self, applied: Option<&Applied>, since: Option<&Since<'_>>) -> Option<Vec<RelPathBuf>> {
        let (Some(applied), Some(since)) = (applied, since) else { return Some(Vec::new()) };
        if self.looks_anew() {
            return Some(Vec::new());
        }
        Some(since.unchanged(applied.closed.as_ref()?))
    }

    /// Whether also what an earlier run left as it is is to be looked at.
    fn looks_anew(&self) -> bool {
        self.options.full && !self.options.verify
    }

    /// How closely a module must be compared.
    fn depth(&self, module: usize, list: &List, applied: Option<&Applied>) -> Depth {
        let Some(applied) = applied else { return Depth::Full };
        let every = self.config.full_check_every;
        let wants_links = !self.config.rsync.safe_links && !applied.left_out.is_empty();
        let changed_settings = applied.selection != *self.filters[module].selection() || wants_links;
        let deletes = &self.config.delete;
        let is_open = applied.is_open(deletes.mode == DeleteMode::Now, deletes.after, crate::clock::now().timestamp());
        let is_turn = rolling::is_due(seconds_since(crate::clock::now().timestamp(), applied.checked.last), every);
        let looks_at_all = self.options.full
            || self.options.every_module
            || self.options.asks_for_more()
            || self.options.transfer_only;
        if looks_at_all || every.is_zero() || changed_settings || self.unfinished.concerns(self.directory(module)) {
            Depth::Full
        } else if list.new || is_turn || is_open {
            Depth::Quick
        } else {
            Depth::None
        }
    }

    /// Whether it is so long since everything had been compared as the settings want at most.
    pub(super) fn is_full_check_due(&self, applied: &Applied) -> bool {
        seconds_since(crate::clock::now().timestamp(), applied.checked.all) >= self.config.full_check_every
    }

    /// Opens a module's directory; `None` if it is not there and was not before.
    ///
    /// # Errors
    /// If it cannot be opened, or if it is empty and was not: a volume may not be mounted, and nothing must be put in its place.
    fn open_module(&self, module: usize, applied: Option<&Applied>) -> Result<Option<Root>, Failure> {
        let path = self.root.join(self.directory(module));
        let root = match Root::open(&path) {
            Ok(root) => Some(root),
            Err(error) if error.source.kind() == io::ErrorKind::NotFound && !path.is_symlink() => None,
            Err(error) => return Err(error.into()),
        };
        // What leads to a file of our own may be upstream's, with all that is in it.
        let is_ours = |path: RelPath<'_>| is_list_name(path, &self.filters[module].selection().own_names);
        let emptied = match &root {
            None => true,
            Some(root) => walk::is_empty(root, is_ours).map_err(|error| TreeError::new("cannot read", &path, error))?,
        };
        let was_filled = match applied {
            Some(applied) => applied.has_put_any(),
            // A list is saved when all that it names is in place.
            None => self.state.list(self.directory(module), &self.config.modules[module].list).exists(),
        };
        if emptied && was_filled && !self.options.fills_anew() {
            return Err(self.not_mounted(module, "is empty or not there"));
        }
        Ok(root)
    }

    /// A module's directory is not as it was left.
    fn not_mounted(&self, module: usize, what: &str) -> Failure {
        let (path, name) = (self.root.join(self.directory(module)), self.name(module));
        let text = format!(
            "{} {what}, but the saved state says that it was filled: perhaps a volume is not mounted. \
             If it is to be filled anew, run once: qfm --full {name}",
            path.display()
        );
        Failure::said(Status::Local, text)
    }

    /// Repositories that stay without their metadata, for human eyes.
    fn headless(&self, module: usize, reading: &Reading<'_>, since: Option<&Since<'_>>) -> Vec<String> {
        let Some(since) = since else { return Vec::new() };
        let was_carried = |row, path: RelPath<'_>| since.filter.carries(row, path);
        let headless = repository::headless(&since.changes, was_carried, &reading.listing);
        let shown =
            |path: RelPath<'_>| if path.is_top() { self.directory(module).to_owned() } else { path.to_string() };
        headless.into_iter().map(shown).collect()
    }

    /// Says that a list is older than the saved one: `went_back` is whether it says something else, too.
    fn warn_of_older(&self, module: usize, list: &List, went_back: bool) {
        let what = match (went_back, list.older) {
            (true, _) => "upstream went back in time: its list is older than the one that was applied here",
            (false, true) => "upstream's list says what it said, with an older time; by that the next one is measured",
            (false, false) => return,
        };
        self.listener.hear(&Event::Warning(&format!("{}: {what}", self.name(module))));
    }

    /// Looks at the tree, as closely as it must be.
    fn look<'t>(
        &self,
        module: usize,
        list: &'t List,
        subject: &'t Subject,
        since: Option<&Since<'t>>,
        root: Option<Root>,
        depth: Depth,
    ) -> Result<(Reading<'t>, Survey<'t>), Failure> {
        if let (Depth::Quick, Some(since), Some(open)) = (depth, since, &root)
            && let Some((mut reading, survey)) = self.quick(module, list, subject, since, open)?
        {
            reading.root = root;
            return Ok((reading, survey));
        }
        self.full(module, list, since, root)
    }

    /// Compares everything.
    fn full<'t>(
        &self,
        module: usize,
        list: &'t List,
        since: Option<&Since<'t>>,
        root: Option<Root>,
    ) -> Result<(Reading<'t>, Survey<'t>), Failure> {
        let text = list.text.get()?;
        let filter = self.filters[module].clone().for_list(text.0, text.1);
        let listing = read(text, &filter).map_err(|error| {
            let context = "upstream's list is refused, and the module stays as it is";
            Failure::new(Status::List, anyhow::Error::new(error).context(context))
        })?;
        let mut reading = Reading::full(module, listing, filter, root, list.new);
        let clock = self.clock(reading.root.as_ref());
        reading.checked = Checked::now(crate::clock::now().timestamp(), clock);
        let Some(root) = &reading.root else {
            let survey = walk::nothing_here(&reading.listing, self.keep(module));
            return Ok((reading, survey));
        };
        let everything = vec![(0, Look::Whole)];
        let mut survey = match since {
            None => self.walk(module, root, &reading.listing, Vouched::Nobody, true).survey(everything),
            Some(since @ Since { before: Some(before), .. }) => {
                let vouched = Vouched::Earlier { before: *before, changed: &since.changed() };
                self.walk(module, root, &reading.listing, vouched, true).survey(everything)
            }
            Some(since) => {
                let changed = since.changed();
                let carried = since.carried_otherwise(&reading.filter);
                let unfinished = self.unfinished.concerns(self.directory(module));
                let ctimes = since.ctimes.as_ref();
                let vouched = Vouched::Applied { changed: &changed, carried, ctimes, unfinished };
                self.walk(module, root, &reading.listing, vouched, true).survey(everything)
            }
        };
        reading.keep(survey.take_stamps(), clock);
        Ok((reading, survey))
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

    /// Local names that are never deleted: lists and what lies beside them, what else is ours, and what leads there.
    pub(super) fn keep(&self, module: usize) -> impl Fn(RelPath<'_>) -> bool + Sync + '_ {
        let own = &self.filters[module].selection().own_names;
        move |path| is_list_name(path, own) || leads_to(path, own)
    }

    /// These lists, as places to look for names of a file.
    pub(super) fn haystacks<'t>(&self, lists: &[(usize, &'t Text)]) -> Vec<Haystack<'t>> {
        let haystack = |&(module, list): &(usize, &'t Text)| {
            let (text, sections) = list.get().map_err(|failure| self.failed(module, &failure)).ok()?;
            let filter = self.filters[module].clone().for_list(text, sections);
            Some(Haystack { module, text, sections, filter })
        };
        lists.iter().filter_map(haystack).collect()
    }

    /// The directories of their modules, by module. What cannot be opened has no names that are here.
    pub(super) fn roots(&self, haystacks: &[Haystack<'_>]) -> HashMap<usize, Root> {
        let root =
            |hay: &Haystack<'_>| Root::open(&self.root.join(self.directory(hay.module))).map(|root| (hay.module, root));
        haystacks.iter().map(root).filter_map(Result::ok).collect()
    }

    /// Names the local names of files that are missing under another, wherever a hard link can join them. Only names that are here
    /// count: a list may name more than this mirror carries, or a volume may not be mounted.
    fn find_twins<'t>(
        &self,
        plan: &mut Plan<'t>,
        (lists, subjects): (&[(usize, &'t Text)], &[Subject]),
        groups: &[Group],
        readings: &mut [Reading<'_>],
    ) {
        let missing = plan.missing();
        if missing.is_empty() {
            return;
        }
        let haystacks = self.haystacks(lists);
        let modules = plan.modules.iter().enumerate();
        let fetched = modules.flat_map(|(module, of)| of.fetch.iter().map(move |fetch| (module, fetch.path)));
        let mut twins = missing.twins(&haystacks, &fetched.collect());
        let roots = self.roots(&haystacks);
        twins.retain(|twin| roots.get(&twin.module).is_some_and(|root| root.may_have_file(twin.path, twin.key.size())));
        let together =
            |a: usize, b: usize| groups.iter().any(|group| group.modules.contains(&a) && group.modules.contains(&b));
        for twin in twins {
            let local = (twin.module, twin.path);
            let names = missing
                .names(&twin.key)
                .iter()
                .map(|missing| missing.place)
                .filter(|place| together(place.0, twin.module));
            let before = plan.links.len();
            plan.links.extend(names.map(|missing| Link { missing, local }));
            plan.twins.extend((plan.links.len() > before).then_some(twin));
        }
        plan.links.sort_unstable_by_key(|link| (link.missing, link.local));
        self.settle_doubt_of_twins(plan, readings, &roots, subjects);
    }
}

/// Whether upstream went back in time.
fn went_back(list: &List, since: Option<&Since<'_>>) -> bool {
    let changes = since.map(|since| &since.changes).filter(|changes| !changes.is_empty());
    changes.is_some_and(|changes| list.older || changes.went_back())
}

/// Has names fetched anew that are one file here and several by the lists: rsync would leave them one, with the mode of whichever comes
/// last. So are closed names of files that are for everybody, where restricted ones are carried: what has not changed may be among them.
fn part(plan: &mut Plan<'_>, readings: &[Reading<'_>]) {
    let linked = readings.iter().flat_map(|reading| reading.linked.iter().map(move |linked| (reading, linked)));
    let mut linked: Vec<_> = linked.collect();
    linked.sort_unstable_by_key(|(reading, linked)| (linked.inode, reading.module, linked.path));
    for names in linked.chunk_by(|(_, a), (_, b)| a.inode == b.inode) {
        let are_several = names.iter().any(|(_, name)| !name.may_be(names[0].1));
        for (reading, name) in names {
            let knows_modes = reading.filter.selection().restricted && reading.closed.is_some();
            let may_be_secret = knows_modes && name.mark.is_public() && !name.is_open;
            let fetch = &mut plan.modules[reading.module].fetch;
            if (are_several || may_be_secret)
                && let Ok(at) = fetch.binary_search_by_key(&name.path, |fetch| fetch.path)
                && fetch[at].cause == FetchCause::Changed
            {
                fetch[at].cause = FetchCause::Linked;
            }
        }
    }
}

/// What a list carries.
fn carried(listing: &Listing<'_>) -> Amount {
    let mut amount = Amount::default();
    listing.rows().iter().for_each(|row| amount.add(weight(row)));
    amount
}

/// How many directories are carried now, if these were before.
fn dirs_since(before: &Stamps, since: &Since<'_>, filter: &Filter) -> u64 {
    let before = before.dirs().filter(|dir| !dir.is_top()).count();
    let is_dir = |filter: &Filter, row: Option<Row>, path| {
        row.is_some_and(|row| row.kind == Kind::Dir) && filter.carries(row, path)
    };
    let rows = &since.changes.rows;
    let come = rows.iter().filter(|changed| is_dir(filter, changed.new, changed.path)).count();
    let gone = rows.iter().filter(|changed| is_dir(&since.filter, changed.old, changed.path)).count();
    (before + come).saturating_sub(gone) as u64
}

/// What is carried now, if so much was before.
fn carried_since(before: Amount, since: &Since<'_>, filter: &Filter) -> Amount {
    let mut amount = before;
    for changed in &since.changes.rows {
        let of = |filter: &Filter, row: Option<Row>| row.filter(|_| filter.carries(row, changed.path));
        if let Some(come) = of(filter, changed.new) {
            amount.add(weight(&come));
        }
        if let Some(gone) = of(&since.filter, changed.old) {
            amount.entries = amount.entries.saturating_sub(1);
            amount.bytes = amount.bytes.saturating_sub(weight(&gone));
        }
    }
    amount
}

/// What the saved list gave by the same filter by which the new one gives so much.
fn carried_before(after: Amount, since: &Since<'_>, filter: &Filter) -> Amount {
    let (mut come, mut gone) = (Amount::default(), Amount::default());
    for changed in &since.changes.rows {
        for (row, amount) in [(changed.new, &mut come), (changed.old, &mut gone)] {
            let row = row.filter(|_| filter.carries(row, changed.path));
            row.iter().for_each(|row| amount.add(weight(row)));
        }
    }
    Amount {
        entries: (after.entries + gone.entries).saturating_sub(come.entries),
        bytes: after.bytes.saturating_add(gone.bytes).saturating_sub(come.bytes),
    }
}

/// Bytes of a file.
fn weight(row: &Row) -> u64 {
    if row.kind == Kind::File { row.size } else { 0 }
}

/// Whether nothing is here of what was put at the top of the module: then this is not the tree that was left here.
fn is_another_tree(reading: &Reading<'_>, since: &Since<'_>, applied: &Applied, survey: &Survey<'_>) -> bool {
    let was_here = |path: &RelPath<'_>, row: &Row| {
        let changed = since.changes.within(*path).iter().find(|changed| changed.path == *path);
        let old = changed.map_or(Some(*row), |changed| changed.old);
        since.filter.carries(old, *path) && applied.has_put(*path)
    };
    let top = reading.listing.entries(0).iter().map(|row| (reading.listing.path(row), row));
    let mut left: HashSet<RelPath<'_>> = top.filter(|(path, row)| was_here(path, row)).map(|(path, _)| path).collect();
    let had_any = !left.is_empty();
    for fetch in survey.found.fetch.iter().filter(|fetch| fetch.cause == FetchCause::Missing) {
        left.remove(&fetch.path);
    }
    had_any && left.is_empty()
}

/// What an earlier run held back of a module, by path.
fn held_back(subject: &Subject) -> &[RelPathBuf] {
    subject.applied.as_ref().map(|applied| applied.held_back.as_slice()).unwrap_or_default()
}

/// What upstream could not deliver is asked for again, and what was held back.
fn add_lacking<'t>(listing: &Listing<'t>, subject: &Subject, fetch: &mut Vec<Fetch<'t>>) {
    let undelivered = subject.applied.iter().flat_map(|applied| &applied.undelivered);
    let undelivered = undelivered.map(|path| (path, FetchCause::Undelivered));
    for (path, cause) in undelivered.chain(held_back(subject).iter().map(|path| (path, FetchCause::HeldBack))) {
        let row = listing.find(path.as_path()).filter(|row| row.kind != Kind::Unreadable);
        fetch.extend(row.map(|row| Fetch::new(listing, row, cause)));
    }
}

/// Directories from which something goes that upstream never had: their time is upstream's no more, and rsync puts that right.
fn add_surroundings<'t, 'd>(
    listing: &Listing<'t>,
    dirs: impl Iterator<Item = &'d RelPathBuf>,
    fetch: &mut Vec<Fetch<'t>>,
) {
    let rows = dirs.filter_map(|dir| listing.find(dir.as_path()));
    fetch.extend(rows.map(|row| Fetch::new(listing, row, FetchCause::Surrounding)));
}

impl<'t> Plan<'t> {
    /// The files of which nothing is here.
    pub(super) fn missing(&self) -> Missing<'t> {
        Missing::of(self.modules.iter().enumerate().map(|(module, of)| (module, of.fetch.as_slice())))
    }
}
