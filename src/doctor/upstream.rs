//! Whether upstream answers, at each of its addresses, and has the module that is meant.

use std::time::{Duration, Instant};

use super::LOOK;
use crate::config::{Config, Rsync, Transport, Upstream};
use crate::exit::Status;
use crate::interrupt::Interrupt;
use crate::plan::words::span;
use crate::report::doctor::Check;
use crate::rsync::arguments::listing;
use crate::rsync::outcome::judge;
use crate::rsync::{Call, Ended, Judgement};
use crate::sync::address::{by_address, look_up};

const TOPIC: &str = "upstream";

/// An address of a daemon that was asked for its modules.
struct Asked {
    at: String,
    /// Their names and how long that took, or why nothing came.
    came: Result<(Vec<String>, Duration), String>,
}

/// The second are those that do not answer.
pub(super) fn checks(config: &Config, interrupt: &Interrupt) -> (Vec<Check>, Vec<Upstream>) {
    let mut upstreams: Vec<&Upstream> = config.modules.iter().filter_map(|module| config.upstream_of(module)).collect();
    upstreams.sort_by_key(|upstream| &upstream.0);
    upstreams.dedup();
    let settings =
        Rsync { connect_timeout: config.rsync.connect_timeout.min(LOOK), timeout: LOOK, ..config.rsync.clone() };
    let (mut checks, mut dead) = (Vec::new(), Vec::new());
    for upstream in upstreams {
        let Some((server, module)) = upstream.server() else {
            checks.extend(of_no_daemon(upstream));
            continue;
        };
        let asked = ask_all(&settings, &server, interrupt);
        if asked.iter().all(|asked| asked.came.is_err()) {
            dead.push(upstream.clone());
        }
        checks.extend(judge_answers(upstream, (&server, module), &asked));
    }
    (checks, dead)
}

/// Whether a remote shell leads there is seen when it is asked for lists.
fn of_no_daemon(upstream: &Upstream) -> Option<Check> {
    let path = &upstream.0;
    match upstream.transport() {
        Transport::Local if std::path::Path::new(path).is_dir() => {
            Some(Check::ok(TOPIC, path, "a directory of this machine"))
        }
        Transport::Local => {
            let advice = "mount its volume, or set upstream";
            Some(Check::fail(TOPIC, path, Status::Upstream, "no directory of this machine", advice))
        }
        Transport::Daemon | Transport::Shell => None,
    }
}

/// Asks a daemon at all of its addresses at once.
fn ask_all(settings: &Rsync, server: &Upstream, interrupt: &Interrupt) -> Vec<Asked> {
    let addresses = by_address(settings, server).map(|host| look_up(settings, host, interrupt)).unwrap_or_default();
    let mut servers: Vec<Upstream> = addresses.iter().map(|address| server.at_address(*address)).collect();
    if servers.is_empty() {
        // Somebody else looks it up; or nobody can, and rsync says why.
        servers.push(server.clone());
    }
    std::thread::scope(|scope| {
        let asking: Vec<_> = servers.iter().map(|server| scope.spawn(|| ask(settings, server, interrupt))).collect();
        asking.into_iter().filter_map(|asking| asking.join().ok()).collect()
    })
}

fn ask(settings: &Rsync, server: &Upstream, interrupt: &Interrupt) -> Asked {
    let (began, options) = (Instant::now(), listing(settings, server));
    let call = Call {
        program: &settings.program,
        arguments: &options,
        confined_to: None,
        input: &|_| Ok(()),
        silence: settings.connect_timeout,
        deadline: Some(began + settings.connect_timeout),
    };
    let mut modules = Vec::new();
    let ended = call.run(interrupt, &mut |line| {
        // A message of the day has no TABs.
        let name = line.iter().position(|&byte| byte == b'\t').map(|tab| &line[..tab]);
        modules.extend(name.map(|name| String::from_utf8_lossy(name).trim_end().to_owned()));
        Ok(())
    });
    let came = match ended {
        Ok(Ended::Itself(code, stderr)) => match judge(code, &stderr) {
            Judgement::Done => Ok((modules, began.elapsed())),
            Judgement::Again(why)
            | Judgement::Unreachable(why)
            | Judgement::Local(why)
            | Judgement::Full(why)
            | Judgement::Refused(why)
            | Judgement::Failed(why) => Err(why),
            other => Err(format!("{other:?}")),
        },
        Ok(_) => Err(format!("no answer within {}", span(settings.connect_timeout))),
        Err(error) => Err(error.to_string()),
    };
    Asked { at: server.daemon().unwrap_or(&server.0).to_owned(), came }
}

fn judge_answers(upstream: &Upstream, (server, module): (&Upstream, &str), asked: &[Asked]) -> Vec<Check> {
    let said = |asked: &Asked| match &asked.came {
        Ok((_, took)) => format!("{} answers in {} ms", asked.at, took.as_millis()),
        Err(why) => format!("{} does not answer: {why}", asked.at),
    };
    let found = asked.iter().map(said).collect::<Vec<_>>().join("; ");
    let answers: Vec<&Vec<String>> = asked.iter().filter_map(|asked| Some(&asked.came.as_ref().ok()?.0)).collect();
    let first = if answers.is_empty() {
        let advice = format!(
            "try `rsync {}` from here: a firewall, a name server, rsync.bind or RSYNC_PROXY may be in the way; another host is set by `upstream`",
            server.0
        );
        return vec![Check::fail(TOPIC, &upstream.0, Status::Upstream, found, advice)];
    } else if answers.len() < asked.len() {
        let advice = "runs go on to the next address by themselves; tell upstream, or choose with rsync.address_family";
        Check::warn(TOPIC, &upstream.0, found, advice)
    } else {
        Check::ok(TOPIC, &upstream.0, found)
    };
    let is_listed = answers.iter().any(|modules| modules.iter().any(|name| name == module));
    let listed = if is_listed {
        Check::ok(TOPIC, format!("module {module}"), "listed by upstream")
    } else {
        let advice =
            format!("it may be hidden, or called otherwise: `rsync {}` lists all (setting upstream)", server.0);
        Check::warn(TOPIC, format!("module {module}"), "not among those that upstream lists", advice)
    };
    vec![first, listed]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::doctor::Verdict;

    #[test]
    fn one_address_that_answers_is_enough_for_a_run() {
        let upstream = Upstream("rsync://mirror.example.org/fedora-buffet".to_owned());
        let (server, module) = upstream.server().unwrap();
        let alive =
            || Asked { at: "192.0.2.1".to_owned(), came: Ok((vec!["fedora-buffet".to_owned()], Duration::ZERO)) };
        let dead = || Asked { at: "192.0.2.2".to_owned(), came: Err("Connection refused".to_owned()) };
        let verdicts = |asked: &[Asked]| -> Vec<Verdict> {
            judge_answers(&upstream, (&server, module), asked).iter().map(|check| check.verdict).collect()
        };
        assert_eq!(verdicts(&[alive(), alive()]), [Verdict::Ok, Verdict::Ok]);
        assert_eq!(verdicts(&[dead(), alive()]), [Verdict::Warn, Verdict::Ok]);
        assert_eq!(verdicts(&[dead(), dead()]), [Verdict::Fail(Status::Upstream)]);
        let other = judge_answers(&upstream, (&server, "buffet"), &[alive()]);
        assert_eq!(other[1].verdict, Verdict::Warn);
    }
}
