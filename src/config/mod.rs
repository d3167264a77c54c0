//! What the admin asked for: settings from the file, the environment and the command line, validated once.
//!
//! The rest of the program sees [`Config`] only: absolute paths, parsed numbers, modules with their directories.
//! Where each value came from is kept beside it for `qfm config show` ([`Origin`]).

mod build;
mod checkin;
pub mod commands;
mod error;
mod file;
mod hook;
pub mod job;
pub mod kept;
mod layers;
pub mod levels;
pub mod listen;
mod load;
mod old;
mod options;
mod proxy;
mod push;
mod sample;
pub mod secret;
pub mod setting;
mod shell;
#[cfg(test)]
mod tests;
mod upstream;
mod value;

pub use build::{BUILT_IN, Warning};
pub use error::{Error, Origin, Problem, Wrong};
pub use hook::{Hook, Hooks};
pub use job::{Job, Work};
pub use layers::{Entry, Environment, Override, Overrides, Places, Settings};
pub use listen::{Listen, Start};
pub use load::{Loaded, OLD_SYSTEM_FILE, SYSTEM_FILE, candidates, guess, lists, load};
pub use old::Old;
pub use proxy::Proxies;
pub use push::{Address, Downstream, Place, Push, Ssh, Stages, Trace, Url, Way, check_archive, check_options, is_url};
pub use sample::sample;
pub use secret::{Fingerprint, Secret};
pub use upstream::Transport;
pub use value::Value;

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing_subscriber::filter::Targets;

use crate::path::RelPathBuf;

/// Everything a run needs to know, complete and consistent.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the lists and the content come from, unless a module names its own.
    pub upstream: Option<Upstream>,
    /// The mirror root: the directory that holds the modules' directories. Absolute.
    pub root: PathBuf,
    /// The state directory, before the folder for this mirror root is added. Absolute.
    pub state: PathBuf,
    /// The modules to mirror, in the order in which they were given; never empty, names and directories unique.
    pub modules: Vec<Module>,
    /// Files beside the modules' directories, fetched when any module changed (`DIRECTORY_SIZES.txt` for the whole buffet).
    pub top_files: Vec<String>,
    /// Mirror what upstream keeps from the public until release day.
    pub restricted: bool,
    /// Switch a repository to new pointers only where the indexes that they name are here.
    pub check_indexes: bool,
    /// A full check is due when the last one is older.
    pub full_check_every: Duration,
    /// So many bytes that others touched are compared by content, of each module in each full check.
    pub read_altered: u64,
    /// A run that meets another one says so when none ended well for so long.
    pub warn_after: Duration,
    /// The time file of quick-fedora-mirror, which is its lock too.
    pub time_file: Option<PathBuf>,
    /// How many directories are read at once.
    pub jobs: usize,
    /// How rsync is called.
    pub rsync: Rsync,
    /// What may be deleted.
    pub delete: Delete,
    /// How much room there must be.
    pub space: Space,
    /// How MirrorManager is told what is here, if it is.
    pub check_in: Option<CheckIn>,
    /// The jobs that triggers start, by name; never empty.
    pub triggered: Vec<Job>,
    /// Who downstream is told that something is new here, if anybody is.
    pub push: Option<Push>,
    /// How others can see how fresh this mirror is, if they can.
    pub trace: Option<Trace>,
    /// Where others see how this mirror is.
    pub published: Published,
    /// What is started before and after a run.
    pub hooks: Hooks,
    /// How triggers over HTTP are listened for.
    pub listen: Listen,
    /// What is shown on a terminal.
    pub progress: Progress,
    /// -1 quiet, 0 silent unless something changed, 1 each path with its cause, 2 each rsync call too.
    pub verbosity: i8,
    /// Also append what is said to this file.
    pub log_file: Option<PathBuf>,
    /// How much of each topic goes to the log file and to the journal, where that was said.
    pub log_levels: Option<Targets>,
    /// What a configuration of quick-fedora-mirror says besides; `None` for one of our own.
    pub old: Option<Old>,
}

impl Config {
    /// The modules' directories, in the order of the modules.
    pub fn directories(&self) -> Vec<&str> {
        self.modules.iter().map(|module| module.directory.as_str()).collect()
    }

    /// Where a module comes from.
    pub fn upstream_of<'c>(&'c self, module: &'c Module) -> Option<&'c Upstream> {
        module.upstream.as_ref().or(self.upstream.as_ref())
    }

    /// Checks that the configuration has these modules.
    pub fn require(&self, names: &[String]) -> Result<(), Error> {
        let unknown = names.iter().find(|name| !self.modules.iter().any(|module| module.name == **name));
        match unknown {
            Some(name) => Err(Error::UnknownModule {
                name: name.clone(),
                known: self.modules.iter().map(|module| module.name.clone()).collect(),
            }),
            None => Ok(()),
        }
    }

    /// Checks that a file of ours lies in no module's directory, whatever links lead there: a run would delete it.
    ///
    /// # Errors
    /// [`Error::Inside`] for the module in whose directory it lies.
    pub fn require_outside(&self, path: &Path) -> Result<(), Error> {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let parent = absolute.parent().unwrap_or(Path::new("/"));
        // What cannot be looked at cannot be written to either, and that is told then.
        let lies_in = |directory: &Path| {
            let real = (parent.canonicalize(), directory.canonicalize());
            absolute.starts_with(directory) || matches!(real, (Ok(parent), Ok(target)) if parent.starts_with(&target))
        };
        let modules = self.modules.iter().map(|module| (module, self.root.join(&module.directory)));
        match modules.into_iter().find(|(_, directory)| lies_in(directory)) {
            Some((module, directory)) => {
                Err(Error::Inside { path: path.to_owned(), module: module.name.clone(), directory })
            }
            None => Ok(()),
        }
    }
}

