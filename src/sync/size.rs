//! What each module weighs, before anything of it is fetched.

use super::prepare::filters;
use super::scratch::Scratch;
use super::{Failure, Options, Run};
use crate::config::Config;
use crate::interrupt::Interrupt;
use crate::plan::size::{Sizes, measure};
use crate::report::{Event, Listener};
use crate::state::State;

/// What each module weighs, from upstream's lists. The mirror root need not be there yet, and nothing of it is read.
///
/// Modules whose list cannot be had are reported to `listener` and left out.
pub fn size(config: &Config, options: &Options, interrupt: &Interrupt, listener: &dyn Listener) -> Vec<Sizes> {
    let weigh = || {
        let filters = filters(config)?;
        let root = config.root.canonicalize().unwrap_or_else(|_| config.root.clone());
        let state = State::at(&config.state, &root);
        let scratch = Scratch::new(config)?;
        let run = Run::new((config, options), interrupt, listener, filters, root, state, scratch.path());
        let lists = run.fetch_lists(&run.subjects())?;
        let sizes = lists.iter().enumerate().filter_map(|(module, list)| {
            let (text, sections) = list.as_ref()?.text.get().map_err(|failure| run.failed(module, &failure)).ok()?;
            let filter = &run.filters[module];
            Some(measure(run.name(module), text, sections, filter, config.restricted))
        });
        Ok(sizes.collect())
    };
    weigh().unwrap_or_else(|failure: Failure| {
        listener.hear(&Event::Failed { module: None, error: &failure.error, status: failure.status });
        Vec::new()
    })
}
