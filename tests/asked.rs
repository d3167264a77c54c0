//! What the admin asks for beyond what differs: runs that only transfer, a refresh, times of directories, a moment in the past.

mod support;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use qfm::exit::Status;
use serde_json::{Value, json};
use support::*;

/// A repository beside other files, one of which has two names.
fn build(up: &mut Upstream) -> Built {
    up.file("fedora/os/repodata/repomd.xml", b"<repomd><old/></repomd>")?;
    up.file("fedora/os/Packages/a.rpm", b"a")?;
    up.file("fedora/docs/read.me", b"read me")?;
    up.hardlink("fedora/docs/read.me", "fedora/also/read.me")?;
    up.file("fedora/docs/goes", b"goes").map(drop)
}

fn change(up: &mut Upstream) -> Built {
    up.file("fedora/os/repodata/repomd.xml", b"<repomd><new/></repomd>")?;
    up.file("fedora/os/Packages/b.rpm", b"b")?;
    up.file("fedora/docs/comes", b"comes")?;
    up.remove("fedora/docs/goes").map(drop)
}

fn list_here(scene: &Scene) -> Vec<u8> {
    fs::read(scene.mirror.path("fedora").join(list_name("fedora"))).expect("a list")
}

/// What a dry run would fetch, by cause.
fn planned(scene: &Scene, arguments: &[&str]) -> Value {
    let shown = scene.run(&[&["-n", "--json"], arguments].concat()).status(Status::Done).json();
    shown["modules"][0]["fetch"].clone()
}

/// Other bytes in the place of a file's, which its directory, size and time do not show.
fn rot(path: &Path) {
    let file = File::options().write(true).open(path).expect("a file");
    let (len, modified) = (file.metadata().expect("a file").len(), file.metadata().expect("a file").modified());
    fs::write(path, vec![b'?'; len as usize]).expect("written");
    file.set_modified(modified.expect("a time")).expect("dated");
}

#[test]
fn a_run_that_only_transfers_leaves_the_rest_to_the_next() {
    for go_back in [false, true] {
        let mut scene = Scene::synced(&[FEDORA], build);
        let (list, before) = (list_here(&scene), scene.site.upstream.root().with_file_name("before"));
        let copied = Command::new("cp").arg("-a").arg(scene.site.upstream.root()).arg(&before).status();
        assert!(copied.expect("cp").success());
        scene.change(change);
        scene.run(&["--transfer-only"]).status(Status::Done);
        assert_eq!(fs::read(scene.mirror.path("fedora/os/Packages/b.rpm")).expect("it came"), b"b");
        let pointer = fs::read(scene.mirror.path("fedora/os/repodata/repomd.xml")).expect("it came");
        assert_eq!(pointer, b"<repomd><new/></repomd>");
        assert!(scene.mirror.path("fedora/docs/goes").exists(), "something was deleted");
        assert_eq!(list_here(&scene), list, "a list came that nothing was deleted for");
        if go_back {
            // The saved list fits again, and the tree does not.
            fs::remove_dir_all(scene.site.upstream.root()).expect("removed");
            fs::rename(before, scene.site.upstream.root()).expect("renamed");
        }
        scene.sync_to_same();
        scene.assert_quiet();
    }
}

#[test]
fn a_run_that_only_transfers_begins_a_mirror_too_and_has_nothing_to_do_twice() {
    let mut scene = Scene::new(&[FEDORA], build);
    fs::create_dir_all(scene.mirror.path("fedora/old")).expect("made");
    scene.run(&["-N"]).status(Status::Done);
    assert!(scene.mirror.path("fedora/docs/goes").exists() && scene.mirror.path("fedora/old").exists());
    scene.new_calls();
    scene.run(&["-N"]).status(Status::Done);
    assert_eq!(scene.new_calls().len(), 1, "all of it is here");
    scene.sync_to_same();
    scene.assert_quiet();
}

#[test]
fn a_directory_in_the_way_stays_where_nothing_is_deleted() {
    let mut scene = Scene::synced(&[FEDORA], build);
    scene.change(|up| {
        up.remove("fedora/docs")?;
        up.file("fedora/docs", b"a file now")?;
        change(up).or_else(|_| up.file("fedora/os/Packages/b.rpm", b"b").map(drop))
    });
    let result = scene.run(&["-N"]).status(Status::Partial);
    assert!(result.stderr.contains("in the way"), "{}", result.stderr);
    assert!(scene.mirror.path("fedora/docs/goes").exists() && scene.mirror.path("fedora/os/Packages/b.rpm").exists());
    scene.sync_to_same();
}

