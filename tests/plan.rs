//! A dry run says what the next run does, and does nothing itself.

mod support;

use std::collections::BTreeSet;
use std::fs;

use qfm::exit::Status;
use serde_json::Value;
use support::tree::inode_snapshot;
use support::*;

fn build(up: &mut Upstream) -> Built {
    for number in 0..10 {
        up.file(format!("fedora/os/p{number}.rpm"), format!("package {number}"))?;
    }
    up.file("fedora/old/deep/a", b"a")?.file("fedora/old/b", b"b")?.file("fedora/repodata/repomd.xml", b"<1/>")?;
    up.hardlink("fedora/os/p0.rpm", "archive/os/p0.rpm")?.link("fedora/latest", "os").map(drop)
}

fn change(up: &mut Upstream) -> Built {
    up.remove("fedora/old")?
        .remove("fedora/os/p1.rpm")?
        .file("fedora/os/p2.rpm", b"of another size")?
        .file("fedora/os/p4.rpm", b"PACKAGE 4")?
        .file("fedora/new/n.rpm", b"new")?
        .file(std::path::Path::new("fedora/new").join(name(b"\xff\ttab")), b"odd")?
        .file("fedora/repodata/repomd.xml", b"<2/>")?
        .hardlink("fedora/os/p3.rpm", "archive/os/p3.rpm")?
        .link("fedora/latest", "new")?;
    Ok(())
}

fn changed() -> Scene {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    scene.change(change);
    scene
}

/// Fails if the run wrote to the mirror or to the state.
#[track_caller]
fn run_without_traces(scene: &Scene, args: &[&str], status: Status) -> RunResult {
    let (mirror, state) = (inode_snapshot(&scene.mirror.root).expect("a mirror"), scene.state());
    let result = scene.run(args).status(status);
    assert_untouched(&mirror, &scene.mirror.root);
    assert_eq!(scene.state(), state, "the state was written to");
    result
}

fn modules(plan: &Value) -> &Vec<Value> {
    plan["modules"].as_array().expect("modules")
}

/// The paths of one action, below the mirror root.
fn paths(plan: &Value, action: &str) -> BTreeSet<Vec<u8>> {
    let of_module = |module: &Value| {
        let directory = module["directory"].as_str().expect("a directory").to_owned();
        let paths = module["paths"].as_array().cloned().unwrap_or_default();
        paths
            .into_iter()
            .filter(|path| path["action"] == action)
            .map(move |path| {
                let bytes = match path["path_base64"].as_str() {
                    Some(text) => base64_bytes(text),
                    None => path["path"].as_str().expect("a path").as_bytes().to_vec(),
                };
                [directory.as_bytes(), b"/", &bytes].concat()
            })
            .collect::<Vec<_>>()
    };
    modules(plan).iter().flat_map(of_module).collect()
}

fn base64_bytes(text: &str) -> Vec<u8> {
    use base64::Engine;
    base64::prelude::BASE64_STANDARD.decode(text).expect("base64")
}

fn pieces(path: &std::path::Path) -> Vec<String> {
    let bytes = fs::read(path).expect("a part of the plan");
    assert!(bytes.is_empty() || bytes.ends_with(b"\0"));
    let pieces = bytes.split_inclusive(|byte| *byte == 0).map(|piece| &piece[..piece.len() - 1]);
    pieces.map(|piece| piece.escape_ascii().to_string()).collect()
}

#[test]
fn a_dry_run_writes_nothing() {
    let scene = Scene::new(&[FEDORA, ARCHIVE], build);
    for args in [&["--dry-run"][..], &["-n", "-v"], &["-n", "--json"], &["-n", "--full"]] {
        run_without_traces(&scene, args, Status::Done);
        assert!(!scene.mirror.state.exists() && !scene.mirror.path("fedora").exists());
    }
    let scene = changed();
    for args in [&["--dry-run"][..], &["-n", "-v"], &["-n", "--json"], &["-n", "--full"]] {
        run_without_traces(&scene, args, Status::Done);
    }
    scene.sync_to_same();
    let result = run_without_traces(&scene, &["-n"], Status::Done);
    assert!(result.stdout.contains("Nothing to do."), "{}", result.stdout);
}

