//! The example units for systemd let qfm do what it does.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::listener::is_here;
use support::*;

/// The services among the examples, with their text.
fn services() -> Vec<(PathBuf, String)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/systemd");
    let paths = fs::read_dir(directory).expect("examples").map(|entry| entry.expect("an example").path());
    let services = paths.filter(|path| path.extension().is_some_and(|extension| extension == "service"));
    services.map(|path| (path.clone(), fs::read_to_string(path).expect("a unit"))).collect()
}

/// The system calls behind each name that systemd has for a group of them.
fn groups() -> BTreeMap<String, Vec<String>> {
    let output = Command::new("systemd-analyze").arg("syscall-filter").output().expect("it starts");
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut group = String::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        match line.strip_prefix("    ") {
            Some(member) => groups.entry(group.clone()).or_default().push(member.trim().to_owned()),
            None => group = line.trim().to_owned(),
        }
    }
    groups
}

fn let_through(unit: &str, groups: &BTreeMap<String, Vec<String>>) -> BTreeSet<String> {
    let words = unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter="));
    let mut open: Vec<String> = words.flat_map(str::split_whitespace).map(str::to_owned).collect();
    let mut calls = BTreeSet::new();
    while let Some(word) = open.pop() {
        match groups.get(&word) {
            Some(members) => open.extend(members.iter().cloned()),
            None => drop(calls.insert(word)),
        }
    }
    calls
}

/// The system calls of qfm and of what it starts.
fn calls_of(mirror: &Mirror, arguments: &[&str]) -> BTreeSet<String> {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("strace");
    let command = mirror.command(arguments);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-e", "signal=none", "-o"]).arg(&log).arg(command.get_program()).args(command.get_args());
    strace.env_clear().envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    strace.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    let output = strace.stdin(Stdio::null()).output().expect("it starts");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = fs::read_to_string(&log).expect("a log");
    let name = |line: &str| Some(line.split_once(' ')?.1.trim_start().split_once('(')?.0.to_owned());
    text.lines().filter_map(name).filter(|name| !name.starts_with(['<', '+'])).collect()
}

#[test]
fn the_units_let_through_what_a_run_calls() {
    if !is_here("strace") || !is_here("systemd-analyze") {
        return;
    }
    let mut site = Site::new();
    let upstream = &mut site.upstream;
    for name in ["Packages/a.rpm", "Packages/b.rpm", "repodata/repomd.xml"] {
        upstream.file(format!("epel/43/os/{name}"), name).expect("made");
    }
    upstream.hardlink("epel/43/os/Packages/a.rpm", "epel/43/os/Packages/linked.rpm").expect("linked");
    upstream.publish().expect("lists");
    let daemon = site.serve();
    let mirror = Mirror::new(&daemon.url(), &[EPEL]);
    let mut calls = calls_of(&mirror, &["sync"]);
    site.upstream.remove("epel/43/os/Packages/b.rpm").expect("removed").publish().expect("lists");
    calls.extend(calls_of(&mirror, &["sync"]));
    calls.extend(calls_of(&mirror, &["verify"]));
    for call in ["openat", "execve", "landlock_create_ruleset"] {
        assert!(calls.contains(call), "{call}: {calls:?}");
    }
    let groups = groups();
    for (path, text) in services() {
        let let_through = let_through(&text, &groups);
        let killed: Vec<&String> = calls.difference(&let_through).collect();
        assert!(killed.is_empty(), "{} ends qfm at {killed:?}", path.display());
    }
}
