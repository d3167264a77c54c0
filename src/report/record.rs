//! What a run did, counted from its events: behind the summary, `--json` and the last runs.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use super::{Event, Held, Listener, Phase, failure};
use crate::exit::Status;
use crate::list::Kind;
use crate::path::escape;
use crate::plan::explain::JSON_VERSION;
use crate::plan::space::{Room, Verdict};
use crate::plan::{Amount, Depth, ModulePlan};

/// What a run did.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// The version of this object.
    pub version: u32,
    /// `run`, or `dry-run`.
    pub kind: &'static str,
    /// When it began, RFC 3339, UTC.
    pub started: String,
    /// The modules that it was about, by name.
    pub about: Vec<String>,
    /// Whether it committed what it brought, where that was all; else it only transferred.
    pub commits: bool,
    /// How long it took, seconds.
    pub seconds: f64,
    /// How much of that each phase took, by the words of [`Phase`]: what was done several times is added up. What is kept of a run
    /// does not have its last phase whole.
    pub seconds_by_phase: BTreeMap<&'static str, f64>,
    /// How it ended, in a word.
    pub status: &'static str,
    /// The exit code, without `--detailed-exitcode`.
    pub code: u8,
    /// Whether anything in the mirror changed.
    pub changed: bool,
    /// Whether the plan held anything to do.
    pub planned: bool,
    /// Calls of rsync.
    pub rsync_calls: u64,
    /// Bytes that came over the wire, as rsync counts them.
    pub received_bytes: u64,
    /// What went wrong, in words.
    pub errors: Vec<String>,
    /// What does not fit, or may not, by file system.
    pub space: Vec<Room>,
    /// What was done, by module.
    pub modules: Vec<ModuleRecord>,
    /// What MirrorManager was told; what is kept of a run does not have it, for that comes later.
    pub checked_in: Vec<CheckedIn>,
    /// Who downstream was told of it; later too.
    pub pushed: Vec<Pushed>,
}

/// What one downstream was told.
#[derive(Clone, Debug, Serialize)]
pub struct Pushed {
    /// Its name.
    pub downstream: String,
    /// `all`, `stage1` or `stage2`.
    pub stage: &'static str,
    /// How long that took, seconds.
    pub seconds: f64,
    /// What the other side's command ended with, over ssh.
    pub exit: Option<i32>,
    /// Why it was not told.
    pub error: Option<String>,
    /// Whether that makes a run end with 11.
    #[serde(skip)]
    pub strict: bool,
}

/// What MirrorManager was told of one category.
#[derive(Clone, Debug, Serialize)]
pub struct CheckedIn {
    /// The host.
    pub host: String,
    /// The category.
    pub category: String,
    /// How many directories were named.
    pub directories: usize,
    /// What MirrorManager counted, in its words.
    pub counts: String,
}

/// What a run did in one module.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ModuleRecord {
    /// Its name.
    pub module: String,
    /// How closely it was compared.
    pub depth: &'static str,
    /// Whether something failed that concerns it alone.
    pub failed: bool,
    /// Entries that its list carries.
    pub carried: u64,
    /// Entries that the last plan asked for, and the bytes of the files among them, counted by name: of hard links each.
    pub planned: Amount,
    /// Entries that are new under their names, whatever they are, as far as rsync made them.
    pub added: u64,
    /// Files whose content came, and their bytes.
    pub fetched: Amount,
    /// How many entries rsync brought or changed, for which cause.
    pub changed_by_cause: BTreeMap<&'static str, u64>,
    /// Names that became hard links of files that are here.
    pub linked: u64,
    /// The bytes of these: they neither came nor take room.
    pub linked_bytes: u64,
    /// Directories, symbolic links and attributes that were made or changed.
    pub updated: u64,
    /// Entries that were deleted.
    pub deleted: u64,
    /// How many of them for which cause.
    pub deleted_by_cause: BTreeMap<&'static str, u64>,
    /// Entries whose deletion is held.
    pub held: u64,
    /// How many of them for which cause.
    pub held_by_cause: BTreeMap<&'static str, u64>,
    /// Entries that do not come because a directory is held in the way of them, or of what they may lead to.
    pub held_back: u64,
    /// Entries that should go and stay for some time.
    pub staying: u64,
    /// Files that others touched and whose content was not compared, and their bytes.
    pub unread: Amount,
    /// Entries that upstream could not deliver.
    pub undelivered: u64,
    /// Rows that were set aside.
    pub bad_rows: u64,
    /// Whether a new list was installed.
    pub installed: bool,
}

