//! A mirror from nothing, and runs in which nothing is to be done.

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use support::tree::View;
use support::*;

/// Names that tools trip over.
const ODD: [&[u8]; 19] = [
    b"a blank",
    b" leading and trailing ",
    b"a\ttab",
    b"-rf",
    b"--delete",
    b"#hash",
    b";semicolon",
    b"*",
    b"[a-z]",
    b"?",
    b"'single' \"double\"",
    b"carriage\rreturn",
    b"back\\slash",
    b"\\#012",
    b"a -> b",
    b"\xff\xfe not utf-8",
    b"\x01\x1b[2J",
    b"~",
    b"%i %n",
];

/// Hard links across modules, links, restricted content, empty directories, odd modes, odd names.
fn everything(up: &mut Upstream) -> Built {
    up.file("fedora/linux/os/a.rpm", b"aaa")?
        .file("fedora/linux/os/empty.rpm", b"")?
        .file("fedora/linux/os/repodata/0123-primary.xml.gz", b"primary")?
        .file("fedora/linux/os/repodata/repomd.xml", b"<repomd/>")?
        .hardlink("fedora/linux/os/a.rpm", "fedora/linux/other/a.rpm")?
        .hardlink("fedora/linux/os/a.rpm", "archive/linux/os/a.rpm")?
        .hardlink("fedora/linux/os/a.rpm", "archive/under another name.rpm")?
        .file("archive/linux/os/b.rpm", b"bbb")?
        .link("fedora/linux/latest", "os")?
        .link("fedora/linux/os/link.rpm", "a.rpm")?
        .link("fedora/linux/os/up.rpm", "../other/a.rpm")?
        .dir("fedora/empty/emptier")?
        .file("fedora/linux/read-only", b"r")?
        .mode("fedora/linux/read-only", 0o444)?
        .file("fedora/linux/program", b"x")?
        .mode("fedora/linux/program", 0o775)?
        .dir("fedora/linux/group")?
        .mode("fedora/linux/group", 0o775)?
        .file_at("fedora/linux/old", b"old", 1)?
        .file("fedora/beta/b.rpm", b"beta")?
        .mode("fedora/beta", 0o750)?
        .file("fedora/linux/secret.rpm", b"secret")?
        .mode("fedora/linux/secret.rpm", 0o640)?;
    let long = [b'n'; 255];
    for odd in ODD.iter().copied().chain([&long[..]]) {
        let bytes = odd.to_vec();
        up.file(Path::new("fedora").join(name(odd)), &bytes)?
            .file(Path::new("fedora/odd").join(name(odd)).join(name(odd)), &bytes)?
            .hardlink(Path::new("fedora").join(name(odd)), Path::new("archive").join(name(odd)))?
            .link(Path::new("archive/links").join(name(odd)), Path::new("..").join(name(odd)))?;
    }
    Ok(())
}

#[test]
fn a_tree_is_mirrored_identically_and_the_next_run_does_nothing() {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], everything);
    scene.sync_to_same();
    assert!(!scene.mirror.path("fedora/beta").exists() && !scene.mirror.path("fedora/linux/secret.rpm").exists());
    scene.assert_quiet();
    scene.assert_quiet();
}

#[test]
fn a_tree_is_mirrored_identically_without_a_master_module() {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], everything);
    let own = |module: &str, directory: &str| {
        format!("module.{module}.upstream = {:?}\n", scene.daemon.module_url(directory))
    };
    let (lines, config) = (own(FEDORA, "fedora") + &own(ARCHIVE, "archive"), scene.mirror.config.clone());
    let text = fs::read_to_string(&config).expect("the configuration");
    let rest: String =
        text.lines().filter(|line| !line.starts_with("upstream")).map(|line| format!("{line}\n")).collect();
    fs::write(&config, rest + &lines).expect("the configuration");
    scene.sync();
    // Hard links across modules need one source for both.
    for directory in ["fedora", "archive"] {
        let view = View { contents: true, ..View::PUBLIC };
        assert_same_in(&view, &scene.site.upstream.path(directory), &scene.mirror.path(directory));
    }
    scene.new_calls();
    let before = tree::inode_snapshot(&scene.mirror.root).expect("a mirror");
    let result = scene.sync();
    assert_eq!((result.stdout.as_str(), result.stderr.as_str()), ("", ""));
    assert_eq!(scene.new_calls().len(), 2, "one call for each source");
    assert_untouched(&before, &scene.mirror.root);
}

#[test]
fn a_restricted_tree_is_mirrored_where_that_is_asked_for() {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], everything);
    scene.configure(&[FEDORA, ARCHIVE], "restricted = true");
    scene.sync();
    let view = View { restricted: true, contents: true, ..View::PUBLIC };
    assert_same_in(&view, scene.site.upstream.root(), &scene.mirror.root);
    scene.assert_quiet();
}

#[test]
fn every_name_of_one_file_is_a_hard_link_and_travels_once() {
    let scene = Scene::new(&[FEDORA, ARCHIVE], |up| {
        let content: Vec<u8> = (0..200_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        up.file("fedora/a.rpm", &content)?;
        for other in 0..10 {
            up.hardlink("fedora/a.rpm", format!("archive/{other}/a.rpm"))?;
        }
        Ok(())
    });
    let result = scene.sync();
    scene.assert_same();
    assert_eq!(fs::metadata(scene.mirror.path("fedora/a.rpm")).expect("it came").nlink(), 11);
    let sent = scene.daemon.served().expect("a log").sent;
    assert!(sent < 1_000_000, "{sent} bytes were sent for a file of 800000\n{}", result.stdout);
}
