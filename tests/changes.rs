//! Upstream moves on: between runs, and under way.

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;

use qfm::exit::Status;
use support::tree::inode_snapshot;
use support::*;

/// A repository with metadata that names its content.
fn repository(up: &mut Upstream, top: &str, version: &str) -> Built {
    if up.path(top).join("repodata").exists() {
        up.remove(format!("{top}/repodata"))?;
    }
    up.file(format!("{top}/repodata/{version}-primary.xml.gz"), format!("primary of {version}"))?
        .file(format!("{top}/repodata/repomd.xml"), format!("<repomd version={version:?}/>"))?;
    Ok(())
}

fn first(up: &mut Upstream) -> Built {
    for number in 0..8 {
        up.file(format!("fedora/os/p{number}.rpm"), format!("package {number}"))?;
    }
    up.hardlink("fedora/os/p0.rpm", "archive/os/p0.rpm")?.link("fedora/latest", "os")?;
    repository(up, "fedora/os", "1")
}

/// Something of each kind: added, gone, of another size, moved, linked, a new directory, a directory that went.
fn second(up: &mut Upstream) -> Built {
    up.file("fedora/os/new.rpm", b"new")?
        .remove("fedora/os/p1.rpm")?
        .file("fedora/os/p2.rpm", b"another size, a rebuild")?
        .rename("fedora/os/p3.rpm", "fedora/os/moved.rpm")?
        .hardlink("fedora/os/p4.rpm", "archive/os/p4.rpm")?
        .file("fedora/new/directory/a.rpm", b"a")?;
    repository(up, "fedora/os", "second")
}

fn third(up: &mut Upstream) -> Built {
    up.remove("fedora/new")?
        .file("fedora/os/newest.rpm", b"newest")?
        .remove("fedora/os/new.rpm")?
        .file("fedora/os/p5.rpm", b"yet another size")?
        .rename("fedora/os/moved.rpm", "archive/os/moved.rpm")?;
    repository(up, "fedora/os", "the third")
}

#[test]
fn each_kind_of_change_is_followed() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], first);
    scene.change(second);
    scene.sync_to_same();
    scene.assert_quiet();
    scene.change(third);
    scene.sync_to_same();
    scene.assert_quiet();
}

#[test]
fn only_what_changed_and_its_twins_is_asked_for() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], first);
    scene.change(|up| {
        up.hardlink("fedora/os/p4.rpm", "archive/os/p4.rpm")?.file("fedora/os/p5.rpm", b"of another size")?;
        Ok(())
    });
    scene.sync_to_same();
    let asked = names_asked(&scene.new_calls());
    let shown: Vec<_> = asked.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    let extras = ["fullfilelist", "imagelist-"];
    let asked: Vec<&String> = shown.iter().filter(|name| !extras.iter().any(|extra| name.contains(extra))).collect();
    // The directories have new times.
    assert_eq!(asked, ["archive/os", "archive/os/p4.rpm", "fedora/os", "fedora/os/p4.rpm", "fedora/os/p5.rpm"]);
}

#[test]
fn a_file_with_the_same_size_and_another_time_comes() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], first);
    scene.change(|up| up.file("fedora/os/p5.rpm", b"PACKAGE 5").map(drop));
    scene.sync_to_same();
    scene.assert_quiet();
}

#[test]
fn a_file_with_a_checksum_comes_even_with_the_same_size_and_time() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], first);
    let time = scene.site.upstream.now() - 3600;
    scene.change(|up| up.file_at("fedora/os/repodata/repomd.xml", b"<repomd version=\"X\"/>", time).map(drop));
    scene.sync_to_same();
    scene.assert_quiet();
}

#[test]
fn a_new_list_with_the_same_size_and_time_is_not_missed_by_a_full_run() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], first);
    let path = scene.site.upstream.path("fedora/fullfiletimelist-fedora");
    let time = fs::metadata(&path).and_then(|stat| stat.modified()).expect("a list");
    scene.change(|up| up.rename("fedora/os/p7.rpm", "fedora/os/p9.rpm").map(drop));
    fs::File::open(&path).and_then(|file| file.set_modified(time)).expect("the list's time");
    scene.run(&["--full"]).status(Status::Done);
    scene.assert_same();
}

