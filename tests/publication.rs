//! What a client meets that follows metadata, over and over, while a run replaces most of a repository.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use sha1::{Digest, Sha1};
use support::*;
use walkdir::WalkDir;

const PACKAGES: usize = 40;
/// So many of them are the same in each version.
const STAYING: usize = 4;
const PACKAGE_SIZE: usize = 4000;

/// Slow enough for a reader to come by many times, for all of the two repositories about two seconds.
const SLOWLY: &str = "150k";

const RPM: &str = "fedora/os";
const DEBIAN: &str = "fedora/debian";

/// The files of a repository, by path below it.
type Files = BTreeMap<String, Vec<u8>>;

fn digest(bytes: &[u8]) -> String {
    Sha1::digest(bytes).iter().fold(String::new(), |mut digits, byte| {
        write!(digits, "{byte:02x}").expect("a string");
        digits
    })
}

/// The packages of a version, by number: what stands between number and ending of its name, and its content.
fn packages(version: usize) -> impl Iterator<Item = (usize, usize, Vec<u8>)> {
    let version_of = move |number| if number < STAYING { 1 } else { version };
    (0..PACKAGES).map(move |number| {
        let of = version_of(number);
        (number, of, format!("package {number} of version {of} ").into_bytes().repeat(PACKAGE_SIZE / 25))
    })
}

/// `repomd.xml`, which names indexes with a hash in their names, which name packages.
fn rpm(version: usize) -> Files {
    let mut files = Files::new();
    let mut primary = String::from("<metadata>\n");
    let mut others = String::from("<filelists>\n");
    for (number, of, content) in packages(version) {
        let path = format!("Packages/{}/p{number}-{of}.rpm", number % 7);
        writeln!(primary, "<package><location href=\"{path}\"/></package>").expect("a string");
        writeln!(others, "<package name=\"p{number}\" version=\"{of}\"/>").expect("a string");
        files.insert(path, content);
    }
    let mut repomd = format!("<repomd>\n<revision>{version}</revision>\n");
    for (kind, index) in [("primary", primary), ("filelists", others)] {
        let digest = digest(index.as_bytes());
        let path = format!("repodata/{digest}-{kind}.xml");
        writeln!(
            repomd,
            "<data type=\"{kind}\"><checksum type=\"sha\">{digest}</checksum><location href=\"{path}\"/></data>"
        )
        .expect("a string");
        files.insert(path, index.into_bytes());
    }
    files.insert("repodata/repomd.xml.asc".to_owned(), format!("signature of {}", digest(repomd.as_bytes())).into());
    files.insert("repodata/repomd.xml".to_owned(), (repomd + "</repomd>\n").into_bytes());
    files
}

/// `InRelease`, which names indexes, found by their hash too, which name packages in the pool.
fn debian(version: usize) -> Files {
    let mut files = Files::new();
    let mut index = String::new();
    for (number, of, content) in packages(version) {
        let path = format!("pool/main/p/p{number}/p{number}_{of}.deb");
        writeln!(index, "Package: p{number}\nVersion: {of}\nFilename: {path}\n").expect("a string");
        files.insert(path, content);
    }
    let digest = digest(index.as_bytes());
    let dir = "main/binary-amd64";
    let release =
        format!("Version: {version}\nAcquire-By-Hash: yes\nSHA1:\n {digest} {} {dir}/Packages\n", index.len());
    files.insert(format!("dists/sid/{dir}/by-hash/SHA1/{digest}"), index.clone().into_bytes());
    files.insert(format!("dists/sid/{dir}/Packages"), index.into_bytes());
    files.insert("dists/sid/InRelease".to_owned(), release.into_bytes());
    files
}

