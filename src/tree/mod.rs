//! The local tree: looking at it, and the only hands that change it.
//!
//! Everything goes through a handle of a directory and never through a symbolic link below it ([`root`]).

mod below;
pub mod close;
pub mod delete;
pub mod digest;
pub mod draft;
pub mod install;
pub mod link;
pub mod lock;
pub mod open;
pub mod own;
pub mod rescue;
pub mod root;
pub mod scan;
pub mod space;
pub mod stamp;
pub mod walk;

pub use root::Root;
pub use stamp::Stamp;

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// Something about the local tree that failed, with the path that it failed on.
#[derive(Debug, thiserror::Error)]
#[error("{what} {}", crate::path::escape(path.as_os_str().as_encoded_bytes()))]
pub struct TreeError {
    /// What was tried: `cannot open`, `cannot remove`, …
    pub what: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

impl TreeError {
    /// An error about `path`.
    pub fn new(what: &'static str, path: impl AsRef<Path>, source: impl Into<io::Error>) -> TreeError {
        TreeError { what, path: path.as_ref().to_owned(), source: source.into() }
    }
}

/// Does something with a hidden name that nothing has: `prefix` and a number.
fn with_free_name<T>(
    prefix: &str,
    mut act: impl FnMut(&str) -> rustix::io::Result<T>,
) -> rustix::io::Result<(String, T)> {
    for number in 0.. {
        let name = format!("{prefix}{number}");
        match act(&name) {
            Err(Errno::EXIST) => {}
            done => return done.map(|done| (name, done)),
        }
    }
    unreachable!("the numbers do not end")
}
