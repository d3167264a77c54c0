//! The tree becomes what the settings say, whatever they said before.

mod support;

use std::fs;

use qfm::demo::tree::View;
use qfm::exit::Status;
use support::*;

fn build(up: &mut Upstream) -> Built {
    for (size, release) in ["41", "42", "43"].into_iter().enumerate() {
        for architecture in ["x86_64", "aarch64"] {
            let top = format!("fedora/linux/releases/{release}/Everything/{architecture}");
            up.file(format!("{top}/os/a.rpm"), format!("{top} a{}", "+".repeat(size)))?
                .file(format!("{top}/os/repodata/repomd.xml"), format!("<repomd {top}{}/>", "+".repeat(size)))?
                .file(format!("{top}/iso/netinst.iso"), format!("{top} iso{}", "+".repeat(size)))?
                .file(format!("{top}/debug/tree/a-debuginfo.rpm"), format!("{top} debug{}", "+".repeat(size)))?;
        }
        let top = format!("fedora/linux/releases/{release}/Everything/source/tree");
        up.file(format!("{top}/a.src.rpm"), &top[..top.len() - release.parse::<usize>()? % 40])?;
        up.file(
            format!("fedora/linux/updates/{release}/Everything/x86_64/b.rpm"),
            format!("{release} b{}", "+".repeat(size)),
        )?;
    }
    up.file("fedora/linux/releases/test/44_Beta/x.rpm", b"beta")?.mode("fedora/linux/releases/test", 0o750)?;
    up.hardlink("fedora/linux/releases/41/Everything/x86_64/os/a.rpm", "archive/41/a.rpm")?;
    Ok(())
}

// No two releases have files of the same name and size: what is made of those has a test of its own.

/// Upstream without what has one of these in its path.
#[track_caller]
fn assert_same_without(scene: &Scene, left_out: &[&str]) {
    let is_left_out = |name: &[u8]| {
        let name = String::from_utf8_lossy(name);
        left_out.iter().any(|part| format!("{name}/").contains(part))
    };
    let found = tree::snapshot(&scene.mirror.root, &View { restricted: true, ..View::PUBLIC }).expect("a mirror");
    let wrong: Vec<_> =
        found.keys().filter(|name| is_left_out(name)).map(|name| String::from_utf8_lossy(name)).collect();
    assert!(wrong.is_empty(), "these are left out, and here: {wrong:#?}");
    let view = View { contents: true, ignore: &is_left_out, ..View::PUBLIC };
    assert_same_in(&view, scene.site.upstream.root(), &scene.mirror.root);
}

#[test]
fn what_is_excluded_goes_and_comes_back() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    for (lines, left_out) in [
        ("filter.exclude = [\"debug\"]", &["/debug/"][..]),
        ("filter.exclude = [\"debug\", \"source\", 're:\\.iso$']", &["/debug/", "/source/", ".iso/"]),
        ("filter.exclude = [\"arch:aarch64\"]", &["/aarch64/"]),
        ("filter.exclude = [\"release:41\"]", &["releases/41/", "updates/41/"]),
        ("module.fedora-enchilada.exclude = [\"source\"]", &["/source/"]),
        ("filter.only = [\"release:43\"]", &["releases/41/", "updates/41/", "releases/42/", "updates/42/"]),
        ("filter.keep_releases = 2", &["releases/41/", "updates/41/"]),
        ("filter.keep_releases = 1", &["releases/41/", "updates/41/", "releases/42/", "updates/42/"]),
        ("", &[]),
    ] {
        scene.configure(&[FEDORA, ARCHIVE], lines);
        scene.run(&["--allow-delete", FEDORA, "--allow-delete", ARCHIVE]).status(Status::Done);
        eprintln!("with {lines}");
        assert_same_without(&scene, left_out);
        scene.assert_quiet();
    }
}

#[test]
fn what_is_excluded_does_not_come_with_a_change() {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], build);
    scene.configure(&[FEDORA, ARCHIVE], "filter.exclude = [\"debug\", \"arch:aarch64\"]");
    scene.sync();
    scene.change(|up| {
        up.file("fedora/linux/releases/43/Everything/x86_64/debug/tree/new-debuginfo.rpm", b"d")?
            .file("fedora/linux/releases/43/Everything/aarch64/os/new.rpm", b"a")?
            .file("fedora/linux/releases/43/Everything/x86_64/os/new.rpm", b"x")?;
        Ok(())
    });
    scene.sync();
    assert_same_without(&scene, &["/debug/", "/aarch64/"]);
    scene.assert_quiet();
}

