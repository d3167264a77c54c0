//! Content that others damaged behind the right size and time: whatever a run meets it with, it does not count as right.

mod support;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::Utc;
use qfm::exit::Status;
use support::*;

/// Two modules that share files, some of them in directories that nothing else changes.
fn build(up: &mut Upstream) -> Built {
    for number in 0..8 {
        up.file(format!("fedora/{number}/p{number}.rpm"), format!("package {number}"))?;
        up.file(format!("fedora/{number}/q{number}.rpm"), format!("beside {number}"))?;
    }
    up.hardlink("fedora/1/p1.rpm", "archive/1/p1.rpm")?.hardlink("fedora/2/p2.rpm", "archive/gone/2/p2.rpm")?;
    up.file("archive/a", b"a").map(drop)
}

/// Other bytes, and the times that it had.
fn rot(path: &Path) {
    let mut bytes = fs::read(path).expect("readable");
    bytes[0] ^= 1;
    let time = fs::metadata(path).and_then(|stat| stat.modified()).expect("a time");
    fs::write(path, bytes).expect("written");
    File::options().write(true).open(path).and_then(|file| file.set_modified(time)).expect("its time");
}

/// A mirror in step that reads this much, in which one file of `fedora/` rotted.
fn rotten(read_altered: &str, file: &str) -> (Scene, PathBuf) {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    scene.configure(&[FEDORA, ARCHIVE], &format!("read_altered = {read_altered:?}"));
    scene.new_calls();
    let path = scene.mirror.path("fedora").join(file);
    rot(&path);
    (scene, path)
}

fn news(scene: &mut Scene, path: &str) {
    let text = format!("news of {}", Utc::now());
    scene.change(|up| up.file(path, text).map(drop));
}

fn next_second() {
    let now = Utc::now().timestamp();
    wait_until("the clock moves on", || Utc::now().timestamp() > now);
}

#[track_caller]
fn assert_right(scene: &mut Scene) {
    scene.assert_same();
    scene.run(&["verify"]).status(Status::Done);
    scene.assert_quiet();
}

type Meet = fn(&mut Scene);

/// What may meet a file that others touched.
const MEETINGS: [(&str, Meet); 6] = [
    ("full", |scene| drop(scene.run(&["--full"]).status(Status::Done))),
    ("since", |scene| drop(scene.run(&["--since", "20 years ago"]).status(Status::Done))),
    ("times of directories", |scene| drop(scene.run(&["--dir-times"]).status(Status::Done))),
    ("after a transfer", |scene| {
        news(scene, "fedora/news");
        scene.run(&["--transfer-only"]).status(Status::Done);
        scene.sync();
    }),
    ("a stamp", |scene| {
        fs::write(scene.mirror.path("fedora/3/mine"), "mine").expect("written");
        news(scene, "fedora/news");
        scene.sync();
    }),
    ("its turn", |scene| {
        for _ in 0..=8 {
            next_second();
            scene.run(&["--set", "full_check_every=1s"]).status(Status::Done);
        }
    }),
];

#[test]
fn whatever_meets_it_has_it_read() {
    side_by_side(MEETINGS, |(_, meet)| {
        let (mut scene, _) = rotten("16G", "3/p3.rpm");
        meet(&mut scene);
        assert_right(&mut scene);
    });
}

#[test]
fn what_is_too_much_is_told_once_and_stays_in_doubt_until_it_is_read() {
    side_by_side(MEETINGS, |(_, meet)| {
        for bound in ["0", "5"] {
            let (mut scene, path) = rotten(bound, "3/p3.rpm");
            let rotten = fs::read(&path).expect("readable");
            meet(&mut scene);
            assert_eq!(fs::read(&path).expect("readable"), rotten);
            // All is compared once more, and nobody is asked about it again.
            scene.run(&["--full"]).status(Status::Done);
            scene.new_calls();
            for _ in 0..2 {
                let result = scene.run(&["--full", "--json"]).status(Status::Done);
                assert_eq!(result.json()["modules"][0]["unread"]["entries"], 1, "{}", result.stdout);
                assert_eq!(result.stderr, "", "it was told before");
            }
            let calls = scene.new_calls();
            assert!(calls.iter().all(|call| call.is_for_lists()), "{calls:?}");
            let found = scene.run(&["verify", "--json"]).status(Status::Partial).json();
            assert_eq!(found["modules"][0]["wrong"]["altered"]["entries"], 1, "{found}");
            scene.run(&["verify", "--repair", FEDORA]).status(Status::Done);
            assert_right(&mut scene);
        }
    });
}