#[test]
fn a_dry_run_plans_exactly_what_the_next_run_does() {
    for first in [true, false] {
        let mut scene = if first { Scene::new(&[FEDORA, ARCHIVE], build) } else { changed() };
        let plan = run_without_traces(&scene, &["-n", "-v", "--json"], Status::Done).json();
        assert_eq!((&plan["version"], &plan["kind"]), (&1.into(), &"plan".into()));
        scene.new_calls();
        let before = inode_snapshot(&scene.mirror.root).expect("a mirror");
        let done = scene.run(&["--json"]).status(Status::Done).json();
        scene.assert_same();
        let after = inode_snapshot(&scene.mirror.root).expect("a mirror");

        // What was asked for is what was planned, and twins that stay as they are.
        let is_extra =
            |name: &Vec<u8>| name.ends_with(b"fullfilelist") || name.windows(11).any(|part| part == b"/imagelist-");
        let asked: BTreeSet<Vec<u8>> =
            names_asked(&scene.new_calls()).into_iter().filter(|name| !is_extra(name)).collect();
        let planned = paths(&plan, "fetch");
        let lost: Vec<_> = planned.difference(&asked).map(|name| name.escape_ascii().to_string()).collect();
        assert!(lost.is_empty(), "planned and not asked for: {lost:?}");
        let twins: Vec<_> = asked.difference(&planned).map(|name| name.escape_ascii().to_string()).collect();
        assert_eq!(twins, if first { vec![] } else { vec!["fedora/os/p3.rpm"] });

        // What went is what was planned.
        let gone: BTreeSet<Vec<u8>> = before.keys().filter(|name| !after.contains_key(*name)).cloned().collect();
        let deletes = paths(&plan, "delete");
        let covers =
            |name: &Vec<u8>| deletes.iter().any(|path| name == path || name.starts_with(&[path, &b"/"[..]].concat()));
        assert!(gone.iter().all(covers) && deletes.is_subset(&gone), "{deletes:?} {gone:?}");

        let sum = |plan: &Value, key: &str| -> u64 {
            modules(plan)
                .iter()
                .flat_map(|module| module[key].as_object().cloned().unwrap_or_default())
                .map(|(_, value)| value.as_u64().or(value["entries"].as_u64()).expect("a number"))
                .sum()
        };
        assert_eq!(sum(&plan, "fetch"), planned.len() as u64);
        assert_eq!(sum(&plan, "delete"), gone.len() as u64);
        let deleted: u64 = modules(&done).iter().map(|module| module["deleted"].as_u64().expect("a number")).sum();
        let linked: u64 = modules(&done).iter().map(|module| module["linked"].as_u64().expect("a number")).sum();
        let fetched: u64 =
            modules(&done).iter().map(|module| module["fetched"]["entries"].as_u64().expect("a number")).sum();
        assert_eq!(deleted, gone.len() as u64);
        assert_eq!(plan["expected"]["entries"].as_u64(), Some(fetched));
        if !first {
            assert_eq!(plan["linked"].as_u64(), Some(linked));
        }
    }
}

#[test]
fn each_path_of_the_plan_has_its_cause() {
    let scene = changed();
    fs::remove_file(scene.mirror.path("fedora/os/p7.rpm")).expect("removed");
    fs::write(scene.mirror.path("fedora/os/extra\nname"), "extra").expect("written");
    let text = scene.run(&["-n", "-v"]).status(Status::Done).stdout;
    for (sign, cause, path) in [
        ("+", "missing", "fedora/new/n.rpm"),
        ("+", "missing", "fedora/os/p7.rpm"),
        ("+", "size", "fedora/os/p2.rpm"),
        ("+", "changed", "fedora/os/p4.rpm"),
        ("=", "link", "archive/os/p3.rpm = fedora/os/p3.rpm"),
        ("-", "gone", "fedora/old"),
        ("-", "gone", "fedora/os/p1.rpm"),
        ("-", "never-listed", "fedora/os/extra\\x0aname"),
        ("+", "missing", "fedora/new/\\xff\\x09tab"),
    ] {
        let found = text.lines().any(|line| {
            let words = line.trim().strip_prefix(sign).map(str::trim_start);
            words.and_then(|words| words.strip_prefix(cause)).is_some_and(|rest| rest.trim() == path)
        });
        assert!(found, "{sign} {cause} {path} is missing:\n{text}");
    }
}

