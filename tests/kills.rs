//! Runs that are killed at any moment, with all that they started: the next one repairs.
//!
//! `QFM_TEST_KILLS=1000` kills so many; `QFM_TEST_SEED` repeats a case by the number that it showed when it failed.

mod support;

use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use support::*;

/// So many runs are killed.
const KILLS: usize = 50;

/// So many of them one after the other on one mirror.
const IN_A_ROW: usize = 10;

/// Starts a run and kills it with all that it started after so long. Returns whether it was still under way.
fn kill_after(stage: &Stage, moment: Duration) -> bool {
    let mut command = stage.mirror.command(&[] as &[&str]);
    let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    std::thread::sleep(moment);
    let is_under_way = run.try_wait().expect("it can be waited for").is_none();
    kill_all(run, &stage.mirror.root);
    is_under_way
}

#[test]
fn a_run_that_is_killed_at_any_moment_is_mended_by_the_next() {
    let kills = std::env::var("QFM_TEST_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number"));
    let (killed, late) = (AtomicUsize::new(0), AtomicUsize::new(0));
    side_by_side(seeds(kills.div_ceil(IN_A_ROW) as u64), |seed| {
        let mut chance = Chance::new(seed);
        let mut stage = Stage::new();
        stage.change(&mut chance);
        let mut takes = stage.assert_mended_by_a_run();
        for _ in 0..IN_A_ROW {
            stage.change(&mut chance);
            loop {
                let moment = takes.mul_f64(chance.share());
                chance.note(format_args!("killed after {moment:?} of {takes:?}"));
                let count = if kill_after(&stage, moment) { &killed } else { &late };
                count.fetch_add(1, Ordering::Relaxed);
                stage.assert_followable();
                match chance.below(4) {
                    0 => {}
                    1 => stage.change(&mut chance),
                    _ => break,
                }
            }
            takes = stage.assert_mended_by_a_run();
        }
    });
    println!("killed {}, over before: {}", killed.into_inner(), late.into_inner());
}
