//! The clock of this machine.

use std::time::SystemTime;

use chrono::{DateTime, Utc};

/// What time it is. Unlike [`Utc::now`] it is at no loss before 1970, where a clock without a battery may begin.
pub fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}