/// What the making of lists needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lists {
    /// The directory that holds the modules' directories. Absolute.
    pub root: PathBuf,
    /// The directories below it (one component), each with the name of its list, in the order in which they were given.
    pub lists: Vec<(String, String)>,
    /// How many directories are read at once.
    pub jobs: usize,
}

/// An rsync source: the directory that holds the modules' directories, or one module itself.
///
/// `rsync://host[:port]/module[/path]`, `host::module[/path]`, `[user@]host:path` (over ssh) or an absolute local path,
/// without a trailing `/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Upstream(pub String);

/// One module: what upstream publishes one list for.
#[derive(Clone, Debug)]
pub struct Module {
    /// The name of the rsync module, such as `fedora-enchilada`.
    pub name: String,
    /// Its directory below the mirror root (one component), such as `fedora`.
    pub directory: String,
    /// The source of this module alone, where there is no master module that holds all.
    pub upstream: Option<Upstream>,
    /// The list's file name at the top of the module's directory; `$mdir` is already replaced.
    pub list: String,
    /// Optional files at the top of the module's directory, fetched when the module changed; `$mdir` is already replaced.
    pub extra_files: Vec<String>,
    /// What is left out.
    pub exclude: Vec<String>,
    /// What alone is carried; empty means everything.
    pub only: Vec<String>,
    /// How many of the newest releases are carried; `None` means all.
    pub keep_releases: Option<usize>,
    /// What MirrorManager is told of it, if it is told anything.
    pub category: Option<Category>,
}

/// What MirrorManager is told of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Category {
    /// The name of the category, in lower case; no two modules of one host have the same.
    pub name: String,
    /// Where in the module's directory it begins.
    pub top: RelPathBuf,
    /// The host that has it, as MirrorManager calls it.
    pub host: String,
}

/// How MirrorManager is told what is here.
#[derive(Clone, Debug)]
pub struct CheckIn {
    /// The site, as MirrorManager calls it.
    pub site: String,
    /// Its password.
    pub password: Password,
    /// The address that is called.
    pub endpoint: String,
    /// Through whom it is called, if the environment says so.
    pub proxy: Option<ureq::Proxy>,
    /// One call may take so long in all.
    pub timeout: Duration,
    /// How often a call is tried again after trouble that may pass.
    pub retries: usize,
    /// The wait before the first retry; it doubles with each.
    pub retry_delay: Duration,
    /// A category that has fewer directories than last time by more than this share (percent) waits for a human.
    pub max_shrink: u8,
}

/// Where a password is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    /// It was said.
    Said(Secret),
    /// In the first line of this file.
    In(PathBuf),
}

/// How rsync is called.
#[derive(Clone, Debug)]
pub struct Rsync {
    /// The program: a name looked up in `PATH`, or a path.
    pub program: PathBuf,
    /// Options added to our own.
    pub options: Vec<OsString>,
    /// No byte for so long ends a call, or next to none.
    pub timeout: Duration,
    /// Connecting to a daemon may take so long.
    pub connect_timeout: Duration,
    /// All calls of a run together may take so long.
    pub deadline: Option<Duration>,
    /// As rsync's `--bwlimit` takes it.
    pub bwlimit: Option<String>,
    /// Which addresses are used.
    pub address_family: AddressFamily,
    /// All calls of a run go to one address of a daemon's name.
    pub one_address: bool,
    /// The local address to connect from.
    pub bind: Option<IpAddr>,
    /// The user name for a daemon.
    pub user: Option<String>,
    /// A file with the daemon's password, as rsync's `--password-file` reads it.
    pub password_file: Option<PathBuf>,
    /// How often a call is tried again after trouble that may pass.
    pub retries: usize,
    /// The wait before the first retry; it doubles with each.
    pub retry_delay: Duration,
    /// Fetch what changed in the lists, compressed, rather than all of them.
    pub compress_lists: bool,
    /// Publish no set-id bits and no modes that let others write.
    pub safe_modes: bool,
    /// Leave out links that lead out of the tree.
    pub safe_links: bool,
    /// Let the kernel see to it that rsync writes below its destination only.
    pub confine: bool,
}

/// Which addresses rsync may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressFamily {
    /// Whatever the name resolves to.
    Any,
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
}

/// What may be deleted.
#[derive(Clone, Copy, Debug)]
pub struct Delete {
    /// Whether anything is deleted at all.
    pub mode: DeleteMode,
    /// How long what upstream no longer has stays here.
    pub after: Duration,
    /// The guard holds a module's deletions above this share (percent) of its entries …
    pub max_share: u8,
    /// … if they are also more entries than this.
    pub min_entries: u64,
    /// The guard holds a module's deletions if its list shrank by more than this share (percent).
    pub max_shrink: u8,
}

/// How much room there must be.
#[derive(Clone, Copy, Debug)]
pub struct Space {
    /// Whether nothing is begun where there is too little.
    pub check: bool,
    /// So much more than what is needed (percent) must be free.
    pub margin: u8,
}

/// Where others see how this mirror is: files that are written after each run. Absolute, and in no module's directory.
#[derive(Clone, Debug)]
pub struct Published {
    /// A page for the public.
    pub page: Option<PathBuf>,
    /// What the page calls this mirror.
    pub title: String,
    /// Metrics for Prometheus.
    pub metrics: Option<PathBuf>,
}

/// Whether anything is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteMode {
    /// At the end of the run, or of the first run that ends when the time to stay has passed.
    Now,
    /// Never: deletions are counted and reported only.
    Never,
}

/// When the progress display is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// When stderr is a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}
