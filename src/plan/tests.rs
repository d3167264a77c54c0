//! The core, held against a model: a tree that is a map of paths.

use std::collections::{BTreeMap, HashSet};

use foldhash::fast::RandomState;
use proptest::prelude::*;

use super::changes::Changes;
use super::compare::{Found, Local, LocalKind, Look, Vouched, compare_directory};
use crate::list::listing::Wanted;
use crate::list::{Carry, Kind, Listing, Row, Sections};
use crate::path::RelPath;

/// Path → kind, size, time.
type Tree = BTreeMap<String, (char, u64, i64)>;

/// A tree as a file system could hold it.
fn tree() -> impl Strategy<Value = Tree> {
    let path = proptest::collection::vec("[ab][-0]?", 1..4).prop_map(|parts| parts.join("/"));
    proptest::collection::btree_map(path, ("[fld]", 0u64..3, 1i64..4), 0..14).prop_map(|wanted| {
        let mut tree = Tree::new();
        for (path, (kind, size, time)) in &wanted {
            let kind = kind.chars().next().unwrap_or('f');
            let below_a_leaf =
                path.match_indices('/').any(|(at, _)| tree.get(&path[..at]).is_some_and(|it| it.0 != 'd'));
            if below_a_leaf {
                continue;
            }
            for (at, _) in path.match_indices('/') {
                tree.entry(path[..at].to_owned()).or_insert(('d', 0, 1));
            }
            tree.entry(path.clone()).or_insert((kind, if kind == 'd' { 0 } else { *size }, *time));
        }
        tree
    })
}

fn list(tree: &Tree) -> Vec<u8> {
    let rows: String =
        tree.iter().map(|(path, (kind, size, time))| format!("{time}\t{kind}\t{size}\t{path}\n")).collect();
    // A list of nothing is refused; this row is no entry.
    format!("[Version]\n2\n\n[Files]\n{rows}1\tf\t0\tfullfilelist\n\n[End]\n").into_bytes()
}

fn read(text: &[u8]) -> Listing<'_> {
    Listing::read(text, &Sections::find(text).unwrap(), carry).unwrap()
}

fn carry(_: &Row, path: RelPath<'_>) -> Carry {
    if path.bytes() == b"fullfilelist" { Carry::No } else { Carry::Yes }
}

type Changed<'t> = HashSet<RelPath<'t>, RandomState>;

fn changes<'t>(old: &'t [u8], new: &'t [u8]) -> Changes<'t> {
    Changes::between((old, &Sections::find(old).unwrap()), (new, &Sections::find(new).unwrap())).unwrap()
}

fn local_kind(kind: char) -> LocalKind {
    match kind {
        'f' => LocalKind::File,
        'd' => LocalKind::Dir,
        _ => LocalKind::Link,
    }
}

/// What a directory of the tree holds, sorted by name, as far as it is looked at.
fn locals<'t>(tree: &'t Tree, dir: RelPath<'_>, look: &Look<'_>) -> Vec<Local<'t>> {
    let mut locals: Vec<Local<'t>> = tree
        .iter()
        .map(|(path, entry)| (RelPath::new(path.as_bytes()).unwrap(), entry))
        .filter(|(path, _)| path.parent() == dir && look.at(path.name()))
        .map(|(path, &(kind, size, mtime))| Local {
            name: path.name(),
            kind: local_kind(kind),
            size,
            mtime,
            ctime: 0,
            is_open: true,
            inode: None,
        })
        .collect();
    locals.sort_by_key(|local| local.name);
    locals
}

/// Carries out what was found, as rsync and the deleting hands would.
fn carry_out(tree: &mut Tree, found: &Found<'_>) {
    let mut remove = |gone: &[u8]| {
        let gone = RelPath::new(gone).unwrap();
        tree.retain(|path, _| !RelPath::new(path.as_bytes()).unwrap().is_within(gone));
    };
    for extra in &found.extra {
        let path = extra.dir.as_path().join(&extra.name).unwrap();
        remove(path.as_path().bytes());
    }
    found.in_the_way.iter().for_each(|path| remove(path.bytes()));
    for fetch in &found.fetch {
        let kind = match fetch.kind {
            Kind::File => 'f',
            Kind::Dir => 'd',
            _ => 'l',
        };
        let size = if kind == 'd' { 0 } else { fetch.size };
        tree.insert(fetch.path.to_string(), (kind, size, fetch.time));
    }
}

