//! What is not for the public yet is readable here for nobody whom upstream would not let read it, not for a moment.

mod support;

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use qfm::demo::tree::View;
use qfm::exit::Status;
use rustix::process::Signal;
use support::*;
use walkdir::WalkDir;

/// Slow enough for somebody to come by many times.
const SLOWLY: &str = "rsync.bwlimit = \"150k\"";

/// The whole mirror, with what is restricted.
const EVERYTHING: View<'static> = View { restricted: true, contents: true, ..View::PUBLIC };

/// Content that tells what it is.
fn secret(number: usize) -> Vec<u8> {
    format!("secret {number} ").into_bytes().repeat(2000)
}

/// What somebody has read who is neither owner nor in the group.
fn readable_secrets(root: &Path, read: &mut BTreeSet<PathBuf>) {
    let lets_pass = |metadata: &Metadata| metadata.is_dir() && metadata.mode() & 0o001 != 0;
    let walk = WalkDir::new(root).min_depth(1).into_iter();
    // What goes meanwhile is read by nobody.
    let open =
        walk.filter_entry(|entry| !entry.file_type().is_dir() || entry.metadata().is_ok_and(|it| lets_pass(&it)));
    for entry in open.filter_map(Result::ok).filter(|entry| entry.file_type().is_file()) {
        let Ok(mut file) = File::open(entry.path()) else { continue };
        let is_open = |file: &File| file.metadata().is_ok_and(|metadata| metadata.mode() & 0o004 != 0);
        let mut begin = Vec::new();
        if !is_open(&file) || file.by_ref().take(6).read_to_end(&mut begin).is_err() || begin != b"secret" {
            continue;
        }
        // A directory may have been closed, and filled, since it was passed.
        let mut above = entry.path().ancestors().skip(1).take_while(|path| *path != root);
        if above.all(|path| fs::metadata(path).is_ok_and(|metadata| lets_pass(&metadata))) && is_open(&file) {
            read.insert(entry.into_path());
        }
    }
}

/// Runs, and fails if anything secret could be read meanwhile.
#[track_caller]
fn keeps_its_secrets<T>(scene: &Scene, act: impl FnOnce() -> T) -> T {
    let mut read = BTreeSet::new();
    let result = watch(|| readable_secrets(&scene.mirror.root, &mut read), act);
    assert!(read.is_empty(), "others could read {read:#?}");
    result
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).mode() & 0o7777
}

/// A restricted directory, a restricted file in a public one, and public files that are among them.
fn beta(up: &mut Upstream) -> Built {
    for number in 0..8 {
        up.file(format!("fedora/beta/os/Packages/b{number}.rpm"), secret(number))?
            .file(format!("fedora/linux/os/p{number}.rpm"), format!("public {number}").repeat(200))?;
    }
    up.file("fedora/beta/os/repodata/primary.xml", secret(100))?
        .file("fedora/beta/os/repodata/repomd.xml", secret(101))?
        .mode("fedora/beta", 0o750)?
        .file("fedora/linux/os/secret.rpm", secret(102))?
        .mode("fedora/linux/os/secret.rpm", 0o640)?
        .file("fedora/linux/os/repodata/secret.xml", secret(103))?
        .mode("fedora/linux/os/repodata/secret.xml", 0o640)?
        .hardlink("fedora/beta/os/Packages/b0.rpm", "archive/beta/b0.rpm")?
        .mode("archive/beta", 0o750)?;
    Ok(())
}

#[test]
fn it_comes_unreadable_for_others() {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], beta);
    scene.configure(&[FEDORA, ARCHIVE], &format!("restricted = true\n{SLOWLY}"));
    keeps_its_secrets(&scene, || scene.sync());
    assert_same_in(&EVERYTHING, scene.site.upstream.root(), &scene.mirror.root);
    scene.assert_quiet();
}

#[test]
fn a_run_that_is_cut_off_leaves_it_unreadable_for_others() {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], beta);
    scene.configure(&[FEDORA, ARCHIVE], &format!("restricted = true\n{SLOWLY}"));
    for signal in [Signal::TERM, Signal::KILL] {
        keeps_its_secrets(&scene, || {
            let run = scene.start(&[]);
            let before = support::tree::inode_snapshot(&scene.mirror.root).expect("a mirror");
            wait_until("something came", || !touched(&before, &scene.mirror.root).is_empty());
            run.signal(signal);
            run.end();
        });
    }
    keeps_its_secrets(&scene, || scene.sync());
    assert_same_in(&EVERYTHING, scene.site.upstream.root(), &scene.mirror.root);
}

