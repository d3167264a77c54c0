//! Nothing is deleted on doubt.

mod support;

use std::fs;

use qfm::exit::Status;
use support::*;

fn build(up: &mut Upstream) -> Built {
    for number in 0..100 {
        up.file(format!("fedora/linux/updates/p{number}.rpm"), format!("package {number}"))?;
    }
    for number in 0..60 {
        up.file(format!("fedora/linux/releases/{}/r{number}.rpm", number % 2), format!("release {number}"))?;
    }
    up.file("archive/a", b"a")?.file("archive/b", b"b").map(drop)
}

/// A mirror in step, and an upstream that lost most of a module.
fn lost() -> Scene {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    scene.change(|up| {
        up.remove("fedora/linux/updates")?.remove("archive/b")?.file("fedora/linux/new.rpm", b"new").map(drop)
    });
    scene
}

fn packages(scene: &Scene) -> usize {
    (0..100).filter(|number| scene.mirror.path(format!("fedora/linux/updates/p{number}.rpm")).exists()).count()
}

#[test]
fn a_mass_deletion_is_held_and_told_until_it_is_allowed() {
    let mut scene = lost();
    let result = scene.run(&["--json"]).status(Status::Held);
    assert_eq!(packages(&scene), 100);
    assert!(scene.mirror.path("fedora/linux/new.rpm").exists(), "the rest goes on");
    assert!(!scene.mirror.path("archive/b").exists(), "other modules go on");
    let said = &result.stderr;
    for part in [
        FEDORA,
        "too many at once of 165 entries;",
        "101 entries would go",
        "linux/updates",
        "(101)",
        &format!("--allow-delete {FEDORA}"),
    ] {
        assert!(said.contains(part), "{part:?} is missing: {said}");
    }
    let module =
        &result.json()["modules"].as_array().expect("modules").iter().find(|it| it["module"] == FEDORA).cloned();
    assert_eq!(module.as_ref().map(|module| module["held"].clone()), Some(101.into()));

    // A run in which upstream says nothing new tells it again.
    for _ in 0..2 {
        scene.new_calls();
        let result = scene.run(&[]).status(Status::Held);
        assert!(result.stderr.contains("--allow-delete"), "{}", result.stderr);
        assert_eq!((packages(&scene), scene.new_calls().len()), (100, 1));
    }

    // The flag as it was printed.
    let (_, command) = result.stderr.split_once("run once: qfm ").expect("a flag");
    let words: Vec<&str> = command.lines().next().expect("a line").split_whitespace().collect();
    scene.run(&words).status(Status::Done);
    assert_eq!(packages(&scene), 0);
    scene.assert_same();
    scene.assert_quiet();
}

#[test]
fn a_subtree_can_be_allowed_alone() {
    let mut scene = lost();
    scene.change(|up| up.remove("fedora/linux/releases/1").map(drop));
    scene.run(&["--allow-delete", &format!("{FEDORA}/linux/releases")]).status(Status::Held);
    assert!(!scene.mirror.path("fedora/linux/releases/1").exists());
    assert_eq!(packages(&scene), 100);
    // As a shell completes the name of a directory.
    scene.run(&["--allow-delete", &format!("{FEDORA}/linux/updates/")]).status(Status::Done);
    scene.assert_same();
    scene.assert_quiet();
}

#[test]
fn a_permission_for_one_module_is_none_for_another() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], |up| {
        build(up)?;
        (0..100).try_for_each(|number| up.file(format!("archive/p{number}"), b"x").map(drop))
    });
    scene.change(|up| {
        up.remove("fedora/linux/updates")?;
        (0..100).try_for_each(|number| up.remove(format!("archive/p{number}")).map(drop))
    });
    let result = scene.run(&["--allow-delete", FEDORA]).status(Status::Held);
    assert!(result.stderr.contains(ARCHIVE) && !result.stderr.contains(FEDORA), "{}", result.stderr);
    assert_eq!(packages(&scene), 0);
    assert!(scene.mirror.path("archive/p7").exists());
}

