//! Kinds that clash: what upstream has is here in the end, and nothing behind a link is touched.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use qfm::exit::Status;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use support::*;

const UPSTREAM: [&str; 3] = ["file", "dir", "link"];
const LOCAL: [&str; 8] = ["nothing", "file", "empty", "full", "link", "outside", "dangling", "fifo"];

fn upstream_has(up: &mut Upstream, path: &Path, kind: &str) -> Built {
    if fs::symlink_metadata(up.path(path)).is_ok() {
        up.remove(path)?;
    }
    match kind {
        "file" => up.file(path, b"upstream's")?,
        "empty" => up.dir(path)?,
        "dir" | "full" => up.file(path.join("in it"), b"upstream's")?.file(path.join("below/deep"), b"x")?,
        "link" => up.link(path, "target")?,
        _ => up,
    };
    Ok(())
}

fn put_locally(path: &Path, kind: &str, outside: &Path) {
    if fs::symlink_metadata(path).is_ok_and(|stat| stat.is_dir()) {
        fs::remove_dir_all(path).expect("removed");
    } else if fs::symlink_metadata(path).is_ok() {
        fs::remove_file(path).expect("removed");
    }
    match kind {
        "file" => fs::write(path, "local"),
        "empty" => fs::create_dir(path),
        "full" => {
            fs::create_dir_all(path.join("below/deep")).and_then(|()| fs::write(path.join("below/a\nb"), "local"))
        }
        "link" => symlink("other", path),
        "outside" => symlink(outside, path),
        "dangling" => symlink("nowhere", path),
        "fifo" => mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o644), 0).map_err(Into::into),
        _ => Ok(()),
    }
    .expect("made");
}

/// Each pair, at the top of the module and below.
fn pairs(first: &'static [&str]) -> impl Iterator<Item = (PathBuf, &'static str, &'static str)> {
    let at = ["fedora", "fedora/deep/er"];
    let kinds = first.iter().flat_map(|first| UPSTREAM.map(|second| (*first, second)));
    kinds.flat_map(move |(first, second)| at.map(|at| (Path::new(at).join(format!("{first}-{second}")), first, second)))
}

fn targets(up: &mut Upstream) -> Built {
    for at in ["fedora", "fedora/deep/er"] {
        up.file(Path::new(at).join("target"), b"target")?.dir(Path::new(at).join("other"))?;
    }
    up.file("archive/a", b"a").map(drop)
}

#[test]
fn whatever_is_here_becomes_what_upstream_has() {
    let scene = &mut Scene::synced(&[FEDORA, ARCHIVE], |up| {
        targets(up)?;
        pairs(&LOCAL).try_for_each(|(path, _, kind)| upstream_has(up, &path, kind))
    });
    let outside = Outside::of(&scene.mirror);
    fs::remove_dir_all(scene.mirror.path("other-tree")).expect("it is not part of this");
    let before = tree::inode_snapshot(outside.path()).expect("a directory");
    for (path, kind, _) in pairs(&LOCAL) {
        put_locally(&scene.mirror.path(path), kind, outside.path());
    }
    scene.run(&["--full"]).status(Status::Done);
    scene.assert_same();
    assert_untouched(&before, outside.path());
    scene.assert_quiet();
}

#[test]
fn a_mirror_that_was_never_in_step_becomes_what_upstream_has() {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], |up| {
        targets(up)?;
        pairs(&LOCAL).try_for_each(|(path, _, kind)| upstream_has(up, &path, kind))
    });
    let outside = scene.mirror.root.with_file_name("outside");
    fs::create_dir_all(outside.join("below")).expect("made");
    fs::write(outside.join("in it"), "mine").expect("written");
    let before = tree::inode_snapshot(&outside).expect("a directory");
    fs::create_dir_all(scene.mirror.path("fedora/deep/er")).expect("made");
    for (path, kind, _) in pairs(&LOCAL) {
        put_locally(&scene.mirror.path(path), kind, &outside);
    }
    scene.sync_to_same();
    assert_untouched(&before, &outside);
    scene.assert_quiet();
}

#[test]
fn what_changes_its_kind_upstream_changes_it_here() {
    const FIRST: &[&str] = &["file", "empty", "full", "link"];
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], |up| {
        targets(up)?;
        pairs(FIRST).try_for_each(|(path, kind, _)| upstream_has(up, &path, kind))
    });
    scene.change(|up| pairs(FIRST).try_for_each(|(path, _, kind)| upstream_has(up, &path, kind)));
    scene.sync_to_same();
    scene.assert_quiet();
    scene.change(|up| pairs(FIRST).try_for_each(|(path, kind, _)| upstream_has(up, &path, kind)));
    scene.sync_to_same();
    scene.assert_quiet();
}

#[test]
fn a_directory_in_the_way_stays_whole_when_the_transfer_fails() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], |up| {
        targets(up)?;
        upstream_has(up, Path::new("fedora/clash"), "full")
    });
    scene.change(|up| upstream_has(up, Path::new("fedora/clash"), "file"));
    scene.configure(&[FEDORA, ARCHIVE], "rsync.retries = 0");
    scene.wrapper.fail_before(scene.next_call() + 1, 12);
    scene.run(&[]).status(Status::Upstream);
    assert!(scene.mirror.path("fedora/clash/below/deep").exists(), "it was moved aside and not back");
    scene.sync_to_same();
    scene.assert_quiet();
}

#[test]
fn a_module_whose_directory_is_a_file_is_local_trouble_and_the_others_go_on() {
    let scene = Scene::new(&[FEDORA, ARCHIVE], targets);
    fs::write(scene.mirror.path("fedora"), "not a directory").expect("written");
    let result = scene.run(&[]).status(Status::Local);
    assert!(result.stderr.contains(FEDORA), "{}", result.stderr);
    assert!(scene.mirror.path("archive/a").exists());
    assert_eq!(fs::read(scene.mirror.path("fedora")).expect("still a file"), b"not a directory");
}
