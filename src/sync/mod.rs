//! The conductor: one run.
//!
//! [`lists`] fetches the lists, [`survey`] compares them with what is here ([`quick`]: as little of it as is enough), [`transfer`] has rsync fetch what differs,
//! [`check`] looks whether it came, and [`commit`] installs the lists, deletes, and saves the state; [`checkin`] tells MirrorManager, and [`trace`] everybody
//! who looks. This file is the story; it is
//! the only place that knows all of them.

pub(crate) mod address;
mod ask;
pub mod bitflip;
mod call;
mod check;
pub mod checkin;
mod checksums;
mod close;
mod commit;
mod deletes;
mod doubt;
mod earlier;
mod groups;
mod hook;
mod leftovers;
mod lists;
pub(crate) mod lock;
mod make_way;
mod output;
pub(crate) mod prepare;
pub mod push;
mod quick;
mod reading;
mod scratch;
mod size;
mod space;
pub(crate) mod spans;
mod subject;
mod survey;
mod switch;
pub(crate) mod text;
mod trace;
mod transfer;
mod verify;

pub use lock::is_at_work;
pub use size::size;
pub(crate) use size::{Weighed, weigh};

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, OnceLock};
use std::time::Instant;

use regex::bytes::Regex;

use crate::config::{Config, Module};
use crate::exit::Status;
use crate::interrupt::Interrupt;
use crate::path::RelPathBuf;
use crate::plan::filter::Filter;
use crate::plan::guard::Exception;
use crate::plan::publish::Class;
use crate::plan::space::{Room, Verdict};
use crate::plan::spans::Spans;
use crate::plan::{Plan, explain};
use crate::report::record::Recorder;
use crate::report::{Event, Listener, Listeners, Phase, Why};
use crate::state::journal::{Journal, Unfinished};
use crate::state::{LastTime, State, StateError};
use crate::tree::lock::LockError;

/// After the first time, the lists are asked for so often when something that they name does not come.
const ASK_AGAIN: usize = 3;

/// What one run is asked to do, beside the configuration.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The modules that the run is about, by name; empty for all. The others are left alone, but files that are here under a name of
    /// theirs are linked rather than fetched.
    pub modules: Vec<String>,
    /// Work out the plan and stop.
    pub dry_run: bool,
    /// Of that only what nothing names yet: content, and indexes that are new under their names. Goes with `transfer_only`.
    pub content_only: bool,
    /// Wait for another run to end, instead of giving way.
    pub wait: bool,
    /// Compare everything.
    pub full: bool,
    /// Compare everything, and take a directory that is not as it was left for a volume that is not mounted, as ever.
    pub every_module: bool,
    /// Compare with the saved lists instead of upstream's, and show what is wrong: a full dry run without network.
    pub verify: bool,
    /// Also compare the content of what a `repomd.xml` in the tree gives checksums of.
    pub checksums: bool,
    /// Have rsync compare the content of what others touched, whatever its size and time.
    pub repair: bool,
    /// Transfer, but delete nothing, install no list and save no state: the next run does the rest.
    pub transfer_only: bool,
    /// Leave it to another run, or to [`push::push`], to tell downstreams of what is new.
    pub no_push: bool,
    /// What started the run, for the trace.
    pub trigger: Option<String>,
    /// Only transfer, and only what this matches of `<directory>/<path>`, anew, whatever it looks like.
    pub refresh: Option<Regex>,
    /// Put right the times of all directories.
    pub dir_times: bool,
    /// Also ask rsync about what the lists say is not older than this, in seconds since the epoch.
    pub since: Option<i64>,
    /// Leave the very second in which the run began in the time file, and not one some seconds earlier.
    pub exact_time: bool,
    /// Modules, or `MODULE/SUBTREE`, whose deletions the guard lets pass.
    pub allow_delete: Vec<String>,
    /// Lists that take the place of upstream's, by module: then there is no network.
    pub list_files: Vec<(String, PathBuf)>,
    /// Where the parts of the plan are written.
    pub plan_out: Option<PathBuf>,
    /// Show each path of the plan.
    pub paths: bool,
    /// Show the plan as JSON.
    pub json: bool,
}

impl Options {
    /// Whether the run is about a module.
    fn is_about(&self, module: &Module) -> bool {
        self.modules.is_empty() || self.modules.contains(&module.name)
    }

