//! A module under comparison.

use std::collections::{BTreeSet, HashSet};

use foldhash::fast::RandomState;

use crate::list::Listing;
use crate::list::listing::DirId;
use crate::path::RelPathBuf;
use crate::plan::Depth;
use crate::plan::compare::{Linked, Touched};
use crate::plan::filter::Filter;
use crate::plan::guard::{Facts, Peak};
use crate::state::Stamps;
use crate::state::applied::Checked;
use crate::state::stamps::News;
use crate::tree::{Root, Stamp};

/// The list of a module, and what was seen of its tree.
pub(super) struct Reading<'t> {
    /// The module, by number.
    pub module: usize,
    /// What its list carries: all of it, or at quick depth of the directories that matter.
    pub listing: Listing<'t>,
    /// What decided that.
    pub filter: Filter,
    /// Its directory, if there is one.
    pub root: Option<Root>,
    /// How closely it is compared.
    pub depth: Depth,
    /// Whether the list is another than the applied one.
    pub new_list: bool,
    /// What was compared, and when, this run included.
    pub checked: Checked,
    /// At quick depth, the directories that are compared as a whole.
    pub whole: HashSet<DirId, RandomState>,
    /// What the guard was told.
    pub facts: Facts,
    /// The most that the module had, this run included.
    pub peak: Peak,
    /// At quick depth the stamps as they were, and how long their file is.
    pub stamps: Option<(Stamps, u64)>,
    /// Links that lead out of the tree, and are not here.
    pub left_out: Vec<RelPathBuf>,
    /// Public paths that others cannot read here, and that are left so ([`Applied::closed`](crate::state::Applied::closed)).
    pub closed: Option<Vec<RelPathBuf>>,
    /// Names of files with several, of which the row changed.
    pub linked: Vec<Linked<'t>>,
    /// What others touched, until it is settled what becomes of it.
    pub touched: Vec<Touched<'t>>,
    /// What was found out about stamps.
    pub news: News,
    /// Directories in which a run that did not finish may have left temporary entries.
    pub littered: BTreeSet<RelPathBuf>,
    /// Something failed here: the list must not be installed.
    pub blocked: bool,
}

impl<'t> Reading<'t> {
    /// Of a module that is compared in full, or for the first time.
    pub fn full(
        module: usize,
        listing: Listing<'t>,
        filter: Filter,
        root: Option<Root>,
        new_list: bool,
    ) -> Reading<'t> {
        let (checked, whole, facts, peak, stamps, left_out, news, littered) = Default::default();
        let (linked, touched) = Default::default();
        let (depth, blocked, closed) = (Depth::Full, false, Some(Vec::new()));
        Reading {
            module,
            listing,
            filter,
            root,
            depth,
            new_list,
            checked,
            whole,
            facts,
            peak,
            stamps,
            left_out,
            closed,
            linked,
            touched,
            news,
            littered,
            blocked,
        }
    }

    /// What was found out about the stamps of all directories of the list that are not known already.
    pub fn all_news(&mut self) -> News {
        let mut news = std::mem::take(&mut self.news);
        for dir in self.listing.dirs().map(|dir| self.listing.dir_path(dir)) {
            let is_known = self.stamps.as_ref().is_some_and(|(stamps, _)| stamps.knows(dir));
            if !is_known && !news.known.contains_key(dir.bytes()) {
                news.known.insert(dir.to_owned(), None);
            }
        }
        news
    }

    /// Keeps stamps that are safe; `clock` is a time of the file system's clock, read before they were taken.
    pub fn keep(&mut self, stamps: impl IntoIterator<Item = (DirId, Option<Stamp>)>, clock: Option<i64>) {
        for (dir, stamp) in stamps {
            let safe = stamp.filter(|stamp| clock.is_some_and(|clock| !stamp.is_racy(clock)));
            self.news.known.insert(self.listing.dir_path(dir).to_owned(), safe);
        }
    }

    /// From now on the stamp of a directory counts no more.
    pub fn forget(&mut self, dir: RelPathBuf) {
        self.news.known.insert(dir, None);
    }
}
