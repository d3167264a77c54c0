//! Every call of the system can fail, and every one can be the last: qfm's own and those of its rsync.
//!
//! strace makes it so. A call that fails makes the run fail, or makes no difference; what is in the tree stays whole; and the next run
//! repairs. `QFM_TEST_FAULTS=all` tries each call of a run, `QFM_TEST_FAULTS=N` so many of them; `QFM_TEST_SEED` repeats a case by the
//! number that it showed when it failed.

mod support;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::panic::AssertUnwindSafe;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use qfm::exit::Status;
use support::*;

/// So many faults of each kind are tried, of each program.
const FAULTS: usize = 8;

/// So many mirrors are disturbed side by side.
const ROWS: usize = 4;

/// The calls that change something: a run may end at each of them.
const CHANGES: [&str; 21] = [
    "openat",
    "write",
    "pwrite64",
    "copy_file_range",
    "fsync",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "rmdir",
    "ftruncate",
    "utimensat",
    "fchmod",
    "close",
];

/// The calls that may fail, with what they fail with.
const FAILURES: [(&str, &str); 24] = [
    ("openat", "EIO"),
    ("openat2", "EIO"),
    ("read", "EIO"),
    ("write", "ENOSPC"),
    ("copy_file_range", "ENOSPC"),
    ("fsync", "EIO"),
    ("syncfs", "EIO"),
    ("rename", "ENOSPC"),
    ("renameat", "ENOSPC"),
    ("renameat2", "ENOSPC"),
    ("link", "ENOSPC"),
    ("linkat", "ENOSPC"),
    ("symlink", "ENOSPC"),
    ("symlinkat", "ENOSPC"),
    ("unlink", "EIO"),
    ("unlinkat", "EIO"),
    ("mkdir", "ENOSPC"),
    ("mkdirat", "ENOSPC"),
    ("getdents64", "EIO"),
    ("statx", "EIO"),
    ("newfstatat", "EIO"),
    ("fstat", "EIO"),
    ("utimensat", "EIO"),
    ("fchmod", "EIO"),
];

/// What rsync passes over without a word where it happens to a directory: then its time stays wrong, and nothing else.
const PASSED_OVER: [&str; 2] = ["newfstatat", "utimensat"];

/// Whose calls are traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Qfm,
    Rsync,
}

/// What is to happen at the `number`th call of a name in a process or thread.
#[derive(Clone, Debug)]
struct Fault {
    call: String,
    number: usize,
    what: String,
}

impl Fault {
    /// The options of strace that make it happen.
    fn options(&self) -> [String; 2] {
        let Fault { call, number, what } = self;
        [format!("--trace={call}"), format!("--inject={call}:{what}:when={number}")]
    }
}

fn is_here() -> bool {
    let found = Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    if !found {
        eprintln!("skipped: strace is not installed");
    }
    found
}

/// One run under strace with these options. Returns its exit code, what it said, and what strace wrote.
fn run_traced(stage: &Stage, whose: Whose, options: &[String]) -> (Option<i32>, String, String) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let log = directory.path().join("log");
    // What rsync may write to is confined, and strace with it: to what was opened before.
    let opened = format!("exec 9>'{}'; exec \"$0\" \"$@\"", log.display());
    let command = stage.mirror.command(&[] as &[&str]);
    let mut traced = Command::new("sh");
    traced.args(["-c", &opened]);
    match whose {
        Whose::Qfm => {
            traced.args(["strace", "-f", "-qq", "-o", "|cat >&9", "--detach-on=execve"]).args(options);
            traced.arg(command.get_program()).args(command.get_args());
        }
        Whose::Rsync => {
            let script = format!("#!/bin/sh\nexec strace -f -qq -o '|cat >&9' {} rsync \"$@\"\n", options.join(" "));
            let program = directory.path().join("rsync");
            fs::write(&program, script).expect("a script");
            fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("a script");
            traced.arg(command.get_program()).args(command.get_args());
            traced.arg("--set").arg(format!("rsync.program={}", program.display()));
            // What is left of an rsync of which one process was killed is ended with it, but not while strace looks after it.
            traced.args(["--set", "rsync.timeout=3s", "--set", "rsync.retries=1"]);
        }
    }
    traced.env_clear().envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    traced.env("PATH", std::env::var_os("PATH").expect("a PATH"));
    let output = traced.stdin(Stdio::null()).output().expect("it starts");
    wait_until("all that it started is gone", || processes_on(&stage.mirror.root).is_empty());
    let wrote = String::from_utf8_lossy(&fs::read(&log).expect("a log")).into_owned();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned(), wrote)
}

