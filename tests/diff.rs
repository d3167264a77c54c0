//! What changed between two lists, for whoever asks on a terminal or with a program.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use proptest::prelude::*;
use qfm::diff::diff;
use qfm::exit::Status;
use qfm::path::escape;
use qfm::report::changes::Form;
use serde_json::{Value, json};
use tempfile::TempDir;

const ZEROS: &str = "0000000000000000000000000000000000000000";
const ONES: &str = "1111111111111111111111111111111111111111";

/// A list of these lines.
fn list(rows: &[impl AsRef<[u8]>], checksums: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut list = b"[Version]\n2\n\n[Files]\n".to_vec();
    let mut add = |line: &[u8]| [line, b"\n"].iter().for_each(|part| list.extend_from_slice(part));
    rows.iter().for_each(|row| add(row.as_ref()));
    add(b"\n[Checksums SHA1]");
    checksums.iter().for_each(|checksum| add(checksum.as_ref()));
    add(b"\n[End]");
    list
}

fn rows(rows: &[&str]) -> Vec<u8> {
    list(rows, &[] as &[&str])
}

/// Two lists as files.
struct Lists {
    directory: TempDir,
    old: PathBuf,
    new: PathBuf,
}

impl Lists {
    fn new(old: &[u8], new: &[u8]) -> Lists {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name);
        let lists = Lists { old: path("old"), new: path("new"), directory };
        fs::write(&lists.old, old).and_then(|()| fs::write(&lists.new, new)).expect("lists");
        lists
    }

    /// `qfm diff` of both, with these flags.
    fn run(&self, flags: &[&str]) -> Output {
        self.run_on(flags, &self.old, &self.new)
    }

    fn run_on(&self, flags: &[&str], old: &Path, new: &Path) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qfm"));
        qfm::demo::clean_environment(&mut command, self.directory.path());
        let files = [old, new].map(Path::as_os_str);
        command.arg("diff").args(flags).args(files).stdin(Stdio::null()).output().expect("the program starts")
    }

    /// What it prints if it ends well and complains of nothing.
    #[track_caller]
    fn printed(&self, flags: &[&str]) -> Vec<u8> {
        let output = self.run(flags);
        assert_ended(&output, Status::Done);
        assert_eq!(text(&output.stderr), "", "nothing is to be complained of");
        output.stdout
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_slice(&self.printed(&["--json"])).expect("JSON")
    }
}

