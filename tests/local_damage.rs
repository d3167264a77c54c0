//! Damage that nobody thought of: whatever others do between runs, the next run puts it right.
//!
//! `QFM_TEST_SEED` repeats a case by the number that it showed when it failed.

mod support;

use std::fmt::Write as _;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

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

/// Numbers that look like chance, and are the same for the same seed. What was done with them is told if the test fails.
struct Chance {
    seed: u64,
    state: u64,
    done: String,
}

impl Chance {
    fn new(seed: u64) -> Chance {
        Chance { seed, state: seed, done: String::new() }
    }

    /// splitmix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn one_of<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }
}

impl Drop for Chance {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("QFM_TEST_SEED={}\n{}", self.seed, self.done);
        }
    }
}

/// The seeds of the cases.
fn seeds() -> Vec<u64> {
    let given = std::env::var("QFM_TEST_SEED").ok().map(|seed| vec![seed.parse().expect("a number")]);
    given.unwrap_or_else(|| (0..CASES).map(|case| RandomState::new().hash_one(case)).collect())
}

/// What is below a module's directory, but its list.
fn entries(module: &Path, wanted: impl Fn(&fs::FileType) -> bool) -> Vec<PathBuf> {
    let found = walkdir::WalkDir::new(module).min_depth(1).sort_by_file_name();
    let found = found.into_iter().map(|entry| entry.expect("an entry")).filter(|entry| wanted(&entry.file_type()));
    let is_list = |path: &Path| path.ends_with(list_name("fedora"));
    found.map(walkdir::DirEntry::into_path).filter(|path| !is_list(path)).collect()
}

/// A name that is free, in any directory of the module.
fn free(chance: &mut Chance, module: &Path) -> PathBuf {
    let mut directories = entries(module, fs::FileType::is_dir);
    directories.push(module.to_owned());
    let odd: &[&[u8]] = &[b"new.rpm", b"-rf", b" ", b"\xff\xfe", b"line\nfeed", b".p0.rpm.AbCdEf"];
    let mut path = chance.one_of(&directories).join(name(chance.one_of(odd)));
    while fs::symlink_metadata(&path).is_ok() {
        path.as_mut_os_string().push("x");
    }
    path
}