impl ModuleRecord {
    fn hold(&mut self, entries: u64, causes: &BTreeMap<&'static str, u64>) {
        self.held = entries;
        self.held_by_cause = causes.clone();
    }

    fn changed(&self) -> bool {
        self.fetched.entries + self.linked + self.updated + self.deleted > 0 || self.installed
    }
}

/// What `--json` prints of a command that ended before it had a result.
pub fn no_result(status: Status, errors: &[String]) -> Value {
    json!({
        "version": JSON_VERSION,
        "kind": "error",
        "status": status.word(),
        "code": status.code(),
        "errors": errors,
    })
}

/// Keeps the record while the run goes on.
pub struct Recorder {
    began: Instant,
    state: Mutex<(Record, Status)>,
    /// The phase that the run is in, and since when.
    phase: Mutex<(&'static str, Instant)>,
}

impl Recorder {
    /// For a run that begins now.
    pub fn new(dry_run: bool) -> Recorder {
        let record = Record {
            version: JSON_VERSION,
            kind: if dry_run { "dry-run" } else { "run" },
            started: crate::clock::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            about: Vec::new(),
            commits: !dry_run,
            seconds: 0.0,
            seconds_by_phase: BTreeMap::new(),
            status: Status::Done.word(),
            code: Status::Done.code(),
            changed: false,
            planned: false,
            rsync_calls: 0,
            received_bytes: 0,
            errors: Vec::new(),
            space: Vec::new(),
            modules: Vec::new(),
            checked_in: Vec::new(),
            pushed: Vec::new(),
        };
        let began = Instant::now();
        let phase = Mutex::new((Phase::Prepare.word(), began));
        Recorder { began, state: Mutex::new((record, Status::Done)), phase }
    }

    /// How serious the most serious event was, and what was done.
    pub fn finish(&self) -> (Record, Status) {
        let (phase, since) = *self.phase.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let (mut record, status) = self.lock().clone();
        record.seconds = seconds(self.began.elapsed());
        *record.seconds_by_phase.entry(phase).or_default() += since.elapsed().as_secs_f64();
        record.seconds_by_phase.values_mut().for_each(|spent| *spent = seconds(Duration::from_secs_f64(*spent)));
        record.status = status.word();
        record.code = status.code();
        record.changed = record.modules.iter().any(ModuleRecord::changed);
        (record, status)
    }

    fn enter(&self, phase: &'static str) {
        let mut current = self.phase.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let (left, since) = std::mem::replace(&mut *current, (phase, Instant::now()));
        *self.lock().0.seconds_by_phase.entry(left).or_default() += since.elapsed().as_secs_f64();
    }

    fn lock(&self) -> MutexGuard<'_, (Record, Status)> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Record {
    /// What `--json` prints of pushes without a run.
    pub fn of_push(&self) -> Value {
        let Record { version, started, seconds, status, code, errors, pushed, .. } = self;
        json!({
            "version": version,
            "kind": "push",
            "started": started,
            "seconds": seconds,
            "status": status,
            "code": code,
            "errors": errors,
            "pushed": pushed,
        })
    }

