//! What others did to the mirror between runs.

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use qfm::exit::Status;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use support::*;

fn build(up: &mut Upstream) -> Built {
    for directory in ["os", "updates/a", "updates/b"] {
        for number in 0..20 {
            up.file(format!("fedora/{directory}/p{number}.rpm"), format!("package {number} of {directory}"))?;
        }
    }
    up.file("fedora/os/repodata/repomd.xml", b"<repomd/>")?.link("fedora/latest", "os")?.dir("fedora/empty")?;
    up.hardlink("fedora/os/p0.rpm", "archive/os/p0.rpm")?.file("archive/os/a.rpm", b"aaa")?;
    Ok(())
}

/// What the stamps of directories show.
fn damage_that_shows(scene: &Scene, outside: &Path) {
    let at = |name: &str| scene.mirror.path("fedora").join(name);
    fs::remove_file(at("os/p0.rpm")).expect("removed");
    fs::rename(at("os/p1.rpm"), at("os/renamed.rpm")).expect("renamed");
    fs::remove_dir_all(at("updates/a")).expect("removed");
    fs::remove_dir_all(at("updates/b")).expect("removed");
    symlink(outside, at("updates/b")).expect("linked");
    fs::remove_dir(at("empty")).expect("removed");
    fs::remove_file(at("latest")).expect("removed");
    symlink("updates", at("latest")).expect("linked");
    for extra in [&b"extra"[..], b"extra\nwith a line feed", b"\n", b"-rf *", b"\xff"] {
        fs::write(at("os").join(name(extra)), "extra").expect("written");
        fs::create_dir_all(at("updates").join(name(extra)).join("deep").join(name(extra))).expect("made");
        fs::write(at("updates").join(name(extra)).join("deep/file"), "extra").expect("written");
    }
    symlink(outside, at("os/link out")).expect("linked");
    fs::set_permissions(at("os/repodata"), Permissions::from_mode(0o700)).expect("closed");
    mknodat(CWD, at("os/fifo"), FileType::Fifo, Mode::from_raw_mode(0o644), 0).expect("made");
}

/// What a directory does not show.
fn damage_that_hides(scene: &Scene) {
    let at = |name: &str| scene.mirror.path("fedora/os").join(name);
    fs::write(at("p5.rpm"), "short").expect("written");
    fs::File::options().write(true).open(at("p6.rpm")).and_then(|file| file.set_len(3)).expect("truncated");
    fs::write(at("p7.rpm"), "PACKAGE 7 OF OS").expect("overwritten with the same size");
    fs::write(at("repodata/repomd.xml"), "<REPOMD/>").expect("overwritten with the same size");
}

#[test]
fn a_full_run_repairs_all_damage() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    let outside = Outside::of(&scene.mirror);
    damage_that_shows(&scene, outside.path());
    damage_that_hides(&scene);
    scene.run(&["--full"]).status(Status::Done);
    outside.assert_untouched();
    fs::remove_dir_all(scene.mirror.path("other-tree")).expect("it is not part of this");
    scene.assert_same();
    scene.assert_quiet();
}

#[test]
fn a_run_with_a_changed_list_repairs_what_directories_show() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    let outside = Outside::of(&scene.mirror);
    damage_that_shows(&scene, outside.path());
    scene.change(|up| up.file("fedora/elsewhere/new.rpm", b"new").map(drop));
    scene.run(&[]).status(Status::Done);
    outside.assert_untouched();
    fs::remove_dir_all(scene.mirror.path("other-tree")).expect("it is not part of this");
    scene.assert_same();
    scene.assert_quiet();
}

#[test]
fn what_was_overwritten_and_made_older_is_repaired_by_a_full_run_though_others_passed_since() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    let path = scene.mirror.path("fedora/os/p7.rpm");
    let time = fs::metadata(&path).and_then(|stat| stat.modified()).expect("a time");
    let older = time - std::time::Duration::from_secs(100);
    fs::write(&path, "PACKAGE 7 OF OS").expect("overwritten with the same size");
    fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(older)).expect("its time");
    for news in ["one", "another"] {
        scene.change(|up| up.file("fedora/updates/a/news.rpm", news).map(drop));
        scene.sync();
    }
    scene.run(&["--full"]).status(Status::Done);
    scene.assert_same();
    scene.assert_quiet();
}

#[test]
fn a_file_with_a_checksum_is_repaired_even_with_the_right_size_and_time() {
    let scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    let path = scene.mirror.path("fedora/os/repodata/repomd.xml");
    let time = fs::metadata(&path).and_then(|stat| stat.modified()).expect("a time");
    fs::write(&path, "<REPOMD/>").expect("written");
    fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(time)).expect("its time");
    scene.run(&["--full"]).status(Status::Done);
    scene.assert_same();
}

#[test]
fn a_list_in_the_tree_that_was_damaged_is_put_right() {
    let scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    let list = scene.mirror.path("fedora/fullfiletimelist-fedora");
    fs::write(&list, "damaged").expect("written");
    scene.run(&["--full"]).status(Status::Done);
    scene.assert_same();
    fs::remove_file(&list).expect("removed");
    scene.run(&["--full"]).status(Status::Done);
    scene.assert_same();
}