#[test]
fn a_module_added_later_is_linked_to_what_is_here_without_receiving_content() {
    let mut scene = Scene::new(&[FEDORA], |up| {
        for number in 0..50 {
            let name = format!("linux/p{number}.rpm");
            up.file(format!("fedora/{name}"), vec![number; 50_000])?
                .hardlink(format!("fedora/{name}"), format!("archive/fedora/{name}"))?;
        }
        Ok(())
    });
    scene.sync();
    scene.configure(&[FEDORA, ARCHIVE], "");
    let result = scene.run(&["--json"]).status(Status::Done).json();
    scene.assert_same();
    let module = result["modules"].as_array().expect("modules").iter().find(|module| module["module"] == ARCHIVE);
    let module = module.expect("the new module");
    assert_eq!((&module["fetched"]["bytes"], &module["linked"]), (&0.into(), &50.into()), "{module:#}");
    let received = result["received_bytes"].as_u64().expect("bytes");
    assert!(received < 50_000, "{received} bytes were received for hard links");
    scene.assert_quiet();
}

#[test]
fn upstream_may_change_between_any_two_calls_and_again_after_the_next() {
    let cases = [true, false].into_iter().flat_map(|fresh| (1..=5).map(move |call| (fresh, call)));
    side_by_side(cases, |(fresh, call)| {
        let mut scene = Scene::new(&[FEDORA, ARCHIVE], first);
        if !fresh {
            scene.sync_to_same();
            scene.change(|up| up.file("fedora/os/reason.rpm", b"to look").map(drop));
        }
        let next = scene.next_call();
        let commands = scene.stage(second);
        scene.wrapper.after(next + call - 1, &commands);
        let commands = scene.stage(third);
        scene.wrapper.after(next + call, &commands);
        let result = scene.run(&[]);
        let what = format!("changed after call {call} of {}, fresh: {fresh}", scene.next_call() - next);
        ended_with(result.code, &[Status::Done, Status::Held, Status::Partial]);
        assert!(!scene.versions_here().is_empty(), "{what}: a mixture\n{}\n{}", result.stdout, result.stderr);

        // Whatever was not put in place during the run is now.
        for number in 0..2 {
            let root = scene.site.upstream.root();
            let beside = |name: &str| root.with_file_name(format!("upstream.{name}.{number}"));
            if beside("staged").exists() {
                fs::rename(root, beside("past")).expect("renamed");
                fs::rename(beside("staged"), root).expect("renamed");
            }
        }
        scene.sync();
        scene.assert_same();
        scene.assert_quiet();
    });
}

#[test]
fn upstream_may_go_back_to_a_version_that_lacks_what_the_first_had() {
    for call in 1..=4 {
        let mut scene = Scene::synced(&[FEDORA, ARCHIVE], first);
        scene.change(second);
        let next = scene.next_call();
        let commands = scene.stage(|up| {
            up.remove("fedora/os/new.rpm")?.remove("fedora/new")?.remove("fedora/os/moved.rpm")?;
            repository(up, "fedora/os", "1")
        });
        scene.wrapper.after(next + call - 1, &commands);
        scene.run(&[]);
        if !scene.site.upstream.root().with_file_name("upstream.past.0").exists() {
            continue;
        }
        scene.sync();
        scene.assert_same();
        scene.assert_quiet();
    }
}

#[test]
fn content_that_is_ahead_of_its_list_does_not_hide_behind_a_run_without_changes() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], first);
    // Upstream works on its tree, and has not made the list yet.
    let old = scene.site.upstream.list("fedora").expect("a list");
    scene.change(second);
    let new = scene.site.upstream.list("fedora").expect("a list");
    scene.publish_raw("fedora", &[&old[..], b""].concat());
    scene.run(&[]).status(Status::Done);
    scene.run(&["--full"]).status(Status::Done);
    scene.publish_raw("fedora", &new);
    scene.sync();
    scene.assert_same();
    scene.assert_quiet();
}

