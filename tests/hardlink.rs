//! `qfm hardlink`: equal files become one, and nothing else is noticed of it.

mod support;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Stdio;

use qfm::demo::tree::{Entry, Snapshot, View, differences, snapshot};
use qfm::exit::Status;
use rustix::fs::{FlockOperation, flock};
use support::*;

/// Names of one kind of trap each, and what makes it one: it is done to the second of two files that are equal else.
type Trap = (&'static str, fn(&Path));

const TRAPS: [Trap; 3] = [
    ("bytes", |file| {
        let time = fs::metadata(file).expect("a file").modified().expect("a time");
        fs::write(file, b"0therwise!").expect("written");
        File::options().write(true).open(file).and_then(|file| file.set_modified(time)).expect("its time");
    }),
    ("mode", |file| fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("its mode")),
    ("mtime", |file| {
        let time = fs::metadata(file).expect("a file").modified().expect("a time");
        let later = time + std::time::Duration::from_nanos(1);
        File::options().write(true).open(file).and_then(|file| file.set_modified(later)).expect("its time");
    }),
];

fn build(up: &mut Upstream) -> Built {
    up.file("fedora/os/a.rpm", b"equal files")?.file("fedora/more/a.rpm", b"equal files")?;
    up.file("archive/old/a.rpm", b"equal files")?.hardlink("archive/old/a.rpm", "archive/older/a.rpm")?;
    for name in ["bytes", "mode", "mtime", "owner"] {
        up.file(format!("fedora/os/{name}"), b"otherwise!")?.file(format!("fedora/more/{name}"), b"otherwise!")?;
    }
    // Equal bytes under other names, and nothing.
    up.file("fedora/os/b.rpm", b"equal files")?.file("fedora/os/empty", b"")?.file("fedora/more/empty", b"").map(drop)
}

fn scene() -> Scene {
    Scene::synced(&[FEDORA, ARCHIVE], build)
}

fn inode_of(scene: &Scene, path: &str) -> u64 {
    fs::symlink_metadata(scene.mirror.path(path)).expect("a file").ino()
}

fn is_one(scene: &Scene, paths: &[&str]) -> bool {
    paths.iter().map(|path| inode_of(scene, path)).collect::<BTreeSet<u64>>().len() == 1
}

/// All that clients see: which names are one file is none of it.
fn seen(top: &Path) -> Snapshot {
    let entries = snapshot(top, &View { contents: true, restricted: true, ..View::PUBLIC }).expect("a readable tree");
    entries.into_iter().map(|(name, entry)| (name, Entry { first_name: None, ..entry })).collect()
}

#[track_caller]
fn assert_seen(before: &Snapshot, top: &Path) {
    let lines = differences(before, &seen(top));
    assert!(lines.is_empty(), "{lines:#?}");
}

const EQUAL: [&str; 4] = ["archive/old/a.rpm", "archive/older/a.rpm", "fedora/more/a.rpm", "fedora/os/a.rpm"];

#[test]
fn equal_files_become_one_across_modules_and_what_differs_in_anything_does_not() {
    let mut scene = scene();
    let survivor = inode_of(&scene, "archive/old/a.rpm");
    for (name, trap) in TRAPS {
        trap(&scene.mirror.path(format!("fedora/more/{name}")));
    }
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        chown(scene.mirror.path("fedora/more/owner"), Some(1), None).expect("its owner");
    } else {
        eprintln!("skipped: only root can give a file another owner");
    }
    let before = seen(&scene.mirror.root);
    let result = scene.run(&["hardlink", "--json"]).status(Status::Done).json();
    assert!(is_one(&scene, &EQUAL), "not linked");
    assert_eq!(inode_of(&scene, "fedora/os/a.rpm"), survivor, "the one with the most names stays");
    let traps = ["bytes", "mode", "mtime", "owner", "empty"];
    for name in traps.iter().filter(|name| is_root || **name != "owner") {
        let names = [format!("fedora/os/{name}"), format!("fedora/more/{name}")];
        assert!(!is_one(&scene, &names.each_ref().map(String::as_str)), "{name} was linked");
    }
    assert!(!is_one(&scene, &["fedora/os/a.rpm", "fedora/os/b.rpm"]), "another name is no candidate");
    assert_seen(&before, &scene.mirror.root);
    let of = |key: &str| result[key].as_u64().expect("a number");
    let (linked, gained) = if is_root { (2, 22) } else { (3, 32) };
    assert_eq!((of("linked"), of("gained_bytes"), of("groups"), of("linked_before")), (linked, gained, 5, 1));
    // Of the traps only the bytes can tell `bytes` apart; each file is read once.
    assert_eq!(of("unsteady") + of("absent"), 0);
    assert_eq!(result["read"]["entries"].as_u64(), Some(if is_root { 5 } else { 7 }));
    assert_eq!((result["kind"].as_str(), result["changed"].as_bool()), (Some("hardlink"), Some(true)));

    // Nothing is left to do, and nobody notices.
    let quiet = scene.run(&["hardlink"]).status(Status::Done);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    scene.run(&["hardlink", "--detailed-exitcode"]).status(Status::Done);
    scene.assert_quiet();
}

