//! Too little room, on small file systems of their own.

mod support;

use std::fs;
use std::path::Path;

use qfm::exit::Status;
use support::*;

/// A mirror on a file system of its own. `None` where none can be mounted.
fn on_volume(options: &str, modules: &[&str], build: impl FnOnce(&mut Upstream) -> Built) -> Option<(Scene, Volumes)> {
    let mut scene = Scene::new(modules, build);
    let volumes = Volumes::mount(&[(&scene.mirror.root, options)])?;
    scene.mirror.run_on(&volumes);
    Some((scene, volumes))
}

/// Files that a file system of 4 MiB holds once.
fn images(up: &mut Upstream) -> Built {
    (0..4).try_for_each(|number| up.file(format!("fedora/{number}.iso"), noise(600_000)).map(drop))
}

#[track_caller]
fn assert_same_on(scene: &Scene, volumes: &Volumes) {
    assert_same(scene.site.upstream.root(), &volumes.seen(&scene.mirror.root));
}

/// Fails unless nothing was begun: lists were fetched, and that was all.
#[track_caller]
fn assert_nothing_begun(scene: &mut Scene) {
    assert!(scene.new_calls().iter().all(Call::is_for_lists), "content was asked for");
    assert!(!scene.state_folder().join("journal").exists(), "there is a journal");
}

fn names_in(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).expect("a directory");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn what_does_not_fit_is_not_begun() {
    let build = |up: &mut Upstream| up.file("fedora/os/big.iso", noise(3_000_000))?.file("fedora/a", b"a").map(drop);
    let Some((mut scene, volumes)) = on_volume("size=2m", &[FEDORA], build) else { return };
    let root = volumes.seen(&scene.mirror.root);
    let log = scene.mirror.config.with_file_name("log");
    scene.mirror.add(&format!("log_file = {log:?}"));
    let result = scene.run(&[]).status(Status::Space);
    let logged = fs::read_to_string(&log).expect("a log");
    let lines: Vec<&str> = logged.lines().filter(|line| line.contains(" plan: ")).collect();
    let [line] = lines[..] else { panic!("one file system: {logged}") };
    let path = scene.mirror.root.display();
    assert!(line.contains(&format!(" does not fit, and nothing was begun: Space on {path}: ")), "{line}");
    assert!(line.contains(&format!(" path={path} needed=")) && line.contains(" free=2097152 "), "{line}");
    for words in ["does not fit", "would be enough", "2.86 MiB", "2.00 MiB", scene.mirror.root.to_str().expect("UTF-8")]
    {
        assert!(result.stderr.contains(words), "{words}: {}", result.stderr);
    }
    assert_nothing_begun(&mut scene);
    assert_eq!(names_in(&root), [""; 0]);
    let record = scene.run(&["--json"]).status(Status::Space).json();
    assert_eq!((&record["space"][0]["verdict"], &record["status"]), (&"short".into(), &"space".into()));
    assert!(record["errors"][0].as_str().expect("an error").contains("not enough space"), "{record}");

    // A dry run says the same, and ends the same.
    let result = scene.run(&["-n"]).status(Status::Space);
    let said = format!("This does not fit. Space on {}: ", scene.mirror.root.display());
    assert!(result.stdout.contains("fetch   missing") && result.stdout.contains(&said), "{}", result.stdout);
    assert!(result.stdout.contains("needed until all is in place, 2.00 MiB free"), "{}", result.stdout);
    assert_eq!(result.stderr, "", "it is said once");
    let result = scene.run(&["-n", "-q"]).status(Status::Space);
    assert!(result.stdout.is_empty() && result.stderr.contains("does not fit"), "{result:?}");
    let plan = scene.run(&["-n", "--json"]).status(Status::Space).json();
    assert_eq!((&plan["space"][0]["verdict"], &plan["kind"]), (&"short".into(), &"plan".into()));
    assert_nothing_begun(&mut scene);

    volumes.remount(&scene.mirror.root, "size=8m");
    let plan = scene.run(&["-n", "--json"]).status(Status::Done).json();
    assert_eq!(plan["space"][0]["verdict"], "fits");
    scene.sync();
    assert_same_on(&scene, &volumes);
    scene.assert_quiet();
}

