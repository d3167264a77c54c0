//! What a loss of power may leave: nothing takes its place before it is written down, and nothing says so of others before they are.
//!
//! strace shows the order of writing, syncing and renaming.

mod support;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::*;

/// What happened, in this order.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Something was written to a file.
    Write(PathBuf),
    /// A file, or the names in a directory, were written down.
    Sync(PathBuf),
    /// All of a file system was written down: the one that holds this directory.
    SyncAll(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    /// rsync was called.
    Call,
}

/// The steps that strace wrote down of qfm itself.
fn steps(log: &str) -> Vec<Step> {
    let mut begun: HashMap<&str, &str> = HashMap::new();
    let mut steps = Vec::new();
    for line in log.lines() {
        let Some((process, line)) = line.split_once(' ') else { continue };
        let line = line.trim_start();
        // What another thread came between is told in two pieces: it is over with the second.
        if let Some(first) = line.strip_suffix("<unfinished ...>") {
            begun.insert(process, first);
            continue;
        }
        let whole = match line.split_once(" resumed>") {
            Some((_, second)) => format!("{}{second}", begun.remove(process).unwrap_or_default()),
            None => line.to_owned(),
        };
        steps.extend(step(&whole));
    }
    steps
}

fn step(line: &str) -> Option<Step> {
    let (call, arguments) = line.split_once('(')?;
    // Programs that qfm starts are let go.
    if call == "execve" && line.ends_with("<detached ...>") {
        return Some(Step::Call);
    }
    let (arguments, result) = arguments.rsplit_once(" = ")?;
    if result.starts_with('-') {
        return None;
    }
    // A handle is shown with its path: `7</srv/pub>`, and a name with quotes.
    let handle = |argument: &str| Some(PathBuf::from(argument.split_once('<')?.1.split_once('>')?.0));
    let names: Vec<&str> = arguments.split('"').skip(1).step_by(2).collect();
    let handles: Vec<PathBuf> = arguments.split(", ").filter_map(handle).collect();
    Some(match call {
        "write" | "pwrite64" | "ftruncate" => Step::Write(handles.first()?.clone()),
        "copy_file_range" => Step::Write(handles.get(1)?.clone()),
        "fsync" | "fdatasync" => Step::Sync(handles.first()?.clone()),
        "syncfs" => Step::SyncAll(handles.first()?.clone()),
        "rename" => Step::Rename(names.first()?.into(), names.get(1)?.into()),
        "renameat" | "renameat2" => {
            Step::Rename(handles.first()?.join(names.first()?), handles.get(1)?.join(names.get(1)?))
        }
        "unlink" => Step::Remove(names.first()?.into()),
        "unlinkat" => Step::Remove(handles.first()?.join(names.first()?)),
        _ => return None,
    })
}

/// Whether strace is here; if not, that is said.
fn is_traced() -> bool {
    let is_here = Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    if !is_here {
        eprintln!("skipped: strace is not installed");
    }
    is_here
}

/// One run under strace.
fn traced(mirror: &Mirror, arguments: &[&str]) -> Vec<Step> {
    let log = mirror.root.with_file_name("log");
    let command = mirror.command(arguments);
    let calls = "execve,write,pwrite64,ftruncate,copy_file_range,fsync,fdatasync,syncfs,rename,renameat,renameat2,unlink,unlinkat";
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-y", "--detach-on=execve", "-s", "4096", "-e"]).arg(format!("trace={calls}"));
    strace.arg("-o").arg(&log).arg(command.get_program()).args(command.get_args());
    strace.env_clear().envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    strace.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    let output = strace.stdin(Stdio::null()).output().expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    steps(&fs::read_to_string(&log).expect("a log"))
}

/// The place of a step; the first that fits.
#[track_caller]
fn place(steps: &[Step], what: &str, fits: impl Fn(&Step) -> bool) -> usize {
    steps.iter().position(fits).unwrap_or_else(|| panic!("{what}: there is no such step in\n{steps:#?}"))
}

/// The place of the step that puts a file of this name into a directory like that.
#[track_caller]
fn arrival(steps: &[Step], end: &str) -> usize {
    place(steps, end, |step| matches!(step, Step::Rename(_, to) if to.to_string_lossy().ends_with(end)))
}

/// Fails unless each file of the state, and each list, is written down before it takes its place, and its place right after. Returns how
/// many were seen.
#[track_caller]
fn assert_each_is_written_down_first(steps: &[Step], state: &Path) -> usize {
    let mut unsynced: HashSet<&Path> = HashSet::new();
    let mut renamed = 0;
    for (at, step) in steps.iter().enumerate() {
        match step {
            Step::Write(path) => drop(unsynced.insert(path)),
            Step::Sync(path) => drop(unsynced.remove(path.as_path())),
            Step::Rename(from, to) if to.starts_with(state) || to.to_string_lossy().contains("/fullfiletimelist-") => {
                renamed += 1;
                assert!(
                    !unsynced.contains(from.as_path()),
                    "{} takes its place before it is written down",
                    to.display()
                );
                let dir = to.parent().expect("a directory");
                assert_eq!(steps.get(at + 1), Some(&Step::Sync(dir.to_owned())), "after {}", to.display());
            }
            _ => {}
        }
    }
    renamed
}

