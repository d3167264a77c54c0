use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::list::sections::cut;

fn list(rows: &str) -> Vec<u8> {
    format!("[Version]\n2\n\n[Files]\n{rows}\n[Checksums SHA1]\n\n[End]\n").into_bytes()
}

fn read(text: &[u8]) -> Listing<'_> {
    read_only(text, |row| if !row.mark.is_public() { Carry::Withheld } else { Carry::Yes })
}

fn read_only(text: &[u8], carry: impl Fn(&Row) -> Carry + Sync) -> Listing<'_> {
    let sections = Sections::find(text).unwrap();
    Listing::read(text, &sections, |row, _| carry(row)).unwrap()
}

/// Every path with the letter of its kind, in no order that a reader could rely on but sorted here.
fn content(listing: &Listing<'_>) -> Vec<String> {
    let mut content: Vec<String> =
        listing.rows().iter().map(|row| format!("{} {}", &row.kind.word()[..1], listing.path(row))).collect();
    content.sort();
    content
}

fn reasons(listing: &Listing<'_>) -> Vec<(usize, BadRow)> {
    listing.bad.iter().map(|bad| (bad.line_number(listing.text()) - 4, bad.why)).collect()
}

#[test]
fn entries_stand_in_their_directory_by_name() {
    let text = list("1\tf\t1\ta/c\n1\tf\t1\ta/b/x\n1\td\t1\ta/b\n1\tf\t1\ta/a\n1\td\t1\ta\n1\tf\t1\tz\n");
    let listing = read(&text);
    let a = listing.dir(RelPath::new(b"a").unwrap()).unwrap();
    let names: Vec<_> = listing.entries(a).iter().map(|row| listing.name(row)).collect();
    assert_eq!(names, [b"a", b"b", b"c"]);
    assert_eq!(listing.find(RelPath::new(b"a/b/x").unwrap()).unwrap().kind, Kind::File);
    assert_eq!(listing.find(RelPath::new(b"a/b/y").unwrap()), None);
    assert_eq!(listing.len(), 6);
}

#[test]
fn a_directory_without_a_row_is_there_all_the_same() {
    let text = list("1\tf\t1\ta/b/c\n");
    assert_eq!(content(&read(&text)), ["d a", "d a/b", "f a/b/c"]);
}

#[test]
fn rows_given_twice_alike_are_one() {
    let text = list("1\tf\t1\ta\n1\tf\t1\tb\n1\tf\t1\ta\n");
    let listing = read(&text);
    assert_eq!(content(&listing), ["f a", "f b"]);
    assert_eq!(listing.bad, []);
}

#[test]
fn rows_that_contradict_each_other_are_set_aside_and_their_name_is_left_alone() {
    let text = list("1\tf\t1\ta\n1\tl\t1\ta\n1\tf\t1\tb\n1\tf\t2\tb\n1\tf\t1\tc\n");
    let listing = read(&text);
    assert_eq!(content(&listing), ["f c", "u a", "u b"]);
    assert_eq!(reasons(&listing), (1..=4).map(|row| (row, BadRow::Twice)).collect::<Vec<_>>());
}

#[test]
fn a_name_with_one_good_and_one_bad_row_is_left_alone() {
    let text = list("1\tf\t1\ta\n1\tq\t1\ta\n1\tf\t1\tb\n");
    let listing = read(&text);
    assert_eq!(content(&listing), ["f b", "u a"]);
}

#[test]
fn what_lies_below_a_file_is_set_aside() {
    let text = list("1\tf\t1\ta\n1\tf\t1\ta/b\n1\td\t1\ta/c\n1\tf\t1\ta/c/d\n1\tl\t1\tl\n1\tf\t1\tl/x\n1\tf\t1\tz\n");
    let listing = read(&text);
    assert_eq!(content(&listing), ["f a", "f z", "l l"]);
    let below = [2, 3, 4, 6];
    assert_eq!(reasons(&listing), below.map(|row| (row, BadRow::BelowFile)));
    assert_eq!(listing.dir(RelPath::new(b"a/c").unwrap()), None);
}

