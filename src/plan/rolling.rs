//! The rolling check: whatever the stamps say, every directory is compared once in a while, some of them in each of many runs.
//!
//! The directories of a module are gone through in the order of paths. How far a run gets is a matter of the time that passed: after
//! half of the time between two full checks, half of them were compared.

use std::ops::Range;
use std::time::Duration;

use crate::path::RelPath;

/// A full check is spread over so many slices: over a week, one an hour.
const SLICES: u32 = 168;

/// After a long pause a run makes up for some of it: it compares at most one in so many directories.
const MOST: usize = 7;

/// Whether the next slice is due, `since` so long after the last one, if all is to be compared once in `every`.
pub fn is_due(since: Duration, every: Duration) -> bool {
    since >= every / SLICES
}

/// Which of the directories, which are sorted, are due, `since` so long after all of them had been compared. `up_to` is the last
/// one that was compared after that.
pub fn slice(dirs: &[RelPath<'_>], up_to: Option<RelPath<'_>>, since: Duration, every: Duration) -> Range<usize> {
    let done = up_to.map_or(0, |up_to| dirs.partition_point(|dir| *dir <= up_to));
    let share = (since.as_secs_f64() / every.as_secs_f64()).min(1.0);
    // At least one, so that it ends; a share of a number of directories fits one.
    let due = ((dirs.len() as f64 * share).ceil() as usize).max(done + 1);
    done..due.min(done + dirs.len().div_ceil(MOST)).min(dirs.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
    const HOUR: Duration = Duration::from_secs(3600);

    fn names() -> Vec<String> {
        (0..1000).map(|number| format!("{number:04}")).collect()
    }

    /// How many directories each run compares, and when all were, if there is a run every so often.
    fn rounds(step: Duration, runs: u32) -> (Vec<usize>, Vec<u32>) {
        let names = names();
        let dirs: Vec<RelPath<'_>> = names.iter().map(|name| RelPath::new(name.as_bytes()).unwrap()).collect();
        let (mut up_to, mut all, mut last) = (None, 0, 0);
        let (mut lens, mut ends) = (Vec::new(), Vec::new());
        for run in 1..=runs {
            if !is_due(step * (run - last), WEEK) {
                continue;
            }
            let slice = slice(&dirs, up_to, step * (run - all), WEEK);
            lens.push(slice.len());
            last = run;
            up_to = slice.end.checked_sub(1).map(|last| dirs[last]);
            if slice.end == dirs.len() {
                (up_to, all) = (None, run);
                ends.push(run);
            }
        }
        (lens, ends)
    }

    #[test]
    fn all_is_compared_in_time_in_even_slices() {
        let (lens, ends) = rounds(HOUR / 6, 6 * 24 * 15);
        assert_eq!(ends, [6 * 24 * 7, 6 * 24 * 14]);
        assert!(lens.iter().all(|len| (5..=7).contains(len)), "{lens:?}");
        let (lens, ends) = rounds(HOUR * 24, 15);
        assert_eq!(ends, [7, 14]);
        assert!(lens.iter().all(|len| (142..=143).contains(len)), "{lens:?}");
    }

    #[test]
    fn after_a_pause_no_run_does_it_all() {
        let (lens, ends) = rounds(WEEK * 3, 16);
        assert!(lens.iter().all(|len| *len <= 143), "{lens:?}");
        assert_eq!(ends, [7, 14]);
    }

    #[test]
    fn a_tree_without_directories_is_done_at_once() {
        assert_eq!(slice(&[], None, HOUR, WEEK), 0..0);
        assert_eq!(slice(&[RelPath::TOP], None, HOUR, WEEK), 0..1);
        assert_eq!(slice(&[RelPath::TOP], Some(RelPath::TOP), HOUR, WEEK), 1..1);
    }
}
