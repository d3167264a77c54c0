//! What a person sees: talk on stderr, the summary on stdout, and a progress display where stderr is a terminal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use tracing::Level;

use super::log::journal;
use super::record::{CheckedIn, ModuleRecord, Pushed, Record};
use super::{Event, Held, Listener, Why, amount, failure, name_config, relinked, space_table};
use crate::config::secret;
use crate::exit::Status;
use crate::path::escape;
use crate::plan::words::{bytes, count, span};

/// What stands on stdout when a command is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdout {
    /// What was done, which the terminal writes.
    Summary,
    /// The plan in words, which says itself what is held and what does not fit.
    Plan,
    /// Nothing, or what is for programs.
    Else,
}

/// What is shown while nobody knows how much there is to do.
fn waiting() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// The terminal as a listener.
pub struct Terminal {
    verbosity: i8,
    stdout: Stdout,
    bar: Option<Mutex<Option<ProgressBar>>>,
    config: Option<PathBuf>,
    is_mute: bool,
}

impl Terminal {
    /// `verbosity`: -1 says only what is wrong, 0 also what was done, 1 each path, 2 each call too.
    pub fn new(verbosity: i8, stdout: Stdout, progress: bool) -> Terminal {
        Terminal { verbosity, stdout, bar: progress.then(|| Mutex::new(None)), config: None, is_mute: false }
    }

    /// Names the configuration file in the calls that it tells of, if this call named one: another one may have modules of the same names.
    #[must_use]
    pub fn with_config(self, config: Option<&Path>) -> Terminal {
        Terminal { config: config.map(Path::to_owned), ..self }
    }

    /// The configuration file that it names.
    pub fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// Leaves to the log what it tells the journal: standard error leads there, and each line would be there twice.
    #[must_use]
    pub fn beside_journal(self) -> Terminal {
        let is_told = self.stdout == Stdout::Summary && journal::is_stream(io::stdout());
        Terminal { is_mute: true, stdout: if is_told { Stdout::Else } else { self.stdout }, ..self }
    }

    fn say(&self, line: &str) {
        if self.is_mute {
            return;
        }
        let line = name_config(line, self.config.as_deref());
        let say = || {
            // Nowhere is left to say that standard error is gone.
            drop(writeln!(io::stderr(), "qfm: {line}"));
        };
        match self.with_bar(|bar| bar.suspend(say)) {
            Some(()) => {}
            None => say(),
        }
    }

    fn with_bar<T>(&self, act: impl FnOnce(&ProgressBar) -> T) -> Option<T> {
        let bar = self.bar.as_ref()?.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        bar.as_ref().map(act)
    }

    fn show_progress(&self, event: &Event<'_>) {
        let Some(bar) = &self.bar else { return };
        match event {
            Event::Planned(plan) => {
                let expected = plan.expected();
                let bar_of_plan = ProgressBar::with_draw_target(Some(expected.bytes), ProgressDrawTarget::stderr());
                let template = "{bar:24} {bytes}/{total_bytes} {bytes_per_sec}{left}  {wide_msg}";
                if let Ok(style) = ProgressStyle::with_template(template) {
                    bar_of_plan.set_style(style.with_key("left", left));
                }
                if !plan.is_empty() {
                    self.with_bar(ProgressBar::finish_and_clear);
                    *bar.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(bar_of_plan);
                }
            }
            Event::Phase(phase) => {
                let mut bar = bar.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                bar.get_or_insert_with(waiting).set_message(phase.sentence());
            }
            Event::Item { item, .. } => {
                self.with_bar(|bar| {
                    if item.is_transferred() {
                        bar.inc(item.length);
                    }
                    // Of the directories there is no room for more than those that all have.
                    let name = item.name.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
                    bar.set_message(escape(name));
                });
            }
            Event::Transfer { class, .. } => {
                self.with_bar(|bar| bar.set_message(class.word()));
            }
            Event::Candidates { groups: 1.. }
            | Event::GroupDone { .. }
            | Event::Relinked { .. }
            | Event::Read { .. } => {
                self.show_relinking(bar, event);
            }
            Event::Finished(_) | Event::AllRelinked(_) => {
                self.with_bar(ProgressBar::finish_and_clear);
            }
            _ => {}
        }
    }
}

