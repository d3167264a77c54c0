//! Values of flags that are more than a text.

use std::ffi::OsString;

use clap::builder::{OsStringValueParser, TypedValueParser};
use regex::bytes::Regex;

/// A regular expression over bytes.
#[derive(Clone, Debug)]
pub struct Pattern(pub Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl Pattern {
    /// Reads one in the syntax of the `regex` crate.
    ///
    /// # Errors
    /// What is wrong with it, for human eyes.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        Regex::new(text).map(Pattern).map_err(|error| error.to_string())
    }
}

/// The name of one file, without a directory.
pub fn name() -> impl TypedValueParser<Value = OsString> {
    OsStringValueParser::new().try_map(|text| {
        let is_name = !text.is_empty() && text != "." && text != ".." && !text.as_encoded_bytes().contains(&b'/');
        if is_name { Ok(text) } else { Err("write the name of a file, without its directory") }
    })
}

/// A moment in seconds since the epoch, of a number of them (`1764000000`), or of what GNU date takes (`@1764000000`, `2026-05-01 12:00`,
/// `yesterday`, `2 hours ago`). A date without a zone is local.
///
/// # Errors
/// If it is no such moment.
pub fn moment(text: &str) -> Result<i64, &'static str> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = if is_number {
        text.parse().ok()
    } else if text.trim().is_empty() {
        // For date it is the start of today, and here a variable that was not set.
        None
    } else {
        parse_datetime::parse_datetime(text).ok().map(|moment| moment.unix_epoch_second())
    };
    seconds.ok_or("write seconds since the epoch, or a time as date(1) takes it: '2026-05-01 12:00', '3 days ago'")
}

/// The same, of a moment that is yet to come.
///
/// # Errors
/// If it is no such moment.
pub fn coming(text: &str) -> Result<i64, &'static str> {
    let moment = moment(text)?;
    if moment > crate::clock::now().timestamp() {
        Ok(moment)
    } else {
        Err("that is over: write a moment that is yet to come")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_numbers_dates_and_words() {
        for text in ["1764000000", "@1764000000", "2025-11-24T16:00:00Z", "2025-11-24T17:00:00+01:00"] {
            assert_eq!(moment(text), Ok(1_764_000_000), "{text}");
        }
        let now = crate::clock::now().timestamp();
        for (text, ago) in [
            ("now", 0),
            ("2 hours ago", 7200),
            ("3 days ago", 3 * 86400),
            ("yesterday", 86400),
            ("last week", 7 * 86400),
        ] {
            // Clocks are put forward and back.
            assert!((now - ago - moment(text).expect(text)).abs() <= 3700, "{text}");
        }
        for text in ["last monday", "2025-11-24", "2025-11-24 12:00", "2025-11-24 12:00:30"] {
            assert!(moment(text).is_ok_and(|moment| moment < now && moment > 1_763_800_000), "{text}");
        }
        for text in ["", " ", "soon", "99999999999999999999", "12:00 $(reboot)"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