/// How often each call is made, in the process or thread that makes it most.
fn counts(log: &str) -> BTreeMap<String, usize> {
    let mut by_process: HashMap<(&str, &str), usize> = HashMap::new();
    for line in log.lines() {
        let mut words = line.splitn(2, char::is_whitespace);
        let (Some(process), Some(rest)) = (words.next(), words.next()) else { continue };
        // What goes on after another process had its turn is told twice.
        let begins = |call: &&str| !call.starts_with('<');
        if let Some(call) = rest.trim_start().split_once('(').map(|(call, _)| call).filter(begins) {
            *by_process.entry((process, call)).or_default() += 1;
        }
    }
    let mut most = BTreeMap::new();
    for ((_, call), count) in by_process {
        let known: &mut usize = most.entry(call.to_owned()).or_default();
        *known = count.max(*known);
    }
    most
}

/// Each call that a run makes, of those that `what` has something for.
fn sites(whose: Whose, what: &[(&str, &str)]) -> Vec<Fault> {
    let mut chance = Chance::new(0);
    let mut stage = Stage::new();
    let mut most: BTreeMap<String, usize> = BTreeMap::new();
    // Every third change is of the same kind.
    for _ in 0..3 {
        stage.change(&mut chance);
        let (code, said, log) = run_traced(&stage, whose, &[format!("--trace={}", names(what))]);
        assert_eq!(code, Some(0), "{said}");
        stage.assert_in_step();
        for (call, count) in counts(&log) {
            let known = most.entry(call).or_default();
            *known = count.max(*known);
        }
    }
    let faults = what.iter().flat_map(|(call, what)| {
        let fault = |number| Fault { call: (*call).to_owned(), number, what: (*what).to_owned() };
        (1..=most.get(*call).copied().unwrap_or_default()).map(fault)
    });
    faults.collect()
}

fn names(what: &[(&str, &str)]) -> String {
    what.iter().map(|(call, _)| *call).collect::<Vec<_>>().join(",")
}

/// Tries faults of a run, each on a change of its own: all, or so many as are wanted, taken by chance.
fn each_fault(whose: Whose, what: &[(&str, &str)], act: impl Fn(&mut Stage, &mut Chance, &Fault) + Sync) {
    let mut faults = sites(whose, what);
    assert!(faults.len() > 50, "only {} calls of {whose:?} were seen", faults.len());
    let wanted = std::env::var("QFM_TEST_FAULTS").ok();
    let seed = seeds(1)[0];
    if wanted.as_deref() != Some("all") {
        let mut chance = Chance::new(seed);
        let wanted = wanted.map_or(FAULTS, |wanted| wanted.parse().expect("a number, or all"));
        faults = (0..wanted.min(faults.len())).map(|_| faults.swap_remove(chance.below(faults.len()))).collect();
    }
    println!("{whose:?}: {} faults", faults.len());
    let rows: Vec<&[Fault]> = faults.chunks(faults.len().div_ceil(ROWS).max(1)).collect();
    let failed = AtomicUsize::new(0);
    side_by_side(rows, |row| {
        let mut stage = Stage::new();
        for fault in row {
            let tried = std::panic::catch_unwind(AssertUnwindSafe(|| {
                let mut chance = Chance::new(seed);
                chance.note(format_args!("{whose:?} {fault:?}"));
                stage.change(&mut chance);
                act(&mut stage, &mut chance, fault);
            }));
            if tried.is_err() {
                failed.fetch_add(1, Ordering::Relaxed);
                stage = Stage::new();
            }
        }
    });
    assert_eq!(failed.into_inner(), 0, "faults were not mended");
}

#[test]
fn a_run_that_ends_at_any_call_is_mended_by_the_next() {
    if !is_here() {
        return;
    }
    let kills: Vec<(&str, &str)> = CHANGES.iter().map(|call| (*call, "signal=KILL")).collect();
    for whose in [Whose::Qfm, Whose::Rsync] {
        each_fault(whose, &kills, |stage, chance, fault| {
            let before = stage.seen();
            let (code, ..) = run_traced(stage, whose, &fault.options());
            chance.note(format_args!("{code:?}"));
            stage.assert_followable();
            stage.assert_whole(&before);
            stage.assert_mended_by_a_run();
        });
    }
}