#[track_caller]
fn assert_ended(output: &Output, expected: Status) {
    assert_eq!(output.status.code(), Some(i32::from(expected.code())), "{}", text(&output.stderr));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// One path of each kind of change, and some that stay.
fn each_kind() -> Lists {
    let checksums = |sum: &str| [format!("{ZEROS}\tlinux/same.iso"), format!("{sum}\tlinux/silent.xml")];
    let same = ["100\td\t4096\tlinux", "101\tf\t5\tlinux/same.iso", "102\tf\t6\tlinux/silent.xml"];
    let old =
        ["103\tf\t7\tlinux/bigger", "104\tf*\t8\tlinux/public", "105\tl\t9\tlinux/gone", "106\tf\t10\tlinux/kind"];
    let new =
        ["107\tf\t8\tlinux/bigger", "104\tf\t8\tlinux/public", "108\tf\t11\tlinux/came", "106\tl\t10\tlinux/kind"];
    Lists::new(
        &list(&[&same[..], &old[..]].concat(), &checksums(ZEROS)),
        &list(&[&same[..], &new[..]].concat(), &checksums(ONES)),
    )
}

#[test]
fn each_kind_of_change_is_a_line_in_the_order_of_paths() {
    let printed = text(&each_kind().printed(&[]));
    let lines: Vec<&str> = printed.lines().collect();
    let expected =
        ["~ linux/bigger", "+ linux/came", "- linux/gone", "~ linux/kind", "~ linux/public", "~ linux/silent.xml"];
    assert_eq!(lines, expected);
}

#[test]
fn json_has_what_both_lists_say() {
    let json = each_kind().json();
    assert_eq!((&json["kind"], &json["version"]), (&"diff".into(), &1.into()));
    assert_eq!((&json["added"], &json["removed"], &json["changed"]), (&1.into(), &1.into(), &4.into()));
    assert_eq!(json["bad_rows"], json!({ "old": 0, "new": 0 }));
    let side = |kind: &str, size: u64, time: i64, restricted: bool| json!({ "kind": kind, "size": size, "time": time, "restricted": restricted });
    let entry = |path: &str, change: &str, old: Value, new: Value| json!({ "path": format!("linux/{path}"), "change": change, "old": old, "new": new });
    let expected = [
        entry("bigger", "changed", side("file", 7, 103, false), side("file", 8, 107, false)),
        entry("came", "added", Value::Null, side("file", 11, 108, false)),
        entry("gone", "removed", side("link", 9, 105, false), Value::Null),
        entry("kind", "changed", side("file", 10, 106, false), side("link", 10, 106, false)),
        entry("public", "changed", side("file", 8, 104, true), side("file", 8, 104, false)),
        // Its row is the same in both.
        entry("silent.xml", "changed", json!({ "sha1": ZEROS }), json!({ "sha1": ONES })),
    ];
    assert_eq!(json["entries"], Value::from(expected.to_vec()));
}

#[test]
fn json_has_checksums_beside_the_rows_of_what_came_went_and_changed() {
    let lists = Lists::new(
        &list(&["1\tf\t1\tgone", "1\tf\t1\tother"], &[format!("{ZEROS}\tgone"), format!("{ZEROS}\tother")]),
        &list(&["1\tf\t1\tcame", "2\tf\t1\tother"], &[format!("{ONES}\tcame"), format!("{ONES}\tother")]),
    );
    let json = lists.json();
    let sums = |entry: &Value| (entry["path"].clone(), entry["old"]["sha1"].clone(), entry["new"]["sha1"].clone());
    let found: Vec<_> = json["entries"].as_array().expect("entries").iter().map(sums).collect();
    let expected = [
        ("came".into(), Value::Null, ONES.into()),
        ("gone".into(), ZEROS.into(), Value::Null),
        ("other".into(), ZEROS.into(), ONES.into()),
    ];
    assert_eq!(found, expected);
    assert_eq!((&json["entries"][2]["old"]["time"], &json["entries"][2]["new"]["time"]), (&1.into(), &2.into()));
}

#[test]
fn names_of_any_bytes_are_whole_with_nul_and_escaped_for_people() {
    let odd: [&[u8]; 6] = [b" ", b"-0", b"\xff\xfe", b"a\ttab\r", b"back\\slash", b"\x1b[2J"];
    let row = |name: &&[u8]| [b"1\tf\t1\t", *name].concat();
    let none: &[&str] = &[];
    let lists = Lists::new(&list(&["1\tf\t1\tsame"], none), &list(&odd.iter().map(row).collect::<Vec<_>>(), none));
    let mut names: Vec<&[u8]> = [&odd[..], &[b"same"]].concat();
    names.sort_unstable();
    let expected: Vec<u8> = names.iter().flat_map(|name| [*name, b"\0"].concat()).collect();
    assert_eq!(lists.printed(&["-0"]), expected);
    let printed = text(&lists.printed(&[]));
    assert!(!printed.bytes().any(|byte| byte != b'\n' && byte.is_ascii_control()), "{printed:?}");
    assert!(printed.contains("+ a\\x09tab\\x0d\n") && printed.contains("+ \\xff\\xfe\n"), "{printed}");
    let json = lists.json();
    let of_bytes = json["entries"].as_array().expect("entries").iter().find(|entry| entry["path"] == "\\xff\\xfe");
    assert_eq!(of_bytes.expect("it is there")["path_base64"], "//4=");
}

#[test]
fn the_same_list_twice_is_no_change() {
    let lists = each_kind();
    for flags in [&[][..], &["-0"], &["--detailed-exitcode"]] {
        let output = lists.run_on(flags, &lists.old, &lists.old);
        assert_ended(&output, Status::Done);
        assert_eq!((text(&output.stdout).as_str(), text(&output.stderr).as_str()), ("", ""));
    }
    let json: Value = serde_json::from_slice(&lists.run_on(&["--json"], &lists.old, &lists.old).stdout).expect("JSON");
    assert_eq!(json["entries"], json!([]));
}

#[test]
fn a_row_that_stood_twice_did_not_go_with_its_second_copy() {
    let row = "1\tf\t1\ta";
    let sum = |digits| [format!("{digits}\ta")];
    let lists = Lists::new(&list(&[row, row], &sum(ZEROS)), &list(&[row], &sum(ONES)));
    assert_eq!(text(&lists.printed(&[])), "~ a\n");
    let lists = Lists::new(&list(&[row], &sum(ZEROS)), &list(&[row, row], &sum(ONES)));
    assert_eq!((&lists.json()["changed"], &lists.json()["added"]), (&1.into(), &0.into()));
}

#[test]
fn the_order_of_a_list_means_nothing() {
    let row = |number: usize| format!("{number}\tf\t{}\tlinux/{}/{number}", number % 7, number % 40);
    let old: Vec<String> = (0..3000).map(row).collect();
    let new: Vec<String> =
        (30..3000).map(|number| row(if number % 500 == 0 { number + 3000 } else { number })).collect();
    // 997 and the number of rows have no common factor.
    let shuffled: Vec<&String> = (0..new.len()).map(|index| &new[index * 997 % new.len()]).collect();
    let none: &[&str] = &[];
    let straight = Lists::new(&list(&old, none), &list(&new, none)).printed(&[]);
    assert_eq!(text(&straight).lines().count(), 30 + 2 * 5);
    assert_eq!(text(&Lists::new(&list(&old, none), &list(&shuffled, none)).printed(&[])), text(&straight));
    assert!(Lists::new(&list(&new, none), &list(&shuffled, none)).printed(&[]).is_empty());
}

#[test]
fn a_script_is_told_by_the_code_whether_anything_changed_if_it_asks() {
    let lists = each_kind();
    assert_ended(&lists.run(&["--detailed-exitcode"]), Status::Changed);
    assert_eq!(Status::Changed.code(), 3);
    assert_ended(&lists.run(&[]), Status::Done);
    let only_a_checksum =
        Lists::new(&list(&["1\tf\t1\ta"], &[format!("{ZEROS}\ta")]), &list(&["1\tf\t1\ta"], &[format!("{ONES}\ta")]));
    assert_ended(&only_a_checksum.run(&["--detailed-exitcode"]), Status::Changed);
}

#[test]
fn a_list_that_is_not_whole_is_refused_by_its_name() {
    let whole = rows(&["1\tf\t1\ta"]);
    let cut = whole.strip_suffix(b"[End]\n").expect("an end").to_vec();
    for (old, new, culprit) in [(&whole, &cut, "new"), (&cut, &whole, "old"), (&whole, &Vec::new(), "new")] {
        let lists = Lists::new(old, new);
        let output = lists.run(&["--detailed-exitcode"]);
        assert_ended(&output, Status::List);
        let path = lists.directory.path().join(culprit);
        assert!(text(&output.stderr).contains(path.to_str().expect("UTF-8")), "{}", text(&output.stderr));
        assert!(output.stdout.is_empty(), "half an answer: {}", text(&output.stdout));
    }
    assert_eq!(Status::List.code(), 6);
}

#[test]
fn a_list_that_cannot_be_read_is_a_local_matter() {
    let lists = Lists::new(&rows(&["1\tf\t1\ta"]), &rows(&["1\tf\t1\ta"]));
    let missing = lists.directory.path().join("missing");
    for (old, new) in [(&missing, &lists.new), (&lists.old, &missing)] {
        let output = lists.run_on(&[], old, new);
        assert_ended(&output, Status::Local);
        assert!(text(&output.stderr).contains("missing"), "{}", text(&output.stderr));
    }
    assert_ended(&lists.run_on(&[], &lists.old, lists.directory.path()), Status::Local);
    assert_eq!(Status::Local.code(), 10);
}

#[test]
fn a_line_that_cannot_be_read_is_told_and_the_rest_is_shown() {
    let lists = Lists::new(
        &rows(&["1\tf\t1\ta", "soon\tf\t1\told \x1b"]),
        &rows(&["1\tf\t1\ta", "1\tf\t1\tb", "1\tf\t1\t../up", "1\tf\t1\tc"]),
    );
    let output = lists.run(&[]);
    assert_ended(&output, Status::Done);
    assert_eq!(text(&output.stdout), "+ b\n+ c\n");
    let said = text(&output.stderr);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines[0].contains("old: line 6 ") && lines[0].ends_with("old \\x1b"), "{said}");
    assert!(lines[1].contains("new: line 7 ") && lines[1].ends_with("../up"), "{said}");
    let json: Value = serde_json::from_slice(&lists.run(&["--json"]).stdout).expect("JSON");
    assert_eq!(json["bad_rows"], json!({ "old": 1, "new": 1 }));
    assert_ended(&lists.run(&["--detailed-exitcode"]), Status::Changed);
}

