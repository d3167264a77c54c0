//! Times for human eyes.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::plan::words::span;

/// A span of which the large parts are enough: `3h 12m`, `2d 4h`, `40d`.
pub fn rough(whole: Duration) -> String {
    let unit = match whole.as_secs() {
        0..60 => 1,
        60..86_400 => 60,
        86_400..864_000 => 3600,
        _ => 86_400,
    };
    span(Duration::from_secs(whole.as_secs() / unit * unit))
}

/// How long something took, in seconds.
pub fn took(seconds: f64) -> String {
    match Duration::try_from_secs_f64(seconds).unwrap_or_default() {
        short if short < Duration::from_secs(10) => format!("{:.1}s", short.as_secs_f64()),
        long => rough(long),
    }
}

/// How long ago a moment was; a moment that is yet to come was just now.
pub fn age(now: DateTime<Utc>, then: DateTime<Utc>) -> Duration {
    now.signed_duration_since(then).to_std().unwrap_or_default()
}

/// How long ago a moment was, in words.
pub fn ago(now: DateTime<Utc>, then: DateTime<Utc>) -> String {
    format!("{} ago", rough(age(now, then)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_as_fine_as_they_need_to_be() {
        let rough = |seconds| rough(Duration::from_secs(seconds));
        let words: Vec<String> =
            [0, 59, 119, 3 * 3600 + 770, 86_400 * 2 + 4 * 3600 + 59, 86_400 * 40 + 3600].map(rough).into();
        assert_eq!(words, ["0s", "59s", "1m", "3h 12m", "2d 4h", "40d"]);
        let now = DateTime::from_timestamp(1000, 0).unwrap();
        assert_eq!(ago(now, DateTime::from_timestamp(955, 0).unwrap()), "45s ago");
        assert_eq!(ago(now, DateTime::from_timestamp(2000, 0).unwrap()), "0s ago");
    }
}
