//! Which changes are no sign of others: those of runs of ours.

use super::{Failure, Run};
use crate::plan::spans::Spans;
use crate::report::Event;
use crate::state::journal::Journal;
use crate::state::{Applied, spans};
use crate::tree::{Root, stamp};

impl Run<'_> {
    /// When changes in a module are no sign of others: before all of it was compared, and while runs of ours were at work. What a run left
    /// that did not put the module in order is not known to be right, though it be ours.
    pub(super) fn spans(&self, module: usize, applied: &Applied) -> Option<Spans> {
        let settled = applied.checked.settled?;
        let directory = self.directory(module);
        let ours = self.spans_of_runs();
        let mut spans = match self.unfinished.since(directory) {
            Some(since) => ours.before(since),
            None if self.unfinished.concerns(directory) => Spans::default(),
            None => ours.clone(),
        };
        spans.add(i64::MIN, settled.saturating_sub(1));
        Some(spans)
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

    /// Saves since when this run was changing the mirror, if it was, and that it does so no more.
    pub(super) fn save_span(&self) -> Result<(), Failure> {
        let Some(&begin) = self.changing.get() else { return Ok(()) };
        // Those that cannot be opened were not changed, or not to the end.
        let roots = self.config.modules.iter().filter_map(|of| Root::open(&self.root.join(&of.directory)).ok());
        let end = roots.filter_map(|root| stamp::clock(&root)).max();
        Ok(spans::add(&self.state, begin, end.unwrap_or(begin))?)
    }
}
