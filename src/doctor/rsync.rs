//! The rsync program: its version, the options that runs give it, and whether the kernel confines it.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use super::{LOOK, is_well};
use crate::config::{Config, Rsync, Upstream};
use crate::exit::Status;
use crate::interrupt::Interrupt;
use crate::plan::compare::By;
use crate::report::doctor::Check;
use crate::rsync::arguments::arguments;
use crate::rsync::confine;
use crate::rsync::outcome::judge;
use crate::rsync::{Arrival, Call, Ended, Judgement, Purpose, Source};

const TOPIC: &str = "rsync";

/// The oldest that qfm is made for, and the oldest that removes what it leaves for others to find.
const OLDEST: Version = (3, 2, 0);
const CLEAN: Version = (3, 2, 4);

type Version = (u32, u32, u32);

/// The second is whether it can be called.
pub(super) fn checks(config: &Config, interrupt: &Interrupt) -> (Vec<Check>, bool) {
    let settings = &config.rsync;
    let program = settings.program.display().to_string();
    let mut checks = match ask(settings, options(settings, false), interrupt) {
        Ok(Answer::Said(text)) => vec![judge_version(&program, version(&text))],
        Ok(Answer::Ended(why)) => {
            let advice = "take what it does not know out of rsync.options, or let rsync.program name a newer rsync";
            vec![Check::fail(TOPIC, &program, Status::Upstream, why, advice)]
        }
        Err(error) => {
            let advice = "install rsync, or let rsync.program name it";
            vec![Check::fail(TOPIC, &program, Status::Usage, format!("cannot be run: {error}"), advice)]
        }
    };
    let works = is_well(&checks);
    if works {
        checks.push(match ask(settings, options(settings, true), interrupt) {
            Ok(Answer::Said(_)) => Check::ok(TOPIC, "--trust-sender", "known"),
            _ => Check::warn(
                TOPIC,
                "--trust-sender",
                "not known: large transfers are cut into chunks of 4000 names, and cost more time",
                "install rsync 3.2.5 or newer",
            ),
        });
    }
    checks.push(judge_confinement(settings.confine, confine::is_possible()));
    (checks, works)
}

/// What a call came to.
enum Answer {
    /// It ended well, and said this.
    Said(String),
    /// It did not, for this reason.
    Ended(String),
}

fn ask(settings: &Rsync, options: Vec<OsString>, interrupt: &Interrupt) -> std::io::Result<Answer> {
    let half = LOOK / 2;
    let mut said = String::new();
    let call = Call {
        program: &settings.program,
        arguments: &options,
        confined_to: None,
        input: &|_| Ok(()),
        silence: half,
        deadline: Some(Instant::now() + half),
    };
    let ended = call.run(interrupt, &mut |line| {
        said.push_str(&String::from_utf8_lossy(line));
        said.push('\n');
        Ok(())
    })?;
    Ok(match ended {
        Ended::Itself(code, stderr) => match judge(code, &stderr) {
            Judgement::Done => Answer::Said(said),
            Judgement::NoTrustSender => Answer::Ended("it does not know --trust-sender".to_owned()),
            Judgement::Again(why)
            | Judgement::Unreachable(why)
            | Judgement::Local(why)
            | Judgement::Full(why)
            | Judgement::Refused(why)
            | Judgement::Failed(why) => Answer::Ended(why),
            Judgement::Stale | Judgement::Vanished | Judgement::NoChecksums => Answer::Ended(stderr),
        },
        _ => Answer::Ended(format!("it does not end within {} s", half.as_secs())),
    })
}

/// The options of a call for content, without what it is about: rsync looks at all of them before it says its version.
fn options(settings: &Rsync, trust_sender: bool) -> Vec<OsString> {
    let source = Source { upstream: Upstream("/".to_owned()), destination: "/".into() };
    let purpose = Purpose::Content { beside: None, arrival: Arrival::Resumable, by: By::Content, trust_sender };
    // Limits of connections mean nothing here, and a password is not needed.
    let settings = Rsync { timeout: Duration::from_secs(1), ..settings.clone() };
    let mut options = arguments(&settings, &source, &purpose);
    options.truncate(options.len().saturating_sub(3));
    options.push("--version".into());
    options
}

/// The version that rsync says: `rsync  version 3.4.1  protocol version 32`.
fn version(text: &str) -> Option<Version> {
    let said = text.lines().find_map(|line| line.strip_prefix("rsync")?.trim_start().strip_prefix("version"))?;
    let number = said.trim_start().trim_start_matches('v').split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
    let mut parts = number.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next().flatten().unwrap_or(0)))
}

fn judge_version(program: &str, version: Option<Version>) -> Check {
    let Some((major, minor, patch)) = version else {
        let found = "says no version that is known";
        return Check::warn(
            TOPIC,
            program,
            found,
            "qfm is made for rsync of rsync.samba.org, 3.2 or newer (rsync.program)",
        );
    };
    let said = format!("{program} is version {major}.{minor}.{patch}");
    let advice = "install a newer rsync, or let rsync.program name one";
    match version {
        Some(version) if version < OLDEST => {
            Check::fail(TOPIC, "", Status::Usage, format!("{said}, which is too old: qfm needs 3.2 or newer"), advice)
        }
        Some(version) if version < CLEAN => {
            Check::warn(TOPIC, "", format!("{said}, which leaves files in .~tmp~ for ever"), advice)
        }
        _ => Check::ok(TOPIC, "", said),
    }
}

fn judge_confinement(wanted: bool, possible: bool) -> Check {
    const SUBJECT: &str = "confinement";
    match (wanted, possible) {
        (true, true) => Check::ok(TOPIC, SUBJECT, "the kernel lets rsync write below its destination only (Landlock)"),
        (true, false) => Check::warn(
            TOPIC,
            SUBJECT,
            "this kernel has no Landlock: rsync is left alone with its own care",
            "run Linux 5.19 or newer with Landlock (`cat /sys/kernel/security/lsm` names it), or see that nobody else writes to the mirror",
        ),
        (false, _) => Check::ok(TOPIC, SUBJECT, "none (rsync.confine = false)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::doctor::Verdict;

    #[test]
    fn versions_are_read_and_judged() {
        for (text, expected) in [
            ("rsync  version 3.5.0  protocol version 32\nCopyright", Some((3, 5, 0))),
            ("rsync  version 3.2.7  protocol version 31", Some((3, 2, 7))),
            ("rsync  version v3.4.1  protocol version 32", Some((3, 4, 1))),
            ("rsync  version 3.3pre1  protocol version 31", Some((3, 3, 0))),
            ("openrsync: protocol version 29", None),
            ("", None),
        ] {
            assert_eq!(version(text), expected, "{text}");
        }
        let verdict = |version| judge_version("rsync", version).verdict;
        assert_eq!(verdict(Some((3, 1, 3))), Verdict::Fail(Status::Usage));
        assert_eq!(verdict(Some((3, 2, 3))), Verdict::Warn);
        assert_eq!(verdict(Some((3, 2, 4))), Verdict::Ok);
        assert_eq!(verdict(None), Verdict::Warn);
    }

    #[test]
    fn a_kernel_that_cannot_confine_is_told_of_only_where_it_should() {
        let verdict = |wanted, possible| judge_confinement(wanted, possible).verdict;
        assert_eq!(verdict(true, true), Verdict::Ok);
        assert_eq!(verdict(true, false), Verdict::Warn);
        assert_eq!(verdict(false, false), Verdict::Ok);
    }
}
