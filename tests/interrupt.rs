//! Runs that are ended from outside: they leave nothing behind, and the next one repairs.

mod support;

use std::fs;
use std::path::Path;

use qfm::exit::Status;
use rustix::process::Signal;
use support::*;

fn first(up: &mut Upstream) -> Built {
    for number in 0..20 {
        up.file(format!("fedora/os/p{number}.rpm"), format!("package {number}"))?;
    }
    up.file("fedora/os/repodata/1-primary.xml", b"one")?.file("fedora/os/repodata/repomd.xml", b"<one/>")?;
    up.hardlink("fedora/os/p0.rpm", "archive/os/p0.rpm")?;
    Ok(())
}

/// Something to receive that takes time, something of each class, something to delete, a directory in the way.
fn second(up: &mut Upstream) -> Built {
    up.file("fedora/os/big.iso", noise(6_000_000))?
        .remove("fedora/os/p1.rpm")?
        .remove("fedora/os/repodata")?
        .file("fedora/os/repodata/2-primary.xml", b"the second")?
        .file("fedora/os/repodata/repomd.xml", b"<the second/>")?
        .rename("fedora/os/p2.rpm", "archive/os/p2.rpm")?;
    Ok(())
}

/// Whether rsync has begun to write the large file.
fn is_receiving(mirror: &Mirror) -> bool {
    let entries = fs::read_dir(mirror.path("fedora/os")).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().contains("big.iso.")).count() > 0
}

#[test]
fn a_signal_in_mid_transfer_ends_the_run_and_rsync_and_deletes_nothing() {
    for (signal, status) in
        [(Signal::TERM, Status::Terminated), (Signal::INT, Status::Interrupted), (Signal::HUP, Status::Terminated)]
    {
        let mut scene = Scene::synced(&[FEDORA, ARCHIVE], first);
        scene.change(second);
        let list = fs::read(scene.mirror.path("fedora/fullfiletimelist-fedora")).expect("a list");
        scene.configure(&[FEDORA, ARCHIVE], "rsync.bwlimit = \"400\"");
        let running = scene.start(&[]);
        wait_until("content is received", || is_receiving(&scene.mirror));
        running.signal(signal);
        ended_with(running.end(), &[status]);
        assert!(!scene.state_folder().join("work").exists(), "the work directory was left behind");
        for name in ["fedora/os/p1.rpm", "fedora/os/p2.rpm", "fedora/os/repodata/1-primary.xml"] {
            assert!(scene.mirror.path(name).exists(), "{name} was deleted");
        }
        let now = fs::read(scene.mirror.path("fedora/fullfiletimelist-fedora")).expect("a list");
        assert_eq!(now, list, "the list was installed");
        scene.configure(&[FEDORA, ARCHIVE], "");
        scene.sync_to_same();
        scene.assert_quiet();
    }
}

#[test]
fn a_signal_while_the_lists_are_fetched_ends_the_run() {
    let mut scene = Scene::synced(&[FEDORA], |up| up.file("fedora/a", b"a").map(drop));
    let next = scene.next_call();
    scene.wrapper.before(next, "sleep 1000");
    let running = scene.start(&[]);
    wait_until("the lists are asked for", || scene.next_call() > next);
    running.signal(Signal::TERM);
    ended_with(running.end(), &[Status::Terminated]);
    assert!(!scene.state_folder().join("work").exists(), "the work directory was left behind");
    scene.assert_quiet();
}

#[test]
fn a_run_that_was_killed_leaves_no_rsync_and_the_next_one_clears_its_work() {
    let mut scene = Scene::synced(&[FEDORA], |up| up.file("fedora/a", b"a").map(drop));
    scene.change(|up| up.file("fedora/b", b"b").map(drop));
    let work = scene.state_folder().join("work");
    for call in [1, 2] {
        let next = scene.next_call() + call;
        scene.wrapper.before(next - 1, "sleep 1000");
        let running = scene.start(&[]);
        wait_until("it hangs", || scene.next_call() == next);
        running.signal(Signal::KILL);
        running.end();
        wait_until("rsync is gone", || processes_on(&scene.wrapper.program()).is_empty());
        assert!(work.exists(), "this test is about what is left");
    }
    scene.sync_to_same();
    assert!(!work.exists() && !scene.state_folder().join("journal").exists());
    scene.assert_quiet();
}

