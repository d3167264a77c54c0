//! `qfm verify` finds what is wrong, changes nothing, and has it repaired.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;

use qfm::exit::Status;
use serde_json::Value;
use sha1::Digest;
use support::*;

const REPODATA: &str = "fedora/os/repodata";

fn hex(sum: &[u8]) -> String {
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A repository with one index for each type of checksum, and what names them.
fn build(up: &mut Upstream) -> Built {
    for number in 0..20 {
        up.file(format!("fedora/os/Packages/p{number}.rpm"), format!("package {number}"))?;
    }
    let data = [
        ("sha1", hex(&sha1::Sha1::digest("index sha1"))),
        ("sha256", hex(&sha2::Sha256::digest("index sha256"))),
        ("sha512", hex(&sha2::Sha512::digest("index sha512"))),
    ];
    let mut repomd = String::new();
    for (kind, sum) in data {
        up.file(format!("{REPODATA}/{kind}.xml.gz"), format!("index {kind}"))?;
        repomd +=
            &format!("<data><checksum type='{kind}'>{sum}</checksum><location href='repodata/{kind}.xml.gz'/></data>");
    }
    up.file(format!("{REPODATA}/repomd.xml"), format!("<repomd>{repomd}</repomd>"))?;
    up.file("archive/a", b"a").map(drop)
}

/// Other bytes, and the times that it had: what a bad disk does.
fn rot(path: &Path) {
    let mut bytes = fs::read(path).expect("readable");
    bytes[0] ^= 1;
    let time = fs::metadata(path).and_then(|stat| stat.modified()).expect("a time");
    fs::write(path, bytes).expect("written");
    fs::File::options().write(true).open(path).and_then(|file| file.set_modified(time)).expect("its time");
}

/// From now on everything was in place later than all that was done until now: no time tells of it.
fn hide_the_times(scene: &Scene) {
    for module in ["fedora", "archive"] {
        let entries = walkdir::WalkDir::new(&scene.mirror.state).into_iter().map(|entry| entry.expect("an entry"));
        let name = format!("{module}.applied");
        let path = entries.map(walkdir::DirEntry::into_path).find(|path| path.ends_with(&name)).expect("a state");
        let text = fs::read_to_string(&path).expect("readable");
        let (_, rest) = text.split_once("\"settled\":").expect("a time");
        let (settled, _) = rest.split_once(',').expect("a time");
        let text = text.replace(&format!("\"settled\":{settled}"), "\"settled\":9000000000000000000");
        let text = &text[..text.rfind("sha1 ").expect("a seal")];
        fs::write(&path, format!("{text}sha1 {}\n", hex(&sha1::Sha1::digest(text)))).expect("written");
    }
}

/// What a verification says, and that it wrote nothing and called nobody.
#[track_caller]
fn verify(scene: &mut Scene, args: &[&str], status: Status) -> Value {
    scene.new_calls();
    let (before, state) = (tree::inode_snapshot(&scene.mirror.root).expect("a mirror"), scene.state());
    let found = scene.run(&[&["verify", "--json", "-v"], args].concat()).status(status).json();
    let calls = scene.new_calls();
    assert!(calls.is_empty(), "it went to the network: {calls:?}");
    assert_untouched(&before, &scene.mirror.root);
    assert_eq!(scene.state(), state, "the state was touched");
    found
}

fn causes(found: &Value, what: &str) -> Vec<(String, u64)> {
    let causes = found["modules"][0][what].as_object().expect("causes");
    let count = |value: &Value| value.as_u64().or_else(|| value["entries"].as_u64()).expect("a number");
    causes.iter().map(|(cause, value)| (cause.clone(), count(value))).collect()
}

fn some(cause: &str, entries: u64) -> Vec<(String, u64)> {
    vec![(cause.to_owned(), entries)]
}

#[test]
fn a_mirror_in_step_is_right_whatever_upstream_does_meanwhile() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    scene.change(|up| up.remove("fedora/os/Packages/p3.rpm")?.file("fedora/new", b"new").map(drop));
    let found = verify(&mut scene, &["--checksums"], Status::Done);
    assert_eq!((&found["right"], &found["code"]), (&true.into(), &0.into()), "{found}");
    // Those of the list, which are repomd.xml here, and the three indexes.
    assert_eq!(found["modules"][0]["hashed"], 4, "{found}");
    let result = scene.run(&["verify"]).status(Status::Done);
    let said = "fedora-enchilada (fedora/): 27 entries compared, 1 file by checksum; all is as the list has it\n";
    assert!(result.stdout.starts_with(said), "{}", result.stdout);
    scene.run(&["verify", "--detailed-exitcode"]).status(Status::Done);
}