#[test]
fn a_checksum_that_cannot_be_read_is_told_and_the_rest_is_shown() {
    let lists = Lists::new(
        &list(&["1\tf\t1\ta"], &[format!("{ZEROS}\ta")]),
        &list(&["1\tf\t1\ta"], &["no sum\ta", &format!("{ONES}\tb")]),
    );
    let output = lists.run(&[]);
    assert_ended(&output, Status::Done);
    assert_eq!(text(&output.stdout), "~ a\n~ b\n");
    assert!(text(&output.stderr).contains("new: line 8 "), "{}", text(&output.stderr));
}

#[test]
fn a_header_among_the_rows_is_refused() {
    let old = rows(&["1\tf\t1\ta"]);
    for header in ["[Files]", "[Checksums SHA1]", "[End]", "[Version]"] {
        let new = rows(&["1\tf\t1\ta", "", header, "1\tf\t1\tb"]);
        let lists = Lists::new(&old, &new);
        let output = lists.run(&[]);
        assert_ended(&output, Status::List);
        let said = text(&output.stderr);
        assert!(said.contains("new") && said.contains("out of order"), "{header}: {said}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn no_configuration_is_needed_and_exactly_two_lists_are() {
    let lists = each_kind();
    let mut command = Command::new(env!("CARGO_BIN_EXE_qfm"));
    qfm::demo::clean_environment(&mut command, lists.directory.path());
    let output = command.arg("diff").arg(&lists.old).output().expect("the program starts");
    assert_ended(&output, Status::Usage);
    assert_ended(&lists.run(&["--json", "-0"]), Status::Usage);
}

/// What a list says, by path: its row without the path, and its checksum.
type Said = BTreeMap<Vec<u8>, (String, Option<u8>)>;

fn any_said() -> impl Strategy<Value = Said> {
    let part = prop::collection::vec(prop::sample::select(&b"abc \t\xff"[..]), 1..3);
    let path = prop::collection::vec(part, 1..4).prop_map(|parts| parts.join(&b'/'));
    let row = (0..3u8, prop::sample::select(&["f", "d", "l", "f-", "f*"][..]), 0..3u8);
    let row = row.prop_map(|(time, kind, size)| format!("{time}\t{kind}\t{size}"));
    prop::collection::btree_map(path, (row, prop::option::of(0..2u8)), 0..200)
}

/// Another list, which agrees in most.
fn any_change(old: Said) -> impl Strategy<Value = (Said, Said)> {
    let paths: Vec<Vec<u8>> = old.keys().cloned().collect();
    let gone = prop::sample::subsequence(paths.clone(), 0..=paths.len() / 4);
    let changed = prop::sample::subsequence(paths.clone(), 0..=paths.len() / 4);
    let stays = any_said();
    (gone, changed, stays, 0..20usize).prop_map(move |(gone, changed, others, come)| {
        let mut new = old.clone();
        gone.iter().for_each(|path| drop(new.remove(path)));
        for (path, (row, sum)) in changed.iter().zip(others.values()) {
            new.insert(path.clone(), (row.clone(), *sum));
        }
        new.extend(others.into_iter().take(come));
        (old.clone(), new)
    })
}

fn any_lists() -> impl Strategy<Value = (Said, Said, Vec<usize>)> {
    let both = prop_oneof![4 => any_said().prop_flat_map(any_change), 1 => (any_said(), any_said())];
    both.prop_flat_map(|(old, new)| {
        let order = Just((0..new.len()).collect::<Vec<_>>());
        (Just(old), Just(new), prop_oneof![order.clone(), order.prop_shuffle()])
    })
}

/// The list that says this, in that order.
fn render(said: &Said, order: &[usize]) -> Vec<u8> {
    let entries: Vec<_> = said.iter().collect();
    let entries = || order.iter().map(|&index| entries[index]);
    let rows: Vec<Vec<u8>> = entries().map(|(path, (row, _))| [row.as_bytes(), b"\t", path].concat()).collect();
    let sum = |(path, (_, sum)): (&Vec<u8>, &(String, Option<u8>))| {
        Some([format!("{:040}", (*sum)?).as_bytes(), b"\t", path].concat())
    };
    list(&rows, &entries().filter_map(sum).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]

    #[test]
    fn what_is_told_is_what_a_look_at_every_row_finds((old, new, order) in any_lists()) {
        let straight: Vec<usize> = (0..old.len()).collect();
        let lists = Lists::new(&render(&old, &straight), &render(&new, &order));
        let told = |form: Form| {
            let (mut out, mut complaints) = (Vec::new(), Vec::new());
            let differs = diff(&lists.old, &lists.new, form, &mut out, &mut complaints).expect("two lists");
            assert_eq!(text(&complaints), "");
            (differs, out)
        };
        // Both marks of what is not for everybody say the same.
        let says = |said: &Said, path: &[u8]| said.get(path).map(|(row, sum)| (row.replace("f*", "f-"), *sum));
        let mut paths: Vec<&[u8]> = old.keys().chain(new.keys()).map(Vec::as_slice).collect();
        // What is below a directory follows it.
        paths.sort_by_key(|path| path.split(|byte| *byte == b'/').collect::<Vec<_>>());
        paths.dedup();
        let expected: Vec<(char, &[u8])> = paths.into_iter().filter_map(|path| {
            match (says(&old, path), says(&new, path)) {
                (before, after) if before == after => None,
                (None, _) => Some(('+', path)),
                (_, None) => Some(('-', path)),
                _ => Some(('~', path)),
            }
        }).collect();
        let lines: String = expected.iter().map(|(sign, path)| format!("{sign} {}\n", escape(path))).collect();
        prop_assert_eq!(told(Form::Text), (!lines.is_empty(), lines.into_bytes()));
        let names: Vec<u8> = expected.iter().flat_map(|(_, path)| [*path, b"\0"].concat()).collect();
        prop_assert_eq!(told(Form::Nul).1, names);
        let json: Value = serde_json::from_slice(&told(Form::Json).1).expect("JSON");
        prop_assert_eq!(json["entries"].as_array().map(Vec::len), Some(expected.len()));
    }
}
