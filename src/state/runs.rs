//! The last runs.

use std::path::PathBuf;

use serde_json::Value;

use super::{State, StateError, sealed};

const WHAT: &str = "runs";
const VERSION: u32 = 1;

/// So many runs are kept.
const KEPT: usize = 100;

fn file(state: &State) -> PathBuf {
    state.dir().join("runs")
}

/// The records of the last runs, oldest first; each is the object that `--json` prints.
///
/// # Errors
/// If they cannot be read back.
pub fn read(state: &State) -> Result<Vec<Value>, StateError> {
    let path = file(state);
    let failed = |error| StateError::io("cannot read the last runs in", &path)(error);
    match sealed::read(&path, WHAT, VERSION).map_err(failed)? {
        None => Ok(Vec::new()),
        Some(text) => text
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).map_err(|error| failed(error.into())))
            .collect(),
    }
}

/// Adds a run. Records that cannot be read back make way.
///
/// # Errors
/// If it cannot be written.
pub fn add(state: &State, record: Value) -> Result<(), StateError> {
    let mut records = read(state).unwrap_or_default();
    records.push(record);
    let text: String = records.iter().rev().take(KEPT).rev().map(|record| format!("{record}\n")).collect();
    let path = file(state);
    sealed::write(&path, WHAT, VERSION, text.as_bytes()).map_err(StateError::io("cannot write", &path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_last_hundred_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::at(dir.path(), std::path::Path::new("/srv"));
        state.create().unwrap();
        assert!(read(&state).unwrap().is_empty());
        (0..103).for_each(|number| add(&state, Value::from(number)).unwrap());
        let records = read(&state).unwrap();
        assert_eq!((records.len(), &records[0], &records[99]), (100, &Value::from(3), &Value::from(102)));
    }

    proptest! {
        // Each writes to a disk and waits for it.
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn whatever_is_in_their_place_a_run_is_added(bytes: Vec<u8>, whole: bool) {
            let dir = tempfile::tempdir().unwrap();
            let state = State::at(dir.path(), std::path::Path::new("/srv"));
            state.create().unwrap();
            let path = file(&state);
            if whole { sealed::write(&path, WHAT, VERSION, &bytes).unwrap() } else { std::fs::write(&path, &bytes).unwrap() }
            add(&state, Value::from(1)).unwrap();
            prop_assert_eq!(read(&state).unwrap().pop(), Some(Value::from(1)));
        }
    }
}