impl Terminal {
    /// How far the look for equal files is: in groups, because nobody knows before how much is to be read.
    fn show_relinking(&self, bar: &Mutex<Option<ProgressBar>>, event: &Event<'_>) {
        match event {
            Event::Candidates { groups } => {
                let of_groups = ProgressBar::with_draw_target(Some(*groups), ProgressDrawTarget::stderr());
                let template = "{bar:24} {pos}/{len} groups{left}  {wide_msg}";
                if let Ok(style) = ProgressStyle::with_template(template) {
                    of_groups.set_style(style.with_key("left", left));
                }
                *bar.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(of_groups);
            }
            Event::GroupDone { .. } => {
                self.with_bar(|bar| bar.inc(1));
            }
            Event::Relinked { path, .. } => {
                self.with_bar(|bar| bar.set_message(escape(path.as_os_str().as_encoded_bytes())));
            }
            // Reading may take long: the time goes on.
            _ => {
                self.with_bar(ProgressBar::tick);
            }
        }
    }
}

impl Listener for Terminal {
    fn hear(&self, event: &Event<'_>) {
        self.show_progress(event);
        let summary = match event {
            Event::Finished(record) => Some(summary(record)),
            Event::AllRelinked(record) => Some(relinked::summary(record)),
            _ => None,
        };
        if let Some(lines) = summary {
            if self.verbosity >= 0 && self.stdout == Stdout::Summary {
                let mut out = io::stdout().lock();
                for line in lines {
                    drop(writeln!(out, "{line}"));
                }
            }
        } else if self.stdout == Stdout::Plan
            && matches!(event, Event::Held(_) | Event::Kept { .. } | Event::Space(_) | Event::StillUndelivered { .. })
        {
            // It is read there, once.
        } else if let Some(said) = said(event, if is_for_people(event) { 1 } else { self.verbosity }) {
            self.say(&said.to_string());
        }
    }
}

/// The time left, once something came to reckon it by.
fn left(state: &ProgressState, out: &mut dyn std::fmt::Write) {
    if state.pos() > 0 {
        // A display that cannot be drawn is no trouble.
        let _undrawn = write!(out, ", {:#} left", HumanDuration(state.eta()));
    }
}

/// Whether an event is told to a person at a terminal, though not to a timer's mail.
fn is_for_people(event: &Event<'_>) -> bool {
    matches!(event, Event::Failed { status: Status::Locked, .. }) && io::stderr().is_terminal()
}

/// What is said of an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Said {
    /// How bad it is; below [`Level::INFO`] stands what is for those who look closely.
    pub level: Level,
    /// The words.
    pub text: String,
}

/// The words, with how bad it is before them.
impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.level {
            Level::ERROR => "error: ",
            Level::WARN => "warning: ",
            _ => "",
        })?;
        f.write_str(&self.text)
    }
}

