//! What is said of deletions: each thing once, as it is now, and no reason that is none.

mod support;

use std::fs;

use qfm::exit::Status;
use serde_json::json;
use support::*;

/// A hundred packages in a directory, sixty in another.
fn build(up: &mut Upstream) -> Built {
    (0..100).try_for_each(|number| up.file(format!("fedora/updates/p{number}"), b"package").map(drop))?;
    (0..60).try_for_each(|number| up.file(format!("fedora/releases/r{number}"), b"release").map(drop))
}

#[test]
fn a_narrower_filter_is_no_list_that_shrank() {
    let mut scene = Scene::synced(&[FEDORA], build);
    scene.configure(&[FEDORA], "filter.exclude = ['re:^fedora/updates']");
    for _ in 0..2 {
        let said = scene.run(&[]).status(Status::Held).stderr;
        assert!(!said.contains("shrank") && said.contains("too many at once"), "{said}");
        assert_eq!(said.matches("101").count(), 3, "in all, by cause, by place: {said}");
    }
    scene.run(&["--allow-delete", FEDORA]).status(Status::Done);
    // By the same filter it is one.
    scene.change(|up| (0..55).try_for_each(|number| up.remove(format!("fedora/releases/r{number}")).map(drop)));
    let said = scene.run(&[]).status(Status::Held).stderr;
    assert!(said.contains("the list shrank from 61 to 6 entries"), "{said}");
}

#[test]
fn a_list_that_shrank_with_another_filter_is_measured_by_that() {
    let mut scene = Scene::synced(&[FEDORA], build);
    scene.configure(&[FEDORA], "filter.exclude = ['re:^fedora/updates/p1$']");
    scene.change(|up| (0..55).try_for_each(|number| up.remove(format!("fedora/releases/r{number}")).map(drop)));
    let said = scene.run(&[]).status(Status::Held).stderr;
    assert!(said.contains("the list shrank from 161 to 106 entries"), "{said}");
}

#[test]
fn after_a_lost_state_foreign_files_are_no_list_that_shrank() {
    let scene = Scene::synced(&[FEDORA], build);
    fs::create_dir(scene.mirror.path("fedora/mine")).expect("made");
    (0..300).for_each(|number| fs::write(scene.mirror.path(format!("fedora/mine/{number}")), "mine").expect("written"));
    fs::remove_dir_all(&scene.mirror.state).expect("removed");
    for _ in 0..2 {
        let said = scene.run(&[]).status(Status::Held).stderr;
        assert!(!said.contains("shrank") && said.contains("301 entries would go"), "{said}");
    }
}

#[test]
fn what_waits_is_told_in_figures_of_now() {
    let mut scene = Scene::synced(&[FEDORA], build);
    scene.change(|up| up.remove("fedora/updates")?.remove("fedora/releases/r1").map(drop));
    scene.run(&["--allow-delete", &format!("{FEDORA}/releases")]).status(Status::Held);
    let said = scene.run(&[]).status(Status::Held).stderr;
    assert!(said.contains("101 entries would go (101 gone)") && !said.contains("102"), "{said}");
}

#[test]
fn what_goes_is_told_with_its_cause() {
    let mut scene = Scene::synced(&[FEDORA], build);
    scene.change(|up| up.file("fedora/tree/a/b", b"b").map(drop));
    scene.sync();
    scene.change(|up| up.remove("fedora/updates/p1")?.remove("fedora/tree").map(drop));
    fs::write(scene.mirror.path("fedora/updates/mine"), "mine").expect("written");
    scene.configure(&[FEDORA], "filter.exclude = ['re:^fedora/releases/r1$']");
    let said = scene.run(&["-v"]).status(Status::Done).stderr;
    for part in ["updates/p1 (gone)", "tree (gone, 3 entries)", "updates/mine (never-listed)", "releases/r1 (excluded)"]
    {
        assert!(said.contains(&format!("{FEDORA}: deleted     {part}")), "{part:?} is missing: {said}");
    }
}