/// Puts a repository in place of what is there. What is the same stays as it is.
fn put(up: &mut Upstream, top: &str, files: &Files) -> Built {
    up.dir(top)?;
    for entry in WalkDir::new(up.path(top)) {
        let entry = entry?;
        let path = entry.path().strip_prefix(up.path(top))?.to_string_lossy().into_owned();
        if entry.file_type().is_file() && !files.contains_key(&path) {
            up.remove(format!("{top}/{path}"))?;
        }
    }
    for (path, content) in files {
        let path = format!("{top}/{path}");
        if fs::read(up.path(&path)).ok().as_ref() != Some(content) {
            up.file(path, content)?;
        }
    }
    Ok(())
}

fn version(up: &mut Upstream, version: usize) -> Built {
    put(up, RPM, &rpm(version))?;
    put(up, DEBIAN, &debian(version))
}

/// What a client cannot have.
type Missed = String;

/// Where clients begin, and how they go on from there: with what they read, in the repository.
type Start = (&'static str, &'static str, fn(&Path, &str) -> Result<(), Missed>);

const STARTS: [Start; 3] = [
    (RPM, "repodata/repomd.xml", follow_repomd),
    (DEBIAN, "dists/sid/InRelease", follow_release),
    (DEBIAN, "dists/sid/InRelease", follow_release_by_name),
];

fn follow_repomd(repository: &Path, repomd: &str) -> Result<(), Missed> {
    for (digest, index) in between(repomd, "<checksum type=\"sha\">", "<").zip(between(repomd, "href=\"", "\"")) {
        let index = read(repository, index, Some(digest))?;
        between(&index, "href=\"", "\"").try_for_each(|package| read(repository, package, None).map(drop))?;
    }
    Ok(())
}

fn follow_release(repository: &Path, release: &str) -> Result<(), Missed> {
    indexes(release).try_for_each(|(digest, index)| {
        let dir = Path::new(index).parent().expect("a directory").display();
        let index = read(repository, &format!("dists/sid/{dir}/by-hash/SHA1/{digest}"), Some(digest))?;
        follow_packages(repository, &index)
    })
}

/// As a client does that does not ask by hash. It may get an index that is newer than what names it.
fn follow_release_by_name(repository: &Path, release: &str) -> Result<(), Missed> {
    indexes(release).try_for_each(|(_, index)| {
        let index = read(repository, &format!("dists/sid/{index}"), None)?;
        follow_packages(repository, &index)
    })
}

/// What a release names, as digest and path.
fn indexes(release: &str) -> impl Iterator<Item = (&str, &str)> {
    release.lines().filter_map(|line| line.strip_prefix(' ')).map(|line| {
        let [digest, _, index] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        (digest, index)
    })
}

fn follow_packages(repository: &Path, index: &str) -> Result<(), Missed> {
    let mut packages = index.lines().filter_map(|line| line.strip_prefix("Filename: "));
    packages.try_for_each(|package| read(repository, package, None).map(drop))
}

fn read(repository: &Path, path: &str, wanted: Option<&str>) -> Result<String, Missed> {
    let bytes = fs::read(repository.join(path)).map_err(|error| format!("{path}: {error}"))?;
    match wanted {
        Some(wanted) if digest(&bytes) != wanted => Err(format!("{path}: other content than was promised")),
        _ => Ok(String::from_utf8(bytes).expect("text")),
    }
}

fn between<'t>(text: &'t str, before: &'static str, after: &'static str) -> impl Iterator<Item = &'t str> {
    text.split(before).skip(1).filter_map(move |rest| rest.split(after).next())
}

/// What a reader met.
#[derive(Debug, Default)]
struct Met {
    /// What was whole, by where it began: how often.
    whole: BTreeMap<Vec<u8>, usize>,
    /// What could not be had, and what named it is here no more either: the reader was too slow.
    late: BTreeSet<Missed>,
    /// What could not be had, though what names it is here.
    broken: BTreeSet<Missed>,
    /// How often it looked, and how often of these something was broken.
    looks: (usize, usize),
}