/// A public tree of which parts become secret.
#[test]
fn what_is_readable_here_and_should_not_be_is_closed_also_where_no_state_tells() {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], beta);
    scene.configure(&[FEDORA, ARCHIVE], "restricted = true");
    scene.sync();
    fs::remove_dir_all(scene.state_folder()).expect("removed");
    let others = |path: &str, mode| {
        fs::set_permissions(scene.mirror.path(path), fs::Permissions::from_mode(mode)).expect("its mode");
    };
    others("fedora/beta", 0o755);
    others("fedora/linux/os/secret.rpm", 0o644);
    scene.sync();
    assert_same_in(&EVERYTHING, scene.site.upstream.root(), &scene.mirror.root);
    scene.assert_quiet();
}

fn release(up: &mut Upstream) -> Built {
    for number in 0..8 {
        up.file(format!("fedora/linux/43/p{number}.rpm"), format!("public {number}").repeat(200))?
            .file(format!("fedora/linux/44/p{number}.rpm"), format!("public, too, {number}").repeat(200))?;
    }
    up.file("fedora/linux/45/p0.rpm", b"public still")?.link("fedora/linux/44/link.rpm", "p0.rpm").map(drop)
}

#[test]
fn what_turns_restricted_is_closed_before_anything_comes() {
    let mut scene = Scene::synced(&[FEDORA], release);
    scene.configure(&[FEDORA], &format!("restricted = true\n{SLOWLY}"));
    scene.change(|up| {
        for number in 0..8 {
            up.file(format!("fedora/linux/43/new{number}.rpm"), secret(number))?;
        }
        up.mode("fedora/linux/43", 0o750)?
            .mode("fedora/linux/44", 0o750)?
            .file("fedora/linux/45/p0.rpm", secret(1))?
            .mode("fedora/linux/45/p0.rpm", 0o640)?;
        Ok(())
    });
    let modes = scene.mirror.root.with_file_name("modes");
    let commands = format!("stat -c %A {}/fedora/linux/4* > {}", scene.mirror.root.display(), modes.display());
    scene.wrapper.before(scene.next_call() + 1, &commands);
    keeps_its_secrets(&scene, || scene.sync());
    assert_eq!(fs::read_to_string(modes).expect("modes"), "drwxr-x---\ndrwxr-x---\ndrwxr-xr-x\n");
    assert_same_in(&EVERYTHING, scene.site.upstream.root(), &scene.mirror.root);
    scene.assert_quiet();
}

/// Everything in which a run may leave here what should go, as lines of the configuration, what is done before it, and how it ends.
type Obstacle = (&'static str, fn(&mut Scene), Status);

const OBSTACLES: [Obstacle; 5] = [
    ("delete.mode = \"never\"", |_| {}, Status::Done),
    ("delete.max_share = 0\ndelete.min_entries = 0", |_| {}, Status::Held),
    ("rsync.retries = 0", |scene| scene.wrapper.fail_before(scene.next_call() + 1, 12), Status::Upstream),
    (
        "",
        |scene| {
            let list = scene.list_with("fedora", &[b"1\tf\t1\t../of which nobody knows what it is"]);
            scene.publish_raw("fedora", &list);
        },
        Status::Held,
    ),
    ("filter.exclude = ['re:/linux/4[45](/|$)']\ndelete.mode = \"never\"", |_| {}, Status::Done),
];

#[test]
fn what_turns_restricted_and_stays_for_some_reason_is_not_readable() {
    side_by_side(OBSTACLES, |(lines, obstacle, status)| {
        let mut scene = Scene::synced(&[FEDORA], release);
        scene.configure(&[FEDORA], lines);
        let before = fs::metadata(scene.mirror.path("fedora/linux/44/p0.rpm")).expect("it is here");
        scene.change(|up| {
            up.mode("fedora/linux/44", 0o750)?.mode("fedora/linux/45/p0.rpm", 0o640)?;
            up.file("fedora/linux/43/new.rpm", b"new").map(drop)
        });
        obstacle(&mut scene);
        scene.run(&[]).status(status);
        let closed = |path: &str| mode(&scene.mirror.path(path)) & 0o007 == 0;
        assert!(closed("fedora/linux/44") && closed("fedora/linux/45/p0.rpm"), "readable with {lines}");
        assert_eq!(mode(&scene.mirror.path("fedora/linux/44/p0.rpm")), 0o644, "one mode is enough");

        // What is public again is readable again, and does not travel.
        scene.change(|up| {
            let then = up.now() - 2 * 3600;
            up.mode("fedora/linux/44", 0o755)?.mode("fedora/linux/45/p0.rpm", 0o644)?;
            up.touch("fedora/linux/44", then).map(drop)
        });
        scene.configure(&[FEDORA], "");
        scene.sync_to_same();
        let after = fs::metadata(scene.mirror.path("fedora/linux/44/p0.rpm")).expect("it is here");
        assert_eq!(before.ino(), after.ino(), "fetched again with {lines}");
        scene.assert_quiet();
    });
}

#[test]
fn a_link_in_the_place_of_what_turned_restricted_leads_nowhere() {
    let mut scene = Scene::synced(&[FEDORA], release);
    let outside = Outside::of(&scene.mirror);
    scene.configure(&[FEDORA], "delete.mode = \"never\"");
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o755)).expect("changed");
    for path in ["fedora/linux/44", "fedora/linux/45"] {
        fs::remove_dir_all(scene.mirror.path(path)).expect("removed");
        std::os::unix::fs::symlink(outside.path(), scene.mirror.path(path)).expect("made");
    }
    scene.change(|up| up.mode("fedora/linux/44", 0o750)?.mode("fedora/linux/45/p0.rpm", 0o640).map(drop));
    scene.run(&[]);
    assert_eq!(mode(outside.path()), 0o755);
}

