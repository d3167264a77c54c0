//! The conductor of `qfm hardlink`: equal files become one.
//!
//! The lists say which names may be one file ([`crate::plan::relink`]). These are looked at, and what then only the bytes could tell apart
//! is read, each file once. Files with the same SHA-256 are held to be equal, and [`crate::tree::link`] gives one of them the names of the
//! others. [`settle`] has the saved state know what changed here, so that the next run does not take it for the work of others.

mod settle;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Mutex;

use foldhash::fast::RandomState;
use rayon::ThreadPool;
use rayon::prelude::*;

use crate::config::Config;
use crate::interrupt::Interrupt;
use crate::plan::compare::Inode;
use crate::plan::filter::Filter;
use crate::plan::relink::{Candidates, Facts, File, Match, Name, equal, lookalikes};
use crate::plan::spans::Ctimes;
use crate::plan::twins::Haystack;
use crate::report::relinked::Recorder;
use crate::report::{Event, Listener};
use crate::state::journal::Journal;
use crate::state::{Applied, State, spans};
use crate::sync::lock::{self, Held, Patience};
use crate::sync::prepare::{beside_runs, filters, mirror_root, take_over};
use crate::sync::spans::ctimes;
use crate::sync::text::Text;
use crate::sync::{Failure, check_interrupt, thread_pool};
use crate::tree::link::{self, Hash, Place, Relinked, Seen};
use crate::tree::{Root, TreeError};
use settle::Settling;

/// So many groups are looked at before what differs in them is read.
const GROUPS_AT_ONCE: usize = 4096;

/// So much is read at once, in the order of inodes, which is mostly that of the disk, before equal files become one.
const BYTES_AT_ONCE: u64 = 1 << 30;

/// What is asked for, beside the configuration.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The modules whose names are looked at, by name; empty for all.
    pub modules: Vec<String>,
    /// Say what would be done, and change nothing.
    pub dry_run: bool,
    /// What makes names candidates.
    pub by: Match,
}

/// Makes one of equal files, in the modules of one mirror root. All that happens is reported to `listener`, and what it came to is in
/// `recorder`, which must be among those who listen.
pub fn relink(config: &Config, options: &Options, interrupt: &Interrupt, listener: &dyn Listener, recorder: &Recorder) {
    if let Err(failure) = story(config, options, interrupt, listener) {
        listener.hear(&Event::Failed { module: None, error: &failure.error, status: failure.status });
    }
    listener.hear(&Event::AllRelinked(&recorder.finish().0));
}

fn story(config: &Config, options: &Options, interrupt: &Interrupt, listener: &dyn Listener) -> Result<(), Failure> {
    let config = &beside_runs(config);
    let filters = filters(config)?;
    let root = mirror_root(&config.root)?;
    let state = State::at(&config.state, &root);
    let _held: Option<Held> = if options.dry_run {
        lock::warn_if_held(config, &root, &state, listener);
        None
    } else {
        Some(take_over(config, &root, &state, Patience::GivesWay, listener)?)
    };
    let run = Run { config, options, interrupt, listener, root, state };
    let modules = run.modules(filters);
    let mut lists = Vec::new();
    for (number, module) in modules.iter().enumerate() {
        match module.text.get() {
            Ok((text, sections)) => {
                let filter = module.filter.clone().for_list(text, sections);
                lists.push(Haystack { module: number, text, sections, filter });
            }
            Err(failure) => run.failed(module, &failure),
        }
    }
    let looking = thread_pool(config.jobs)?;
    let candidates = looking.install(|| Candidates::find(&lists, options.by));
    listener.hear(&Event::Candidates { groups: candidates.len() as u64 });
    let mut work = Work { run: &run, modules: &modules, known: HashMap::default(), settling: Settling::default() };
    let done = work.all(&candidates, &looking);
    // However it went: what was linked, was.
    let settled = work.settling.end(&run, &modules);
    done.and(settled)
}

