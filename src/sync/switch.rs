//! Switching repositories to new pointers only where these are the ones that the list names; and, with `check_indexes`, where what
//! they name is here.
//!
//! Upstream may have moved on since its list was made, or be broken. So pointers come beside the tree first, are looked at, and take
//! their places by a second call of rsync, from there: with their modes, times and hard links, all at once.

use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::bail;

use super::checksums::{Sums, is_wrong, read_repomd, sum_of};
use super::groups::Group;
use super::reading::Reading;
use super::text::Lists;
use super::transfer::{Came, Ways, in_calls};
use super::{Failure, Run};
use crate::config::Upstream;
use crate::exit::Status;
use crate::list::Kind;
use crate::path::{RelPath, RelPathBuf};
use crate::plan::compare::By;
use crate::plan::publish::Class;
use crate::plan::repository::led_to;
use crate::plan::request::Request;
use crate::report::Why;
use crate::rsync::{Arrival, Purpose};
use crate::tree::stamp::is_absence;
use crate::tree::{Root, TreeError};

/// Why a repository stays as it is.
struct Stuck {
    pointer: RelPathBuf,
    why: String,
}

impl Run<'_> {
    /// Fetches pointers, but leaves those of a repository as they are where they do not lead on: these count as unseen.
    ///
    /// # Errors
    /// If a call of rsync failed.
    pub(super) fn switch(
        &self,
        group: &Group,
        (readings, lists): (&[Reading<'_>], &Lists),
        request: &Request<'_>,
        purpose: impl Fn(Ways) -> Purpose,
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
        let fetch = |ways: Ways| Purpose::Content {
            beside: Some(beside.clone()),
            arrival: Arrival::AtOnce,
            by: By::Time,
            trust_sender: ways.trust_sender,
        };
        // What did not come is not there for the second call either.
        in_calls(request, |ways, names| self.call(group, &fetch(ways), names, &mut |_| {}))?;
        let stuck = self.stuck(group, readings, lists, request, &beside)?;
        // What is no pointer is a directory that is here, or lies beside a list.
        let is_stuck = |module, path| {
            Class::of(path, Kind::File) == Class::Pointer
                && led_to(path).is_some_and(|repository| stuck.contains_key(&(module, repository.to_owned())))
        };
        let left = request.fetched().filter(|(_, module, path)| is_stuck(*module, *path));
        let left: Vec<_> = left.map(|(_, module, path)| (module, path.to_owned())).collect();
        let because = stuck.iter().map(|((module, _), stuck)| ((*module, stuck.pointer.clone()), &stuck.why));
        because.for_each(|(pointer, why)| came.left.add(pointer, Why::NotSwitched(why.clone())));
        left.into_iter().for_each(|pointer| came.left.add(pointer, Why::Beside));
        let request = request.from_there(|module, path| !is_stuck(module, path));
        if request.is_empty() {
            return Ok(());
        }
        let upstream = Upstream(beside.display().to_string());
        let group = Group { upstream, within: String::new(), ..group.clone() };
        in_calls(&request, |ways, names| self.transfer_names(&group, &purpose(ways), names, came))
    }

    /// The repositories, by module, of which a pointer that came is not the one that the list names, or does not lead on; with the first
    /// such pointer.
    fn stuck(
        &self,
        group: &Group,
        readings: &[Reading<'_>],
        lists: &Lists,
        request: &Request<'_>,
        beside: &Path,
    ) -> Result<HashMap<(usize, RelPathBuf), Stuck>, Failure> {
        let mut stuck = HashMap::new();
        for reading in readings.iter().filter(|reading| group.modules.contains(&reading.module)) {
            let module = reading.module;
            let came = match Root::open(&beside.join(group.prefix(self.directory(module)))) {
                Ok(came) => came,
                // Nothing came, and what did not come leads nowhere else.
                Err(error) if is_absence(&error.source) => continue,
                Err(error) => return Err(error.into()),
            };
            let sums = lists[module].as_ref().map(Sums::of).transpose()?.unwrap_or_default();
            let asked = request.fetched().filter(|(_, of, path)| *of == module && came.stat(*path).is_ok());
            for (.., path) in asked.filter(|(.., path)| Class::of(*path, Kind::File) == Class::Pointer) {
                let looked = is_as_listed(reading, &came, &sums, path).and_then(|()| match path.name() {
                    b"repomd.xml" if self.config.check_indexes => self.leads_on(reading, &came, path),
                    _ => Ok(()),
                });
                if let (Err(error), Some(repository)) = (looked, led_to(path)) {
                    let because = || Stuck { pointer: path.to_owned(), why: format!("{error:#}") };
                    stuck.entry((module, repository.to_owned())).or_insert_with(because);
                }
            }
        }
        Ok(stuck)
    }

    /// Whether all indexes that a `repomd.xml` names, and this mirror carries, are here as it says.
    fn leads_on(&self, reading: &Reading<'_>, came: &Root, repomd: RelPath<'_>) -> anyhow::Result<()> {
        let root = Root::open(&self.root.join(self.directory(reading.module)))?;
        for index in read_repomd(came, repomd.parent())? {
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

/// Whether a pointer is the one that the list names: what is newer may name what no list has yet.
fn is_as_listed(reading: &Reading<'_>, came: &Root, sums: &Sums<'_>, path: RelPath<'_>) -> anyhow::Result<()> {
    let stat = came.stat(path)?;
    let Some(row) = reading.listing.find(path).filter(|row| row.kind == Kind::File) else { return Ok(()) };
    if stat.st_size as u64 != row.size || row.time != 0 && stat.st_mtime > row.time || is_wrong(came, sums, path) {
        bail!("upstream has another one than its list says");
    }
    Ok(())
}