#[test]
fn what_is_saved_is_written_down_in_an_order_that_a_loss_of_power_cannot_hurt() {
    if !is_traced() {
        return;
    }
    let mut stage = Stage::new();
    let mut chance = Chance::new(1);
    let state = fs::canonicalize(&stage.mirror.state).expect("the state");
    let root = fs::canonicalize(&stage.mirror.root).expect("the root");
    for round in 0..3 {
        if round == 2 {
            fs::remove_dir_all(&stage.mirror.state).expect("removed");
        }
        stage.change(&mut chance);
        let steps = traced(&stage.mirror, &[]);
        stage.assert_in_step();
        let renamed = assert_each_is_written_down_first(&steps, &state);
        assert!(renamed >= 8, "only {renamed} files were seen");

        // Nothing is changed before the journal says so.
        let is_change = |step: &Step| match step {
            Step::Write(path) | Step::Remove(path) | Step::Rename(path, _) => path.starts_with(&root),
            _ => false,
        };
        let journal = arrival(&steps, "/journal");
        let first_change = place(&steps, "a change of the tree", is_change);
        let content = steps.iter().enumerate().filter(|(_, step)| **step == Step::Call).map(|(at, _)| at).nth(1);
        assert!(journal + 1 < first_change && journal + 1 < content.expect("a call for content"), "{steps:#?}");

        for module in ["fedora", "archive"] {
            // The list says what is here, and the state what was done: after that was written down.
            let list = arrival(&steps, &format!("/mirror/{module}/fullfiletimelist-{module}"));
            let synced =
                place(&steps, "the tree is synced", |step| matches!(step, Step::SyncAll(dir) if dir.ends_with(module)));
            let last_call = steps.iter().rposition(|step| *step == Step::Call).expect("a call");
            let saved = arrival(&steps, &format!("lists/{module}/fullfiletimelist-{module}"));
            let applied = arrival(&steps, &format!("/{module}.applied"));
            let order = [last_call, synced, list, saved, applied];
            assert!(order.is_sorted(), "{module}: {order:?} in\n{steps:#?}");
            let stamps = |step: &Step| match step {
                Step::Sync(path) | Step::Rename(_, path) => path.ends_with(format!("{module}.stamps")),
                _ => false,
            };
            assert!(place(&steps, "stamps are synced", stamps) < applied, "{module}: {steps:#?}");
            // The mark of the run goes when all of this is there.
            let gone = place(
                &steps,
                "the journal goes",
                |step| matches!(step, Step::Remove(path) if path.ends_with("journal")),
            );
            assert!(applied + 1 < gone, "{module}: {steps:#?}");
            // Until then nobody takes what this run changed for the work of others.
            assert!(arrival(&steps, "/spans") + 1 < gone, "{steps:#?}");
        }
    }
}

#[test]
fn what_leads_clients_to_packages_goes_before_them() {
    if !is_traced() {
        return;
    }
    let repository = |up: &mut Upstream, top: &str| {
        for number in 0..100 {
            up.file(format!("{top}/a{number}.rpm"), b"a")?.file(format!("{top}/sub/z{number}.rpm"), b"z")?;
        }
        up.file(format!("{top}/repodata/primary.xml"), b"index")?
            .file(format!("{top}/repodata/repomd.xml"), b"pointer")
            .map(drop)
    };
    // Of one repository the directory goes, of the other only what is in it.
    let mut scene = Scene::synced(&[FEDORA], |up| {
        repository(up, "fedora/whole")?;
        repository(up, "fedora/files")?;
        up.file("fedora/files/kept", b"kept")?
            .file("fedora/files/repodata/kept", b"kept")?
            .file("fedora/files/sub/kept", b"kept")?;
        up.file("fedora/kept", b"kept").map(drop)
    });
    scene.change(|up| {
        up.remove("fedora/whole")?
            .remove("fedora/files/repodata/primary.xml")?
            .remove("fedora/files/repodata/repomd.xml")?;
        (0..100).try_for_each(|number| {
            let names = [format!("fedora/files/a{number}.rpm"), format!("fedora/files/sub/z{number}.rpm")];
            names.iter().try_for_each(|name| up.remove(name).map(drop))
        })
    });
    let steps = traced(&scene.mirror, &["--allow-delete", FEDORA]);
    scene.assert_same();
    for top in ["/fedora/whole/", "/fedora/files/"] {
        let gone = |step: &Step| match step {
            Step::Remove(path) => Some(path.to_string_lossy().into_owned()).filter(|path| path.contains(top)),
            _ => None,
        };
        let gone: Vec<String> = steps.iter().filter_map(gone).collect();
        assert!(gone[0].ends_with("repodata/repomd.xml") && gone[1].ends_with("repodata/primary.xml"), "{gone:#?}");
        assert!(gone.len() >= 202, "{gone:#?}");
    }
}
