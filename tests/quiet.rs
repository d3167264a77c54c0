//! When upstream is quiet, at most two plain runs reach its state, whatever failed before: nothing is skipped for ever.
//!
//! With `QFM_TEST_ALL` each exit code is tried before and after each call; without, every fifth of these cases.

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use qfm::exit::Status;
use support::*;

/// Every code that rsync's manual knows but 0, and one that it does not.
const CODES: [u8; 24] = [1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14, 15, 16, 19, 20, 21, 22, 23, 24, 25, 30, 35, 99, 255];

fn build(up: &mut Upstream) -> Built {
    for number in 0..4 {
        up.file(format!("fedora/os/p{number}.rpm"), format!("package {number}"))?;
    }
    up.file("fedora/os/repodata/1-primary.xml", b"primary")?.file("fedora/os/repodata/repomd.xml", b"<repomd/>")?;
    up.hardlink("fedora/os/p0.rpm", "archive/os/p0.rpm")?.link("fedora/latest", "os").map(drop)
}

/// Something of each kind: added, gone, of another size, of the same size, moved, linked, of another kind.
fn change(up: &mut Upstream) -> Built {
    up.file("fedora/new/a.rpm", b"a")?.remove("fedora/os/p1.rpm")?.file("fedora/os/p2.rpm", b"of another size")?;
    up.file("fedora/os/p3.rpm", b"PACKAGE 3")?.hardlink("fedora/os/p0.rpm", "archive/os/again/p0.rpm")?;
    up.remove("fedora/latest")?.file("fedora/latest/in it", b"x")?;
    up.file("fedora/os/repodata/2-primary.xml", b"primary 2")?
        .file("fedora/os/repodata/repomd.xml", b"<repomd 2/>")
        .map(drop)
}

/// At most two plain runs, of which the last ends well: then the mirror is what upstream is.
#[track_caller]
fn reached_by_two_plain_runs(scene: &mut Scene, what: &str) {
    let first = scene.run(&[]);
    if first.code != Some(0) {
        let second = scene.run(&[]);
        assert_eq!(second.code, Some(0), "{what}: {} then {}", first.stderr, second.stderr);
    }
    scene.assert_same();
    scene.assert_quiet();
}

#[test]
fn whatever_code_a_call_ends_with_before_or_after_its_work() {
    let all = std::env::var_os("QFM_TEST_ALL").is_some();
    let cases = CODES.into_iter().flat_map(|code| (0..6).map(move |case| (code, case)));
    let cases = cases.enumerate().filter(|(number, _)| all || number.is_multiple_of(5)).map(|(_, case)| case);
    side_by_side(cases, |(code, case)| {
        let (call, after, fresh) = (case / 2, case % 2 == 1, (usize::from(code) + case) % 3 == 0);
        let what = format!("code {code} {} call {call}, fresh: {fresh}", if after { "after" } else { "before" });
        let mut scene = Scene::new(&[FEDORA, ARCHIVE], build);
        scene.configure(&[FEDORA, ARCHIVE], "rsync.retries = 0");
        if !fresh {
            scene.sync_to_same();
            scene.change(change);
        }
        let call = scene.next_call() + call;
        if after {
            scene.wrapper.fail_after(call, code)
        } else {
            scene.wrapper.fail_before(call, code)
        }
        let result = scene.run(&[]);
        assert_ne!(result.code, Some(i32::from(Status::Bug.code())), "{what}: {}", result.stderr);
        scene.wrapper.leave_alone();
        reached_by_two_plain_runs(&mut scene, &what);
    });
}

#[test]
fn whatever_signal_ends_rsync_before_or_after_its_work() {
    let cases = ["KILL", "SEGV", "TERM", "PIPE"].into_iter().flat_map(|signal| (0..6).map(move |case| (signal, case)));
    side_by_side(cases, |(signal, case)| {
        let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
        scene.configure(&[FEDORA, ARCHIVE], "rsync.retries = 0");
        scene.change(change);
        let (call, commands) = (scene.next_call() + case / 2, format!("kill -{signal} $$"));
        if case % 2 == 1 {
            scene.wrapper.after(call, &commands)
        } else {
            scene.wrapper.before(call, &commands)
        }
        scene.run(&[]);
        scene.wrapper.leave_alone();
        reached_by_two_plain_runs(&mut scene, &format!("{signal} {case}"));
    });
}

