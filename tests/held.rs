//! A directory that must not make way holds back one name and what leads to it, and nothing else.

mod support;

use std::fs;

use qfm::exit::Status;
use support::*;

const CLASH: &str = "fedora/os/Packages/clash";

/// Two repositories of a module; in one of them a directory that is to become a file.
fn build(up: &mut Upstream) -> Built {
    for repository in ["fedora/os", "fedora/updates"] {
        version(up, repository, "first")?;
    }
    (0..60).try_for_each(|number| up.file(format!("{CLASH}/{number}"), b"old").map(drop))
}

/// Brings a package, an index of each sort, and a pointer.
fn version(up: &mut Upstream, repository: &str, version: &str) -> Built {
    up.file(format!("{repository}/Packages/{version}.rpm"), version)?;
    up.file(format!("{repository}/repodata/{version}-primary.xml.gz"), version)?;
    up.file(format!("{repository}/Packages.gz"), format!("the index of {version}"))?;
    up.file(format!("{repository}/repodata/repomd.xml"), format!("leads to {version}")).map(drop)
}

fn change(up: &mut Upstream) -> Built {
    for repository in ["fedora/os", "fedora/updates"] {
        version(up, repository, "second version")?;
    }
    up.remove(CLASH)?.file(CLASH, b"a file").map(drop)
}

/// A mirror whose settings hold what is to make way.
fn held(settings: &str) -> Scene {
    let mut scene = Scene::synced(&[FEDORA], build);
    scene.configure(&[FEDORA], settings);
    scene.change(change);
    scene
}

/// Whether the file of the mirror is upstream's.
fn is_new(scene: &Scene, path: &str) -> bool {
    let read = |path| fs::read(path).expect("a file");
    read(scene.mirror.path(path)) == read(scene.site.upstream.path(path))
}

const NEVER: &str = "delete.mode = \"never\"";
const GUARDED: &str = "delete.max_share = 10\ndelete.min_entries = 10";

#[test]
fn a_directory_that_must_not_make_way_holds_its_repository_and_nothing_else() {
    for settings in [NEVER, GUARDED] {
        let mut scene = held(settings);
        let dry = scene.run(&["--dry-run"]).status(Status::Held).stdout;
        assert!(dry.contains(&format!("qfm --allow-delete {FEDORA}/os/Packages/clash")), "{dry}");
        let result = scene.run(&["--json"]).status(Status::Held);
        let module = &result.json()["modules"][0];
        assert_eq!((&module["held_back"], &module["undelivered"]), (&3.into(), &0.into()), "{module}");
        let flag = format!("run once: qfm --allow-delete {FEDORA}/os/Packages/clash");
        assert!(result.stderr.contains(&flag), "{}", result.stderr);
        assert!(scene.mirror.path(CLASH).join("7").exists(), "it is gone");
        for path in [
            "fedora/updates/repodata/repomd.xml",
            "fedora/updates/Packages.gz",
            "fedora/os/Packages/second version.rpm",
        ] {
            assert!(is_new(&scene, path), "{path} is not held");
        }
        assert!(is_new(&scene, &format!("fedora/{}", list_name("fedora"))), "the list");
        let waits = ["fedora/os/repodata/repomd.xml", "fedora/os/Packages.gz"];
        for path in waits {
            assert!(!is_new(&scene, path), "{path} leads to what is not here");
        }
        // A repair deletes nothing, so it would not help.
        let found = scene.run(&["verify"]).status(Status::Partial).stdout;
        let advice = format!("deleted: qfm --allow-delete {FEDORA}/os/Packages/clash");
        assert!(found.contains(&advice) && !found.contains("--repair"), "{found}");

        // Each run tries, at the cost of a look.
        scene.new_calls();
        for _ in 0..2 {
            let result = scene.run(&["-v"]).status(Status::Held);
            assert!(result.stderr.contains(&flag) && !result.stderr.contains("did not finish"), "{}", result.stderr);
            assert!(result.stderr.contains("compared (quick)"), "{}", result.stderr);
        }
        assert_eq!(scene.new_calls().len(), 2, "one call for the list each");
        scene.run(&["--dry-run"]).status(Status::Held);
        let wrong = scene.run(&["verify", "-v"]).status(Status::Partial).stdout;
        for path in waits.iter().chain(&[CLASH]) {
            assert!(wrong.contains(path), "{path} is as listed: {wrong}");
        }

        // It waits for a human, however much else comes.
        scene.change(|up| (0..1000).try_for_each(|number| up.file(format!("fedora/more/{number}"), b"more").map(drop)));
        scene.run(&[]).status(Status::Held);
        assert!(waits.iter().all(|path| !is_new(&scene, path)));
        scene.run(&["--allow-delete", &format!("{FEDORA}/os/Packages/clash")]).status(Status::Done);
        scene.assert_same();
        scene.assert_quiet();
    }
}

#[test]
fn the_call_that_lets_pass_names_the_configuration_that_the_command_line_named() {
    let mut scene = Scene::synced(&[FEDORA], |up| {
        (0..100).try_for_each(|number| up.file(format!("fedora/{number}"), b"x").map(drop))
    });
    scene.change(|up| (0..90).try_for_each(|number| up.remove(format!("fedora/{number}")).map(drop)));
    let flag = format!("run once: qfm --config {} --allow-delete {FEDORA}", scene.mirror.config.display());
    let output = scene.mirror.command(&[""; 0]).output().expect("the program starts");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains(&flag), "{told}");
}