#[test]
fn old_and_new_are_there_together_until_the_new_is_in_place() {
    let index = |byte: u8| noise(600_000).into_iter().map(move |noise| noise ^ byte).collect::<Vec<u8>>();
    let build = |up: &mut Upstream| {
        for number in 0..3_u8 {
            up.file(format!("fedora/{number}/repodata/primary.xml"), index(number))?;
        }
        Ok(())
    };
    let Some((mut scene, volumes)) = on_volume("size=3m", &[FEDORA], build) else { return };
    scene.sync();
    scene.change(|up| {
        for number in 0..3_u8 {
            up.file(format!("fedora/{number}/repodata/primary.xml"), &index(number + 10)[..599_000])?;
        }
        Ok(())
    });
    scene.new_calls();
    scene.run(&[]).status(Status::Space);
    assert_nothing_begun(&mut scene);
    volumes.remount(&scene.mirror.root, "size=4m");
    scene.sync();
    assert_same_on(&scene, &volumes);
}

#[test]
fn what_upstream_had_is_no_room_for_what_it_has_and_that_is_said() {
    let build = |up: &mut Upstream| up.file("fedora/old.iso", noise(900_000)).map(drop);
    let Some((mut scene, _volumes)) = on_volume("size=2m", &[FEDORA], build) else { return };
    scene.sync();
    scene.change(|up| up.remove("fedora/old.iso")?.file("fedora/new.iso", noise(1_500_000)).map(drop));
    let result = scene.run(&[]).status(Status::Space);
    let says = |words| result.stderr.contains(words);
    assert!(says("1 entry that should go frees ") && says("not before what is new is here"), "{}", result.stderr);
}

#[test]
fn files_that_take_the_place_of_others_one_by_one_need_room_for_one() {
    let Some((mut scene, volumes)) = on_volume("size=4m", &[FEDORA], images) else { return };
    scene.sync();
    scene.change(|up| {
        for number in 0..4 {
            up.file(format!("fedora/{number}.iso"), &noise(600_016)[16..600_008])?;
        }
        Ok(())
    });
    let result = scene.sync();
    assert!(result.stderr.contains("may not fit"), "{}", result.stderr);
    assert_same_on(&scene, &volumes);
}

#[test]
fn inodes_count_as_bytes_do() {
    let build = |up: &mut Upstream| {
        for number in 0..50 {
            up.file(format!("fedora/{number}"), b"x")?;
        }
        Ok(())
    };
    let Some((mut scene, volumes)) = on_volume("size=4m,nr_inodes=40", &[FEDORA], build) else { return };
    let result = scene.run(&[]).status(Status::Space);
    let line = result.stderr.lines().find(|line| line.contains("inodes")).expect("a line on inodes");
    // Files and the list; one inode is the root's; 5 % more.
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["inodes", "51", "39", "54"], "{}", result.stderr);
    assert_nothing_begun(&mut scene);
    volumes.remount(&scene.mirror.root, "nr_inodes=80");
    scene.sync();
    assert_same_on(&scene, &volumes);
}

#[test]
fn each_file_system_is_looked_at_by_itself() {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], |up| {
        up.file("fedora/a", noise(1_000_000))?.file("archive/b", noise(2_000_000)).map(drop)
    });
    let archive = scene.mirror.path("archive");
    fs::create_dir(&archive).expect("made");
    let mounts = [(scene.mirror.root.as_path(), "size=4m"), (archive.as_path(), "size=1m")];
    // The second is mounted on a directory of the first.
    let Some(volumes) = Volumes::mount(&mounts[..1]) else { return };
    volumes.run("mkdir", &[archive.to_str().expect("UTF-8")]);
    volumes.run("mount", &["-t", "tmpfs", "-o", mounts[1].1, "tmpfs", archive.to_str().expect("UTF-8")]);
    scene.mirror.run_on(&volumes);
    let plan = scene.run(&["-n", "--json"]).status(Status::Space).json();
    let verdicts: Vec<_> = plan["space"].as_array().expect("a list").iter().map(|room| &room["verdict"]).collect();
    assert_eq!(verdicts, ["fits", "short"], "{plan}");
    assert_eq!(plan["space"][1]["modules"], serde_json::json!([ARCHIVE]));
    scene.run(&[]).status(Status::Space);
    assert_nothing_begun(&mut scene);
    scene.run(&[FEDORA]).status(Status::Done);
    volumes.remount(&archive, "size=4m");
    scene.sync();
    assert_same_on(&scene, &volumes);
}