fn remove(path: &Path) {
    let is_dir = fs::symlink_metadata(path).expect("an entry").is_dir();
    if is_dir { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("removed");
}

/// Does something that the directory shows in which it happens.
fn damage_a_directory(chance: &mut Chance, upstream: &Path, module: &Path, outside: &Path) {
    let anything: fn(&fs::FileType) -> bool = |_| true;
    // What was added goes no more: the time of its directory alone would be left of it, which is not looked at.
    let listed = |wanted: fn(&fs::FileType) -> bool| {
        let is_listed = |path: &PathBuf| {
            path.strip_prefix(module).is_ok_and(|path| fs::symlink_metadata(upstream.join(path)).is_ok())
        };
        entries(module, wanted).into_iter().filter(is_listed).collect::<Vec<_>>()
    };
    let (files, directories) = (listed(fs::FileType::is_file), listed(fs::FileType::is_dir));
    let Some(any) = Some(listed(anything)).filter(|any| !any.is_empty()).map(|any| chance.one_of(&any)) else { return };
    let links = listed(fs::FileType::is_symlink);
    let action = chance.below(11);
    let (what, path) = match action {
        0 if !files.is_empty() => ("removed the file", chance.one_of(&files)),
        1 if !directories.is_empty() => ("removed the directory", chance.one_of(&directories)),
        2 => ("replaced by a link out", any),
        3 => ("replaced by a link to nothing", any),
        4 => ("replaced by a file", any),
        5 => ("replaced by a directory", any),
        6 => ("renamed", any),
        7 if !links.is_empty() => ("led elsewhere", chance.one_of(&links)),
        8 => ("added the file", free(chance, module)),
        9 if !files.is_empty() => ("took another's name:", chance.one_of(&files)),
        _ => ("added the directory", free(chance, module)),
    };
    writeln!(chance.done, "  {what} {path:?}").expect("a string");
    match what {
        "renamed" => {
            let to = free(chance, module);
            writeln!(chance.done, "    to {to:?}").expect("a string");
            // A directory cannot go into itself.
            if !to.starts_with(&path) {
                fs::rename(&path, &to).expect("renamed");
            }
        }
        "took another's name:" => {
            // What has size and time of the file that belongs there cannot be told from it without reading it.
            let looks = |path: &Path| fs::metadata(path).map(|stat| (stat.len(), stat.modified().ok())).ok();
            let belongs = |there: &PathBuf| looks(&upstream.join(there.strip_prefix(module).expect("a path below it")));
            let others: Vec<PathBuf> = files.into_iter().filter(|there| belongs(there) != looks(&path)).collect();
            if let Some(to) = (!others.is_empty()).then(|| chance.one_of(&others)) {
                writeln!(chance.done, "    that of {to:?}").expect("a string");
                fs::rename(&path, &to).expect("renamed");
            }
        }
        "led elsewhere" => {
            let len = fs::symlink_metadata(&path).expect("a link").len() as usize;
            fs::remove_file(&path).and_then(|()| symlink("?".repeat(len), &path)).expect("linked");
        }
        "added the file" => fs::write(&path, "extra").expect("written"),
        "added the directory" => fs::create_dir_all(path.join("deep"))
            .and_then(|()| fs::write(path.join("deep/file"), "extra"))
            .expect("made"),
        _ => {
            remove(&path);
            match action {
                2 => symlink(outside, &path).expect("linked"),
                3 => symlink("nowhere", &path).expect("linked"),
                4 => fs::write(&path, "a file").expect("written"),
                5 => fs::create_dir(&path).and_then(|()| fs::write(path.join("in it"), "extra")).expect("made"),
                _ => {}
            }
        }
    }
}

/// Writes to a file in a way that its directory does not show.
fn damage_a_file(chance: &mut Chance, module: &Path) {
    let file = chance.one_of(&entries(module, fs::FileType::is_file));
    let stat = fs::metadata(&file).expect("a file");
    let what =
        chance.one_of(&["cut", "longer", "same size, now", "same size, in the future", "same size, in the past"]);
    writeln!(chance.done, "  {what}: {file:?}").expect("a string");
    let same_size = vec![b'?'; stat.len() as usize];
    let dated = |time: SystemTime| {
        fs::write(&file, &same_size)?;
        fs::File::options().write(true).open(&file)?.set_modified(time)
    };
    match what {
        "cut" => fs::File::options().write(true).open(&file).and_then(|file| file.set_len(stat.len() / 2)),
        "longer" => fs::write(&file, [same_size.as_slice(), b"more"].concat()),
        "same size, now" => fs::write(&file, &same_size),
        "same size, in the past" => dated(stat.modified().expect("a time") - Duration::from_secs(100)),
        _ => dated(SystemTime::now() + Duration::from_secs(100_000)),
    }
    .expect("damaged");
}

#[test]
fn what_directories_show_is_repaired_by_the_next_run_that_looks_at_the_module() {
    side_by_side(seeds(), |seed| {
        let mut chance = Chance::new(seed);
        let mut scene = Scene::synced(&[FEDORA, ARCHIVE], build);
        let (module, outside) = (scene.mirror.path("fedora"), Outside::of(&scene.mirror));
        fs::remove_dir_all(scene.mirror.path("other-tree")).expect("it is not part of this");
        for round in 0..3 {
            for _ in 0..=chance.below(5) {
                damage_a_directory(&mut chance, &scene.site.upstream.path("fedora"), &module, outside.path());
            }
            writeln!(chance.done, "  --- run {round}").expect("a string");
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
    side_by_side(seeds(), |seed| {
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
            writeln!(chance.done, "  --- run {round}").expect("a string");
            scene.run(&["--full"]).status(Status::Done);
            scene.assert_same();
        }
        scene.assert_quiet();
    });
}
