//! Lists alone: their parts, their rows by directory, and what differs between two of them.

mod support;

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use qfm::list::diff::{Differences, Rows};
use qfm::list::listing::Wanted;
use qfm::list::{Listing, Sections};
use qfm::plan::changes::Changes;
use qfm::plan::filter::{Filter, Selection};

fn main() {
    let mut criterion = support::criterion();
    let old = support::list(support::rows());
    let new = support::changed(&old);
    support::keep("old", &old);
    support::keep("new", &new);
    read(&mut criterion, &old, &new);
    diff(&mut criterion, &old, &new);
    criterion.final_summary();
}

/// A filter as a run has it.
fn filter(exclude: &[&str], text: &[u8]) -> Filter {
    let exclude = exclude.iter().map(|&term| term.to_owned()).collect();
    let selection = Selection { directory: "fedora".to_owned(), exclude, ..Selection::default() };
    Filter::new(&selection).expect("terms that there are").for_list(text, &support::sections(text))
}

/// From the text to rows by directory.
fn read(criterion: &mut Criterion, old: &[u8], new: &[u8]) {
    let sections = support::sections(new);
    let mut group = support::group(criterion, "read", support::rows());

    let carries_all = filter(&[], new);
    group.bench_function("all", |bencher| {
        bencher.iter(|| Listing::read(new, &sections, |row, path| carries_all.carry(row, path)).expect("a good row"));
    });

    let carries_less = filter(&["debug", "arch:s390x"], new);
    group.bench_function("without debug and one architecture", |bencher| {
        bencher.iter(|| Listing::read(new, &sections, |row, path| carries_less.carry(row, path)).expect("a good row"));
    });

    let changes = Changes::between((old, &support::sections(old)), (new, &sections)).expect("whole lists");
    let mut wanted = Wanted::default();
    changes.rows.iter().for_each(|changed| wanted.add(changed.path.parent()));
    group.bench_function("directories with a change", |bencher| {
        bencher.iter(|| Listing::read_some(new, &sections, &wanted, |row, path| carries_all.carry(row, path)));
    });

    group.throughput(Throughput::Bytes(new.len() as u64));
    group.bench_function("look for headers", |bencher| {
        bencher.iter(|| Sections::find(black_box(new)).expect("a whole list"));
    });
    group.finish();
}

/// What differs: as lines, and as rows by path.
fn diff(criterion: &mut Criterion, old: &[u8], new: &[u8]) {
    let shuffled = support::shuffled(new);
    support::keep("shuffled", &shuffled);
    let of_old = support::sections(old);
    let copy = old.to_vec();
    for (name, new) in [("nothing changed", copy.as_slice()), ("0.1 % changed", new), ("shuffled", &shuffled)] {
        let of_new = support::sections(new);
        let mut group = support::group(criterion, &format!("diff, {name}"), support::rows());
        group.bench_function("lines", |bencher| {
            let rows = (Rows::new(old, &of_old.files), Rows::new(new, &of_new.files));
            bencher.iter(|| Differences::between(black_box(rows.0), black_box(rows.1)));
        });
        group.bench_function("rows and checksums", |bencher| {
            bencher.iter(|| Changes::between((old, &of_old), (new, &of_new)).expect("whole lists"));
        });
        group.finish();
    }
}
