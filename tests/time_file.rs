//! Taking the place of quick-fedora-mirror: its time file is its lock, and what it knew.

mod support;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use qfm::exit::Status;
use rustix::fs::{FlockOperation, fcntl_lock};
use support::*;

fn build(up: &mut Upstream) -> Built {
    up.file("fedora/a", b"a").map(drop)
}

/// Where the time file of a mirror is; the settings name it from now on.
fn name_time_file(scene: &mut Scene) -> PathBuf {
    let path = scene.mirror.config.with_file_name("timefile");
    scene.mirror.add(&format!("time_file = {path:?}"));
    path
}

/// The lock as zsh's `zsystem flock` takes it, until it is dropped. The file must be there.
fn lock_as_the_old_tool(path: &PathBuf) -> Result<File, rustix::io::Errno> {
    let file = File::options().read(true).write(true).open(path).expect("a time file");
    fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).map(|()| file)
}

#[test]
fn the_old_tool_and_qfm_exclude_each_other() {
    let mut scene = Scene::new(&[FEDORA], build);
    let path = name_time_file(&mut scene);
    fs::write(&path, "").expect("a time file");

    let held = lock_as_the_old_tool(&path).expect("a lock");
    let (stdout, stderr) = {
        let result = scene.run(&[]).status(Status::Locked);
        (result.stdout, result.stderr)
    };
    assert_eq!((stdout.as_str(), stderr.as_str()), ("", ""), "who gives way is silent");
    let result = scene.run(&["-v"]).status(Status::Locked);
    assert!(result.stderr.contains("quick-fedora-mirror, or another run, holds"), "{}", result.stderr);
    let result = scene.run(&["-n"]).status(Status::Done);
    assert!(result.stderr.contains("another run is under way"), "{}", result.stderr);
    // A lock on a file that is not there any more excludes nobody.
    fs::rename(&path, path.with_file_name("timefile.prev")).expect("renamed");
    scene.sync_to_same();
    drop(held);

    // In each of its calls a run holds the lock, whatever it read and wrote before.
    scene.change(|up| up.file("fedora/b", b"b").map(drop));
    for call in [scene.next_call(), scene.next_call() + 1] {
        let go = scene.mirror.config.with_file_name(format!("go{call}"));
        scene.wrapper.before(call, &format!("until test -e {go:?}; do sleep 0.05; done"));
    }
    let first = scene.next_call();
    let running = scene.start(&[]);
    for call in [first, first + 1] {
        wait_until("rsync is called", || scene.next_call() > call);
        assert!(lock_as_the_old_tool(&path).is_err(), "the old tool would have run in call {call}");
        fs::write(scene.mirror.config.with_file_name(format!("go{call}")), "").expect("written");
    }
    ended_with(running.end(), &[Status::Done]);
    scene.assert_same();
    lock_as_the_old_tool(&path).expect("the lock goes with the run");
}

#[test]
fn a_time_file_that_cannot_be_made_is_a_local_error() {
    let mut scene = Scene::new(&[FEDORA], build);
    let path = scene.mirror.config.with_file_name("nowhere").join("timefile");
    scene.mirror.add(&format!("time_file = {path:?}"));
    let result = scene.run(&[]).status(Status::Local);
    assert!(result.stderr.contains("time_file") && result.stderr.contains("nowhere"), "{}", result.stderr);
}

#[test]
fn the_time_of_each_good_run_of_all_modules_is_left_for_the_old_tool() {
    let mut scene = Scene::new(&[FEDORA], build);
    let path = name_time_file(&mut scene);
    let read = |path: &PathBuf| fs::read_to_string(path).expect("a time file");
    let inode = |path: &PathBuf| path.metadata().expect("a time file").ino();
    fs::write(&path, "LASTTIME=17000000000000 # odd, and longer\n").expect("written");
    let before = inode(&path);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after the epoch").as_secs();
    let began = now();
    scene.sync_to_same();
    let text = read(&path);
    let time: u64 = text.trim_end().strip_prefix("LASTTIME=").and_then(|time| time.parse().ok()).expect("a time");
    assert!((began - 5..=now() - 5).contains(&time) && text.ends_with('\n'), "{text:?} not {began}");
    assert_eq!(inode(&path), before, "it is the file that was locked");
    assert_eq!(read(&path.with_file_name("timefile.prev")), "LASTTIME=17000000000000 # odd, and longer\n");

    fs::write(&path, "LASTTIME=1\n").expect("written");
    scene.change(|up| up.file("fedora/b", b"b").map(drop));
    for arguments in [&["-n"][..], &["--transfer-only"], &["--refresh", "b"], &[FEDORA]] {
        scene.run(arguments).status(Status::Done);
        assert_eq!(read(&path), "LASTTIME=1\n", "{arguments:?}");
    }
    scene.wrapper.before(scene.next_call(), "exit 1");
    scene.run(&[]).status(Status::Upstream);
    assert_eq!(read(&path), "LASTTIME=1\n", "a run that failed");
    scene.sync_to_same();
    assert_ne!(read(&path), "LASTTIME=1\n");
}
