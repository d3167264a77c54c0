//! Rows that cannot be read in a list that is whole: set aside and told, the rest mirrored, deletions held.

mod support;

use qfm::exit::Status;
use support::*;

fn build(up: &mut Upstream) -> Built {
    for name in ["a", "gone", "later", "keep"] {
        up.file(format!("fedora/linux/{name}.rpm"), name.repeat(3))?;
    }
    up.file("archive/linux/c.rpm", b"ccc")?;
    Ok(())
}

/// A mirror in step, an upstream that changed, and a list of it with rows that cannot be read.
struct Damaged {
    scene: Scene,
    outside: Outside,
    rows: Vec<Vec<u8>>,
}

impl Damaged {
    fn by(rows: &[&[u8]]) -> Damaged {
        let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
        let outside = Outside::of(&scene.mirror);
        scene.change(|up| up.remove("fedora/linux/gone.rpm")?.file("fedora/linux/new.rpm", b"new").map(drop));
        let mut damaged = Damaged { scene, outside, rows: rows.iter().map(|row| row.to_vec()).collect() };
        damaged.publish();
        damaged
    }

    /// Puts the rows into the list that upstream has now.
    fn publish(&mut self) {
        let rows: Vec<&[u8]> = self.rows.iter().map(Vec::as_slice).collect();
        let list = self.scene.list_with("fedora", &rows);
        self.scene.publish_raw("fedora", &list);
    }

    fn has(&self, name: &str) -> bool {
        std::fs::symlink_metadata(self.scene.mirror.path("fedora/linux").join(name)).is_ok()
    }

    /// The first run with them, which tells this of line 5.
    #[track_caller]
    fn assert_held(&self, told: &str) {
        let result = self.scene.run(&[]).status(Status::Held);
        let line = format!("{FEDORA}: line 5 of the list is set aside");
        assert!(result.stderr.contains(&line) && result.stderr.contains(told), "{told:?}: {}", result.stderr);
        assert!(!result.stderr.bytes().any(|byte| byte != b'\n' && byte.is_ascii_control()), "{:?}", result.stderr);
        assert!(self.has("new.rpm"), "the rest is to be mirrored");
        assert!(self.has("gone.rpm"), "deletions are to be held");
        let list = std::fs::read(self.scene.mirror.path("fedora/fullfiletimelist-fedora")).expect("a list");
        assert_eq!(list, self.scene.site.upstream.list("fedora").expect("a list"), "byte for byte");
        self.outside.assert_untouched();
        // It is told as long as it is so.
        self.scene.run(&[]).status(Status::Held);
        assert!(self.has("gone.rpm"));
    }

    /// The next list has them too: then they hold nothing.
    #[track_caller]
    fn assert_habit(&mut self) {
        self.scene
            .change(|up| up.remove("fedora/linux/later.rpm")?.file("fedora/linux/newest.rpm", b"newest").map(drop));
        self.publish();
        let result = self.scene.run(&[]).status(Status::Done);
        assert_eq!(result.stderr, "");
        assert!(self.has("newest.rpm") && !self.has("later.rpm") && !self.has("gone.rpm"));
        self.outside.assert_untouched();
        self.scene.assert_quiet();
    }
}

/// One row of each kind is told of with these words, and is upstream's habit when it stands there again.
#[track_caller]
fn assert_set_aside(row: &[u8], told: &str) {
    let mut damaged = Damaged::by(&[row]);
    damaged.assert_held(told);
    damaged.assert_habit();
}

#[test]
fn an_absolute_name_is_set_aside() {
    assert_set_aside(b"1790003600\tf\t3\t/etc/passwd", "/etc/passwd");
}

#[test]
fn a_name_that_leads_out_of_the_module_is_set_aside() {
    assert_set_aside(b"1790003600\tf\t8\t../other-tree/precious", "../other-tree/precious");
    assert_set_aside(b"1790003600\tf\t8\tlinux/../../other-tree/precious", "linux/../../other-tree/precious");
    assert_set_aside(b"1790003600\td\t4096\t..", "..");
}

#[test]
fn a_name_with_a_dot_or_an_empty_part_is_set_aside() {
    assert_set_aside(b"1790003600\tf\t3\t./linux/x.rpm", "./linux/x.rpm");
    assert_set_aside(b"1790003600\tf\t3\tlinux//x.rpm", "linux//x.rpm");
    assert_set_aside(b"1790003600\td\t3\tlinux/x/", "linux/x/");
    assert_set_aside(b"1790003600\tf\t3\t", "line 5");
}

