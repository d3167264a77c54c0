//! What runs there were: one that is under way, one that was cut off, and how long none ended well.

use std::time::Duration;

use super::Mirror;
use crate::plan::words::{count, span};
use crate::report::doctor::Check;
use crate::state::journal::{Journal, Unfinished};
use crate::state::runs;
use crate::status::{Module, gather};
use crate::sync::lock::{is_held, last_good, overdue};

const TOPIC: &str = "run";

pub(super) fn checks(mirror: &Mirror) -> Vec<Check> {
    let (config, state) = (&mirror.config, &mirror.state);
    let is_held = is_held(config, &mirror.root, state);
    let mut checks = Vec::new();
    if is_held {
        checks.push(Check::ok(TOPIC, "under way", "a run is at work: what is said here may be out of date"));
    } else {
        checks.extend(journal(&Journal::of(state).unfinished()));
    }
    let minutes = |age: Duration| span(Duration::from_secs(age.as_secs() / 60 * 60));
    checks.push(match (overdue(config, state), last_good(config, state)) {
        (Some(age), _) => {
            let found = format!("none ended well for {} (setting warn_after){}", minutes(age), last_trouble(mirror));
            let advice = if is_held {
                "the run that is under way may hang: `ps -C rsync -o pid,etime,args` shows what it waits for"
            } else {
                "run it by hand and see: qfm -v"
            };
            Check::warn(TOPIC, "last", found, advice)
        }
        (None, Some(last)) => {
            let age = (crate::clock::now() - last).to_std().unwrap_or_default();
            Check::ok(TOPIC, "last", format!("ended well {} ago", minutes(age)))
        }
        (None, None) => Check::ok(TOPIC, "last", "none ended well yet"),
    });
    checks.extend(gather(config, None, is_held).modules.iter().filter_map(held));
    checks
}

/// Deletions that wait for a human.
fn held(module: &Module) -> Option<Check> {
    let held = module.held.as_ref()?;
    let why = if held.why.is_empty() { String::new() } else { format!(": {}", held.why.join("; ")) };
    let found = format!("deletions of {} are held{why}", count(held.entries, "entry", "entries"));
    let advice = match &held.let_pass {
        Some(flag) => format!("see what goes: qfm --dry-run; and if that is meant, run once: qfm {flag}"),
        None => "see what is in their way: qfm --dry-run".to_owned(),
    };
    Some(Check::warn(TOPIC, &module.module, found, advice))
}

fn journal(unfinished: &Unfinished) -> Option<Check> {
    let found = format!("was cut off, or only transferred, when it was changing {}", unfinished.what());
    (*unfinished != Unfinished::Nothing).then(|| Check::warn(
        TOPIC,
        "journal",
        found,
        "the next run compares that in full and puts it right; if it is cut off again, see what ends it: journalctl -u qfm",
    ))
}

/// What the last run ended with, if that was no good end.
fn last_trouble(mirror: &Mirror) -> String {
    // Records that cannot be read tell nothing.
    let records = runs::read(&mirror.state).unwrap_or_default();
    let Some(last) = records.last() else { return String::new() };
    match (last["status"].as_str(), last["errors"][0].as_str()) {
        (Some(status), Some(error)) => format!("; the last one ended with {status}: {error}"),
        (Some(status), None) => format!("; the last one ended with {status}"),
        _ => String::new(),
    }
}