#[test]
fn what_is_held_is_kept_over_further_changes_and_may_come_back() {
    let mut scene = lost();
    scene.run(&[]).status(Status::Held);
    scene.change(|up| up.file("fedora/linux/newer.rpm", b"newer").map(drop));
    scene.run(&[]).status(Status::Held);
    assert_eq!(packages(&scene), 100);
    let inode = |scene: &Scene| {
        let stat = fs::metadata(scene.mirror.path("fedora/linux/updates/p7.rpm")).expect("it is here");
        std::os::unix::fs::MetadataExt::ino(&stat)
    };
    let before = inode(&scene);
    // Upstream's disk is mounted again.
    scene.change(|up| {
        (0..100).try_for_each(|number| {
            let path = format!("fedora/linux/updates/p{number}.rpm");
            up.file_at(path, format!("package {number}"), 1_790_003_600).map(drop)
        })
    });
    scene.sync_to_same();
    assert_eq!(inode(&scene), before, "fetched again");
    scene.assert_quiet();
}

#[test]
fn a_deletion_below_the_limits_goes_through() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    scene
        .change(|up| (0..45).try_for_each(|number| up.remove(format!("fedora/linux/updates/p{number}.rpm")).map(drop)));
    scene.sync_to_same();
    scene.configure(&[FEDORA, ARCHIVE], "delete.max_share = 5\ndelete.min_entries = 3");
    scene.change(|up| {
        (45..60).try_for_each(|number| up.remove(format!("fedora/linux/updates/p{number}.rpm")).map(drop))
    });
    scene.run(&[]).status(Status::Held);
    scene.configure(&[FEDORA, ARCHIVE], "delete.max_share = 50\ndelete.max_shrink = 50\ndelete.min_entries = 3");
    scene.sync_to_same();
    scene.assert_quiet();
}

#[test]
fn a_first_sync_over_another_tree_does_not_empty_it() {
    let scene = Scene::new(&[FEDORA, ARCHIVE], build);
    for number in 0..300 {
        fs::create_dir_all(scene.mirror.path("fedora/mine")).expect("made");
        fs::write(scene.mirror.path(format!("fedora/mine/{number}")), "mine").expect("written");
    }
    let result = scene.run(&[]).status(Status::Held);
    assert!(result.stderr.contains("mine"), "{}", result.stderr);
    assert!(scene.mirror.path("fedora/mine/7").exists() && scene.mirror.path("fedora/linux/updates/p7.rpm").exists());
    scene.run(&["--allow-delete", FEDORA, FEDORA]).status(Status::Done);
    scene.sync_to_same();
}

#[test]
fn a_module_excluded_as_a_whole_is_a_mass_deletion_too() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    scene.configure(&[FEDORA, ARCHIVE], "filter.exclude = ['re:^fedora/linux']");
    scene.run(&[]).status(Status::Held);
    assert_eq!(packages(&scene), 100);
}

#[test]
fn with_delete_mode_never_nothing_goes() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    scene.configure(&[FEDORA, ARCHIVE], "delete.mode = \"never\"");
    scene.change(|up| up.remove("fedora/linux/updates/p7.rpm")?.file("fedora/linux/new.rpm", b"new").map(drop));
    let result = scene.run(&[]).status(Status::Done);
    assert!(result.stdout.contains("held 1"), "it is counted\n{}", result.stdout);
    assert!(packages(&scene) == 100 && scene.mirror.path("fedora/linux/new.rpm").exists());
    scene.run(&["--full", "--allow-delete", FEDORA]).status(Status::Done);
    assert_eq!(packages(&scene), 100);
    scene.configure(&[FEDORA, ARCHIVE], "");
    scene.sync_to_same();
    scene.assert_quiet();
}

#[test]
fn lists_and_extra_files_are_never_deleted() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], |up| {
        build(up)?;
        fs::write(up.path("fedora/fullfilelist"), "./a\n")?;
        fs::write(up.path("fedora/imagelist-fedora"), "./a.iso\n")?;
        Ok(())
    });
    assert_eq!(fs::read(scene.mirror.path("fedora/imagelist-fedora")).expect("it came"), b"./a.iso\n");
    fs::remove_file(scene.site.upstream.path("fedora/fullfilelist")).expect("removed");
    fs::write(scene.mirror.path("fedora/fullfiletimelist-other"), "another tool's").expect("written");
    scene.change(|up| up.file("fedora/linux/new.rpm", b"new").map(drop));
    scene.sync();
    scene.run(&["--full"]).status(Status::Done);
    for name in ["fullfilelist", "imagelist-fedora", "fullfiletimelist-other", "fullfiletimelist-fedora"] {
        assert!(scene.mirror.path("fedora").join(name).exists(), "{name} is gone");
    }
    scene.assert_quiet();
}

