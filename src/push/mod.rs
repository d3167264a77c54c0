//! Being told that upstream has something new, the jobs that this starts, and telling others in turn.
//!
//! Whoever is told puts down a mark, which is on disk before anybody is told that it was heard, and starts a runner where there is
//! none ([`job`], in a [process](crate::process) of its own). The marks are [`crate::state::jobs`]. Over ssh it is [`trigger`] that is told, in [`words`], by who has
//! a key that is pinned to that ([`authorized`]); over HTTP it is [`listen`].
//!
//! Others are told by a [`round`], of whom the settings and a file of Debian's tools name ([`runmirrors`]); one is told by
//! [`downstream`]. Who looks at the tree finds a [`trace`]. What all this needs on this machine is looked at by [`check`].

#[warn(clippy::disallowed_methods)]
pub mod authorized;
pub mod check;
pub mod downstream;
pub mod job;
#[warn(clippy::disallowed_methods)]
pub mod limit;
pub mod listen;
#[warn(clippy::disallowed_methods)]
pub mod request;
pub mod round;
#[warn(clippy::disallowed_methods)]
pub mod runmirrors;
#[warn(clippy::disallowed_methods)]
pub mod secret;
#[warn(clippy::disallowed_methods)]
pub mod trace;
pub mod trigger;
pub mod trigger_url;
#[warn(clippy::disallowed_methods)]
pub mod words;

pub use job::{Job, JobError};

/// The variables that are an admin's to set where no network is near, as in a service. None of them is a setting.
pub const OF_AN_ADMIN: [&str; 8] =
    ["QFM_CONFIG", "HOME", "USER", "LOGNAME", "TZ", "XDG_CONFIG_HOME", "CREDENTIALS_DIRECTORY", "JOURNAL_STREAM"];
