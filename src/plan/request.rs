//! What rsync is asked for: names below one source, by publication class.

use super::compare::FetchCause;
use super::publish::Class;
use crate::path::RelPath;

/// One name of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'t> {
    /// The module it belongs to, by number.
    pub module: usize,
    /// Its path in the module.
    pub path: RelPath<'t>,
    /// Its publication class.
    pub class: Class,
    /// Whether size and time are right already, and its content must come all the same.
    pub ignore_times: bool,
}

/// Whether rsync's quick check would pass over what is to be fetched for this cause.
pub fn needs_ignore_times(cause: FetchCause) -> bool {
    cause == FetchCause::Checksum
}

/// Names for rsync's `--files-from --from0`: sorted, each behind its module's `prefix`, ended by NUL.
pub fn files_from<'t>(names: impl IntoIterator<Item = Name<'t>>, prefix: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    let mut names: Vec<Name<'t>> = names.into_iter().collect();
    names.sort_unstable_by_key(|name| (name.module, name.path));
    let mut bytes = Vec::new();
    for name in names {
        bytes.extend_from_slice(&prefix(name.module));
        bytes.extend_from_slice(name.path.bytes());
        bytes.push(0);
    }
    bytes
}
