//! Closing what is restricted and was not, before anything else is changed.
//!
//! Deletions come last, and may be held; a new mode comes with the transfer, which may fail. Nothing is lost by a mode: what is public
//! again is opened again by rsync.

use super::reading::Reading;
use super::{Failure, Run};
use crate::list::{Listing, Mark};
use crate::path::RelPath;
use crate::plan::compare::FetchCause;
use crate::plan::{ModulePlan, Plan};
use crate::report::Event;
use crate::tree::close::close;

impl Run<'_> {
    /// Takes from others the right to read what their lists mark as restricted.
    pub(super) fn close_restricted(&self, plan: &Plan<'_>, readings: &[Reading<'_>]) {
        for reading in readings {
            let Some(root) = &reading.root else { continue };
            let module = self.name(reading.module);
            for path in restricted(&plan.modules[reading.module], &reading.listing) {
                match close(root, path) {
                    Ok(true) => self.listener.hear(&Event::Closed { module, path: &path.to_string() }),
                    Ok(false) => {}
                    Err(error) => self.failed(reading.module, &Failure::from(error)),
                }
            }
        }
    }
}

/// What may be here and readable, and should not be readable: each with all that is below it, by path.
fn restricted<'t>(plan: &ModulePlan<'t>, listing: &Listing<'t>) -> Vec<RelPath<'t>> {
    let is_marked = |path: RelPath<'_>| listing.find(path).is_some_and(|row| row.mark == Mark::Restricted);
    let here = plan.fetch.iter().filter(|fetch| fetch.cause != FetchCause::Missing).map(|fetch| fetch.path);
    let carried = here.filter(|path| is_marked(*path) && !is_marked(path.parent()));
    let mut paths: Vec<RelPath<'t>> = listing.withheld().chain(carried).collect();
    paths.sort_unstable();
    paths
}
