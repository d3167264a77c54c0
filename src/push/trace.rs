//! The text of a trace file, as Debian's mirrors leave it: by it others see how fresh a mirror is.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

/// What a trace tells.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'f> {
    /// When the run ended.
    pub finished: DateTime<Utc>,
    /// When it began.
    pub started: DateTime<Utc>,
    /// The serial of what is mirrored, if upstream's own trace has one.
    pub serial: Option<&'f str>,
    /// What the mirror is called.
    pub host: &'f str,
    /// Who looks after it.
    pub maintainer: Option<&'f str>,
    /// The host that it mirrors from; nothing for a directory.
    pub upstream: Option<&'f str>,
    /// Bytes that came over the wire.
    pub received: u64,
    /// How long rsync worked for it, seconds.
    pub in_rsync: u64,
    /// What started the run.
    pub trigger: Option<&'f str>,
}

/// The text of a trace.
pub fn text(facts: &Facts<'_>) -> String {
    // As `date -u` has it in the POSIX locale: those who look at the first line alone take it so.
    let mut text = format!("{}\n", facts.finished.format("%a %b %e %H:%M:%S UTC %Y"));
    let mut field = |key: &str, value: &str| {
        // A line feed would make another field of what follows.
        let value = value.replace(char::is_control, " ");
        writeln!(text, "{key}: {value}").expect("a text takes all");
    };
    let date = |time: DateTime<Utc>| time.format("%a, %d %b %Y %H:%M:%S +0000").to_string();
    field("Date", &date(facts.finished));
    field("Date-Started", &date(facts.started));
    if let Some(serial) = facts.serial {
        field("Archive serial", serial);
    }
    field("Creator", concat!("qfm ", env!("CARGO_PKG_VERSION")));
    field("Running on host", facts.host);
    if let Some(maintainer) = facts.maintainer {
        field("Maintainer", maintainer);
    }
    if let Some(trigger) = facts.trigger {
        field("Trigger", trigger);
    }
    if let Some(upstream) = facts.upstream {
        field("Upstream-mirror", upstream);
    }
    field("Total bytes received in rsync", &facts.received.to_string());
    field("Total time spent in rsync", &facts.in_rsync.to_string());
    if let Some(rate) = facts.received.checked_div(facts.in_rsync) {
        field("Average rate", &format!("{rate} B/s"));
    }
    text
}

/// The serial that a trace has, if it has one.
pub fn serial(trace: &str) -> Option<&str> {
    trace.lines().find_map(|line| line.strip_prefix("Archive serial: ")).map(str::trim).filter(|it| !it.is_empty())
}

/// How the mark begins that a run is under way.
const UNDER_WAY: &str = "qfm is at work here since ";

/// The text of the mark that a run is under way since `started`.
pub fn under_way(started: DateTime<Utc>, host: &str) -> String {
    format!("{UNDER_WAY}{}, on {host}\n", started.format("%a %b %e %H:%M:%S UTC %Y"))
}

/// Whether a text is such a mark, and no other program's.
pub fn is_under_way(text: &[u8]) -> bool {
    text.starts_with(UNDER_WAY.as_bytes())
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;
    use proptest::prelude::*;

    use super::*;

    fn facts() -> Facts<'static> {
        Facts {
            finished: Utc.with_ymd_and_hms(2026, 11, 3, 12, 5, 9).unwrap(),
            started: Utc.with_ymd_and_hms(2026, 11, 3, 11, 59, 0).unwrap(),
            serial: Some("2026110301"),
            host: "mirror.example.org",
            maintainer: Some("Admins <admin@example.org>"),
            upstream: Some("upstream.example.org"),
            received: 1000,
            in_rsync: 4,
            trigger: Some("ssh"),
        }
    }

    #[test]
    fn a_trace_has_the_fields_of_debian() {
        let expected = concat!(
            "Tue Nov  3 12:05:09 UTC 2026\n",
            "Date: Tue, 03 Nov 2026 12:05:09 +0000\n",
            "Date-Started: Tue, 03 Nov 2026 11:59:00 +0000\n",
            "Archive serial: 2026110301\n",
            "Creator: qfm ",
            env!("CARGO_PKG_VERSION"),
            "\n",
            "Running on host: mirror.example.org\n",
            "Maintainer: Admins <admin@example.org>\n",
            "Trigger: ssh\n",
            "Upstream-mirror: upstream.example.org\n",
            "Total bytes received in rsync: 1000\n",
            "Total time spent in rsync: 4\n",
            "Average rate: 250 B/s\n",
        );
        assert_eq!(text(&facts()), expected);
        assert_eq!(serial(expected), Some("2026110301"));
        let least = Facts { serial: None, maintainer: None, upstream: None, trigger: None, in_rsync: 0, ..facts() };
        assert_eq!(text(&least).lines().count(), 7);
        assert_eq!(serial(&text(&least)), None);
        assert!(is_under_way(under_way(facts().started, "h").as_bytes()) && !is_under_way(b"ftpsync"));
    }

    proptest! {
        #[test]
        fn no_value_makes_a_field_of_its_own(value in any::<String>()) {
            let told = text(&Facts { maintainer: Some(&value), serial: Some(&value), ..facts() });
            prop_assert_eq!(told.lines().count(), text(&facts()).lines().count());
        }
    }
}