#[test]
fn what_is_held_stays_held_however_much_comes() {
    let mut scene = lost();
    scene.run(&[]).status(Status::Held);
    scene.change(|up| (0..400).try_for_each(|number| up.file(format!("fedora/more/{number}"), b"more").map(drop)));
    scene.run(&[]).status(Status::Held);
    scene.change(|up| up.file("fedora/one-more", b"1").map(drop));
    scene.run(&[]).status(Status::Held);
    assert_eq!(packages(&scene), 100);
    scene.run(&["--allow-delete", FEDORA]).status(Status::Done);
    scene.assert_same();
    scene.assert_quiet();
}

#[test]
fn a_directory_that_is_to_become_a_file_counts_for_the_guard() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    scene.change(|up| up.remove("fedora/linux/updates")?.file("fedora/linux/updates", b"a file").map(drop));
    for _ in 0..2 {
        let result = scene.run(&[]).status(Status::Held);
        assert!(result.stderr.contains(&format!("--allow-delete {FEDORA}")), "{}", result.stderr);
        assert_eq!(packages(&scene), 100);
    }
    scene.run(&["--allow-delete", &format!("{FEDORA}/linux/updates")]).status(Status::Done);
    scene.assert_same();
}

#[test]
fn nothing_makes_way_where_nothing_is_deleted() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    scene.configure(&[FEDORA, ARCHIVE], "delete.mode = \"never\"");
    scene.change(|up| up.remove("fedora/linux/releases/0")?.file("fedora/linux/releases/0", b"a file").map(drop));
    scene.run(&[]).status(Status::Held);
    assert!(scene.mirror.path("fedora/linux/releases/0/r0.rpm").exists());
}

#[test]
fn what_went_upstream_stays_for_its_time_and_no_longer() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    scene.change(|up| {
        up.remove("fedora/linux/updates/p7.rpm")?.remove("fedora/linux/releases/1")?;
        up.file("fedora/linux/updates/new.rpm", b"new").map(drop)
    });
    fs::write(scene.mirror.path("fedora/linux/updates/litter"), "by others").expect("written");
    let here = |scene: &Scene, path: &str| scene.mirror.path("fedora/linux").join(path).exists();
    let dry = scene.run(&["--dry-run", "--json", "--set", "delete.after=1h"]).json();
    assert_eq!(
        (&dry["modules"][0]["staying"], &dry["modules"][0]["delete"]["gone"]),
        (&32.into(), &serde_json::Value::Null),
        "{dry}"
    );

    let record = scene.run(&["--json", "--set", "delete.after=1h"]).status(Status::Done).json();
    assert_eq!((&record["modules"][0]["staying"], &record["modules"][0]["deleted"]), (&32.into(), &1.into()));
    assert!(here(&scene, "updates/new.rpm") && !here(&scene, "updates/litter"), "only what upstream had stays");
    // Until its time has come, the module is left alone; with another change it stays too.
    scene.new_calls();
    for change in ["fedora/linux/updates/newer.rpm", "fedora/linux/elsewhere.rpm"] {
        let record = scene.run(&["--json", "--set", "delete.mode=after"]).status(Status::Done).json();
        assert_eq!((&record["rsync_calls"], &record["changed"]), (&1.into(), &false.into()), "{record}");
        scene.change(|up| up.file(change, b"newer").map(drop));
        scene.run(&["--set", "delete.mode=after"]).status(Status::Done);
        assert!(here(&scene, "updates/p7.rpm") && here(&scene, "releases/1"));
    }
    // When it has, a run without changes is enough.
    let record = scene.run(&["--json", "--set", "delete.after=0s"]).status(Status::Done).json();
    assert_eq!((&record["rsync_calls"], &record["modules"][0]["deleted"]), (&1.into(), &32.into()), "{record}");
    scene.assert_same();
    scene.assert_quiet();
}

#[test]
fn the_time_to_stay_is_counted_from_the_first_run_that_missed_it() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    scene.change(|up| up.remove("fedora/linux/updates/p7.rpm").map(drop));
    let began = std::time::Instant::now();
    let gone = |scene: &Scene| !scene.mirror.path("fedora/linux/updates/p7.rpm").exists();
    while !gone(&scene) {
        scene.run(&["--set", "delete.after=3s"]).status(Status::Done);
        assert!(began.elapsed() < std::time::Duration::from_secs(60), "it stays for ever");
    }
    assert!(began.elapsed() > std::time::Duration::from_secs(2), "it went at once");
    scene.assert_same();
    scene.assert_quiet();
}