#[test]
fn a_run_that_leaves_files_unread_says_how_many_and_what_reads_them() {
    let (mut scene, _) = rotten("5", "3/p3.rpm");
    rot(&scene.mirror.path("fedora/4/p4.rpm"));
    let plan = scene.run(&["--dry-run", "--full"]).status(Status::Done);
    assert!(plan.stdout.contains("not read altered     2 files, 18 B\n"), "{}", plan.stdout);
    let result = scene.run(&["--full", "--json"]).status(Status::Done);
    let said = "fedora-enchilada: others touched 2 files here, 18 B,";
    assert!(result.stderr.contains(said), "{}", result.stderr);
    assert!(result.stderr.contains(": qfm verify --repair fedora-enchilada\n"), "{}", result.stderr);
    assert_eq!(result.json()["modules"][0]["unread"], serde_json::json!({ "entries": 2, "bytes": 18 }));
    // What comes on top of it, and is not too much, is read.
    scene.configure(&[FEDORA, ARCHIVE], "read_altered = 10");
    rot(&scene.mirror.path("fedora/5/p5.rpm"));
    scene.run(&["--full"]).status(Status::Done);
    let found = scene.run(&["verify", "--json"]).status(Status::Partial).json();
    assert_eq!(found["modules"][0]["wrong"]["altered"]["entries"], 2, "{found}");
    scene.configure(&[FEDORA, ARCHIVE], "");
    scene.run(&["--full"]).status(Status::Done);
    assert_right(&mut scene);
}

#[test]
fn what_is_read_in_slices_counts_together() {
    let (scene, _) = rotten("20", "0/p0.rpm");
    (1..8).for_each(|number| rot(&scene.mirror.path(format!("fedora/{number}/p{number}.rpm"))));
    let left = |scene: &Scene| {
        let found = scene.run(&["verify", "--json"]).json();
        found["modules"][0]["wrong"]["altered"]["entries"].as_u64().unwrap_or_default()
    };
    let mut runs = 0;
    let mut told = 0;
    while left(&scene) > 6 || runs < 9 {
        next_second();
        let result = scene.run(&["--set", "full_check_every=1s"]).status(Status::Done);
        told += result.stderr.matches("others touched").count();
        runs += 1;
        assert!(runs < 20, "{} are left", left(&scene));
    }
    // Two of nine bytes each in every pass.
    assert!((4..=6).contains(&left(&scene)), "{} are left", left(&scene));
    assert_eq!(told, 1);
}

#[test]
fn a_snapshot_of_hard_links_costs_no_reading() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    scene.configure(&[FEDORA, ARCHIVE], "read_altered = 40");
    let snapshot = scene.mirror.root.with_file_name("snapshot");
    let copied = Command::new("cp").arg("-al").arg(&scene.mirror.root).arg(&snapshot).status().expect("cp");
    assert!(copied.success());
    scene.new_calls();
    let before = tree::inode_snapshot(&scene.mirror.root).expect("a mirror");
    let result = scene.run(&["--full"]).status(Status::Done);
    // Each file counts once, and the other module has not too much.
    assert!(result.stderr.contains("others touched 16 files here, 136 B,"), "{}", result.stderr);
    let calls = scene.new_calls();
    let anew = calls.iter().filter(|call| !call.is_for_lists() && call.has("--checksum"));
    let read: Vec<_> = anew.flat_map(Call::names).collect();
    assert!(
        read.iter()
            .all(|name| name.starts_with(b"archive/") || name.ends_with(b"/p1.rpm") || name.ends_with(b"/p2.rpm")),
        "{read:?}"
    );
    let changed = touched(&before, &scene.mirror.path(""));
    assert!(changed.iter().all(|name| !name.contains('/')), "what is right stays the file that it is: {changed:?}");
    let result = scene.run(&["--full"]).status(Status::Done);
    assert_eq!(result.stderr, "");
    assert!(scene.new_calls().iter().all(Call::is_for_lists));
    // Many small runs do not ask either, and what is new is right.
    news(&mut scene, "fedora/news");
    scene.sync_to_same();
    scene.run(&["verify"]).status(Status::Partial);
    scene.run(&["verify", "--repair"]).status(Status::Done);
    assert_right(&mut scene);
}

#[test]
fn a_mode_that_is_put_right_does_not_make_unread_content_right() {
    let (mut scene, path) = rotten("0", "3/p3.rpm");
    fs::set_permissions(&path, Permissions::from_mode(0o664)).expect("a mode");
    scene.run(&["--full"]).status(Status::Done);
    assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o644);
    scene.run(&["verify", FEDORA]).status(Status::Partial);
    scene.run(&["verify", "--repair", FEDORA]).status(Status::Done);
    assert_right(&mut scene);
}

