//! Which changes are no sign of others: those of runs of ours.

use super::{Failure, Run};
use crate::plan::spans::{Ctimes, Spans};
use crate::report::Event;
use crate::state::journal::{Journal, Unfinished};
use crate::state::{Applied, spans};
use crate::tree::{Root, stamp};

/// What ctimes tell of a module: what changed before all of it was compared is right, and so is what runs changed that `ours` has. What
/// a run left that did not put the module in order is not known to be right, though it be ours.
pub(crate) fn ctimes(applied: &Applied, directory: &str, unfinished: &Unfinished, ours: &Spans) -> Option<Ctimes> {
    let settled = applied.checked.settled?;
    let mut known = match unfinished.since(directory) {
        Some(since) => ours.before(since),
        None if unfinished.concerns(directory) => Spans::default(),
        None => ours.clone(),
    };
    known.add(i64::MIN, settled.saturating_sub(1));
    // The span of a run that ended is saved.
    let killed = unfinished.since(directory).filter(|since| !ours.hold(*since));
    Some(Ctimes { known, ours: ours.clone(), killed, asked: applied.checked.asked })
}

impl Run<'_> {
    /// What ctimes tell of a module.
    pub(super) fn ctimes(&self, module: usize, applied: &Applied) -> Option<Ctimes> {
        let mut ctimes = ctimes(applied, self.directory(module), &self.unfinished, self.spans_of_runs())?;
        // Where newer lists are followed, this run was at work already.
        if let Some(&begin) = self.changing.get() {
            let mut span = Spans::default();
            span.add(begin, i64::MAX);
            self.without_doubt(&span).iter().for_each(|(begin, end)| ctimes.ours.add(begin, end));
        }
        Some(ctimes)
    }

    /// A span of this run, without the times in which it changed what is in doubt.
    fn without_doubt(&self, span: &Spans) -> Spans {
        span.without(&self.in_doubt.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// When runs of ours were at work.
    pub(super) fn spans_of_runs(&self) -> &Spans {
        self.spans.get_or_init(|| {
            spans::read(&self.state).unwrap_or_else(|error| {
                let error = anyhow::Error::new(error);
                let text = format!("{error:#}; what the last runs changed looks as if others had changed it");
                self.listener.hear(&Event::Warning(&text));
                Spans::default()
            })
        })
    }

    /// Whether a run was at work since this one, which changes nothing, looked: its journal came or went, or its span was saved.
    pub(super) fn is_changed_by_another(&self) -> bool {
        // Spans that cannot be read were told of, and are the same as none.
        let spans = spans::read(&self.state).unwrap_or_default();
        Journal::of(&self.state).unfinished() != self.unfinished || spans != *self.spans_of_runs()
    }

    /// Saves since when this run was changing the mirror, if it was, and that it does so no more; without the times in which it changed
    /// what is in doubt.
    pub(super) fn save_span(&self) -> Result<(), Failure> {
        let Some(&begin) = self.changing.get() else { return Ok(()) };
        // Those that cannot be opened were not changed, or not to the end.
        let roots = self.config.modules.iter().filter_map(|of| Root::open(&self.root.join(&of.directory)).ok());
        let end = roots.filter_map(|root| stamp::clock(&root)).max();
        let mut span = Spans::default();
        span.add(begin, end.unwrap_or(begin));
        Ok(spans::add(&self.state, &self.without_doubt(&span))?)
    }
}