#[test]
fn what_stays_and_comes_back_is_not_fetched_again() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    scene.change(|up| up.remove("fedora/linux/updates/p7.rpm").map(drop));
    scene.run(&["--set", "delete.after=1h"]).status(Status::Done);
    scene.change(|up| up.file_at("fedora/linux/updates/p7.rpm", "package 7", 1_790_003_600).map(drop));
    let record = scene.run(&["--json", "--set", "delete.after=1h"]).status(Status::Done).json();
    assert_eq!((&record["modules"][0]["staying"], &record["modules"][0]["deleted"]), (&0.into(), &0.into()));
    scene.run(&[]).status(Status::Done);
    scene.assert_same();
    scene.assert_quiet();
}

#[test]
fn the_guard_counts_what_stays() {
    let scene = lost();
    scene.run(&["--set", "delete.after=1h"]).status(Status::Held);
    assert_eq!(packages(&scene), 100);
    scene.run(&["--allow-delete", FEDORA, "--set", "delete.after=0s"]).status(Status::Done);
    scene.assert_same();
}

/// The first module's part of a run's JSON.
fn first(result: RunResult) -> serde_json::Value {
    result.json()["modules"][0].clone()
}

#[test]
fn what_is_held_is_told_by_cause() {
    let mut scene = lost();
    fs::create_dir(scene.mirror.path("fedora/linux/mine")).expect("made");
    fs::write(scene.mirror.path("fedora/linux/mine/file"), "mine").expect("written");
    scene.configure(&[FEDORA, ARCHIVE], "filter.exclude = ['re:^fedora/linux/releases/1']");
    let RunResult { stdout: dry, stderr, .. } = scene.run(&["--dry-run"]).status(Status::Held);
    assert_eq!(stderr, "", "it is said once");
    for part in ["delete  excluded     31 entries", "gone         101", "never-listed 2", "linux/updates: 101 entries"]
    {
        assert!(dry.contains(part), "{part:?} is missing: {dry}");
    }
    assert!(dry.contains(&format!("to let them pass once: qfm --allow-delete {FEDORA}")), "{dry}");
    let quiet = scene.run(&["--dry-run", "-q"]).status(Status::Held);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.lines().count()), ("", 1), "{}", quiet.stderr);
    scene.run(&["--dry-run", "--allow-delete", FEDORA]).status(Status::Done);
    scene.run(&["--dry-run", "--allow-delete", &format!("{FEDORA}/linux/updates")]).status(Status::Held);
    let result = scene.run(&["--json"]).status(Status::Held);
    let said = "134 entries would go (31 excluded, 101 gone, 2 never-listed)";
    assert!(result.stderr.contains(said), "{}", result.stderr);
    let expected = serde_json::json!({ "excluded": 31, "gone": 101, "never-listed": 2 });
    assert_eq!(first(result)["held_by_cause"], expected);
}

#[test]
fn a_narrower_filter_is_held_by_the_guard_and_previewed() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    scene.configure(&[FEDORA, ARCHIVE], "filter.exclude = ['re:^fedora/linux/updates']");
    let dry = scene.run(&["--dry-run", "--json"]).status(Status::Held);
    assert_eq!((&dry.json()["code"], &dry.json()["status"]), (&7.into(), &"held".into()));
    let dry = first(dry);
    assert_eq!(dry["delete"], serde_json::json!({ "excluded": 101 }), "{dry}");
    assert_eq!(dry["let_pass"], format!("--allow-delete {FEDORA}"));
    for _ in 0..2 {
        let result = scene.run(&["--json"]).status(Status::Held);
        assert!(result.stderr.contains("101 excluded"), "{}", result.stderr);
        assert_eq!(packages(&scene), 100);
    }
    scene.run(&["--allow-delete", FEDORA]).status(Status::Done);
    assert_eq!(packages(&scene), 0);
    scene.assert_quiet();
}

