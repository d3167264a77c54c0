//! What a module's parts weigh, from its list alone: entries, bytes, and bytes with hard links counted once.
//!
//! Names of one file have the same last part, size and time ([`super::twins`]); what has them is counted as one file.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::ops::AddAssign;

use foldhash::fast::FixedState;
use rayon::prelude::*;
use regex::bytes::RegexSet;
use serde::Serialize;

use super::filter::term::{ARCHITECTURES, Term, category_patterns};
use super::filter::{Filter, release_of};
use super::twins::Key;
use crate::list::listing::rows_in;
use crate::list::{Carry, Kind, Row, Sections, is_list_name};
use crate::path::RelPath;

/// How much something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Weight {
    /// Entries: files, directories and links.
    pub entries: u64,
    /// Bytes of files, each name counted.
    pub bytes: u64,
    /// Bytes of files, names of one file counted once.
    pub bytes_once: u64,
}

impl Weight {
    /// One more name of the same file.
    fn add_name(&mut self, size: u64) {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(size);
        self.bytes_once = size;
    }
}

impl AddAssign for Weight {
    fn add_assign(&mut self, other: Weight) {
        self.entries += other.entries;
        // A list may say anything.
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.bytes_once = self.bytes_once.saturating_add(other.bytes_once);
    }
}

/// What a part of a module weighs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Part {
    /// All of it that the list has for this mirror.
    pub listed: Weight,
    /// What of it the settings carry.
    pub carried: Weight,
}

/// What a module weighs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sizes {
    /// The module's name.
    pub module: String,
    /// All of it.
    pub total: Part,
    /// Its parts, by the word that excludes each: categories, `release:` and `arch:`. One entry may be in several.
    pub parts: BTreeMap<String, Part>,
}

/// One row, as far as it matters: which file it is, how large, and in which parts.
struct Entry {
    file: u64,
    size: u64,
    categories: u32,
    release: u16,
    architecture: u8,
    is_file: bool,
    carried: bool,
}

/// No release, no architecture.
const NONE: u16 = u16::MAX;
const RAWHIDE: u16 = u16::MAX - 1;
const NO_ARCHITECTURE: u8 = u8::MAX;

/// Weighs a module. With `restricted`, what is not for everybody counts too.
pub fn measure(module: &str, text: &[u8], sections: &Sections, filter: &Filter, restricted: bool) -> Sizes {
    let selection = filter.selection();
    let words: Vec<(&str, String)> = category_patterns();
    // The patterns are the filter's own; they were compiled when it was made, or would be.
    let patterns = RegexSet::new(words.iter().map(|(_, pattern)| format!("(?-u){pattern}")));
    let patterns = patterns.expect("the patterns of the categories are regular expressions");
    let filter = filter.clone().for_list(text, sections);
    let entry = |row: &Row, path: RelPath<'_>| {
        let whole = [selection.directory.as_bytes(), b"/", path.bytes()].concat();
        let mut categories = patterns.matches(&whole).iter().fold(0, |set, index| set | 1 << index);
        if Term::Editions.matches(&whole, row.kind == Kind::Dir) {
            categories |= 1 << words.len();
        }
        Entry {
            file: FixedState::default().hash_one(Key::of(row, path)),
            size: if row.kind == Kind::File { row.size } else { 0 },
            categories,
            release: release(path, &selection.directory),
            architecture: architecture(path),
            is_file: row.kind == Kind::File,
            carried: filter.carry(row, path) == Carry::Yes,
        }
    };
    let mut entries: Vec<Entry> = sections
        .pieces(text)
        .into_par_iter()
        .flat_map_iter(|piece| {
            rows_in(text, piece).filter_map(|row| {
                let path = row.path(text);
                let public = row.mark.is_public() || restricted;
                (public && !is_list_name(path, &selection.own_names)).then(|| entry(&row, path))
            })
        })
        .collect();
    entries.par_sort_unstable_by_key(|entry| (!entry.is_file, entry.file));

    let mut sizes = Sizes { module: module.to_owned(), ..Sizes::default() };
    for names in entries.chunk_by(|a, b| a.is_file && b.is_file && a.file == b.file) {
        sizes.total += weigh(names.iter());
        for (index, (word, _)) in words.iter().enumerate() {
            sizes.add(word, names, |entry| entry.categories & 1 << index != 0);
        }
        sizes.add("editions", names, |entry| entry.categories & 1 << words.len() != 0);
        let mut releases: Vec<u16> =
            names.iter().map(|entry| entry.release).filter(|&release| release != NONE).collect();
        releases.sort_unstable();
        releases.dedup();
        for release in releases.into_iter().filter(|&release| release != RAWHIDE) {
            sizes.add(&format!("release:{release}"), names, |entry| entry.release == release);
        }
        for (index, name) in ARCHITECTURES.iter().enumerate() {
            sizes.add(&format!("arch:{name}"), names, |entry| usize::from(entry.architecture) == index);
        }
    }
    sizes
}

