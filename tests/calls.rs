//! How often rsync is called, and with what: each call is a connection that upstream counts.

mod support;

use qfm::exit::Status;
use support::*;

/// Nothing but the lists lies beside them.
const NO_EXTRAS: &str = "extra_files = []";

fn build(up: &mut Upstream) -> Built {
    for number in 0..8 {
        up.file(format!("fedora/os/p{number}.rpm"), format!("package {number}"))?;
    }
    up.hardlink("fedora/os/p0.rpm", "archive/os/p0.rpm")?
        .file("archive/os/a.rpm", b"aaa")?
        .file("archive/top.rpm", b"top")?;
    index(up, "first")?;
    pointer(up, "first")
}

fn content(up: &mut Upstream) -> Built {
    up.file("fedora/os/p3.rpm", b"another size")?.file("archive/os/new.rpm", b"new").map(drop)
}

fn index(up: &mut Upstream, version: &str) -> Built {
    up.file("fedora/os/repodata/primary.xml", format!("primary of {version}")).map(drop)
}

fn pointer(up: &mut Upstream, version: &str) -> Built {
    up.file("fedora/os/repodata/repomd.xml", format!("<repomd version={version:?}/>")).map(drop)
}

/// A mirror in step, of an upstream with nothing beside its lists.
fn without_extras() -> Scene {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], build);
    scene.configure(&[FEDORA, ARCHIVE], NO_EXTRAS);
    scene.sync_to_same();
    scene
}

/// One run, after which both trees are the same. What each of its calls asked for: `lists`, or names; or `switch`, if it takes what
/// the call before fetched beside the tree.
#[track_caller]
fn calls(scene: &mut Scene, arguments: &[&str]) -> Vec<String> {
    scene.new_calls();
    let record = scene.run(&[arguments, &["--json"]].concat()).status(Status::Done).json();
    let calls = scene.new_calls();
    assert_eq!(record["rsync_calls"], calls.len(), "the record says how many there were");
    scene.assert_same();
    let names =
        |call: &Call| call.names().iter().map(|name| String::from_utf8_lossy(name)).collect::<Vec<_>>().join(" ");
    let told = |(number, call): (usize, &Call)| match call {
        call if call.is_for_lists() => "lists".to_owned(),
        call if call.is_local() => {
            assert_eq!(call.names(), calls[number - 1].names());
            "switch".to_owned()
        }
        call => names(call),
    };
    calls.iter().enumerate().map(told).collect()
}

/// The calls of the run that follows a change, and one alone in the run after it.
#[track_caller]
fn assert_calls(scene: &mut Scene, change: impl FnOnce(&mut Upstream) -> Built, expected: &[&str]) {
    scene.change(change);
    assert_eq!(calls(scene, &[]), expected);
    scene.assert_quiet();
}

#[test]
fn a_first_run_has_one_call_for_all_but_the_pointers_of_all_modules() {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], build);
    scene.configure(&[FEDORA, ARCHIVE], NO_EXTRAS);
    let calls = calls(&mut scene, &[]);
    assert_eq!((calls.len(), calls[0].as_str()), (4, "lists"), "{calls:#?}");
    assert_eq!(calls[2..], ["fedora/os/repodata/repomd.xml", "switch"]);
    for name in ["fedora/os/p7.rpm", "fedora/os/repodata/primary.xml", "archive/os/a.rpm"] {
        assert!(calls[1].contains(name), "{name} in {calls:#?}");
    }
    scene.assert_quiet();
}

#[test]
fn a_run_without_changes_has_one_call_full_or_not() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    for arguments in [&[][..], &["--full"], &["--dry-run"], &[FEDORA], &["--set", "full_check_every=0s"]] {
        scene.new_calls();
        scene.run(arguments).status(Status::Done);
        assert_eq!(scene.new_calls().len(), 1, "{arguments:?}");
    }
}

