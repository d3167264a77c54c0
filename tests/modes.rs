//! What is not published, whatever upstream has: set-id bits, what others may write to, devices, links out of the tree.

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;

use qfm::demo::tree::View;
use qfm::exit::Status;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use support::*;

/// Names, modes upstream, and modes here.
const MODES: [(&str, u32, u32); 9] = [
    ("set-uid", 0o4755, 0o755),
    ("set-gid", 0o2755, 0o755),
    ("both", 0o6775, 0o775),
    ("open", 0o666, 0o664),
    ("open to all", 0o4777, 0o775),
    ("group/", 0o2775, 0o775),
    ("upload/", 0o777, 0o775),
    ("sticky/", 0o1777, 0o1775),
    ("plain", 0o444, 0o444),
];

/// Entries of these modes in a directory.
fn modes(up: &mut Upstream, top: &str) -> Built {
    for (name, mode, _) in MODES {
        let path = format!("{top}/{}", name.trim_end_matches('/'));
        let of_directory = if name.ends_with('/') { "/in it" } else { "" };
        up.file(format!("{path}{of_directory}"), name)?.mode(&path, mode)?;
    }
    Ok(())
}

#[track_caller]
fn assert_modes(scene: &Scene, top: &str, wanted: impl Fn(u32, u32) -> u32) {
    for (name, upstream, safe) in MODES {
        let mode = fs::metadata(scene.mirror.path(top).join(name)).expect("it came").mode() & 0o7777;
        assert_eq!(format!("{name} {mode:o}"), format!("{name} {:o}", wanted(upstream, safe)));
    }
}

/// Nothing is to be done, at whatever depth it is looked for.
#[track_caller]
fn assert_nothing_to_do(scene: &mut Scene) {
    scene.assert_quiet();
    for arguments in [&["--full"][..], &["--set", "full_check_every=0s"]] {
        scene.run(&[arguments, &["--dry-run", "--detailed-exitcode"]].concat()).status(Status::Done);
    }
}

#[test]
fn set_id_bits_and_the_right_of_others_to_write_are_not_published() {
    let mut scene = Scene::new(&[FEDORA], |up| modes(up, "fedora/first"));
    scene.sync();
    assert_modes(&scene, "fedora/first", |_, safe| safe);
    assert_nothing_to_do(&mut scene);

    // The same for what is here and changes its mode.
    scene.change(|up| {
        let now = up.now();
        MODES.iter().try_for_each(|(name, ..)| {
            let path = format!("fedora/first/{name}");
            up.mode(&path, 0o6777)?.touch(&path, now).map(drop)
        })
    });
    scene.sync();
    assert_modes(&scene, "fedora/first", |_, _| 0o775);
    assert_nothing_to_do(&mut scene);
}

#[test]
fn modes_are_upstreams_where_that_is_asked_for() {
    let mut scene = Scene::new(&[FEDORA], |up| modes(up, "fedora/first"));
    scene.configure(&[FEDORA], "rsync.safe_modes = false");
    scene.sync_to_same();
    assert_modes(&scene, "fedora/first", |upstream, _| upstream);
    assert_nothing_to_do(&mut scene);
}

/// Closes entries for others in a way that no time shows: before a run has put all in place.
fn close_unseen(scene: &mut Scene, paths: &[&str]) {
    let paths: Vec<String> = paths.iter().map(|path| format!("{:?}", scene.mirror.path(path))).collect();
    scene.wrapper.after(scene.next_call() + 1, &format!("chmod o-rx {}", paths.join(" ")));
    scene.change(|up| {
        let name = format!("fedora/new{}", up.now());
        up.file(name, b"new").map(drop)
    });
    scene.sync();
    for path in paths {
        let mode = fs::metadata(path.trim_matches('"')).expect("it is here").mode();
        assert_eq!(mode & 0o004, 0, "{path} is not closed");
    }
}

