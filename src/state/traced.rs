//! What the trace was left for last: a trace is due when a list is newer than then.

use std::collections::BTreeMap;

use super::{State, StateError, sealed};

const WHAT: &str = "traced";
const VERSION: u32 = 1;

/// The times of the lists when the last trace was left, in seconds since the epoch, by module.
pub type Times = BTreeMap<String, i64>;

/// Reads them; none if no trace was left.
///
/// # Errors
/// If they cannot be read back; then they are to be treated as none, with a warning: a trace is left once more.
pub fn read(state: &State) -> Result<Times, StateError> {
    let path = state.dir().join(WHAT);
    let failed = |error| StateError::io("cannot use what the trace was left for, in", &path)(error);
    let Some(text) = sealed::read(&path, WHAT, VERSION).map_err(failed)? else { return Ok(Times::new()) };
    serde_json::from_slice(&text).map_err(|error| failed(error.into()))
}

/// Saves them.
///
/// # Errors
/// If they cannot be written; then the trace is left once more.
pub fn write(state: &State, times: &Times) -> Result<(), StateError> {
    let path = state.dir().join(WHAT);
    let failed = |error| StateError::io("cannot save what the trace was left for, in", &path)(error);
    let mut text = serde_json::to_vec(times).map_err(|error| failed(error.into()))?;
    text.push(b'\n');
    sealed::write(&path, WHAT, VERSION, &text).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::at(dir.path(), "/srv".as_ref());
        state.create().unwrap();
        assert!(read(&state).unwrap().is_empty());
        let times = Times::from([("fedora".to_owned(), 5)]);
        write(&state, &times).unwrap();
        assert_eq!(read(&state).unwrap(), times);
    }
}
