//! The log: events as those of `tracing`, with level, topic and fields, for a file and for the journal of systemd.
//!
//! What happened is told as [`Event`]s, here as everywhere. Nothing is logged beside them.

pub mod file;
pub mod journal;
mod line;

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tracing::dispatcher::with_default;
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Level, debug, error, info, trace, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

use super::record::{Pushed, Record};
use super::terminal::{Said, of_module, received, said};
use super::{Event, Held, Listener, name_config, relinked};
use crate::config::levels::topic;
use crate::path::escape;
use crate::plan::space::{Room, Verdict};
use file::LogFile;
use line::Line;

/// The log as a listener.
pub struct Log {
    to: Dispatch,
    config: Option<PathBuf>,
}

impl Log {
    /// A log to a file, and to the journal, each with the levels of its topics. A file that cannot be written is told of on standard error,
    /// once, and ends nothing.
    pub fn new(file: Option<(&Path, Targets)>, journal: Option<(tracing_journald::Layer, Targets)>) -> Log {
        let file = file.map(|(path, levels)| {
            let lines = tracing_subscriber::fmt::layer().event_format(Line).with_writer(Mutex::new(LogFile::new(path)));
            lines.with_filter(levels)
        });
        let journal = journal.map(|(journal, levels)| journal.with_filter(levels));
        Log { to: Dispatch::new(tracing_subscriber::registry().with(file).with(journal)), config: None }
    }

    /// Names the configuration file in the calls that it tells of, as [`super::terminal::Terminal::with_config`] does.
    #[must_use]
    pub fn with_config(self, config: Option<&Path>) -> Log {
        Log { config: config.map(Path::to_owned), ..self }
    }
}

impl Listener for Log {
    fn hear(&self, event: &Event<'_>) {
        with_default(&self.to, || {
            let is_detail = matches!(event, Event::Item { .. } | Event::Relinked { .. });
            // Asked before there are words: there may be millions.
            if is_detail && LevelFilter::current() < Level::DEBUG {
                return;
            }
            match event {
                Event::Finished(record) => finished(record),
                Event::AllRelinked(record) => all_relinked(record),
                event => {
                    if let Some(said) = said(event, 2) {
                        let text = name_config(&said.text, self.config.as_deref());
                        log(event, Said { text, ..said });
                    }
                }
            }
        });
    }
}

/// An event of `tracing` whose level is known when it happens; the macros of that crate need it before.
macro_rules! log {
    ($level:expr, $topic:expr, $($rest:tt)+) => {
        match $level {
            Level::ERROR => error!(target: $topic, $($rest)+),
            Level::WARN => warn!(target: $topic, $($rest)+),
            Level::INFO => info!(target: $topic, $($rest)+),
            Level::DEBUG => debug!(target: $topic, $($rest)+),
            Level::TRACE => trace!(target: $topic, $($rest)+),
        }
    };
}

