//! What happens, as events, and who listens.
//!
//! The library never prints. It tells [`Event`]s; the terminal, the log, the record and the tests are listeners. Counts are
//! derived from events ([`record`]), and so is the exit status: each event says how serious it is.

pub mod bitflip;
pub mod changes;
pub mod doctor;
pub mod log;
pub mod once;
pub mod record;
pub mod relinked;
pub mod size_table;
pub mod space_table;
pub mod terminal;
pub mod verified;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use crate::exit::Status;
use crate::plan::compare::FetchCause;
use crate::plan::publish::Class;
use crate::plan::space::{Room, Verdict};
use crate::plan::{Amount, BadLine, DeleteCause, Depth, Plan};
use crate::rsync::Item;

/// Something that happened.
#[derive(Debug)]
pub enum Event<'e> {
    /// Something that the admin should know, and that changes nothing.
    Warning(&'e str),
    /// A run begins.
    Begun {
        /// The modules that it is about, by name.
        about: &'e [&'e str],
        /// Whether it commits what it brings; else it only transfers.
        commits: bool,
    },
    /// A run enters a phase; the phases of publication are told by [`Event::Transfer`].
    Phase(Phase),
    /// Somebody triggered a job.
    Triggered {
        /// The job.
        job: &'e str,
        /// Where it came from.
        origin: &'e str,
        /// How much of a run is asked for.
        stage: &'e str,
        /// The address that it came from, where that is known.
        from: Option<IpAddr>,
    },
    /// A job that somebody triggered before is started.
    Resumed {
        /// The job.
        job: &'e str,
    },
    /// A job did not end well, or cannot be triggered, started or run.
    JobFailed {
        /// The job.
        job: &'e str,
        /// What is wrong, in a sentence that names the job.
        what: &'e str,
    },
    /// Triggers over HTTP are listened for.
    Listening {
        /// The address, or the name of the socket.
        at: &'e str,
    },
    /// The listener follows its configuration as it is now.
    ReadAnew,
    /// Somebody asked over HTTP for what there is not, or with what opens nothing.
    InVain {
        /// How many requests there were since it was told last.
        requests: u64,
        /// The address that the last one came from, where that is known.
        from: Option<IpAddr>,
    },
    /// Another run is under way, and none ended well for so long, which is too long.
    Overdue {
        /// Since the last one that did.
        age: Duration,
        /// What says how long is too long, as the configuration has it.
        limit: &'static str,
    },
    /// The last run did not finish, or only transferred: what it was changing is compared in full.
    Unfinished {
        /// What it was changing, by directory.
        what: &'e str,
    },
    /// The file system of a directory cannot lock it: runs of another configuration are not kept out of it.
    Unlockable {
        /// The directory.
        path: &'e Path,
    },
    /// rsync is called.
    Call {
        /// The program.
        program: &'e Path,
        /// Its arguments.
        arguments: &'e [OsString],
        /// How many names it is given.
        names: usize,
    },
    /// A call failed in a way that may pass, and is made again.
    Retry {
        /// What was wrong.
        why: &'e str,
        /// The wait before the next try.
        wait: Duration,
    },
    /// Nobody answered at one address of upstream's: the call is made to the next.
    NextAddress {
        /// What was wrong.
        why: &'e str,
    },
    /// Files went away at upstream while rsync sent them.
    Vanished,
    /// So many bytes came over the wire in a call.
    Received(u64),
    /// So many bytes went over the wire in a call, as far as rsync told.
    Sent(u64),
    /// A module was compared.
    Compared {
        /// Its name.
        module: &'e str,
        /// How closely.
        depth: Depth,
        /// Entries that its list carries.
        carried: u64,
    },
    /// A row of a list was set aside.
    BadRow {
        /// The module.
        module: &'e str,
        /// The row.
        line: &'e BadLine,
        /// Whether the applied list had it too, byte for byte.
        habit: bool,
    },
    /// What comes does not fit, or may not.
    Space(&'e [Room]),
    /// What is to be done was worked out.
    Planned(&'e Plan<'e>),
    /// A publication class is transferred.
    Transfer {
        /// Which one.
        class: Class,
        /// How many names are asked for.
        names: usize,
    },
    /// rsync looked at a name.
    Item {
        /// The module.
        module: &'e str,
        /// What became of it.
        item: &'e Item,
        /// Why it was asked for, unless it was named for the sake of others.
        cause: Option<FetchCause>,
    },
    /// A link that leads out of the tree was not made.
    UnsafeLink {
        /// The module.
        module: &'e str,
        /// The path, escaped.
        path: &'e str,
    },
    /// What was asked for did not come: the lists are asked for again.
    AskAgain {
        /// How many entries.
        entries: usize,
    },
    /// Upstream, asked again with its newest list, could not deliver an entry.
    Undelivered {
        /// The module.
        module: &'e str,
        /// The path, escaped.
        path: &'e str,
        /// Why it is not here as listed.
        why: &'e Why,
    },
    /// So many more could not be delivered.
    MoreUndelivered {
        /// The module.
        module: &'e str,
        /// How many.
        more: usize,
    },
    /// A run by this plan would ask again for what upstream did not deliver to the last one, and lists as it did then.
    StillUndelivered {
        /// The module.
        module: &'e str,
        /// How many entries.
        entries: usize,
    },
    /// A new list is in the tree.
    Installed {
        /// The module.
        module: &'e str,
        /// The list, below the mirror root.
        path: &'e str,
    },
    /// Others may read an entry no more, because it is restricted now.
    Closed {
        /// The module.
        module: &'e str,
        /// The directory of the module.
        directory: &'e str,
        /// The path in it, as it is.
        path: &'e [u8],
    },
    /// Others may read an entry now, because an admin opened it.
    Opened {
        /// The module.
        module: &'e str,
        /// The directory of the module.
        directory: &'e str,
        /// The path in it, as it is.
        path: &'e [u8],
    },
    /// A planned deletion happened.
    Deleted {
        /// The module.
        module: &'e str,
        /// Why.
        cause: DeleteCause,
        /// How many entries went: 1, and what was below.
        entries: u64,
        /// The directory of the module.
        directory: &'e str,
        /// The path in it, as it is.
        path: &'e [u8],
    },
    /// So many entries went, with what was below those that were planned.
    DeletedEntries {
        /// The module.
        module: &'e str,
        /// How many.
        entries: u64,
    },
    /// A module was verified.
    Verified {
        /// Entries that are not as its list has them.
        wrong: u64,
        /// Entries that are here, and should not be, or not for long.
        extra: u64,
    },
    /// Deletions are held.
    Held(Held<'e>),
    /// Entries stay for some time that should go.
    Staying {
        /// The module.
        module: &'e str,
        /// How many.
        entries: u64,
    },
    /// Entries stay that should go, because the settings say that nothing is deleted.
    Kept {
        /// The module.
        module: &'e str,
        /// How many.
        entries: u64,
        /// How many of them for which cause.
        causes: &'e BTreeMap<&'static str, u64>,
    },
    /// Something that concerns one module, or the whole run, failed.
    Failed {
        /// The module, if it concerns one only.
        module: Option<&'e str>,
        /// What, with its causes.
        error: &'e anyhow::Error,
        /// How serious it is.
        status: Status,
    },
    /// Names that may be one file were looked for in the lists.
    Candidates {
        /// How many groups of them there are.
        groups: u64,
    },
    /// A listed file is not here.
    Absent {
        /// Where it should be.
        path: &'e Path,
    },
    /// A file is left alone, because it changed while it was looked at.
    Unsteady {
        /// Where it is.
        path: &'e Path,
    },
    /// A file was read, to know its content by.
    Read {
        /// How much of it.
        bytes: u64,
    },
    /// Two files differ in nothing but perhaps their bytes, and these are compared.
    Lookalikes {
        /// The one.
        a: &'e Path,
        /// The other.
        b: &'e Path,
    },
    /// A name of a file became one of another, or would in a dry run.
    Relinked {
        /// The module that has the name.
        module: &'e str,
        /// The name.
        path: &'e Path,
        /// A name that the other has already.
        to: &'e Path,
        /// The bytes of the file, if that was its last name.
        gained: u64,
    },
    /// All was done for a group of candidates.
    GroupDone {
        /// So many of its names were further names of one of its files before.
        linked_before: u64,
    },
    /// Equal files are one now, or would be.
    AllRelinked(&'e relinked::Record),
    /// MirrorManager was told which directories are here, and took it.
    CheckedIn {
        /// The host that has them.
        host: &'e str,
        /// The category that they are of.
        category: &'e str,
        /// How many there are.
        directories: usize,
        /// What MirrorManager counted: directories updated, added, deleted.
        counts: &'e str,
    },
    /// There is nothing that MirrorManager is to be told.
    NothingToTell {
        /// Why.
        why: &'e str,
    },
    /// Somebody downstream was told that something is new here, or could not be.
    Pushed(&'e record::Pushed),
    /// The run is over.
    Finished(&'e record::Record),
}

/// What a run is doing, beside transferring a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Takes its locks, and reads its saved state: what a run begins with.
    Prepare,
    /// Fetches the lists.
    Lists,
    /// Compares them with the saved state and the tree, and plans.
    Compare,
    /// Looks whether all came, and brings what came onto the disk.
    Check,
    /// Installs lists, deletes, and saves the state.
    Commit,
}

impl Phase {
    /// Its word, part of the JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Phase::Prepare => "prepare",
            Phase::Lists => "lists",
            Phase::Compare => "compare",
            Phase::Check => "check",
            Phase::Commit => "commit",
        }
    }

    /// What a person reads who waits.
    pub const fn sentence(self) -> &'static str {
        match self {
            Phase::Prepare => "preparing",
            Phase::Lists => "fetching the lists",
            Phase::Compare => "comparing",
            Phase::Check => "looking at what came",
            Phase::Commit => "installing lists, deleting, saving the state",
        }
    }
}

