//! Upstream's lists: what a module holds, as the master mirror wrote it down.
//!
//! [`sections`] finds the parts of a list and refuses one that is not whole, [`row`] reads one line, and [`listing`] groups
//! all rows by directory, which is how they are compared with a tree. [`mod@write`] is the other way: what a list says of an entry, as text.

pub mod diff;
pub mod listing;
pub mod row;
pub mod sections;
pub mod write;

pub use listing::{Carry, Listing};
pub use row::{BadRow, Kind, Mark, Row};
pub use sections::{ListError, Sections};

use crate::path::RelPath;

/// Whether `path` is a list, or one of the files that lie beside it, at the top of a module, or lies below such a name.
///
/// Lists may name themselves and each other, with sizes that were wrong before they were written (reference: Rocky), so
/// these rows are passed over; and what is here under such a name is never deleted. So is what has one of the paths among `own`.
pub fn is_list_name(path: RelPath<'_>, own: &[String]) -> bool {
    let name = path.parts().next().unwrap_or_default();
    name.starts_with(b"fullfiletimelist-")
        || name.starts_with(b"imagelist-")
        || name == b"fullfilelist"
        || own.iter().any(|own| own.as_bytes() == name || own.as_bytes() == path.bytes())
}

/// Whether `path` is a directory above one of these paths.
pub fn leads_to(path: RelPath<'_>, own: &[String]) -> bool {
    let is_below = |own: &String| own.as_bytes().strip_prefix(path.bytes()).is_some_and(|rest| rest.starts_with(b"/"));
    !path.is_top() && own.iter().any(is_below)
}
