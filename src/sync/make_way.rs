//! Making way for what rsync cannot put in place: a file or a link where a directory is.

use super::reading::Reading;
use super::{Failure, Run};
use crate::list::Kind;
use crate::plan::guard::MayReplace;
use crate::plan::{DeleteCause, Plan};
use crate::report::Event;
use crate::tree::delete::{Aside, delete_aside, move_aside, move_back};

/// A directory that was moved aside, and the leave to do so.
pub(super) struct Displaced {
    module: usize,
    aside: Aside,
    leave: MayReplace,
}

impl Run<'_> {
    /// Moves aside the directories in the way.
    ///
    /// With deletions held, nothing is moved, and what would come in its place is held back.
    pub(super) fn make_way(&self, plan: &Plan<'_>, readings: &mut [Reading<'_>]) -> Vec<Displaced> {
        let mut displaced = Vec::new();
        for reading in readings.iter_mut() {
            let of_module = &plan.modules[reading.module];
            let Some(root) = &reading.root else { continue };
            let exceptions = self.exceptions(reading.module);
            for directory in &of_module.in_the_way {
                let Some(leave) = MayReplace::ask(&of_module.holds, &exceptions, directory.path) else { continue };
                match move_aside(root, directory.path, &leave) {
                    Ok(aside) => displaced.push(Displaced { module: reading.module, aside, leave }),
                    Err(error) => {
                        self.failed(reading.module, &Failure::from(error));
                        reading.blocked = true;
                    }
                }
            }
        }
        displaced
    }

    /// Deletes what was moved aside where what was planned took its place, and puts back the rest: upstream may still have the
    /// directory that its list has not.
    pub(super) fn settle(&self, plan: &Plan<'_>, displaced: Vec<Displaced>, readings: &mut [Reading<'_>]) {
        for Displaced { module, aside, leave } in displaced {
            let Some(reading) = readings.iter_mut().find(|reading| reading.module == module) else { continue };
            let Some(root) = &reading.root else { continue };
            let path = aside.path.as_path();
            let planned = plan.modules[module].fetch.iter().find(|fetch| fetch.path == path);
            let came = planned.is_some_and(|fetch| match fetch.kind {
                Kind::File => root.has_file(path, fetch.size),
                kind => root.has_kind(path, kind),
            });
            let settled = if came {
                delete_aside(root, &aside, &leave).map(|entries| {
                    let (directory, path) = (self.directory(module), path.bytes());
                    let (module, cause) = (self.name(module), DeleteCause::Gone);
                    self.listener.hear(&Event::Deleted { module, cause, entries, directory, path });
                    self.listener.hear(&Event::DeletedEntries { module, entries });
                })
            } else {
                move_back(root, &aside)
            };
            if let Err(error) = settled {
                self.failed(module, &Failure::from(error));
                reading.blocked = true;
            }
        }
    }
}
