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
    for part in [FEDORA, "101 of 165", "linux/updates", "(101)", &format!("--allow-delete {FEDORA}")] {
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
    let (_, command) = result.stderr.split_once("run once with ").expect("a flag");
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
    scene.run(&["--allow-delete", &format!("{FEDORA}/linux/updates")]).status(Status::Done);
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
    scene.configure(&[FEDORA, ARCHIVE], "delete.max_share = 50\ndelete.min_entries = 3");
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