#[test]
fn a_name_with_nul_is_set_aside() {
    assert_set_aside(b"1790003600\tf\t3\tlinux/a\0b", "linux/a\\x00b");
}

#[test]
fn an_over_long_name_is_set_aside() {
    assert_set_aside(&[b"1790003600\tf\t3\tlinux/", &[b'x'; 256][..]].concat(), "xxx");
    assert_set_aside(&[&b"1790003600\tf\t3\t"[..], &b"directory/".repeat(450), b"x"].concat(), "directory/");
}

#[test]
fn a_row_with_three_fields_is_set_aside() {
    assert_set_aside(b"1790003600\tf\t3", "1790003600\\x09f\\x093");
}

#[test]
fn letters_for_numbers_are_set_aside() {
    assert_set_aside(b"yesterday\tf\t3\tlinux/x.rpm", "yesterday");
    assert_set_aside(b"1790003600\tf\tbig\tlinux/x.rpm", "big");
    assert_set_aside(b"99999999999999999999\tf\t3\tlinux/x.rpm", "99999999999999999999");
    assert_set_aside(b"1790003600\tf\t-3\tlinux/x.rpm", "-3");
}

#[test]
fn an_unknown_kind_is_set_aside() {
    assert_set_aside(b"1790003600\tb\t3\tlinux/x.rpm", "linux/x.rpm");
    assert_set_aside(b"1790003600\tf+\t3\tlinux/x.rpm", "f+");
}

#[test]
fn a_name_given_twice_with_different_kinds_is_set_aside() {
    let mut damaged = Damaged::by(&[b"1790003600\tf\t3\tlinux/twice", b"1790003600\tl\t3\tlinux/twice"]);
    damaged.assert_held("linux/twice");
    damaged.assert_habit();
}

#[test]
fn a_row_below_a_file_is_set_aside() {
    assert_set_aside(b"1790003600\tf\t3\tlinux/a.rpm/below", "linux/a.rpm/below");
}

#[test]
fn a_row_deep_below_a_link_is_set_aside() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], |up| {
        build(up)?;
        up.file("fedora/linux/tree/sub/x", b"x")?.link("fedora/linux/link", "tree").map(drop)
    });
    for round in ["first", "second"] {
        scene.change(|up| up.file(format!("fedora/linux/{round}"), round).map(drop));
        let list = scene.list_with("fedora", &[b"1790003600\tf\t1\tlinux/link/sub/x"]);
        scene.publish_raw("fedora", &list);
        let expected = if round == "first" { Status::Held } else { Status::Done };
        for arguments in [&[][..], &["--full"], &[]] {
            scene.run(arguments).status(expected);
        }
        assert!(scene.mirror.path(format!("fedora/linux/{round}")).exists());
    }
}

#[test]
fn directories_of_bad_rows_alone_are_not_asked_for() {
    assert_set_aside(b"yesterday\tf\t3\tnew/deep/x.rpm", "new/deep/x.rpm");
    let mut damaged = Damaged::by(&[b"1790003600\tf\t3\tnew/deep/twice", b"1790003600\tl\t3\tnew/deep/twice"]);
    damaged.assert_held("new/deep/twice");
    damaged.assert_habit();
}

#[test]
fn control_characters_of_a_name_do_not_reach_the_terminal() {
    assert_set_aside(b"1790003600\tf\t3\t/\x1b[2J\x07\xff", "\\x1b[2J\\x07\\xff");
}

#[test]
fn the_same_row_twice_is_one_row_and_no_trouble() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    scene.change(|up| up.remove("fedora/linux/gone.rpm").map(drop));
    let list = scene.site.upstream.list("fedora").expect("a list");
    let row = list.split(|byte| *byte == b'\n').find(|line| line.ends_with(b"linux/a.rpm")).expect("a row");
    let list = scene.list_with("fedora", &[row]);
    scene.publish_raw("fedora", &list);
    assert_eq!(scene.sync().stderr, "");
    scene.assert_same();
}

