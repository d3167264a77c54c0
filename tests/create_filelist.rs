//! `create-filelist`: the old program's name and options.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A tree, and this program under the old one's name beside it.
struct Scene {
    directory: TempDir,
}

impl Scene {
    fn new() -> Scene {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir_all(directory.path().join("tree/os/repodata")).expect("a tree");
        let scene = Scene { directory };
        symlink(env!("CARGO_BIN_EXE_qfm"), scene.path("create-filelist")).expect("a link to the program");
        scene.file("os/repodata/repomd.xml", "abc").file("os/boot.iso", "image").file("os/notes", "abc");
        scene
    }

    fn path(&self, path: impl AsRef<Path>) -> std::path::PathBuf {
        self.directory.path().join(path)
    }

    fn file(&self, path: &str, text: &str) -> &Scene {
        fs::write(self.path("tree").join(path), text).expect("a file");
        self
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).expect("a file that was written")
    }

    /// Runs it above the tree.
    fn run(&self, options: &str) -> Output {
        let mut command = Command::new(self.path("create-filelist"));
        command.current_dir(self.directory.path()).args(options.split_whitespace()).stdin(Stdio::null());
        command.output().expect("the program starts")
    }

    fn runs(&self, options: &str) -> Output {
        let output = self.run(options);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
        output
    }
}

/// `kind path` of each row, in order of these.
fn rows(list: &str) -> Vec<String> {
    let rows =
        list.strip_prefix("[Version]\n2\n\n[Files]\n").expect("the head").lines().take_while(|row| !row.is_empty());
    let mut rows: Vec<_> = rows
        .map(|row| {
            let fields: Vec<_> = row.splitn(4, '\t').collect();
            format!("{} {}", fields[1], fields[3])
        })
        .collect();
    rows.sort();
    rows
}

#[test]
fn all_that_the_old_program_can_write() {
    let scene = Scene::new();
    scene.file("private", "").file("keep", "").file("os/keep", "");
    scene.runs("-c -C notes -C absent -s -S keep -S private -d tree -t tree/times -f tree/names -i tree/images");
    let list = scene.read("tree/times");
    let expected = ["d os", "d os/repodata", "f os/boot.iso", "f os/keep", "f os/notes", "f os/repodata/repomd.xml"];
    assert_eq!(rows(&list), expected);
    let sum = "a9993e364706816aba3e25717850c26c9cd0d89d";
    let tail = format!("\n\n[Checksums SHA1]\n{sum}\tos/notes\n{sum}\tos/repodata/repomd.xml\n\n[End]\n");
    assert!(list.ends_with(&tail), "{list}");
    let mut names: Vec<_> = rows(&list).iter().map(|row| format!("./{}", &row[2..])).collect();
    names.sort();
    let mut plain: Vec<_> = scene.read("tree/names").lines().map(str::to_owned).collect();
    plain.sort();
    assert_eq!(plain, names);
    assert_eq!(scene.read("tree/images"), "./os/boot.iso\n");
}

#[test]
fn without_options_the_list_of_this_directory_goes_to_standard_output() {
    let scene = Scene::new();
    let list = String::from_utf8(scene.runs("").stdout).expect("text");
    assert!(rows(&list).contains(&"f tree/os/notes".to_owned()), "{list}");
    assert!(list.ends_with("\n\n[Checksums SHA1]\n\n[End]\n"), "{list}");
    assert_eq!(scene.run("--no-such-option").status.code(), Some(2));
}

#[test]
fn a_file_that_would_be_the_same_is_left_alone_and_a_device_is_written_to() {
    let scene = Scene::new();
    symlink("real", scene.path("link")).expect("a link");
    fs::write(scene.path("real"), "what was there").expect("a file");
    let identity = || {
        let there = fs::metadata(scene.path("real")).expect("a list");
        (there.ino(), there.mtime(), there.mtime_nsec())
    };
    scene.runs("-d tree -t link");
    let first = identity();
    scene.runs("-d tree -t link");
    assert_eq!(identity(), first);
    scene.file("os/new", "");
    scene.runs("-d tree -t link");
    assert_ne!(identity().0, first.0);
    assert!(scene.path("link").is_symlink());
    let list = scene.read("real");
    assert!(rows(&list).contains(&"f os/new".to_owned()), "{list}");
    assert_eq!(String::from_utf8(scene.runs("-d tree -t /dev/null -f -").stdout).expect("text").lines().count(), 6);
}

#[test]
fn one_file_for_two_lists_is_refused() {
    let scene = Scene::new();
    fs::write(scene.path("real"), "what was there").expect("a file");
    symlink("real", scene.path("link")).expect("a link");
    for options in ["-t A -f A", "-t A -i ./A", "-f tree/../A -i A", "-t real -f link", "-f -", "-t - -i -"] {
        let output = scene.run(&format!("-d tree {options}"));
        assert_eq!(output.status.code(), Some(2), "{options}");
        let complaint = String::from_utf8(output.stderr).expect("text");
        assert!(complaint.starts_with("create-filelist: error: ") && complaint.contains("two lists"), "{complaint}");
        assert!(output.stdout.is_empty() && !scene.path("A").exists(), "{options}");
    }
    scene.runs("-d tree -t A -f B -i /dev/null");
    scene.runs("-d tree -t /dev/null -f /dev/null -i -");
}

#[test]
fn long_options_may_be_cut_short_and_of_what_is_said_twice_the_last_counts() {
    let scene = Scene::new();
    scene.runs("--d os --dir tree --time A --timelist B --checksum-f notes --checksum-file absent --filel C --image D");
    assert!(rows(&scene.read("B")).contains(&"f os/notes".to_owned()) && !scene.path("A").exists());
    assert!(scene.read("B").contains("\tos/notes\n\n[End]"), "what can be repeated adds up");
    let output = scene.run("--no-such-option");
    let complaint = String::from_utf8(output.stderr).expect("text");
    assert!(complaint.starts_with("create-filelist: error: unexpected argument"), "{complaint}");
}

#[test]
fn a_name_with_a_line_feed_is_told() {
    let scene = Scene::new();
    scene.file("os/line\nfeed", "").runs("-d tree/os/repodata");
    let output = scene.run("-d tree -t list");
    assert_eq!(output.status.code(), Some(8));
    let complaint = String::from_utf8(output.stderr).expect("text");
    assert!(complaint.contains("line\\x0afeed cannot be listed"), "{complaint}");
    assert!(!scene.read("list").contains("feed"));
}

#[test]
fn what_leads_nowhere_is_told() {
    let scene = Scene::new();
    symlink("nowhere", scene.path("tree/dangling")).expect("a link");
    let output = scene.run("-d tree");
    assert_eq!(output.status.code(), Some(0));
    let complaint = String::from_utf8(output.stderr).expect("text");
    assert!(complaint.starts_with("Could not stat ") && complaint.contains("dangling"), "{complaint}");
    assert!(!String::from_utf8(output.stdout).expect("text").contains("dangling"));
}
