//! What `qfm doctor` found: lines for people, and an object for programs.

use std::path::Path;

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

use super::name_config;
use crate::exit::Status;
use crate::path::escape;
use crate::plan::explain::JSON_VERSION;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What it is about, in one word: `upstream`, `space`, …
    pub topic: &'static str,
    /// Which of several: a path, a module; empty where there is one.
    pub subject: String,
    /// What it means for a run.
    pub verdict: Verdict,
    /// What was seen.
    pub found: String,
    /// What to do; empty where there is nothing to do.
    pub advice: String,
}

/// What was seen means for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Ok,
    /// It works, and not as well or as safely as it could.
    Warn,
    /// It would end with this.
    Fail(Status),
    /// It was not looked at, because something before it failed.
    Skipped,
}

impl Verdict {
    /// The word in JSON; people read it in capitals.
    pub const fn word(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail(_) => "fail",
            Verdict::Skipped => "skip",
        }
    }

    fn style(self) -> Style {
        match self {
            Verdict::Ok => AnsiColor::Green.on_default(),
            Verdict::Warn => AnsiColor::Yellow.on_default().bold(),
            Verdict::Fail(_) => AnsiColor::Red.on_default().bold(),
            Verdict::Skipped => Style::new().dimmed(),
        }
    }
}

impl Check {
    /// All is well.
    pub fn ok(topic: &'static str, subject: impl ToString, found: impl ToString) -> Check {
        let (subject, found) = (subject.to_string(), found.to_string());
        Check { topic, subject, verdict: Verdict::Ok, found, advice: String::new() }
    }

    /// A run works, and something should be done.
    pub fn warn(topic: &'static str, subject: impl ToString, found: impl ToString, advice: impl ToString) -> Check {
        Check { verdict: Verdict::Warn, advice: advice.to_string(), ..Check::ok(topic, subject, found) }
    }

    /// The same of something that runs can do without.
    #[must_use]
    pub fn at_most_warn(self) -> Check {
        let verdict = if let Verdict::Fail(_) = self.verdict { Verdict::Warn } else { self.verdict };
        Check { verdict, ..self }
    }

    /// A run would end with this status.
    pub fn fail(
        topic: &'static str,
        subject: impl ToString,
        status: Status,
        found: impl ToString,
        advice: impl ToString,
    ) -> Check {
        Check { verdict: Verdict::Fail(status), ..Check::warn(topic, subject, found, advice) }
    }

    /// It was not looked at.
    pub fn skipped(topic: &'static str, subject: impl ToString, why: impl ToString) -> Check {
        Check { verdict: Verdict::Skipped, ..Check::ok(topic, subject, why) }
    }

    /// The same, with the configuration file in the calls that help, if there is one to be named.
    #[must_use]
    pub fn naming(self, config: Option<&Path>) -> Check {
        Check { advice: name_config(&self.advice, config), ..self }
    }

    /// Whether there is something to do about it.
    pub fn is_wrong(&self) -> bool {
        matches!(self.verdict, Verdict::Warn | Verdict::Fail(_))
    }

    /// A line, and one below it with what to do. With colours, which whoever prints it takes out where nobody sees them.
    pub fn lines(&self) -> String {
        let Check { topic, subject, verdict, found, advice } = self;
        let style = verdict.style();
        let word = verdict.word().to_uppercase();
        let colon = if subject.is_empty() { "" } else { ": " };
        let said = escape(format!("{subject}{colon}{found}").as_bytes());
        let mut lines = format!("{style}{word:<4}{style:#}  {topic:<13}  {said}\n");
        if !advice.is_empty() {
            lines.push_str(&format!("{:21}-> {}\n", "", escape(advice.as_bytes())));
        }
        lines
    }
}

/// What a run would end with, as far as it can be known: the most serious failure.
pub fn status(checks: &[Check]) -> Status {
    let failed = checks.iter().filter_map(|check| match check.verdict {
        Verdict::Fail(status) => Some(status),
        _ => None,
    });
    failed.fold(Status::Done, Status::worse)
}

/// How many of which verdict, in a line.
pub fn summary(checks: &[Check]) -> String {
    let count = |word: &str| checks.iter().filter(|check| check.verdict.word() == word).count();
    let parts = [("fail", "failed"), ("warn", "to look at"), ("ok", "well"), ("skip", "skipped")];
    let parts = parts.map(|(word, said)| (count(word), said));
    let parts: Vec<String> =
        parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, said)| format!("{count} {said}")).collect();
    match status(checks) {
        Status::Done => format!("{}.\n", parts.join(", ")),
        status => format!("{}. A run would end with {} ({}).\n", parts.join(", "), status.code(), status.word()),
    }
}

/// The same as one JSON object.
pub fn json(checks: &[Check], status: Status) -> Value {
    let check = |check: &Check| {
        json!({
            "topic": check.topic,
            "subject": check.subject,
            "verdict": check.verdict.word(),
            "found": check.found,
            "advice": check.advice,
        })
    };
    json!({
        "version": JSON_VERSION,
        "kind": "doctor",
        "status": status.word(),
        "code": status.code(),
        "checks": checks.iter().map(check).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> [Check; 4] {
        [
            Check::ok("rsync", "", "3.5.0"),
            Check::warn("list", "fedora-epel", "old", "ask upstream"),
            Check::fail("space", "/srv", Status::Space, "full", "make room"),
            Check::skipped("clock", "", "no root"),
        ]
    }

    #[test]
    fn the_most_serious_failure_decides_and_warnings_do_not() {
        let checks = some();
        assert_eq!(status(&checks[..2]), Status::Done);
        assert_eq!(status(&checks), Status::Space);
        let local = Check::fail("root", "", Status::Local, "not there", "mount it");
        assert_eq!(status(&[&checks[..], &[local]].concat()), Status::Local);
        assert_eq!(summary(&checks), "1 failed, 1 to look at, 1 well, 1 skipped. A run would end with 9 (space).\n");
        assert_eq!(summary(&checks[..1]), "1 well.\n");
    }

    #[test]
    fn lines_are_aligned_and_nothing_that_was_seen_moves_the_cursor() {
        let plain = |check: &Check| anstream::adapter::strip_str(&check.lines()).to_string();
        let lines = some().map(|check| plain(&check)).concat();
        let expected = "\
            OK    rsync          3.5.0\n\
            WARN  list           fedora-epel: old\n                     -> ask upstream\n\
            FAIL  space          /srv: full\n                     -> make room\n\
            SKIP  clock          no root\n";
        assert_eq!(lines, expected);
        let hostile = Check::ok("upstream", "", "\x1b]0;title\x07");
        assert!(!plain(&hostile).contains('\x07'));
        assert!(!hostile.lines().contains("\x1b]"));
    }
}
