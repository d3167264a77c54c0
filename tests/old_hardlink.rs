//! `quick-fedora-hardlink`: the old program's name, options and texts.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use qfm::demo::clean_environment;
use support::{Built, Site, Upstream};
use tempfile::TempDir;

/// A tree with its lists, and this program under the old one's name beside it.
struct Old {
    site: Site,
    directory: TempDir,
    config: PathBuf,
}

fn build(up: &mut Upstream) -> Built {
    let earlier = up.now() - 60;
    up.file("fedora/a/one", b"equal")?.file("fedora/b/one", b"equal")?.file("archive/one", b"equal")?;
    up.file("fedora/a/two", b"equal")?.file("fedora/b/two", b"other")?;
    up.file("fedora/a/secret", b"equal")?.mode("fedora/a/secret", 0o640)?;
    up.file("fedora/b/secret", b"equal")?.mode("fedora/b/secret", 0o640)?;
    up.file("fedora/out/three", b"equal")?.file("fedora/b/three", b"equal")?;
    up.file("fedora/a/time", b"equal")?.file_at("fedora/b/time", b"equal", earlier).map(drop)
}

impl Old {
    fn new() -> Old {
        let mut site = Site::new();
        build(&mut site.upstream).and_then(|()| site.upstream.publish().map(drop)).expect("an upstream");
        // The list has another time; who did not get the times right has the same.
        let time = fs::metadata(site.upstream.path("fedora/a/time")).and_then(|stat| stat.modified()).expect("a time");
        let later = fs::File::options().write(true).open(site.upstream.path("fedora/b/time"));
        later.and_then(|file| file.set_modified(time)).expect("its time");
        let directory = tempfile::tempdir().expect("a temporary directory");
        symlink(env!("CARGO_BIN_EXE_qfm"), directory.path().join("quick-fedora-hardlink")).expect("a link");
        let config = directory.path().join("qfm.toml");
        let old = Old { site, directory, config };
        // What lies in a subdirectory with a list is looked at, configured or not.
        let (root, state) = (old.root(), old.directory.path().join("state"));
        let text = format!(
            "upstream = \"rsync://127.0.0.1/none\"\nroot = {root:?}\nstate = {state:?}\nmodules = [\"fedora-enchilada\"]\n\
             restricted = true\nfilter.exclude = [\"re:^fedora/out/\"]\n"
        );
        fs::write(&old.config, text).expect("written");
        old
    }

    fn root(&self) -> &Path {
        self.site.upstream.root()
    }

    fn run(&self, options: &[&str]) -> Output {
        let mut command = Command::new(self.directory.path().join("quick-fedora-hardlink"));
        clean_environment(&mut command, self.directory.path());
        command.arg("-c").arg(&self.config).args(options).stdin(Stdio::null()).output().expect("the program starts")
    }

    /// What it said on standard output; nothing may be wrong.
    fn runs(&self, options: &[&str]) -> String {
        let output = self.run(options);
        assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stderr)), (Some(0), ""));
        String::from_utf8(output.stdout).expect("text")
    }

    fn are_one(&self, a: &str, b: &str) -> bool {
        let [a, b] = [a, b].map(|path| fs::metadata(self.site.upstream.path(path)).expect("a file").ino());
        a == b
    }
}

#[test]
fn equal_files_of_all_lists_become_one_and_its_texts_are_the_old_ones() {
    let old = Old::new();
    let dry = old.runs(&["-n"]);
    assert!(!old.are_one("fedora/a/one", "fedora/b/one") && dry.contains("Files linked: 2\n"), "{dry}");
    let said = old.runs(&["-v"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], format!("Processing file lists in {}:", old.root().display()));
    assert_eq!(lines[1], "Found 2 tuples of potentially hardlinkable files in 0.0 minutes.");
    let links = lines.iter().filter(|line| line.starts_with("Linked ")).count();
    assert_eq!(links, 2, "{said}");
    let progress: Vec<&&str> = lines.iter().filter(|line| line.contains(" tuples (")).collect();
    assert_eq!(progress.len(), 3, "one for each link, and the last: {said}");
    assert!(progress[2].starts_with("2 tuples (100%) - links: (0 exist, 2 new) - 0.00GB saved - ~"), "{said}");
    assert_eq!(lines[lines.len() - 3..], ["Files linked: 2", "Space saved:  0.00GB", "Linking took: 0.0 minutes"]);
    assert!(old.are_one("fedora/a/one", "fedora/b/one") && old.are_one("fedora/a/one", "archive/one"));
    for (a, b) in [("a/two", "b/two"), ("a/secret", "b/secret"), ("out/three", "b/three"), ("a/time", "b/time")] {
        assert!(!old.are_one(&format!("fedora/{a}"), &format!("fedora/{b}")), "{a}");
    }

    assert!(old.runs(&["--no-ctime"]).contains("Files linked: 1\n"));
    assert!(old.are_one("fedora/a/time", "fedora/b/time"));
    assert!(old.runs(&["-t"]).contains("Files linked: 1\n"));
    assert!(old.are_one("fedora/a/secret", "fedora/b/secret"));
    let again = old.runs(&["-t"]);
    assert!(again.contains("links: (3 exist, 0 new)") && again.contains("Files linked: 0\n"), "{again}");
}