    /// Whether a run that ends well deletes, and leaves lists and state as they are then.
    fn commits(&self) -> bool {
        !self.transfer_only && self.refresh.is_none()
    }

    /// Whether entries of a class come.
    fn brings(&self, class: Class) -> bool {
        !self.content_only || class == Class::Content
    }

    /// Whether rsync is asked about entries that look right.
    fn asks_for_more(&self) -> bool {
        self.refresh.is_some() || self.dir_times || self.since.is_some()
    }

    /// Whether a directory that is not as it was left is meant to be filled anew. Who wants to know what is wrong, or that put right,
    /// does not say so: a volume may not be mounted.
    fn fills_anew(&self) -> bool {
        self.full && !self.verify && !self.repair
    }
}

/// Why a run, or its part for one module, cannot go on.
#[derive(Debug)]
pub struct Failure {
    /// How serious it is.
    pub status: Status,
    /// What happened.
    pub error: anyhow::Error,
}

impl Failure {
    /// A failure with its cause.
    pub fn new(status: Status, error: impl Into<anyhow::Error>) -> Failure {
        Failure { status, error: error.into() }
    }

    /// A failure in words.
    pub fn said(status: Status, text: impl std::fmt::Display) -> Failure {
        Failure { status, error: anyhow::anyhow!("{text}") }
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Failure {
        let status = match &error {
            StateError::Locked { .. } | StateError::TimeFileLocked { .. } => Status::Locked,
            StateError::NoLocks { .. } | StateError::Foreign { .. } => Status::Local,
            StateError::Io { source, .. } => refusal(source),
        };
        Failure::new(status, error)
    }
}

impl From<crate::tree::TreeError> for Failure {
    fn from(error: crate::tree::TreeError) -> Failure {
        Failure::new(refusal(&error.source), error)
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Failure {
        match error {
            LockError::Taken(_) => Failure::new(Status::Locked, error),
            LockError::Tree(error) => error.into(),
        }
    }
}

/// What it means that the local file system refused.
fn refusal(error: &std::io::Error) -> Status {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    if matches!(error.kind(), StorageFull | QuotaExceeded) { Status::Space } else { Status::Local }
}

/// The end that a signal asked for, if one did.
pub(crate) fn check_interrupt(interrupt: &Interrupt) -> Result<(), Failure> {
    match interrupt.raised() {
        None => Ok(()),
        Some(signal) => Err(Failure::said(signal.into(), "interrupted; the next run goes on from here")),
    }
}

/// So many threads.
pub(crate) fn thread_pool(threads: usize) -> Result<rayon::ThreadPool, Failure> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|error| {
        let context = format!("cannot start {threads} threads (setting jobs)");
        Failure::new(Status::Local, anyhow::Error::new(error).context(context))
    })
}

/// Everything that a run is made with.
struct Run<'r> {
    config: &'r Config,
    options: &'r Options,
    interrupt: &'r Interrupt,
    listener: &'r dyn Listener,
    /// What decides what each module carries.
    filters: Vec<Filter>,
    /// The mirror root, without links.
    root: PathBuf,
    state: State,
    /// Scratch space, on the file system of the saved lists unless nothing may be written there.
    work: PathBuf,
    /// What the last run left half done.
    unfinished: Unfinished,
    /// For modules without saved state: the last good run that the time file tells of.
    last_time: Option<LastTime>,
    /// When runs before this one were at work.
    spans: OnceLock<Spans>,
    /// Since when this one is changing the mirror, by the clock of its file system.
    changing: OnceLock<i64>,
    deadline: Option<Instant>,
    /// When it began, seconds since the epoch.
    began: i64,
    /// How long rsync worked, milliseconds.
    in_rsync: AtomicU64,
    /// When it changed what is in doubt.
    in_doubt: Mutex<Spans>,
    /// Where upstream's names lead to.
    addresses: address::Addresses,
}

