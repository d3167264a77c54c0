//! An upstream tree built entry by entry, with its lists: for the demonstration and the tests.
//!
//! The same calls make the same tree, times included: what changes after a [`publish`](Upstream::publish) is dated an
//! hour later than what went before.

use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context as _;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use walkdir::WalkDir;

use crate::interrupt::Interrupt;
use crate::list::write::CHECKSUMS_OF;
use crate::make_list::{self, Options, Sink, Sinks};
use crate::tree::Root;
use crate::tree::draft::{self, Draft, Finished};
use crate::tree::scan::Times;

/// 2026-09-21, some hours before the first version.
const EPOCH: u64 = 1_790_000_000;
const VERSION_TAKES: u64 = 3600;

/// An upstream tree: its root holds the modules' directories. Paths are relative to the root.
#[derive(Debug)]
pub struct Upstream {
    root: PathBuf,
    version: u64,
    /// The times that directories were given, by path: one that has another time now was changed since.
    directories: HashMap<PathBuf, u64>,
}

impl Upstream {
    /// An empty tree in a new directory.
    pub fn new(root: &Path) -> io::Result<Upstream> {
        fs::create_dir(root)?;
        fs::set_permissions(root, Permissions::from_mode(0o755))?;
        Ok(Upstream { root: root.to_owned(), version: 1, directories: HashMap::new() })
    }

