//! Downstreams hear of what changed, when all locks are given back.

use super::Run;
use crate::push::round::{Occasion, Round};
use crate::report::record::Recorder;

impl Run<'_> {
    /// Tells them, if this run put a module in order and changed something. It is told what came of that, and no more.
    pub(super) fn push(&self, recorder: &Recorder) {
        let has_news = self.committed.get().is_some() && recorder.finish().0.changed;
        if let Some(push) = &self.config.push
            && has_news
            && !self.options.no_push
            && self.interrupt.raised().is_none()
        {
            Round::new(push).run(Occasion::News, self.interrupt, self.listener);
        }
    }
}
