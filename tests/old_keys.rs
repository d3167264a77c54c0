//! `quick-fedora-mirror`: what each key of the old configuration does under the old name.

mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;

use support::*;

fn build(up: &mut Upstream) -> Built {
    up.file("fedora/os/a.rpm", b"aaaa")?.file("fedora/os/b.rpm", b"bb")?.file("fedora/gone/x", b"gone")?;
    up.file("fedora/linux/43/a", b"a")?.file("archive/linux/42/a", b"aa").map(drop)
}

#[test]
fn what_the_old_tool_left_of_a_transfer_is_used_or_removed_unless_it_is_to_be_left_alone() {
    for (lines, is_left) in [("", false), ("NORSYNCRECOVERY=1", true)] {
        let mut old = Old::new("fedora-enchilada", build);
        old.add(lines);
        // As it is left by a run that was killed: files that rsync finished, and one that nobody wants any more.
        let partial = old.here("fedora/os/.~tmp~");
        fs::create_dir_all(&partial).expect("a directory");
        let copy = |name: &str| {
            let (from, to) = (old.scene.site.upstream.path("fedora/os").join(name), partial.join(name));
            fs::copy(&from, &to).expect("copied");
            let time = fs::metadata(&from).and_then(|stat| stat.modified()).expect("a time");
            fs::File::options().write(true).open(&to).and_then(|file| file.set_modified(time)).expect("dated");
            fs::metadata(&to).expect("a file").ino()
        };
        let a = copy("a.rpm");
        fs::write(partial.join("old.rpm"), "old").expect("written");
        old.runs(&[]);
        assert_eq!(partial.exists(), is_left, "{lines}");
        assert_eq!(fs::metadata(old.here("fedora/os/a.rpm")).expect("a file").ino() == a, !is_left, "{lines}");
        assert_eq!(fs::read(old.here("fedora/os/b.rpm")).expect("a file"), b"bb");

        // What comes there later is not the old tool's.
        fs::create_dir_all(&partial).and_then(|()| fs::write(partial.join("c.rpm"), "c")).expect("written");
        old.scene.change(|up| up.file("fedora/os/c.rpm", b"c").map(drop));
        old.runs(&[]);
        assert!(partial.join("c.rpm").exists());
    }
}
