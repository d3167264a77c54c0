//! What belongs together in a tree: a repository, and the metadata that leads to what it holds.

use std::collections::BTreeSet;

use super::changes::Changes;
use super::compare::Fetch;
use super::publish::Class;
use crate::list::{Kind, Listing, Row};
use crate::path::RelPath;

/// The directory whose content an index or a pointer leads to; `None` for what is neither.
pub fn led_to(path: RelPath<'_>) -> Option<RelPath<'_>> {
    let is_content = Class::of(path, Kind::File) == Class::Content;
    let metadata = path.ancestors().find(|above| matches!(above.name(), b"repodata" | b"dists"));
    (!is_content).then(|| metadata.unwrap_or(path).parent())
}

/// Takes out of what is to come, by path, what directories that are held in the way keep out: what upstream has in their places, and the
/// indexes and pointers of the repositories around them, which may lead there. Returns that, by path.
pub fn hold_back<'t>(fetch: &mut Vec<Fetch<'t>>, held: &[RelPath<'t>]) -> Vec<Fetch<'t>> {
    let leads_to = |repository: RelPath<'_>| held.iter().any(|path| path.is_within(repository));
    let is_kept_out = |fetch: &mut Fetch<'_>| {
        held.contains(&fetch.path) || fetch.class() != Class::Content && led_to(fetch.path).is_some_and(leads_to)
    };
    fetch.extract_if(.., is_kept_out).collect()
}

/// The repositories that lost what clients begin with, `repodata/repomd.xml` or `dists/…/InRelease`, while something else of them
/// stays. `was_carried` says whether a row of the old list was; `listing` has at least the rows around what changed.
pub fn headless<'t>(
    changes: &Changes<'t>,
    was_carried: impl Fn(Option<Row>, RelPath<'_>) -> bool,
    listing: &Listing<'_>,
) -> BTreeSet<RelPath<'t>> {
    let gone = changes.rows.iter().filter(|changed| changed.new.is_none());
    // Names are looked at faster than filters.
    let left = gone.filter_map(|changed| Some((left_headless(changed.path, listing)?, changed)));
    left.filter(|(_, changed)| was_carried(changed.old, changed.path)).map(|(repository, _)| repository).collect()
}

/// The repository that stays without this entry, if clients begin with that.
fn left_headless<'t>(path: RelPath<'t>, listing: &Listing<'_>) -> Option<RelPath<'t>> {
    let names = |dir: RelPath<'_>| {
        let entries = listing.dir(dir).map(|dir| listing.entries(dir)).unwrap_or_default();
        entries.iter().map(|row| listing.name(row))
    };
    let holder = path.parent();
    match path.name() {
        b"repomd.xml" if holder.name() == b"repodata" => {
            let repository = holder.parent();
            names(repository).any(|name| name != b"repodata").then_some(repository)
        }
        b"InRelease" | b"Release" => {
            let dists = path.ancestors().find(|above| above.name() == b"dists")?;
            // A suite may go as a whole; not all of them, with what they lead to left behind.
            let remains = |dir: RelPath<'_>| names(dir).next().is_some();
            if remains(holder) {
                let has_another = names(holder).any(|name| matches!(name, b"InRelease" | b"Release"));
                (!has_another).then_some(holder)
            } else {
                (!remains(dists) && remains(dists.parent())).then_some(dists.parent())
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::{Carry, Sections};
    use crate::plan::compare::FetchCause;

    fn list(files: &[&str]) -> Vec<u8> {
        let rows: String = files.iter().map(|path| format!("1\tf\t1\t{path}\n")).collect();
        format!("[Version]\n2\n\n[Files]\n{rows}1\tf\t1\telsewhere\n\n[End]\n").into_bytes()
    }

    fn left(before: &[&str], after: &[&str]) -> Vec<String> {
        let (before, after) = (list(before), list(after));
        let (old, new) = (Sections::find(&before).unwrap(), Sections::find(&after).unwrap());
        let changes = Changes::between((&before, &old), (&after, &new)).unwrap();
        let listing = Listing::read(&after, &new, |_, _| Carry::Yes).unwrap();
        headless(&changes, |row, _| row.is_some(), &listing).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_held_holds_what_may_lead_there() {
        let text = list(&[
            "a/os/Packages/x.rpm",
            "a/os/held",
            "a/os/repodata/1-primary.xml.gz",
            "a/os/repodata/repomd.xml",
            "b/os/repodata/repomd.xml",
            "debian/dists/sid/InRelease",
            "debian/pool/held",
        ]);
        let sections = Sections::find(&text).unwrap();
        let listing = Listing::read(&text, &sections, |_, _| Carry::Yes).unwrap();
        let files = || listing.rows().iter().filter(|row| row.kind == Kind::File);
        let held_back = |cause, held: &[&'static str]| {
            let mut fetch: Vec<Fetch<'_>> = files().map(|row| Fetch::new(&listing, row, cause)).collect();
            fetch.sort_by_key(|fetch| fetch.path);
            let held: Vec<RelPath<'_>> = held.iter().map(|path| RelPath::new(path.as_bytes()).unwrap()).collect();
            hold_back(&mut fetch, &held).iter().map(|fetch| fetch.path.to_string()).collect::<Vec<_>>()
        };
        let rpm = ["a/os/held", "a/os/repodata/1-primary.xml.gz", "a/os/repodata/repomd.xml"];
        assert_eq!(held_back(FetchCause::Size, &rpm[..1]), rpm);
        assert_eq!(held_back(FetchCause::Missing, &rpm[..1]), [rpm[0], rpm[2]], "nothing leads to a new index yet");
        let debian = ["debian/dists/sid/InRelease", "debian/pool/held"];
        assert_eq!(held_back(FetchCause::Size, &debian[1..]), debian);
        assert_eq!(held_back(FetchCause::Size, &[]), [""; 0]);
    }

    #[test]
    fn a_repository_that_stays_without_its_metadata_is_named() {
        let rpm = ["a/os/repodata/repomd.xml", "a/os/repodata/primary", "a/os/Packages/x.rpm"];
        assert_eq!(left(&rpm, &rpm[2..]), ["a/os"]);
        assert_eq!(left(&rpm, &rpm[1..]), ["a/os"]);
        assert_eq!(left(&rpm, &rpm[..2]), [""; 0], "packages may go");
        assert_eq!(left(&rpm, &rpm[1..2]), [""; 0], "the packages went too");
        assert_eq!(left(&rpm, &[]), [""; 0], "all of it went");

        let debian = ["debian/dists/sid/InRelease", "debian/dists/sid/Release", "debian/dists/sid/main/Packages"];
        let all = [&debian[..], &["debian/dists/old/InRelease", "debian/pool/x.deb"]].concat();
        let without = |gone: &[&str]| all.iter().filter(|path| !gone.contains(path)).copied().collect::<Vec<_>>();
        assert_eq!(left(&all, &without(&debian[..2])), ["debian/dists/sid"]);
        assert_eq!(left(&all, &without(&debian[..1])), [""; 0], "one of two ways to begin is left");
        assert_eq!(left(&all, &without(&debian)), [""; 0], "a suite went as a whole");
        assert_eq!(left(&all, &all[4..]), ["debian"], "all suites went, and the packages stay");
        assert_eq!(left(&all, &[]), [""; 0]);
    }
}
