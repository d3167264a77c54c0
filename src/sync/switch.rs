//! Switching repositories to new pointers only where what these name is here: `check_indexes`.
//!
//! Upstream may have moved on since its list was made, or be broken. So pointers come beside the tree first, are looked at, and take
//! their places by a second call of rsync, from there: with their modes, times and hard links, all at once.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::bail;

use super::checksums::{read_repomd, sum_of};
use super::groups::Group;
use super::reading::Reading;
use super::transfer::{Came, in_calls};
use super::{Failure, GivenUp, Run};
use crate::config::Upstream;
use crate::exit::Status;
use crate::list::Kind;
use crate::path::RelPath;
use crate::plan::publish::Class;
use crate::plan::repository::led_to;
use crate::plan::request::Request;
use crate::report::Event;
use crate::rsync::{Arrival, Purpose};
use crate::tree::stamp::is_absence;
use crate::tree::{Root, TreeError};

impl Run<'_> {
    /// Fetches pointers, but leaves those of a repository as they are where they do not lead on: these count as unseen.
    ///
    /// # Errors
    /// If a call of rsync failed.
    pub(super) fn switch(
        &self,
        group: &Group,
        readings: &[Reading<'_>],
        request: &Request<'_>,
        purpose: impl Fn(bool) -> Purpose,
        came: &mut Came,
    ) -> Result<(), Failure> {
        let local = |error| Failure::new(Status::Local, error);
        // Pointers may be restricted. rsync gives its destination upstream's mode, so the directory around it keeps others out.
        let mut scratch = tempfile::Builder::new();
        scratch.prefix("pointers.").permissions(Permissions::from_mode(0o700));
        // It goes with the work directory, whatever modes upstream gave to what is in it.
        let scratch = scratch.tempdir_in(&self.work).map_err(local)?.keep();
        let beside = scratch.join("tree");
        fs::create_dir(&beside).map_err(local)?;
        let fetch = |trust_sender| Purpose::Content {
            beside: Some(beside.clone()),
            arrival: Arrival::AtOnce,
            ignore_times: false,
            trust_sender,
        };
        // What did not come is not there for the second call either.
        in_calls(request, |trust, names| self.call(group, &fetch(trust), names, &mut |_| {}))?;
        let stuck = self.stuck(group, readings, request, &beside);
        // What is no pointer is a directory that is here, or lies beside a list.
        let is_stuck = |module, path| {
            Class::of(path, Kind::File) == Class::Pointer
                && led_to(path).is_some_and(|repository| stuck.contains(&(module, repository.to_owned())))
        };
        let left = request.fetched().filter(|(_, module, path)| is_stuck(*module, *path));
        came.unseen.extend(left.map(|(_, module, path)| (module, path.to_owned())));
        let request = request.from_there(|module, path| !is_stuck(module, path));
        if request.is_empty() {
            return Ok(());
        }
        let upstream = Upstream(beside.display().to_string());
        let group = Group { upstream, within: String::new(), ..group.clone() };
        in_calls(&request, |trust, names| self.transfer_names(&group, &purpose(trust), names, came))
    }

    /// The repositories, by module, whose new `repomd.xml` names what is not here.
    fn stuck(&self, group: &Group, readings: &[Reading<'_>], request: &Request<'_>, beside: &Path) -> GivenUp {
        let mut stuck = GivenUp::new();
        for (_, module, path) in request.fetched().filter(|(.., path)| path.name() == b"repomd.xml") {
            let Some(reading) = readings.iter().find(|reading| reading.module == module) else { continue };
            if let Err(error) = self.leads_on(reading, &beside.join(group.prefix(self.directory(module))), path) {
                let shown = path.to_string();
                self.listener.hear(&Event::NotSwitched { module: self.name(module), path: &shown, error: &error });
                stuck.extend(led_to(path).map(|repository| (module, repository.to_owned())));
            }
        }
        stuck
    }

    /// Whether all indexes that a `repomd.xml` names, and this mirror carries, are here as it says. One that did not come leads nowhere
    /// else.
    fn leads_on(&self, reading: &Reading<'_>, beside: &Path, repomd: RelPath<'_>) -> anyhow::Result<()> {
        let indexes = match Root::open(beside) {
            Err(error) if is_absence(&error.source) => return Ok(()),
            came => read_repomd(&came?, repomd.parent())?,
        };
        let root = Root::open(&self.root.join(self.directory(reading.module)))?;
        for index in indexes {
            let path = index.path.as_path();
            if reading.filter.excludes(path, false) {
                continue;
            }
            match sum_of(&root, path, index.sum) {
                Ok(sum) if sum == index.sum => {}
                Ok(_) => bail!("{path} has another checksum"),
                Err(error) if is_absence(&error) => bail!("{path} is not here"),
                Err(error) => return Err(TreeError::new("cannot read", root.path_of(path), error).into()),
            }
        }
        Ok(())
    }
}