/// Breaks a hard link upstream: this name gets a file of its own, with the same bytes, size and time.
fn part(up: &mut Upstream, path: &str) -> Built {
    let (bytes, time) = (fs::read(up.path(path))?, fs::metadata(up.path(path))?.mtime().cast_unsigned());
    up.file_at(path, bytes, time).map(drop)
}

/// Files with several names: in one module and in two, of which parts become secret.
fn linked(up: &mut Upstream) -> Built {
    up.file("fedora/linux/45/stays.rpm", b"stays")?
        .file("fedora/linux/45/p.rpm", b"public")?
        .hardlink("fedora/linux/45/p.rpm", "fedora/linux/46/p.rpm")?
        .hardlink("fedora/linux/45/p.rpm", "archive/other-name.rpm")?
        .file("fedora/linux/45/both.rpm", b"both")?
        .hardlink("fedora/linux/45/both.rpm", "archive/both.rpm")?
        .file("fedora/linux/45/replaced.rpm", b"public once")?
        .hardlink("fedora/linux/45/replaced.rpm", "fedora/linux/46/replaced.rpm")
        .map(drop)
}

#[track_caller]
fn assert_idle(scene: &mut Scene) {
    scene.assert_quiet();
    let plan = scene.run(&["--set", "full_check_every=0s", "--dry-run", "--detailed-exitcode"]);
    assert_eq!(plan.code, Some(0), "there is a plan: {}", plan.stdout);
}

#[test]
fn a_name_that_turns_restricted_leaves_the_other_names_of_its_file_as_they_are() {
    for lines in ["", "delete.mode = \"never\"", "restricted = true"] {
        let mut scene = Scene::synced(&[FEDORA, ARCHIVE], linked);
        let (secret, both) = ("fedora/linux/45/p.rpm", ["fedora/linux/45/both.rpm", "archive/both.rpm"]);
        let public = ["fedora/linux/46/p.rpm", "archive/other-name.rpm"];
        let inode = |scene: &Scene, path: &str| fs::metadata(scene.mirror.path(path)).expect("it is here").ino();
        assert_eq!(inode(&scene, secret), inode(&scene, public[0]), "one file");
        let before = inode(&scene, both[0]);
        scene.configure(&[FEDORA, ARCHIVE], lines);
        scene.change(|up| {
            part(up, secret)?;
            up.mode(secret, 0o640)?.mode(both[0], 0o640)?;
            up.file("fedora/linux/46/replaced.rpm", b"public still")?.mode("fedora/linux/45/replaced.rpm", 0o640)?;
            Ok(())
        });
        let modes = scene.mirror.root.with_file_name("modes");
        let stat = |paths: &[&str]| -> String {
            paths
                .iter()
                .map(|path| format!("stat -c %a {} >> {};", scene.mirror.path(path).display(), modes.display()))
                .collect()
        };
        // Where there is no call for content, what is here in the end tells.
        let paths = [secret, public[0], public[1], both[0], both[1], "fedora/linux/46/replaced.rpm"];
        scene.wrapper.before(scene.next_call() + 1, &stat(&paths));
        scene.sync();
        assert_eq!(fs::read_to_string(modes).expect("modes"), "640\n644\n644\n640\n640\n640\n", "with {lines}");
        for public in public {
            assert_eq!(mode(&scene.mirror.path(public)), 0o644, "{public} with {lines}");
        }
        assert_eq!(mode(&scene.mirror.path("fedora/linux/46/replaced.rpm")), 0o644, "with {lines}");
        let secret = scene.mirror.path(secret);
        if lines.is_empty() {
            assert!(!secret.exists());
            scene.assert_same();
        } else {
            assert_eq!((mode(&secret), fs::read(&secret).expect("it stays")), (0o640, b"public".into()));
            assert_eq!(inode(&scene, both[0]), before, "all its names were closed: it is no copy");
        }
        if lines.starts_with("restricted") {
            assert_same_in(&EVERYTHING, scene.site.upstream.root(), &scene.mirror.root);
        }
        if lines.starts_with("delete") {
            scene.assert_quiet();
        } else {
            assert_idle(&mut scene);
        }
    }
}