#[test]
fn what_only_bad_rows_lie_below_is_not_there_and_left_alone() {
    let text =
        list("1\tf\tx\tnew/deep/a\n1\tq\t1\told/b\n1\tf\t1\told/deep/c\n1\tf\t1\tx/y\n1\tl\t1\tx/y\n1\tf\t1\tz\n");
    let listing = read(&text);
    assert_eq!(content(&listing), ["d old", "d old/deep", "f old/deep/c", "f z", "u new", "u old/b", "u x"]);
    let dirs: Vec<_> = listing.dirs().map(|dir| listing.dir_path(dir).to_string()).collect();
    assert_eq!((dirs.len(), listing.bad.len()), (3, 4), "{dirs:?}");
    // The same where other directories are wanted.
    let mut wanted = Wanted::default();
    wanted.add(RelPath::TOP);
    let some = Listing::read_some(&text, &Sections::find(&text).unwrap(), &wanted, |_, _| Carry::Yes);
    assert_eq!(content(&some), ["d old", "d x", "f z", "u new"]);
}

#[test]
fn what_lies_deep_below_a_link_has_no_directory() {
    let text = list("1\tl\t1\tl\n1\tf\t1\tl/sub/x\n1\tf\tx\tl/other/y\n1\td\t1\tz\n");
    let listing = read(&text);
    assert_eq!(content(&listing), ["d z", "l l"]);
    assert_eq!(listing.dirs().map(|dir| listing.dir_path(dir).to_string()).collect::<Vec<_>>(), ["", "z"]);
}

#[test]
fn a_directory_also_listed_as_a_file_still_holds_its_entries() {
    let text = list("1\tf\t1\ta\n1\td\t1\ta\n1\tf\t1\ta/b\n");
    let listing = read(&text);
    assert_eq!(content(&listing), ["d a", "f a/b"]);
    assert_eq!(reasons(&listing), [(1, BadRow::Twice), (2, BadRow::Twice)]);
}

#[test]
fn malformed_rows_are_set_aside_and_readable_names_left_alone() {
    let text = list("1\tf\t1\n1\tf\tx\ta\n1\tf\t1\t../b\n\n1\tf\tc\n1\tf\t1\td\n");
    let listing = read(&text);
    assert_eq!(content(&listing), ["f d", "u 1", "u a", "u c"]);
    let rows: Vec<usize> = reasons(&listing).iter().map(|(row, _)| *row).collect();
    assert_eq!(rows, [1, 2, 3, 4, 5]);
}

#[test]
fn nothing_restricted_is_carried_not_even_below_a_restricted_directory() {
    let text =
        list("1\td-\t1\ta\n1\tf*\t1\ta/b\n1\tf\t1\ta/c\n1\td\t1\ta/d\n1\tf\t1\ta/d/e\n1\tf-\t1\tz\n1\tf\t1\ty\n");
    let listing = read(&text);
    assert_eq!(content(&listing), ["f y"]);
    assert_eq!(reasons(&listing), [3, 4, 5].map(|row| (row, BadRow::BelowRestricted)));
    let all = read_only(&text, |_| Carry::Yes);
    assert_eq!((all.len(), all.bad.len()), (7, 0));
}

#[test]
fn a_list_without_one_good_row_is_refused() {
    let text = list("x\n");
    let sections = Sections::find(&text).unwrap();
    assert_eq!(Listing::read(&text, &sections, |_, _| Carry::Yes).err(), Some(ListError::NoGoodRow));
}

/// Rows as a file system could hold them: each name once, files only as leaves.
fn tree() -> impl Strategy<Value = Vec<(String, char, u64, u64)>> {
    let path = proptest::collection::vec("[a-c]{1,2}", 1..4).prop_map(|parts| parts.join("/"));
    proptest::collection::btree_map(path, ("[fl]", 0u64..9, 1u64..9), 1..40).prop_map(|leaves| {
        let mut rows = BTreeMap::new();
        for (path, (kind, size, time)) in &leaves {
            for (slash, _) in path.match_indices('/') {
                rows.insert(path[..slash].to_owned(), ('d', 4096, 1));
            }
            rows.entry(path.clone()).or_insert((kind.chars().next().unwrap(), *size, *time));
        }
        rows.into_iter().map(|(path, (kind, size, time))| (path, kind, size, time)).collect()
    })
}