#[test]
fn what_never_goes_is_counted_by_cause_and_waits_for_a_human_when_it_may() {
    let mut scene = lost();
    scene.configure(&[FEDORA, ARCHIVE], "delete.mode = \"never\"");
    for args in [&["--json"][..], &["--json", "--full"]] {
        let result = scene.run(args).status(Status::Done);
        assert_eq!(result.stderr, "", "nobody must look");
        assert_eq!(first(result)["held_by_cause"], serde_json::json!({ "gone": 101 }));
    }
    scene.configure(&[FEDORA, ARCHIVE], "");
    let result = scene.run(&[]).status(Status::Held);
    assert!(result.stderr.contains("too many at once of 165 entries"), "{}", result.stderr);
    scene.run(&["--allow-delete", FEDORA]).status(Status::Done);
    scene.assert_same();
}

#[test]
fn many_small_losses_are_held_like_a_large_one() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    let lose = |scene: &mut Scene, numbers: std::ops::Range<usize>| {
        scene.change(|up| {
            numbers.clone().try_for_each(|number| up.remove(format!("fedora/linux/updates/p{number}.rpm")).map(drop))
        })
    };
    lose(&mut scene, 0..45);
    scene.sync_to_same();
    lose(&mut scene, 45..60);
    let result = scene.run(&[]).status(Status::Held);
    assert!(result.stderr.contains("the list shrank from 165 to 105 entries"), "{}", result.stderr);
    assert!(result.stderr.contains("most of them in linux/updates (15)."), "{}", result.stderr);
    assert_eq!(packages(&scene), 55);
    // A human agreed: what comes after is measured anew.
    scene.run(&["--allow-delete", FEDORA]).status(Status::Done);
    scene.assert_same();
    lose(&mut scene, 60..70);
    scene.sync_to_same();
    scene.configure(&[FEDORA, ARCHIVE], "delete.max_shrink = 5\ndelete.min_entries = 9");
    lose(&mut scene, 70..71);
    scene.run(&[]).status(Status::Held);
}

#[test]
fn a_list_that_names_far_fewer_bytes_is_held() {
    const IMAGE: u64 = 1200 << 20;
    let scene = Scene::new(&[FEDORA], |up| {
        up.file("fedora/os/a", b"a")?.file("fedora/os/b", b"b")?.file_at("fedora/os/image.iso", b"", 1_700_000_000)?;
        fs::File::options().write(true).open(up.path("fedora/os/image.iso"))?.set_len(IMAGE)?;
        up.touch("fedora/os/image.iso", 1_700_000_000).map(drop)
    });
    // It is here already, and need not be fetched.
    let mut scene = scene;
    let image = scene.mirror.path("fedora/os/image.iso");
    fs::create_dir_all(image.parent().expect("a directory")).expect("made");
    let file = fs::File::create(&image).expect("made");
    file.set_len(IMAGE).expect("a sparse file");
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000)).expect("its time");
    scene.sync();
    scene.change(|up| up.remove("fedora/os/image.iso").map(drop));
    let result = scene.run(&[]).status(Status::Held);
    assert!(result.stderr.contains("what the list names shrank from 1.17 GiB to 2 B"), "{}", result.stderr);
    assert!(image.exists());
    scene.run(&["--allow-delete", FEDORA]).status(Status::Done);
    scene.assert_same();
}

#[test]
fn a_repository_that_lost_its_metadata_and_stays_holds_deletions() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], |up| {
        build(up)?;
        up.file("fedora/linux/updates/repodata/repomd.xml", b"<repomd/>")?;
        up.file("archive/dists/sid/InRelease", b"x")?.file("archive/dists/sid/main/Packages", b"x").map(drop)
    });
    let metadata = ["fedora/linux/updates/repodata/repomd.xml", "archive/dists/sid/InRelease"];
    scene.change(|up| {
        up.remove("fedora/linux/updates/repodata")?.remove(metadata[1])?.file("fedora/new", b"x").map(drop)
    });
    for _ in 0..2 {
        let result = scene.run(&[]).status(Status::Held);
        for said in [
            "the packages stay: linux/updates",
            "the packages stay: dists/sid",
            &format!("run once: qfm --allow-delete {FEDORA}"),
            &format!("run once: qfm --allow-delete {ARCHIVE}"),
        ] {
            assert!(result.stderr.contains(said), "{said:?} is missing: {}", result.stderr);
        }
        assert!(metadata.iter().all(|path| scene.mirror.path(path).exists()));
        assert!(scene.mirror.path("fedora/new").exists(), "the rest goes on");
        scene.change(|up| up.file("fedora/newer", b"x")?.file("archive/newer", b"x").map(drop));
    }
    scene.run(&["--allow-delete", FEDORA, "--allow-delete", &format!("{ARCHIVE}/dists/sid")]).status(Status::Done);
    scene.assert_same();
    scene.assert_quiet();
}

