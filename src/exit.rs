//! Exit codes: a contract with scripts and monitoring. They do not change meaning between releases.

use std::process::ExitCode;

/// How a run of the program ended.
///
/// When several things went wrong, the status is the most serious one ([`Status::worse`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Done, or nothing to do.
    Done,
    /// A bug in this program.
    Bug,
    /// The command line or the configuration is wrong.
    Usage,
    /// With `--detailed-exitcode`: a dry run found something to do, or a run changed something.
    Changed,
    /// Another run holds the lock.
    Locked,
    /// Upstream is unreachable or refuses, after retries.
    Upstream,
    /// A list is invalid, truncated or too new.
    List,
    /// Done, but deletions are held: a human must look.
    Held,
    /// Something could not be transferred; the next run tries again.
    Partial,
    /// There is not enough space.
    Space,
    /// The local file system refused: permission, input or output.
    Local,
    /// Synced, but check-in, a hook or a notification failed.
    Notify,
    /// Ended by SIGINT.
    Interrupted,
    /// Ended by SIGTERM or SIGHUP.
    Terminated,
}

impl Status {
    /// All codes, in the order of their numbers.
    pub const ALL: [Status; 14] = [
        Status::Done,
        Status::Bug,
        Status::Usage,
        Status::Changed,
        Status::Locked,
        Status::Upstream,
        Status::List,
        Status::Held,
        Status::Partial,
        Status::Space,
        Status::Local,
        Status::Notify,
        Status::Interrupted,
        Status::Terminated,
    ];

    /// The number that the shell sees.
    pub const fn code(self) -> u8 {
        match self {
            Status::Done => 0,
            Status::Bug => 1,
            Status::Usage => 2,
            Status::Changed => 3,
            Status::Locked => 4,
            Status::Upstream => 5,
            Status::List => 6,
            Status::Held => 7,
            Status::Partial => 8,
            Status::Space => 9,
            Status::Local => 10,
            Status::Notify => 11,
            Status::Interrupted => 130,
            Status::Terminated => 143,
        }
    }

    /// The word in JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Status::Done => "done",
            Status::Bug => "bug",
            Status::Usage => "usage",
            Status::Changed => "changed",
            Status::Locked => "locked",
            Status::Upstream => "upstream",
            Status::List => "list",
            Status::Held => "held",
            Status::Partial => "partial",
            Status::Space => "space",
            Status::Local => "local",
            Status::Notify => "notify",
            Status::Interrupted => "interrupted",
            Status::Terminated => "terminated",
        }
    }

    /// The sentence of the manual.
    pub const fn sentence(self) -> &'static str {
        match self {
            Status::Done => "Done, or nothing to do.",
            Status::Bug => "A bug in qfm.",
            Status::Usage => "The command line or the configuration is wrong.",
            Status::Changed => {
                "Only with --detailed-exitcode: a dry run found something to do, or a run changed something."
            }
            Status::Locked => "Another run holds the lock.",
            Status::Upstream => "Upstream is unreachable or refuses, after retries.",
            Status::List => "A list is invalid, truncated or too new.",
            Status::Held => "Done, but deletions are held: a human must look.",
            Status::Partial => {
                "Partial: something did not come, and is tried again; damage was found; a list lacks a name."
            }
            Status::Space => "There is not enough space.",
            Status::Local => "The local file system refused: permission, input or output.",
            Status::Notify => "Synced, but check-in, a hook or a notification failed.",
            Status::Interrupted => "Interrupted by SIGINT.",
            Status::Terminated => "Ended by SIGTERM or SIGHUP.",
        }
    }

    /// The status with this number.
    pub fn of_code(code: u8) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.code() == code)
    }

    /// Whether a run that ended so left all as upstream has it, as far as a human lets it be: deletions that a human must look at, and a
    /// notification that failed, are not what the next run could do better.
    pub const fn is_in_step(self) -> bool {
        matches!(self, Status::Done | Status::Held | Status::Notify)
    }

    /// The more serious of two.
    #[must_use]
    pub fn worse(self, other: Status) -> Status {
        if self.seriousness() >= other.seriousness() { self } else { other }
    }

    /// Higher is more serious. What ended the run beats what stopped one module, and that beats what only waits.
    const fn seriousness(self) -> u8 {
        match self {
            Status::Done => 0,
            Status::Changed => 1,
            Status::Notify => 2,
            Status::Locked => 3,
            Status::Held => 4,
            Status::Partial => 5,
            Status::Upstream => 6,
            Status::List => 7,
            Status::Space => 8,
            Status::Local => 9,
            Status::Usage => 10,
            Status::Terminated => 11,
            Status::Interrupted => 12,
            Status::Bug => 13,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> ExitCode {
        ExitCode::from(status.code())
    }
}

/// What `qfm status` ends with for monitoring. These are the codes of monitoring plugins, and not those of [`Status`].
///
/// The later is the more serious, as the guidelines for plugins have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// All is well.
    Ok,
    /// It cannot be told.
    Unknown,
    /// Somebody should look.
    Warning,
    /// Somebody must look.
    Critical,
}

impl Health {
    /// All of them, in the order of their numbers.
    pub const ALL: [Health; 4] = [Health::Ok, Health::Warning, Health::Critical, Health::Unknown];

    /// The number that the monitoring sees.
    pub const fn code(self) -> u8 {
        match self {
            Health::Ok => 0,
            Health::Warning => 1,
            Health::Critical => 2,
            Health::Unknown => 3,
        }
    }

    /// The word that the line begins with.
    pub const fn word(self) -> &'static str {
        match self {
            Health::Ok => "OK",
            Health::Warning => "WARNING",
            Health::Critical => "CRITICAL",
            Health::Unknown => "UNKNOWN",
        }
    }

    /// The sentence of the manual.
    pub const fn sentence(self) -> &'static str {
        match self {
            Health::Ok => "OK: each module is in step, and was lately enough.",
            Health::Warning => {
                "WARNING: a module is older than --warning, the last run failed, or deletions are held and a human must look."
            }
            Health::Critical => "CRITICAL: a module is older than --critical.",
            Health::Unknown => {
                "UNKNOWN: there was no run yet, the saved state cannot be read, or the configuration is wrong."
            }
        }
    }
}

impl From<Health> for ExitCode {
    fn from(health: Health) -> ExitCode {
        ExitCode::from(health.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_serious_wins_whatever_the_order() {
        for a in Status::ALL {
            for b in Status::ALL {
                assert_eq!(a.worse(b), b.worse(a), "{a:?} and {b:?}");
            }
        }
        assert_eq!(Status::Held.worse(Status::Partial), Status::Partial);
        assert_eq!(Status::Done.worse(Status::Held), Status::Held);
    }
}
