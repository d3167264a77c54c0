//! Taking the place of quick-fedora-mirror: its time file is its lock, and what it knew.

mod support;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after the epoch").as_secs()
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
    assert!(result.stderr.contains("quick-fedora-mirror, or another run, is under way: it holds"), "{}", result.stderr);
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
    let began = now();
    scene.sync_to_same();
    let text = read(&path);
    let time: u64 = text.trim_end().strip_prefix("LASTTIME=").and_then(|time| time.parse().ok()).expect("a time");
    assert!((began - 5..=now() - 5).contains(&time) && text.ends_with('\n'), "{text:?} not {began}");
    assert_eq!(inode(&path), before, "it is the file that was locked");
    assert_eq!(read(&path.with_file_name("timefile.prev")), "LASTTIME=17000000000000 # odd, and longer\n");

    fs::write(&path, "LASTTIME=1\n").expect("written");
    scene.change(|up| up.file("fedora/b", b"b").map(drop));
    for arguments in [&["-n"][..], &["--transfer-only"], &["--refresh", "b"]] {
        scene.run(arguments).status(Status::Done);
        assert_eq!(read(&path), "LASTTIME=1\n", "{arguments:?}");
    }
    scene.wrapper.before(scene.next_call(), "exit 1");
    scene.run(&[]).status(Status::Upstream);
    assert_eq!(read(&path), "LASTTIME=1\n", "a run that failed");
    scene.sync_to_same();
    assert_ne!(read(&path), "LASTTIME=1\n");
    fs::write(&path, "LASTTIME=1\n").expect("written");
    scene.run(&[FEDORA]).status(Status::Done);
    assert_ne!(read(&path), "LASTTIME=1\n", "it is all that there is");
}

/// A tree with packages that were linked or made readable upstream after they were made: their list has the time of that.
fn build_touched(up: &mut Upstream) -> Built {
    for name in ["a", "b", "c", "d"] {
        up.file(format!("fedora/os/{name}.rpm"), format!("package {name}"))?;
    }
    up.file("fedora/os/repodata/1-primary.xml", b"1")?.file("fedora/os/repodata/repomd.xml", b"1-primary.xml")?;
    up.link("fedora/latest", "os").map(drop)
}

/// Puts later times into the rows of upstream's files, as a list of change times has them.
fn publish_change_times(scene: &mut Scene) {
    let list = String::from_utf8(scene.site.upstream.list("fedora").expect("a list")).expect("text");
    let later = |line: &str| match line.split_once('\t') {
        Some((time, rest)) if rest.starts_with("f\t") => {
            format!("{}\t{rest}\n", time.parse::<u64>().expect("a time") + 1)
        }
        _ => format!("{line}\n"),
    };
    let list: String = list.lines().map(later).collect();
    scene.publish_raw("fedora", list.as_bytes());
}

/// Copies with modes and times.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status().expect("cp");
    assert!(copied.success(), "cp -a failed");
}

/// A mirror as the old tool leaves it after a run that ended well: in step, its list in the tree, and the time in the time file.
fn left_by_the_old_tool() -> (Scene, PathBuf) {
    let mut scene = Scene::new(&[FEDORA], build_touched);
    publish_change_times(&mut scene);
    copy(&scene.site.upstream.path("fedora"), &scene.mirror.root);
    let path = name_time_file(&mut scene);
    fs::write(&path, format!("LASTTIME={}\n", now() - 5)).expect("written");
    (scene, path)
}

/// What rsync was asked about in a run that brought the mirror in step, and what that said.
#[track_caller]
fn asked_until_same(scene: &mut Scene, arguments: &[&str]) -> (BTreeSet<String>, String) {
    scene.new_calls();
    let result = scene.run(arguments).status(Status::Done);
    scene.assert_same();
    let names = names_asked(&scene.new_calls());
    let name = |name: Vec<u8>| {
        let name = String::from_utf8(name).expect("text");
        name.split_once("/./").map_or(name.clone(), |(_, name)| name.to_owned())
    };
    // The lists beside the one that is followed come with any transfer.
    let names = names.into_iter().map(name).filter(|name| !name.contains("list"));
    (names.collect(), result.stderr)
}

