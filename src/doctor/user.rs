//! Who runs this, and whether runs are another's.

use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::process::geteuid;

use super::Mirror;
use super::probe::{name_of, nearest};
use crate::report::doctor::Check;
use crate::state::for_sudo;

const TOPIC: &str = "user";

pub(super) fn checks(mirror: &Mirror) -> Vec<Check> {
    let me = geteuid().as_raw();
    let mut checks = Vec::new();
    // Before the first run the mirror root tells whose the mirror is.
    let state = mirror.state.dir();
    let tells = if state.exists() { state } else { nearest(&mirror.root) };
    if let Ok(stat) = fs::metadata(tells) {
        checks.push(judge_owner(me, stat.uid(), &tells.display().to_string()));
    }
    // Where there is no such file, or no such line, nothing can be said.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    checks.extend(umask(&status).map(judge_umask));
    checks
}

fn judge_owner(me: u32, owner: u32, path: &str) -> Check {
    let name = name_of(me);
    if me == owner {
        return Check::ok(TOPIC, name, format!("runs this, and owns {path}"));
    }
    let found = format!("runs this, and {path} belongs to {}: what was seen may not be what runs see", name_of(owner));
    Check::warn(TOPIC, name, found, format!("call it as runs are: sudo -u {} qfm doctor", for_sudo(owner)))
}

/// The mask of a process, from what proc(5) says of it.
fn umask(status: &str) -> Option<u32> {
    status.lines().find_map(|line| u32::from_str_radix(line.strip_prefix("Umask:")?.trim(), 8).ok())
}

/// What is published has modes of its own; the mask decides on the state, and on the log.
fn judge_umask(umask: u32) -> Check {
    let found = format!("{umask:04o} here");
    if umask & 0o002 == 0 {
        return Check::warn(
            TOPIC,
            "umask",
            format!("{found}: others may write to the state that runs make"),
            "set umask 022, or UMask=0022 in the unit",
        );
    }
    Check::ok(TOPIC, "umask", found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::doctor::Verdict;

    #[test]
    fn another_user_and_an_open_mask_are_told_of() {
        assert_eq!(judge_owner(0, 0, "/s").verdict, Verdict::Ok);
        let check = judge_owner(0, 4_000_000_000, "/s");
        assert_eq!((check.verdict, check.advice.contains("sudo -u '#4000000000' ")), (Verdict::Warn, true));
        assert_eq!(umask("Name:\tx\nUmask:\t0027\n"), Some(0o027));
        assert_eq!(umask(""), None);
        assert_eq!(judge_umask(0o022).verdict, Verdict::Ok);
        assert_eq!(judge_umask(0o020).verdict, Verdict::Warn);
    }
}