#[test]
fn what_is_public_by_the_list_and_closed_here_is_opened_again() {
    let files = ["fedora/os/a.rpm", "fedora/os/deep/b.rpm"];
    let mut scene = Scene::synced(&[FEDORA], |up| files.iter().try_for_each(|file| up.file(file, file).map(drop)));
    let paths = ["fedora/os/a.rpm", "fedora/os/deep"];
    // All of it is looked at.
    close_unseen(&mut scene, &paths);
    let plan = scene.run(&["--set", "full_check_every=0s", "--dry-run"]).status(Status::Done);
    assert!(plan.stdout.contains("altered"), "{}", plan.stdout);
    let inode = |scene: &Scene| fs::metadata(scene.mirror.path(files[0])).expect("it is here").ino();
    let before = inode(&scene);
    scene.run(&["--set", "full_check_every=0s"]).status(Status::Done);
    scene.assert_same();
    assert_eq!(inode(&scene), before, "nothing travels");
    assert_nothing_to_do(&mut scene);
    // Only directories are, to which something came.
    close_unseen(&mut scene, &paths);
    fs::write(scene.mirror.path("fedora/os/mine"), "mine").expect("written");
    scene.change(|up| up.file("fedora/newest", b"newest").map(drop));
    scene.run(&["--allow-delete", FEDORA]).status(Status::Done);
    scene.assert_same();
    assert_nothing_to_do(&mut scene);
    // Everything comes to its turn.
    close_unseen(&mut scene, &paths);
    while fs::metadata(scene.mirror.path(paths[0])).expect("it is here").mode() & 0o004 == 0 {
        scene.run(&["--set", "full_check_every=1s"]).status(Status::Done);
    }
    scene.run(&["--set", "full_check_every=1s"]).status(Status::Done);
    scene.run(&["--full"]).status(Status::Done);
    scene.assert_same();
}

#[test]
fn what_the_admin_closes_by_an_option_of_rsync_stays_closed_and_is_not_asked_for_for_ever() {
    for files in [3, 1001] {
        let mut scene = Scene::new(&[FEDORA], |up| {
            (0..files).try_for_each(|number| up.file(format!("fedora/os/{number}.rpm"), b"x").map(drop))
        });
        scene.configure(&[FEDORA], "rsync.options = [\"--chmod=o-rwx\"]");
        let assert_idle = |scene: &mut Scene| {
            scene.assert_quiet();
            let check = ["--set", "full_check_every=0s", "--dry-run", "--detailed-exitcode"];
            scene.run(&check).status(Status::Done);
            assert_eq!(fs::metadata(scene.mirror.path("fedora/os/0.rpm")).expect("it came").mode() & 0o777, 0o640);
        };
        scene.sync();
        assert_idle(&mut scene);
        scene.change(|up| up.file("fedora/os/0.rpm", b"changed")?.file("fedora/os/new.rpm", b"new").map(drop));
        scene.sync();
        assert_idle(&mut scene);
        // Who changes the option has everything looked at.
        scene.configure(&[FEDORA], "");
        scene.run(&["--full"]).status(Status::Done);
        scene.assert_same();
        assert_nothing_to_do(&mut scene);
    }
}

/// Makes a pipe, a socket, and as root two devices.
fn special_files(up: &mut Upstream) -> Vec<&'static str> {
    let mode = Mode::from_raw_mode(0o666);
    let make = |name: &str, kind, device| mknodat(CWD, up.path("fedora").join(name), kind, mode, device);
    make("pipe", FileType::Fifo, 0).and_then(|()| make("socket", FileType::Socket, 0)).expect("made");
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: making devices needs root; pipes and sockets alone were tested");
        return vec!["pipe", "socket"];
    }
    make("null", FileType::CharacterDevice, makedev(1, 3)).expect("made");
    make("disk", FileType::BlockDevice, makedev(7, 200)).expect("made");
    vec!["pipe", "socket", "null", "disk"]
}

