//! Calling rsync until it ends in a way that another try would not change.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use backon::BackoffBuilder;

use super::groups::Group;
use super::{Failure, Run};
use crate::config::Upstream;
use crate::exit::Status;
use crate::path::escape;
use crate::plan::request::{Answer, Place, Request};
use crate::plan::words::{count, span};
use crate::report::Event;
use crate::rsync::arguments::{arguments, confinement};
use crate::rsync::item::line;
use crate::rsync::outcome::judge;
use crate::rsync::{Call, Ended, Item, Judgement, Line, Purpose};

/// The longest wait before a retry.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// What rsync says of what it was asked for, by its place in the request.
pub(super) enum Heard<'h> {
    /// A call began: what an earlier one said counts no more.
    Began,
    /// A name was looked at.
    Item(Place, &'h Item),
    /// A link was not made, because it leads out of the tree.
    Unsafe(Place),
}

/// Why a call did not do what it was for.
pub(super) enum Trouble {
    /// This rsync does not know the option that spares it its own check of names.
    NoTrustSender,
    /// This daemon does not compare by checksums.
    NoChecksums,
    /// Anything else.
    Failure(Failure),
}

/// Adds how long rsync worked when it has.
struct Worked<'w> {
    since: Instant,
    total: &'w AtomicU64,
}

impl Drop for Worked<'_> {
    fn drop(&mut self) {
        let worked = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.total.fetch_add(worked, Ordering::Relaxed);
    }
}

/// Trouble that may pass.
struct Hitch {
    /// What it was.
    why: String,
    /// Nobody answered at that address.
    unreachable: bool,
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Failure {
        match trouble {
            Trouble::Failure(failure) => failure,
            Trouble::NoTrustSender | Trouble::NoChecksums => {
                let why =
                    "rsync complains of an option that it was not given (settings rsync.program and rsync.options)";
                Failure::said(Status::Upstream, why)
            }
        }
    }
}

/// What to do where upstream said no.
fn hint(upstream: &Upstream, why: &str) -> String {
    let says = |words: &[&str]| words.iter().any(|word| why.contains(word));
    match upstream.server() {
        _ if says(&["auth", "assword"]) => "settings rsync.user and rsync.password_file".to_owned(),
        _ if says(&["access denied"]) => {
            "its admin must let this machine in, or take another host: setting upstream".to_owned()
        }
        Some((server, _)) if says(&["Unknown module"]) => {
            format!("setting upstream; `rsync {}` lists what is there", server.0)
        }
        _ => "setting upstream".to_owned(),
    }
}

fn trouble<T>(status: Status, why: impl std::fmt::Display) -> Result<T, Trouble> {
    Err(Trouble::Failure(Failure::said(status, why)))
}

