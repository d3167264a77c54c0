//! What upstream keeps from the public: whether others can read it here.

use std::time::{Duration, Instant};

use super::{LOOK, Mirror};
use crate::config::Module;
use crate::exit::Status;
use crate::list::Sections;
use crate::list::listing::rows_in;
use crate::list::row::Mark;
use crate::plan::openings::Openings;
use crate::plan::words::count;
use crate::report::doctor::Check;
use crate::state::{Map, openings};
use crate::tree::Root;
use crate::tree::close::{Open, open_for_others};

const TOPIC: &str = "restricted";

/// As much is looked at as this time is enough for.
const ENOUGH: Duration = LOOK.checked_div(2).expect("not by nothing");

pub(super) fn checks(mirror: &Mirror) -> Vec<Check> {
    let until = Instant::now() + ENOUGH;
    let mut checks = Vec::new();
    let openings = openings::read(&mirror.state).unwrap_or_else(|error| {
        let error = format!("{:#}", anyhow::Error::new(error));
        checks.push(Check::warn(
            TOPIC,
            "opened",
            error,
            "runs close what was opened before: open it anew with qfm bitflip",
        ));
        Openings::default()
    });
    let of_module = |module: &Module| of_module(mirror, module, &openings.below(&module.directory), until);
    checks.extend(mirror.config.modules.iter().filter_map(of_module));
    checks
}

/// What is restricted of a module, as far as it was looked at.
#[derive(Default)]
struct Seen {
    /// Entries that the list keeps from others.
    restricted: u64,
    /// Of these, those that an admin opened.
    opened: u64,
    /// Those that others can read all the same.
    readable: u64,
    /// One of those.
    first: Option<String>,
    /// Whether all were looked at.
    is_all: bool,
}

/// Nothing, if there is no saved list that can be used, or it has nothing restricted: both are said elsewhere.
fn of_module(mirror: &Mirror, module: &Module, openings: &Openings, until: Instant) -> Option<Check> {
    let map = Map::open(&mirror.state.list(&module.directory, &module.list)).ok()?;
    let sections = Sections::outline(&map).ok()?;
    let root = Root::open(&mirror.root.join(&module.directory)).ok()?;
    let mut seen = Seen { is_all: true, ..Seen::default() };
    // What is below a directory that is closed has a mode for everybody upstream, too.
    for row in rows_in(&map, sections.files.clone()).filter(|row| row.mark == Mark::Restricted) {
        if Instant::now() >= until {
            seen.is_all = false;
            break;
        }
        let path = row.path(&map);
        seen.restricted += 1;
        if openings.cover(path, row.time) {
            seen.opened += 1;
            continue;
        }
        let is_readable = match open_for_others(&root, path) {
            Ok(Some(Open::Alone)) => true,
            // It may be another name of what was opened.
            Ok(Some(Open::Linked { .. })) => openings.is_empty(),
            // What cannot be looked at is not open to others through this.
            Ok(None) | Err(_) => false,
        };
        if is_readable {
            seen.readable += 1;
            seen.first.get_or_insert_with(|| path.to_string());
        }
    }
    (seen.restricted > 0).then(|| judge(&module.name, &seen))
}

fn judge(module: &str, seen: &Seen) -> Check {
    let kept = seen.restricted - seen.opened;
    let of = if seen.is_all { count(kept, "entry", "entries") } else { format!("the first {kept} entries") };
    let opened = if seen.opened > 0 {
        format!("; {} open by qfm bitflip", count(seen.opened, "more is", "more are"))
    } else {
        String::new()
    };
    match &seen.first {
        None => Check::ok(TOPIC, module, format!("others can read none of {of} that the list keeps from them{opened}")),
        Some(first) => {
            let readable = seen.readable;
            let found =
                format!("others can read {readable} of {of} that the list keeps from them, such as {first}{opened}");
            Check::fail(TOPIC, module, Status::Partial, found, format!("close them: qfm --full {module}"))
        }
    }
}