#[test]
fn a_name_that_is_listed_for_everybody_too_is_not_closed() {
    for lines in ["", "restricted = true"] {
        let mut scene = Scene::synced(&[FEDORA], release);
        scene.configure(&[FEDORA], lines);
        let row = b"1\tf-\t12\tlinux/45/p0.rpm";
        let dir = b"1\td-\t0\tlinux/44";
        let list = scene.list_with("fedora", &[row, dir]);
        scene.publish_raw("fedora", &list);
        for _ in 0..2 {
            scene.run(&[]);
            assert_eq!(mode(&scene.mirror.path("fedora/linux/45/p0.rpm")), 0o644, "with {lines}");
            assert_eq!(mode(&scene.mirror.path("fedora/linux/44")), 0o755, "with {lines}");
        }
    }
}

#[test]
fn a_name_that_is_released_becomes_a_file_of_its_own() {
    let (stays, released) = ("fedora/linux/45/a.rpm", "fedora/linux/46/a.rpm");
    let mut scene = Scene::new(&[FEDORA], |up| {
        up.file(stays, b"secret no more")?.hardlink(stays, released)?.mode(stays, 0o640).map(drop)
    });
    scene.configure(&[FEDORA], "restricted = true");
    scene.sync();
    scene.change(|up| part(up, released));
    let path = scene.mirror.path(stays);
    let is_closed = || assert_eq!(mode(&path), 0o640, "it was readable");
    watch(is_closed, || scene.sync());
    assert_same_in(&EVERYTHING, scene.site.upstream.root(), &scene.mirror.root);
    assert_idle(&mut scene);
}

#[test]
fn a_hard_link_that_upstream_broke_is_broken_here_if_the_times_of_the_list_tell() {
    let (first, second) = ("fedora/linux/45/a.rpm", "fedora/linux/46/a.rpm");
    let mut scene = Scene::synced(&[FEDORA], |up| up.file(first, b"same")?.hardlink(first, second).map(drop));
    let time = fs::metadata(scene.site.upstream.path(second)).expect("it is there").mtime();
    scene.change(|up| up.file_at(second, b"else", time.cast_unsigned()).map(drop));
    // As a list is whose times are the newer of mtime and ctime.
    let list = String::from_utf8(scene.site.upstream.list("fedora").expect("a list")).expect("text");
    let row = |path: &str, time: i64| format!("{time}\tf\t4\t{}\n", path.strip_prefix("fedora/").expect("a path"));
    let list =
        list.replace(&row(first, time), &row(first, time + 7)).replace(&row(second, time), &row(second, time + 8));
    scene.publish_raw("fedora", list.as_bytes());
    let plan = scene.run(&["--dry-run"]).status(Status::Done);
    assert!(plan.stdout.contains("linked"), "{}", plan.stdout);
    scene.sync();
    for path in [first, second] {
        let [here, there] =
            [scene.mirror.path(path), scene.site.upstream.path(path)].map(|path| fs::read(path).expect("a file"));
        assert_eq!(here, there, "{path}");
    }
    assert_idle(&mut scene);
}
