//! The mark of a run that is under way.
//!
//! It is written before the mirror is first changed, and a module is taken from it when its new state is saved. Where one is named at
//! start, the last run was cut off or failed before that, and the module is looked at in full. Each is named with the moment before
//! the first change, by the clock of its file system: temporary files that are not older are ours.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{State, StateError, remove, sealed};

const WHAT: &str = "journal";
const VERSION: u32 = 2;

/// The journal of one mirror root.
#[derive(Clone, Debug)]
pub struct Journal {
    path: PathBuf,
}

/// What a run left behind that was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// There is no journal: the last run ended in order.
    Nothing,
    /// These modules, by directory, were being changed, and since when, nanoseconds since the epoch.
    Modules(BTreeMap<String, i64>),
    /// The journal cannot be read: any module may have been.
    Anything,
}

impl Unfinished {
    /// What was being changed, for human eyes.
    pub fn what(&self) -> String {
        match self {
            Unfinished::Nothing => "nothing".to_owned(),
            Unfinished::Modules(modules) => modules.keys().cloned().collect::<Vec<_>>().join(", "),
            Unfinished::Anything => "any module".to_owned(),
        }
    }

    /// Whether a module may have been left half changed.
    pub fn concerns(&self, directory: &str) -> bool {
        match self {
            Unfinished::Nothing => false,
            Unfinished::Modules(modules) => modules.contains_key(directory),
            Unfinished::Anything => true,
        }
    }

    /// Since when a module was being changed; `None` if it was not, or if that is not known.
    pub fn since(&self, directory: &str) -> Option<i64> {
        match self {
            Unfinished::Modules(modules) => modules.get(directory).copied(),
            Unfinished::Nothing | Unfinished::Anything => None,
        }
    }
}

impl Journal {
    /// The journal in a state directory.
    pub fn of(state: &State) -> Journal {
        Journal { path: state.dir().join("journal") }
    }

    /// What the last run left.
    pub fn unfinished(&self) -> Unfinished {
        match sealed::read(&self.path, WHAT, VERSION) {
            Ok(None) => Unfinished::Nothing,
            Ok(Some(text)) => parse(&text).map_or(Unfinished::Anything, Unfinished::Modules),
            Err(_) => Unfinished::Anything,
        }
    }

    /// Says that these modules are being changed, by directory, since these moments, and by a plan of this digest. Modules that an
    /// earlier run left half changed stay named until they are put in order.
    ///
    /// # Errors
    /// If it cannot be written; then nothing may be changed.
    pub fn begin(&self, modules: &[(&str, i64)], digest: &str) -> Result<(), StateError> {
        let mut named = match self.unfinished() {
            Unfinished::Nothing => BTreeMap::new(),
            Unfinished::Modules(earlier) => earlier,
            // It stays as it is: it already says that anything may be half changed.
            Unfinished::Anything => return Ok(()),
        };
        for &(directory, since) in modules {
            // What an earlier run began was not put in order meanwhile.
            named.entry(directory.to_owned()).or_insert(since);
        }
        self.write(digest, &named)
    }

    fn write(&self, digest: &str, modules: &BTreeMap<String, i64>) -> Result<(), StateError> {
        let lines: String = modules.iter().map(|(directory, since)| format!("{since} {directory}\n")).collect();
        let text = format!("plan {digest}\n{lines}");
        sealed::write(&self.path, WHAT, VERSION, text.as_bytes())
            .map_err(StateError::io("cannot write the journal", &self.path))
    }

    /// Says which modules, by directory, are in order now. Those that are not stay named; where anything may be half changed, that
    /// holds until all that are configured are in order.
    ///
    /// # Errors
    /// If it cannot be written or removed.
    pub fn end(&self, in_order: &[&str], configured: &[&str]) -> Result<(), StateError> {
        let still = match self.unfinished() {
            Unfinished::Nothing => return Ok(()),
            Unfinished::Modules(mut named) => {
                named.retain(|name, _| !in_order.contains(&name.as_str()));
                named
            }
            Unfinished::Anything if configured.iter().all(|name| in_order.contains(name)) => BTreeMap::new(),
            Unfinished::Anything => return Ok(()),
        };
        if !still.is_empty() {
            return self.write("none", &still);
        }
        remove("cannot remove the journal", &self.path)
    }
}

fn parse(text: &[u8]) -> Option<BTreeMap<String, i64>> {
    let module = |line: &str| {
        let (since, directory) = line.split_once(' ')?;
        Some((directory.to_owned(), since.parse().ok()?))
    };
    std::str::from_utf8(text).ok()?.lines().skip(1).map(module).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_run_that_was_cut_off_is_known_by_its_modules() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::at(dir.path(), std::path::Path::new("/srv"));
        state.create().unwrap();
        let journal = Journal::of(&state);
        assert_eq!(journal.unfinished(), Unfinished::Nothing);
        journal.begin(&[("fedora", 5)], "0").unwrap();
        assert!(journal.unfinished().concerns("fedora") && !journal.unfinished().concerns("epel"));
        journal.begin(&[("epel", 7), ("fedora", 8)], "0").unwrap();
        assert!(journal.unfinished().concerns("fedora") && journal.unfinished().concerns("epel"));
        assert_eq!((journal.unfinished().since("fedora"), journal.unfinished().since("epel")), (Some(5), Some(7)));
        let configured = ["fedora", "epel"];
        journal.end(&["epel"], &configured).unwrap();
        assert_eq!(journal.unfinished(), Unfinished::Modules([("fedora".to_owned(), 5)].into()));
        journal.end(&["fedora"], &configured).unwrap();
        assert_eq!(journal.unfinished(), Unfinished::Nothing);
        std::fs::write(&journal.path, "torn").unwrap();
        journal.end(&["epel"], &configured).unwrap();
        assert!(journal.unfinished().concerns("anything") && journal.unfinished().since("fedora").is_none());
        journal.end(&["epel", "fedora"], &configured).unwrap();
        assert_eq!(journal.unfinished(), Unfinished::Nothing);
    }

    proptest! {
        // Each writes to a disk and waits for it.
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn whatever_is_in_its_place_something_may_be_unfinished(bytes: Vec<u8>, whole: bool) {
            let dir = tempfile::tempdir().unwrap();
            let journal = Journal { path: dir.path().join("journal") };
            if whole { sealed::write(&journal.path, WHAT, VERSION, &bytes).unwrap() } else { std::fs::write(&journal.path, &bytes).unwrap() }
            let unfinished = journal.unfinished();
            prop_assert_ne!(&unfinished, &Unfinished::Nothing);
            prop_assert!(whole || unfinished == Unfinished::Anything);
        }
    }
}
