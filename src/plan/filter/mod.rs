//! Which entries a mirror carries.
//!
//! `exclude` leaves parts out. `only` narrows what is carried, question by question: of what lies in a release, only the
//! releases named; of what lies in an architecture, only those named; what lies in neither stays. `keep_releases` leaves out
//! releases older than the newest so many that the list itself shows.

pub mod posix;
pub mod term;

use std::collections::{BTreeSet, HashMap};

pub use term::{BadTerm, Dimension, Term};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::openings::Openings;
use crate::list::listing::rows_in;
use crate::list::{Carry, Kind, Row, Sections, is_list_name};
use crate::path::RelPath;

/// What a module carries, ready to be asked about millions of rows.
#[derive(Clone, Debug)]
pub struct Filter {
    selection: Selection,
    exclude: Vec<Term>,
    only: HashMap<Dimension, Vec<Term>>,
    /// Whether any word looks at more than paths.
    reads_lines: bool,
    /// Releases below this number are left out; known when the list is.
    oldest_release: Option<u64>,
    /// What of it an admin opened here.
    openings: Openings,
}

/// What decides which entries a module carries. Kept with the saved state: the same selection of the same list is the same
/// entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// The module's directory: patterns are matched against `<directory>/<path>`.
    pub directory: String,
    /// The names of the module's list and extra files: rows of these names are passed over.
    pub own_names: Vec<String>,
    /// Whether what is not for everybody is carried.
    pub restricted: bool,
    /// What is left out.
    pub exclude: Vec<String>,
    /// What alone is carried; empty means everything.
    pub only: Vec<String>,
    /// How many of the newest releases are carried.
    pub keep_releases: Option<usize>,
}

impl Filter {
    /// Makes a filter.
    ///
    /// # Errors
    /// The first word that names nothing.
    pub fn new(selection: &Selection) -> Result<Filter, BadTerm> {
        let parse = |terms: &[String]| terms.iter().map(|term| Term::parse(term)).collect::<Result<Vec<_>, _>>();
        let mut only: HashMap<Dimension, Vec<Term>> = HashMap::new();
        for term in parse(&selection.only)? {
            only.entry(term.dimension()).or_default().push(term);
        }
        let exclude = parse(&selection.exclude)?;
        let reads_lines = exclude.iter().chain(only.values().flatten()).any(|term| matches!(term, Term::Line { .. }));
        Ok(Filter {
            selection: selection.clone(),
            exclude,
            only,
            reads_lines,
            oldest_release: None,
            openings: Openings::default(),
        })
    }

    /// The filter where an admin opened something, as paths in the module.
    #[must_use]
    pub fn with_openings(self, openings: Openings) -> Filter {
        Filter { openings, ..self }
    }

    /// Whether an admin opened anything here.
    pub fn has_openings(&self) -> bool {
        !self.openings.is_empty()
    }

    /// Whether an admin opened a row here before upstream did.
    pub fn is_opened(&self, row: &Row, path: RelPath<'_>) -> bool {
        self.openings.cover(path, row.time)
    }

    /// Whether what a row names is for everybody here: upstream says so, or an admin does.
    pub fn is_for_all(&self, row: &Row, path: RelPath<'_>) -> bool {
        row.mark.is_public() || self.is_opened(row, path)
    }

    /// What it was made from.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// The filter for one list: `keep_releases` counts the releases that the list shows.
    #[must_use]
    pub fn for_list(self, text: &[u8], sections: &Sections) -> Filter {
        if self.selection.keep_releases.is_none() {
            return self;
        }
        let is_epel = self.selection.directory == "epel";
        let releases = |piece| rows_in(text, piece).filter_map(|row| release_number(row.path(text), is_epel)).collect();
        let pieces = sections.pieces(text).into_par_iter().map(releases);
        self.with_releases(pieces.reduce(BTreeSet::new, |mut all, more| {
            all.extend(more);
            all
        }))
    }