/// What is said of an event at a verbosity, if anything.
pub fn said(event: &Event<'_>, verbosity: i8) -> Option<Said> {
    let from = |least: i8, level: Level, text: String| (verbosity >= least).then_some(Said { level, text });
    let error = |text: String| from(-1, Level::ERROR, text);
    let warning = |least: i8, text: String| from(least, Level::WARN, text);
    // A person at a terminal is told in the summary, or asks for more.
    let news = |text: String| from(1, Level::INFO, text);
    let detail = |text: String| from(1, Level::DEBUG, text);
    match event {
        Event::Warning(text) => warning(-1, (*text).to_owned()),
        Event::Triggered { job, origin, stage, from } => {
            let from = from.map(|from| format!(" from {from}")).unwrap_or_default();
            news(format!("job {job} is triggered over {origin} ({stage}){from}"))
        }
        Event::Resumed { job } => news(format!("job {job} was triggered before, and is started now")),
        Event::JobFailed { what, .. } => error((*what).to_owned()),
        Event::Listening { at } => news(format!("listening on {at}")),
        Event::ReadAnew => news("the configuration is read anew".to_owned()),
        Event::InVain { requests, from } => {
            let requests = count(*requests, "request", "requests");
            let from = from.map_or_else(|| "over a Unix socket or a proxy".to_owned(), |from| format!("from {from}"));
            news(format!("{requests} opened nothing; the last came {from}"))
        }
        Event::Overdue { age, limit } => warning(
            -1,
            format!(
                "another run is under way, and none ended well for {} ({limit}). To see what it does: qfm status",
                span(*age)
            ),
        ),
        Event::Unfinished { what } => {
            let cut_off = "the last run did not finish, or only transferred, when it was changing";
            warning(-1, format!("{cut_off} {what}: that is compared in full"))
        }
        Event::Vanished => detail("files went away at upstream while rsync sent them".to_owned()),
        Event::Unlockable { path } => detail(format!(
            "{} cannot be locked: see that no other configuration has this directory too",
            path.display()
        )),
        Event::Call { program, arguments, names } => {
            let words: Vec<String> = arguments.iter().map(|word| escape(word.as_encoded_bytes())).collect();
            let words = secret::mask_options(&words).join(" ");
            let names = count(*names as u64, "name", "names");
            from(2, Level::DEBUG, format!("calls {} {words} ({names})", program.display()))
        }
        Event::Retry { why, wait } => warning(0, format!("{why}; trying again in {:.1} s", wait.as_secs_f64())),
        Event::NextAddress { why } => news(format!("{why}; trying the next address of upstream's name")),
        Event::Compared { module, depth, carried } => {
            detail(format!("{module}: compared ({}), {carried} entries listed", depth.word()))
        }
        Event::BadRow { module, line, habit: false } => {
            let (number, why, text) = (line.number, &line.why, &line.text);
            warning(-1, format!("{module}: line {number} of the list is set aside: {why}: {text}"))
        }
        Event::BadRow { module, line, habit: true } => {
            detail(format!("{module}: line {} of the list is set aside, as before: {}", line.number, line.why))
        }
        Event::Space(rooms) if event.status() == Status::Space => {
            error(format!("what upstream has new does not fit, and nothing was begun:\n{}", space_table::text(rooms)))
        }
        Event::Space(rooms) => warning(
            -1,
            format!(
                "what upstream has new may not fit, depending on how much of it differs, and is not links:\n{}",
                space_table::text(rooms)
            ),
        ),
        Event::Transfer { class, names } => detail(format!("transfers {} ({names} names)", class.word())),
        // Asked first: there may be millions.
        Event::Item { module, item, cause } if verbosity >= 1 && item.is_changed() => {
            let what = match cause {
                _ if item.is_linked => "linked",
                Some(cause) => cause.word(),
                None => "attributes",
            };
            detail(format!("{module}: {what:<11} {}", escape(&item.name)))
        }
        Event::UnsafeLink { module, path } => {
            warning(0, format!("{module}: the link {path} leads out of the tree; it is left out"))
        }
        Event::AskAgain { entries } => {
            let entries = count(*entries as u64, "entry", "entries");
            news(format!("{entries} did not come as listed; the lists are asked for again"))
        }
        Event::Undelivered { module, path, why } => {
            let what = match why {
                Why::Absent => format!("upstream lists {path}, but does not deliver it"),
                Why::Checksum => format!("upstream delivers {path} with another checksum than it gives itself"),
                Why::NotSwitched(why) => format!("{path} stays as it was: {why}"),
                Why::Beside => return None,
            };
            warning(-1, format!("{module}: {what}; the next run tries again"))
        }
        Event::MoreUndelivered { module, more } => {
            warning(-1, format!("{module}: {} more did not come as listed", count(*more as u64, "entry", "entries")))
        }
        Event::StillUndelivered { module, entries } => {
            let entries = count(*entries as u64, "entry", "entries");
            warning(-1, format!("{module}: {entries} of the plan upstream did not deliver to the last run"))
        }
        Event::Absent { path } => {
            let path = escape(path.as_os_str().as_encoded_bytes());
            warning(1, format!("{path} is listed and not here: the list may be out of date"))
        }
        Event::Unsteady { path } => {
            let path = escape(path.as_os_str().as_encoded_bytes());
            warning(0, format!("{path} changed while it was looked at, and is left alone"))
        }
        Event::Relinked { module, path, to, .. } if verbosity >= 1 => {
            let [path, to] = [path, to].map(|path| escape(path.as_os_str().as_encoded_bytes()));
            detail(format!("{module}: equal       {path} (to {to})"))
        }
        Event::Closed { module, path, .. } => detail(format!("{module}: closed      {}", escape(path))),
        Event::Opened { module, path, .. } => detail(format!("{module}: opened      {}", escape(path))),
        Event::Deleted { module, cause, entries, path, .. } => {
            let entries = if *entries > 1 { format!(", {entries} entries") } else { String::new() };
            detail(format!("{module}: deleted     {} ({}{entries})", escape(path), cause.word()))
        }
        Event::CheckedIn { host, category, directories, counts } => {
            let directories = count(*directories as u64, "directory", "directories");
            news(format!("checked in {category} of {host}: {directories} ({})", escape(counts.as_bytes())))
        }
        Event::NothingToTell { why } => from(0, Level::INFO, format!("nothing to check in: {why}")),
        Event::Pushed(Pushed { downstream, stage, error: Some(why), strict, .. }) => {
            let what = format!("cannot push to {downstream} ({stage}): {why}");
            if *strict { error(what) } else { warning(-1, what) }
        }
        Event::Pushed(Pushed { downstream, stage, exit, .. }) => {
            let ended = exit.filter(|&code| code != 0).map(|code| format!(", which ended there with {code}"));
            news(format!("pushed to {downstream} ({stage}){}", ended.unwrap_or_default()))
        }
        Event::Held(held) => warning(-1, what_is_held(held)),
        Event::Staying { module, entries } => {
            detail(format!("{module}: {} for now (delete.after)", count(*entries, "entry stays", "entries stay")))
        }
        Event::Kept { module, entries, causes } => {
            let entries = count(*entries, "entry is", "entries are");
            detail(format!("{module}: {entries} kept that should go{}", by_cause(causes)))
        }
        // A timer that meets the run before it is nothing to write a mail about.
        Event::Failed { error, status: Status::Locked, .. } => news(format!("{error:#}")),
        Event::Failed { module, error: why, .. } => error(failure(*module, why)),
        _ => None,
    }
}

