//! Lists that are not there or not whole: the module fails, its tree stays, the others go on.

mod support;

use std::fs;

use qfm::exit::Status;
use support::tree::inode_snapshot;
use support::*;

fn build(up: &mut Upstream) -> Built {
    up.file("fedora/linux/a.rpm", b"aaa")?.file("fedora/linux/b.rpm", b"bbb")?.file("archive/linux/c.rpm", b"ccc")?;
    Ok(())
}

/// Both modules change, and the list of one becomes `list`.
fn with_list(list: impl FnOnce(&[u8]) -> Vec<u8>) -> Scene {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    scene.change(|up| {
        up.remove("fedora/linux/b.rpm")?.file("fedora/linux/new.rpm", b"new")?.file("archive/linux/new.rpm", b"new")?;
        Ok(())
    });
    let list = list(&scene.site.upstream.list("fedora").expect("a list"));
    scene.publish_raw("fedora", &list);
    scene
}

#[track_caller]
fn assert_refused(mut scene: Scene, words: &str) {
    let good = scene.site.upstream.list("archive").expect("a list");
    let before = inode_snapshot(&scene.mirror.path("fedora")).expect("a module");
    for _ in 0..2 {
        let result = scene.run(&[]).status(Status::List);
        assert!(result.stderr.contains(words) && result.stderr.contains(FEDORA), "{words:?}: {}", result.stderr);
        assert_untouched(&before, &scene.mirror.path("fedora"));
        assert!(scene.mirror.path("archive/linux/new.rpm").exists(), "the other module is to go on");
        assert_eq!(fs::read(scene.mirror.path("archive/fullfiletimelist-archive")).expect("a list"), good);
    }
    // Upstream mends it.
    scene.change(|up| up.file("fedora/linux/newer.rpm", b"newer").map(drop));
    scene.sync_to_same();
    scene.assert_quiet();
}

#[test]
fn a_list_without_end_is_refused() {
    let cut = |list: &[u8]| list.strip_suffix(b"[End]\n").expect("an end").to_vec();
    assert_refused(with_list(cut), "truncated");
}

#[test]
fn a_list_cut_in_the_middle_of_a_row_is_refused() {
    assert_refused(with_list(|list| list[..list.len() / 2].to_vec()), "truncated");
}

#[test]
fn an_empty_list_is_refused() {
    assert_refused(with_list(|_| Vec::new()), "the list is empty");
}

#[test]
fn a_list_of_version_4_is_refused() {
    assert_refused(with_list(|list| [b"[Version]\n4\n", &list[12..]].concat()), "version \"4\"");
}

#[test]
fn garbage_is_refused() {
    assert_refused(with_list(|_| b"<html>503 Service Unavailable</html>\n".to_vec()), "[Version]");
    assert_refused(with_list(|_| vec![0; 4096]), "[Version]");
}

#[test]
fn a_list_without_a_good_row_is_refused() {
    let list = b"[Version]\n2\n\n[Files]\nx\tf\t1\ta\n1\tq\t1\tb\n\n[Checksums SHA1]\n\n[End]\n";
    assert_refused(with_list(|_| list.to_vec()), "no row that can be read");
}

#[test]
fn a_list_without_rows_is_refused() {
    let list = b"[Version]\n2\n\n[Files]\n\n[Checksums SHA1]\n\n[End]\n";
    assert_refused(with_list(|_| list.to_vec()), "no row that can be read");
}

#[test]
fn a_module_without_a_list_fails_and_the_others_go_on() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    scene.change(|up| up.file("archive/linux/new.rpm", b"new").map(drop));
    fs::remove_file(scene.site.upstream.path("fedora/fullfiletimelist-fedora")).expect("removed");
    let before = inode_snapshot(&scene.mirror.path("fedora")).expect("a module");
    let result = scene.run(&[]).status(Status::List);
    assert!(result.stderr.contains("no list fedora/fullfiletimelist-fedora"), "{}", result.stderr);
    assert_untouched(&before, &scene.mirror.path("fedora"));
    assert!(scene.mirror.path("archive/linux/new.rpm").exists());
    scene.change(|up| up.file("fedora/linux/newer.rpm", b"newer").map(drop));
    scene.sync_to_same();
}

#[test]
fn a_module_that_upstream_does_not_have_fails_and_the_others_go_on() {
    let scene = Scene::new(&[FEDORA, EPEL], build);
    let result = scene.run(&[]).status(Status::List);
    assert!(result.stderr.contains(EPEL), "{}", result.stderr);
    assert!(scene.mirror.path("fedora/linux/a.rpm").exists() && !scene.mirror.path("epel").exists());
}

#[test]
fn a_list_that_is_a_directory_or_a_link_upstream_is_no_list() {
    for kind in ["directory", "link"] {
        let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
        scene.change(|up| up.file("archive/linux/new.rpm", b"new").map(drop));
        let path = scene.site.upstream.path("fedora/fullfiletimelist-fedora");
        fs::remove_file(&path).expect("removed");
        match kind {
            "directory" => fs::create_dir(&path).expect("made"),
            _ => std::os::unix::fs::symlink("/etc/passwd", &path).expect("made"),
        }
        let before = inode_snapshot(&scene.mirror.path("fedora")).expect("a module");
        let result = scene.run(&[]);
        let said = format!("{kind}: {}", result.stderr);
        assert!(result.code == Some(i32::from(Status::List.code())), "{:?} {said}", result.code);
        assert_untouched(&before, &scene.mirror.path("fedora"));
        assert!(scene.mirror.path("archive/linux/new.rpm").exists(), "{kind}: {}", result.stderr);
    }
}