    fn with_releases(self, releases: BTreeSet<u64>) -> Filter {
        let keep = self.selection.keep_releases.unwrap_or(usize::MAX);
        self.from_release(releases.into_iter().rev().take(keep).next_back())
    }

    /// The filter for a list of which the oldest release that is carried is known.
    #[must_use]
    pub fn from_release(self, oldest_release: Option<u64>) -> Filter {
        Filter { oldest_release, ..self }
    }

    /// The number of the oldest release that is carried, where releases are counted.
    pub fn oldest_release(&self) -> Option<u64> {
        self.oldest_release
    }

    /// What becomes of a row.
    pub fn carry(&self, row: &Row, path: RelPath<'_>) -> Carry {
        if is_list_name(path, &self.selection.own_names) {
            Carry::No
        } else if !row.mark.is_public() && !self.selection.restricted {
            // Whether it is left out or not: something may be here from before.
            Carry::Withheld
        } else if self.leaves_out(path, Some(row.size), row.kind == Kind::Dir) {
            Carry::No
        } else {
            Carry::Yes
        }
    }

    /// Whether there is a row, and the mirror carries it.
    pub fn carries(&self, row: Option<Row>, path: RelPath<'_>) -> bool {
        row.is_some_and(|row| self.carry(&row, path) == Carry::Yes)
    }

    /// Whether the admin left it out, as far as its path tells.
    pub fn excludes(&self, path: RelPath<'_>, is_dir: bool) -> bool {
        self.leaves_out(path, None, is_dir)
    }

    fn leaves_out(&self, path: RelPath<'_>, size: Option<u64>, is_dir: bool) -> bool {
        if self.exclude.is_empty() && self.only.is_empty() && self.oldest_release.is_none() {
            return false;
        }
        if let Some(oldest) = self.oldest_release
            && path_release(path, self.selection.directory == "epel").is_some_and(|number| number < oldest)
        {
            return true;
        }
        let mut whole = Vec::with_capacity(self.selection.directory.len() + 1 + path.bytes().len());
        whole.extend_from_slice(self.selection.directory.as_bytes());
        whole.push(b'/');
        whole.extend_from_slice(path.bytes());
        let length = whole.len();
        if self.reads_lines {
            let size = size.map(|size| size.to_string()).unwrap_or_default();
            whole.extend_from_slice(format!("\t{size}").as_bytes());
        }
        let (path, line) = (&whole[..length], &whole[..]);
        self.exclude.iter().any(|term| term.matches_line(path, line, is_dir))
            || self.only.iter().any(|(dimension, terms)| {
                dimension.concerns(path) && !terms.iter().any(|term| term.matches_line(path, line, is_dir))
            })
    }
}

/// The number of the release that shows itself in a path as released: what `keep_releases` counts.
fn release_number(path: RelPath<'_>, is_epel: bool) -> Option<u64> {
    let mut parts = path.parts();
    if is_epel {
        return number(parts.next()?);
    }
    parts.find(|part| *part == b"releases")?;
    number(parts.next()?)
}

/// The number of the release that a path belongs to, released, updates or testing.
fn path_release(path: RelPath<'_>, is_epel: bool) -> Option<u64> {
    let mut parts = path.parts().peekable();
    if !is_epel {
        parts.find(|part| matches!(*part, b"releases" | b"updates"))?;
    }
    parts.next_if(|part| matches!(*part, b"testing" | b"next"));
    number(parts.next()?)
}

/// The release that a path belongs to, as `release:` names it: also one that is in development.
pub fn release_of<'p>(path: RelPath<'p>, directory: &str) -> Option<&'p [u8]> {
    let mut parts = path.parts().peekable();
    if directory != "epel" {
        parts.find(|part| matches!(*part, b"releases" | b"updates" | b"development"))?;
    }
    parts.next_if(|part| matches!(*part, b"testing" | b"next"));
    let release = parts.next()?;
    // A minor release belongs to its major one.
    if directory == "epel" { release.split(|&byte| byte == b'.').next() } else { Some(release) }
}