#[test]
fn as_little_is_said_as_is_asked_for_and_as_much() {
    let old = Old::new();
    let quiet = old.runs(&["-n", "--quiet"]);
    assert_eq!(quiet, "Files linked: 2\nSpace saved:  0.00GB\nLinking took: 0.0 minutes\n");
    assert_eq!(old.runs(&["-n", "--silent", "--debug"]), "");
    let debug = old.runs(&["-n", "--debug"]);
    let compared = format!("Compare {0}/fedora/a/two, {0}/fedora/b/two\n", old.root().display());
    assert!(debug.contains("Found tuples:\n") && debug.contains(&compared), "{debug}");

    fs::remove_file(old.site.upstream.path("fedora/b/one")).expect("removed");
    let missing = format!("Could not find {}/fedora/b/one.  File list out of date?\n", old.root().display());
    for (options, expected) in [(&["-n"][..], missing.as_str()), (&["-nq"], &missing), (&["-ns"], "")] {
        let output = old.run(options);
        assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stderr)), (Some(0), expected));
    }
}

#[test]
fn what_goes_wrong_ends_with_1() {
    let old = Old::new();
    let told = |options: &[&str]| {
        let output = old.run(options);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = told(&["--none"]);
    assert!(code == Some(1) && text.starts_with("ERROR: unexpected argument"), "{code:?} {text}");
    fs::write(old.site.upstream.path("archive/fullfiletimelist-archive"), "no list").expect("written");
    let (code, text) = told(&["-s"]);
    assert!(code == Some(1) && text.starts_with("ERROR: archive: "), "{code:?} {text}");
    assert!(old.are_one("fedora/a/one", "fedora/b/one"), "the others go on");
    let lock = fs::File::open(old.site.upstream.path("fedora")).expect("a directory");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("its lock");
    assert!(matches!(told(&["-s"]), (Some(1), text) if text.contains("another run is under way: it works in")));
    fs::remove_file(&old.config).expect("removed");
    let (code, text) = told(&["-s"]);
    assert_eq!((code, text), (Some(1), format!("Cannot read {}\n", old.config.display())));
}

#[test]
fn only_where_the_copy_is_must_be_said_and_nothing_is_left_behind() {
    let mut old = Old::new();
    old.config = old.directory.path().join("quick-fedora-mirror.conf");
    let root = old.root().display().to_string();
    fs::write(&old.config, format!("DESTD={root}\n")).expect("written");
    let said = old.runs(&["-q"]);
    assert!(said.starts_with("Files linked: 3\n") && old.are_one("fedora/out/three", "fedora/b/three"), "{said}");
    let left = || {
        let entries = fs::read_dir(old.directory.path()).expect("a directory").map(|entry| entry.expect("an entry"));
        let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(left(), ["qfm.toml", "quick-fedora-hardlink", "quick-fedora-mirror.conf"]);

    // No run of the mirror was here: it need not be kept out.
    let time_file = old.directory.path().join("timefile");
    fs::write(&old.config, format!("DESTD={root}\nTIMEFILE={}\n", time_file.display())).expect("written");
    old.runs(&["-q"]);
    assert!(!time_file.exists());
    // Where one was, it is.
    fs::write(&time_file, "LASTTIME=1\n").expect("written");
    old.runs(&["-q"]);
    assert_eq!(fs::read_to_string(&time_file).expect("a time file"), "LASTTIME=1\n");
    let file = fs::File::options().read(true).write(true).open(&time_file).expect("a time file");
    rustix::fs::fcntl_lock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).expect("a lock");
    let output = old.run(&["-q"]);
    assert_eq!(output.status.code(), Some(1));

    for (lines, expected) in
        [("FILELIST=x", "ERROR: DESTD: "), ("DESTD=/nowhere/here", "ERROR: "), ("DESTD", "ERROR: ")]
    {
        fs::write(&old.config, lines).expect("written");
        let output = old.run(&[]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && text.starts_with(expected), "{lines}: {text}");
    }
}

#[test]
fn the_old_configuration_is_read() {
    let mut old = Old::new();
    old.config = old.directory.path().join("quick-fedora-mirror.conf");
    let (root, time_file) = (old.root().display(), old.directory.path().join("timefile"));
    let text = format!("DESTD={root}\nTIMEFILE={}\nFILTEREXP='^fedora/out/'\n", time_file.display());
    fs::write(&old.config, text).expect("written");
    let said = old.runs(&["-q"]);
    assert!(said.starts_with("Files linked: 2\n"), "{said}");
    assert!(old.are_one("fedora/a/one", "archive/one") && !old.are_one("fedora/out/three", "fedora/b/three"));
}
