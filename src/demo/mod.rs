//! `qfm demo`: shows on a small upstream of its own what the program does.
//!
//! The parts it is built from serve the integration tests too.

pub mod daemon;
pub mod tree;
pub mod upstream;

mod call;
mod content;
mod install;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::process::geteuid;

use self::call::{Interrupts, Program};
use self::daemon::{Daemon, Served};
use self::tree::{Inode, Kind, Snapshot, View, differences, inode_snapshot, snapshot};
use self::upstream::{Upstream, list_name};
use crate::exit::Status;

/// So many lines of a dry run, or of differences, are shown.
const SHOWN: usize = 12;

/// Everything, byte for byte.
const EVERYTHING: View<'static> = View { restricted: true, contents: true, ..View::PUBLIC };

/// Shows `program`, which is this program, at work in a temporary directory, and checks all that it says.
///
/// Nothing of it is left when this returns. An error is a promise that was not kept, or a system on which it cannot
/// be shown.
pub fn run(program: &Path, out: &mut dyn Write) -> anyhow::Result<Status> {
    let interrupts = Interrupts::watch()?;
    let result = show(program, &interrupts, out);
    match interrupts.received() {
        Some((_, status)) => Ok(status),
        None => result.map(|()| Status::Done),
    }
}

/// Takes out of a command's environment all that could change what it does, except where programs are found.
pub fn clean_environment(command: &mut Command, home: &Path) {
    command.env_clear().env("HOME", home);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
}

fn show(program: &Path, interrupts: &Interrupts, out: &mut dyn Write) -> anyhow::Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let version = install::rsync(&path, geteuid().is_root(), out)?;

    let directory = tempfile::Builder::new().prefix("qfm-demo.").tempdir()?;
    writeln!(out, "All of this happens in {} and is removed at the end.", directory.path().display())?;
    let mut upstream = Upstream::new(&directory.path().join("upstream"))?;
    content::build(&mut upstream)?;
    let daemon = Daemon::start(upstream.root())?;
    introduce(&upstream, &daemon, &version, out)?;

    let mirror = directory.path().join("mirror");
    fs::create_dir(&mirror)?;
    let config = format!(
        "upstream = {:?}\nroot = {mirror:?}\nstate = {:?}\nmodules = [\"fedora-enchilada\", \"fedora-archive\"]\n",
        daemon.url(),
        directory.path().join("state"),
    );
    fs::write(directory.path().join("qfm.toml"), config)?;
    let program = Program { program, directory: directory.path(), interrupts };
    let mut stage = Stage { program, upstream, daemon, mirror, served: Served::default(), out };
    stage.first_sync().context("the first sync")?;
    stage.no_change().context("the run without changes")?;
    stage.change().context("the second sync")?;
    stage.mass_deletion().context("the mass deletion")?;
    drop(stage);

    directory.close().context("the temporary directory could not be removed")?;
    writeln!(out, "Everything went as it should; the daemon has ended and the directory is gone.")?;
    Ok(())
}

/// Says what there is to be mirrored.
fn introduce(upstream: &Upstream, daemon: &Daemon, version: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    let all = snapshot(upstream.root(), &View { contents: false, ..EVERYTHING })?;
    let public = snapshot(upstream.root(), &View::PUBLIC)?;
    let links = all.iter().filter(|(name, entry)| entry.first_name.as_ref().is_some_and(|first| first != *name));
    writeln!(
        out,
        "Upstream: {} entries in two modules, {}, {} of them hard links of others, {} symbolic links, {} not for the \
         public yet; served by rsync {version} at {}.",
        all.len(),
        size(bytes(&all)),
        links.count(),
        all.values().filter(|entry| entry.kind == Kind::Link).count(),
        all.len() - public.len(),
        daemon.url(),
    )?;
    Ok(())
}

/// Where it is shown. The daemon ends before the directory around it goes.
struct Stage<'a> {
    program: Program<'a>,
    upstream: Upstream,
    daemon: Daemon,
    mirror: PathBuf,
    served: Served,
    out: &'a mut dyn Write,
}