#[test]
fn what_is_no_file_upstream_is_not_published_whatever_the_list_says() {
    for lines in ["", "rsync.safe_modes = false\nrsync.safe_links = false"] {
        let mut names = Vec::new();
        let mut scene = Scene::new(&[FEDORA], |up| {
            up.file("fedora/a", b"a")?;
            names = special_files(up);
            Ok(())
        });
        scene.configure(&[FEDORA], lines);
        scene.sync();
        assert_nothing_to_do(&mut scene);
        // No list names them; this one does.
        let rows: Vec<String> = names.iter().map(|name| format!("1790000000\tf\t0\t{name}")).collect();
        let rows: Vec<&[u8]> = rows.iter().map(String::as_bytes).collect();
        let list = scene.list_with("fedora", &rows);
        scene.publish_raw("fedora", &list);
        scene.run(&[]).status(Status::Partial);
        for name in names {
            assert!(fs::symlink_metadata(scene.mirror.path("fedora").join(name)).is_err(), "{name} is here");
        }
        assert!(scene.mirror.path("fedora/a").exists());
    }
}

/// Links in and out of the tree, and what they lead to.
fn links(up: &mut Upstream) -> Built {
    // A link that leads nowhere is in no list.
    fs::create_dir_all(up.root().with_file_name("etc"))?;
    up.file("fedora/a", b"a")?
        .link("fedora/deep/in", "../a")?
        .link("fedora/deep/out", "../../../etc")?
        .link("fedora/deep/absolute", "/etc/passwd")?
        .link("fedora/out", "/etc")?;
    up.file("archive/b", b"b").map(drop)
}

const OUT: [&str; 3] = ["deep/out", "deep/absolute", "out"];

#[track_caller]
fn assert_left_out(scene: &Scene) {
    for link in OUT {
        assert!(fs::symlink_metadata(scene.mirror.path("fedora").join(link)).is_err(), "{link} is here");
    }
    assert!(fs::symlink_metadata(scene.mirror.path("fedora/deep/in")).expect("it came").is_symlink());
}

#[test]
fn a_link_out_of_the_tree_is_left_out_told_of_once_and_hinders_nothing() {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], links);
    let told = |result: &RunResult| result.stderr.matches("leads out of the tree").count();
    assert_eq!(told(&scene.sync()), 3);
    assert_left_out(&scene);
    scene.assert_quiet();
    let full = scene.run(&["--set", "full_check_every=0s"]).status(Status::Done);
    assert_eq!((full.stdout.as_str(), full.stderr.as_str()), ("", ""), "nothing is to be done");

    let verified = scene.run(&["verify", FEDORA]).status(Status::Done).stdout;
    assert!(verified.contains(", 3 links left out (rsync.safe_links); all is as the list has it"), "{verified}");

    // A change beside them says nothing new of them; one of their own does.
    scene.change(|up| up.file("fedora/deep/b", b"b").map(drop));
    assert_eq!(told(&scene.sync()), 0);
    scene.change(|up| up.link("fedora/out", "/usr").map(drop));
    assert_eq!(told(&scene.sync()), 1);
    scene.change(|up| up.link("fedora/out", "a")?.remove("fedora/deep/out").map(drop));
    assert_eq!(told(&scene.sync()), 0);
    assert_eq!(fs::read_link(scene.mirror.path("fedora/out")).expect("it came").to_str(), Some("a"));
    scene.assert_quiet();
    // Who wants to know again asks for everything.
    assert_eq!(told(&scene.run(&["--full"]).status(Status::Done)), 1);
}

#[test]
fn links_out_of_the_tree_are_published_where_that_is_asked_for() {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], links);
    scene.sync();
    assert_left_out(&scene);
    scene.configure(&[FEDORA, ARCHIVE], "rsync.safe_links = false");
    scene.sync();
    let view = View { contents: true, ..View::PUBLIC };
    assert_same_in(&view, scene.site.upstream.root(), &scene.mirror.root);
    assert_nothing_to_do(&mut scene);
}