/// Everything that is the same from the beginning to the end.
struct Run<'r> {
    config: &'r Config,
    options: &'r Options,
    interrupt: &'r Interrupt,
    listener: &'r dyn Listener,
    /// The mirror root, without links.
    root: PathBuf,
    state: State,
}

/// A module that has a list in the tree.
struct Module<'r> {
    name: &'r str,
    directory: &'r str,
    list: &'r str,
    root: Root,
    text: Text,
    filter: Filter,
    /// What ctimes tell; `None` if that is not known.
    ctimes: Option<Ctimes>,
}

impl<'r> Run<'r> {
    /// The modules that are asked for and are here. What is wrong with others is reported.
    fn modules(&self, filters: Vec<Filter>) -> Vec<Module<'r>> {
        let config = self.config;
        let unfinished = Journal::of(&self.state).unfinished();
        // What cannot be read back tells of nothing, and the next run says so.
        let ours = spans::read(&self.state).unwrap_or_default();
        let is_asked_for = |name: &String| self.options.modules.is_empty() || self.options.modules.contains(name);
        let asked_for = config.modules.iter().zip(filters).filter(|(module, _)| is_asked_for(&module.name));
        let opened = asked_for.filter_map(|(module, filter)| {
            let directory = self.root.join(&module.directory);
            let list = directory.join(&module.list);
            if !list.exists() {
                let text = format!("{}: there is no list at {}; it is left out", module.name, list.display());
                self.listener.hear(&Event::Warning(&text));
                return None;
            }
            let open = || {
                let root = Root::open(&directory)?;
                let text = Text::new(list.clone(), &format!("the list {}", list.display()))?;
                let (name, directory, list) = (&module.name, &module.directory, &module.list);
                let saved = self.state.list(directory, list);
                let applied = Applied::read(&self.state, directory, &saved).unwrap_or_default();
                let ctimes = applied.and_then(|applied| ctimes(&applied, directory, &unfinished, &ours));
                Ok(Module { name, directory, list, root, text, filter, ctimes })
            };
            let told = |failure: Failure| {
                let Failure { error, status } = &failure;
                self.listener.hear(&Event::Failed { module: Some(&module.name), error, status: *status });
            };
            open().map_err(told).ok()
        });
        opened.collect()
    }

    fn failed(&self, module: &Module<'_>, failure: &Failure) {
        let module = Some(module.name);
        self.listener.hear(&Event::Failed { module, error: &failure.error, status: failure.status });
    }
}

/// What was seen of a group of candidates.
struct Looked<'t> {
    /// Names that were further names of a file of the group before.
    linked_before: u64,
    /// Files that only their bytes can tell apart, in sets.
    sets: Vec<Vec<File<'t>>>,
}

impl Looked<'_> {
    fn bytes(&self) -> u64 {
        self.sets.iter().flatten().map(|file| file.facts.size).sum()
    }
}

/// What goes on.
struct Work<'w, 't> {
    run: &'w Run<'w>,
    modules: &'w [Module<'w>],
    /// What is known of the content of files that have other names: they may be met again.
    known: HashMap<Inode, (Facts, Hash), RandomState>,
    settling: Settling<'t>,
}

