//! The plan as files, for admins who feed tools of their own, and its digest for the journal.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use sha1::{Digest, Sha1};

use super::{Failure, Run};
use crate::exit::Status;
use crate::plan::compare::LocalKind;
use crate::plan::{Plan, explain};
use crate::tree::{Root, TreeError, walk};

impl Run<'_> {
    /// Writes `transfer`, `hardlinks` and `deletes` into a directory: NUL-separated paths below the mirror root.
    ///
    /// `transfer` are the names to fetch; `hardlinks` are pairs, a missing name and its local twin; `deletes` are in the order in
    /// which they would happen, with everything that goes with a directory.
    pub(super) fn write_plan(&self, plan: &Plan<'_>, directory: &Path) -> Result<(), Failure> {
        let failed = |error: io::Error| {
            let error = anyhow::Error::new(error).context(format!("cannot write the plan to {}", directory.display()));
            Failure::new(Status::Local, error)
        };
        match fs::create_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text =
                    format!("cannot write the plan to {}: nothing is made but the last directory", directory.display());
                return Err(Failure::said(Status::Local, text));
            }
            made => made.map_err(failed)?,
        }
        let mut transfer = Names::create(&directory.join("transfer")).map_err(failed)?;
        let mut hardlinks = Names::create(&directory.join("hardlinks")).map_err(failed)?;
        let mut deletes = Names::create(&directory.join("deletes")).map_err(failed)?;
        for module in &plan.modules {
            for fetch in &module.fetch {
                transfer.add(&module.directory, fetch.path.bytes()).map_err(failed)?;
            }
            for delete in &module.deletes {
                if delete.kind == LocalKind::Dir {
                    let root = Root::open(&self.root.join(&module.directory))?;
                    let dir = delete.dir.as_path();
                    let contents = walk::contents(&root, dir, &delete.name);
                    let contents =
                        contents.map_err(|error| TreeError::new("cannot read all of", root.path_of(dir), error))?;
                    for path in contents {
                        deletes.add(&module.directory, &path).map_err(failed)?;
                    }
                } else {
                    deletes.add(&module.directory, &delete.path()).map_err(failed)?;
                }
            }
        }
        for link in &plan.links {
            for (module, path) in [link.missing, link.local] {
                hardlinks.add(&plan.modules[module].directory, path.bytes()).map_err(failed)?;
            }
        }
        [transfer, hardlinks, deletes].into_iter().try_for_each(Names::finish).map_err(failed)
    }
}

/// A file of NUL-separated paths.
struct Names(BufWriter<File>);

impl Names {
    fn create(path: &Path) -> io::Result<Names> {
        Ok(Names(BufWriter::new(File::create(path)?)))
    }

    fn add(&mut self, directory: &str, path: &[u8]) -> io::Result<()> {
        [directory.as_bytes(), b"/", path, b"\0"].iter().try_for_each(|part| self.0.write_all(part))
    }

    fn finish(self) -> io::Result<()> {
        self.0.into_inner()?.sync_all()
    }
}

/// A short name for what a plan would do.
pub(super) fn digest(plan: &Plan<'_>) -> String {
    let digest = Sha1::digest(explain::json(plan, false).to_string());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