impl Stage<'_> {
    fn first_sync(&mut self) -> anyhow::Result<()> {
        self.say("\n1. First sync, into an empty directory.")?;
        let run = self.program.call(&["--json"])?.expect(Status::Done)?;
        let fetched = run.outcome()?.fetched();
        let served = self.newly_served()?;
        self.say(&format!(
            "   {} entries fetched in {}: {} of content, {} sent by upstream in {}.",
            fetched.entries,
            seconds(run.took),
            size(fetched.bytes),
            size(served.sent),
            calls(served.calls),
        ))?;
        self.compare()
    }

    fn no_change(&mut self) -> anyhow::Result<()> {
        self.say("\n2. A run without changes.")?;
        let before = inode_snapshot(&self.mirror)?;
        let run = self.program.call(&["--json"])?.expect(Status::Done)?;
        let served = self.newly_served()?;
        ensure!(served.calls == 1, "upstream was called {} times, not once", served.calls);
        let told = run.outcome()?.rsync_calls;
        ensure!(told == served.calls, "qfm tells of {told} calls of rsync, upstream's log of {}", served.calls);
        self.nothing_written(&before)?;
        self.say(&format!(
            "   {}, {} sent by upstream, {}; nothing was written in the mirror ({} inodes compared).",
            calls(served.calls),
            size(served.sent),
            seconds(run.took),
            before.len(),
        ))
    }

    fn change(&mut self) -> anyhow::Result<()> {
        let changes = content::change(&mut self.upstream)?;
        self.say(&format!(
            "\n3. Upstream changes: {} packages added, {} removed, {} moved, {} linked into the archive; {} repositories \
             renewed. What would a run do?",
            changes.added, changes.removed, changes.moved, changes.linked, changes.repositories
        ))?;
        let before = inode_snapshot(&self.mirror)?;
        let plan = self.program.call(&["--dry-run"])?.expect(Status::Done)?;
        self.nothing_written(&before)?;
        ensure!(!plan.stdout.trim().is_empty(), "the dry run said nothing");
        for line in plan.stdout.lines().take(SHOWN) {
            self.say(&format!("   | {line}"))?;
        }
        self.newly_served()?;

        let run = self.program.call(&["--json"])?.expect(Status::Done)?;
        let outcome = run.outcome()?;
        let served = self.newly_served()?;
        self.say(&format!(
            "   Second sync: {} entries fetched, {} linked, {} deleted in {}; {} sent by upstream, which holds {}.",
            outcome.fetched().entries,
            outcome.linked(),
            outcome.deleted(),
            seconds(run.took),
            size(served.sent),
            size(bytes(&snapshot(self.upstream.root(), &View::PUBLIC)?)),
        ))?;
        self.compare()
    }

    fn mass_deletion(&mut self) -> anyhow::Result<()> {
        let archive = |upstream: &Upstream| anyhow::Ok(snapshot(&upstream.path("archive"), &View::PUBLIC)?.len());
        let all = archive(&self.upstream)?;
        content::lose(&mut self.upstream)?;
        self.say(&format!(
            "\n4. Upstream's disk fails, and its new list of the archive has {} entries instead of {all}.",
            archive(&self.upstream)?
        ))?;
        let before = self.files()?;
        let run = self.program.call(&["--json"])?.expect(Status::Held)?;
        let after = self.files()?;
        let lost = before.iter().filter(|(name, inode)| after.get(*name) != Some(inode)).count();
        ensure!(lost == 0, "{lost} files of {} were deleted or changed", before.len());
        self.say(&format!(
            "   Refused with exit code {}: {} deletions wait for a human, all {} files are as they were.\n",
            Status::Held.code(),
            run.outcome()?.held(),
            before.len(),
        ))
    }

    /// Says a line at once. Here too a signal ends the demonstration.
    fn say(&mut self, line: &str) -> anyhow::Result<()> {
        if self.program.interrupts.received().is_some() {
            bail!("interrupted");
        }
        writeln!(self.out, "{line}")?;
        Ok(self.out.flush()?)
    }

    /// Fails unless the mirror has what upstream has for the public, and nothing else.
    fn compare(&mut self) -> anyhow::Result<()> {
        let wanted = snapshot(self.upstream.root(), &View { restricted: false, ..EVERYTHING })?;
        let lines = differences(&wanted, &snapshot(&self.mirror, &EVERYTHING)?);
        if !lines.is_empty() {
            let shown = lines.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("\n  ");
            bail!("the mirror differs from upstream in {} names:\n  {shown}", lines.len());
        }
        self.say(&format!(
            "   The mirror is identical to what upstream has for the public: {} entries by name, kind, size, time, mode, \
             link target, hard links and bytes.",
            wanted.len()
        ))
    }

    fn nothing_written(&self, before: &BTreeMap<Vec<u8>, Inode>) -> anyhow::Result<()> {
        let after = inode_snapshot(&self.mirror)?;
        let changed = before.iter().filter(|(name, inode)| after.get(*name) != Some(inode)).count();
        ensure!(changed == 0 && before.len() == after.len(), "{changed} inodes of {} were written", before.len());
        Ok(())
    }

    /// The inodes of all files and links in the mirror but the lists.
    fn files(&self) -> anyhow::Result<BTreeMap<Vec<u8>, Inode>> {
        let lists = ["fedora", "archive"].map(|directory| format!("{directory}/{}", list_name(directory)).into_bytes());
        let entries = snapshot(&self.mirror, &View { contents: false, ..EVERYTHING })?;
        let mut inodes = inode_snapshot(&self.mirror)?;
        inodes.retain(|name, _| {
            entries.get(name).is_some_and(|entry| entry.kind != Kind::Directory) && !lists.contains(name)
        });
        Ok(inodes)
    }

    /// What upstream's own log tells of the calls since the last question.
    fn newly_served(&mut self) -> anyhow::Result<Served> {
        let served = self.daemon.served()?;
        let new = Served { calls: served.calls - self.served.calls, sent: served.sent - self.served.sent };
        self.served = served;
        Ok(new)
    }
}

/// The bytes of all files, each inode once.
fn bytes(entries: &Snapshot) -> u64 {
    let files = entries.iter().filter(|(_, entry)| entry.kind == Kind::File);
    let inodes = files.filter(|(name, entry)| entry.first_name.as_ref().is_none_or(|first| first == *name));
    inodes.map(|(_, entry)| entry.size).sum()
}

fn calls(number: u64) -> String {
    if number == 1 { "one call of rsync".to_owned() } else { format!("{number} calls of rsync") }
}

fn seconds(took: Duration) -> String {
    format!("{:.2} s", took.as_secs_f64())
}

/// Bytes for a reader.
fn size(bytes: u64) -> String {
    let number = bytes as f64;
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", number / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", number / 1e6),
        _ => format!("{:.1} GB", number / 1e9),
    }
}
