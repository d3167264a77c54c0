//! Upstream's lists: whether each module has one that can be fetched and read, and how old it is.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Utc};

use super::LOOK;
use crate::config::{Config, Module, Rsync, Upstream};
use crate::exit::Status;
use crate::interrupt::Interrupt;
use crate::plan::words::{bytes, count, span};
use crate::report::doctor::Check;
use crate::report::{Event, Listener};
use crate::sync::{Options, Weighed, weigh};

const TOPIC: &str = "list";

/// What is fetched of lists within this time is enough to say that they come. A first fetch of all may take longer.
pub(super) const LIMIT: Duration = Duration::from_secs(120);

/// Where no list of an upstream is younger than this, it may lag.
const STALE: Duration = Duration::from_secs(3 * 86_400);

/// What the lists say.
#[derive(Default)]
pub(super) struct Seen {
    /// By module; nothing at all if no list could be had.
    pub weighed: Vec<Option<Weighed>>,
    /// When upstream wrote them, as it says.
    pub dated: Vec<SystemTime>,
}

/// Fetches the lists of the modules with these names, to where a dry run has its working files. Nothing of that stays.
pub(super) fn checks(config: &Config, modules: Vec<String>, interrupt: &Interrupt) -> (Vec<Check>, Seen) {
    let (began, failures) = (Instant::now(), Failures::default());
    let deadline = config.rsync.deadline.map_or(LIMIT, |deadline| deadline.min(LIMIT));
    let rsync = Rsync {
        connect_timeout: config.rsync.connect_timeout.min(LOOK),
        deadline: Some(deadline),
        retries: 0,
        ..config.rsync.clone()
    };
    let config = Config { rsync, ..config.clone() };
    let options = Options { modules, dry_run: true, ..Options::default() };
    let weighed = weigh(&config, &options, interrupt, &failures).unwrap_or_else(|failure| {
        failures.add(None, failure.status, format!("{:#}", failure.error));
        config.modules.iter().map(|_| None).collect()
    });
    let (now, is_late) = (SystemTime::now(), began.elapsed() >= LIMIT);
    let failures = failures.0.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    let of_module = |(module, weighed_module): (&Module, &Option<Weighed>)| {
        if let Some(of_module) = weighed_module {
            let youngest = youngest(&config, config.upstream_of(module), &weighed, now);
            return Some(judge_age(module, of_module, now, youngest));
        }
        let failed = failures.iter().find(|failure| failure.module.as_ref() == Some(&module.name))?;
        Some(explain(&config, module, failed, is_late))
    };
    let mut checks: Vec<Check> = config.modules.iter().zip(&weighed).filter_map(of_module).collect();
    // What is so of all is said once.
    let of_all = failures.iter().find(|failure| failure.module.is_none()).zip(config.modules.first());
    checks.extend(of_all.map(|(failed, first)| {
        let subject = options.modules.join(", ");
        Check { subject, ..explain(&config, first, failed, is_late) }
    }));
    let dated: Vec<SystemTime> = weighed.iter().flatten().map(|weighed| weighed.dated).collect();
    let weighed = if dated.is_empty() { Vec::new() } else { weighed };
    (checks, Seen { weighed, dated })
}

/// How old the youngest list of an upstream is.
fn youngest(config: &Config, upstream: Option<&Upstream>, weighed: &[Option<Weighed>], now: SystemTime) -> Duration {
    let of_upstream = config.modules.iter().zip(weighed).filter(|(module, _)| config.upstream_of(module) == upstream);
    let ages = of_upstream.filter_map(|(_, weighed)| Some(age(weighed.as_ref()?.dated, now)));
    ages.min().unwrap_or_default()
}

/// In whole minutes; nothing of what is yet to come.
fn age(dated: SystemTime, now: SystemTime) -> Duration {
    let seconds = now.duration_since(dated).unwrap_or_default().as_secs();
    Duration::from_secs(if seconds < 60 { seconds } else { seconds / 60 * 60 })
}

fn judge_age(module: &Module, weighed: &Weighed, now: SystemTime, youngest: Duration) -> Check {
    let carried = weighed.sizes.total.carried;
    let date = DateTime::<Utc>::from(weighed.dated).format("%Y-%m-%d %H:%M UTC");
    let (entries, size) = (count(carried.entries, "entry", "entries"), bytes(carried.bytes_once));
    let found = format!("of {date}, {} ago; carries {entries}, {size}", span(age(weighed.dated, now)));
    if youngest > STALE {
        let advice = "does upstream lag, or has nothing changed there? Compare with its own upstream; another host is set by `upstream`";
        return Check::warn(TOPIC, &module.name, format!("{found}; upstream has none that is younger"), advice);
    }
    Check::ok(TOPIC, &module.name, found)
}

fn explain(config: &Config, module: &Module, failed: &Failed, is_late: bool) -> Check {
    let (name, directory) = (&module.name, &module.directory);
    let source = config.upstream_of(module).map_or("", |upstream| upstream.0.as_str());
    if is_late {
        let found = format!("did not come whole within {}", span(LIMIT));
        return Check::warn(TOPIC, name, found, "wait for it, and see how much it is: qfm size");
    }
    let place = if module.upstream.is_some() { format!("{source}/") } else { format!("{source}/{directory}/") };
    let advice = match failed.status {
        Status::List => format!("`rsync {place}` shows what is there (settings list and module.{name}.directory)"),
        Status::Upstream => {
            format!("see what it says: rsync {source}/ (settings upstream, rsync.user and rsync.password_file)")
        }
        Status::Usage => "mend that setting".to_owned(),
        _ => "see that TMPDIR and the directory of the setting `state` have room, and can be written to".to_owned(),
    };
    Check::fail(TOPIC, name, failed.status, &failed.error, advice)
}

/// Why a list cannot be had.
struct Failed {
    /// The module; none if that is so of all.
    module: Option<String>,
    status: Status,
    error: String,
}

/// Hears why lists cannot be had.
#[derive(Default)]
struct Failures(Mutex<Vec<Failed>>);

impl Failures {
    fn add(&self, module: Option<&str>, status: Status, error: String) {
        let failed = Failed { module: module.map(str::to_owned), status, error };
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(failed);
    }
}

impl Listener for Failures {
    fn hear(&self, event: &Event<'_>) {
        if let Event::Failed { module, error, status } = event {
            self.add(*module, *status, format!("{error:#}"));
        }
    }
}
