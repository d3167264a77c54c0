//! What the run says, in the old words: on standard output by level, and in the log by item.
//!
//! What makes the run end with 1 is said on standard error too, whatever the level. A run that gives way to another has not started: it
//! is silent, but for the items of the lock.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use jiff::Zoned;

use super::super::by_keys;
use super::counts::Counts;
use super::log::{Item, Log};
use crate::config::secret;
use crate::exit::Status;
use crate::path::escape;
use crate::plan::words::{bytes, count};
use crate::plan::{Depth, ModulePlan, Plan};
use crate::report::terminal::said;
use crate::report::{Event, Listener};
use crate::rsync::Item as Looked;

/// Level by level, what is said on standard output.
mod level {
    /// What was done, if anything was.
    pub const CHANGES: u8 = 1;
    /// Begin and end of every run, and counts.
    pub const ALL: u8 = 2;
    /// Lines of the log, and calls of rsync.
    pub const LOG: u8 = 3;
    /// Names that rsync changed.
    pub const CHANGED_NAMES: u8 = 4;
    /// Names that rsync looked at.
    pub const NAMES: u8 = 5;
    /// How far the transfer is.
    pub const PROGRESS: u8 = 7;
    /// All that happens.
    pub const TRACE: u8 = 8;
}

/// What is known when a run starts.
pub(super) struct Start<'s> {
    /// How much is said: 0 to 9.
    pub level: u8,
    /// The configuration file.
    pub config: &'s Path,
    /// Where working files lie.
    pub work: &'s Path,
    /// The last mirror time, seconds since the epoch.
    pub last_time: i64,
}

/// The listener.
pub(super) struct Teller<'s> {
    start: Start<'s>,
    began: Zoned,
    log: Log,
    told: Mutex<Told>,
}

/// What was heard and said until now.
#[derive(Default)]
struct Told {
    /// That the run started, in the log.
    began: bool,
    /// The line that the run starts.
    start: bool,
    /// Another run holds the lock.
    gave_way: bool,
    /// A run before was cut off.
    unfinished: bool,
    /// Something was to be done.
    changed: bool,
    /// The list is older than the content.
    outdated: bool,
    /// The content that is on its way, if any is.
    transfer: Option<Transfer>,
}

/// What rsync transferred.
#[derive(Default)]
struct Transfer {
    /// Files whose content came, and their bytes.
    files: u64,
    size: u64,
    /// The bytes of all that was looked at.
    named: u64,
    received: u64,
    sent: u64,
}

impl Transfer {
    fn add(&mut self, item: &Looked) {
        if !item.is_dir() {
            self.named = self.named.saturating_add(item.length);
        }
        if item.is_transferred() {
            self.files += 1;
            self.size = self.size.saturating_add(item.length);
        }
    }

    /// As rsync reckons it: what it would have been without rsync, for each byte on the wire.
    fn speedup(&self) -> f64 {
        self.named as f64 / (self.received + self.sent).max(1) as f64
    }

    fn lines(&self) -> [String; 3] {
        [
            format!("    Downloaded files: {}", self.files),
            format!("    Total size of those files: {}", bytes(self.size)),
            format!(
                "    Received: {}   Sent: {}   Speedup: {:.2}",
                bytes(self.received),
                bytes(self.sent),
                self.speedup()
            ),
        ]
    }
}

