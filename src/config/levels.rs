//! How much of each topic the log gets: `log_level`.

use std::str::FromStr;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

use super::error::Wrong;
use super::setting::nearest;

/// What a line of the log is about: the target of its event.
pub mod topic {
    /// Begin and end of a run, and what concerns all of it.
    pub const RUN: &str = "run";
    /// Upstream's lists.
    pub const LISTS: &str = "lists";
    /// The comparison with the local tree.
    pub const COMPARE: &str = "compare";
    /// What is to be done, and whether there is room for it.
    pub const PLAN: &str = "plan";
    /// What came, path by path.
    pub const TRANSFER: &str = "transfer";
    /// What went, path by path, and what may not.
    pub const DELETE: &str = "delete";
    /// Calls of rsync, and what became of them.
    pub const RSYNC: &str = "rsync";
    /// `qfm hardlink`.
    pub const HARDLINK: &str = "hardlink";
    /// What MirrorManager is told.
    pub const CHECKIN: &str = "checkin";
    /// What downstreams are told.
    pub const PUSH: &str = "push";
    /// Jobs, and what triggers them.
    pub const JOBS: &str = "jobs";
}

/// All of them, in the order of a run.
pub const TOPICS: [&str; 11] = [
    topic::RUN,
    topic::LISTS,
    topic::COMPARE,
    topic::PLAN,
    topic::TRANSFER,
    topic::DELETE,
    topic::RSYNC,
    topic::HARDLINK,
    topic::CHECKIN,
    topic::PUSH,
    topic::JOBS,
];

/// The levels, from nothing to everything.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Reads levels: one for all topics, or `topic=level`, with commas between them. Without one for all, the other topics have `info`.
///
/// # Errors
/// If a word is no level, or none of [`TOPICS`] stands before it. `tracing` itself would take a level that is misspelt for a target.
pub fn read(text: &str) -> Result<Targets, Wrong> {
    let mut targets = Targets::new().with_default(LevelFilter::INFO);
    for part in text.split(',').map(str::trim) {
        targets = match part.split_once('=') {
            None => targets.with_default(level(part)?),
            Some((topic, of_topic)) => targets.with_target(known(topic.trim())?, level(of_topic.trim())?),
        };
    }
    Ok(targets)
}

/// What standard error is told at a verbosity: -1 only what is wrong, 0 also what was done, 1 each path too.
pub fn of_verbosity(verbosity: i8) -> Targets {
    Targets::new().with_default(match verbosity {
        ..=-1 => LevelFilter::WARN,
        0 => LevelFilter::INFO,
        1.. => LevelFilter::DEBUG,
    })
}

fn level(word: &str) -> Result<LevelFilter, Wrong> {
    // That takes numbers and nothing at all too.
    let level = LevelFilter::from_str(word).ok().filter(|_| LEVELS.contains(&word));
    level.ok_or_else(|| unknown(word, "level", &LEVELS))
}

fn known(topic: &str) -> Result<&str, Wrong> {
    if TOPICS.contains(&topic) { Ok(topic) } else { Err(unknown(topic, "topic", &TOPICS)) }
}

fn unknown(word: &str, what: &str, words: &[&str]) -> Wrong {
    let meant = nearest(word, words.iter().copied()).map(|word| format!("did you mean `{word}`? "));
    let hint = format!("{}a {what} is one of {}", meant.unwrap_or_default(), words.join(", "));
    Wrong::new(format!("`{word}` is no {what}"), hint)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn each_topic_has_its_level_and_the_others_have_that_of_all() {
        let targets = read("warn, rsync=debug,push=off").expect("levels");
        let enabled = |topic: &str, level| targets.would_enable(topic, &level);
        assert!(enabled("rsync", Level::DEBUG) && !enabled("rsync", Level::TRACE));
        assert!(enabled("lists", Level::WARN) && !enabled("lists", Level::INFO));
        assert!(!enabled("push", Level::ERROR));
        let targets = read("delete=trace").expect("levels");
        assert!(targets.would_enable("run", &Level::INFO) && !targets.would_enable("run", &Level::DEBUG));
    }

    #[test]
    fn a_slip_is_no_topic() {
        for text in ["", "inof", "3", "info,", "rsnyc=debug", "rsync=", "rsync=all", "=info", "INFO"] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn no_topic_begins_with_another() {
        // The longest target that an event's begins with has the say.
        for (at, topic) in TOPICS.iter().enumerate() {
            assert!(TOPICS.iter().enumerate().all(|(other, it)| at == other || !it.starts_with(topic)), "{topic}");
        }
    }
}
