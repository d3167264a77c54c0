//! Calling rsync until it ends in a way that another try would not change.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use backon::BackoffBuilder;

use super::groups::Group;
use super::{Failure, Run};
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
                Failure::said(Status::Upstream, "rsync refuses an option that it was not given")
            }
        }
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
            let Some(Hitch { why, unreachable }) = self.what_may_pass(group, ended)? else {
                self.was_answered(&group.upstream);
                return Ok(());
            };
            if self.try_next_address(&group.upstream, unreachable) {
                self.listener.hear(&Event::NextAddress { why: &why });
                continue;
            }
            let Some(wait) = waits.next() else {
                let (upstream, retries) = (&group.upstream.0, count(settings.retries as u64, "retry", "retries"));
                return trouble(Status::Upstream, format!("gave up on {upstream} after {retries}: {why}"));
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
                        return Err(format!("upstream sent {}, which was not asked for", escape(&item.name)));
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
            let context = format!("cannot run {} (setting rsync.program)", program.display());
            Trouble::Failure(Failure::new(Status::Usage, anyhow::Error::new(error).context(context)))
        })
    }

    /// `None` if the call did its work, what was wrong if another try may do it.
    fn what_may_pass(&self, group: &Group, ended: Ended) -> Result<Option<Hitch>, Trouble> {
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
                Judgement::Local(why) => trouble(Status::Local, format!("rsync could not write: {why}")),
                Judgement::Full(why) => trouble(Status::Space, why),
                Judgement::Refused(why) => {
                    let wants_password = ["auth", "assword"].iter().any(|word| why.contains(word));
                    let hint = if wants_password { " (settings rsync.user and rsync.password_file)" } else { "" };
                    trouble(Status::Upstream, format!("{} refuses: {why}{hint}", group.upstream.0))
                }
                Judgement::Failed(why) => trouble(Status::Upstream, format!("rsync failed: {why}")),
            },
            Ended::Silent => {
                let silence = span(self.config.rsync.timeout);
                let why = format!("rsync was ended: nothing came for {silence}, or next to nothing");
                Ok(Some(Hitch { why, unreachable: false }))
            }
            Ended::Late => {
                trouble(Status::Upstream, "rsync was ended: the deadline of the run passed (rsync.deadline)")
            }
            Ended::Interrupted(signal) => trouble(signal.into(), "interrupted; the next run goes on from here"),
            Ended::Disobeyed(why) => trouble(Status::Upstream, why),
        }
    }
}
