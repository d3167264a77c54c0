//! The clock of this machine, against that of the file system, of upstream, and of the last run.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};

use super::Mirror;
use super::probe::probe;
use crate::plan::words::span;
use crate::report::doctor::Check;
use crate::state::runs;

const TOPIC: &str = "clock";

/// Clocks that differ by more than this are told of: a second is counted as two elsewhere, and lists are dated by others.
const OF_FILE_SYSTEM: Duration = Duration::from_secs(2);
const OF_OTHERS: Duration = Duration::from_secs(300);

/// `dated` is when upstream wrote its lists, as it says.
pub(super) fn checks(mirror: &Mirror, dated: &[SystemTime]) -> Vec<Check> {
    let now = SystemTime::now();
    // What cannot be written to was told of.
    let ahead = probe(&mirror.root).ok().flatten().map(|probe| probe.ahead);
    // Records that cannot be read tell nothing.
    let records = runs::read(&mirror.state).unwrap_or_default();
    let last = records.last().and_then(|record| DateTime::parse_from_rfc3339(record["started"].as_str()?).ok());
    let mut wrong: Vec<Check> = ahead.and_then(judge_file_system).into_iter().collect();
    wrong.extend(dated.iter().max().and_then(|dated| judge_ahead("upstream's newest list", *dated, now)));
    wrong.extend(last.and_then(|last| judge_ahead("the last run here", last.with_timezone(&Utc).into(), now)));
    if wrong.is_empty() {
        let date = DateTime::<Utc>::from(now).format("%Y-%m-%d %H:%M:%S UTC");
        wrong.push(Check::ok(TOPIC, "", format!("{date}, and nothing that contradicts it")));
    }
    wrong
}

fn judge_file_system(ahead: i64) -> Option<Check> {
    let apart = Duration::from_nanos(ahead.unsigned_abs());
    (apart > OF_FILE_SYSTEM).then(|| {
        let (by, which) = (span(Duration::from_secs(apart.as_secs())), if ahead > 0 { "ahead of" } else { "behind" });
        let found = format!("that of the mirror's file system is {by} {which} the one here");
        Check::warn(
            TOPIC,
            "file system",
            found,
            "let NTP set both this machine and the file server (`timedatectl`, `chronyc tracking`)",
        )
    })
}

fn judge_ahead(what: &str, then: SystemTime, now: SystemTime) -> Option<Check> {
    let ahead = then.duration_since(now).ok().filter(|ahead| *ahead > OF_OTHERS)?;
    let found = format!("{what} is dated {} from now", span(Duration::from_secs(ahead.as_secs())));
    Some(Check::warn(
        TOPIC,
        "",
        found,
        "the clock here is wrong, or was, or theirs is: `timedatectl`, `chronyc tracking`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_differ_a_little() {
        const SECOND: i64 = 1_000_000_000;
        assert_eq!(judge_file_system(SECOND), None);
        assert!(judge_file_system(-3 * SECOND).unwrap().found.contains("3s behind"));
        assert!(judge_file_system(3600 * SECOND).unwrap().found.contains("1h ahead of"));
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(judge_ahead("x", now - Duration::from_secs(86_400), now), None);
        assert_eq!(judge_ahead("x", now + Duration::from_secs(60), now), None);
        assert!(judge_ahead("x", now + Duration::from_secs(7200), now).unwrap().found.contains("2h from now"));
    }
}