#[test]
fn a_list_that_was_new_when_it_came_is_looked_into_again() {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], build);
    let list = scene.site.upstream.path("fedora").join(list_name("fedora"));
    let now = SystemTime::now() + Duration::from_secs(1);
    let date = || fs::File::options().write(true).open(&list).and_then(|file| file.set_modified(now)).expect("dated");
    date();
    scene.sync();
    let len = fs::metadata(&list).expect("a list").len();
    scene.change(|up| up.rename("fedora/os/p3.rpm", "fedora/os/p9.rpm").map(drop));
    date();
    assert_eq!(fs::metadata(&list).expect("a list").len(), len, "of the same size");
    scene.sync();
    assert!(scene.mirror.path("fedora/os/p9.rpm").exists(), "the list was not looked into");
    scene.assert_same();
}

#[test]
fn a_list_that_is_racy_no_more_is_not_asked_for_as_if_it_were() {
    let mut scene = Scene::new(&[FEDORA], build);
    let list = scene.site.upstream.path("fedora").join(list_name("fedora"));
    let now = SystemTime::now();
    fs::File::options().write(true).open(&list).and_then(|file| file.set_modified(now)).expect("dated");
    scene.sync();
    scene.new_calls();
    scene.sync();
    assert!(scene.new_calls()[0].has("--ignore-times"), "it may have changed unseen");
    // Five seconds, and the one that rsync does not look into.
    wait_until("the list is older", || now.elapsed().is_ok_and(|age| age > Duration::from_secs(6)));
    let saved = |scene: &Scene| fs::read(scene.state_folder().join("fedora.applied")).expect("a state");
    let racy = saved(&scene);
    let asked = [(); 3].map(|()| {
        scene.assert_quiet();
        (scene.wrapper.calls().last().expect("a call").has("--ignore-times"), saved(&scene) == racy)
    });
    assert_eq!(asked, [(true, false), (false, false), (false, false)], "asked so, and written so");
    let inode = |scene: &Scene| fs::metadata(scene.state_folder().join("fedora.applied")).expect("a state").ino();
    let before = inode(&scene);
    scene.assert_quiet();
    assert_eq!(inode(&scene), before, "it is written once");
}

#[test]
fn a_list_of_a_time_to_come_is_not_asked_for_until_then() {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], build);
    let list = scene.site.upstream.path("fedora").join(list_name("fedora"));
    let date = |at: SystemTime| {
        fs::File::options().write(true).open(&list).and_then(|file| file.set_modified(at)).expect("dated");
    };
    let hours = |hours: u64| SystemTime::now() + Duration::from_secs(hours * 3600);
    date(hours(5));
    let said = scene.run(&[]).status(Status::Done).stderr;
    assert!(said.contains("yet to come"), "{said}");
    let came = fs::metadata(scene.state_folder().join("lists/fedora").join(list_name("fedora"))).expect("a list");
    let came = SystemTime::UNIX_EPOCH + Duration::from_secs(came.ctime().unsigned_abs());
    let is_asked_so = |scene: &mut Scene| {
        scene.assert_quiet();
        scene.wrapper.calls().last().expect("a call").has("--ignore-times")
    };
    assert!(is_asked_so(&mut scene), "it may have changed unseen");
    wait_until("it is not new any more", || came.elapsed().is_ok_and(|age| age > Duration::from_secs(7)));
    assert_eq!([(); 3].map(|()| is_asked_so(&mut scene)), [true, false, false]);
    // It is told once, whatever comes; and a right clock is not one that went back.
    for (at, gone) in [(hours(6), "fedora/latest"), (hours(0), "fedora/os/p1.rpm")] {
        scene.change(|up| up.remove(gone).map(drop));
        date(at);
        let said = scene.run(&[]).status(Status::Done).stderr;
        assert_eq!(said, "");
        scene.assert_same();
    }
}