type Damage = fn(&Scene);

#[test]
fn every_damage_is_found_and_nothing_is_changed_until_it_is_repaired() {
    let damages: [(&str, Damage, &str); 6] = [
        (
            "missing",
            |scene| fs::remove_file(scene.mirror.path("fedora/os/Packages/p3.rpm")).expect("removed"),
            "p3.rpm",
        ),
        ("size", |scene| fs::write(scene.mirror.path("fedora/os/Packages/p4.rpm"), "x").expect("written"), "p4.rpm"),
        ("altered", |scene| rot(&scene.mirror.path("fedora/os/Packages/p5.rpm")), "p5.rpm"),
        (
            "kind",
            |scene| {
                let path = scene.mirror.path("fedora/os/Packages/p6.rpm");
                fs::remove_file(&path).and_then(|()| std::os::unix::fs::symlink("p5.rpm", &path)).expect("linked");
            },
            "p6.rpm",
        ),
        (
            "checksum",
            |scene| {
                rot(&scene.mirror.path(REPODATA).join("repomd.xml"));
                hide_the_times(scene);
            },
            "repomd.xml",
        ),
        ("list", |scene| rot(&scene.mirror.path("fedora/fullfiletimelist-fedora")), ""),
    ];
    for (cause, damage, name) in damages {
        let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
        damage(&scene);
        let found = verify(&mut scene, &[FEDORA], Status::Partial);
        assert_eq!((&found["right"], &found["status"]), (&false.into(), &"partial".into()), "{cause}: {found}");
        if cause == "list" {
            assert_eq!(found["modules"][0]["list"], false, "{found}");
        } else {
            assert_eq!(causes(&found, "wrong"), some(cause, 1), "{found}");
            let path = found["modules"][0]["paths"][0]["path"].as_str().expect("a path");
            assert!(path.ends_with(name), "{path}");
        }
        let result = scene.run(&["verify"]).status(Status::Partial);
        // As it is printed.
        let (_, command) = result.stdout.split_once("To put it right: qfm ").expect("a command");
        assert_eq!(command, format!("verify --repair {FEDORA}\n"), "{cause}");
        scene.run(&command.split_whitespace().collect::<Vec<_>>()).status(Status::Done);
        scene.assert_same();
        assert_eq!(verify(&mut scene, &[], Status::Done)["right"], true, "{cause}");
    }
}

#[test]
fn what_should_not_be_here_is_told_and_is_no_damage() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    fs::create_dir(scene.mirror.path("fedora/os/mine")).expect("made");
    fs::write(scene.mirror.path("fedora/os/mine/a\nb"), "mine").expect("written");
    let found = verify(&mut scene, &[], Status::Done);
    assert_eq!((&found["right"], causes(&found, "extra")), (&false.into(), some("never-listed", 2)), "{found}");
    assert_eq!(causes(&found, "wrong"), [], "{found}");
    scene.run(&["verify", "--detailed-exitcode"]).status(Status::Changed);
    scene.run(&["verify", "--repair", "--detailed-exitcode"]).status(Status::Changed);
    scene.assert_same();
}