fn set_of(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

const POINTERS_AND_INDEXES: [&str; 2] = ["fedora/os/repodata/1-primary.xml", "fedora/os/repodata/repomd.xml"];

const PACKAGES: [&str; 4] = ["fedora/os/a.rpm", "fedora/os/b.rpm", "fedora/os/c.rpm", "fedora/os/d.rpm"];

#[test]
fn a_first_run_over_a_tree_in_step_asks_for_no_content() {
    let (mut scene, path) = left_by_the_old_tool();
    let text = fs::read(&path).expect("a time file");
    let shown = scene.run(&["-n", "--json"]).status(Status::Done);
    assert_eq!(shown.stderr, "");
    assert_eq!(fs::read(&path).expect("a time file"), text, "a dry run leaves it alone");
    assert_eq!(shown.json()["modules"][0]["fetch"]["newer"]["entries"], 2, "{}", shown.stdout);

    let (asked, said) = asked_until_same(&mut scene, &[]);
    assert_eq!((asked, said.as_str()), (set_of(&POINTERS_AND_INDEXES), ""));
    scene.assert_quiet();
    assert!(lock_as_the_old_tool(&path).is_ok(), "and the lock goes with the run");
    // Without the time file nobody vouches.
    fs::remove_dir_all(&scene.mirror.state).expect("removed");
    fs::write(&path, "").expect("written");
    let (asked, said) = asked_until_same(&mut scene, &[]);
    assert!(asked.is_superset(&set_of(&PACKAGES)), "{asked:?}");
    assert_eq!(said, "", "an empty time file is no news");
    // After a run of ours the tree is in step too, and the time file tells it.
    fs::remove_dir_all(&scene.mirror.state).expect("removed");
    assert_eq!(asked_until_same(&mut scene, &[]).0, set_of(&POINTERS_AND_INDEXES));
    fs::remove_dir_all(&scene.mirror.state).expect("removed");
    assert!(asked_until_same(&mut scene, &["--full"]).0.is_superset(&set_of(&PACKAGES)));
}

#[test]
fn what_the_old_tool_left_half_done_or_upstream_changed_is_found() {
    let (mut scene, _) = left_by_the_old_tool();
    let here = |name: &str| scene.mirror.path(name);
    fs::remove_file(here("fedora/os/a.rpm")).expect("removed");
    fs::write(here("fedora/os/b.rpm"), "half").expect("written");
    // A newer pointer than the list has, of the same size.
    fs::write(here("fedora/os/repodata/repomd.xml"), "2-primary.xml").expect("written");
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for name in ["fedora/os/b.rpm", "fedora/os/repodata/repomd.xml"] {
        File::open(here(name)).expect("opened").set_modified(old).expect("dated");
    }
    fs::write(here("fedora/os/never-had"), "").expect("written");
    scene.change(|up| up.file("fedora/os/c.rpm", "Package C")?.remove("fedora/os/d.rpm")?.dir("fedora/new").map(drop));
    publish_change_times(&mut scene);
    let plan = scene.run(&["-n", "--json"]).status(Status::Done).json();
    let deletes = &plan["modules"][0]["delete"];
    assert_eq!((&deletes["gone"], &deletes["never-listed"]), (&1.into(), &1.into()), "{plan}");
    let (asked, _) = asked_until_same(&mut scene, &[]);
    assert!(asked.is_superset(&set_of(&PACKAGES[..3])), "{asked:?}");
    scene.assert_quiet();
}

#[test]
fn a_list_that_came_after_the_last_good_run_vouches_for_nothing() {
    let is_cut_off = |damage: &dyn Fn(&Scene, &PathBuf)| {
        let (mut scene, path) = left_by_the_old_tool();
        scene.change(|up| up.file("fedora/os/a.rpm", "Package A").map(drop));
        publish_change_times(&mut scene);
        damage(&scene, &path);
        // It installed the list, and not the package.
        let list = "fedora/fullfiletimelist-fedora";
        copy(&scene.site.upstream.path(list), &scene.mirror.path(list));
        let (asked, said) = asked_until_same(&mut scene, &[]);
        assert!(asked.is_superset(&set_of(&PACKAGES)), "{asked:?}");
        assert!(said.contains("newer than the last good run that the time file tells of"), "{said}");
        scene.assert_quiet();
    };
    is_cut_off(&|_, path| {
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        File::options().write(true).open(path).expect("opened").set_modified(hour_ago).expect("dated");
    });
    is_cut_off(&|scene, path| {
        let published = scene.site.upstream.path("fedora/fullfiletimelist-fedora").metadata().expect("a list").mtime();
        fs::write(path, format!("LASTTIME={}\n", published - 1)).expect("written");
        let ahead = SystemTime::now() + Duration::from_secs(3600);
        File::options().write(true).open(path).expect("opened").set_modified(ahead).expect("dated");
    });
}

#[test]
fn an_odd_time_file_is_told_and_never_run() {
    let (mut scene, path) = left_by_the_old_tool();
    let ran = path.with_file_name("ran");
    for odd in [format!("LASTTIME=$(touch {ran:?})\n"), format!("LASTTIME={}\n", now() + 100_000), "x".repeat(5000)] {
        fs::write(&path, &odd).expect("written");
        let warned = |said: &str| said.contains("time_file") && said.contains(&path.display().to_string());
        let shown = scene.run(&["-n"]).status(Status::Done);
        assert!(warned(&shown.stderr), "{}", shown.stderr);
        let (asked, said) = asked_until_same(&mut scene, &[]);
        assert!(asked.is_superset(&set_of(&PACKAGES)), "{odd}: {asked:?}");
        assert!(warned(&said), "{said}");
        assert!(!ran.exists(), "it was run");
        scene.assert_quiet();
        fs::remove_dir_all(&scene.mirror.state).expect("removed");
    }
}
