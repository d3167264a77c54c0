//! Programs that an admin has started before and after a run.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use qfm::exit::Status;
use serde_json::Value;
use support::*;

/// A mirror, and a directory with a program for each hook that leaves there what it was given.
struct Yard {
    scene: Scene,
    hooks: tempfile::TempDir,
}

/// Leaves its arguments, its variables and its standard input, as many times as it is called, and both lists of paths.
const KEEPS: &str = r#"
here=$(dirname "$0"); name=$(basename "$0")
echo "$name $* $QFM_HOOK $QFM_HOOK_STATUS $QFM_HOOK_CODE $QFM_HOOK_MODULES $QFM_HOOK_ROOT" >>"$here/calls"
cat >"$here/$name.json"
[ -z "$QFM_HOOK_CHANGED" ] || { cat "$QFM_HOOK_CHANGED" >"$here/came"; cat "$QFM_HOOK_REMOVED" >"$here/went"; }
echo "said by $name"
"#;

impl Yard {
    fn new(programs: &[(&str, &str)]) -> Yard {
        let mut yard = Yard {
            scene: Scene::new(&[FEDORA], |up| {
                up.file("fedora/linux/a b", b"a")?.file("fedora/linux/old/x", b"x")?.dir("fedora/linux/d").map(drop)
            }),
            hooks: tempfile::tempdir().expect("a directory"),
        };
        for (name, text) in programs {
            yard.write(name, text);
            let line = format!("hook.{name} = [{:?}, \"-x\", \"$(id) *\"]\n", yard.path(name));
            yard.scene.mirror.add(&line);
        }
        yard
    }

    fn path(&self, name: &str) -> PathBuf {
        self.hooks.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{text}")).expect("a program");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it can be run");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// What a file of paths holds, sorted.
    fn paths(&self, name: &str) -> Vec<String> {
        let text = self.read(name);
        assert!(text.is_empty() || text.ends_with('\0'), "{text:?}");
        let mut paths: Vec<String> = text.split_terminator('\0').map(str::to_owned).collect();
        paths.sort();
        paths.dedup();
        paths
    }