impl Run<'_> {
    /// Asks a group's upstream for names. What it does not have any more is no trouble here: it is not heard of. A name that was not
    /// asked for ends the call.
    pub(super) fn call(
        &self,
        group: &Group,
        purpose: &Purpose,
        request: &Request<'_>,
        listen: &mut dyn FnMut(Heard<'_>),
    ) -> Result<(), Trouble> {
        let settings = &self.config.rsync;
        let mut waits = backon::ExponentialBuilder::default()
            .with_min_delay(settings.retry_delay)
            .with_max_delay(LONGEST_WAIT.max(settings.retry_delay))
            .with_max_times(settings.retries)
            .with_jitter()
            .build();
        loop {
            let ended = self.call_once(group, purpose, request, listen)?;
            let Some(Hitch { why, unreachable }) = self.what_may_pass(group, purpose, ended)? else {
                self.was_answered(&group.upstream);
                return Ok(());
            };
            if self.try_next_address(&group.upstream, unreachable) {
                self.listener.hear(&Event::NextAddress { why: &why });
                continue;
            }
            let Some(wait) = waits.next() else {
                let (upstream, retries) = (&group.upstream.0, count(settings.retries as u64, "retry", "retries"));
                return trouble(
                    Status::Upstream,
                    format!("gave up on {upstream} after {retries}, and the next run tries again: {why}"),
                );
            };
            self.listener.hear(&Event::Retry { why: &why, wait });
            if let Some(signal) = self.interrupt.wait(wait, || false) {
                return trouble(signal.into(), "interrupted; the next run goes on from here");
            }
        }
    }

    /// One call, to its end.
    fn call_once(
        &self,
        group: &Group,
        purpose: &Purpose,
        request: &Request<'_>,
        listen: &mut dyn FnMut(Heard<'_>),
    ) -> Result<Ended, Trouble> {
        let (settings, source) = (&self.config.rsync, self.source(group));
        let (program, arguments) = (&settings.program, arguments(settings, &source, purpose));
        let call = Call {
            program,
            arguments: &arguments,
            confined_to: confinement(settings, &source, purpose),
            input: &|out| request.write(out),
            silence: settings.timeout,
            deadline: self.deadline,
        };
        self.listener.hear(&Event::Call { program, arguments: &arguments, names: request.len() });
        listen(Heard::Began);
        let _worked = Worked { since: Instant::now(), total: &self.in_rsync };
        let (mut by_item, mut in_all) = (0, None);
        let ended = call.run(self.interrupt, &mut |bytes| match line(bytes) {
            Line::Item(item) => {
                by_item += item.received;
                match request.answer(&item.name, item.is_dir()) {
                    Answer::Asked(place) => listen(Heard::Item(place, &item)),
                    Answer::Implied => {}
                    Answer::NotAsked => {
                        let (upstream, name) = (&group.upstream.0, escape(&item.name));
                        return Err(format!(
                            "{upstream} sent {name}, which was not asked for, and the transfer was ended; \
                             if that goes on, take another host (setting upstream)"
                        ));
                    }
                }
                Ok(())
            }
            Line::UnsafeLink(name) => {
                if let Answer::Asked(place) = request.answer(&name, false) {
                    listen(Heard::Unsafe(place));
                }
                Ok(())
            }
            Line::Received(bytes) => {
                in_all = Some(bytes);
                Ok(())
            }
            Line::Sent(bytes) => {
                self.listener.hear(&Event::Sent(bytes));
                Ok(())
            }
            Line::Other => Ok(()),
        });
        // A call that was ended says no sum.
        self.listener.hear(&Event::Received(in_all.unwrap_or(by_item)));
        ended.map_err(|error| {
            let install =
                if error.kind() == io::ErrorKind::NotFound { "; install rsync, or name it there" } else { "" };
            let context = format!("cannot run {} (setting rsync.program){install}", program.display());
            Trouble::Failure(Failure::new(Status::Usage, anyhow::Error::new(error).context(context)))
        })
    }

    /// `None` if the call did its work, what was wrong if another try may do it.
    fn what_may_pass(&self, group: &Group, purpose: &Purpose, ended: Ended) -> Result<Option<Hitch>, Trouble> {
        match ended {
            Ended::Itself(code, stderr) => match judge(code, &stderr) {
                Judgement::Done | Judgement::Stale => Ok(None),
                Judgement::Vanished => {
                    self.listener.hear(&Event::Vanished);
                    Ok(None)
                }
                Judgement::Again(why) => Ok(Some(Hitch { why, unreachable: false })),
                Judgement::Unreachable(why) => Ok(Some(Hitch { why, unreachable: true })),
                Judgement::NoTrustSender => Err(Trouble::NoTrustSender),
                Judgement::NoChecksums => Err(Trouble::NoChecksums),
                Judgement::Local(why) => {
                    let not_ours =
                        ["Permission denied", "Operation not permitted"].iter().any(|text| why.contains(text));
                    let hint = if not_ours { "; run qfm as the user who owns that" } else { "" };
                    trouble(Status::Local, format!("rsync could not write: {why}{hint}"))
                }
                Judgement::Full(why) => trouble(
                    Status::Space,
                    match purpose {
                        Purpose::Lists { .. } => format!("no room is left for the lists (setting state): {why}"),
                        Purpose::Content { .. } => {
                            format!("no room is left: {why}; what came stays. To see what lacks: qfm --dry-run")
                        }
                    },
                ),
                Judgement::Refused(why) => {
                    let hint = hint(&group.upstream, &why);
                    trouble(Status::Upstream, format!("{} refuses: {why} ({hint})", group.upstream.0))
                }
                Judgement::Failed(why) => {
                    let hint = "(settings rsync.program and rsync.options). To have it tried: qfm doctor";
                    trouble(Status::Upstream, format!("rsync failed: {why} {hint}"))
                }
            },
            Ended::Silent => {
                let silence = span(self.config.rsync.timeout);
                let why = format!("rsync was ended: nothing came for {silence}, or next to nothing");
                Ok(Some(Hitch { why, unreachable: false }))
            }
            Ended::Late => trouble(
                Status::Upstream,
                "rsync was ended, and the next run goes on from here: the deadline of the run passed (rsync.deadline)",
            ),
            Ended::Interrupted(signal) => trouble(signal.into(), "interrupted; the next run goes on from here"),
            Ended::Disobeyed(why) => trouble(Status::Upstream, why),
        }
    }
}