/// One run: everything is reported to `listener`, and what it came to is in `recorder`, which must be among those who listen.
///
/// Returns what is to be printed on stdout: the plan of a dry run, or what is wrong.
pub fn sync(
    config: &Config,
    options: &Options,
    interrupt: &Interrupt,
    listener: &dyn Listener,
    recorder: &Recorder,
) -> Option<String> {
    let failed = |failure: Failure| {
        listener.hear(&Event::Failed { module: None, error: &failure.error, status: failure.status });
    };
    let noting = hook::Noting::default();
    let listener = &Listeners(vec![listener, &noting]);
    let shown = match prepare::prepare(config, options, interrupt, listener) {
        Ok((run, held)) => {
            let about = config.modules.iter().filter(|module| options.is_about(module));
            let about: Vec<&str> = about.map(|module| module.name.as_str()).collect();
            listener.hear(&Event::Begun { about: &about, commits: options.commits() && !options.dry_run });
            let begun = run.start_before(&noting, &recorder.finish().0);
            let told = begun.and_then(|()| if options.verify { run.verify().map(Some) } else { run.story(recorder) });
            let shown = told.map_err(failed).ok().flatten();
            run.start_changed(&noting, &recorder.finish().0);
            let requests = run.requests();
            run.clean_up(&held, recorder);
            // The next run need not wait for MirrorManager, nor for downstreams.
            drop(held);
            std::thread::scope(|scope| {
                scope.spawn(|| run.push());
                run.send(requests);
            });
            shown
        }
        Err(failure) => {
            failed(failure);
            None
        }
    };
    let (record, _) = recorder.finish();
    listener.hear(&Event::Finished(&record));
    if !options.dry_run {
        hook::start_failed(config, &record, interrupt, listener);
    }
    shown.map(|shown| match shown {
        Shown::Text(text) => text,
        Shown::Json(mut plan) => {
            plan["status"] = record.status.into();
            plan["code"] = record.code.into();
            plan["errors"] = record.errors.into();
            format!("{plan}\n")
        }
    })
}

/// What is known not to come: asked for again with the newest list, upstream did not deliver it.
type GivenUp = HashSet<(usize, RelPathBuf)>;

/// What did not come as the lists have it.
#[derive(Default)]
struct Left {
    entries: GivenUp,
    /// Why, where it is not that upstream does not have it.
    why: HashMap<(usize, RelPathBuf), Why>,
}

impl Left {
    /// Adds what came, or would have come, and is not used; what is known not to have come stays that.
    fn add(&mut self, entry: (usize, RelPathBuf), why: Why) {
        if self.entries.insert(entry.clone()) {
            self.why.insert(entry, why);
        }
    }
}

/// What is shown of a run that changes nothing.
enum Shown {
    Text(String),
    Json(serde_json::Value),
}

/// How an attempt ended.
enum Attempt {
    /// The mirror is what the lists say, as far as upstream delivers it, and these modules, by number, were put in order; or nothing was
    /// begun, which was told.
    Done(Vec<usize>),
    /// It was a dry run: the plan, to be shown.
    Shown(Shown),
    /// These did not come as listed: perhaps the lists are older than the content.
    AskAgain(GivenUp),
}

impl<'r> Run<'r> {
    /// A run at a mirror root, without links, that finds nothing half done and no earlier good run; with `work` as its scratch space.
    fn new(
        (config, options): (&'r Config, &'r Options),
        interrupt: &'r Interrupt,
        listener: &'r dyn Listener,
        filters: Vec<Filter>,
        root: PathBuf,
        state: State,
        work: PathBuf,
    ) -> Run<'r> {
        Run {
            config,
            options,
            interrupt,
            listener,
            filters,
            root,
            state,
            work,
            unfinished: Unfinished::Nothing,
            last_time: None,
            spans: OnceLock::new(),
            changing: OnceLock::new(),
            in_doubt: Mutex::default(),
            deadline: config.rsync.deadline.map(|deadline| Instant::now() + deadline),
            began: crate::clock::now().timestamp(),
            in_rsync: AtomicU64::new(0),
            addresses: address::Addresses::default(),
        }
    }
}

