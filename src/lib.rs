//! qfm keeps a Linux mirror in step with its upstream, from the file lists that upstream publishes.
//!
//! # One run
//!
//! 1. [`config`] lays flags, environment and file over each other, and checks the whole.
//! 2. [`sync`] takes the lock of the mirror root ([`state`]) and has [`rsync`] fetch the lists of all modules in one call.
//! 3. [`list::diff`] tells in which lines a new list differs from the saved one, and [`tree`] which directories changed here.
//! 4. Only the rows of these directories are read and grouped, as far as the filter of [`plan`] carries them; without a saved state all.
//! 5. What differs, and what is here and should not be, becomes a [`plan::Plan`]. A dry run prints it and stops here.
//! 6. The guard ([`plan::guard`]) says whether what should go may go.
//! 7. [`rsync`] fetches content, then indexes, then pointers; every name that it reports is held against the plan.
//! 8. What was asked for is compared with the list once more. What did not come is asked for again, with newer lists.
//! 9. Only then the lists enter the tree, the deletions happen ([`tree::delete`]), and [`state`] is saved.
//! 10. All along [`report`] tells events to whoever listens; the most serious one is the [`exit`] status.
//!
//! # Reading a list
//!
//! ```
//! use qfm::list::{Listing, Sections};
//! use qfm::path::RelPath;
//! use qfm::plan::filter::{Filter, Selection};
//!
//! let text = b"[Version]\n2\n\n[Files]\n\
//!     1700000000\tf\t4096\tlinux/releases/43/Everything/x86_64/os/Packages/a.rpm\n\
//!     1700000000\tf\t9000\tlinux/releases/43/Everything/x86_64/debug/tree/a-debuginfo.rpm\n\
//!     1700000000\tf-\t512\tlinux/releases/test/44_Beta/secret.iso\n\
//!     \n[End]\n";
//!
//! let selection = Selection { directory: "fedora".into(), exclude: vec!["debug".into()], ..Selection::default() };
//! let filter = Filter::new(&selection)?;
//! let sections = Sections::find(text)?;
//! let listing = Listing::read(text, &sections, |row, path| filter.carry(row, path))?;
//!
//! let carries = |path: &str| RelPath::new(path.as_bytes()).is_ok_and(|path| listing.find(path).is_some());
//! assert!(carries("linux/releases/43/Everything/x86_64/os/Packages/a.rpm"));
//! assert!(!carries("linux/releases/43/Everything/x86_64/debug/tree/a-debuginfo.rpm"), "excluded");
//! assert!(!carries("linux/releases/test/44_Beta/secret.iso"), "not for the public yet");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Who may touch what
//!
//! [`path`], [`list`], [`plan`], and of [`rsync`] all but [`rsync::process`] are pure: they touch no file
//! system, process, network, environment or clock. `clippy.toml` names the hands that they do not have, and the modules
//! below that need them say why. Who may use whom is written down in `tests/house.rs`.

#![warn(clippy::disallowed_methods)]
#![allow(rustdoc::private_intra_doc_links, reason = "the page of a folder leads through its private files too")]

#[expect(clippy::disallowed_methods, reason = "reads the configuration file, and writes the sample")]
pub mod config;

#[expect(
    clippy::disallowed_methods,
    reason = "the conductor: scratch directories, the deadline of a run, the addresses of upstream"
)]
pub mod sync;

#[expect(clippy::disallowed_methods, reason = "the other conductor: waits for a tick of a clock")]
pub mod relink;

#[expect(clippy::disallowed_methods, reason = "looks at everything that a run needs")]
pub mod doctor;

pub mod diff;

pub mod make_list;

pub mod rsync;

pub mod path;

pub mod list;

pub mod plan;

#[expect(clippy::disallowed_methods, reason = "the local tree, and the only hands that change it")]
pub mod tree;

#[expect(clippy::disallowed_methods, reason = "the state directory")]
pub mod state;

#[expect(clippy::disallowed_methods, reason = "the terminal, the log file, and when it was")]
pub mod report;

#[expect(clippy::disallowed_methods, reason = "reads the state, and when that was; writes the page")]
pub mod status;

pub mod checkin;

pub mod http;

#[expect(clippy::disallowed_methods, reason = "starts jobs, waits for them, and ends them")]
pub mod push;

#[expect(clippy::disallowed_methods, reason = "the clock itself")]
pub mod clock;

#[expect(clippy::disallowed_methods, reason = "starts programs, waits for them, and ends them")]
pub mod process;

pub mod exit;

#[expect(clippy::disallowed_methods, reason = "waits")]
pub mod interrupt;

#[expect(clippy::disallowed_methods, reason = "writes the manual pages, and completes what is on a line")]
pub mod cli;

#[expect(
    clippy::disallowed_methods,
    reason = "the standard streams, the environment, the time left, lists that lie about"
)]
pub mod old;

#[expect(clippy::disallowed_methods, reason = "an upstream, a daemon and a mirror of its own")]
pub mod demo;
