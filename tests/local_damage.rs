//! Damage that nobody thought of: whatever others do between runs, the next run puts it right.
//!
//! `QFM_TEST_SEED` repeats a case by the number that it showed when it failed.

mod support;

use std::fs;

use qfm::exit::Status;
use support::*;

/// So many cases for each test.
const CASES: u64 = 10;

fn build(up: &mut Upstream) -> Built {
    for (number, directory) in
        ["os", "os/deep/deeper", "updates/a", "updates/b", "odd\t name \u{fe}"].iter().enumerate()
    {
        for file in 0..6 {
            up.file(format!("fedora/{directory}/p{file}.rpm"), format!("package {file} of {number}"))?;
        }
    }
    up.file("fedora/os/repodata/primary.xml", b"primary")?.file("fedora/os/repodata/repomd.xml", b"<repomd/>")?;
    up.link("fedora/latest", "os")?.link("fedora/os/link.rpm", "p0.rpm")?.dir("fedora/empty/emptier")?;
    up.hardlink("fedora/os/p0.rpm", "archive/os/p0.rpm")?.hardlink("fedora/os/p1.rpm", "fedora/again/p1.rpm")?;
    up.file("archive/os/a.rpm", b"aaa").map(drop)
}

#[test]
fn what_directories_show_is_repaired_by_the_next_run_that_looks_at_the_module() {
    side_by_side(seeds(CASES), |seed| {
        let mut chance = Chance::new(seed);
        let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
        let (module, outside) = (scene.mirror.path("fedora"), Outside::of(&scene.mirror));
        fs::remove_dir_all(scene.mirror.path("other-tree")).expect("it is not part of this");
        for round in 0..3 {
            for _ in 0..=chance.below(5) {
                damage_a_directory(&mut chance, &scene.site.upstream.path("fedora"), &module, outside.path());
            }
            chance.note(format_args!("--- run {round}"));
            // Where it all went, the module may be empty; then nothing is done unless it is asked for.
            fs::create_dir_all(module.join("not empty")).expect("made");
            scene.change(|up| up.file("fedora/updates/b/news.rpm", format!("news {round}")).map(drop));
            let result = scene.run(&[]);
            assert_eq!(result.code, Some(0), "{}", result.stderr);
            let at_outside = walkdir::WalkDir::new(outside.path()).into_iter().count();
            assert_eq!(at_outside, 4, "something happened behind a link");
            scene.assert_same();
        }
        scene.assert_quiet();
    });
}

#[test]
fn what_directories_do_not_show_is_repaired_by_a_full_run() {
    side_by_side(seeds(CASES), |seed| {
        let mut chance = Chance::new(seed);
        let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
        let (module, outside) = (scene.mirror.path("fedora"), Outside::of(&scene.mirror));
        fs::remove_dir_all(scene.mirror.path("other-tree")).expect("it is not part of this");
        for round in 0..2 {
            for _ in 0..=chance.below(4) {
                damage_a_file(&mut chance, &module);
            }
            if chance.below(2) == 0 {
                damage_a_directory(&mut chance, &scene.site.upstream.path("fedora"), &module, outside.path());
            }
            chance.note(format_args!("--- run {round}"));
            scene.run(&["--full"]).status(Status::Done);
            scene.assert_same();
        }
        scene.assert_quiet();
    });
}
