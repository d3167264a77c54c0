//! From rows to what rsync is asked for: the comparison with a tree that stands in memory, and the names of a request.

mod support;

use std::collections::HashSet;
use std::hint::black_box;
use std::ops::Range;

use criterion::Criterion;
use foldhash::fast::RandomState;
use qfm::list::listing::DirId;
use qfm::list::{Carry, Kind, Listing};
use qfm::path::RelPath;
use qfm::plan::changes::Changes;
use qfm::plan::compare::{Fetch, Found, Local, LocalKind, Look, Vouched, compare_directory};
use qfm::plan::request::{Answer, Name, Part, Request};
use rayon::prelude::*;

fn main() {
    let mut criterion = support::criterion();
    let old = support::list(support::rows());
    let new = support::changed(&old);
    let [before, now] = [&old, &new].map(|text| {
        let listing = Listing::read(text, &support::sections(text), |_, _| Carry::Yes);
        listing.expect("a good row")
    });
    let changes = Changes::between((&old, &support::sections(&old)), (&new, &support::sections(&new)));
    let changed = changes.expect("whole lists").rows.iter().map(|changed| changed.path).collect();
    compare(&mut criterion, &before, &now, &changed);
    request(&mut criterion, &now);
    criterion.final_summary();
}

/// What a walk would have read: the entries of a tree, by directory of the list that it is compared with.
struct InMemory<'t> {
    locals: Vec<Local<'t>>,
    dirs: Vec<Range<usize>>,
}

impl<'t> InMemory<'t> {
    /// The tree that `here` names, for a comparison with `listing`.
    fn new(here: &Listing<'t>, listing: &Listing<'_>) -> InMemory<'t> {
        let mut tree = InMemory { locals: Vec::with_capacity(here.len()), dirs: Vec::new() };
        for dir in listing.dirs() {
            let start = tree.locals.len();
            let entries = here.dir(listing.dir_path(dir)).map(|dir| here.entries(dir)).unwrap_or_default();
            tree.locals.extend(entries.iter().map(|row| Local {
                name: here.name(row),
                kind: if row.kind == Kind::Dir { LocalKind::Dir } else { LocalKind::File },
                size: row.size,
                mtime: row.time,
                ctime: 0,
                is_open: true,
                inode: None,
            }));
            tree.dirs.push(start..tree.locals.len());
        }
        tree
    }

    /// Compares all directories, as the walk does it.
    fn compare<'l>(&self, listing: &Listing<'l>, vouched: Vouched<'_>) -> Found<'l> {
        let dirs: Vec<DirId> = listing.dirs().collect();
        let compare = |mut found: Found<'l>, dir: DirId| {
            let locals = &self.locals[self.dirs[dir as usize].clone()];
            // The subdirectories of each are among `dirs`.
            let _subdirectories = compare_directory(listing, dir, &Look::Whole, locals, vouched, |_| false, &mut found);
            found
        };
        dirs.into_par_iter().fold(Found::default, compare).reduce(Found::default, Found::and)
    }
}

fn compare(
    criterion: &mut Criterion,
    before: &Listing<'_>,
    now: &Listing<'_>,
    changed: &HashSet<RelPath<'_>, RandomState>,
) {
    let mut group = support::group(criterion, "compare with a tree in memory", now.len());
    let tree = InMemory::new(now, now);
    group.bench_function("nothing to do", |bencher| {
        let none = HashSet::default();
        let vouched = Vouched::Applied { changed: &none, carried: None, ctimes: None, unfinished: false };
        bencher.iter(|| tree.compare(now, vouched));
    });
    group.bench_function("nobody vouches", |bencher| {
        bencher.iter(|| tree.compare(now, Vouched::Nobody));
    });
    drop(tree);
    let tree = InMemory::new(before, now);
    group.bench_function("0.1 % changed", |bencher| {
        let vouched = Vouched::Applied { changed, carried: None, ctimes: None, unfinished: false };
        bencher.iter(|| tree.compare(now, vouched));
    });
    group.bench_function("nothing is here", |bencher| {
        bencher.iter(|| everything(now));
    });
    group.finish();
}

/// All that a first run has to fetch.
fn everything<'t>(listing: &Listing<'t>) -> Vec<Fetch<'t>> {
    let mut found = Found::default();
    let look = Look::Whole;
    let _subdirectories = compare_directory(listing, 0, &look, &[], Vouched::Nobody, |_| false, &mut found);
    found.fetch
}

/// A request for everything, which is the largest that there is.
fn request(criterion: &mut Criterion, listing: &Listing<'_>) {
    let fetches = everything(listing);
    let mut group = support::group(criterion, "files-from", fetches.len());
    let make = || {
        let names = fetches.iter().map(Name::fetched).collect();
        Request::new("", [Part { module: 0, prefix: "fedora/".to_owned(), names }], &[])
    };
    group.bench_function("make", |bencher| bencher.iter(make));

    let request = make();
    let mut bytes = Vec::new();
    group.bench_function("write", |bencher| {
        bencher.iter(|| {
            bytes.clear();
            request.write(black_box(&mut bytes)).expect("memory");
        });
    });

    if bytes.is_empty() {
        request.write(&mut bytes).expect("memory");
    }
    let answer = || {
        let said = bytes.split(|&byte| byte == 0);
        said.filter(|said| matches!(request.answer(said, false), Answer::Asked(_))).count()
    };
    assert_eq!(answer(), request.len(), "rsync says what it was asked for");
    group.bench_function("answer", |bencher| bencher.iter(answer));
    group.finish();
}