impl Sizes {
    fn add(&mut self, word: &str, names: &[Entry], belongs: impl Fn(&&Entry) -> bool) {
        if names.iter().any(|entry| belongs(&entry)) {
            *self.parts.entry(word.to_owned()).or_default() += weigh(names.iter().filter(belongs));
        }
    }
}

impl AddAssign for Part {
    fn add_assign(&mut self, other: Part) {
        self.listed += other.listed;
        self.carried += other.carried;
    }
}

/// Names of one file, or one other entry.
fn weigh<'e>(names: impl Iterator<Item = &'e Entry>) -> Part {
    let mut part = Part::default();
    for entry in names {
        part.listed.add_name(entry.size);
        if entry.carried {
            part.carried.add_name(entry.size);
        }
    }
    part
}

fn release(path: RelPath<'_>, directory: &str) -> u16 {
    match release_of(path, directory) {
        Some(b"rawhide") => RAWHIDE,
        Some(name) => std::str::from_utf8(name).ok().and_then(|name| name.parse().ok()).unwrap_or(NONE),
        None => NONE,
    }
}

fn architecture(path: RelPath<'_>) -> u8 {
    let found = path.parts().find_map(|part| ARCHITECTURES.iter().position(|name| name.as_bytes() == part));
    found.and_then(|index| u8::try_from(index).ok()).unwrap_or(NO_ARCHITECTURE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::filter::Selection;

    #[test]
    fn parts_are_weighed_with_hard_links_once() {
        let text = b"[Version]\n2\n\n[Files]\n\
            1\tf\t10\tlinux/releases/43/Everything/x86_64/os/a.rpm\n\
            1\tf\t10\tlinux/releases/43/Everything/aarch64/os/a.rpm\n\
            2\tf\t5\tlinux/releases/43/Everything/x86_64/debug/b.rpm\n\
            1\td\t4096\tlinux/releases/43/Everything/x86_64/debug\n\
            1\tf-\t99\tlinux/secret\n\n[End]\n";
        let sections = Sections::find(text).unwrap();
        let selection = Selection { directory: "fedora".into(), exclude: vec!["debug".into()], ..Selection::default() };
        let sizes = measure("m", text, &sections, &Filter::new(&selection).unwrap(), false);
        let weight = |entries, bytes, bytes_once| Weight { entries, bytes, bytes_once };
        assert_eq!(sizes.total, Part { listed: weight(4, 25, 15), carried: weight(2, 20, 10) });
        let part = |word: &str| sizes.parts[word];
        assert_eq!(part("debug"), Part { listed: weight(2, 5, 5), carried: weight(0, 0, 0) });
        assert_eq!(part("arch:aarch64").carried, weight(1, 10, 10));
        assert_eq!(part("arch:x86_64").listed, weight(3, 15, 15));
        assert_eq!(part("release:43").listed, weight(4, 25, 15));
        assert!(!sizes.parts.contains_key("source"));
    }
}
