//! The one line that monitoring reads, by the [guidelines for plugins](https://www.monitoring-plugins.org/doc/guidelines.html).
//!
//! ```text
//! QFM <word> - <what> | '<label>'=<value>s;<warning>;<critical>;<min> …
//! ```
//!
//! Labels and values do not depend on how well the mirror is: who draws them needs each of them each time. A value that is not known
//! is `U`.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Overview;
use super::judge::{Judgement, Limits, since};
use super::words::{age, rough};
use crate::exit::Health;

/// The line of a mirror, with its end.
pub fn line(overview: &Overview, judgement: &Judgement, limits: &Limits) -> String {
    let said: Vec<String> = match judgement.health {
        Health::Ok => overview
            .modules
            .iter()
            .filter_map(|module| {
                Some(format!("{} {} old", module.directory, rough(age(overview.time, module.in_step?))))
            })
            .collect(),
        _ => judgement.findings.iter().map(|finding| finding.what.clone()).collect(),
    };
    format!("{} | {}\n", head(judgement.health, &said.join(", ")), values(overview, limits).join(" "))
}

/// The line where nothing can be told of a mirror, with its end.
pub fn unknown(why: &str) -> String {
    format!("{}\n", head(Health::Unknown, why))
}

fn head(health: Health, said: &str) -> String {
    // A bar would begin the values, and what follows a line feed is not shown.
    let said = said.replace('|', "/").replace(['\n', '\r'], " ");
    format!("QFM {} - {}", health.word(), if said.is_empty() { "no module is in step yet" } else { said.as_str() })
}

fn values(overview: &Overview, limits: &Limits) -> Vec<String> {
    let seconds = |limit: Option<Duration>| limit.map(|limit| limit.as_secs().to_string()).unwrap_or_default();
    let since_when = |then: Option<DateTime<Utc>>| match then {
        Some(then) => format!("{}s", age(overview.time, then).as_secs()),
        None => "U".to_owned(),
    };
    let (warning, critical) = (seconds(limits.warning), seconds(limits.critical));
    let mut values = Vec::new();
    for module in &overview.modules {
        let is_known = overview.unreadable.is_empty();
        let age = since_when(since(module, overview).filter(|_| is_known || module.in_step.is_some()));
        values.push(format!("{}={age};{warning};{critical};0", label(&module.directory, "age")));
        values.push(format!("{}={};;;0", label(&module.directory, "list_age"), since_when(module.list)));
        let held = module.held.as_ref().map_or(0, |held| held.entries);
        values.push(format!("{}={held};;;0", label(&module.directory, "held")));
    }
    values
}

/// A label: quotes are doubled in it, and it has no equals sign.
fn label(directory: &str, what: &str) -> String {
    format!("'{}_{what}'", directory.replace('=', "_").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::super::judge::judge;
    use super::super::tests::{NOW, held, overview};
    use super::*;

    fn said(overview: &Overview, limits: &Limits) -> String {
        line(overview, &judge(overview, limits), limits)
    }

    #[test]
    fn the_line_has_the_form_that_monitoring_reads() {
        let limits = Limits { warning: Some(Duration::from_secs(21_600)), critical: Some(Duration::from_secs(86_400)) };
        let mut mirror = overview();
        assert_eq!(
            said(&mirror, &limits),
            "QFM OK - fedora 12m old, epel 12m old | 'fedora_age'=720s;21600;86400;0 'fedora_list_age'=10800s;;;0 \
             'fedora_held'=0;;;0 'epel_age'=720s;21600;86400;0 'epel_list_age'=U;;;0 'epel_held'=0;;;0\n"
        );
        mirror.modules.truncate(1);
        mirror.modules[0].directory = "it's=1".to_owned();
        mirror.modules[0].held = Some(held(3));
        mirror.modules[0].in_step = DateTime::from_timestamp(NOW - 90_000, 0);
        mirror.unreadable = vec!["a|b\nc".to_owned()];
        assert_eq!(
            said(&mirror, &Limits { critical: None, ..limits }),
            "QFM WARNING - fedora-enchilada 1d 1h old (limit 6h), deletions of fedora-enchilada are held (3 entries), a/b c | \
             'it''s_1_age'=90000s;21600;;0 'it''s_1_list_age'=10800s;;;0 'it''s_1_held'=3;;;0\n"
        );
        assert_eq!(unknown("no|file"), "QFM UNKNOWN - no/file\n");
    }
}