    fn module(&mut self, module: &str) -> &mut ModuleRecord {
        let index = self.modules.iter().position(|record| record.module == module).unwrap_or_else(|| {
            self.modules.push(ModuleRecord { module: module.to_owned(), depth: "none", ..ModuleRecord::default() });
            self.modules.len() - 1
        });
        &mut self.modules[index]
    }
}

fn asked_for(plan: &ModulePlan<'_>) -> Amount {
    let bytes = plan.fetch.iter().filter(|fetch| fetch.kind == Kind::File).map(|fetch| fetch.size);
    Amount { entries: plan.fetch.len() as u64, bytes: bytes.fold(0, u64::saturating_add) }
}

/// In thousandths.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

impl Listener for Recorder {
    fn hear(&self, event: &Event<'_>) {
        match event {
            Event::Phase(phase) => self.enter(phase.word()),
            Event::Transfer { class, .. } => self.enter(class.word()),
            _ => {}
        }
        let mut state = self.lock();
        let (record, status) = &mut *state;
        *status = status.worse(event.status());
        match event {
            Event::Begun { about, commits } => {
                record.about = about.iter().map(|module| (*module).to_owned()).collect();
                record.commits = *commits;
            }
            Event::Call { .. } => record.rsync_calls += 1,
            Event::Received(bytes) => record.received_bytes += bytes,
            Event::Compared { module, depth, carried } => {
                let module = record.module(module);
                module.depth = depth.word();
                module.carried = *carried;
                // It may be compared again, with a newer list.
                module.bad_rows = 0;
            }
            Event::Planned(plan) => {
                record.planned |= !plan.is_empty();
                for of in plan.modules.iter().filter(|of| of.depth != Depth::None) {
                    let module = record.module(&of.module);
                    module.unread = of.unread;
                    module.planned = asked_for(of);
                }
            }
            Event::Verified { wrong, extra } => record.planned |= wrong + extra > 0,
            Event::BadRow { module, .. } => record.module(module).bad_rows += 1,
            Event::Item { module, item, cause } => {
                let module = record.module(module);
                module.added += u64::from(item.is_new());
                if let Some(cause) = cause.filter(|_| item.is_changed()) {
                    *module.changed_by_cause.entry(cause.word()).or_default() += 1;
                }
                if item.is_transferred() {
                    module.fetched.add(item.length);
                } else if item.is_linked {
                    module.linked += 1;
                    module.linked_bytes += item.length;
                } else if item.is_changed() {
                    module.updated += 1;
                }
            }
            Event::Closed { module, .. } | Event::Opened { module, .. } => record.module(module).updated += 1,
            Event::Staying { module, entries } => record.module(module).staying = *entries,
            Event::Undelivered { module, .. } => record.module(module).undelivered += 1,
            Event::MoreUndelivered { module, more: entries } | Event::StillUndelivered { module, entries } => {
                record.module(module).undelivered += *entries as u64;
            }
            Event::Installed { module, .. } => record.module(module).installed = true,
            Event::Deleted { module, cause, entries, .. } => {
                *record.module(module).deleted_by_cause.entry(cause.word()).or_default() += entries;
            }
            Event::DeletedEntries { module, entries } => record.module(module).deleted += entries,
            Event::Held(Held { module, entries, causes, held_back, .. }) => {
                record.module(module).hold(*entries, causes);
                record.module(module).held_back = *held_back;
            }
            Event::Kept { module, entries, causes } => record.module(module).hold(*entries, causes),
            Event::Space(rooms) => {
                let short = rooms.iter().filter(|room| room.verdict == Verdict::Short);
                record.errors.extend(short.map(|room| format!("not enough space: {room}")));
                record.space = rooms.to_vec();
            }
            Event::CheckedIn { host, category, directories, counts } => record.checked_in.push(CheckedIn {
                host: (*host).to_owned(),
                category: (*category).to_owned(),
                directories: *directories,
                counts: escape(counts.as_bytes()),
            }),
            Event::Pushed(pushed) => {
                let error = pushed.error.as_ref().filter(|_| pushed.strict);
                record.errors.extend(error.map(|error| format!("push to {}: {error}", pushed.downstream)));
                record.pushed.push((*pushed).clone());
            }
            Event::Failed { module, error, .. } => {
                if let Some(module) = module {
                    record.module(module).failed = true;
                }
                record.errors.push(failure(*module, error));
            }
            _ => {}
        }
    }
}
