//! What a run leaves behind: the mirror, its state, and nothing else.

mod support;

use std::collections::BTreeSet;
use std::fs;

use qfm::exit::Status;
use support::*;

fn build(up: &mut Upstream) -> Built {
    for number in 0..5 {
        up.file(format!("fedora/os/p{number}.rpm"), format!("package {number}"))?;
    }
    up.file("fedora/os/repodata/primary.xml", b"primary")?.file("fedora/os/repodata/repomd.xml", b"<repomd/>")?;
    up.file("archive/os/a.rpm", b"aaa").map(drop)
}

/// The files of the state, below the folder of the mirror root; and directories, with a slash.
fn state(scene: &Scene) -> BTreeSet<String> {
    let folder = scene.state_folder();
    let entries = walkdir::WalkDir::new(&folder).min_depth(1).into_iter().map(|entry| entry.expect("an entry"));
    let shown = entries.map(|entry| {
        let below = entry.path().strip_prefix(&folder).expect("below it").display().to_string();
        below + if entry.file_type().is_dir() { "/" } else { "" }
    });
    shown.collect()
}

/// Fails unless the state is that of two modules of which all is applied.
#[track_caller]
fn assert_tidy(scene: &Scene) {
    let expected = [
        "archive.applied",
        "archive.stamps",
        "fedora.applied",
        "fedora.stamps",
        "lists/",
        "lists/archive/",
        "lists/archive/fullfiletimelist-archive",
        "lists/fedora/",
        "lists/fedora/fullfiletimelist-fedora",
        "lock",
        "runs",
        "spans",
    ];
    assert_eq!(state(scene), expected.map(str::to_owned).into());
}

#[test]
fn a_run_of_any_kind_leaves_the_state_and_nothing_else() {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], build);
    scene.sync_to_same();
    assert_tidy(&scene);
    for arguments in [&[][..], &["--full"], &[FEDORA], &["--json"], &["--dry-run"]] {
        scene.run(arguments).status(Status::Done);
        assert_tidy(&scene);
    }
    for round in 0..3 {
        scene.change(|up| up.file("fedora/os/new.rpm", format!("new {round}")).map(drop));
        scene.sync_to_same();
        assert_tidy(&scene);
    }
}

#[test]
fn a_run_that_comes_again_and_again_does_not_let_the_state_grow() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    let size = |scene: &Scene| {
        let state = scene.state();
        let names = state.keys().map(|name| name.escape_ascii().to_string());
        let sizes = names
            .filter(|name| name.ends_with(".stamps"))
            .map(|name| fs::metadata(scene.mirror.state.join(name)).expect("a file").len());
        sizes.sum::<u64>()
    };
    let mut most = size(&scene);
    for round in 0..20 {
        scene.change(|up| up.file("fedora/os/new.rpm", format!("new {round}")).map(drop));
        scene.sync();
        most = most.max(size(&scene));
    }
    assert!((300..2000).contains(&most), "{most} bytes for the stamps of five directories");
}

#[test]
fn a_run_that_failed_leaves_a_journal_until_the_next_and_no_lists_on_their_way() {
    for call in 1..=3 {
        let mut scene = Scene::new(&[FEDORA, ARCHIVE], build);
        scene.configure(&[FEDORA, ARCHIVE], "rsync.retries = 0");
        scene.wrapper.fail_before(call, 12);
        scene.run(&[]).status(Status::Upstream);
        let left = state(&scene);
        assert!(!left.iter().any(|name| name.starts_with("work")), "call {call}: {left:?}");
        assert_eq!(left.contains("journal"), call > 1, "call {call}: {left:?}");
        scene.sync_to_same();
        assert_tidy(&scene);
    }
}

#[test]
fn what_a_killed_run_left_is_cleared_by_the_next() {
    let scene = Scene::new(&[FEDORA, ARCHIVE], build);
    // The shell's parent is the run.
    scene.wrapper.before(3, "kill -KILL $PPID; exit 20");
    let code = scene.run(&[]).code;
    assert_eq!(code, None, "it was killed");
    assert!(state(&scene).contains("journal"));
    scene.sync_to_same();
    assert_tidy(&scene);
}

#[test]
fn nothing_is_left_where_temporary_files_are() {
    let scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    let temporary = scene.mirror.root.with_file_name("temporary");
    fs::create_dir(&temporary).expect("made");
    let list = scene.mirror.path("fedora/fullfiletimelist-fedora").display().to_string();
    let from_file = format!("{FEDORA}={list}");
    for arguments in
        [&[][..], &["--full"], &["--dry-run"], &["size"], &["--list-file", &from_file], &["diff", &list, &list]]
    {
        let mut command = scene.mirror.command(arguments);
        let output = command.env("TMPDIR", &temporary).output().expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
        let left: Vec<_> = fs::read_dir(&temporary).expect("a directory").collect();
        assert!(left.is_empty(), "{arguments:?} left {left:?}");
    }
}
