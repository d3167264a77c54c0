//! rsync, as a function: [`arguments`] (pure), [`process`] (runs it, confined), [`outcome`] (judges how it ended, pure), [`item`] (reads
//! what it says, pure).

pub mod arguments;
#[expect(clippy::disallowed_methods, reason = "looks whether a directory is there")]
pub mod confine;
pub mod item;
pub mod outcome;
#[expect(clippy::disallowed_methods, reason = "runs rsync, and watches it")]
pub mod process;

pub use arguments::{Arrival, Purpose, Source};
pub use item::{Item, Line};
pub use outcome::Judgement;
pub use process::{Call, Ended};
