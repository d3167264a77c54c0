//! Whether there is room for what the lists say and is not here, roughly: a dry run knows it exactly.

use super::Mirror;
use crate::exit::Status;
use crate::plan::Amount;
use crate::plan::size::Weight;
use crate::plan::space::{FileSystem, Free, with_margin};
use crate::plan::words::{bytes, count};
use crate::report::doctor::Check;
use crate::state::Applied;
use crate::sync::Weighed;
use crate::tree::Root;
use crate::tree::space::file_systems;
use crate::tree::walk::is_empty;

const TOPIC: &str = "space";

/// `weighed` is what the modules weigh, as far as that is known.
pub(super) fn checks(mirror: &Mirror, weighed: &[Option<Weighed>]) -> Vec<Check> {
    let found = match file_systems(&mirror.root, &mirror.config.directories()) {
        Ok(found) => found,
        Err(error) => {
            let error = format!("{:#}", anyhow::Error::new(error));
            return vec![Check::fail(TOPIC, "", Status::Local, error, "space.check = false begins without knowing it")];
        }
    };
    let of_module = |module: &usize| {
        let carried = weighed.get(*module)?.as_ref()?.sizes.total.carried;
        let module = &mirror.config.modules[*module];
        let list = mirror.state.list(&module.directory, &module.list);
        let applied = Applied::read(&mirror.state, &module.directory, &list).ok().flatten();
        let is_new = Root::open(&mirror.root.join(&module.directory))
            .is_ok_and(|root| is_empty(&root, |_| false).unwrap_or(false));
        let is_known = applied.is_some() || is_new || !mirror.root.join(&module.directory).exists();
        Some((missing(carried, applied.map(|applied| applied.carried)), is_known))
    };
    let check = |file_system: &FileSystem| {
        let needs: Vec<(Amount, bool)> = file_system.modules.iter().filter_map(of_module).collect();
        let need = needs.iter().fold(Amount::default(), |sum, (need, _)| sum.and(*need));
        let is_known = needs.iter().all(|(_, is_known)| *is_known);
        judge(&file_system.path, need, file_system.free, &mirror.config.space, is_known)
    };
    found.iter().map(check).collect()
}

/// What a module's list carries and is not here, when so much is.
fn missing(carried: Weight, here: Option<Amount>) -> Amount {
    let here = here.unwrap_or_default();
    Amount {
        entries: carried.entries.saturating_sub(here.entries),
        // Of what is here each name was counted, so the difference of the two may be less than one file.
        bytes: carried.bytes_once.min(carried.bytes.saturating_sub(here.bytes)),
    }
}

/// `is_known` is whether nothing is here but what a run put there.
fn judge(path: &str, need: Amount, free: Free, settings: &crate::config::Space, is_known: bool) -> Check {
    let of = |number: Option<u64>, shown: fn(u64) -> String| number.map_or_else(|| "no limit of".to_owned(), shown);
    let inodes = if free.entries.is_some_and(|free| need.entries > free / 2) {
        format!(
            "; {} to come, {} inodes free",
            count(need.entries, "entry", "entries"),
            of(free.entries, |number| number.to_string())
        )
    } else {
        String::new()
    };
    let to_come = match (need.bytes, is_known) {
        (0, _) => "no bytes".to_owned(),
        (some, true) => format!("about {}", bytes(some)),
        (some, false) => format!("at most {}", bytes(some)),
    };
    let found = format!("{to_come} to come, {} free{inodes}", of(free.bytes, bytes));
    let advice = "see exactly what comes: qfm --dry-run; and what each part takes, with the word that leaves it out (filter.exclude): qfm size";
    if !settings.check || free.holds(with_margin(need, settings.margin)) {
        Check::ok(TOPIC, path, found)
    } else if is_known && !free.holds(need) {
        Check::fail(TOPIC, path, Status::Space, format!("{found}: it does not fit"), advice)
    } else {
        Check::warn(TOPIC, path, format!("{found}: it may not fit"), advice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Space;
    use crate::report::doctor::Verdict;

    #[test]
    fn what_is_here_is_not_to_come() {
        let carried = Weight { entries: 10, bytes: 100, bytes_once: 70 };
        assert_eq!(missing(carried, None), Amount { entries: 10, bytes: 70 });
        assert_eq!(missing(carried, Some(Amount { entries: 8, bytes: 90 })), Amount { entries: 2, bytes: 10 });
        assert_eq!(missing(carried, Some(Amount { entries: 11, bytes: 120 })), Amount::default());
    }

    #[test]
    fn only_what_surely_does_not_fit_fails() {
        let judge = |bytes, is_known, check| {
            let free = Free { entries: Some(5), bytes: Some(100) };
            judge("/srv", Amount { entries: 5, bytes }, free, &Space { check, margin: 0 }, is_known).verdict
        };
        assert_eq!(judge(100, true, true), Verdict::Ok);
        assert_eq!(judge(101, true, true), Verdict::Fail(Status::Space));
        assert_eq!(judge(101, false, true), Verdict::Warn);
        assert_eq!(judge(101, true, false), Verdict::Ok);
        let inodes = Amount { entries: 6, bytes: 1 };
        let free = Free { entries: Some(5), bytes: None };
        let check = super::judge("/srv", inodes, free, &Space { check: true, margin: 5 }, true);
        assert_eq!(check.verdict, Verdict::Fail(Status::Space));
        assert!(check.found.contains("5 inodes free"), "{}", check.found);
    }
}
