//! What quick-fedora-mirror left of a module that has no saved state: its list in the tree, and its time file.
//!
//! That program is in step with the list that it installed if its last run ended well after that. A run that was cut off may have installed
//! a newer list than it followed, and a time file is written last: so the list must not have come here after it was written, and
//! must not be newer than the time that it tells.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use anyhow::Context;

use super::Run;
use super::text::Text;
use crate::config::Module;
use crate::path::RelPath;
use crate::report::Event;
use crate::tree::Root;
use crate::tree::digest::open;
use crate::tree::stamp::is_absence;

/// What another program left of a module.
pub(super) struct Earlier {
    /// Its list, as a file of ours.
    pub list: Text,
    /// It was in step with upstream as it was at this moment, seconds since the epoch.
    pub before: i64,
}

impl Run<'_> {
    /// What quick-fedora-mirror left of a module, if it was in step with it.
    pub(super) fn earlier(&self, module: &Module) -> Option<Earlier> {
        let last = self.last_time.filter(|_| self.options.is_about(module))?;
        let in_tree = self.root.join(&module.directory).join(&module.list);
        let left_alone = |why: &str| {
            let text = format!("{}: {why}; rsync is asked about all that its time does not prove", module.name);
            self.listener.hear(&Event::Warning(&text));
            None
        };
        let copied = self.copy_earlier(module, |list| {
            let came = list.ctime().saturating_mul(1_000_000_000).saturating_add(list.ctime_nsec());
            list.mtime() <= last.time && came <= last.written
        });
        match copied.with_context(|| format!("cannot use the list {}", in_tree.display())) {
            Ok(Copied::Nothing) => None,
            Ok(Copied::Newer) => left_alone(&format!(
                "the list {} is newer than the last good run that the time file tells of (setting time_file)",
                in_tree.display()
            )),
            Ok(Copied::To(path)) => Some(Earlier { list: Text::unread(path), before: last.time }),
            Err(error) => left_alone(&format!("{error:#}")),
        }
    }

    /// Where lists that other programs left are copied to.
    pub(super) fn earlier_lists(&self) -> PathBuf {
        self.work.join("earlier")
    }

    /// Copies a module's list out of the tree, where others may change it.
    fn copy_earlier(&self, module: &Module, is_sound: impl Fn(&fs::Metadata) -> bool) -> io::Result<Copied> {
        let name = RelPath::new(module.list.as_bytes()).map_err(io::Error::other)?;
        let root = Root::open(&self.root.join(&module.directory)).map_err(|error| error.source);
        let mut file: File = match root.and_then(|root| open(&root, name)) {
            Err(error) if is_absence(&error) => return Ok(Copied::Nothing),
            opened => opened?,
        };
        let stat = file.metadata()?;
        if !is_sound(&stat) {
            return Ok(Copied::Newer);
        }
        let path = self.earlier_lists().join(&module.directory).join(&module.list);
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        let mut copy = File::create(&path)?;
        io::copy(&mut file, &mut copy)?;
        copy.set_modified(stat.modified()?)?;
        Ok(Copied::To(path))
    }
}

/// What came of copying a list.
enum Copied {
    /// There is none.
    Nothing,
    /// It is newer than what is known to have been in step.
    Newer,
    /// It is there.
    To(PathBuf),
}