#[test]
fn a_call_that_fails_fails_the_run_and_the_next_one_mends() {
    if !is_here() {
        return;
    }
    let failures: Vec<(&str, String)> =
        FAILURES.iter().map(|(call, error)| (*call, format!("error={error}"))).collect();
    let failures: Vec<(&str, &str)> = failures.iter().map(|(call, error)| (*call, error.as_str())).collect();
    let of_rsync: Vec<(&str, &str)> =
        failures.iter().filter(|(call, _)| !PASSED_OVER.contains(call)).copied().collect();
    for (whose, failures) in [(Whose::Qfm, failures), (Whose::Rsync, of_rsync)] {
        each_fault(whose, &failures, |stage, chance, fault| {
            let before = stage.seen();
            let (code, said, log) = run_traced(stage, whose, &fault.options());
            let failed = log.contains("(INJECTED)");
            chance.note(format_args!("{code:?}, {} {said}", if failed { "failed" } else { "not made" }));
            let known = Status::ALL.into_iter().find(|status| Some(i32::from(status.code())) == code);
            match known {
                Some(Status::Done) => {
                    // Nobody else will say what is not on the disk.
                    assert!(!(failed && fault.call.contains("sync")), "{fault:?}: {said}");
                    stage.assert_in_step();
                }
                Some(status) => assert_ne!(status, Status::Bug, "{fault:?}: {said}"),
                None => assert!(said.contains("shared libraries"), "{fault:?}: ended with {code:?}: {said}"),
            }
            stage.assert_followable();
            stage.assert_whole(&before);
            stage.assert_mended_by_a_run();
        });
    }
}

#[test]
fn what_leads_to_a_directory_that_cannot_be_read_does_not_come() {
    if !is_here() {
        return;
    }
    let mut stage = Stage::new();
    let mut chance = Chance::new(1);
    stage.change(&mut chance);
    let repodata = stage.mirror.path("fedora/os/repodata").display().to_string();
    let options = ["--trace=getdents64", "--inject=getdents64:error=EIO", &format!("--trace-path={repodata}")];
    let (code, said, _) = run_traced(&stage, Whose::Qfm, &options.map(str::to_owned));
    assert!(code == Some(i32::from(Status::Local.code())) && said.contains(&repodata), "{code:?} {said}");
    stage.assert_followable();
    stage.assert_mended_by_a_run();
}

#[test]
fn a_quota_that_is_used_up_is_too_little_room() {
    if !is_here() {
        return;
    }
    let mut stage = Stage::new();
    let mut chance = Chance::new(seeds(1)[0]);
    for (whose, calls) in [(Whose::Qfm, "fsync"), (Whose::Rsync, "mkdir,mkdirat"), (Whose::Rsync, "rename,renameat")] {
        stage.change(&mut chance);
        let before = stage.seen();
        let options = [format!("--trace={calls}"), format!("--inject={calls}:error=EDQUOT")];
        let (code, said, log) = run_traced(&stage, whose, &options);
        assert!(log.contains("(INJECTED)"), "{whose:?} {calls}: {log}");
        assert!(said.contains("quota exceeded"), "{whose:?} {calls}: {said}");
        ended_with(code, &[Status::Space]);
        stage.assert_followable();
        stage.assert_whole(&before);
        stage.assert_mended_by_a_run();
    }
}

#[test]
fn a_limit_on_the_size_of_files_is_a_local_error() {
    let mut stage = Stage::new();
    let mut chance = Chance::new(seeds(1)[0]);
    for blocks in [0, 1, 2, 4, 16, 256] {
        stage.change(&mut chance);
        chance.note(format_args!("{blocks} blocks"));
        let before = stage.seen();
        let command = stage.mirror.command(&[] as &[&str]);
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("ulimit -f {blocks}; exec \"$0\" \"$@\"")]);
        limited.arg(command.get_program()).args(command.get_args());
        limited.env_clear().envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
        let output = limited.env("PATH", std::env::var_os("PATH").expect("a PATH")).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(0) => stage.assert_in_step(),
            code => ended_with(code, &[Status::Local]),
        }
        assert!(output.status.success() || said.contains("too large"), "{said}");
        stage.assert_followable();
        stage.assert_whole(&before);
        stage.assert_mended_by_a_run();
    }
}

#[test]
fn a_list_that_cannot_be_looked_at_is_not_taken_for_the_old_one() {
    let mut scene = Scene::synced(&[FEDORA], |up| up.file("fedora/a", b"a").map(drop));
    scene.change(|up| up.file("fedora/b", b"b").map(drop));
    let list = "fedora/fullfiletimelist-fedora";
    let commands =
        format!("for last; do :; done; rm \"${{last}}{list}\"; ln -s fullfiletimelist-fedora \"${{last}}{list}\"");
    scene.wrapper.after(scene.next_call(), &commands);
    scene.run(&[]).status(Status::Local);
    scene.sync_to_same();
}
