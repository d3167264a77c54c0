use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::list::Sections;
use crate::plan::filter::{Filter, Selection};

/// Time, kind, size, path.
type Line = (i64, &'static str, u64, String);

fn line() -> impl Strategy<Value = Line> {
    let kinds = prop_oneof![8 => Just("f"), 1 => Just("f-"), 1 => Just("d"), 1 => Just("l")];
    (0..3i64, kinds, 0..3u64, "[ab]/[abc]/[ab]").prop_map(|(time, kind, size, path)| (time, kind, size, path))
}

fn text(lines: &[Line]) -> Vec<u8> {
    let rows = lines.iter().map(|(time, kind, size, path)| format!("{time}\t{kind}\t{size}\t{path}\n"));
    format!("[Version]\n2\n\n[Files]\n{}\n[End]\n", rows.collect::<String>()).into_bytes()
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

/// Groups as sets of module and path.
fn found(modules: &[Vec<Line>], by: Match) -> BTreeSet<Vec<(usize, String)>> {
    let texts: Vec<Vec<u8>> = modules.iter().map(|lines| text(lines)).collect();
    let sections: Vec<Sections> = texts.iter().map(|text| Sections::find(text).unwrap()).collect();
    let filter = |_| Filter::new(&Selection { directory: "m".into(), ..Selection::default() }).unwrap();
    let lists = texts.iter().zip(&sections).enumerate();
    let lists: Vec<Haystack<'_>> =
        lists.map(|(module, (text, sections))| Haystack { module, text, sections, filter: filter(module) }).collect();
    let candidates = Candidates::find(&lists, by);
    let groups = candidates.groups().map(|names| {
        assert!(names.is_sorted());
        names.iter().map(|name| (name.module, name.path.to_string())).collect::<Vec<_>>()
    });
    groups.filter(|names| names.len() > 1).collect()
}

fn facts() -> impl Strategy<Value = Facts> {
    let one_or_two = || 1..3u32;
    (one_or_two(), 1..6u64, 1..4u64, one_or_two(), one_or_two(), one_or_two()).prop_map(
        |(device, inode, links, owner, mode, mtime)| Facts {
            file: Inode { device: device.into(), number: inode },
            links,
            owner,
            group: 0,
            mode,
            size: 7,
            mtime: mtime.into(),
            ctime: 9,
        },
    )
}

const PATHS: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

fn name(number: usize) -> Name<'static> {
    Name { module: number % 2, path: RelPath::new(PATHS[number].as_bytes()).unwrap() }
}

/// Some files, each with one view of it for all of its names.
fn seen() -> impl Strategy<Value = Vec<(Name<'static>, Facts)>> {
    proptest::collection::vec(facts(), 0..PATHS.len()).prop_map(|facts| {
        let mut known: BTreeMap<(u64, u64), Facts> = BTreeMap::new();
        let one = |(number, facts): (usize, Facts)| {
            (name(number), *known.entry((facts.file.device, facts.file.number)).or_insert(facts))
        };
        facts.into_iter().enumerate().map(one).collect()
    })
}

proptest! {
    #[test]
    fn groups_are_the_files_that_agree(
        modules in proptest::collection::vec(proptest::collection::vec(line(), 0..12), 1..4),
        by in prop_oneof![Just(Match::Time), Just(Match::Name), Just(Match::Size)],
    ) {
        let mut expected: BTreeMap<_, BTreeSet<(usize, String)>> = BTreeMap::new();
        for (module, lines) in modules.iter().enumerate() {
            for (time, kind, size, path) in lines.iter().filter(|line| line.1 == "f" && line.2 > 0) {
                let key = match by {
                    Match::Time => (name_of(path), *size, *time),
                    Match::Name => (name_of(path), *size, 0),
                    Match::Size => ("", *size, 0),
                };
                prop_assert_eq!(*kind, "f");
                expected.entry(key).or_default().insert((module, path.clone()));
            }
        }
        let expected: BTreeSet<Vec<(usize, String)>> =
            expected.into_values().filter(|names| names.len() > 1).map(|names| names.into_iter().collect()).collect();
        prop_assert_eq!(found(&modules, by), expected);
    }

    #[test]
    fn only_what_looks_alike_is_put_together_and_all_of_it(seen in seen(), shuffled in any::<prop::sample::Index>()) {
        let sets = lookalikes(seen.iter().copied());
        let mut turned = seen.clone();
        if !turned.is_empty() {
            turned.rotate_left(shuffled.index(seen.len()));
        }
        prop_assert_eq!(&lookalikes(turned), &sets, "the order makes no difference");
        for files in &sets {
            prop_assert!(files.len() > 1);
            prop_assert!(files.iter().all(|file| file.facts.looks() == files[0].facts.looks()));
            let inodes: BTreeSet<u64> = files.iter().map(|file| file.facts.file.number).collect();
            prop_assert_eq!(inodes.len(), files.len());
            for file in files {
                let all = seen.iter().filter(|(_, facts)| facts.is_file(&file.facts)).map(|(name, _)| *name);
                prop_assert_eq!(all.collect::<BTreeSet<_>>(), file.names.iter().copied().collect());
            }
        }
        for (name, facts) in &seen {
            let alike = seen.iter().any(|(_, other)| other.looks() == facts.looks() && other.file.number != facts.file.number);
            let times = sets.iter().flatten().filter(|file| file.names.contains(name)).count();
            prop_assert_eq!(times, usize::from(alike));
        }
    }

    #[test]
    fn equal_files_become_the_one_with_the_most_names(seen in seen(), digests in proptest::array::uniform6(0..2u8)) {
        let digest = |file: &File<'_>| digests[file.facts.file.number as usize];
        for files in lookalikes(seen) {
            let with_digests = |files: Vec<File<'static>>| files.into_iter().map(|file| { let of = digest(&file); (file, of) }).collect::<Vec<_>>();
            let sets = equal(with_digests(files.clone()));
            let backwards: Vec<File<'_>> = files.iter().rev().cloned().collect();
            prop_assert_eq!(&equal(with_digests(backwards)), &sets, "the order makes no difference");
            for set in &sets {
                prop_assert!(set.len() > 1 && set.iter().all(|file| digest(file) == digest(&set[0])));
                prop_assert!(set.iter().all(|file| file.facts.links <= set[0].facts.links));
            }
            for file in &files {
                let alike = files.iter().filter(|other| digest(other) == digest(file)).count() > 1;
                prop_assert_eq!(sets.iter().flatten().filter(|other| *other == file).count(), usize::from(alike));
            }
        }
    }
}

#[test]
fn what_was_changed_is_known_and_what_names_change_is_not_held_against_a_file() {
    let facts = Facts {
        file: Inode { device: 1, number: 2 },
        links: 1,
        owner: 3,
        group: 4,
        mode: 5,
        size: 6,
        mtime: 7,
        ctime: 8,
    };
    assert!(facts.is_untouched(&Facts { links: 2, ..facts }));
    assert!(!facts.is_untouched(&Facts { ctime: 9, ..facts }) && facts.is_unwritten(&Facts { ctime: 9, ..facts }));
    for other in [
        Facts { file: Inode { device: 0, ..facts.file }, ..facts },
        Facts { file: Inode { number: 0, ..facts.file }, ..facts },
        Facts { owner: 0, ..facts },
        Facts { group: 0, ..facts },
        Facts { mode: 0, ..facts },
        Facts { size: 0, ..facts },
        Facts { mtime: 0, ..facts },
    ] {
        assert!(!facts.is_untouched(&other) && !facts.is_unwritten(&other));
    }
    let file = File { facts: Facts { links: 2, ..facts }, names: vec![name(0)] };
    assert!(!file.goes_with_its_names() && File { names: vec![name(0), name(1)], ..file }.goes_with_its_names());
}
