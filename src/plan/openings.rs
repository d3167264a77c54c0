//! What an admin opened here before upstream's lists give it to everybody (`qfm bitflip`).
//!
//! A list goes on saying that it is restricted until upstream has opened it too, and has made a new one. Runs until then would close what
//! was opened. So it is remembered which paths were opened, and how new the newest row was that was opened with them. That counts for what
//! upstream has not changed since: a row that is newer and still restricted is upstream's later word, or of something that nobody saw when it
//! was opened, and is followed.

use crate::path::{RelPath, RelPathBuf};

/// Paths below the mirror root, each opened with all that lies below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Openings(Vec<Opening>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Opening {
    path: RelPathBuf,
    time: i64,
}

impl Openings {
    /// Adds a path that is opened, with the time of the newest row that is opened there, seconds since the epoch. It stands for those below it from then on.
    pub fn add(&mut self, path: RelPath<'_>, time: i64) {
        self.0.retain(|opening| !opening.path.as_path().is_within(path));
        self.0.push(Opening { path: path.to_owned(), time });
    }

    /// What of them concerns a directory right below the mirror root: as paths in that.
    #[must_use]
    pub fn below(&self, directory: &str) -> Openings {
        let below = |opening: &Opening| {
            let path = below(directory, opening.path.as_path())?.to_owned();
            Some(Opening { path, time: opening.time })
        };
        Openings(self.0.iter().filter_map(below).collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a path was opened, and upstream has not changed it since: `time` is that of its row, in seconds since the epoch.
    pub fn cover(&self, path: RelPath<'_>, time: i64) -> bool {
        self.0.iter().any(|opening| time <= opening.time && path.is_within(opening.path.as_path()))
    }

    /// Each path with its time.
    pub fn iter(&self) -> impl Iterator<Item = (RelPath<'_>, i64)> {
        self.0.iter().map(|opening| (opening.path.as_path(), opening.time))
    }
}

/// What a path below the mirror root means in a directory right below that: a path in it, its top where it lies in what is meant, or
/// `None` where nothing of it does.
pub fn below<'p>(directory: &str, path: RelPath<'p>) -> Option<RelPath<'p>> {
    if path.is_top() || path.bytes() == directory.as_bytes() {
        return Some(RelPath::TOP);
    }
    let rest = path.bytes().strip_prefix(directory.as_bytes())?.strip_prefix(b"/")?;
    RelPath::new(rest).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath<'_> {
        RelPath::of_dir(text.as_bytes()).unwrap()
    }

    #[test]
    fn an_opening_is_for_what_lies_below_it_and_upstream_did_not_change_since() {
        let mut openings = Openings::default();
        openings.add(path("fedora/linux/releases/43"), 1000);
        openings.add(path("alt"), 2000);
        let fedora = openings.below("fedora");
        for (at, time, covered) in [
            ("linux/releases/43", 1000, true),
            ("linux/releases/43/Everything/a.rpm", 5, true),
            ("linux/releases/43/Everything/a.rpm", 1001, false),
            ("linux/releases/430/a.rpm", 5, false),
            ("linux/releases", 5, false),
        ] {
            assert_eq!(fedora.cover(path(at), time), covered, "{at} at {time}");
        }
        assert!(openings.below("alt").cover(path("any/thing"), 2000));
        assert!(openings.below("fedora-secondary").is_empty() && openings.below("epel").is_empty());
    }

    #[test]
    fn a_later_opening_takes_the_place_of_those_below_it() {
        let mut openings = Openings::default();
        openings.add(path("fedora/a/b"), 1);
        openings.add(path("fedora/c"), 2);
        openings.add(path("fedora/a"), 3);
        assert_eq!(openings.iter().collect::<Vec<_>>(), [(path("fedora/c"), 2), (path("fedora/a"), 3)]);
        openings.add(path(""), 4);
        assert_eq!(openings.iter().collect::<Vec<_>>(), [(path(""), 4)]);
        assert!(openings.below("epel").cover(path("8/a"), 4));
    }
}