#[test]
fn a_module_that_is_named_alone_leaves_the_others_as_they_are() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], first);
    scene.change(second);
    let before = inode_snapshot(&scene.mirror.path("archive")).expect("a module");
    scene.run(&[FEDORA]).status(Status::Done);
    assert_untouched(&before, &scene.mirror.path("archive"));
    scene.sync_to_same();
    scene.assert_quiet();
}

#[test]
fn a_list_in_which_most_rows_changed_at_once_is_followed() {
    // More rows than a quick comparison is worth.
    let files = |up: &mut Upstream| {
        (0..2000).try_for_each(|number| up.file(format!("fedora/many/{}/{number}", number % 20), b"same").map(drop))
    };
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], |up| {
        first(up)?;
        files(up)
    });
    // Every time is another, as after a copy of all upstream; some names came, some went.
    scene.change(|up| {
        files(up)?;
        second(up)
    });
    fs::remove_file(scene.mirror.path("fedora/os/p6.rpm")).expect("removed");
    let record = scene.run(&["--json"]).status(Status::Done).json();
    assert_eq!(depth(&record, FEDORA), "full", "{record:#}");
    scene.assert_same();
    scene.assert_quiet();
}

/// How closely a module was compared.
fn depth(record: &serde_json::Value, module: &str) -> String {
    let modules = record["modules"].as_array().expect("modules").iter();
    let depths: Vec<&str> = modules.filter(|of| of["module"] == module).filter_map(|of| of["depth"].as_str()).collect();
    depths.concat()
}

#[test]
fn directories_without_rows_of_their_own_stay() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], |up| {
        up.file("fedora/linux/os/deep/a.rpm", b"aaa")?
            .file("fedora/linux/b.rpm", b"bbb")?
            .file("archive/c", b"c")
            .map(drop)
    });
    let publish_without_directories = |scene: &mut Scene| {
        let list = scene.site.upstream.list("fedora").expect("a list");
        let lines: Vec<&[u8]> = list.split_inclusive(|&byte| byte == b'\n').collect();
        let is_dir = |line: &&[u8]| line.split(|&byte| byte == b'\t').nth(1) == Some(b"d");
        let rows: Vec<u8> = lines.into_iter().filter(|line| !is_dir(line)).flatten().copied().collect();
        scene.publish_raw("fedora", &rows);
    };
    publish_without_directories(&mut scene);
    scene.run(&[]).status(Status::Done);
    // Something changes above them, upstream and here.
    scene.change(|up| up.file("fedora/linux/new.rpm", b"new").map(drop));
    publish_without_directories(&mut scene);
    for directory in ["fedora", "fedora/linux"] {
        std::fs::write(scene.mirror.path(directory).join("stray"), "stray").expect("written");
    }
    scene.run(&[]).status(Status::Done);
    for name in ["linux/os/deep/a.rpm", "linux/b.rpm", "linux/new.rpm"] {
        assert!(scene.mirror.path("fedora").join(name).is_file(), "{name}");
    }
    for name in ["stray", "linux/stray"] {
        assert!(!scene.mirror.path("fedora").join(name).exists(), "{name}");
    }
}

#[test]
fn content_that_is_newer_than_its_list_is_not_taken_for_what_an_upstream_had_that_goes_back() {
    let mut scene = Scene::synced(&[FEDORA], |up| up.file("fedora/os/p.rpm", b"one version").map(drop));
    // The list of this version, and already the content of the next, of the same size.
    scene.change(|up| up.file("fedora/os/p.rpm", b"two version")?.file("fedora/os/q.rpm", b"q").map(drop));
    let list = scene.site.upstream.list("fedora").expect("a list");
    let time = fs::metadata(scene.site.upstream.path("fedora/os/p.rpm")).expect("it is there").mtime();
    scene.change(|up| up.file("fedora/os/p.rpm", b"new version").map(drop));
    scene.publish_raw("fedora", &list);
    scene.run(&[]).status(Status::Partial);
    // Upstream takes it back.
    scene.change(|up| up.file_at("fedora/os/p.rpm", b"two version", time.unsigned_abs()).map(drop));
    scene.publish_raw("fedora", &list);
    scene.sync();
    assert_eq!(fs::read(scene.mirror.path("fedora/os/p.rpm")).expect("read"), b"two version");
}