fn what_is_held(Held { module, entries, causes, why, subtrees, held_back, let_pass }: &Held<'_>) -> String {
    let mut line = format!("{module}: deletions are held: {}", why.join("; "));
    if *entries > 0 {
        let most: Vec<String> = subtrees.iter().map(|(subtree, entries)| format!("{subtree} ({entries})")).collect();
        let (entries, causes, most) = (count(*entries, "entry", "entries"), by_cause(causes), most.join(", "));
        line.push_str(&format!("; {entries} would go{causes}, most of them in {most}"));
    }
    if *held_back > 0 {
        let waits = count(*held_back, "entry that upstream has waits", "entries that upstream has wait");
        line.push_str(&format!("; {waits} for that"));
    }
    match let_pass {
        Some(flag) => line.push_str(&format!(". If that is meant, run once: qfm {flag}")),
        None => line.push_str(". Nothing is deleted until that is mended"),
    }
    line
}

/// How many for which cause, in brackets.
fn by_cause(causes: &BTreeMap<&str, u64>) -> String {
    let causes: Vec<String> = causes.iter().map(|(cause, entries)| format!("{entries} {cause}")).collect();
    if causes.is_empty() { String::new() } else { format!(" ({})", causes.join(", ")) }
}

/// What was done, in a few lines; nothing if nothing changed.
pub fn summary(record: &Record) -> Vec<String> {
    let checked_in = record.checked_in.iter().map(|CheckedIn { host, category, directories, counts }| {
        let directories = count(*directories as u64, "directory", "directories");
        format!("checked in {category} of {host}: {directories} ({counts})")
    });
    let reached = record.pushed.iter().filter(|pushed| pushed.error.is_none());
    let reached: BTreeSet<&str> = reached.map(|pushed| pushed.downstream.as_str()).collect();
    let reached: Vec<&str> = reached.into_iter().collect();
    let pushed = (!reached.is_empty()).then(|| format!("pushed to {}", reached.join(", ")));
    let told = checked_in.chain(pushed);
    if !record.changed {
        return told.collect();
    }
    record.modules.iter().filter_map(of_module).chain(told).chain([received(record)]).collect()
}

/// What was done in a module, if anything.
pub fn of_module(module: &ModuleRecord) -> Option<String> {
    let parts = [
        (module.fetched.entries > 0).then(|| format!("fetched {}", amount(&module.fetched))),
        (module.linked > 0).then(|| format!("linked {}", module.linked)),
        (module.updated > 0).then(|| format!("updated {}", module.updated)),
        (module.deleted > 0).then(|| format!("deleted {}", module.deleted)),
        (module.held > 0).then(|| format!("held {}", module.held)),
        (module.undelivered > 0).then(|| format!("undelivered {}", module.undelivered)),
        module.installed.then(|| "new list".to_owned()),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| format!("{}: {}", module.module, parts.join(", ")))
}

/// How much came, and how long that took.
pub fn received(record: &Record) -> String {
    let calls = count(record.rsync_calls, "rsync call", "rsync calls");
    format!("Received {} in {calls}, {:.1} s.", bytes(record.received_bytes), record.seconds)
}
