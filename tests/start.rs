//! Before a run: the lock, and settings that cannot be followed.

mod support;

use std::fs;
use std::path::PathBuf;

use qfm::exit::Status;
use support::*;

fn build(up: &mut Upstream) -> Built {
    up.file("fedora/a", b"a").map(drop)
}

/// A run that waits in its `number`th call until this is dropped.
struct Waiting<'s> {
    running: Option<Running<'s>>,
    go: PathBuf,
}

impl<'s> Waiting<'s> {
    fn in_call(scene: &'s Scene, number: usize) -> Waiting<'s> {
        let go = scene.mirror.config.with_file_name("go");
        scene.wrapper.before(number, &format!("until test -e {go:?}; do sleep 0.05; done"));
        let running = scene.start(&[]);
        wait_until("rsync is called", || scene.next_call() > number);
        Waiting { running: Some(running), go }
    }

    fn end(mut self) -> Option<i32> {
        fs::write(&self.go, "").expect("written");
        self.running.take().and_then(Running::end)
    }
}

#[test]
fn a_second_run_does_not_start_while_one_is_under_way() {
    for call in [1, 3] {
        let scene = Scene::new(&[FEDORA], build);
        let waiting = Waiting::in_call(&scene, call);
        let (before, state) = (tree::inode_snapshot(&scene.mirror.root).expect("a mirror"), scene.state());
        let result = scene.run(&["-v"]).status(Status::Locked);
        assert!(result.stderr.contains("another run holds"), "{}", result.stderr);
        // A timer that comes too early is no news.
        let result = scene.run(&[]).status(Status::Locked);
        assert_eq!((result.stdout.as_str(), result.stderr.as_str()), ("", ""));
        scene.run(&["--json"]).status(Status::Locked);
        assert_untouched(&before, &scene.mirror.root);
        assert_eq!(scene.state(), state, "the state of the run under way was touched");

        // A dry run looks on.
        let result = scene.run(&["-n"]).status(Status::Done);
        assert!(result.stderr.contains("another run is under way"), "{}", result.stderr);
        ended_with(waiting.end(), &[Status::Done]);
        scene.assert_same();
    }
}

#[test]
fn a_dry_run_does_not_hold_the_lock() {
    let scene = Scene::new(&[FEDORA], build);
    let go = scene.mirror.config.with_file_name("go");
    scene.wrapper.before(1, &format!("until test -e {go:?}; do sleep 0.05; done"));
    let dry = scene.start(&["--dry-run"]);
    wait_until("rsync is called", || scene.next_call() > 1);
    scene.sync_to_same();
    fs::write(&go, "").expect("written");
    ended_with(dry.end(), &[Status::Done]);
}

#[test]
fn mirrors_with_other_roots_do_not_lock_each_other_out() {
    let scene = Scene::new(&[FEDORA], build);
    let mut other = Mirror::new(&scene.daemon.url(), &[FEDORA]);
    other.state = scene.mirror.state.clone();
    other.configure(&scene.daemon.url(), &[FEDORA], "");
    let waiting = Waiting::in_call(&scene, 1);
    other.sync();
    assert_same(scene.site.upstream.root(), &other.root);
    ended_with(waiting.end(), &[Status::Done]);
    scene.assert_same();
}

#[test]
fn settings_that_cannot_be_followed_end_the_run_before_it_begins() {
    let mut scene = Scene::new(&[FEDORA], build);
    let (root, url) = (scene.mirror.root.clone(), scene.daemon.url());
    let inside = root.join("fedora/state");
    let cases: [(String, &str); 5] = [
        ("rsync.timeuot = \"10s\"".to_owned(), "rsync.timeout"),
        ("jobs = \"many\"".to_owned(), "whole number"),
        ("jobs = 0".to_owned(), "jobs"),
        ("rsync.options = [\"--delete\"]".to_owned(), "--delete"),
        ("log_file = \"relative\"".to_owned(), "log_file"),
    ];
    for (line, words) in cases {
        scene.configure(&[FEDORA], &line);
        let result = scene.run(&[]).status(Status::Usage);
        assert!(result.stderr.contains(words) && result.stderr.contains("qfm.toml"), "{line}: {}", result.stderr);
    }
    scene.mirror.state = inside;
    scene.mirror.configure(&url, &[FEDORA], "");
    let result = scene.run(&[]).status(Status::Usage);
    assert!(result.stderr.contains("state"), "{}", result.stderr);
    assert!(scene.new_calls().is_empty() && fs::read_dir(&root).expect("a root").count() == 0);
}

#[test]
fn a_configuration_that_is_not_there_ends_the_run() {
    let scene = Scene::new(&[FEDORA], build);
    fs::remove_file(&scene.mirror.config).expect("removed");
    let result = scene.run(&[]).status(Status::Usage);
    assert!(result.stderr.contains("qfm.toml") && result.stderr.contains("config init"), "{}", result.stderr);
}

#[test]
fn a_root_that_is_not_there_is_not_made() {
    let mut scene = Scene::new(&[FEDORA], build);
    let root = scene.mirror.root.clone();
    fs::remove_dir(&root).expect("removed");
    let result = scene.run(&[]).status(Status::Local);
    assert!(result.stderr.contains("mirror root") && result.stderr.contains("not mounted"), "{}", result.stderr);
    assert!(!root.exists() && scene.new_calls().is_empty());
    fs::write(&root, "a file").expect("written");
    scene.run(&[]).status(Status::Local);
}

#[test]
fn a_module_that_is_not_configured_cannot_be_named() {
    let mut scene = Scene::new(&[FEDORA], build);
    for args in [&["fedora-enchilda"][..], &["--allow-delete", "fedora-enchilda"], &["--list-file", "epel=/x"]] {
        let result = scene.run(args).status(Status::Usage);
        assert!(result.stderr.contains(FEDORA) || result.stderr.contains("epel"), "{}", result.stderr);
    }
    assert!(scene.new_calls().is_empty());
}

#[test]
fn a_state_that_cannot_be_made_is_local_trouble() {
    let mut scene = Scene::new(&[FEDORA], build);
    fs::write(&scene.mirror.state, "a file").expect("written");
    let result = scene.run(&[]).status(Status::Local);
    assert!(result.stderr.contains("state"), "{}", result.stderr);
    assert!(scene.new_calls().is_empty());
}