#[test]
fn what_was_linked_is_no_damage() {
    let scene = scene();
    scene.run(&["hardlink"]).status(Status::Done);
    assert!(is_one(&scene, &EQUAL), "not linked");
    let found = scene.run(&["verify", "--json"]).status(Status::Done).json();
    assert_eq!(found["right"], true, "{found}");
}

#[test]
fn looser_matches_find_more() {
    let scene = Scene::synced(&[FEDORA], |up| {
        let later = up.now() + 60;
        up.file("fedora/os/a", b"equal")?.file("fedora/os/b", b"equal")?.file_at("fedora/more/a", b"equal", later)?;
        up.file_at("fedora/other/a", b"equal", later)?.hardlink("fedora/other/a", "fedora/other/c").map(drop)
    });
    let touched = scene.mirror.path("fedora/more/a");
    let time = fs::metadata(scene.mirror.path("fedora/os/a")).expect("a file").modified().expect("a time");
    File::options().write(true).open(&touched).and_then(|file| file.set_modified(time)).expect("its time");
    let linked = |by: &str| {
        let result = scene.run(&["hardlink", "-n", "--json", "--match", by]).status(Status::Done).json();
        result["linked"].as_u64().expect("a number")
    };
    assert_eq!([linked("time"), linked("name"), linked("size")], [0, 1, 2]);
    scene.run(&["hardlink", "--match", "else"]).status(Status::Usage);
}

#[test]
fn a_dry_run_says_what_would_be_gained_and_writes_nothing() {
    let scene = scene();
    let (before, state) = (tree::inode_snapshot(&scene.mirror.root).expect("a mirror"), scene.state());
    let result = scene.run(&["hardlink", "-n"]).status(Status::Done);
    assert!(result.stdout.starts_with("Would link 6 names, 62 B gained; read 11 entries"), "{}", result.stdout);
    let result = scene.run(&["hardlink", "-n", "--json", "--detailed-exitcode"]).status(Status::Changed).json();
    let dry = (result["linked"].as_u64(), result["gained_bytes"].as_u64(), result["changed"].as_bool());
    assert_eq!(dry, (Some(6), Some(62), Some(false)));
    assert_untouched(&before, &scene.mirror.root);
    assert_eq!(scene.state(), state);
    // It said what a run does.
    let result = scene.run(&["hardlink", "-v"]).status(Status::Done);
    assert!(result.stdout.starts_with("Linked 6 names, 62 B gained"), "{}", result.stdout);
    assert_eq!(result.stderr.lines().filter(|line| line.contains("equal")).count(), 6, "{}", result.stderr);
}

#[test]
fn only_the_modules_that_are_named_are_looked_at() {
    let scene = scene();
    let archive = inode_of(&scene, "archive/old/a.rpm");
    scene.run(&["hardlink", FEDORA]).status(Status::Done);
    assert!(is_one(&scene, &["fedora/os/a.rpm", "fedora/more/a.rpm"]));
    assert!(inode_of(&scene, "fedora/os/a.rpm") != archive && inode_of(&scene, "archive/old/a.rpm") == archive);
    scene.run(&["hardlink", "fedora-none"]).status(Status::Usage);
}

#[test]
fn a_module_behind_a_link_is_linked_as_any_and_no_link_below_it_is_followed() {
    let mut scene = scene();
    let elsewhere = scene.mirror.root.with_file_name("elsewhere");
    fs::rename(scene.mirror.path("archive"), &elsewhere).expect("moved");
    symlink(&elsewhere, scene.mirror.path("archive")).expect("a link");
    let outside = scene.mirror.root.with_file_name("outside");
    fs::rename(scene.mirror.path("fedora/more"), &outside).expect("moved");
    symlink(&outside, scene.mirror.path("fedora/more")).expect("a link");
    let before = tree::inode_snapshot(&outside).expect("readable");
    scene.run(&["hardlink"]).status(Status::Done);
    assert!(is_one(&scene, &["archive/old/a.rpm", "archive/older/a.rpm", "fedora/os/a.rpm"]));
    assert_untouched(&before, &outside);
    scene.new_calls();
}