#[test]
fn restricted_content_comes_goes_and_stays_when_it_becomes_public() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    let beta = scene.mirror.path("fedora/linux/releases/test");
    assert!(!beta.exists());
    scene.configure(&[FEDORA, ARCHIVE], "restricted = true");
    scene.sync();
    let everything = View { restricted: true, contents: true, ..View::PUBLIC };
    assert_same_in(&everything, scene.site.upstream.root(), &scene.mirror.root);
    scene.assert_quiet();
    scene.configure(&[FEDORA, ARCHIVE], "");
    scene.sync_to_same();
    assert!(!beta.exists());

    scene.configure(&[FEDORA, ARCHIVE], "restricted = true");
    scene.sync();
    let content = fs::metadata(beta.join("44_Beta/x.rpm")).expect("it came");
    scene.change(|up| {
        let now = up.now();
        up.mode("fedora/linux/releases/test", 0o755)?.touch("fedora/linux/releases/test", now).map(drop)
    });
    scene.sync_to_same();
    let now = fs::metadata(beta.join("44_Beta/x.rpm")).expect("it is still here");
    assert_eq!(
        std::os::unix::fs::MetadataExt::ino(&content),
        std::os::unix::fs::MetadataExt::ino(&now),
        "fetched again"
    );
    scene.configure(&[FEDORA, ARCHIVE], "");
    scene.sync_to_same();
    scene.assert_quiet();
}

#[test]
fn what_becomes_restricted_goes() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    scene.change(|up| up.mode("fedora/linux/updates/43", 0o750).map(drop));
    scene.sync_to_same();
    assert!(!scene.mirror.path("fedora/linux/updates/43").exists());
    scene.assert_quiet();
}

#[test]
fn a_module_of_which_nothing_is_carried_is_in_order() {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], |up| {
        build(up)?;
        up.file("archive/secret/x", b"x")?.mode("archive/secret", 0o750).map(drop)
    });
    scene.configure(&[FEDORA, ARCHIVE], "module.fedora-archive.exclude = ['re:^archive/[^s]']");
    scene.sync();
    let here = fs::read_dir(scene.mirror.path("archive")).expect("its directory");
    let here: Vec<_> = here.map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(here, [list_name("archive").as_str()]);
    scene.assert_quiet();
}

#[test]
fn a_flag_holds_for_one_run_and_the_configuration_for_the_next() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    scene.run(&["--filter-exclude", "source"]).status(Status::Done);
    assert_same_without(&scene, &["/source/"]);
    scene.sync_to_same();
    scene.assert_quiet();
}

#[test]
fn a_word_that_means_nothing_is_a_matter_of_the_configuration() {
    let mut scene = Scene::synced(&[FEDORA], |up| up.file("fedora/a", b"a").map(drop));
    for lines in [
        "filter.exclude = [\"debugg\"]",
        "filter.exclude = ['re:(']",
        "filter.only = [\"arch:\"]",
        "filter.only = [\"arch:x86-64\"]",
        "filter.exclude = [\"release:rawhid\"]",
    ] {
        scene.configure(&[FEDORA], lines);
        let result = scene.run(&[]).status(Status::Usage);
        assert!(!result.stderr.is_empty());
        assert!(scene.mirror.path("fedora/a").exists() && scene.new_calls().is_empty());
    }
}

#[test]
fn a_module_that_is_no_more_configured_is_left_alone() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    let before = tree::inode_snapshot(&scene.mirror.path("archive")).expect("a module");
    scene.configure(&[FEDORA], "");
    scene.change(|up| up.file("archive/new", b"new")?.file("fedora/new", b"new").map(drop));
    scene.sync();
    assert!(scene.mirror.path("fedora/new").exists());
    assert_untouched(&before, &scene.mirror.path("archive"));
    scene.configure(&[FEDORA, ARCHIVE], "");
    scene.sync_to_same();
}

#[test]
fn what_keep_releases_leaves_out_does_not_come_as_another_name_of_what_is_carried() {
    let mut scene = Scene::new(&[FEDORA], |up| {
        up.file("fedora/linux/releases/42/a.rpm", b"same")?;
        up.hardlink("fedora/linux/releases/42/a.rpm", "fedora/linux/releases/43/a.rpm").map(drop)
    });
    scene.configure(&[FEDORA], "filter.keep_releases = 1");
    scene.sync();
    assert_same_without(&scene, &["releases/42/"]);
    scene.assert_quiet();
}