#[test]
fn an_upstream_that_goes_back_in_time_deletes_nothing() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    let past = scene.site.upstream.list("fedora").expect("a list");
    scene.change(|up| up.file("fedora/linux/updates/later.rpm", b"later").map(drop));
    scene.sync_to_same();
    let present = scene.site.upstream.list("fedora").expect("a list");
    let later = scene.mirror.path("fedora/linux/updates/later.rpm");
    // An old list that looks new: its rows tell.
    scene.publish_raw("fedora", &past);
    let result = scene.run(&[]).status(Status::Held);
    assert!(result.stderr.contains("went back in time") && result.stderr.contains("1 gone"), "{}", result.stderr);
    assert!(later.exists());
    scene.publish_raw("fedora", &present);
    scene.sync();
    scene.assert_quiet();
    // A list that says itself that it is old.
    scene.change(|up| up.remove("fedora/linux/updates/later.rpm")?.touch("fedora/linux", up_to_date()).map(drop));
    let list = scene.site.upstream.path("fedora/fullfiletimelist-fedora");
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::options().write(true).open(&list).and_then(|file| file.set_modified(old)).expect("its time");
    let result = scene.run(&[]).status(Status::Held);
    assert!(result.stderr.contains("went back in time"), "{}", result.stderr);
    assert!(later.exists());
    scene.run(&["--allow-delete", FEDORA]).status(Status::Done);
    assert!(!later.exists());
    scene.assert_quiet();
    // The same list with an older time deletes nothing, and moves the measure.
    let older = old - std::time::Duration::from_secs(1);
    fs::File::options().write(true).open(&list).and_then(|file| file.set_modified(older)).expect("its time");
    let result = scene.run(&[]).status(Status::Done);
    assert!(result.stderr.contains("says what it said, with an older time"), "{}", result.stderr);
    assert_eq!(result.stderr.lines().count(), 1, "{}", result.stderr);
    scene.assert_quiet();
}

#[test]
fn a_list_that_lost_the_fraction_of_its_second_did_not_go_back() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    let time = |at: f64| std::time::UNIX_EPOCH + std::time::Duration::from_secs_f64(at);
    let with_list_at = |scene: &mut Scene, at: f64, path: &str| {
        scene.change(|up| up.remove(path).map(drop));
        let list = scene.site.upstream.path("fedora/fullfiletimelist-fedora");
        fs::File::options().write(true).open(&list).and_then(|file| file.set_modified(time(at))).expect("its time");
        scene.sync_to_same();
    };
    with_list_at(&mut scene, 1_800_000_000.9, "fedora/linux/updates/p1.rpm");
    with_list_at(&mut scene, 1_800_000_000.0, "fedora/linux/updates/p2.rpm");
}

/// Newer than all that upstream has.
fn up_to_date() -> u64 {
    1_799_000_000
}

#[test]
fn without_a_saved_state_the_tree_itself_is_the_measure() {
    let scene = lost();
    fs::remove_dir_all(&scene.mirror.state).expect("removed");
    let result = scene.run(&[]).status(Status::Held);
    assert!(result.stderr.contains("too many at once of 166 entries; 101 entries would go"), "{}", result.stderr);
    assert_eq!(packages(&scene), 100);
}

#[test]
fn what_stays_for_its_time_does_not_add_up_against_the_module() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    for start in [0, 25, 50] {
        scene.change(|up| {
            (start..start + 25).try_for_each(|number| {
                up.remove(format!("fedora/linux/updates/p{number}.rpm"))?;
                up.file(format!("fedora/linux/updates/q{number}.rpm"), b"x").map(drop)
            })
        });
        let module = first(scene.run(&["--json", "--set", "delete.after=1h"]).status(Status::Done));
        assert_eq!((&module["staying"], &module["held"]), (&(start + 25).into(), &0.into()), "{module}");
    }
    let module = first(scene.run(&["--json", "--set", "delete.after=0s"]).status(Status::Done));
    assert_eq!(module["deleted"], 75, "{module}");
    scene.assert_same();
}