impl Run<'_> {
    /// Follows upstream, and saves what that came to.
    fn story(&self, recorder: &Recorder) -> Result<Option<Shown>, Failure> {
        let followed = self.follow();
        if !self.options.dry_run {
            self.clear_mark();
            self.leave_trace(recorder);
        }
        let saved = self.save_span();
        // What ended the run is told. Without its span, what it changed is asked about again.
        let (shown, committed) = followed?;
        saved?;
        self.note_news(&committed, recorder)?;
        self.end_journal(&committed)?;
        self.check_interrupt()?;
        Ok(shown)
    }

    /// Fetches the lists and follows them, again with newer ones where upstream moved on under way. What is to be shown, and
    /// the modules that were put in order.
    fn follow(&self) -> Result<(Option<Shown>, Vec<usize>), Failure> {
        let subjects = self.subjects();
        let mut lists = self.fetch_lists(&subjects)?;
        let mut given_up = self.undelivered_before(&subjects);
        let mut again = 0;
        loop {
            match self.attempt(&lists, &subjects, &given_up, again < ASK_AGAIN)? {
                Attempt::AskAgain(left) => {
                    self.listener.hear(&Event::AskAgain { entries: left.len() });
                    given_up.extend(left);
                    lists = self.fetch_lists(&subjects)?;
                    again += 1;
                }
                Attempt::Done(committed) => return Ok((None, committed)),
                Attempt::Shown(plan) => return Ok((Some(plan), Vec::new())),
            }
        }
    }

    /// Follows the lists as they are.
    fn attempt(
        &self,
        lists: &text::Lists,
        subjects: &[subject::Subject],
        given_up: &GivenUp,
        may_ask_again: bool,
    ) -> Result<Attempt, Failure> {
        let pool = self.pool()?;
        let groups = self.content_groups()?;
        self.listener.hear(&Event::Phase(Phase::Compare));
        let (mut plan, mut readings) = pool.install(|| self.plan(lists, subjects, &groups));
        self.check_interrupt()?;
        self.listener.hear(&Event::Planned(&plan));
        let compared = plan.modules.iter().enumerate().filter(|(_, of)| !of.failed && !of.left_alone);
        compared.for_each(|(module, of)| self.warn_of_idle(module, of));
        let rooms = self.rooms(&plan, &readings, lists)?;
        if self.options.dry_run {
            self.preview_held(&plan);
            for of in plan.modules.iter().filter(|of| of.undelivered > 0) {
                self.listener.hear(&Event::StillUndelivered { module: &of.module, entries: of.undelivered });
            }
            return self.show(&plan, &rooms).map(Attempt::Shown);
        }
        for of in plan.modules.iter().filter(|of| !of.kept.is_empty()) {
            let (module, entries, causes) = (of.module.as_str(), of.kept.values().sum(), &of.kept);
            self.listener.hear(&Event::Kept { module, entries, causes });
        }
        if self.options.commits() {
            self.end_races(lists, subjects, &readings);
        } else {
            readings.retain(|reading| !plan.modules[reading.module].fetch.is_empty());
        }
        if readings.is_empty() || space::is_short(&rooms) {
            return Ok(Attempt::Done(Vec::new()));
        }
        self.begin_journal(&plan, &readings)?;
        self.close_restricted(&plan, &readings, lists, subjects);
        let relieves_doubted = plan.modules.iter().flat_map(|of| &of.deletes).any(|delete| delete.in_doubt);
        self.keeping_doubt(relieves_doubted, || self.relieve(&mut plan, &mut readings, &rooms));
        self.check_interrupt()?;
        self.clear_leftovers(&plan, &mut readings);
        let displaced = self.make_way(&plan, &mut readings);
        let (came, staged) = std::thread::scope(|scope| {
            let staging = scope.spawn(|| self.stage_lists(&plan, lists));
            let came = self.transfer(&plan, &groups, &mut readings, lists, given_up, may_ask_again);
            (came, staging.join().unwrap_or_default())
        });
        let displaces_doubted = plan.modules.iter().flat_map(|of| &of.in_the_way).any(|directory| directory.in_doubt);
        self.keeping_doubt(displaces_doubted, || self.settle(&plan, displaced, &mut readings));
        let came = came?;
        self.open_again(&plan, &readings, subjects);
        self.listener.hear(&Event::Phase(Phase::Check));
        let left = pool.install(|| self.check(&plan, &mut readings, lists, came));
        self.check_interrupt()?;
        let is_blocked = |module| readings.iter().any(|reading| reading.module == module && reading.blocked);
        let unexpected = left.entries.iter().filter(|entry| !given_up.contains(*entry) && !is_blocked(entry.0));
        let unexpected: GivenUp = unexpected.cloned().collect();
        if !unexpected.is_empty() && may_ask_again {
            return Ok(Attempt::AskAgain(unexpected));
        }
        self.sync_trees(&plan, &mut readings);
        if !self.options.commits() {
            // The journal stays: what came is not in the saved lists.
            let sound = readings.iter().filter(|reading| !reading.blocked);
            sound.for_each(|reading| drop(self.tell_undelivered(reading.module, &left)));
            return Ok(Attempt::Done(Vec::new()));
        }
        self.listener.hear(&Event::Phase(Phase::Commit));
        let committed = pool.install(|| self.commit(&plan, readings, lists, &left, staged));
        Ok(Attempt::Done(committed))
    }

    /// What a dry run shows; and its parts as files, if asked for.
    fn show(&self, plan: &Plan<'_>, rooms: &[Room]) -> Result<Shown, Failure> {
        if let Some(directory) = &self.options.plan_out {
            self.write_plan(plan, directory)?;
        }
        Ok(if self.options.json {
            let mut shown = explain::json(plan, self.options.paths);
            shown["space"] = serde_json::json!(rooms);
            Shown::Json(shown)
        } else {
            let short = |room: &Room| if room.verdict == Verdict::Short { "This does not fit. " } else { "" };
            let rooms = rooms.iter().map(|room| format!("{}{room}.\n", short(room)));
            Shown::Text(std::iter::once(explain::text(plan, self.options.paths)).chain(rooms).collect())
        })
    }

    fn pool(&self) -> Result<rayon::ThreadPool, Failure> {
        thread_pool(self.config.jobs)
    }

    fn check_interrupt(&self) -> Result<(), Failure> {
        check_interrupt(self.interrupt)
    }

    fn begin_journal(&self, plan: &Plan<'_>, readings: &[reading::Reading<'_>]) -> Result<(), Failure> {
        let now = |reading: &reading::Reading<'_>| (self.directory(reading.module), self.now(reading));
        let modules: Vec<(&str, i64)> = readings.iter().map(now).collect();
        Journal::of(&self.state).begin(&modules, &output::digest(plan))?;
        self.mark_under_way();
        if let Some(begin) = modules.iter().map(|&(_, since)| since).min() {
            // Where newer lists are followed, it is changing it since it followed the first.
            self.changing.get_or_init(|| begin);
        }
        Ok(())
    }

    /// What was put in order is no longer named. What was changed and not committed stays named: its saved state may fit a list
    /// that upstream goes back to, and the tree does not.
    fn end_journal(&self, committed: &[usize]) -> Result<(), Failure> {
        if committed.is_empty() {
            return Ok(());
        }
        let committed: Vec<&str> = committed.iter().map(|&module| self.directory(module)).collect();
        Ok(Journal::of(&self.state).end(&committed, &self.config.directories())?)
    }

    fn directory(&self, module: usize) -> &str {
        &self.config.modules[module].directory
    }

    fn is_selected(&self, module: usize) -> bool {
        self.options.is_about(&self.config.modules[module])
    }

    fn name(&self, module: usize) -> &str {
        &self.config.modules[module].name
    }

    fn failed(&self, module: usize, failure: &Failure) {
        let module = Some(self.name(module));
        self.listener.hear(&Event::Failed { module, error: &failure.error, status: failure.status });
    }

    /// Says that something of a module cannot be read.
    fn unread(&self, module: usize, error: crate::tree::TreeError) {
        let Failure { status, error } = error.into();
        let waits = self.options.commits() && !self.options.dry_run;
        let error = if waits { error.context("its list and its deletions wait") } else { error };
        self.failed(module, &Failure { status, error });
    }

    /// Says which paths of `--allow-delete` let nothing pass.
    fn warn_of_idle(&self, module: usize, plan: &crate::plan::ModulePlan<'_>) {
        for exception in self.exceptions(module).iter().filter(|exception| !exception.subtree.is_empty()) {
            let deletes = plan.deletes.iter().any(|delete| exception.covers_delete(delete));
            if !deletes && !plan.in_the_way.iter().any(|directory| exception.covers(directory.path)) {
                let path = crate::path::escape(&exception.subtree);
                let text = format!("--allow-delete {}/{path}: nothing would be deleted there", self.name(module));
                self.listener.hear(&Event::Warning(&text));
            }
        }
    }

    /// What `--allow-delete` says of a module.
    fn exceptions(&self, module: usize) -> Vec<Exception> {
        let name = self.name(module);
        let subtree = |allowed: &String| match allowed.strip_prefix(name)? {
            "" => Some(Exception { subtree: Box::default() }),
            // A shell completes the name of a directory with a slash.
            rest => rest.strip_prefix('/').map(|subtree| {
                let subtree = subtree.trim_end_matches('/');
                Exception { subtree: subtree.as_bytes().into() }
            }),
        };
        self.options.allow_delete.iter().filter_map(subtree).collect()
    }
}