#[test]
fn a_name_with_a_line_feed_upstream_breaks_its_row_and_holds_deletions() {
    for odd in [&b"half\nother half"[..], b"half\n\nother", b"half\n", b"half\n1\tf\t3\t/etc/passwd"] {
        let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
        let outside = Outside::of(&scene.mirror);
        scene.change(|up| {
            up.remove("fedora/linux/gone.rpm")?.file("fedora/linux/new.rpm", b"new")?;
            up.file(std::path::Path::new("fedora/linux").join(name(odd)), b"odd")?;
            Ok(())
        });
        // Other programs that make lists write such a name as it is.
        let list = scene.list_with("fedora", &[&[b"1790003600\tf\t3\tlinux/", odd].concat()]);
        scene.publish_raw("fedora", &list);
        let result = scene.run(&[]);
        let what = format!("{:?}: {}", odd.escape_ascii().to_string(), result.stderr);
        assert!(result.stderr.contains("of the list is set aside"), "{what}");
        ended_with(result.code, &[Status::Held, Status::Partial]);
        assert!(scene.mirror.path("fedora/linux/new.rpm").exists());
        assert!(scene.mirror.path("fedora/linux/gone.rpm").exists(), "{what}");
        outside.assert_untouched();
        // Upstream gives it another name.
        scene.change(|up| {
            up.rename(std::path::Path::new("fedora/linux").join(name(odd)), "fedora/linux/even").map(drop)
        });
        scene.sync();
        assert!(!scene.mirror.path("fedora/linux/gone.rpm").exists());
    }
}

#[test]
fn what_the_name_of_a_bad_row_means_is_never_deleted() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
    scene.site.upstream.file("fedora/tree/deep/x.rpm", b"x").expect("a file");
    scene.change(|_| Ok(()));
    scene.sync_to_same();
    // Upstream writes rows of what is there that cannot be read, now and in the list after it.
    let bad: [&[u8]; 3] = [
        b"yesterday\tf\t12\tlinux/keep.rpm",
        b"1790003600\tsocket\t4096\ttree",
        b"1790003600\tf\tsmall\ttree/deep/x.rpm",
    ];
    for round in ["first", "second", "third"] {
        scene.change(|up| up.file(format!("fedora/linux/{round}"), round).map(drop));
        let list = scene.site.upstream.list("fedora").expect("a list");
        let ends: [&[u8]; 4] = [b"\tlinux/keep.rpm", b"\ttree", b"\ttree/deep", b"\ttree/deep/x.rpm"];
        let rows = list.split_inclusive(|byte| *byte == b'\n');
        let list: Vec<u8> =
            rows.filter(|row| !ends.iter().any(|end| row.trim_ascii_end().ends_with(end))).flatten().copied().collect();
        scene.publish_raw("fedora", &with_rows(&list, &bad));
        let expected = if round == "first" { Status::Held } else { Status::Done };
        scene.run(&[]).status(expected);
        scene.run(&["--full"]).status(expected);
        for kept in ["linux/keep.rpm", "tree/deep/x.rpm", &format!("linux/{round}")] {
            assert!(scene.mirror.path("fedora").join(kept).exists(), "{kept} is gone in the {round} round");
        }
    }
}

#[test]
fn bad_rows_are_set_aside_in_a_first_sync_too() {
    let mut scene = Scene::new(&[FEDORA, ARCHIVE], build);
    let outside = Outside::of(&scene.mirror);
    std::fs::create_dir_all(scene.mirror.path("fedora")).expect("made");
    std::fs::write(scene.mirror.path("fedora/old"), "an old mirror's").expect("written");
    let list = scene.list_with("fedora", &[b"1790003600\tf\t8\t../other-tree/precious", b"1\tf\t1\t/tmp/x"]);
    scene.publish_raw("fedora", &list);
    let result = scene.run(&[]).status(Status::Held);
    assert!(result.stderr.contains("line 6 of the list is set aside"), "{}", result.stderr);
    assert!(scene.mirror.path("fedora/linux/a.rpm").exists() && scene.mirror.path("fedora/old").exists());
    outside.assert_untouched();
}

#[test]
fn a_checksum_row_that_cannot_be_read_is_told_and_holds_deletions() {
    let mut scene = Scene::synced(&[FEDORA, ARCHIVE], |up| {
        build(up)?;
        up.file("fedora/repodata/repomd.xml", b"<repomd/>").map(drop)
    });
    scene.change(|up| up.remove("fedora/linux/gone.rpm").map(drop));
    let list = scene.site.upstream.list("fedora").expect("a list");
    let list =
        String::from_utf8(list).expect("text").replace("[Checksums SHA1]\n", "[Checksums SHA1]\nnot a sum\trepodata\n");
    scene.publish_raw("fedora", list.as_bytes());
    let result = scene.run(&[]).status(Status::Held);
    assert!(result.stderr.contains("not a sum"), "{}", result.stderr);
    assert!(scene.mirror.path("fedora/linux/gone.rpm").exists());
}
