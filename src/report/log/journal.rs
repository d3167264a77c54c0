//! The journal of systemd, by its own protocol: each entry has fields.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::fstat;
use tracing_journald::{Layer, Priority, PriorityMappings};

/// What the journal knows our lines by.
const IDENTIFIER: &str = "qfm";

/// The variable by which systemd says which stream is the journal: its device and inode. It is inherited by programs whose streams lead
/// elsewhere.
const STREAM: &str = "JOURNAL_STREAM";

/// Whether a stream of this process leads to the journal.
pub fn is_stream(stream: impl AsFd) -> bool {
    let Ok(journal) = std::env::var(STREAM) else { return false };
    // A stream that cannot be looked at is closed.
    fstat(stream).is_ok_and(|found| journal == format!("{}:{}", found.st_dev, found.st_ino))
}

/// The journal, if standard error leads there: then it is told with fields what would be said in lines. `None` where it cannot be reached
/// too: the lines are there then.
pub fn of_standard_error() -> Option<Layer> {
    if is_stream(io::stderr()) { open(IDENTIFIER).ok() } else { None }
}

/// The journal; its entries are known by `identifier`, and the fields of events begin with `QFM_` there.
///
/// # Errors
/// If nobody is there who keeps one.
pub fn open(identifier: &str) -> io::Result<Layer> {
    let priorities = PriorityMappings {
        info: Priority::Informational,
        debug: Priority::Debug,
        trace: Priority::Debug,
        ..PriorityMappings::new()
    };
    let layer = Layer::new()?.with_syslog_identifier(identifier.to_owned());
    Ok(layer.with_field_prefix(Some("QFM".to_owned())).with_priority_mappings(priorities))
}