#[test]
fn names_that_may_be_one_file_are_tried_with_a_warning() {
    let build = |up: &mut Upstream| {
        up.file("fedora/1/a.rpm", noise(600_000))?.hardlink("fedora/1/a.rpm", "fedora/2/a.rpm")?;
        up.hardlink("fedora/1/a.rpm", "fedora/3/a.rpm").map(drop)
    };
    let Some((mut scene, volumes)) = on_volume("size=1m", &[FEDORA], build) else { return };
    let result = scene.sync();
    assert!(
        result.stderr.contains("may not fit") && result.stderr.contains("586.12 KiB to 1.74 MiB"),
        "{}",
        result.stderr
    );
    assert_same_on(&scene, &volumes);
    // A new name of what is here.
    scene.change(|up| up.hardlink("fedora/1/a.rpm", "fedora/4/a.rpm").map(drop));
    let result = scene.sync();
    assert!(result.stderr.contains("may not fit"), "{}", result.stderr);
    assert_same_on(&scene, &volumes);
    scene.assert_quiet();
}

#[test]
fn a_tree_that_is_here_already_needs_no_room_for_a_second_one() {
    let Some((mut scene, volumes)) = on_volume("size=4m", &[FEDORA], images) else { return };
    scene.sync();
    // Without a saved state nobody vouches for anything.
    fs::remove_dir_all(&scene.mirror.state).expect("removed");
    scene.change(|up| (0..4).try_for_each(|number| up.touch(format!("fedora/{number}.iso"), up.now()).map(drop)));
    let plan = scene.run(&["-n", "--json"]).status(Status::Done).json();
    assert!(plan["modules"][0]["fetch"]["newer"]["entries"] == 4 && plan["space"][0]["verdict"] == "fits", "{plan}");
    assert_eq!(scene.sync().stderr, "");
    assert_same_on(&scene, &volumes);
}

#[test]
fn lists_that_do_not_fit_into_the_state_change_nothing() {
    let mut scene = Scene::new(&[FEDORA], |up| up.file("fedora/a", b"a").map(drop));
    fs::create_dir(&scene.mirror.state).expect("made");
    let Some(volumes) = Volumes::mount(&[(&scene.mirror.state, "size=200k")]) else { return };
    scene.mirror.run_on(&volumes);
    scene.sync_to_same();
    scene.change(|up| (0..1200).try_for_each(|number| up.file(format!("fedora/{number:0200}"), b"").map(drop)));
    let before = tree::inode_snapshot(&scene.mirror.root).expect("a mirror");
    let result = scene.run(&[]).status(Status::Space);
    assert!(result.stderr.contains("No space left") && result.stderr.contains("(setting state)"), "{}", result.stderr);
    assert_untouched(&before, &scene.mirror.root);
    volumes.remount(&scene.mirror.state, "size=9m");
    scene.sync_to_same();
    scene.assert_quiet();
}

