//! Making way for what rsync cannot put in place: a file or a link where a directory is.

use super::survey::Reading;
use super::{Failure, Run};
use crate::plan::Plan;
use crate::tree::delete::{Aside, delete_aside, move_aside, move_back};

impl Run<'_> {
    /// Moves aside the directories in the way.
    ///
    /// With deletions held, nothing is moved: then the module stays as it is there, and its list is not installed.
    pub(super) fn make_way(&self, plan: &Plan<'_>, readings: &mut [Reading<'_>]) -> Vec<(usize, Aside)> {
        let mut asides = Vec::new();
        for reading in readings.iter_mut() {
            let Some(root) = &reading.root else { continue };
            for &path in &plan.modules[reading.module].in_the_way {
                if !reading.may_delete {
                    reading.blocked = true;
                    continue;
                }
                match move_aside(root, path) {
                    Ok(aside) => asides.push((reading.module, aside)),
                    Err(error) => {
                        self.failed(reading.module, &Failure::from(error));
                        reading.blocked = true;
                    }
                }
            }
        }
        asides
    }

    /// Deletes what was moved aside where something took its place, and moves back the rest.
    pub(super) fn settle_asides(&self, asides: Vec<(usize, Aside)>, readings: &mut [Reading<'_>]) {
        for (module, aside) in asides {
            let Some(reading) = readings.iter_mut().find(|reading| reading.module == module) else { continue };
            let Some(root) = &reading.root else { continue };
            let settled = match root.stat(aside.path.as_path()) {
                Ok(_) => delete_aside(root, &aside).map(drop),
                Err(_) => move_back(root, &aside),
            };
            if let Err(error) = settled {
                self.failed(module, &Failure::from(error));
                reading.blocked = true;
            }
        }
    }
}