impl<'t> Work<'_, 't> {
    fn all(&mut self, candidates: &Candidates<'_, 't>, looking: &ThreadPool) -> Result<(), Failure> {
        // A thread more than there are processors would only have the disk seek more.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let reading = thread_pool(self.run.config.jobs.min(processors))?;
        let mut groups = candidates.groups();
        loop {
            let some: Vec<Vec<Name<'t>>> = groups.by_ref().take(GROUPS_AT_ONCE).collect();
            if some.is_empty() {
                return Ok(());
            }
            let looked: Vec<Looked<'t>> =
                looking.install(|| some.into_par_iter().map(|names| self.look(names)).collect());
            let mut looked = looked.into_iter().peekable();
            while looked.peek().is_some() {
                let mut bytes = 0;
                let part = std::iter::from_fn(|| {
                    looked
                        .next_if(|looked| bytes == 0 || bytes + looked.bytes() <= BYTES_AT_ONCE)
                        .inspect(|looked| bytes += looked.bytes())
                });
                let part: Vec<Looked<'t>> = part.collect();
                let hashes = reading.install(|| self.read(&part));
                check_interrupt(self.run.interrupt)?;
                for looked in part {
                    self.finish(looked, &hashes)?;
                }
            }
        }
    }

    fn module(&self, name: Name<'t>) -> &Module<'_> {
        &self.modules[name.module]
    }

    fn place(&self, name: Name<'t>, facts: Facts) -> Place<'_> {
        Place { root: &self.modules[name.module].root, path: name.path, facts }
    }

    /// The path below the mirror root, as it is told.
    fn shown(&self, name: Name<'t>) -> PathBuf {
        self.run.root.join(self.module(name).directory).join(OsStr::from_bytes(name.path.bytes()))
    }

    /// Looks at the names of a group.
    fn look(&self, names: Vec<Name<'t>>) -> Looked<'t> {
        let seen = |name: Name<'t>| match link::look(&self.module(name).root, name.path) {
            Ok(Seen::File(facts)) => Some((name, facts)),
            Ok(Seen::Other) => None,
            Ok(Seen::Absent) => {
                self.run.listener.hear(&Event::Absent { path: &self.shown(name) });
                None
            }
            Err(error) => {
                self.run.failed(self.module(name), &error.into());
                None
            }
        };
        let seen: Vec<(Name<'t>, Facts)> = names.into_iter().filter_map(seen).collect();
        let mut files: Vec<Inode> = seen.iter().map(|(_, facts)| facts.file).collect();
        files.sort_unstable();
        files.dedup();
        Looked { linked_before: (seen.len() - files.len()) as u64, sets: lookalikes(seen) }
    }

    /// Reads files, in the order of their inodes, each once. Those that changed since they were seen, or cannot be read, are not among
    /// what is returned.
    fn read(&mut self, part: &[Looked<'t>]) -> HashMap<Inode, Hash, RandomState> {
        let mut hashes: HashMap<Inode, Hash, RandomState> = HashMap::default();
        let mut unread: Vec<&File<'t>> = Vec::new();
        for file in part.iter().flat_map(|looked| looked.sets.iter().flatten()) {
            let key = file.facts.file;
            match self.known.get(&key) {
                Some((facts, hash)) if facts.is_untouched(&file.facts) => drop(hashes.insert(key, *hash)),
                _ => unread.push(file),
            }
        }
        unread.sort_unstable_by_key(|file| file.facts.file);
        unread.dedup_by_key(|file| file.facts.file);
        let next = Mutex::new(unread.iter());
        let read = rayon::broadcast(|_| {
            let mut read = Vec::new();
            loop {
                // One after the other, whoever is free: threads that each had a part of the disk would have it seek.
                let file = next.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next();
                let Some(file) = file else { return read };
                read.extend(self.read_one(file).map(|hash| (*file, hash)));
            }
        });
        for (file, hash) in read.into_iter().flatten() {
            let key = file.facts.file;
            hashes.insert(key, hash);
            if !file.goes_with_its_names() {
                self.known.insert(key, (file.facts, hash));
            }
        }
        hashes
    }

    fn read_one(&self, file: &File<'t>) -> Option<Hash> {
        let name = file.names[0];
        match link::hash(&self.place(name, file.facts), self.run.interrupt) {
            Ok(Some(hash)) => {
                self.run.listener.hear(&Event::Read { bytes: file.facts.size });
                Some(hash)
            }
            Ok(None) => {
                if self.run.interrupt.raised().is_none() {
                    self.run.listener.hear(&Event::Unsteady { path: &self.shown(name) });
                }
                None
            }
            Err(error) => {
                self.run.failed(self.module(name), &error.into());
                None
            }
        }
    }

    /// Makes one of equal files of a group.
    fn finish(&mut self, looked: Looked<'t>, hashes: &HashMap<Inode, Hash, RandomState>) -> Result<(), Failure> {
        for files in looked.sets {
            let (first, others) = (self.shown(files[0].names[0]), &files[1..]);
            for other in others {
                self.run.listener.hear(&Event::Lookalikes { a: &first, b: &self.shown(other.names[0]) });
            }
            let hashed = files.into_iter().filter_map(|file| {
                let hash = *hashes.get(&file.facts.file)?;
                Some((file, hash))
            });
            for files in equal(hashed) {
                check_interrupt(self.run.interrupt)?;
                self.unite(files)?;
            }
        }
        self.run.listener.hear(&Event::GroupDone { linked_before: looked.linked_before });
        Ok(())
    }

    /// Gives the first of equal files the names of the others.
    fn unite(&mut self, files: Vec<File<'t>>) -> Result<(), Failure> {
        let mut files = files.into_iter();
        let Some(first) = files.next() else { return Ok(()) };
        let mut survivor = (first.names[0], first.facts);
        for file in files {
            if self.run.options.dry_run {
                self.would_unite(survivor.0, &file);
                continue;
            }
            self.settling.begin(self.run, self.modules)?;
            let mut facts = file.facts;
            for (number, &name) in file.names.iter().enumerate() {
                if number > 0 {
                    // The name that it lost changed its ctime.
                    match self.look_again(name, &facts) {
                        Some(now) => facts = now,
                        None => continue,
                    }
                }
                let touched = [(survivor.0.module, &survivor.1), (name.module, &facts)];
                let modules = self.modules;
                let place = |name: Name<'t>, facts| Place { root: &modules[name.module].root, path: name.path, facts };
                let (from, to) = (place(survivor.0, survivor.1), place(name, facts));
                let relink = || link::relink(&from, &to);
                match self.settling.keeping_doubt(modules, touched, relink) {
                    Ok(Relinked::Done { facts: now, before, after }) => {
                        self.remember(&survivor.1, &now);
                        survivor.1 = now;
                        self.settling.note(name, before, after);
                        let gained = if facts.links == 1 { facts.size } else { 0 };
                        self.told_of(name, survivor.0, gained);
                    }
                    Ok(Relinked::Already) => {}
                    Ok(Relinked::Changed) => self.run.listener.hear(&Event::Unsteady { path: &self.shown(name) }),
                    Ok(Relinked::Full) => survivor = (name, facts),
                    Ok(Relinked::Elsewhere) => break,
                    Err(error) => self.not_linked(name, error),
                }
            }
        }
        Ok(())
    }

    fn would_unite(&self, survivor: Name<'t>, file: &File<'t>) {
        for (number, &name) in file.names.iter().enumerate() {
            let is_last = number + 1 == file.names.len() && file.goes_with_its_names();
            self.told_of(name, survivor, if is_last { file.facts.size } else { 0 });
        }
    }

    fn told_of(&self, name: Name<'t>, survivor: Name<'t>, gained: u64) {
        let (path, to) = (&self.shown(name), &self.shown(survivor));
        let module = self.module(name).name;
        self.run.listener.hear(&Event::Relinked { module, path, to, gained });
    }

    /// What is at a further name of a file whose names we are changing; `None` if it is not that file any more, which is told.
    fn look_again(&self, name: Name<'t>, facts: &Facts) -> Option<Facts> {
        let now = match link::look(&self.module(name).root, name.path) {
            Ok(Seen::File(now)) if facts.is_unwritten(&now) => Some(now),
            Ok(_) => None,
            Err(error) => {
                self.run.failed(self.module(name), &error.into());
                return None;
            }
        };
        if now.is_none() {
            self.run.listener.hear(&Event::Unsteady { path: &self.shown(name) });
        }
        now
    }

    /// A file got a name from us, and that is no reason to read it again.
    fn remember(&mut self, before: &Facts, now: &Facts) {
        if let Some((known, _)) = self.known.get_mut(&now.file)
            && known.is_untouched(before)
        {
            *known = *now;
        }
    }

    fn not_linked(&mut self, name: Name<'t>, error: TreeError) {
        self.settling.doubt(name.module);
        self.run.failed(self.module(name), &error.into());
    }
}
