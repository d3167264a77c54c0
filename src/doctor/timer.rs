//! What starts runs, where systemd is at work.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::report::doctor::Check;

const TOPIC: &str = "timer";
const UNIT: &str = "qfm.timer";

/// Nothing, where systemd does not run or cannot be asked.
pub(super) fn checks() -> Vec<Check> {
    if !Path::new("/run/systemd/system").is_dir() {
        return Vec::new();
    }
    let mut command = Command::new("systemctl");
    command.args(["show", "--property=LoadState,ActiveState,UnitFileState", UNIT]).stdin(Stdio::null());
    let said = command.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    // What cannot be asked says nothing about runs.
    said.ok().and_then(|said| judge(&said)).into_iter().collect()
}

fn judge(said: &str) -> Option<Check> {
    let value = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let (loaded, active) = (value("LoadState")?, value("ActiveState")?);
    let enabled = value("UnitFileState").unwrap_or_default();
    Some(match (loaded, active, enabled) {
        ("not-found", ..) => Check::ok(TOPIC, UNIT, "not installed: runs are started otherwise, by cron or triggers"),
        (_, "active", "enabled") => Check::ok(TOPIC, UNIT, "active, and enabled for the next start"),
        (_, "active", _) => {
            Check::warn(TOPIC, UNIT, "active, but not after the next start", "systemctl enable qfm.timer")
        }
        _ => Check::warn(TOPIC, UNIT, format!("{active}: it starts no runs"), "systemctl enable --now qfm.timer"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::doctor::Verdict;

    #[test]
    fn a_timer_that_is_there_should_run() {
        let verdict = |said: &str| judge(said).map(|check| check.verdict);
        let state = |active, enabled| format!("LoadState=loaded\nActiveState={active}\nUnitFileState={enabled}\n");
        assert_eq!(verdict(&state("active", "enabled")), Some(Verdict::Ok));
        assert_eq!(verdict(&state("active", "disabled")), Some(Verdict::Warn));
        assert_eq!(verdict(&state("inactive", "enabled")), Some(Verdict::Warn));
        assert_eq!(verdict("LoadState=not-found\nActiveState=inactive\nUnitFileState=\n"), Some(Verdict::Ok));
        assert_eq!(verdict("Failed to connect to bus\n"), None);
    }
}