    /// The calls since the last look.
    fn calls(&self) -> String {
        let calls = self.read("calls");
        fs::write(self.path("calls"), "").expect("written");
        calls
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("an object")
}

#[test]
fn hooks_are_given_what_a_run_did_and_which_paths_changed() {
    let mut yard = Yard::new(&[("before", KEEPS), ("changed", KEEPS), ("failed", KEEPS)]);
    let root = yard.scene.mirror.path("").display().to_string();
    let root = root.trim_end_matches('/');
    let first = yard.scene.run(&["--json"]).status(Status::Done);
    assert_eq!(json(&first.stdout)["kind"], "run", "what a hook says is no part of the result");
    assert!(first.stderr.contains("said by before") && first.stderr.contains("said by changed"), "{}", first.stderr);
    let expected =
        format!("before -x $(id) * before   {FEDORA} {root}\nchanged -x $(id) * changed done 0 {FEDORA} {root}\n");
    assert_eq!(yard.calls(), expected);
    let all = ["fedora/fullfiletimelist-fedora", "fedora/linux/a b", "fedora/linux/d", "fedora/linux/old/x"];
    let came = yard.paths("came");
    assert!(all.iter().all(|path| came.iter().any(|came| came == path)), "{came:?}");
    assert!(yard.paths("went").is_empty());
    assert_eq!(json(&yard.read("changed.json"))["modules"][0]["installed"], true);

    yard.scene.run(&[]).status(Status::Done);
    assert_eq!(yard.calls().lines().count(), 1, "nothing changed");
    yard.scene.run(&["--dry-run"]).status(Status::Done);
    yard.scene.change(|up| up.remove("fedora/linux/old")?.file("fedora/linux/new", b"n").map(drop));
    yard.scene.run(&["--dry-run"]).status(Status::Done);
    yard.scene.run(&["verify"]);
    assert_eq!(yard.calls(), "", "a dry run starts nothing");

    yard.scene.run(&[]).status(Status::Done);
    assert_eq!(yard.calls().lines().count(), 2);
    let came = yard.paths("came");
    assert!(
        came.contains(&"fedora/linux/new".to_owned()) && !came.contains(&"fedora/linux/a b".to_owned()),
        "{came:?}"
    );
    assert!(yard.paths("went").contains(&"fedora/linux/old".to_owned()), "{:?}", yard.paths("went"));
}

#[test]
fn what_was_below_a_directory_that_became_a_file_is_told_as_gone() {
    let mut yard = Yard::new(&[("changed", KEEPS)]);
    yard.scene.sync();
    yard.scene.change(|up| up.remove("fedora/linux/old")?.file("fedora/linux/old", b"a file").map(drop));
    yard.scene.run(&["--allow-delete", FEDORA]).status(Status::Done);
    let path = "fedora/linux/old".to_owned();
    assert!(yard.paths("came").contains(&path) && yard.paths("went").contains(&path), "{:?}", yard.paths("went"));
}

#[test]
fn a_run_whose_first_hook_fails_begins_nothing_and_ends_as_failed() {
    let yard = Yard::new(&[("before", "echo no; exit 3"), ("failed", KEEPS)]);
    let result = yard.scene.run(&[]).status(Status::Local);
    assert!(result.stderr.contains("hook.before") && result.stderr.contains("ended with 3"), "{}", result.stderr);
    assert!(result.stderr.contains("nothing was begun"), "{}", result.stderr);
    assert!(!yard.scene.mirror.path("fedora").exists());
    assert!(yard.calls().contains(" failed local 10 "), "{}", yard.read("failed.json"));
    assert_eq!(json(&yard.read("failed.json"))["code"], 10);
}

#[test]
fn a_run_that_cannot_begin_or_whose_upstream_is_gone_starts_the_hook_for_failures() {
    let yard = Yard::new(&[("failed", KEEPS)]);
    yard.scene.sync();
    assert_eq!(yard.calls(), "");
    yard.scene.run(&["--upstream", "rsync://127.0.0.1:1/m"]).status(Status::Upstream);
    assert_eq!(yard.calls().lines().count(), 1);
    fs::rename(yard.scene.mirror.path(""), yard.hooks.path().join("moved")).expect("the root is away");
    yard.scene.run(&[]).status(Status::Local);
    assert_eq!(yard.calls().lines().count(), 1);
}

#[test]
fn paths_that_a_hook_was_not_told_of_are_given_to_the_next() {
    let mut yard = Yard::new(&[("changed", "exit 1")]);
    let result = yard.scene.run(&[]).status(Status::Notify);
    assert!(result.stderr.contains("hook.changed"), "{}", result.stderr);
    yard.scene.change(|up| up.file("fedora/linux/new", b"n").map(drop));
    yard.scene.run(&[]).status(Status::Notify);
    yard.write("changed", KEEPS);
    // Nothing changes in this one.
    yard.scene.run(&[]).status(Status::Done);
    let came = yard.paths("came");
    assert!(["fedora/linux/new", "fedora/linux/a b"].iter().all(|path| came.contains(&(*path).to_owned())), "{came:?}");
    assert_eq!(yard.calls().lines().count(), 1);
    yard.scene.run(&[]).status(Status::Done);
    assert_eq!(yard.calls(), "", "they are told of");
}

#[test]
fn paths_of_a_run_that_is_killed_are_given_to_the_next() {
    let mut yard = Yard::new(&[("changed", "kill -9 $PPID")]);
    let killed = yard.scene.run(&[]);
    assert_eq!(killed.code, None, "{killed:?}");
    yard.write("changed", KEEPS);
    yard.scene.change(|up| up.file("fedora/linux/new", b"n").map(drop));
    yard.scene.run(&[]).status(Status::Done);
    let came = yard.paths("came");
    assert!(["fedora/linux/new", "fedora/linux/a b"].iter().all(|path| came.contains(&(*path).to_owned())), "{came:?}");
}

#[test]
fn a_hook_that_takes_too_long_is_ended_with_what_it_started() {
    let mut yard = Yard::new(&[("changed", "sleep 1000 & echo $! >\"$(dirname \"$0\")/pid\"; wait")]);
    yard.scene.mirror.add("hook.timeout = \"1s\"\n");
    let result = yard.scene.run(&[]).status(Status::Notify);
    assert!(result.stderr.contains("was not over after 1s"), "{}", result.stderr);
    let pid = yard.read("pid");
    let is_there = || Path::new("/proc").join(pid.trim()).join("exe").read_link().is_ok();
    wait_until("it is gone", || !is_there());
}

#[test]
fn a_hook_that_is_no_absolute_path_is_refused_with_its_place() {
    let mut yard = Yard::new(&[]);
    yard.scene.mirror.add("hook.changed = [\"purge-cdn\"]\n");
    let result = yard.scene.run(&[]).status(Status::Usage);
    assert!(result.stderr.contains("hook.changed: \"purge-cdn\" is no absolute path"), "{}", result.stderr);
    assert!(result.stderr.contains("one flag for each word"), "{}", result.stderr);
}