proptest! {
    #[test]
    fn what_was_written_is_read_in_any_order_and_with_any_cuts(
        rows in tree().prop_shuffle(),
        cuts in proptest::collection::vec(0usize..2000, 0..6),
    ) {
        let lines: String = rows.iter().map(|(path, kind, size, time)| format!("{time}\t{kind}\t{size}\t{path}\n")).collect();
        let text = list(&lines);
        let range = Sections::find(&text).unwrap().files;
        let mut cuts = cuts;
        cuts.sort_unstable();
        let whole = Listing::read_pieces(&text, vec![range.clone()], |_, _| Carry::Yes).unwrap();
        let parts = Listing::read_pieces(&text, cut(&text, range, cuts.into_iter()), |_, _| Carry::Yes).unwrap();
        prop_assert_eq!(content(&whole), content(&parts));
        prop_assert_eq!(&whole.bad, &[]);

        let mut expected: Vec<String> =
            rows.iter().map(|(path, kind, ..)| format!("{kind} {path}")).collect();
        expected.sort();
        prop_assert_eq!(content(&whole), expected);
        for (path, _, size, time) in &rows {
            let row = whole.find(RelPath::new(path.as_bytes()).unwrap()).unwrap();
            prop_assert_eq!((row.size, row.time), (*size, *time as i64));
        }
    }

    #[test]
    fn any_lines_are_read_without_panic_and_the_same_with_any_cut(
        lines in proptest::collection::vec(prop_oneof![
            "[0-9]{0,2}\t[fdlx][-*]?\t[0-9]{0,2}\t[ab/.]{0,5}", "[ab\t/]{0,6}", Just(String::new()),
        ], 0..20),
        at in 0usize..400,
    ) {
        let text = list(&(lines.join("\n") + "\n1\tf\t1\tz\n"));
        let range = Sections::find(&text).unwrap().files;
        let carry = |row: &Row, _: RelPath<'_>| if !row.mark.is_public() { Carry::Withheld } else { Carry::Yes };
        let whole = Listing::read_pieces(&text, vec![range.clone()], carry).unwrap();
        let parts = Listing::read_pieces(&text, cut(&text, range, [at].into_iter()), carry).unwrap();
        prop_assert_eq!(content(&whole), content(&parts));
        prop_assert_eq!(&whole.bad, &parts.bad);
        for row in whole.rows() {
            prop_assert_eq!(whole.find(whole.path(row)), Some(row));
        }
    }

    #[test]
    fn a_damaged_list_is_refused_or_loses_no_row_unseen(
        rows in tree(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..4),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let lines = rows.iter().map(|(path, kind, size, time)| format!("{time}\t{kind}\t{size}\t{path}\n"));
        let whole = list(&lines.collect::<String>());
        let mut text = whole.clone();
        for (at, byte, flips) in damage {
            let at = at.index(text.len());
            text[at] = if flips { text[at] ^ (1 << (byte % 8)) } else { byte };
        }
        text.truncate(cut.map_or(text.len(), |cut| cut.index(text.len())));
        let Ok(sections) = Sections::find(&text) else { return Ok(()) };
        let Ok(listing) = Listing::read(&text, &sections, |_, _| Carry::Yes) else { return Ok(()) };
        for line in text.split(|&byte| byte == b'\n') {
            let Ok(row) = Row::parse(line, 0) else { continue };
            let is_bad = listing.bad.iter().any(|bad| text[bad.line.clone()] == *line);
            prop_assert!(is_bad || listing.find(row.path(line)).is_some(), "{} is lost", line.escape_ascii());
        }
    }
}
