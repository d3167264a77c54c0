//! What an admin opened here before upstream's lists give it to everybody.

use std::path::PathBuf;

use super::sealed::{self, invalid};
use super::{State, StateError};
use crate::path::RelPath;
use crate::plan::openings::Openings;

const WHAT: &str = "openings";
const VERSION: u32 = 1;

fn file(state: &State) -> PathBuf {
    state.dir().join(WHAT)
}

/// Reads them.
///
/// # Errors
/// If they cannot be read back; then they are to be treated as absent, with a warning: what was opened is closed again.
pub fn read(state: &State) -> Result<Openings, StateError> {
    let path = file(state);
    let failed = |error| StateError::io("cannot use what was opened, in", &path)(error);
    match sealed::read(&path, WHAT, VERSION).map_err(failed)? {
        None => Ok(Openings::default()),
        Some(text) => parse(&text).ok_or_else(|| failed(invalid("it is not in its format"))),
    }
}

/// Saves them.
///
/// # Errors
/// If they cannot be written; then nothing may be opened.
pub fn write(state: &State, openings: &Openings) -> Result<(), StateError> {
    let mut text = Vec::new();
    for (path, time) in openings.iter() {
        text.extend_from_slice(format!("{time} ").as_bytes());
        text.extend_from_slice(path.bytes());
        text.push(b'\n');
    }
    let path = file(state);
    sealed::write(&path, WHAT, VERSION, &text).map_err(StateError::io("cannot write", &path))
}

fn parse(text: &[u8]) -> Option<Openings> {
    let mut openings = Openings::default();
    for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let space = memchr::memchr(b' ', line)?;
        let time = std::str::from_utf8(&line[..space]).ok()?.parse().ok()?;
        openings.add(RelPath::of_dir(&line[space + 1..]).ok()?, time);
    }
    Some(openings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_else_is_there_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::at(dir.path(), "/srv".as_ref());
        state.create().unwrap();
        assert!(read(&state).unwrap().is_empty());
        let mut openings = Openings::default();
        openings.add(RelPath::TOP, 1);
        openings.add(RelPath::new(b"fedora/a b\xff").unwrap(), 2);
        write(&state, &openings).unwrap();
        assert_eq!(read(&state).unwrap(), openings);
        for wrong in [&b"1\n"[..], b"x fedora\n", b"1 ../a\n", b"1 /a\n"] {
            assert_eq!(parse(wrong), None, "{}", wrong.escape_ascii());
        }
    }
}