impl Met {
    fn look(&mut self, root: &Path) {
        for (repository, start, follow) in STARTS {
            let repository = root.join(repository);
            let begin = || match fs::read(repository.join(start)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                read => Some(read.expect("readable")),
            };
            let Some(read) = begin() else { continue };
            self.looks.0 += 1;
            match follow(&repository, std::str::from_utf8(&read).expect("text")) {
                Ok(()) => *self.whole.entry(read).or_default() += 1,
                Err(missed) if begin().as_ref() == Some(&read) => {
                    self.looks.1 += 1;
                    self.broken.insert(format!("{start}: {missed}"));
                }
                Err(missed) => drop(self.late.insert(format!("{start}: {missed}"))),
            }
        }
    }

    /// Fails unless a version was met whole from everywhere, and at least so often.
    #[track_caller]
    fn assert_whole(&self, version: usize, often: usize) {
        let (rpm, debian) = (rpm(version), debian(version));
        for (repository, start, _) in STARTS {
            let text = if repository == RPM { &rpm[start] } else { &debian[start] };
            let seen = self.whole.get(text).copied().unwrap_or_default();
            assert!(seen >= often, "{start} of version {version} was met whole {seen} times");
        }
    }

    #[track_caller]
    fn assert_never_broken(&self) {
        assert!(self.broken.is_empty(), "a client met what is not there: {:#?}", self.broken);
    }
}

/// Reads all along while something is done.
fn read_during<T>(root: &Path, act: impl FnOnce() -> T) -> (Met, T) {
    let mut met = Met::default();
    let result = watch(|| met.look(root), act);
    eprintln!("in {} of {} looks something was missing", met.looks.1, met.looks.0);
    (met, result)
}

fn slow_scene(lines: &str) -> Scene {
    let mut scene = Scene::synced(&[FEDORA], |up| version(up, 1));
    scene.configure(&[FEDORA], &format!("rsync.bwlimit = {SLOWLY:?}\ndelete.max_share = 100\n{lines}"));
    scene.change(|up| version(up, 2));
    scene
}

#[test]
fn a_reader_never_meets_a_missing_file_while_a_repository_is_replaced() {
    let scene = slow_scene("delete.mode = \"now\"");
    let (met, _) = read_during(&scene.mirror.root, || scene.sync());
    met.assert_never_broken();
    met.assert_whole(1, 10);
    met.assert_whole(2, 1);
    scene.assert_same();
}

#[test]
fn a_slow_reader_finds_what_it_began_with_as_long_as_deletions_wait() {
    let scene = slow_scene("delete.after = \"2h\"");
    let (met, _) = read_during(&scene.mirror.root, || scene.sync());
    met.assert_never_broken();
    assert!(met.late.is_empty(), "{:#?}", met.late);
    met.assert_whole(1, 10);
    met.assert_whole(2, 1);
    let before = [(RPM, rpm(1)), (DEBIAN, debian(1))];
    for (repository, files) in before {
        let packages = files.keys().filter(|path| path.contains("ackages/") || path.starts_with("pool"));
        packages.for_each(|path| assert!(scene.mirror.path(repository).join(path).exists(), "{path}"));
    }
}

#[test]
fn a_first_run_shows_no_pointer_before_what_it_points_to() {
    let mut scene = Scene::new(&[FEDORA], |up| version(up, 1));
    scene.configure(&[FEDORA], &format!("rsync.bwlimit = {SLOWLY:?}"));
    let (met, _) = read_during(&scene.mirror.root, || scene.sync());
    met.assert_never_broken();
    met.assert_whole(1, 1);
    scene.assert_same();
}

#[test]
fn a_reader_does_meet_missing_files_while_one_plain_rsync_does_the_same() {
    let scene = slow_scene("");
    let (met, status) = read_during(&scene.mirror.root, || {
        let mut rsync = Command::new("rsync");
        rsync.args(["-aH", "--delete", "--delay-updates"]).arg(format!("--bwlimit={SLOWLY}"));
        rsync.arg(format!("{}/", scene.daemon.url())).arg(scene.mirror.path("")).status().expect("rsync")
    });
    assert!(status.success());
    met.assert_whole(2, 1);
    assert!(!met.broken.is_empty(), "the reader sees nothing: {met:#?}");
}
