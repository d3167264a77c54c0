//! A tree of realistic size and shape. `QFM_TEST_ENTRIES` sets the size.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use qfm::demo::tree::View;
use support::*;

const ENTRIES: &str = "100000";

/// The rows of a list that the public may see, by path below the mirror root.
fn public_rows(root: &Path, directory: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let list = std::fs::read(root.join(directory).join(list_name(directory))).expect("a list");
    let mut rows = BTreeMap::new();
    let lines = list.split(|byte| *byte == b'\n').skip_while(|line| !line.starts_with(b"[Files"));
    for line in lines.skip(1).take_while(|line| !line.is_empty()) {
        let mut fields = line.splitn(4, |byte| *byte == b'\t');
        let mut field = || fields.next().expect("four fields").to_vec();
        let (time, kind, size, path) = (field(), field(), field(), field());
        if kind.len() == 1 {
            rows.insert([directory.as_bytes(), b"/", &path].concat(), [time, kind, size].join(&b'\t'));
        }
    }
    rows
}

fn all_rows(root: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    ["fedora", "archive"].iter().flat_map(|directory| public_rows(root, directory)).collect()
}

/// What names of one file have in common.
fn key<'r>((path, row): (&'r Vec<u8>, &'r Vec<u8>)) -> (&'r [u8], &'r [u8]) {
    (path.rsplit(|byte| *byte == b'/').next().unwrap_or_default(), row)
}

/// Changed rows, and other names of the files that are new.
fn expected(old: &BTreeMap<Vec<u8>, Vec<u8>>, new: &BTreeMap<Vec<u8>, Vec<u8>>) -> (BTreeSet<Vec<u8>>, usize) {
    let changed: BTreeSet<_> = new.iter().filter(|(path, row)| old.get(*path) != Some(row)).collect();
    let is_file = |row: &[u8]| row.split(|byte| *byte == b'\t').nth(1) == Some(b"f");
    let absent = changed.iter().filter(|(path, row)| !old.contains_key(*path) && is_file(row));
    let keys: BTreeSet<_> = absent.map(|entry| key(*entry)).collect();
    let twins = new.iter().filter(|entry| !changed.contains(entry) && keys.contains(&key(*entry)));
    let twins: Vec<_> = twins.map(|(path, _)| path.clone()).collect();
    let number = changed.len();
    (changed.into_iter().map(|(path, _)| path.clone()).chain(twins).collect(), number)
}

/// The names that files have after a move, below the mirror root.
fn moved(delta: &str) -> BTreeSet<Vec<u8>> {
    let text = std::fs::read_to_string(delta).expect("the changes");
    let changes = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a change"));
    let moves = changes.filter(|change| change["op"] == "move");
    let word = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    moves.map(|change| format!("{}/{}", word(&change["m"]), word(&change["path"])).into_bytes()).collect()
}

#[test]
fn a_large_tree_is_mirrored_followed_and_left_alone() {
    let entries = std::env::var("QFM_TEST_ENTRIES").unwrap_or_else(|_| ENTRIES.to_owned());
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| directory.path().join(name).to_str().expect("UTF-8").to_owned();
    let (up, old_lists, new_lists) = (path("up"), path("v0"), path("v1"));
    if gen_tree(&["tree", "--root", &up, "--entries", &entries]).is_none() {
        eprintln!("SKIPPED: there is no gen_tree.py, nothing of a large tree was tested");
        return;
    }
    std::fs::create_dir(&old_lists).expect("a directory");
    for directory in ["fedora", "archive"] {
        let list = list_name(directory);
        let from = Path::new(&up).join(directory).join(&list);
        // With its time, so that nothing but its content tells it from others.
        let copied =
            std::process::Command::new("cp").arg("-p").arg(from).arg(Path::new(&old_lists).join(&list)).status();
        assert!(copied.expect("cp").success());
    }
    let daemon = Daemon::start(Path::new(&up)).expect("a daemon");
    let wrapper = Wrapper::new();
    let mut mirror = Mirror::new(&daemon.url(), &[FEDORA, ARCHIVE]);
    mirror.call_rsync_through(&wrapper);
    // The script keeps there what it took away.
    let view = View { ignore: &|name| name.starts_with(b".stash-"), ..View::PUBLIC };
    let timed = |what: &str| {
        let start = Instant::now();
        let calls = wrapper.calls().len();
        let result = mirror.sync();
        let calls = wrapper.calls().split_off(calls);
        eprintln!(
            "{what}: {:.1} s, {} calls of rsync, {}",
            start.elapsed().as_secs_f64(),
            calls.len(),
            result.stdout.trim()
        );
        (result, calls)
    };

    timed("first sync");
    assert_same_in(&view, Path::new(&up), &mirror.root);
    let untouched = |what: &str| {
        let before = tree::inode_snapshot(&mirror.root).expect("a mirror");
        let (result, calls) = timed(what);
        assert_eq!((calls.len(), result.stdout.as_str(), result.stderr.as_str()), (1, "", ""));
        assert_untouched(&before, &mirror.root);
    };
    untouched("no change");

    let before = all_rows(Path::new(&up));
    gen_tree(&["next", "--lists", &old_lists, "--out", &new_lists, "--rate", "0.001"]).expect("the script is there");
    gen_tree(&["apply", "--root", &up, "--delta", &path("v1/delta.jsonl")]).expect("the script is there");
    let (names, changed) = expected(&before, &all_rows(Path::new(&up)));
    let (_, calls) = timed("0.1 % changed");
    let moved = moved(&path("v1/delta.jsonl"));
    // The script moves one of several names of a file, and gives the others no new time in the list: they are not known as twins.
    let view = View { ignore: &|name| name.starts_with(b".stash-") || moved.contains(name), ..view };
    assert_same_in(&view, Path::new(&up), &mirror.root);
    let is_extra = |name: &Vec<u8>| name.ends_with(b"/fullfilelist") || key((name, name)).0.starts_with(b"imagelist-");
    let passed: BTreeSet<_> = names_asked(&calls).into_iter().filter(|name| !is_extra(name)).collect();
    eprintln!("names passed / rows changed: {} / {changed}", passed.len());
    let shown =
        |names: Vec<&Vec<u8>>| names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect::<Vec<_>>();
    assert_eq!(shown(passed.difference(&names).collect()), Vec::<String>::new(), "asked for without need");
    assert_eq!(shown(names.difference(&passed).collect()), Vec::<String>::new(), "not asked for");
    untouched("no change again");
}