fn log(event: &Event<'_>, Said { level, text }: Said) {
    match event {
        Event::Triggered { job, origin, stage, from } => {
            log!(level, topic::JOBS, job, origin, stage, from = from.map(|from| from.to_string()), "{text}");
        }
        Event::Resumed { job } | Event::JobFailed { job, .. } => log!(level, topic::JOBS, job, "{text}"),
        Event::Listening { .. } | Event::ReadAnew => log!(level, topic::JOBS, "{text}"),
        Event::InVain { requests, from } => {
            log!(level, topic::JOBS, requests, from = from.map(|from| from.to_string()), "{text}");
        }
        Event::BadRow { module, line, habit } => {
            log!(level, topic::LISTS, module, line = line.number, habit, "{text}");
        }
        Event::AskAgain { entries } => log!(level, topic::LISTS, entries, "{text}"),
        Event::Compared { module, depth, carried } => {
            log!(level, topic::COMPARE, module, depth = depth.word(), entries = carried, "{text}");
        }
        // One line for each file system on which it does not fit, in place of the table.
        Event::Space(rooms) => {
            let what = text.lines().next().unwrap_or_default();
            let short = rooms.iter().filter(|room| room.verdict != Verdict::Fits);
            for room @ Room { path, most, enough, free, .. } in short {
                let (needed, enough, free) = (most.bytes, enough.bytes, free.bytes);
                log!(level, topic::PLAN, path, needed, enough, free, "{what} {room}");
            }
        }
        Event::Transfer { class, names } => log!(level, topic::TRANSFER, class = class.word(), names, "{text}"),
        Event::Item { module, item, cause } => {
            let (path, bytes) = (escape(&item.name), item.is_transferred().then_some(item.length));
            let cause = cause.filter(|_| !item.is_linked).map(|cause| cause.word());
            log!(level, topic::TRANSFER, module, path, cause, bytes, "{text}");
        }
        Event::UnsafeLink { module, path } => log!(level, topic::TRANSFER, module, path, "{text}"),
        Event::Undelivered { module, path, .. } => log!(level, topic::TRANSFER, module, path, "{text}"),
        Event::MoreUndelivered { module, more: entries } | Event::StillUndelivered { module, entries } => {
            log!(level, topic::TRANSFER, module, entries, "{text}");
        }
        Event::Closed { module, path, .. } | Event::Opened { module, path, .. } => {
            log!(level, topic::TRANSFER, module, path = escape(path), "{text}")
        }
        Event::Deleted { module, cause, entries, path, .. } => {
            log!(level, topic::DELETE, module, path = escape(path), cause = cause.word(), entries, "{text}");
        }
        Event::Held(Held { module, entries, .. }) => log!(level, topic::DELETE, module, entries, "{text}"),
        Event::Staying { module, entries } => log!(level, topic::DELETE, module, entries, "{text}"),
        Event::Kept { module, entries, .. } => log!(level, topic::DELETE, module, entries, "{text}"),
        Event::Call { names, .. } => log!(level, topic::RSYNC, names, "{text}"),
        Event::Retry { wait, .. } => log!(level, topic::RSYNC, wait = wait.as_secs_f64(), "{text}"),
        Event::NextAddress { .. } | Event::Vanished => log!(level, topic::RSYNC, "{text}"),
        Event::Absent { path } | Event::Unsteady { path } => {
            log!(level, topic::HARDLINK, path = escape(path.as_os_str().as_encoded_bytes()), "{text}");
        }
        Event::Relinked { module, path, to, gained } => {
            let [path, to] = [path, to].map(|path| escape(path.as_os_str().as_encoded_bytes()));
            log!(level, topic::HARDLINK, module, path, to, bytes = gained, "{text}");
        }
        Event::CheckedIn { host, category, directories, .. } => {
            log!(level, topic::CHECKIN, host, category, directories, "{text}");
        }
        Event::NothingToTell { .. } => log!(level, topic::CHECKIN, "{text}"),
        Event::Pushed(Pushed { downstream, stage, seconds, exit, .. }) => {
            log!(level, topic::PUSH, downstream, stage, seconds, exit, "{text}");
        }
        Event::Failed { module, status, .. } => {
            log!(level, topic::RUN, module, status = status.word(), code = status.code(), "{text}");
        }
        _ => log!(level, topic::RUN, "{text}"),
    }
}

/// What was done, module by module, and how it ended. What MirrorManager and downstreams were told was said when they were.
fn finished(record: &Record) {
    for of in &record.modules {
        let Some(text) = of_module(of) else { continue };
        let (module, fetched, bytes) = (of.module.as_str(), of.fetched.entries, of.fetched.bytes);
        let (linked, updated, deleted, held, undelivered) =
            (of.linked, of.updated, of.deleted, of.held, of.undelivered);
        info!(target: topic::RUN, module, fetched, bytes, linked, updated, deleted, held, undelivered, "{text}");
    }
    let Record { status, code, seconds, rsync_calls, received_bytes: bytes, changed, .. } = record;
    let text = if *changed { received(record) } else { "Nothing changed.".to_owned() };
    let level = if *changed || *code != 0 { Level::INFO } else { Level::DEBUG };
    log!(level, topic::RUN, status, code, seconds, rsync_calls, bytes, "{text}");
}

fn all_relinked(record: &relinked::Record) {
    let relinked::Record { status, code, seconds, linked, gained_bytes: bytes, .. } = record;
    for text in relinked::summary(record) {
        info!(target: topic::HARDLINK, status, code, seconds, linked, bytes, "{text}");
    }
}
