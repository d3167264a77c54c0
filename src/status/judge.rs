//! Whether somebody should look at a mirror.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::words::{age, rough};
use super::{Module, Overview};
use crate::exit::{Health, Status};
use crate::plan::words::{count, span};

/// How old a module may be: the time since the last run ended that brought it in step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Above this somebody should look.
    pub warning: Option<Duration>,
    /// Above this somebody must.
    pub critical: Option<Duration>,
}

/// What is to be said of a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The most serious of what follows.
    pub health: Health,
    /// What speaks against it, the most serious first.
    pub findings: Vec<Finding>,
}

/// Something that speaks against a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How serious it is.
    pub health: Health,
    /// Whether it is about one module.
    pub of_module: bool,
    /// What it is, in words that name the module.
    pub what: String,
}

/// Holds a mirror against limits.
pub fn judge(overview: &Overview, limits: &Limits) -> Judgement {
    let of_all = |health, what| Finding { health, of_module: false, what };
    let mut findings: Vec<Finding> =
        overview.unreadable.iter().map(|what| of_all(Health::Unknown, what.clone())).collect();
    if findings.is_empty() && overview.first_run.is_none() {
        findings.push(of_all(Health::Unknown, "no run yet".to_owned()));
    }
    for module in &overview.modules {
        findings.extend(too_old(module, overview, limits));
    }
    if let Some(run) = overview.last().filter(|run| run.is_failed()) {
        let sentence = run.end().map_or("It ended with a code of another version.", |end| end.sentence());
        findings.push(of_all(Health::Warning, format!("the last run failed ({}): {sentence}", run.code)));
    }
    if let Some(run) = overview.last().filter(|run| run.end() == Some(Status::Notify)) {
        let why = run.errors.first().map_or(Status::Notify.sentence(), |error| error);
        findings.push(of_all(Health::Warning, format!("the last run could not tell all ({}): {why}", run.code)));
    }
    for module in &overview.modules {
        if let Some(held) = &module.held {
            let (name, entries) = (&module.module, count(held.entries, "entry", "entries"));
            let what = format!("deletions of {name} are held ({entries})");
            findings.push(Finding { health: Health::Warning, of_module: true, what });
        }
    }
    // What is equally serious stays in its order.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.health));
    Judgement { health: findings.first().map_or(Health::Ok, |finding| finding.health), findings }
}

/// What counts for the age of a module: the last run that brought it in step, or else the first that there was.
pub fn since(module: &Module, overview: &Overview) -> Option<DateTime<Utc>> {
    module.in_step.or(overview.first_run)
}

fn too_old(module: &Module, overview: &Overview, limits: &Limits) -> Option<Finding> {
    let age = age(overview.time, since(module, overview)?);
    let exceeded = |limit: Option<Duration>| limit.filter(|limit| age > *limit);
    let (health, limit) = match (exceeded(limits.critical), exceeded(limits.warning)) {
        (Some(limit), _) => (Health::Critical, limit),
        (None, Some(limit)) => (Health::Warning, limit),
        (None, None) => return None,
    };
    let (name, age, limit) = (&module.module, rough(age), span(limit));
    let what = match module.in_step {
        Some(_) => format!("{name} {age} old (limit {limit})"),
        None => format!("{name} never in step since the first run {age} ago (limit {limit})"),
    };
    Some(Finding { health, of_module: true, what })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, overview, run};
    use super::*;

    const HOUR: u64 = 3600;

    fn limits(warning: u64, critical: u64) -> Limits {
        let hours = |hours| Some(Duration::from_secs(hours * HOUR));
        Limits { warning: hours(warning), critical: hours(critical) }
    }

    #[test]
    fn what_is_older_than_a_limit_is_told_and_what_is_as_old_is_not() {
        let mut mirror = overview();
        mirror.modules[0].in_step = DateTime::from_timestamp(NOW - 7 * HOUR as i64, 0);
        for (warning, critical, health) in
            [(7, 7, Health::Ok), (6, 7, Health::Warning), (6, 6, Health::Critical), (8, 6, Health::Critical)]
        {
            let found = judge(&mirror, &limits(warning, critical));
            assert_eq!(found.health, health, "{found:?}");
        }
        assert_eq!(judge(&mirror, &limits(6, 24)).findings[0].what, "fedora-enchilada 7h old (limit 6h)");
        assert_eq!(judge(&mirror, &Limits::default()).health, Health::Ok);
    }

    #[test]
    fn a_mirror_that_never_was_in_step_is_as_old_as_its_first_run() {
        let mut mirror = overview();
        mirror.modules[0].in_step = None;
        mirror.first_run = DateTime::from_timestamp(NOW - 7 * HOUR as i64, 0);
        let found = judge(&mirror, &limits(6, 24));
        assert_eq!(found.findings[0].what, "fedora-enchilada never in step since the first run 7h ago (limit 6h)");
        mirror.first_run = None;
        let found = judge(&mirror, &limits(6, 24));
        assert_eq!((found.health, found.findings[0].what.as_str()), (Health::Unknown, "no run yet"));
    }

    #[test]
    fn the_last_run_counts_and_who_ended_it_knows_that() {
        let mut mirror = overview();
        for status in Status::ALL {
            mirror.runs = vec![run(Status::Local, 20), run(status, 10)];
            let warns = ![0, 7, 130, 143].contains(&status.code());
            let expected = if warns { Health::Warning } else { Health::Ok };
            assert_eq!(judge(&mirror, &Limits::default()).health, expected, "{status:?}");
        }
    }

    #[test]
    fn the_most_serious_comes_first() {
        let mut mirror = overview();
        mirror.modules[1].in_step = DateTime::from_timestamp(NOW - 30 * HOUR as i64, 0);
        mirror.modules[0].held = Some(super::super::tests::held(233));
        mirror.unreadable = vec!["cannot read this".to_owned()];
        let found = judge(&mirror, &limits(6, 24));
        let said: Vec<&str> = found.findings.iter().map(|finding| finding.what.as_str()).collect();
        let held = "deletions of fedora-enchilada are held (233 entries)";
        assert_eq!(said, ["fedora-epel 1d 6h old (limit 1d)", held, "cannot read this"]);
        assert_eq!(found.health, Health::Critical);
    }
}