#[test]
fn a_refresh_transfers_what_matches_whatever_it_looks_like_and_nothing_else() {
    let scene = Scene::synced(&[FEDORA], build);
    let (read_me, package) = (scene.mirror.path("fedora/docs/read.me"), scene.mirror.path("fedora/os/Packages/a.rpm"));
    [&read_me, &package].into_iter().for_each(|path| rot(path));
    fs::write(scene.mirror.path("fedora/docs/extra"), b"").expect("written");
    assert_eq!(planned(&scene, &["--refresh", r"^fedora/docs/read\.me$"])["refresh"]["entries"], json!(1));
    scene.run(&["--refresh", "(?-u)read.me$"]).status(Status::Done);
    assert_eq!(fs::read(&read_me).expect("a file"), b"read me");
    let inode = |path: &Path| path.metadata().expect("a file").ino();
    assert_eq!(inode(&read_me), inode(&scene.mirror.path("fedora/also/read.me")), "two names of one file");
    assert_eq!(fs::read(&package).expect("a file"), b"?", "it does not match");
    assert!(scene.mirror.path("fedora/docs/extra").exists(), "something was deleted");
    scene.run(&["--refresh", "nothing is called that"]).status(Status::Done);
    // The next run compares in full, and finds what was touched.
    scene.run(&["--refresh", r"^fedora/os/.*\.rpm"]).status(Status::Done);
    scene.sync_to_same();
}

#[test]
fn a_refreshed_pointer_brings_all_that_it_leads_to() {
    let mut scene = Scene::synced(&[FEDORA], build);
    let list = list_here(&scene);
    scene.change(change);
    scene.run(&["--refresh", r"repomd\.xml$"]).status(Status::Done);
    let here = |path: &str| scene.mirror.path(path).exists();
    assert!(here("fedora/os/Packages/b.rpm"), "the pointer leads to it");
    assert!(here("fedora/docs/goes") && !here("fedora/docs/comes"), "it is in no repository that matches");
    assert_eq!(list_here(&scene), list);
    scene.sync_to_same();
    scene.assert_quiet();
}

#[test]
fn all_directories_are_asked_about_where_their_times_are_to_be_put_right() {
    let mut scene = Scene::synced(&[FEDORA], build);
    // docs, also, os, os/repodata, os/Packages.
    assert_eq!(planned(&scene, &["--dir-times"])["surrounding"]["entries"], json!(5));
    scene.new_calls();
    scene.run(&["--dir-times"]).status(Status::Done);
    assert_eq!(scene.new_calls().len(), 2, "one for lists, one for all directories");
    scene.assert_same();
    scene.assert_quiet();
}

#[test]
fn directories_from_which_something_goes_keep_their_times() {
    let mut scene = Scene::synced(&[FEDORA], build);
    fs::write(scene.mirror.path("fedora/docs/extra"), b"").expect("written");
    fs::create_dir(scene.mirror.path("fedora/os/extra")).expect("made");
    scene.run(&["--full"]).status(Status::Done);
    scene.assert_same();
    scene.change(|up| up.remove("fedora/docs/goes").map(drop));
    scene.configure(&[FEDORA], "filter.exclude = ['re:^fedora/also/']");
    scene.sync();
    for path in ["fedora/docs", "fedora/also", "fedora/os"] {
        let time = |root: &Path| root.join(path).metadata().expect("a directory").mtime();
        assert_eq!(time(&scene.mirror.root), time(scene.site.upstream.root()), "{path}");
    }
}

#[test]
fn what_is_not_older_than_a_moment_is_asked_about() {
    let mut scene = Scene::synced(&[FEDORA], build);
    let second = scene.site.upstream.now();
    scene.change(change);
    scene.sync_to_same();
    let asked = |when: &str| planned(&scene, &["--since", when])["newer"]["entries"].as_u64().unwrap_or_default();
    // repomd.xml, b.rpm and comes, and the directories that hold them.
    assert_eq!(asked(&second.to_string()), 6);
    assert_eq!(asked(&format!("@{}", second + 1)), 0);
    assert_eq!(asked("2001-09-09"), 11, "everything");
    scene.run(&["--since", "3 days ago"]).status(Status::Done);
    scene.run(&["--since", "next to nothing"]).status(Status::Usage);
    scene.assert_same();
    scene.assert_quiet();
}

#[test]
fn what_is_linked_already_is_no_news() {
    let mut scene = Scene::synced(&[FEDORA], build);
    let changed = |scene: &Scene, arguments: &[&str]| {
        let record = scene.run(&[&["--json"], arguments].concat()).status(Status::Done).json();
        (record["changed"].clone(), record["modules"][0]["linked"].clone())
    };
    let nothing = (json!(false), json!(0));
    assert_eq!(changed(&scene, &["--since", "1970-01-01"]), nothing);
    let said = scene.run(&["-v", "--since", "1970-01-01"]).status(Status::Done).stderr;
    assert!(!said.contains("linked"), "{said}");
    fs::remove_dir_all(&scene.mirror.state).expect("removed");
    assert_eq!(changed(&scene, &[]), nothing, "without a saved state");
    assert!(scene.new_calls().len() > 3, "rsync was asked");
    // What is made a link is told, though it looked the same.
    let also = scene.mirror.path("fedora/also/read.me");
    let beside = also.with_file_name("beside");
    let copied = Command::new("cp").arg("-p").args([&also, &beside]).status().expect("cp");
    assert!(copied.success());
    fs::rename(beside, also).expect("renamed");
    assert_eq!(changed(&scene, &["--since", "1970-01-01"]), (json!(true), json!(1)));
    scene.assert_same();
}