/// Why an entry is not here as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Upstream does not have it, or has another one.
    Absent,
    /// Its content is not the one that upstream itself gives the checksum of.
    Checksum,
    /// It is a pointer, and the old one stays, because of what is said here.
    NotSwitched(String),
    /// It is a pointer, and stays as it is with another one, of which that is told.
    Beside,
}

/// A text in which the calls of this program that help name the configuration file, if there is one to be named.
pub fn name_config(text: &str, config: Option<&Path>) -> String {
    let Some(config) = config else { return text.to_owned() };
    let config = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
    text.replace(": qfm ", &format!(": qfm --config {} ", config.display()))
}

/// Deletions of a module that are held.
#[derive(Debug)]
pub struct Held<'e> {
    /// The module.
    pub module: &'e str,
    /// How many entries stay that should go.
    pub entries: u64,
    /// How many of them for which cause.
    pub causes: &'e BTreeMap<&'static str, u64>,
    /// Why they are held.
    pub why: &'e [String],
    /// The subtrees that most of them are in, with their numbers.
    pub subtrees: &'e [(String, u64)],
    /// How many entries do not come because of that: what directories are in the way of, and indexes and pointers that may lead there.
    pub held_back: u64,
    /// The flag that lets them pass, if any can.
    pub let_pass: Option<&'e str>,
}