#[test]
fn an_index_that_rotted_is_found_by_the_checksum_of_each_type_and_fetched_anew() {
    for kind in ["sha1", "sha256", "sha512"] {
        let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
        rot(&scene.mirror.path(REPODATA).join(format!("{kind}.xml.gz")));
        hide_the_times(&scene);
        verify(&mut scene, &[], Status::Done);
        let found = verify(&mut scene, &["--checksums"], Status::Partial);
        assert_eq!(causes(&found, "wrong"), some("checksum", 1), "{found}");
        scene.run(&["verify", "--repair"]).status(Status::Done);
        verify(&mut scene, &["--checksums"], Status::Partial);
        let result = scene.run(&["verify", "--repair", "--checksums", "--json"]).status(Status::Done);
        assert_eq!(result.json()["modules"][0]["fetched"]["entries"], 1, "{}", result.stdout);
        scene.assert_same();
        verify(&mut scene, &["--checksums"], Status::Done);
        scene.assert_quiet();
    }
}

#[test]
fn indexes_are_repaired_in_one_run_with_what_names_them() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    for name in ["repomd.xml", "sha1.xml.gz", "sha512.xml.gz"] {
        rot(&scene.mirror.path(REPODATA).join(name));
    }
    hide_the_times(&scene);
    // What names them is wrong itself, and says nothing of them.
    let found = verify(&mut scene, &["--checksums"], Status::Partial);
    assert_eq!(causes(&found, "wrong"), some("checksum", 1), "{found}");
    scene.run(&["verify", "--repair", "--checksums"]).status(Status::Done);
    scene.assert_same();
    verify(&mut scene, &["--checksums"], Status::Done);
}

#[test]
fn an_upstream_that_contradicts_itself_is_told_and_holds_up_nothing() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    scene.change(|up| up.file(format!("{REPODATA}/sha1.xml.gz"), b"index SHA1")?.file("fedora/new", b"new").map(drop));
    scene.sync_to_same();
    verify(&mut scene, &["--checksums"], Status::Partial);
    let result = scene.run(&["verify", "--repair", "--checksums"]).status(Status::Partial);
    let said = "upstream delivers os/repodata/sha1.xml.gz with another checksum than it gives itself";
    assert_eq!(result.stderr.matches(said).count(), 1, "{}", result.stderr);
    scene.assert_same();
    scene.sync();
    scene.assert_quiet();
}

#[test]
fn an_index_that_is_named_and_neither_listed_nor_here_is_wrong() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    scene.change(|up| up.remove(format!("{REPODATA}/sha256.xml.gz")).map(drop));
    scene.sync_to_same();
    verify(&mut scene, &[], Status::Done);
    let found = verify(&mut scene, &["--checksums"], Status::Partial);
    assert_eq!((&found["modules"][0]["unlisted"], &found["right"]), (&1.into(), &false.into()), "{found}");
    assert_eq!(found["modules"][0]["paths"][0]["path"], "os/repodata/sha256.xml.gz", "{found}");
    let result = scene.run(&["verify", "--checksums"]).status(Status::Partial);
    assert!(result.stdout.contains("1 index that a repomd.xml names"), "{}", result.stdout);
    assert!(!result.stdout.contains("--repair"), "no repair brings it: {}", result.stdout);
    // What the mirror does not carry is not missing.
    scene.configure(&[FEDORA, ARCHIVE], "filter.exclude = ['re:sha256']");
    scene.sync();
    verify(&mut scene, &["--checksums"], Status::Done);
}

#[test]
fn a_repomd_that_cannot_be_read_is_told() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    scene.change(|up| up.file(format!("{REPODATA}/repomd.xml"), b"<repomd><data>").map(drop));
    scene.sync_to_same();
    let result = scene.run(&["verify", "--checksums"]).status(Status::Done);
    assert!(result.stderr.contains("repomd.xml") && result.stderr.contains("cut short"), "{}", result.stderr);
    verify(&mut scene, &["--checksums"], Status::Done);
}

