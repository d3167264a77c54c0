//! When runs of ours were changing the mirror.
//!
//! A run may change what it does not compare: a name that goes, or one that is linked, is a change of the file, which may have other names
//! in any module. So this is kept for the mirror root, and by time, not by file.

use std::path::PathBuf;

use super::sealed::{self, invalid};
use super::{State, StateError};
use crate::plan::spans::Spans;

const WHAT: &str = "spans";
const VERSION: u32 = 1;

fn file(state: &State) -> PathBuf {
    state.dir().join("spans")
}

/// The spans of the last runs.
///
/// # Errors
/// If they cannot be read back; then they are to be treated as absent: what was changed by us looks as if others had changed it.
pub fn read(state: &State) -> Result<Spans, StateError> {
    let path = file(state);
    let failed = |error| StateError::io("cannot use the spans in", &path)(error);
    match sealed::read(&path, WHAT, VERSION).map_err(failed)? {
        None => Ok(Spans::default()),
        Some(text) => parse(&text).ok_or_else(|| failed(invalid("it is not in its format"))),
    }
}

/// Says that we were changing the mirror in these spans, by the clock of its file system, nanoseconds since the epoch, read before
/// the first change and after the last. Spans that cannot be read back make way.
///
/// # Errors
/// If it cannot be written.
pub fn add(state: &State, added: &Spans) -> Result<(), StateError> {
    let mut spans = read(state).unwrap_or_default();
    added.iter().for_each(|(begin, end)| spans.add(begin, end));
    let text: String = spans.iter().map(|(begin, end)| format!("{begin} {end}\n")).collect();
    let path = file(state);
    sealed::write(&path, WHAT, VERSION, text.as_bytes()).map_err(StateError::io("cannot write", &path))
}

fn parse(text: &[u8]) -> Option<Spans> {
    let mut spans = Spans::default();
    for line in std::str::from_utf8(text).ok()?.lines() {
        let (begin, end) = line.split_once(' ')?;
        spans.add(begin.parse().ok()?, end.parse().ok()?);
    }
    Some(spans)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        // Each writes to a disk and waits for it.
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn any_that_were_added_are_read_back_and_whatever_is_in_their_place_makes_way(
            added in proptest::collection::vec(any::<(i64, i64)>(), 1..6), bytes: Vec<u8>
        ) {
            let dir = tempfile::tempdir().unwrap();
            let state = State::at(dir.path(), std::path::Path::new("/srv"));
            state.create().unwrap();
            prop_assert_eq!(read(&state).unwrap(), Spans::default());
            let mut spans = Spans::default();
            for &(begin, end) in &added {
                spans.add(begin, end);
                let mut added = Spans::default();
                added.add(begin, end);
                add(&state, &added).unwrap();
            }
            prop_assert_eq!(read(&state).unwrap(), spans);
            std::fs::write(file(&state), bytes).unwrap();
            prop_assert!(read(&state).is_err());
            let mut added = Spans::default();
            added.add(1, 2);
            add(&state, &added).unwrap();
            prop_assert!(read(&state).unwrap().hold(2));
        }

        #[test]
        fn any_text_is_judged_without_panic(bytes: Vec<u8>, lines in "([0-9-]{0,20} ?[0-9-]{0,20}\\n?){0,3}") {
            parse(&bytes);
            parse(lines.as_bytes());
        }
    }
}
