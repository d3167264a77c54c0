//! Before a run: settings that cannot be followed.

mod support;

use std::fs;

use qfm::exit::Status;
use support::*;

fn build(up: &mut Upstream) -> Built {
    up.file("fedora/a", b"a").map(drop)
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
    assert!(result.stderr.contains("mirror root") && result.stderr.contains("volume mounted?"), "{}", result.stderr);
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