#[test]
fn a_module_that_is_suddenly_empty_is_not_filled_without_being_asked_for() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    let (fedora, away) = (scene.mirror.path("fedora"), scene.mirror.root.with_file_name("away"));
    fs::rename(&fedora, &away).expect("renamed");
    fs::create_dir(&fedora).expect("made");
    scene.change(|up| up.file("fedora/new", b"new")?.file("archive/newer", b"newer").map(drop));
    let result = scene.run(&[]).status(Status::Local);
    assert!(result.stderr.contains("not mounted") && result.stderr.contains("--full"), "{}", result.stderr);
    assert_eq!(fs::read_dir(&fedora).expect("a directory").count(), 0);
    assert!(scene.mirror.path("archive/newer").exists(), "the other module goes on");
    scene.run(&["--full"]).status(Status::Done);
    scene.assert_same();
}

#[test]
fn a_full_check_is_made_when_the_last_one_is_too_old() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    damage_that_hides(&scene);
    scene.assert_quiet();
    scene.configure(&[FEDORA, ARCHIVE], "full_check_every = \"0s\"");
    scene.sync_to_same();
}

#[test]
fn saved_state_that_is_damaged_or_gone_costs_time_and_nothing_else() {
    side_by_side(["truncated", "garbage", "removed", "a bit"], |damage| {
        let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
        let entries = walkdir::WalkDir::new(&scene.mirror.state).into_iter().map(|entry| entry.expect("an entry"));
        let files: Vec<_> =
            entries.filter(|entry| entry.file_type().is_file() && entry.file_name() != "lock").collect();
        assert!(files.len() >= 4, "{files:?}");
        for file in files.iter().filter(|file| file.path().exists()) {
            let bytes = fs::read(file.path()).expect("readable");
            let half = bytes.len() / 2;
            match damage {
                "truncated" => fs::write(file.path(), &bytes[..half]),
                "garbage" => fs::write(file.path(), "garbage"),
                "removed" => fs::remove_file(file.path()),
                _ => fs::write(file.path(), [&bytes[..half], b"?", &bytes[half + 1..]].concat()),
            }
            .expect("damaged");
            scene.change(|up| up.file("fedora/os/p3.rpm", file.path().to_string_lossy().as_bytes()).map(drop));
            let result = scene.run(&[]);
            assert_eq!(result.code, Some(0), "{damage} {}: {}", file.path().display(), result.stderr);
            scene.assert_same();
            scene.assert_quiet();
        }
        fs::remove_dir_all(&scene.mirror.state).expect("removed");
        let before = tree::inode_snapshot(&scene.mirror.root).expect("a mirror");
        scene.sync_to_same();
        assert_untouched(&before, &scene.mirror.root);
        scene.assert_quiet();
    });
}

#[test]
fn a_module_that_cannot_be_compared_is_not_written_to_for_the_sake_of_another() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    let (fedora, away) = (scene.mirror.path("fedora"), scene.mirror.root.with_file_name("away"));
    fs::rename(&fedora, &away).expect("renamed");
    fs::create_dir(&fedora).expect("made");
    // A new name of a file whose other name should be in the volume that is not mounted.
    scene.change(|up| up.file("fedora/new", b"new")?.hardlink("fedora/os/p3.rpm", "archive/os/p3.rpm").map(drop));
    scene.run(&[]).status(Status::Local);
    assert!(scene.mirror.path("archive/os/p3.rpm").exists(), "the other module goes on");
    assert_eq!(
        fs::read_dir(&fedora).expect("a directory").count(),
        0,
        "something was put where the volume is to be mounted"
    );
}

#[test]
fn a_module_alone_is_linked_to_files_of_the_others() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    let before = tree::inode_snapshot(&scene.mirror.path("fedora")).expect("a directory");
    scene.change(|up| up.hardlink("fedora/os/p3.rpm", "archive/os/p3.rpm").map(drop));
    let run = scene.run(&["--json", ARCHIVE]);
    run.status(Status::Done);
    assert!(scene.mirror.path("archive/os/p3.rpm").exists());
    let after = tree::inode_snapshot(&scene.mirror.path("fedora")).expect("a directory");
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>(), "the other module was changed");
    scene.sync();
    scene.assert_same();
}

#[test]
fn a_volume_that_is_not_mounted_is_told_of_though_the_list_did_not_change() {
    let scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    fs::rename(scene.mirror.path("fedora"), scene.mirror.root.with_file_name("away")).expect("renamed");
    for arguments in [&[][..], &["--dry-run"]] {
        let result = scene.run(arguments).status(Status::Local);
        assert!(result.stderr.contains("not mounted"), "{}", result.stderr);
        assert!(!result.stdout.contains("did not change\nNothing to do."), "{}", result.stdout);
    }
    assert!(!scene.mirror.path("fedora").exists());
}

