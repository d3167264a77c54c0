//! What upstream keeps from the public: whether others can read it here.

use std::time::{Duration, Instant};

use super::{LOOK, Mirror};
use crate::config::Module;
use crate::exit::Status;
use crate::list::Sections;
use crate::list::listing::rows_in;
use crate::list::row::Mark;
use crate::plan::words::count;
use crate::report::doctor::Check;
use crate::state::Map;
use crate::tree::Root;
use crate::tree::close::open_for_others;

const TOPIC: &str = "restricted";

/// What is looked at within this time must be enough.
const ENOUGH: Duration = LOOK.checked_div(2).expect("not by nothing");

pub(super) fn checks(mirror: &Mirror) -> Vec<Check> {
    let until = Instant::now() + ENOUGH;
    mirror.config.modules.iter().filter_map(|module| of_module(mirror, module, until)).collect()
}

/// Nothing, if there is no saved list that can be used, or it has nothing restricted: both are said elsewhere.
fn of_module(mirror: &Mirror, module: &Module, until: Instant) -> Option<Check> {
    let map = Map::open(&mirror.state.list(&module.directory, &module.list)).ok()?;
    let sections = Sections::outline(&map).ok()?;
    let root = Root::open(&mirror.root.join(&module.directory)).ok()?;
    let (mut seen, mut open, mut first) = (0, 0, None);
    // What is below a directory that is closed has a mode for everybody upstream, too.
    let mut rows = rows_in(&map, sections.files.clone()).filter(|row| row.mark == Mark::Restricted);
    let is_all = loop {
        let Some(row) = rows.next() else { break true };
        let path = row.path(&map);
        seen += 1;
        // What cannot be looked at is not open to others through this.
        if open_for_others(&root, path).is_ok_and(|open| open.is_some()) {
            open += 1;
            first.get_or_insert_with(|| path.to_string());
        }
        if Instant::now() >= until {
            break false;
        }
    };
    let of = if is_all { count(seen, "entry", "entries") } else { format!("the first {seen} entries") };
    match first {
        _ if seen == 0 => None,
        None => {
            Some(Check::ok(TOPIC, &module.name, format!("others can read none of {of} that the list keeps from them")))
        }
        Some(first) => {
            let found = format!("others can read {open} of {of} that the list keeps from them, such as {first}");
            let advice = format!("close them: qfm --full {}", module.name);
            Some(Check::fail(TOPIC, &module.name, Status::Partial, found, advice))
        }
    }
}