/// `9`, or `9` of `9.2`.
fn number(part: &[u8]) -> Option<u64> {
    let digits = part.split(|&byte| byte == b'.').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(selection: Selection) -> Filter {
        Filter::new(&selection).unwrap()
    }

    fn excludes(filter: &Filter, path: &str) -> bool {
        filter.excludes(RelPath::new(path.as_bytes()).unwrap(), false)
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn only_narrows_each_question_and_leaves_what_it_does_not_concern() {
        let only = words(&["release:43", "release:42", "arch:x86_64"]);
        let filter = filter(Selection { directory: "fedora".into(), only, ..Selection::default() });
        for carried in [
            "linux/releases/43/Everything/x86_64/os/a",
            "linux/updates/42/Everything/x86_64/a",
            "linux/releases/43/COMPOSE_ID",
            "linux/releases/43/Everything/source/tree/a",
            "RPM-GPG-KEY",
        ] {
            assert!(!excludes(&filter, carried), "{carried}");
        }
        for left_out in [
            "linux/releases/41/Everything/x86_64/os/a",
            "linux/releases/43/Everything/aarch64/os/a",
            "linux/development/rawhide/Everything/x86_64/a",
        ] {
            assert!(excludes(&filter, left_out), "{left_out}");
        }
    }

    #[test]
    fn only_with_a_pattern_carries_nothing_besides() {
        let only = words(&["re:^alt/stage/"]);
        let filter = filter(Selection { directory: "alt".into(), only, ..Selection::default() });
        assert!(!excludes(&filter, "stage/a"));
        assert!(excludes(&filter, "other/a"));
    }

    #[test]
    fn the_newest_releases_are_kept_with_their_updates_and_what_comes_next() {
        let paths =
            ["linux/releases/41/a", "linux/releases/42/a", "linux/releases/43/a", "linux/releases/test/44_Beta/a"];
        let paths = paths.map(|path| RelPath::new(path.as_bytes()).unwrap());
        let filter = filter(Selection { directory: "fedora".into(), keep_releases: Some(2), ..Selection::default() })
            .with_releases(paths.into_iter().filter_map(|path| release_number(path, false)).collect());
        assert!(excludes(&filter, "linux/releases/41/a"));
        assert!(excludes(&filter, "linux/updates/testing/41/a"));
        for carried in
            ["linux/releases/42/a", "linux/updates/43/a", "linux/development/44/a", "linux/releases/test/44_Beta"]
        {
            assert!(!excludes(&filter, carried), "{carried}");
        }
    }

    #[test]
    fn epel_counts_its_own_numbers() {
        let paths = ["8/a", "9/a", "10/a", "10.1/a"].map(|path| RelPath::new(path.as_bytes()).unwrap());
        let filter = filter(Selection { directory: "epel".into(), keep_releases: Some(2), ..Selection::default() })
            .with_releases(paths.into_iter().filter_map(|path| release_number(path, true)).collect());
        assert!(excludes(&filter, "8/Everything"));
        assert!(excludes(&filter, "testing/8/a"));
        assert!(!excludes(&filter, "9/a") && !excludes(&filter, "10.1/a"));
    }

    #[test]
    fn rows_that_name_lists_are_passed_over() {
        let own = words(&["mylist"]);
        let filter = filter(Selection { directory: "rocky".into(), own_names: own, ..Selection::default() });
        let carry = |path: &str| {
            let line = format!("1\tf\t1\t{path}");
            let row = Row::parse(line.as_bytes(), 0).unwrap();
            filter.carry(&row, row.path(line.as_bytes()))
        };
        assert_eq!(carry("fullfiletimelist-rocky"), Carry::No);
        assert_eq!(carry("mylist"), Carry::No);
        assert_eq!(carry("9/mylist"), Carry::Yes);
    }
}