#[test]
fn who_may_not_read_the_state_is_told_so_and_not_that_something_is_wrong() {
    let scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    let home = scene.mirror.config.parent().expect("a directory");
    let applied = scene.state_folder().join("fedora.applied");
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
    mode(home, 0o755);
    mode(&applied, 0);
    for arguments in [&["verify"][..], &["--dry-run"]] {
        let mut command = scene.mirror.command(arguments);
        if rustix::process::geteuid().is_root() {
            command.uid(65_534).gid(65_534).env("HOME", home);
        }
        let output = match command.output() {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                eprintln!("left out: other users cannot start the program here");
                return;
            }
            output => output.expect("the program starts"),
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(i32::from(Status::Local.code())), "{arguments:?}: {said}");
        assert!(
            said.contains(applied.to_str().expect("UTF-8")) && said.contains("run qfm as the user who owns that"),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(output.stdout.is_empty(), "nothing is compared");
    }
}

#[test]
fn a_module_that_was_never_synced_cannot_be_verified() {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], build);
    scene.run(&[ARCHIVE]).status(Status::Done);
    scene.new_calls();
    let result = scene.run(&["verify"]).status(Status::Partial);
    assert!(result.stderr.contains(&format!("run once: qfm {FEDORA}")), "{}", result.stderr);
    assert!(result.stdout.contains("fedora-archive (archive/): 1 entry compared"), "{}", result.stdout);
    assert!(scene.new_calls().is_empty());
    verify(&mut scene, &[ARCHIVE], Status::Done);
    scene.run(&["verify", "fedora-epel"]).status(Status::Usage);
}

#[test]
fn a_volume_that_is_not_mounted_is_told_of_and_not_filled() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    let (module, away) = (scene.mirror.path("fedora"), scene.mirror.root.with_file_name("away"));
    fs::rename(&module, &away).expect("renamed");
    let unmounted: [fn(&Path); 3] = [
        |_| {},
        |module| fs::create_dir(module).expect("made"),
        // Another disk.
        |module| fs::write(module.join("other"), "other").expect("written"),
    ];
    for unmount in unmounted {
        unmount(&module);
        let found = verify(&mut scene, &[], Status::Local);
        assert_eq!((&found["right"], &found["modules"][0]["failed"]), (&false.into(), &true.into()), "{found}");
        let result = scene.run(&["verify"]).status(Status::Local);
        assert!(result.stderr.contains("not mounted"), "{}", result.stderr);
        assert!(!result.stdout.contains("--repair"), "{}", result.stdout);
        let before = tree::inode_snapshot(&scene.mirror.root).expect("a mirror");
        let result = scene.run(&["verify", "--repair"]).status(Status::Local);
        assert!(result.stderr.contains("not mounted"), "{}", result.stderr);
        assert_untouched(&before, &scene.mirror.root);
    }
    scene.run(&["--full"]).status(Status::Done);
    assert!(module.join("os/repodata/repomd.xml").exists());
}

#[test]
fn names_of_one_file_are_one_file_after_a_repair() {
    let linked = ["fedora/os/Packages/p1.rpm", "fedora/again/p1.rpm", "archive/p1.rpm"];
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], |up| {
        build(up)?;
        up.hardlink(linked[0], linked[1])?.hardlink(linked[0], linked[2]).map(drop)
    });
    let of_one_file = |scene: &Scene| {
        let inodes = linked.map(|name| fs::metadata(scene.mirror.path(name)).expect("it is here").ino());
        inodes.iter().all(|inode| *inode == inodes[0])
    };
    assert!(of_one_file(&scene));
    for gone in linked {
        for rotten in [false, true] {
            fs::remove_file(scene.mirror.path(gone)).expect("removed");
            if rotten {
                rot(&scene.mirror.path(linked.into_iter().find(|name| *name != gone).expect("another")));
            }
            scene.run(&["verify", "--repair"]).status(Status::Done);
            scene.assert_same();
            assert!(of_one_file(&scene), "{gone}");
            assert_eq!(verify(&mut scene, &[], Status::Done)["right"], true, "{gone}");
        }
    }
}

