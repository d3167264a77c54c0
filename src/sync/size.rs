//! What each module weighs, before anything of it is fetched.

use std::fs;
use std::time::SystemTime;

use super::prepare::filters;
use super::scratch::Scratch;
use super::text::unreadable;
use super::{Failure, Options, Run};
use crate::config::Config;
use crate::interrupt::Interrupt;
use crate::plan::size::{Sizes, measure};
use crate::report::{Event, Listener};
use crate::state::State;

/// Upstream's list of a module, looked through.
pub(crate) struct Weighed {
    /// What it says that the module weighs.
    pub sizes: Sizes,
    /// When it was written, as upstream says.
    pub dated: SystemTime,
}

/// What each module weighs, from upstream's lists. The mirror root need not be there yet, and nothing of it is read.
///
/// Modules whose list cannot be had are reported to `listener` and left out.
pub fn size(config: &Config, options: &Options, interrupt: &Interrupt, listener: &dyn Listener) -> Vec<Sizes> {
    let weighed = weigh(config, options, interrupt, listener).unwrap_or_else(|failure| {
        listener.hear(&Event::Failed { module: None, error: &failure.error, status: failure.status });
        Vec::new()
    });
    weighed.into_iter().flatten().map(|weighed| weighed.sizes).collect()
}

/// The same, in the order of the modules; `None` for those whose list cannot be had, or was not asked for.
///
/// # Errors
/// If none can be had.
pub(crate) fn weigh(
    config: &Config,
    options: &Options,
    interrupt: &Interrupt,
    listener: &dyn Listener,
) -> Result<Vec<Option<Weighed>>, Failure> {
    let filters = filters(config)?;
    let root = config.root.canonicalize().unwrap_or_else(|_| config.root.clone());
    let state = State::at(&config.state, &root);
    let scratch = Scratch::new(config)?;
    let run = Run::new((config, options), interrupt, listener, filters, root, state, scratch.path());
    let lists = run.fetch_lists(&run.subjects())?;
    let weigh = |module: usize, list: &super::text::List| {
        let (text, sections) = list.text.get()?;
        let dated = fs::metadata(&list.text.path).and_then(|stat| stat.modified());
        Ok(Weighed {
            sizes: measure(run.name(module), text, sections, &run.filters[module], config.restricted),
            dated: dated.map_err(|error| unreadable(&list.text.path, error))?,
        })
    };
    let weighed = lists.iter().enumerate().map(|(module, list)| {
        weigh(module, list.as_ref()?).map_err(|failure: Failure| run.failed(module, &failure)).ok()
    });
    Ok(weighed.collect())
}