#[test]
fn a_saved_list_is_planned_from_without_any_call() {
    let scene = changed();
    let list = scene.mirror.config.with_file_name("saved-list");
    fs::write(&list, scene.site.upstream.list("fedora").expect("a list")).expect("written");
    let calls = scene.next_call();
    let argument = format!("{FEDORA}={}", list.display());
    let result = run_without_traces(&scene, &["--list-file", &argument, "--json", "-v"], Status::Done);
    assert_eq!(scene.next_call(), calls, "rsync was called");
    let plan = result.json();
    assert!(paths(&plan, "fetch").contains(&b"fedora/new/n.rpm"[..]));
    assert!(paths(&plan, "delete").contains(&b"fedora/os/p1.rpm"[..]));
    let result = run_without_traces(&scene, &["--list-file", &argument, "--detailed-exitcode"], Status::Changed);
    assert!(result.stdout.contains("install the new list"), "{}", result.stdout);
    assert!(!result.stdout.contains(ARCHIVE), "it has no list, and is left alone: {}", result.stdout);
    let result = run_without_traces(&scene, &["--list-file", &argument, FEDORA, ARCHIVE], Status::Usage);
    let said = format!("{ARCHIVE}: there is no list to compare it with: add --list-file {ARCHIVE}=PATH");
    assert!(result.stderr.contains(&said), "{}", result.stderr);
    let result = run_without_traces(&scene, &["size", "--list-file", &argument], Status::Done);
    assert!(result.stdout.contains(FEDORA) && !result.stdout.contains(ARCHIVE), "{}", result.stdout);

    fs::write(&list, "garbage").expect("written");
    run_without_traces(&scene, &["--list-file", &argument], Status::List);
    run_without_traces(&scene, &["--list-file", &format!("{FEDORA}=/nowhere")], Status::Local);
    run_without_traces(&scene, &["--list-file", "unknown=/nowhere"], Status::Usage);
}

#[test]
fn the_parts_of_the_plan_are_written_as_files() {
    let scene = changed();
    let out = scene.mirror.config.with_file_name("plan");
    let far = out.join("far");
    let result = run_without_traces(&scene, &["-n", "--plan-out", far.to_str().expect("UTF-8")], Status::Local);
    assert!(result.stderr.contains("nothing is made but the last directory") && !out.exists(), "{}", result.stderr);
    fs::write(scene.mirror.path("fedora/old/extra\nname"), "extra").expect("written");
    run_without_traces(&scene, &["-n", "--plan-out", out.to_str().expect("UTF-8")], Status::Done);
    let transfer = pieces(&out.join("transfer"));
    let expected = [
        "archive/os",
        "archive/os/p3.rpm",
        "fedora/latest",
        "fedora/new",
        "fedora/new/\\xff\\ttab",
        "fedora/new/n.rpm",
        "fedora/os",
        "fedora/os/p2.rpm",
        "fedora/os/p4.rpm",
        "fedora/repodata",
        "fedora/repodata/repomd.xml",
    ];
    let sorted: BTreeSet<&str> = transfer.iter().map(String::as_str).collect();
    assert_eq!(sorted, BTreeSet::from(expected));
    assert_eq!(transfer.len(), expected.len(), "a name stands there twice");
    assert_eq!(pieces(&out.join("hardlinks")), ["archive/os/p3.rpm", "fedora/os/p3.rpm"]);
    let deletes = pieces(&out.join("deletes"));
    let expected = [
        "fedora/old",
        "fedora/old/b",
        "fedora/old/deep",
        "fedora/old/deep/a",
        "fedora/old/extra\\nname",
        "fedora/os/p1.rpm",
    ];
    assert_eq!(deletes.iter().map(String::as_str).collect::<BTreeSet<_>>(), BTreeSet::from(expected));
    for (index, path) in deletes.iter().enumerate() {
        let below = deletes[index..].iter().find(|later| later.starts_with(&format!("{path}/")));
        assert_eq!(below, None, "{path} stands before what it holds");
    }

    // A tool of the admin's can do with it what qfm would.
    let copied = std::process::Command::new("rsync")
        .args(["-aH", "--from0", "--files-from"])
        .arg(out.join("transfer"))
        .arg(scene.daemon.url())
        .arg(&scene.mirror.root)
        .status();
    assert!(copied.expect("rsync").success());
    assert!(scene.mirror.path("fedora/new/n.rpm").exists());
}