#[test]
fn the_deletion_of_another_name_does_not_make_it_right() {
    for bound in ["0", "16G"] {
        for (file, gone) in [("1/p1.rpm", "archive/1/p1.rpm"), ("2/p2.rpm", "archive/gone")] {
            let (mut scene, path) = rotten(bound, file);
            scene.change(|up| up.remove(gone).map(drop));
            // Only the other module is looked at.
            scene.run(&["--allow-delete", ARCHIVE]).status(Status::Done);
            assert!(!scene.mirror.path(gone).exists());
            let found = scene.run(&["verify", "--json", FEDORA]).status(Status::Partial).json();
            assert_eq!(found["modules"][0]["wrong"]["altered"]["entries"], 1, "{found}");
            scene.run(&["--full"]).status(Status::Done);
            if bound == "0" {
                scene.run(&["verify", FEDORA]).status(Status::Partial);
                scene.run(&["verify", "--repair", FEDORA]).status(Status::Done);
            }
            assert_eq!(fs::read(&path).expect("readable")[0], b'p');
            scene.run(&["verify"]).status(Status::Done);
            scene.assert_same();
        }
    }
}

#[test]
fn damage_does_not_spread_to_a_new_name() {
    for bound in ["0", "16G"] {
        let (mut scene, path) = rotten(bound, "3/p3.rpm");
        scene.change(|up| up.hardlink("fedora/3/p3.rpm", "archive/3/p3.rpm").map(drop));
        let result = scene.run(&[ARCHIVE]).status(Status::Done);
        let new = scene.mirror.path("archive/3/p3.rpm");
        if bound == "0" {
            assert!(result.stderr.contains("archive: others touched 1 file here"), "{}", result.stderr);
            let found = scene.run(&["verify", "--json"]).status(Status::Partial).json();
            assert_eq!(found["modules"][0]["wrong"]["altered"]["entries"], 1, "{found}");
            assert_eq!(found["modules"][1]["wrong"]["altered"]["entries"], 1, "{found}");
            scene.run(&["verify", "--repair"]).status(Status::Done);
        } else {
            assert_eq!(fs::read(&new).expect("readable"), b"package 3");
            assert_eq!(fs::read(&path).expect("readable"), b"package 3");
        }
        scene.sync();
        scene.run(&["verify"]).status(Status::Done);
        scene.assert_same();
    }
}

#[test]
fn equal_files_that_become_one_do_not_make_it_right() {
    let mut scene = Scene::synced(&[FEDORA], |up| {
        // Twins that upstream does not link.
        for directory in ["a", "b"] {
            up.file_at(format!("fedora/{directory}/twin.rpm"), b"twin", 1_700_000_000)?;
        }
        up.file("fedora/c/p.rpm", b"p").map(drop)
    });
    scene.configure(&[FEDORA], "read_altered = 0");
    // Both rotted alike.
    ["a", "b"].iter().for_each(|directory| rot(&scene.mirror.path(format!("fedora/{directory}/twin.rpm"))));
    let linked = scene.run(&["hardlink", "--json"]).status(Status::Done).json();
    assert_eq!(linked["linked"], 1, "{linked}");
    let found = scene.run(&["verify", "--json"]).status(Status::Partial).json();
    assert_eq!(found["modules"][0]["wrong"]["altered"]["entries"], 2, "{found}");
    scene.run(&["verify", "--repair"]).status(Status::Done);
    assert_right(&mut scene);
}

#[test]
fn what_is_damaged_after_a_run_was_killed_is_not_taken_for_its_work() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    scene.change(|up| up.file("fedora/new/n.rpm", b"new").map(drop));
    let go = scene.mirror.config.with_file_name("here");
    let call = scene.next_call() + 1;
    scene.wrapper.before(call, &format!("touch {go:?}; sleep 1000"));
    let running = scene.start(&[]);
    wait_until("it transfers", || go.exists());
    running.signal(rustix::process::Signal::KILL);
    drop(running);
    next_second();
    rot(&scene.mirror.path("fedora/3/p3.rpm"));
    scene.run(&[]).status(Status::Done);
    assert_right(&mut scene);
}

#[test]
fn a_daemon_that_makes_no_checksums_sends_it_anew() {
    let site = Site::new();
    let daemon = site.setup().refusing("checksum").start().expect("a daemon");
    let mut scene = Scene::with(site, daemon, &[FEDORA, ARCHIVE]);
    scene.change(build);
    scene.sync();
    rot(&scene.mirror.path("fedora/3/p3.rpm"));
    scene.run(&["--full"]).status(Status::Done);
    assert_right(&mut scene);
}