#[test]
fn a_dry_run_that_was_killed_leaves_nothing_after_the_next_one() {
    let scene = Scene::synced(&[FEDORA], |up| up.file("fedora/a", b"a").map(drop));
    let temporary = scene.mirror.config.with_file_name("tmp");
    fs::create_dir(&temporary).expect("made");
    let left = || fs::read_dir(&temporary).expect("a directory").count();
    let next = scene.next_call();
    scene.wrapper.before(next, "sleep 1000");
    let command = || {
        let mut command = scene.mirror.command(&["--dry-run"]);
        command.env("TMPDIR", &temporary);
        command
    };
    let mut child = command().spawn().expect("the program starts");
    wait_until("it hangs", || scene.next_call() > next);
    child.kill().and_then(|()| child.wait()).expect("killed");
    wait_until("rsync is gone", || processes_on(&scene.wrapper.program()).is_empty());
    assert_eq!(left(), 1, "this test is about what is left");
    let status = command().status().expect("the program starts");
    assert!(status.success() && left() == 0, "{status:?}, {} left", left());
}

#[test]
fn a_signal_during_the_wait_before_a_retry_ends_the_run() {
    let mut scene = Scene::new(&[FEDORA], |up| up.file("fedora/a", b"a").map(drop));
    let url = scene.daemon.url();
    scene.mirror.configure(&url, &[FEDORA], "rsync.retry_delay = \"1h\"");
    scene.wrapper.fail_before(1, 12);
    let running = scene.start(&[]);
    let ended = || scene.next_call() > 1 && processes_on(&scene.wrapper.program()).is_empty();
    wait_until("the call failed", ended);
    running.signal(Signal::TERM);
    ended_with(running.end(), &[Status::Terminated]);
}

#[test]
fn an_rsync_that_does_not_obey_the_signal_is_killed() {
    let scene = Scene::new(&[FEDORA], |up| up.file("fedora/a", b"a").map(drop));
    scene.wrapper.before(2, "trap '' TERM INT; while :; do sleep 0.1; done");
    let running = scene.start(&[]);
    wait_until("it hangs", || scene.next_call() > 2);
    running.signal(Signal::INT);
    ended_with(running.end(), &[Status::Interrupted]);
    scene.sync_to_same();
}

#[test]
fn whatever_kills_it_the_next_run_repairs() {
    type Moment = (&'static str, fn(&Scene, usize) -> bool);
    let installed = |scene: &Scene, _: usize| {
        let list = |path: &Path| fs::read(path.join("fedora/fullfiletimelist-fedora")).expect("a list");
        list(&scene.mirror.root) == list(scene.site.upstream.root())
    };
    let moments: [Moment; 7] = [
        ("the first call", |scene, next| scene.next_call() > next),
        ("the second call", |scene, next| scene.next_call() > next + 1),
        ("in mid-transfer", |scene, _| is_receiving(&scene.mirror)),
        ("the third call", |scene, next| scene.next_call() > next + 2),
        ("the fourth call", |scene, next| scene.next_call() > next + 3),
        ("a list installed", installed),
        ("something deleted", |scene, _| !scene.mirror.path("fedora/os/p1.rpm").exists()),
    ];
    side_by_side(moments, |(what, has_come)| {
        let mut scene = Scene::synced(&[FEDORA, ARCHIVE], first);
        scene.change(second);
        scene.configure(&[FEDORA, ARCHIVE], "rsync.bwlimit = \"8m\"");
        let next = scene.next_call();
        let mut running = scene.start(&[]);
        wait_until(what, || has_come(&scene, next) || running.is_over());
        if !running.is_over() {
            running.signal(Signal::KILL);
        }
        running.end();
        scene.sync();
        eprintln!("killed at: {what}");
        scene.assert_same();
        scene.assert_quiet();
    });
}

#[test]
fn a_run_that_was_cut_off_is_repaired_even_if_upstream_goes_back_to_the_list_before() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], first);
    let commands =
        scene.stage(|up| up.file("fedora/os/p5.rpm", b"of another size")?.remove("fedora/os/p6.rpm").map(drop));
    let root = scene.site.upstream.root().to_owned();
    let past = root.with_file_name("upstream.past.0");
    assert!(std::process::Command::new("sh").args(["-c", &commands]).status().expect("sh").success());
    let third = scene.next_call() + 2;
    scene.wrapper.before(third, "sleep 1000");
    let running = scene.start(&[]);
    wait_until("content came", || scene.next_call() > third);
    running.signal(Signal::KILL);
    running.end();
    assert_eq!(fs::read(scene.mirror.path("fedora/os/p5.rpm")).expect("it came"), b"of another size");
    fs::rename(&root, root.with_file_name("upstream.taken-back")).expect("renamed");
    fs::rename(&past, &root).expect("renamed");
    scene.sync_to_same();
    scene.assert_quiet();
}

#[test]
fn a_first_sync_that_is_killed_again_and_again_gets_there() {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], |up| first(up).and_then(|()| second(up)));
    for calls in [1, 2, 2, 3, 4] {
        let next = scene.next_call();
        let mut running = scene.start(&[]);
        wait_until("it calls rsync", || scene.next_call() >= next + calls || running.is_over());
        if !running.is_over() {
            running.signal(Signal::KILL);
        }
        running.end();
    }
    scene.sync_to_same();
    scene.assert_quiet();
}
