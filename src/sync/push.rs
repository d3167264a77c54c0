//! Downstreams hear of what changed, when all locks are given back.

use super::prepare::mirror_root;
use super::{Failure, Run};
use crate::config::Config;
use crate::exit::Status;
use crate::interrupt::Interrupt;
use crate::push::round::{Occasion, Round};
use crate::report::record::Recorder;
use crate::report::{Event, Listener};
use crate::state::news::{self, Untold};
use crate::state::{State, StateError};

/// Who is told without a run, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Some of them: the others are still to be told.
    Some,
    /// All of them.
    All,
    /// All of them, if something is new here that they were not told of.
    Due,
}

/// Tells downstreams without a run. `round` has those who are wanted. How it went is told to `listener`.
pub fn push(config: &Config, round: &Round<'_>, wanted: Wanted, interrupt: &Interrupt, listener: &dyn Listener) {
    // Nobody is to come for what is not mounted.
    let untold = mirror_root(&config.root).and_then(|root| Ok(news::take(&State::at(&config.state, &root))?));
    match untold {
        Ok(untold) if wanted == Wanted::Due && untold.is_empty() => {}
        Ok(_) if wanted == Wanted::Some => round.run(Occasion::News, interrupt, listener),
        Ok(untold) => tell(round, untold, interrupt, listener),
        Err(Failure { error, status }) => listener.hear(&Event::Failed { module: None, error: &error, status }),
    }
}

/// Tells them all, and then nothing is untold.
fn tell(round: &Round<'_>, untold: Untold, interrupt: &Interrupt, listener: &dyn Listener) {
    round.run(Occasion::News, interrupt, listener);
    if interrupt.raised().is_none()
        && let Err(error) = untold.told()
    {
        complain(error, listener);
    }
}

fn complain(error: StateError, listener: &dyn Listener) {
    listener.hear(&Event::Failed { module: None, error: &error.into(), status: Status::Notify });
}

impl Run<'_> {
    /// Puts down that there are news, if this run, which put these modules in order, brought any: or another that was killed before it
    /// could. The journal knows of that one still.
    pub(super) fn note_news(&self, committed: &[usize], recorder: &Recorder) -> Result<(), Failure> {
        let was_cut_off = |&module: &usize| self.unfinished.concerns(self.directory(module));
        let has_news = !committed.is_empty() && (recorder.finish().0.changed || committed.iter().any(was_cut_off));
        if has_news && self.config.push.is_some() {
            news::put(&self.state, self.began)?;
        }
        Ok(())
    }

    /// Tells them of what is new here, whoever brought it. It is told what came of that, and no more.
    pub(super) fn push(&self) {
        let is_meant = self.options.commits() && !self.options.dry_run && !self.options.no_push;
        let Some(push) = self.config.push.as_ref().filter(|_| is_meant && self.interrupt.raised().is_none()) else {
            return;
        };
        match news::take(&self.state) {
            Ok(untold) if untold.is_empty() => {}
            Ok(untold) => tell(&Round::new(push), untold, self.interrupt, self.listener),
            Err(error) => complain(error, self.listener),
        }
    }
}