#[test]
fn what_a_run_does_to_one_name_is_no_damage_to_the_others() {
    type Change = fn(&mut Upstream) -> Built;
    let changes: [(&str, Change, &[&str]); 5] = [
        ("a name goes", |up| up.remove("archive/p1.rpm").map(drop), &[]),
        ("a name comes", |up| up.hardlink("fedora/os/Packages/p2.rpm", "archive/p2.rpm").map(drop), &[]),
        ("a module alone", |up| up.remove("archive/p1.rpm").map(drop), &[ARCHIVE]),
        ("the other first", |up| up.file("fedora/new", b"new")?.remove("archive/p1.rpm").map(drop), &[]),
        ("a name in the same module", |up| up.remove("fedora/again/p1.rpm").map(drop), &[]),
    ];
    for (what, change, modules) in changes {
        let mut scene = Scene::synced(&[FEDORA, ARCHIVE], |up| {
            build(up)?;
            up.hardlink("fedora/os/Packages/p1.rpm", "fedora/again/p1.rpm")?;
            up.hardlink("fedora/os/Packages/p1.rpm", "archive/p1.rpm").map(drop)
        });
        let ctimes = |scene: &Scene| {
            ["p1.rpm", "p2.rpm"].map(|name| {
                let path = scene.mirror.path("fedora/os/Packages").join(name);
                fs::metadata(path).map(|stat| (stat.ctime(), stat.ctime_nsec())).expect("it is here")
            })
        };
        let before = ctimes(&scene);
        scene.change(change);
        scene.run(modules).status(Status::Done);
        assert_ne!(before, ctimes(&scene), "{what}: nothing was done to another name");
        assert_eq!(verify(&mut scene, &[], Status::Done)["right"], true, "{what}");
        // What others do after that is seen as ever.
        rot(&scene.mirror.path("fedora/os/Packages/p3.rpm"));
        assert_eq!(causes(&verify(&mut scene, &[FEDORA], Status::Partial), "wrong"), some("altered", 1), "{what}");
    }
}

#[test]
fn what_others_did_is_found_though_runs_passed_since() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    rot(&scene.mirror.path("fedora/os/Packages/p5.rpm"));
    for round in 0..3 {
        scene.change(|up| up.file("fedora/os/news.rpm", format!("news {round}")).map(drop));
        scene.sync();
        let found = verify(&mut scene, &[FEDORA], Status::Partial);
        assert_eq!(causes(&found, "wrong"), some("altered", 1), "in round {round}: {found}");
    }
    scene.run(&["verify", "--repair"]).status(Status::Done);
    scene.assert_same();
    assert_eq!(verify(&mut scene, &[], Status::Done)["right"], true);
}

#[test]
fn what_is_never_published_is_not_missing() {
    let mut scene = Scene::new(&[FEDORA], |up| {
        up.file("fedora/restricted/a", b"a")?.mode("fedora/restricted", 0o750)?;
        up.link("fedora/out", "/etc")?.file("fedora/os/excluded", b"x")?.file("fedora/os/a", b"a").map(drop)
    });
    scene.configure(&[FEDORA], "filter.exclude = ['re:excluded$']");
    scene.sync();
    assert_eq!(verify(&mut scene, &[], Status::Done)["right"], true);
    // What upstream could not deliver is.
    scene.change(|up| up.file("fedora/os/b", b"b").map(drop));
    fs::remove_file(scene.site.upstream.path("fedora/os/b")).expect("removed");
    scene.run(&[]).status(Status::Partial);
    assert_eq!(causes(&verify(&mut scene, &[], Status::Partial), "wrong"), some("missing", 1));
}