impl Event<'_> {
    /// How serious it is.
    pub fn status(&self) -> Status {
        match self {
            Event::Failed { status, .. } => *status,
            Event::Undelivered { .. }
            | Event::MoreUndelivered { .. }
            | Event::StillUndelivered { .. }
            | Event::Verified { wrong: 1.., .. } => Status::Partial,
            Event::Held(_) => Status::Held,
            Event::JobFailed { .. } => Status::Local,
            Event::Pushed(record::Pushed { error: Some(_), strict: true, .. }) => Status::Notify,
            Event::Space(rooms) if rooms.iter().any(|room| room.verdict == Verdict::Short) => Status::Space,
            _ => Status::Done,
        }
    }
}

/// Somebody who is told what happens.
pub trait Listener: Sync {
    /// Is told of an event.
    fn hear(&self, event: &Event<'_>);
}

impl<L: Listener> Listener for &L {
    fn hear(&self, event: &Event<'_>) {
        (*self).hear(event);
    }
}

/// Everybody who listens.
pub struct Listeners<'l>(pub Vec<&'l dyn Listener>);

/// Nobody.
impl Listener for () {
    fn hear(&self, _: &Event<'_>) {}
}

impl Listener for Listeners<'_> {
    fn hear(&self, event: &Event<'_>) {
        self.0.iter().for_each(|listener| listener.hear(event));
    }
}

/// What failed, with whose it is and its causes.
fn failure(module: Option<&str>, error: &anyhow::Error) -> String {
    let whose = module.map(|module| format!("{module}: ")).unwrap_or_default();
    format!("{whose}{error:#}")
}

/// An amount in words.
pub(crate) fn amount(amount: &Amount) -> String {
    use crate::plan::words::{bytes, count};
    format!("{} ({})", count(amount.entries, "entry", "entries"), bytes(amount.bytes))
}
