//! A real tree: the walk of a full check, the stamps of a quick one, and its list.

mod support;

use std::collections::HashSet;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

use criterion::Criterion;
use qfm::interrupt::Interrupt;
use qfm::list::{Carry, Listing};
use qfm::make_list::{Options, Sink, Sinks, write_lists};
use qfm::path::RelPath;
use qfm::plan::compare::{Look, Vouched};
use qfm::tree::stamp::Standing;
use qfm::tree::walk::{Survey, Walk};
use qfm::tree::{Root, Stamp};
use rayon::prelude::*;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, openat, statat};

fn main() {
    let mut criterion = support::criterion();
    let tree = support::Tree::new(support::tree_rows());
    let listing = Listing::read(&tree.list, &support::sections(&tree.list), |_, _| Carry::Yes).expect("a good row");
    let root = Root::open(&tree.path).expect("the tree");
    let survey = survey(&root, &listing);
    assert!(survey.unreadable.is_empty() && survey.found.fetch.is_empty(), "the list is that of the tree");
    assert_eq!((survey.found.seen, bare(root.fd(), ".")), (listing.len() as u64, listing.len() as u64));

    let mut group = support::group(&mut criterion, "walk", listing.len());
    group.bench_function("full check", |bencher| bencher.iter(|| self::survey(&root, &listing)));
    group.bench_function("make list", |bencher| bencher.iter(|| make_list(&root)));
    group.bench_function("bare", |bencher| bencher.iter(|| bare(root.fd(), ".")));
    group.finish();

    let stamps = survey.stamps.iter().map(|(dir, stamp)| (listing.dir_path(*dir), *stamp)).collect();
    standings(&mut criterion, &root, &stamps);
    criterion.final_summary();
}

/// The walk of a full check with a saved state.
fn survey<'t>(root: &Root, listing: &Listing<'t>) -> Survey<'t> {
    let changed = HashSet::default();
    let vouched = Vouched::Applied { changed: &changed, carried: None, ctimes: None, unfinished: false };
    let interrupt = Interrupt::default();
    let walk = Walk { root, listing, vouched, keep: |_: RelPath<'_>| false, descend: true, interrupt: &interrupt };
    walk.survey(vec![(0, Look::Whole)])
}

/// The list of the tree, which nobody keeps.
fn make_list(root: &Root) -> u64 {
    let jobs = rayon::current_num_threads();
    let list = Sink::Stream("nowhere".into(), Box::new(std::io::sink()));
    let sinks = Sinks { list, plain: None, images: None };
    let options = Options { jobs, ..Options::default() };
    write_lists(root, &options, sinks, &Interrupt::default()).expect("a list").rows
}

/// The yardstick: the same calls for each entry, and nothing done with what they say. Returns how many entries there are.
fn bare(above: BorrowedFd<'_>, name: &str) -> u64 {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(above, name, flags, Mode::empty()).expect("a directory");
    let mut buffer = Vec::with_capacity(32 << 10);
    let mut dir = RawDir::new(&fd, buffer.spare_capacity_mut() as &mut [MaybeUninit<u8>]);
    let mut entries = 0;
    let mut subdirectories = Vec::new();
    while let Some(entry) = dir.next() {
        let entry = entry.expect("an entry");
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        entries += 1;
        let stat = statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW).expect("an entry that is there");
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            subdirectories.push(name.to_str().expect("ASCII").to_owned());
        }
    }
    entries + subdirectories.par_iter().map(|name| bare(fd.as_fd(), name)).sum::<u64>()
}

/// One look at each directory, and beside it the yardstick: the same call by path, and nothing done with what it says.
fn standings(criterion: &mut Criterion, root: &Root, stamps: &Vec<(RelPath<'_>, Stamp)>) {
    let mut group = support::group(criterion, "stamps", stamps.len());
    group.bench_function("all directories", |bencher| {
        let is_same = |(dir, stamp): &&(RelPath<'_>, Stamp)| Standing::of(root, *dir, Some(*stamp)) == Standing::Same;
        bencher.iter(|| stamps.par_iter().filter(is_same).count());
    });
    group.bench_function("bare", |bencher| {
        let stat = |(dir, _): &&(RelPath<'_>, Stamp)| {
            let path: &[u8] = if dir.is_top() { b"." } else { dir.bytes() };
            statat(root.fd(), path, AtFlags::SYMLINK_NOFOLLOW).is_ok()
        };
        bencher.iter(|| stamps.par_iter().filter(stat).count());
    });
    group.finish();
}
