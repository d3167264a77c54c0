//! The rolling check: whatever stamps say, every directory is compared in its turn, a slice of them in each run.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;

use chrono::Utc;
use qfm::exit::Status;
use support::*;

/// So many directories with files, beside the one above them.
const DIRECTORIES: usize = 28;

/// A run compares at most one in so many directories beside what changed.
const SLICES: usize = 7;

/// Everything is to be compared once in so short a time that each run that begins in another second has a slice to compare.
const SOON: &str = "full_check_every = \"1s\"";

fn build(up: &mut Upstream) -> Built {
    (0..DIRECTORIES).try_for_each(|number| {
        // Files of the same name, size and time would be looked at together.
        up.file(format!("fedora/{number}/a{number}.rpm"), format!("a of {number}"))?;
        up.file(format!("fedora/{number}/b{number}.rpm"), format!("b of {number}")).map(drop)
    })
}

/// A mirror in step, of which all stamps are known.
fn settled() -> Scene {
    let mut scene = Scene::synced(&[FEDORA], build);
    // What was written to in the moment in which it is looked at gets no stamp.
    next_second();
    scene.run(&["--full"]).status(Status::Done);
    scene.assert_quiet();
    scene
}

/// The times of runs are kept in whole seconds.
fn next_second() {
    let now = Utc::now().timestamp();
    wait_until("the clock moves on", || Utc::now().timestamp() > now);
}

/// Damages a file of each directory in place. The directories do not show it.
fn damage(scene: &Scene) {
    for number in 0..DIRECTORIES {
        let file = scene.mirror.path(format!("fedora/{number}/a{number}.rpm"));
        let size = fs::metadata(&file).expect("a file").len() as usize;
        fs::write(&file, vec![b'?'; size]).expect("damaged");
    }
}

/// How many directories are damaged still.
fn damaged(scene: &Scene) -> usize {
    let read = |number: usize| fs::read(scene.mirror.path(format!("fedora/{number}/a{number}.rpm"))).expect("a file");
    (0..DIRECTORIES).filter(|number| read(*number).starts_with(b"?")).count()
}

#[test]
fn runs_without_any_change_upstream_repair_what_directories_do_not_show_bit_by_bit() {
    let mut scene = settled();
    scene.configure(&[FEDORA], SOON);
    damage(&scene);
    let mut left = vec![damaged(&scene)];
    while left.last() != Some(&0) {
        next_second();
        let record = scene.run(&["--json"]).status(Status::Done).json();
        assert_eq!(record["modules"][0]["depth"], "quick", "{record:#}");
        left.push(damaged(&scene));
        assert!(left.len() <= 1 + SLICES + 1, "so many are damaged after each run: {left:?}");
    }
    let most = (DIRECTORIES + 1).div_ceil(SLICES);
    assert!(left.windows(2).all(|pair| pair[0] - pair[1] <= most), "one run compared too much: {left:?}");
    scene.assert_same();
}

#[test]
fn after_all_were_compared_it_begins_anew() {
    let mut scene = settled();
    scene.configure(&[FEDORA], SOON);
    for round in 0..2 {
        damage(&scene);
        for _ in 0..=SLICES {
            next_second();
            scene.sync();
        }
        assert_eq!(damaged(&scene), 0, "in round {round}");
    }
    scene.assert_same();
}

#[test]
fn a_run_that_has_other_things_to_do_compares_its_slice_too() {
    let mut scene = settled();
    scene.configure(&[FEDORA], SOON);
    damage(&scene);
    let mut runs = 0;
    while damaged(&scene) > 0 {
        runs += 1;
        assert!(runs <= SLICES + 1, "{} are damaged still", damaged(&scene));
        next_second();
        scene.change(|up| up.file("fedora/news", format!("news {runs}")).map(drop));
        scene.sync();
    }
    assert!(runs > 1, "one run compared everything");
    scene.assert_same();
}

#[test]
fn what_was_overwritten_and_made_older_is_found_in_its_turn_though_runs_passed_since() {
    let mut scene = settled();
    damage(&scene);
    for number in 0..DIRECTORIES {
        let file = fs::File::options().write(true).open(scene.mirror.path(format!("fedora/{number}/a{number}.rpm")));
        file.and_then(|file| file.set_modified(SystemTime::UNIX_EPOCH)).expect("its time");
    }
    for round in 0..2 {
        scene.change(|up| up.file("fedora/news", format!("news {round}")).map(drop));
        scene.sync();
    }
    assert_eq!(damaged(&scene), DIRECTORIES);
    scene.configure(&[FEDORA], SOON);
    for _ in 0..=SLICES {
        next_second();
        scene.sync();
    }
    assert_eq!(damaged(&scene), 0);
    scene.assert_same();
    // A directory was touched, and is right: it is asked about until all was looked at after that.
    fs::set_permissions(scene.mirror.path("fedora/7/b7.rpm"), fs::Permissions::from_mode(0o644)).expect("touched");
    scene.run(&["verify", FEDORA]).status(Status::Partial);
    let mut runs = 0;
    while scene.run(&["verify", FEDORA]).code != Some(0) {
        runs += 1;
        assert!(runs <= 2 * (SLICES + 1), "it is asked about for ever");
        next_second();
        scene.sync();
    }
}

#[test]
fn a_run_whose_turn_it_is_not_leaves_the_rest_alone() {
    let mut scene = settled();
    damage(&scene);
    for round in 0..3 {
        scene.assert_quiet();
        scene.change(|up| up.file("fedora/7/c.rpm", format!("c {round}")).map(drop));
        scene.sync();
    }
    // Only the names that changed were looked at.
    assert_eq!(damaged(&scene), DIRECTORIES);
}

#[test]
fn a_dry_run_does_not_count_as_a_check() {
    let mut scene = settled();
    scene.configure(&[FEDORA], SOON);
    damage(&scene);
    for _ in 0..3 {
        next_second();
        let before = scene.state();
        scene.run(&["--dry-run"]);
        assert!(scene.state() == before, "a dry run wrote to the state");
    }
    assert_eq!(damaged(&scene), DIRECTORIES);
    for _ in 0..=SLICES {
        next_second();
        scene.sync();
    }
    scene.assert_same();
}