    /// The directory that holds the modules' directories.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The absolute path of an entry.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.root.join(path)
    }

    /// The time of what is made now, in seconds since the epoch.
    pub fn now(&self) -> u64 {
        EPOCH + self.version * VERSION_TAKES
    }

    /// A directory, with those above it, mode 0755.
    pub fn dir(&mut self, path: impl AsRef<Path>) -> anyhow::Result<&mut Upstream> {
        let mut made = self.root.clone();
        for part in path.as_ref().components() {
            made.push(part);
            match fs::create_dir(&made) {
                Ok(()) => fs::set_permissions(&made, Permissions::from_mode(0o755))?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).with_context(|| format!("cannot make {}", made.display())),
            }
        }
        Ok(self)
    }

    /// A file of now, mode 0644, in place of what has its name.
    pub fn file(&mut self, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> anyhow::Result<&mut Upstream> {
        let now = self.now();
        self.file_at(path, bytes, now)
    }

    /// A file with its time, mode 0644, in place of what has its name.
    pub fn file_at(
        &mut self,
        path: impl AsRef<Path>,
        bytes: impl AsRef<[u8]>,
        time: u64,
    ) -> anyhow::Result<&mut Upstream> {
        let full = self.vacate(path.as_ref())?;
        fs::write(&full, bytes).with_context(|| format!("cannot write {}", full.display()))?;
        fs::set_permissions(&full, Permissions::from_mode(0o644))?;
        set_time(&full, time)?;
        Ok(self)
    }

    /// A symbolic link of now, in place of what has its name.
    pub fn link(&mut self, path: impl AsRef<Path>, target: impl AsRef<Path>) -> anyhow::Result<&mut Upstream> {
        let full = self.vacate(path.as_ref())?;
        symlink(target, &full).with_context(|| format!("cannot link {}", full.display()))?;
        set_time(&full, self.now())?;
        Ok(self)
    }

    /// Another name for a file, in place of what has its name.
    pub fn hardlink(&mut self, existing: impl AsRef<Path>, new: impl AsRef<Path>) -> anyhow::Result<&mut Upstream> {
        let full = self.vacate(new.as_ref())?;
        let existing = self.path(existing);
        fs::hard_link(&existing, &full)
            .with_context(|| format!("cannot link {} to {}", full.display(), existing.display()))?;
        Ok(self)
    }

    /// Sets the permissions.
    pub fn mode(&mut self, path: impl AsRef<Path>, mode: u32) -> anyhow::Result<&mut Upstream> {
        let full = self.path(path);
        fs::set_permissions(&full, Permissions::from_mode(mode))
            .with_context(|| format!("cannot set the mode of {}", full.display()))?;
        Ok(self)
    }

    /// Sets the time. A directory's is kept until it is changed after the next publication.
    pub fn touch(&mut self, path: impl AsRef<Path>, time: u64) -> anyhow::Result<&mut Upstream> {
        let full = self.path(path);
        set_time(&full, time)?;
        if fs::symlink_metadata(&full)?.is_dir() {
            self.directories.insert(full, time);
        }
        Ok(self)
    }

    /// Gives an entry another name, in place of what has it.
    pub fn rename(&mut self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> anyhow::Result<&mut Upstream> {
        let to = self.vacate(to.as_ref())?;
        let from = self.path(from);
        fs::rename(&from, &to).with_context(|| format!("cannot rename {} to {}", from.display(), to.display()))?;
        Ok(self)
    }

    /// Removes an entry, a directory with all that is in it.
    pub fn remove(&mut self, path: impl AsRef<Path>) -> anyhow::Result<&mut Upstream> {
        let full = self.path(path);
        let is_dir = fs::symlink_metadata(&full).with_context(|| format!("{} is not there", full.display()))?.is_dir();
        if is_dir { fs::remove_dir_all(&full) } else { fs::remove_file(&full) }
            .with_context(|| format!("cannot remove {}", full.display()))?;
        Ok(self)
    }

    /// Dates the changed directories, writes the list of each module, and begins the next version.
    pub fn publish(&mut self) -> anyhow::Result<&mut Upstream> {
        self.date_directories(1)?;
        for directory in self.modules()? {
            let name = list_name(&directory);
            let options = Options {
                skip_top: vec![name.clone().into()],
                checksums_of: vec![CHECKSUMS_OF.into()],
                sorted: true,
                times: Times::Modified,
                jobs: 1,
            };
            let path = self.path(&directory).join(name);
            let sinks = Sinks { list: Sink::Draft(Draft::new(&path, false)?), plain: None, images: None };
            let root = Root::open(&self.path(&directory))?;
            let written = make_list::write_lists(&root, &options, sinks, &Interrupt::default())?;
            self.install(&path, written.list)?;
        }
        self.date_directories(0)?;
        self.version += 1;
        Ok(self)
    }

    /// Puts any bytes in the place of one module's list, and begins the next version.
    pub fn publish_raw(&mut self, directory: &str, list: impl AsRef<[u8]>) -> anyhow::Result<&mut Upstream> {
        let path = self.path(directory).join(list_name(directory));
        let mut draft = Draft::new(&path, false)?;
        draft.write(list.as_ref())?;
        self.install(&path, draft.finish()?)?;
        self.date_directories(0)?;
        self.version += 1;
        Ok(self)
    }

    /// The list of a module's directory, as it was published last.
    pub fn list(&self, directory: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path(directory).join(list_name(directory)))
    }

    /// The modules' directories: those at the top.
    fn modules(&self) -> anyhow::Result<Vec<String>> {
        let mut modules = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            if entry.path().is_dir() {
                let name = entry.file_name();
                modules
                    .push(name.into_string().ok().context("the directory of a module has a name that is not UTF-8")?);
            }
        }
        modules.sort();
        Ok(modules)
    }

    /// A list that changed takes its place, and is of now.
    fn install(&self, path: &Path, list: Option<Finished>) -> anyhow::Result<()> {
        if let Some(list) = list {
            draft::publish(vec![list])?;
            set_time(path, self.now())?;
        }
        Ok(())
    }

    /// Dates every directory at least so deep below the root that was changed since it was dated last.
    fn date_directories(&mut self, min_depth: usize) -> anyhow::Result<()> {
        let now = self.now();
        for entry in WalkDir::new(&self.root).min_depth(min_depth) {
            let entry = entry?;
            if !entry.file_type().is_dir() {
                continue;
            }
            let dated = self.directories.get(entry.path()).map(|time| UNIX_EPOCH + Duration::from_secs(*time));
            if dated != Some(entry.metadata()?.modified()?) {
                set_time(entry.path(), now)?;
                self.directories.insert(entry.into_path(), now);
            }
        }
        Ok(())
    }

    /// Makes way for a new entry: its directory is there, its name is free. An existing file is not written to, since
    /// that would change its other names too.
    fn vacate(&mut self, path: &Path) -> anyhow::Result<PathBuf> {
        if let Some(parent) = path.parent() {
            self.dir(parent)?;
        }
        let full = self.path(path);
        if fs::symlink_metadata(&full).is_ok() {
            self.remove(path)?;
        }
        Ok(full)
    }
}

/// The file name of the list of a module's directory.
pub fn list_name(directory: &str) -> String {
    format!("fullfiletimelist-{directory}")
}

fn set_time(path: &Path, time: u64) -> io::Result<()> {
    let time = Timespec { tv_sec: time.cast_signed(), tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