#[test]
fn detailed_exit_codes_tell_something_from_nothing() {
    let scene = changed();
    scene.run(&["-n", "--detailed-exitcode"]).status(Status::Changed);
    scene.run(&["-n"]).status(Status::Done);
    scene.run(&["--detailed-exitcode"]).status(Status::Changed);
    scene.run(&["--detailed-exitcode"]).status(Status::Done);
    scene.run(&["-n", "--detailed-exitcode"]).status(Status::Done);
}

#[test]
fn the_result_of_a_run_is_one_versioned_object() {
    let mut scene = changed();
    let result = scene.run(&["--json"]).status(Status::Done);
    let json = result.json();
    assert_eq!(result.stdout.lines().count(), 1);
    assert_eq!(result.stderr, "");
    assert_eq!(
        (&json["version"], &json["kind"], &json["status"], &json["code"]),
        (&1.into(), &"run".into(), &"done".into(), &0.into())
    );
    assert_eq!(json["rsync_calls"].as_u64(), Some(scene.new_calls().len() as u64));
    assert_eq!(json["changed"], true);
    let json = scene.run(&["--json"]).status(Status::Done).json();
    assert_eq!((&json["changed"], &json["rsync_calls"]), (&false.into(), &1.into()));
    // Also when it fails.
    scene.publish_raw("fedora", b"garbage");
    let json = scene.run(&["--json"]).status(Status::List).json();
    assert_eq!((&json["status"], &json["code"]), (&"list".into(), &6.into()));
    assert!(json["errors"].as_array().is_some_and(|errors| errors.len() == 1), "{json:#}");
}

#[test]
fn what_is_said_fits_who_listens() {
    let mut scene = changed();
    let result = scene.run(&["-v"]).status(Status::Done);
    assert!(result.stderr.contains("fedora/new/n.rpm") && result.stderr.contains("deleted"), "{}", result.stderr);
    scene.change(|up| up.file("fedora/os/q.rpm", b"q").map(drop));
    let result = scene.run(&[]).status(Status::Done);
    assert_eq!(result.stderr, "");
    assert!(result.stdout.contains("fetched 1 entry (1 B)"), "{}", result.stdout);
    scene.change(|up| up.file("fedora/os/r.rpm", b"r").map(drop));
    let result = scene.run(&["-q"]).status(Status::Done);
    assert_eq!((result.stdout.as_str(), result.stderr.as_str()), ("", ""));
}

#[test]
fn a_dry_run_knows_what_upstream_did_not_deliver() {
    let mut scene = Scene::synced(&[FEDORA], |up| up.file("fedora/a", b"a").map(drop));
    scene.change(|up| up.file("fedora/b", b"b").map(drop));
    fs::remove_file(scene.site.upstream.path("fedora/b")).expect("removed");
    scene.run(&["-n", "--detailed-exitcode"]).status(Status::Changed);
    scene.run(&[]).status(Status::Partial);
    let dry = scene.run(&["-n", "--detailed-exitcode"]).status(Status::Partial).stdout;
    assert!(dry.contains("1 entry of these upstream did not deliver to the last run"), "{dry}");
    let dry = scene.run(&["-n", "--json"]).status(Status::Partial).json();
    assert_eq!((&dry["modules"][0]["undelivered"], &dry["code"]), (&1.into(), &8.into()), "{dry}");
    scene.run(&[]).status(Status::Partial);
    // A list that says something else of it may be right.
    scene.change(|up| up.file("fedora/b", b"another").map(drop));
    scene.run(&["-n", "--detailed-exitcode"]).status(Status::Changed);
    scene.sync_to_same();
}
