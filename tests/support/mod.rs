//! What the integration tests stand on: upstream trees, rsync daemons, mirrors kept by the real binary.

// Each test binary uses a part of it.
#![allow(dead_code, unused_imports)]

mod chance;
mod damage;
mod gen_tree;
mod journal;
pub mod listener;
mod mirror;
mod mirror_manager;
mod old;
mod sandbox;
mod scene;
mod server;
mod sshd;
mod stage;
mod volume;
mod wrapper;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use qfm::demo::tree::{View, differences, snapshot};
use tempfile::TempDir;

pub use chance::{Chance, seeds};
pub use damage::{damage_a_directory, damage_a_file, entries, free};
pub use gen_tree::gen_tree;
pub use journal::Journal;
pub use mirror::{Mirror, RunResult};
pub use mirror_manager::{MirrorManager, Reply, unpack};
pub use old::{Old, Said, assert_lines};
pub use qfm::demo::daemon::{Daemon, Served, Setup};
pub use qfm::demo::tree;
pub use qfm::demo::upstream::{Upstream, list_name};
pub use sandbox::{QFM, Sandbox};
pub use scene::*;
pub use server::{Proxy, Server, Stall, WebProxy};
pub use sshd::Sshd;
pub use stage::*;
pub use volume::Volumes;
pub use wrapper::{Call, Wrapper};

/// So many of the differences of two trees are shown.
const SHOWN: usize = 20;

/// An upstream in a temporary directory. Make it before the daemon that serves it, so that it goes after it.
pub struct Site {
    pub upstream: Upstream,
    directory: TempDir,
}

impl Site {
    pub fn new() -> Site {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let upstream = Upstream::new(&directory.path().join("upstream")).expect("an empty upstream");
        Site { upstream, directory }
    }

    /// A daemon without limits that serves it. Its modules are the directories of this moment.
    pub fn serve(&self) -> Daemon {
        self.setup().start().expect("an rsync daemon")
    }

    /// For a daemon with limits.
    pub fn setup(&self) -> Setup {
        Setup::new(self.upstream.root())
    }
}

/// Bytes that do not compress.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length / 8).flat_map(|_| next()).collect()
}

/// A name of any bytes.
pub fn name(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

/// Fails unless the mirror has all that upstream has for the public, and nothing else, byte for byte.
#[track_caller]
pub fn assert_same(upstream: &Path, mirror: &Path) {
    assert_same_in(&View { contents: true, ..View::PUBLIC }, upstream, mirror);
}

/// The same, of what `view` shows of both.
#[track_caller]
pub fn assert_same_in(view: &View<'_>, upstream: &Path, mirror: &Path) {
    let wanted = snapshot(upstream, view).expect("a readable upstream");
    // What the public must not see would be a difference.
    let found = snapshot(mirror, &View { restricted: true, ..*view }).expect("a readable mirror");
    let lines = differences(&wanted, &found);
    let shown = lines.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("\n  ");
    assert!(lines.is_empty(), "the mirror differs from upstream in {} names:\n  {shown}", lines.len());
}

/// Waits for a condition, not for a time.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Looks over and over while something is done, and once before and after.
pub fn watch<T>(mut look: impl FnMut() + Send, act: impl FnOnce() -> T) -> T {
    look();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                look();
            }
            look();
        });
        // Whoever looks ends also when what is done fails.
        let acted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        done.store(true, Ordering::Release);
        acted.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Does the same with each item, some at a time: most of a scene's time is waiting.
pub fn side_by_side<T: Send>(items: impl IntoIterator<Item = T>, act: impl Fn(T) + Sync) {
    let items = std::sync::Mutex::new(items.into_iter().collect::<Vec<_>>().into_iter());
    let next = || items.lock().expect("nobody panics while taking an item").next();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(item) = next() {
                    act(item);
                }
            });
        }
    });
}