#[test]
fn what_is_listed_and_not_here_is_told_and_the_rest_is_linked() {
    let scene = scene();
    fs::remove_file(scene.mirror.path("fedora/more/a.rpm")).expect("removed");
    let result = scene.run(&["hardlink", "-v"]).status(Status::Done);
    assert!(result.stderr.contains("fedora/more/a.rpm is listed and not here"), "{}", result.stderr);
    assert!(is_one(&scene, &["archive/old/a.rpm", "fedora/os/a.rpm"]));
    scene.sync();
}

/// Many twins in two directories.
fn many(up: &mut Upstream, number: usize) -> Built {
    for number in 0..number {
        up.file(format!("fedora/a/{number}"), format!("file {number}"))?;
        up.file(format!("fedora/b/{number}"), format!("file {number}"))?;
    }
    Ok(())
}

#[test]
fn a_public_name_is_never_missing() {
    let scene = Scene::synced(&[FEDORA], |up| many(up, 300));
    let names: Vec<_> =
        (0..300).flat_map(|number| ["a", "b"].map(|dir| (format!("fedora/{dir}/{number}"), number))).collect();
    let look = || {
        for (name, number) in &names {
            let mut content = String::new();
            let read = File::open(scene.mirror.path(name)).and_then(|mut file| file.read_to_string(&mut content));
            read.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(content, format!("file {number}"), "{name}");
        }
    };
    let result = watch(look, || scene.run(&["hardlink", "--json"]).status(Status::Done).json());
    assert_eq!(result["linked"].as_u64(), Some(300));
}

#[test]
fn a_run_puts_in_order_what_a_kill_left() {
    let mut scene = Scene::synced(&[FEDORA], |up| many(up, 3000));
    let before = seen(&scene.mirror.root);
    let mut killed = scene.mirror.command(&["hardlink"]);
    let mut killed = killed.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    let is_begun = || (0..3000).any(|number| is_linked(&scene, number));
    wait_until("something is linked", is_begun);
    killed.kill().expect("it is still there");
    let status = killed.wait().expect("it can be waited for");
    assert_eq!(status.code(), None, "it was not killed in the middle");
    // As if it had been between its two calls.
    let hidden = scene.mirror.path("fedora/b/.qfm-link.0");
    if !hidden.exists() {
        fs::hard_link(scene.mirror.path("fedora/a/7"), &hidden).expect("a link");
    }
    let result = scene.sync();
    assert!(result.stderr.contains("the last run did not finish"), "{}", result.stderr);
    assert!(!hidden.exists(), "what was left is still there");
    assert_seen(&before, &scene.mirror.root);
    scene.assert_quiet();
    scene.run(&["hardlink"]).status(Status::Done);
    assert!((0..3000).all(|number| is_linked(&scene, number)));
    assert_seen(&before, &scene.mirror.root);
    scene.assert_quiet();
}

fn is_linked(scene: &Scene, number: usize) -> bool {
    fs::metadata(scene.mirror.path(format!("fedora/b/{number}"))).expect("a file").nlink() > 1
}

#[test]
fn a_run_and_the_linking_of_files_keep_each_other_out() {
    let scene = scene();
    let fedora = File::open(scene.mirror.path("fedora")).expect("a directory");
    flock(&fedora, FlockOperation::LockExclusive).expect("its lock");
    let before = tree::inode_snapshot(&scene.mirror.root).expect("a mirror");
    scene.run(&["hardlink"]).status(Status::Locked);
    assert_untouched(&before, &scene.mirror.root);
    let dry = scene.run(&["hardlink", "-n"]).status(Status::Done);
    assert!(dry.stderr.contains("another run is under way"), "{}", dry.stderr);
    drop(fedora);
    scene.run(&["hardlink"]).status(Status::Done);
}

#[test]
fn a_list_that_is_not_whole_stops_its_module_alone() {
    let scene = scene();
    fs::write(scene.mirror.path("archive/fullfiletimelist-archive"), "[Version]\n2\n").expect("written");
    let result = scene.run(&["hardlink"]).status(Status::List);
    assert!(result.stderr.contains(ARCHIVE), "{}", result.stderr);
    assert!(is_one(&scene, &["fedora/os/a.rpm", "fedora/more/a.rpm"]));
    fs::remove_file(scene.mirror.path("archive/fullfiletimelist-archive")).expect("removed");
    let result = scene.run(&["hardlink"]).status(Status::Done);
    assert!(result.stderr.contains("there is no list at"), "{}", result.stderr);
}
