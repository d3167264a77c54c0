//! What a killed run left of its work is used or goes, whatever holds deletions; what others left is not touched.

mod support;

use std::fs::{self, File};

use qfm::exit::Status;
use support::*;

/// As large as rsync goes on with.
const LARGE: usize = 16 << 20;

fn build(up: &mut Upstream) -> Built {
    up.file("fedora/os/Packages", b"old")?.file("fedora/os/Release", b"old")?.file("fedora/os/p0.rpm", b"0").map(drop)
}

/// A mirror whose run was killed before it fetched content.
fn killed() -> Scene {
    let mut scene = Scene::synced(&[FEDORA], build);
    scene.change(|up| {
        up.file("fedora/os/Packages", noise(400_000))?.file("fedora/os/Release", b"new")?;
        up.file("fedora/os/new.rpm", noise(300_000))?.file("fedora/os/.hidden", noise(200_000))?;
        up.file("fedora/os/large.iso", noise(LARGE)).map(drop)
    });
    let content = scene.next_call() + 1;
    scene.wrapper.before(content, "kill -KILL $PPID; exit 20");
    assert_eq!(scene.run(&[]).code, None, "it was killed");
    scene
}

/// Puts a file of upstream, or so much of it, under another name into the mirror; whole files with their time.
fn leave(scene: &Scene, file: &str, len: usize, name: &str) {
    let (from, to) = (scene.site.upstream.path("fedora/os").join(file), scene.mirror.path("fedora/os").join(name));
    fs::create_dir_all(to.parent().expect("a directory")).expect("made");
    let bytes = fs::read(&from).expect("readable");
    fs::write(&to, &bytes[..len.min(bytes.len())]).expect("written");
    if len >= bytes.len() {
        let time = fs::metadata(&from).and_then(|stat| stat.modified()).expect("a time");
        File::options().write(true).open(&to).and_then(|file| file.set_modified(time)).expect("its time");
    }
}

fn received(result: &RunResult) -> u64 {
    result.json()["received_bytes"].as_u64().expect("a number")
}

#[test]
fn what_was_finished_is_used_and_a_large_part_is_gone_on_with() {
    let scene = killed();
    leave(&scene, "new.rpm", LARGE, ".new.rpm.AbCdEf");
    leave(&scene, ".hidden", LARGE, ".hidden.AbCdEf");
    leave(&scene, "Packages", LARGE, ".~tmp~/Packages");
    leave(&scene, "large.iso", LARGE / 2, ".large.iso.AbCdEf");
    let result = scene.run(&["--json"]).status(Status::Done);
    scene.assert_same();
    let received = received(&result);
    assert!(received < LARGE as u64 / 2 + 100_000, "{received} bytes came");
}

#[test]
fn what_does_not_fit_goes_though_nothing_else_is_deleted() {
    let mut scene = killed();
    scene.configure(&[FEDORA], "delete.mode = \"never\"");
    leave(&scene, "new.rpm", 1000, ".new.rpm.AbCdEf");
    leave(&scene, "Release", 2, ".~tmp~/Release");
    leave(&scene, "p0.rpm", LARGE, ".p0.rpm.AbCdEf");
    leave(&scene, "p0.rpm", LARGE, ".~tmp~/p0.rpm");
    leave(&scene, "p0.rpm", LARGE, ".gone.rpm.AbCdEf");
    fs::write(scene.mirror.path("fedora/.qfm-list.0"), "half a list").expect("written");
    scene.run(&[]).status(Status::Done);
    scene.assert_same();
    scene.assert_quiet();
}

#[test]
fn what_others_left_before_is_not_touched_nor_counted() {
    let mut scene = Scene::synced(&[FEDORA], build);
    let others = [".p0.rpm.AbCdEf", ".~tmp~/p0.rpm", ".nfs0000000000012345", ".latest.1234"];
    others.iter().for_each(|name| leave(&scene, "p0.rpm", LARGE, name));
    let path = |name: &str| scene.mirror.path("fedora/os").join(name);
    let before = others.map(|name| inode(&path(name)));
    scene.configure(&[FEDORA], "delete.max_share = 0\ndelete.min_entries = 0");
    for arguments in [&["--full"][..], &[]] {
        scene.change(|up| up.file(format!("fedora/os/n{}.rpm", arguments.len()), b"new").map(drop));
        let result = scene.run(arguments).status(Status::Done);
        assert!(!result.stderr.contains("held"), "{}", result.stderr);
    }
    let path = |name: &str| scene.mirror.path("fedora/os").join(name);
    assert_eq!(others.map(|name| inode(&path(name))), before);
}

#[test]
fn what_a_list_names_is_no_leftover() {
    let mut scene = Scene::synced(&[FEDORA], build);
    scene.change(|up| up.file("fedora/os/.config.sample", b"listed")?.file("fedora/os/b", b"b").map(drop));
    scene.wrapper.after(scene.next_call() + 1, "kill -KILL $PPID");
    assert_eq!(scene.run(&[]).code, None, "it was killed");
    scene.sync_to_same();
    // And what was listed goes as any other.
    scene.change(|up| up.remove("fedora/os/.config.sample").map(drop));
    scene.sync_to_same();
}

#[test]
fn a_directory_that_made_way_goes_whatever_holds_deletions() {
    let mut scene = Scene::synced(&[FEDORA], |up| {
        build(up)?;
        (0..60).try_for_each(|number| up.file(format!("fedora/os/clash/{number}"), b"old").map(drop))
    });
    scene.change(|up| {
        up.remove("fedora/os/clash")?;
        up.file("fedora/os/clash", b"a file now")?.file("fedora/os/clash.rpm", b"new").map(drop)
    });
    scene.wrapper.after(scene.next_call() + 1, "kill -KILL $PPID");
    assert_eq!(scene.run(&["--allow-delete", FEDORA]).code, None, "it was killed");
    assert!(scene.mirror.path("fedora/os/.qfm-aside.0/59").exists(), "it made way");
    scene.configure(&[FEDORA], "delete.mode = \"never\"\ndelete.max_share = 0\ndelete.min_entries = 0");
    scene.run(&[]).status(Status::Done);
    scene.assert_same();
    scene.assert_quiet();
}