#[test]
fn what_is_excluded_goes_first_where_there_is_no_room_otherwise() {
    let Some((mut scene, volumes)) = on_volume("size=4m", &[FEDORA], images) else { return };
    scene.sync();
    let seen = volumes.seen(&scene.mirror.root).join("fedora");
    scene.change(|up| up.file("fedora/new.iso", noise(2_500_000))?.remove("fedora/3.iso").map(drop));
    scene.new_calls();
    // It is not enough: then nothing goes.
    scene.configure(&[FEDORA], r#"filter.exclude = ["re:0[.]iso$"]"#);
    scene.run(&[]).status(Status::Space);
    assert!((0..4).all(|number| seen.join(format!("{number}.iso")).exists()));
    assert_nothing_begun(&mut scene);
    // It would be, and the settings are against it.
    let enough = r#"filter.exclude = ["re:[01][.]iso$"]"#;
    scene.configure(&[FEDORA], &format!("{enough}\ndelete.mode = \"never\""));
    scene.run(&[]).status(Status::Space);
    // The guard is against it: it says what it takes to go on.
    let guarded = "delete.max_share = 0\ndelete.min_entries = 0";
    for (filter, is_enough) in [(enough, "which is enough"), (r#"filter.exclude = ["re:0[.]iso$"]"#, "not enough")] {
        scene.configure(&[FEDORA], &format!("{filter}\n{guarded}"));
        for flags in [&[][..], &["-n"]] {
            let said = scene.run(flags).status(Status::Space).stderr;
            let flag = format!("run once: qfm --allow-delete {FEDORA}");
            assert!(
                said.contains(is_enough) && said.contains(&flag) && said.contains("1.15 MiB") == (filter == enough),
                "{said}"
            );
        }
    }
    scene.configure(&[FEDORA], &format!("{enough}\n{guarded}"));
    scene.run(&["-n", "--allow-delete", FEDORA]).status(Status::Done);
    scene.configure(&[FEDORA], enough);
    let plan = scene.run(&["-n", "--json"]).status(Status::Done).json();
    let room = &plan["space"][0];
    assert!(room["verdict"] == "fits" && room["relief"]["entries"] == 2, "{room}");
    assert!((0..4).all(|number| seen.join(format!("{number}.iso")).exists()));
    // What is gone upstream, and clients may still be led to, stays until the rest is here.
    let listed = scene.mirror.path("listed");
    scene.wrapper.before(scene.next_call() + 1, &format!("ls {:?} >{listed:?}", scene.mirror.path("fedora")));
    let result = scene.sync();
    assert!(result.stderr.contains("goes before the transfer"), "{}", result.stderr);
    let listed = fs::read_to_string(seen.with_file_name("listed")).expect("a file");
    assert_eq!(listed.split_whitespace().collect::<Vec<_>>(), ["2.iso", "3.iso", "fullfiletimelist-fedora"]);
    let mut names = names_in(&seen);
    names.sort();
    assert_eq!(names, ["2.iso", "fullfiletimelist-fedora", "new.iso"]);
    scene.assert_quiet();
}

#[test]
fn the_margin_and_the_check_are_the_admins() {
    let build = |up: &mut Upstream| up.file("fedora/a", noise(1_900_000)).map(drop);
    let Some((mut scene, volumes)) = on_volume("size=2m", &[FEDORA], build) else { return };
    scene.configure(&[FEDORA], "space.margin = 20");
    scene.run(&[]).status(Status::Space);
    scene.configure(&[FEDORA], "space.margin = 20\nspace.check = false");
    let result = scene.sync();
    assert_eq!(result.stderr, "");
    assert_same_on(&scene, &volumes);
}

#[test]
fn a_quota_that_rsync_tells_of_is_too_little_room() {
    let mut scene = Scene::synced(&[FEDORA], |up| up.file("fedora/a", b"a").map(drop));
    scene.change(|up| up.file("fedora/b", b"b").map(drop));
    for (round, code) in [11, 23, 12].into_iter().enumerate() {
        let words = r#"rsync: [receiver] write failed on "/srv/fedora/b": Disk quota exceeded (122)"#;
        scene.wrapper.before(scene.next_call() + 1, &format!("echo '{words}' >&2; exit {code}"));
        let result = scene.run(&[]).status(Status::Space);
        let says = |words| result.stderr.contains(words);
        assert!(says("Disk quota exceeded") && says("To see what lacks: qfm "), "{round}: {}", result.stderr);
    }
    scene.sync_to_same();
}

#[test]
fn a_disk_that_fills_all_the_same_keeps_what_is_complete_and_the_next_run_goes_on() {
    let build = |up: &mut Upstream| {
        for number in 0..8 {
            up.file(format!("fedora/{number}.rpm"), noise(400_000))?;
        }
        up.file("fedora/repodata/repomd.xml", b"<repomd/>").map(drop)
    };
    let Some((mut scene, volumes)) = on_volume("size=4m", &[FEDORA], build) else { return };
    let root = volumes.seen(&scene.mirror.root);
    // There is room when the run begins; then others fill the disk.
    let filler = scene.mirror.path("filler");
    scene.wrapper.before(2, &format!("head -c 2200000 /dev/zero >{filler:?}"));
    let result = scene.run(&[]).status(Status::Space);
    assert!(result.stderr.contains("No space left"), "{}", result.stderr);
    let names = names_in(&root.join("fedora"));
    let packages = names.iter().filter(|name| name.ends_with(".rpm") && !name.starts_with('.')).count();
    assert!((1..8).contains(&packages), "{names:?}");
    for name in ["repodata/repomd.xml", "fullfiletimelist-fedora"] {
        assert!(!root.join("fedora").join(name).exists(), "{name} names what is not here");
    }
    // As long as there is no room, it is said before anything is tried.
    scene.new_calls();
    scene.run(&[]).status(Status::Space);
    assert!(scene.new_calls().iter().all(Call::is_for_lists), "content was asked for");
    fs::remove_file(root.join("filler")).expect("removed");
    scene.sync();
    let asked = names_asked(&scene.new_calls());
    let asked = asked.iter().filter(|name| name.ends_with(b".rpm")).count();
    assert!(asked <= 8 - packages, "{asked} packages were asked for, of which {packages} were here");
    assert_same_on(&scene, &volumes);
    scene.assert_quiet();
}