#[test]
fn what_changed_has_one_call_for_each_class_that_it_is_of() {
    let mut scene = without_extras();
    assert_calls(&mut scene, content, &["lists", "fedora/os fedora/os/p3.rpm archive/os archive/os/new.rpm"]);
    let change = |up: &mut Upstream| {
        content(up)?;
        index(up, "second")?;
        pointer(up, "second")
    };
    let content_comes = "fedora/os/p3.rpm archive/os/new.rpm";
    let index_comes = "fedora/os/repodata/primary.xml";
    let last = "fedora/os fedora/os/repodata fedora/os/repodata/repomd.xml archive/os";
    assert_calls(&mut scene, change, &["lists", content_comes, index_comes, last, "switch"]);
    // Their directory has a new time, which comes with the last of them.
    let pointer_comes = "fedora/os/repodata fedora/os/repodata/repomd.xml";
    let change = |up: &mut Upstream| {
        index(up, "third")?;
        pointer(up, "third")
    };
    assert_calls(&mut scene, change, &["lists", index_comes, pointer_comes, "switch"]);
    assert_calls(&mut scene, |up| pointer(up, "fourth"), &["lists", pointer_comes, "switch"]);
    let index_alone = "fedora/os/repodata fedora/os/repodata/primary.xml";
    assert_calls(&mut scene, |up| index(up, "fourth"), &["lists", index_alone]);
}

#[test]
fn indexes_that_nothing_names_yet_come_with_the_content() {
    let mut scene = without_extras();
    let change = |up: &mut Upstream| {
        content(up)?;
        up.file("fedora/os/repodata/0123abcd-primary.xml", b"primary of second")?;
        pointer(up, "second")
    };
    let first = "fedora/os/p3.rpm fedora/os/repodata/0123abcd-primary.xml archive/os/new.rpm";
    let last = "fedora/os fedora/os/repodata fedora/os/repodata/repomd.xml archive/os";
    assert_calls(&mut scene, change, &["lists", first, last, "switch"]);
}

#[test]
fn what_was_cut_off_is_kept_where_a_file_is_large() {
    let mut scene = without_extras();
    for (size, is_large) in [(1 << 10, false), (16 << 20, true)] {
        scene.change(|up| up.file("fedora/os/new.iso", vec![7; size]).map(drop));
        scene.new_calls();
        scene.sync_to_same();
        let content = &scene.new_calls()[1];
        assert_eq!(content.has("--partial-dir=.~tmp~"), is_large, "{size} bytes: {content:?}");
    }
}

#[test]
fn what_keeps_the_time_of_its_directory_is_asked_for_alone() {
    let mut scene = without_extras();
    let time = scene.site.upstream.now() - 3600;
    let change = |up: &mut Upstream| {
        pointer(up, "second")?;
        up.touch("fedora/os/repodata", time).map(drop)
    };
    assert_calls(&mut scene, change, &["lists", "fedora/os/repodata/repomd.xml", "switch"]);
}

#[test]
fn a_deletion_costs_at_most_the_time_of_its_directory() {
    let mut scene = without_extras();
    assert_calls(&mut scene, |up| up.remove("fedora/os/p5.rpm").map(drop), &["lists", "fedora/os"]);
    // No list names the directory of a module.
    assert_calls(&mut scene, |up| up.remove("archive/top.rpm").map(drop), &["lists"]);
}

#[test]
fn another_name_of_what_is_here_comes_with_the_content() {
    let mut scene = without_extras();
    let change = |up: &mut Upstream| up.hardlink("fedora/os/p6.rpm", "archive/os/p6.rpm").map(drop);
    assert_calls(&mut scene, change, &["lists", "fedora/os/p6.rpm archive/os archive/os/p6.rpm"]);
}

#[test]
fn what_lies_beside_new_lists_comes_last_and_after_the_pointers() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    let extras = "fedora/fullfilelist fedora/imagelist-fedora";
    let with_directory = format!("{extras} fedora/os");
    assert_calls(&mut scene, |up| up.remove("fedora/os/p5.rpm").map(drop), &["lists", &with_directory]);
    let pointer_comes = "fedora/os/repodata fedora/os/repodata/repomd.xml";
    assert_calls(&mut scene, |up| pointer(up, "second"), &["lists", pointer_comes, "switch", extras]);
}

#[test]
fn a_module_whose_list_did_not_change_is_asked_for_nothing() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    scene.change(content);
    scene.sync_to_same();
    scene.change(|up| up.file("archive/os/newer.rpm", b"newer").map(drop));
    let calls = calls(&mut scene, &[]);
    assert_eq!(calls[0], "lists");
    assert!(!calls.iter().any(|call| call.contains("fedora/")), "{calls:#?}");
}