#[test]
fn what_a_run_changed_and_did_not_commit_is_compared_though_upstream_goes_back() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    let before = fs::read(scene.mirror.path("fedora/os/p3.rpm")).expect("a file");
    let list = scene.site.upstream.list("fedora").expect("a list");
    scene.configure(&[FEDORA, ARCHIVE], "rsync.retries = 0");
    scene.change(|up| {
        up.file("fedora/os/p3.rpm", b"another content")?.file("fedora/os/repodata/repomd.xml", b"new").map(drop)
    });
    // Lists, content, then pointers.
    scene.wrapper.fail_before(scene.wrapper.calls().len() + 3, 12);
    scene.run(&[]).status(Status::Upstream);
    scene.change(|up| up.file_at("fedora/os/p3.rpm", &before, 1_790_003_600).map(drop));
    scene.publish_raw("fedora", &list);
    scene.run(&[]);
    assert_eq!(fs::read(scene.mirror.path("fedora/os/p3.rpm")).expect("a file"), before);
}

#[test]
fn a_link_that_points_elsewhere_is_repaired_by_a_full_run() {
    let scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    let link = scene.mirror.path("fedora/latest");
    // As long as what it was.
    for target in ["up", ".."] {
        fs::remove_file(&link).and_then(|()| symlink(target, &link)).expect("linked");
        scene.run(&["--full"]).status(Status::Done);
        assert_eq!(fs::read_link(&link).expect("a link"), Path::new("os"));
    }
    scene.assert_same();
}

#[test]
fn what_a_mount_point_may_hold_does_not_make_it_the_module() {
    for left in ["lost+found", "the list", "another tree", "no state"] {
        let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
        let (fedora, away) = (scene.mirror.path("fedora"), scene.mirror.root.with_file_name("away"));
        fs::rename(&fedora, &away).expect("renamed");
        fs::create_dir(&fedora).expect("made");
        match left {
            "lost+found" => fs::create_dir(fedora.join(left)).expect("made"),
            "the list" => drop(fs::copy(away.join("fullfiletimelist-fedora"), fedora.join("fullfiletimelist-fedora"))),
            "another tree" => fs::write(fedora.join("precious"), "mine").expect("written"),
            _ => {
                let entries =
                    walkdir::WalkDir::new(&scene.mirror.state).into_iter().map(|entry| entry.expect("an entry"));
                let applied = entries.filter(|entry| entry.path().extension().is_some_and(|it| it == "applied"));
                applied.for_each(|entry| fs::remove_file(entry.path()).expect("removed"));
            }
        }
        let before = tree::inode_snapshot(&fedora).expect("a directory");
        if left != "another tree" {
            // Whether the list changed or not; what another tree is is seen when it is compared.
            scene.run(&[]).status(Status::Local);
        }
        scene.change(|up| up.file("fedora/new", b"new")?.file("archive/newer", b"newer").map(drop));
        let result = scene.run(&[]).status(Status::Local);
        assert!(result.stderr.contains("not mounted") && result.stderr.contains("--full"), "{left}: {}", result.stderr);
        assert_untouched(&before, &fedora);
        assert!(scene.mirror.path("archive/newer").exists(), "the other module goes on");
        fs::remove_dir_all(&fedora).and_then(|()| fs::rename(&away, &fedora)).expect("mounted");
        scene.sync_to_same();
    }
}

#[test]
fn a_module_that_carries_nothing_is_not_taken_for_one_that_lost_everything() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    scene.configure(&[FEDORA, ARCHIVE], "filter.exclude = ['re:.']");
    scene.run(&["--allow-delete", FEDORA, "--allow-delete", ARCHIVE]).status(Status::Done);
    assert_eq!(fs::read_dir(scene.mirror.path("fedora")).expect("a directory").count(), 1, "the list is left");
    scene.assert_quiet();
    scene.change(|up| up.file("fedora/new", b"new").map(drop));
    scene.sync();
    scene.configure(&[FEDORA, ARCHIVE], "");
    scene.sync_to_same();
}

#[test]
fn a_directory_in_the_place_of_a_file_of_the_state_is_named_and_can_be_removed() {
    for name in ["lock", "journal", "fedora.applied", "fedora.stamps", "runs", "lists/fedora/fullfiletimelist-fedora"] {
        let mut scene = Scene::synced(&[FEDORA], |up| up.file("fedora/a", b"a").map(drop));
        let path = scene.state_folder().join(name);
        if path.exists() {
            fs::remove_file(&path).expect("removed");
        }
        fs::create_dir(&path).expect("made");
        scene.change(|up| up.file("fedora/b", b"b").map(drop));
        let result = scene.run(&[]).status(Status::Local);
        let said = format!("{}; a directory is in the place of a file of the state: remove that", path.display());
        assert!(result.stderr.contains(&said), "{name}: {}", result.stderr);
        fs::remove_dir(&path).expect("removed");
        scene.run(&[]).status(Status::Done);
        scene.assert_same();
        scene.assert_quiet();
    }
}