#[test]
fn what_is_never_deleted_is_told_by_each_run_at_the_cost_of_a_call() {
    let mut scene = Scene::synced(&[FEDORA], build);
    scene.change(|up| up.remove("fedora/releases").map(drop));
    scene.configure(&[FEDORA], "delete.mode = \"never\"");
    for _ in 0..3 {
        let result = scene.run(&["--json", "-v"]).status(Status::Done);
        let module = &result.json()["modules"][0];
        assert_eq!((&module["held"], &module["held_by_cause"]["gone"]), (&61.into(), &61.into()), "{module}");
        assert!(result.stderr.contains("61 entries are kept that should go (61 gone)"), "{}", result.stderr);
    }
    let record = scene.run(&["--json"]).status(Status::Done).json();
    let depth = &record["modules"][0]["depth"];
    assert_eq!((&record["rsync_calls"], &record["changed"], depth), (&1.into(), &false.into(), &"none".into()));
    let dry = scene.run(&["--dry-run"]).status(Status::Done).stdout;
    assert!(dry.contains("keep    gone         61 entries") && dry.contains("is kept (delete.mode)"), "{dry}");
    scene.run(&["--set", "delete.mode=now", "--allow-delete", FEDORA]).status(Status::Done);
    assert!(!scene.mirror.path("fedora/releases").exists());
}

#[test]
fn a_permission_for_a_path_where_nothing_would_go_is_told() {
    let mut scene = Scene::synced(&[FEDORA], build);
    scene.change(|up| up.remove("fedora/updates").map(drop));
    let allow = |path: &str| scene.run(&["--allow-delete", &format!("{FEDORA}/{path}")]).stderr;
    let said = allow("update");
    assert!(said.contains(&format!("--allow-delete {FEDORA}/update: nothing would be deleted there")), "{said}");
    assert_eq!(allow("updates"), "");
}

#[test]
fn a_record_says_what_came_why_and_how_long_each_phase_took() {
    let build = |up: &mut Upstream| {
        up.file("fedora/linux/a.rpm", vec![b'a'; 3000])?.file("fedora/linux/b.rpm", vec![b'b'; 500])?;
        up.file("fedora/linux/repodata/repomd.xml", "<repomd/>".as_bytes())?.dir("fedora/linux/images").map(drop)
    };
    let mut scene = Scene::synced(&[FEDORA], build);
    let time = scene.site.upstream.now() + 10;
    scene.change(|up| {
        up.file_at("fedora/linux/a.rpm", vec![b'c'; 4000], time)?.remove("fedora/linux/images")?;
        up.file("fedora/linux/new.rpm", vec![b'n'; 500])?
            .hardlink("fedora/linux/new.rpm", "fedora/other/new.rpm")
            .map(drop)
    });
    let record = scene.run(&["--json"]).status(Status::Done).json();
    let module = &record["modules"][0];
    assert_eq!(module["fetched"], json!({ "entries": 2, "bytes": 4500 }), "{module:#}");
    assert_eq!((&module["added"], &module["linked"], &module["linked_bytes"]), (&3.into(), &1.into(), &500.into()));
    assert_eq!(module["changed_by_cause"], json!({ "size": 1, "missing": 3 }));
    assert_eq!(module["deleted_by_cause"], json!({ "gone": 1 }));
    let planned = module["planned"]["bytes"].as_u64().expect("bytes");
    assert!(planned >= 5000 && module["failed"] == false, "{module:#}");
    let phases = record["seconds_by_phase"].as_object().expect("phases");
    let words: Vec<&str> = phases.keys().map(String::as_str).collect();
    assert_eq!(words, ["check", "commit", "compare", "content", "lists", "pointers", "prepare"]);
    let spent: f64 = phases.values().map(|seconds| seconds.as_f64().expect("seconds")).sum();
    let seconds = record["seconds"].as_f64().expect("seconds");
    assert!((spent - seconds).abs() < 0.01, "{spent} of {seconds}");
}
