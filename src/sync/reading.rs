//! A module under comparison.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::list::Listing;
use crate::path::RelPathBuf;
use crate::plan::Depth;
use crate::plan::filter::Filter;
use crate::plan::guard::Facts;
use crate::tree::walk::Survey;
use crate::tree::{Root, Stamp};

/// Stamps by directory.
pub(super) type Stamps = HashMap<RelPathBuf, Stamp, RandomState>;

/// The list of a module, and what was seen of its tree.
pub(super) struct Reading<'t> {
    /// The module, by number.
    pub module: usize,
    /// What its list carries.
    pub listing: Listing<'t>,
    /// What decided that.
    pub filter: Filter,
    /// Its directory, if there is one.
    pub root: Option<Root>,
    /// How closely it is compared.
    pub depth: Depth,
    /// Whether the list is another than the applied one.
    pub new_list: bool,
    /// When every directory and file was last compared, seconds since the epoch; 0 for never.
    pub last_full_check: i64,
    /// What the guard was told.
    pub facts: Facts,
    /// Stamps of directories that need not be read again next time.
    pub stamps: Stamps,
    /// Something failed here: the list must not be installed.
    pub blocked: bool,
}

/// Stamps of a survey that are safe to keep.
pub(super) fn kept<'a>(
    listing: &'a Listing<'_>,
    survey: &'a Survey<'_>,
    clock: Option<i64>,
) -> impl Iterator<Item = (RelPathBuf, Stamp)> + 'a {
    let safe = survey.stamps.iter().filter(move |(_, stamp)| clock.is_some_and(|clock| !stamp.is_racy(clock)));
    safe.map(|(dir, stamp)| (listing.dir_path(*dir).to_owned(), *stamp))
}