impl<'s> Teller<'s> {
    /// Of a run that begins now, which is said when something happens.
    pub fn new(start: Start<'s>, log: Log) -> Teller<'s> {
        Teller { start, began: Zoned::now(), log, told: Mutex::default() }
    }

    /// Says that the run started: it has the lock, or needs none.
    fn begin(&self, told: &mut Told) {
        if !std::mem::replace(&mut told.began, true) {
            if self.shows(level::ALL) {
                self.say_start(told);
            }
            let Start { config, work, .. } = self.start;
            self.log(Item::Start, &format!("Run start: cfg {}, tmp {}", config.display(), work.display()));
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn shows(&self, level: u8) -> bool {
        self.start.level >= level
    }

    /// On standard output, from a level on.
    fn say(&self, level: u8, line: &str) {
        if self.shows(level) {
            // Nobody hears that nobody listens.
            drop(writeln!(io::stdout(), "{line}"));
        }
    }

    fn log(&self, item: Item, text: &str) {
        for line in text.lines() {
            self.say(level::LOG, &format!(">> Log: {}{line}", item.prefix()));
        }
        self.log.write(item, text);
    }

    fn say_start(&self, told: &mut Told) {
        if !std::mem::replace(&mut told.start, true) {
            self.say(level::CHANGES, &format!("Mirror starting: {}", date(&self.began)));
        }
    }

    fn plan(&self, told: &mut Told, plan: &Plan<'_>) {
        for module in plan.modules.iter().filter(|module| !module.failed && !module.left_alone) {
            self.module(told, module);
        }
    }

    fn module(&self, told: &mut Told, module: &ModulePlan<'_>) {
        let name = &module.module;
        if module.depth == Depth::None {
            let text = format!("No change in file list checksum.  Skipping {name}.");
            self.say(level::ALL, &text);
            self.log(Item::NothingInModule, &text);
            return;
        }
        let counts = Counts::of(module, self.start.last_time);
        // What is held waits for a human, and is the same in each run.
        let deletes = module.holds.is_empty() && !module.deletes.is_empty();
        let has_changes = counts.transfer > 0 || module.new_list || deletes;
        if has_changes {
            told.changed = true;
            self.say_start(told);
        }
        counts.table().iter().for_each(|line| self.say(level::ALL, line));
        self.log(Item::Counts, &format!("Counts for {name}: {}", counts.line()));
        let text = format!("Changes in {name}: {} files/dirs", counts.transfer);
        self.say(if has_changes { level::CHANGES } else { level::ALL }, &text);
        self.log(Item::Generated, &text);
        if counts.directory_times() > 0 {
            self.log(Item::Delete, &format!("Updating timestamps on {} dirs", counts.directory_times()));
        }
        if deletes {
            let entries: u64 = module.deletes.iter().map(|delete| delete.entries).sum();
            self.log(Item::Delete, &format!("To delete in {name}: {}", count(entries, "entry", "entries")));
        }
    }

    /// What came, when no more comes.
    fn say_transfer(&self, told: &mut Told) {
        let Some(transfer) = told.transfer.take() else { return };
        for line in transfer.lines() {
            self.say(level::CHANGES, &line);
            self.log(Item::Statistics, line.trim_start());
        }
    }

    /// Trouble: in the log, and on standard error if the run ends with 1 because of it.
    fn trouble(&self, told: &mut Told, event: &Event<'_>) {
        if matches!(event, Event::Undelivered { .. }) && !std::mem::replace(&mut told.outdated, true) {
            self.log(Item::Minor, "Looks like the file list is outdated.");
        }
        let Some(said) = said(event, 0) else { return };
        let text = by_keys(&said.text, self.start.config);
        let ends_badly = event.status() != Status::Done || matches!(event, Event::Overdue { .. });
        let item = match event.status() {
            Status::Done | Status::Partial if !matches!(event, Event::Overdue { .. }) => Item::Minor,
            _ => Item::Serious,
        };
        self.log(item, &text);
        if ends_badly {
            // Nowhere is left to say that standard error is gone.
            drop(writeln!(io::stderr(), "{}{text}", item.prefix()));
        }
    }

    /// Says how the run ended.
    pub fn end(&self, status: Status) {
        let (told, code) = (&mut *self.told(), u8::from(status != Status::Done));
        if told.gave_way && !told.began {
            return;
        }
        self.begin(told);
        if !told.changed && code == 0 {
            self.log(Item::Nothing, "Nothing is new.");
        }
        if told.unfinished && code == 0 {
            self.log(Item::Recovered, "What an aborted run left is in order.");
        }
        if told.start {
            self.say(level::CHANGES, &format!("Mirror finished: {} ({code})", date(&Zoned::now())));
        }
        self.log(Item::End, &format!("Run end; exiting {code}."));
    }
}

impl Listener for Teller<'_> {
    fn hear(&self, event: &Event<'_>) {
        if self.shows(level::TRACE)
            && let Some(line) = said(event, 2)
        {
            self.say(level::TRACE, &format!(">> {line}"));
        }
        let told = &mut *self.told();
        match event {
            Event::Overdue { .. } => {}
            Event::Failed { status: Status::Locked, .. } => told.gave_way = true,
            Event::Finished(_) if told.gave_way => {}
            _ => self.begin(told),
        }
        match event {
            Event::Call { program, arguments, names } => {
                let words: Vec<String> = arguments.iter().map(|word| escape(word.as_encoded_bytes())).collect();
                let words = secret::mask_options(&words).join(" ");
                self.say(level::LOG, &format!(">> Calling {} {words}", program.display()));
                match told.transfer {
                    Some(_) => self.log(Item::Call, &format!("Calling rsync for {names} paths")),
                    None => self.log(Item::Lists, &format!("Downloading {names} file lists")),
                }
            }
            Event::Received(came) => {
                if let Some(transfer) = &mut told.transfer {
                    transfer.received += came;
                    self.log(Item::Called, &format!("rsync completed, received {}", bytes(*came)));
                } else {
                    self.log(Item::Lists, &format!("Downloaded file lists, received {}", bytes(*came)));
                }
            }
            Event::Sent(went) => {
                if let Some(transfer) = &mut told.transfer {
                    transfer.sent += went;
                }
            }
            Event::Compared { module, depth, carried } => {
                self.log(Item::Process, &format!("Processing {module}: {carried} entries listed"));
                self.log(Item::Local, &format!("Local tree of {module} was compared ({})", depth.word()));
            }
            Event::Planned(plan) => self.plan(told, plan),
            Event::Transfer { class, names } => {
                told.transfer.get_or_insert_default();
                self.say(level::PROGRESS, &format!(">> Transferring {} ({names} names)", class.word()));
            }
            Event::Item { item, .. } => {
                told.transfer.get_or_insert_default().add(item);
                let level = if item.is_changed() { level::CHANGED_NAMES } else { level::NAMES };
                if self.shows(level) {
                    let change = String::from_utf8_lossy(&item.change).into_owned();
                    self.say(level, &format!("@ {change} {:>10}  {}", item.length, escape(&item.name)));
                }
            }
            Event::AskAgain { entries } => {
                self.say_transfer(told);
                self.log(Item::Lists, &format!("{entries} paths did not come as listed; the lists are fetched again"));
            }
            Event::Installed { module, .. } => {
                self.say_transfer(told);
                self.log(Item::Processed, &format!("Processed {module}: its new list is in place"));
            }
            Event::Deleted { path, .. } => {
                self.say_transfer(told);
                self.log(Item::Delete, &format!("Deleted {}", escape(path)));
            }
            Event::DeletedEntries { module, entries } => {
                self.log(Item::Deleted, &format!("Deleted {} of {module}", count(*entries, "entry", "entries")));
            }
            Event::Unfinished { .. } => {
                told.unfinished = true;
                self.log(Item::Aborted, "The last run did not finish; what it was changing is compared in full");
            }
            Event::Vanished => self.log(Item::Minor, "rsync says source files vanished."),
            Event::Failed { error, status: Status::Locked, .. } => self.log(Item::Lock, &format!("{error:#}")),
            Event::Overdue { .. }
            | Event::Warning(_)
            | Event::Retry { .. }
            | Event::BadRow { habit: false, .. }
            | Event::Space(_)
            | Event::UnsafeLink { .. }
            | Event::Undelivered { .. }
            | Event::MoreUndelivered { .. }
            | Event::Held(_)
            | Event::Failed { .. } => self.trouble(told, event),
            Event::NothingToTell { .. } => self.log(Item::CheckIn, "Nothing to check in"),
            Event::CheckedIn { .. } => {
                self.log(Item::CheckedIn, &said(event, 1).map(|said| said.text).unwrap_or_default())
            }
            Event::Finished(_) => self.say_transfer(told),
            _ => {}
        }
    }
}

/// As date(1) writes it.
fn date(time: &Zoned) -> String {
    time.strftime("%a %b %e %H:%M:%S %Z %Y").to_string()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn a_date_reads_as_date_writes_it() {
        let moment = Timestamp::from_second(1_793_530_800).unwrap();
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        assert_eq!(date(&moment.to_zoned(berlin)), "Sun Nov  1 12:00:00 CET 2026");
        assert_eq!(date(&moment.to_zoned(TimeZone::UTC)), "Sun Nov  1 11:00:00 UTC 2026");
    }
}