fn full<'t>(listing: &Listing<'t>, tree: &Tree, vouched: Vouched<'_>) -> Found<'t> {
    let mut found = Found::default();
    let mut open = vec![0];
    while let Some(dir) = open.pop() {
        let locals = locals(tree, listing.dir_path(dir), &Look::Whole);
        open.extend(compare_directory(listing, dir, &Look::Whole, &locals, vouched, |_| false, &mut found));
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn after_a_full_comparison_the_tree_is_what_the_list_says(local in tree(), upstream in tree()) {
        let text = list(&upstream);
        let listing = read(&text);
        let mut tree = local;
        let found = full(&listing, &tree, Vouched::Nobody);
        let unique: std::collections::HashSet<_> = found.fetch.iter().map(|fetch| fetch.path).collect();
        prop_assert_eq!(unique.len(), found.fetch.len(), "nothing is fetched twice");
        carry_out(&mut tree, &found);
        prop_assert_eq!(&tree, &upstream);
        let again = full(&listing, &tree, Vouched::Nobody);
        prop_assert!(again.fetch.is_empty() && again.extra.is_empty() && again.in_the_way.is_empty(), "{again:?}");
    }

    #[test]
    fn looking_at_what_changed_between_two_lists_is_enough_where_the_old_one_was_applied(old in tree(), new in tree()) {
        let (old_text, new_text) = (list(&old), list(&new));
        let listing = read(&new_text);
        let changes = changes(&old_text, &new_text);
        let changed: Changed<'_> = changes.rows.iter().map(|changed| changed.path).collect();
        let mut names = BTreeMap::<RelPath<'_>, Vec<&[u8]>>::new();
        for path in &changed {
            // What is missing as a whole is found from above.
            let is_dir = |dir: &RelPath<'_>| {
                listing.dir(*dir).is_some() && (dir.is_top() || old.get(&dir.to_string()).is_some_and(|entry| entry.0 == 'd'))
            };
            let above = std::iter::once(*path).chain(path.ancestors());
            let found = above.map(|at| (at.parent(), at.name())).find(|(dir, _)| is_dir(dir)).unwrap();
            names.entry(found.0).or_default().push(found.1);
        }
        let vouched = Vouched::Applied { changed: &changed, carried: None, ctimes: None, unfinished: false };
        let mut found = Found::default();
        for (path, mut names) in names {
            names.sort_unstable();
            names.dedup();
            let look = Look::Names(names);
            let locals = locals(&old, path, &look);
            let dir = listing.dir(path).unwrap();
            compare_directory(&listing, dir, &look, &locals, vouched, |_| false, &mut found);
        }
        prop_assert!(found.unread.is_empty());
        let mut tree = old;
        carry_out(&mut tree, &found);
        prop_assert_eq!(&tree, &new);
    }

    #[test]
    fn some_directories_read_alone_are_as_they_are_in_the_whole_list(
        tree in tree(),
        wants in tree(),
        subtrees: bool,
        rows_of_dirs: bool,
        without in "[ab]",
    ) {
        let mut tree = tree;
        // Upstream may list no directories, and a filter may leave them out, with what is below them or without.
        tree.retain(|path, entry| (rows_of_dirs || entry.0 != 'd') && !path.ends_with(&without));
        let text = list(&tree);
        let listing = read(&text);
        let mut wanted = Wanted::default();
        for path in wants.keys().map(|path| RelPath::new(path.as_bytes()).unwrap()) {
            if subtrees { wanted.add_subtree(path) } else { wanted.add(path) }
        }
        let some = Listing::read_some(&text, &Sections::find(&text).unwrap(), &wanted, carry);
        let is_wanted = |dir: RelPath<'_>| {
            wanted.dirs().any(|wanted| wanted == dir)
                || subtrees && wants.keys().any(|path| dir.is_within(RelPath::new(path.as_bytes()).unwrap()))
        };
        for dir in listing.dirs() {
            let path = listing.dir_path(dir);
            let said = |listing: &Listing<'_>, dir| -> Vec<_> {
                let rows = listing.entries(dir).iter();
                rows.map(|row| (listing.path(row).to_owned(), row.kind, row.size, row.time)).collect()
            };
            let here = some.dir(path).map(|dir| said(&some, dir));
            if is_wanted(path) {
                prop_assert_eq!(here, Some(said(&listing, dir)), "{}", path);
            } else {
                // The top is always there; nothing may be concluded from what it holds.
                prop_assert!(here.is_none() || path.is_top());
            }
        }
    }

    #[test]
    fn the_same_list_changes_nothing(tree in tree()) {
        let text = list(&tree);
        let listing = read(&text);
        prop_assert!(changes(&text, &text).is_empty());
        let vouched = Vouched::Applied { changed: &Changed::default(), carried: None, ctimes: None, unfinished: false };
        let found = full(&listing, &tree, vouched);
        prop_assert!(found.fetch.is_empty() && found.extra.is_empty());
    }
}