#[test]
fn what_is_withheld_does_not_come_as_another_name_of_what_is_public() {
    let mut scene = Scene::new(&[FEDORA], |up| {
        up.file("fedora/linux/x.rpm", b"x")?.hardlink("fedora/linux/x.rpm", "fedora/beta/x.rpm")?;
        up.mode("fedora/beta", 0o750).map(drop)
    });
    // A row that forgets its mark, below a directory that has one.
    let list = String::from_utf8(scene.site.upstream.list("fedora").expect("a list")).expect("text");
    assert!(list.contains("\tf*\t1\tbeta/x.rpm"), "{list}");
    scene.publish_raw("fedora", list.replace("\tf*\t1\tbeta/x.rpm", "\tf\t1\tbeta/x.rpm").as_bytes());
    scene.run(&[]).status(Status::Held);
    assert!(scene.mirror.path("fedora/linux/x.rpm").exists());
    assert!(!scene.mirror.path("fedora/beta").exists(), "restricted content is here");
}

/// Files of one release, of sizes that no other release has.
fn release(up: &mut Upstream, number: usize) -> Built {
    for part in ["releases", "updates", "updates/testing"] {
        let top = format!("fedora/linux/{part}/{number}/Everything/x86_64");
        up.file(format!("{top}/a.rpm"), vec![b'a'; number])?
            .file(format!("{top}/debug/a-debuginfo.rpm"), vec![b'd'; number])?;
    }
    Ok(())
}

/// A mirror in step that carries the two newest of three releases, and nothing of debug.
fn two_releases() -> Scene {
    let mut scene = Scene::new(&[FEDORA], |up| (41..=43).try_for_each(|number| release(up, number)));
    scene.configure(&[FEDORA], "filter.keep_releases = 2\nfilter.exclude = [\"debug\"]");
    scene.sync();
    assert_same_without(&scene, &["/41/", "/debug/"]);
    scene.assert_quiet();
    scene
}

#[test]
fn when_a_release_comes_the_oldest_goes_and_when_it_is_withdrawn_comes_back() {
    let mut scene = two_releases();
    scene.change(|up| release(up, 44));
    scene.sync();
    assert_same_without(&scene, &["/41/", "/42/", "/debug/"]);
    scene.assert_quiet();
    scene.change(|up| {
        ["releases", "updates", "updates/testing"]
            .iter()
            .try_for_each(|part| up.remove(format!("fedora/linux/{part}/44")).map(drop))
    });
    scene.sync();
    assert_same_without(&scene, &["/41/", "/debug/"]);
    scene.assert_quiet();
}

#[test]
fn updates_alone_make_no_release() {
    let mut scene = two_releases();
    scene.change(|up| up.file("fedora/linux/updates/44/Everything/x86_64/a.rpm", b"early").map(drop));
    scene.sync();
    assert_same_without(&scene, &["/41/", "/debug/"]);
    scene.assert_quiet();
}

#[test]
fn what_changes_upstream_in_what_is_left_out_changes_nothing_here() {
    let mut scene = two_releases();
    let before = tree::inode_snapshot(&scene.mirror.path("fedora/linux")).expect("a mirror");
    scene.change(|up| {
        up.file("fedora/linux/releases/41/Everything/x86_64/b.rpm", b"b")?
            .file("fedora/linux/releases/43/Everything/x86_64/debug/b-debuginfo.rpm", b"b")?
            .remove("fedora/linux/updates/41/Everything/x86_64/a.rpm")
            .map(drop)
    });
    scene.sync();
    assert_untouched(&before, &scene.mirror.path("fedora/linux"));
    assert_same_without(&scene, &["/41/", "/debug/"]);
    scene.assert_quiet();
}

#[test]
fn a_change_of_the_filter_and_of_the_list_at_once_is_followed() {
    let mut scene = two_releases();
    scene.configure(&[FEDORA], "filter.keep_releases = 3\nfilter.exclude = [\"re:/updates/testing(/|$)\"]");
    scene.change(|up| {
        release(up, 44)?;
        up.file("fedora/linux/releases/42/Everything/x86_64/new.rpm", b"new").map(drop)
    });
    scene.sync();
    assert_same_without(&scene, &["/41/", "/updates/testing/"]);
    scene.assert_quiet();
}
