//! The value of one setting, read from the file or from text, and written back.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::path::{Component, Path};
use std::time::Duration;

use toml::de::DeValue;

use super::error::Wrong;
use super::secret::{MASK, Secret, mask_address};
use super::setting::{Fallback, Kind, Setting, Split, nearest};
use super::{Upstream, levels};
use crate::plan::words;

/// Longer spans are slips, and would overflow where they are added to a point in time.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

/// The value of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing was said, or that there shall be nothing.
    Unset,
    /// Text, path, word, address or rate; checked.
    Text(String),
    /// Text that shows nowhere.
    Secret(Secret),
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Integer(u64),
    /// A time span.
    Duration(Duration),
    /// Several texts.
    List(Vec<String>),
}

impl Value {
    /// The value as JSON: text, boolean, number or array; time spans are text, nothing is null.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Unset => serde_json::Value::Null,
            Value::Text(text) => text.as_str().into(),
            Value::Secret(_) => MASK.into(),
            Value::Bool(yes) => (*yes).into(),
            Value::Integer(number) => (*number).into(),
            Value::Duration(span) => words::span(*span).into(),
            Value::List(items) => items.as_slice().into(),
        }
    }
}

/// As it would be written in the file; nothing is `""`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Unset => f.write_str("\"\""),
            Value::Text(text) => write!(f, "{}", toml::Value::from(text.as_str())),
            Value::Secret(_) => write!(f, "\"{MASK}\""),
            Value::Bool(yes) => write!(f, "{yes}"),
            Value::Integer(number) => write!(f, "{number}"),
            Value::Duration(span) => write!(f, "\"{}\"", words::span(*span)),
            Value::List(items) => write!(f, "{}", toml::Value::from(items.clone())),
        }
    }
}

impl Setting {
    /// The default; [`Value::Unset`] where there is none.
    pub fn default(&self) -> Value {
        let Fallback::Is(text) = self.fallback else { return Value::Unset };
        let parsed = DeValue::parse(text).map(|value| self.read(value.get_ref()));
        match parsed {
            Ok(Ok(value)) => value,
            // The table is part of the program; a test reads all of it.
            wrong => unreachable!("default of {}: {wrong:?}", self.key),
        }
    }

    /// Reads the value as it stands in the file. An error may carry the byte range of the item at fault.
    pub fn read(&self, found: &DeValue<'_>) -> Result<Value, (Wrong, Option<Range<usize>>)> {
        let whole = |wrong| (wrong, None);
        match (self.kind, found) {
            (Kind::Bool, DeValue::Boolean(yes)) => Ok(Value::Bool(*yes)),
            (Kind::Integer { .. } | Kind::Percent, DeValue::Integer(_)) => {
                self.number(&found_text(found)).map_err(whole)
            }
            (Kind::Rate | Kind::Size, DeValue::Integer(_)) => self.scalar(&found_text(found)).map_err(whole),
            (Kind::Bool | Kind::Integer { .. } | Kind::Percent, _) => Err(whole(self.mismatch(found))),
            (Kind::ListOrWord(word), DeValue::String(text)) if text == word => Ok(Value::List(vec![word.to_string()])),
            (Kind::List(_) | Kind::ListOrWord(_), DeValue::Array(items)) => {
                let mut list = Vec::with_capacity(items.len());
                for item in items.iter() {
                    let DeValue::String(text) = item.get_ref() else {
                        let what = format!("expected a list of text, found {} in it", describe(item.get_ref()));
                        return Err((Wrong::new(what, self.write_example()), Some(item.span())));
                    };
                    plain(text).map_err(|wrong| (wrong, Some(item.span())))?;
                    list.push(text.to_string());
                }
                Ok(Value::List(list))
            }
            (Kind::List(_) | Kind::ListOrWord(_), _) => Err(whole(self.mismatch(found))),
            (_, DeValue::String(text)) => self.scalar(text).map_err(whole),
            _ => Err(whole(self.mismatch(found))),
        }
    }

    /// Reads the texts of repeated flags.
    pub fn read_flags(&self, texts: &[String]) -> Result<Value, Wrong> {
        match self.kind {
            Kind::List(Split::Terms) => list(texts.iter().map(String::as_str)),
            Kind::List(Split::Commas) | Kind::ListOrWord(_) => list(texts.iter().flat_map(|text| text.split(','))),
            _ => match texts.last() {
                Some(text) => self.scalar(text),
                None => Ok(Value::Unset),
            },
        }
    }

    /// Reads the text of an environment variable.
    pub fn read_variable(&self, text: &str) -> Result<Value, Wrong> {
        match self.kind {
            Kind::List(Split::Terms) if text.contains('\n') => list(text.lines()),
            Kind::List(Split::Terms) => list(text.split_whitespace()),
            _ => self.read_flags(&[text.to_string()]),
        }
    }

    /// Reads what is no list.
    fn scalar(&self, text: &str) -> Result<Value, Wrong> {
        plain(text)?;
        if text.is_empty() {
            return match self.fallback {
                Fallback::Is(_) => Err(Wrong::new("must not be empty", self.such_as())),
                _ => Ok(Value::Unset),
            };
        }
        let kept = || Ok(Value::Text(text.to_string()));
        match self.kind {
            Kind::Text | Kind::List(_) | Kind::ListOrWord(_) => kept(),
            Kind::Secret => Ok(Value::Secret(Secret::new(text))),
            Kind::Path => absolute(text, self),
            Kind::Program if text.contains('/') => absolute(text, self),
            Kind::Program if text.starts_with('-') => self.refuse(text, "starts with `-`"),
            Kind::Program => kept(),
            Kind::Upstream => Upstream::parse(text).map(|upstream| Value::Text(upstream.0)),
            Kind::Bool => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Ok(Value::Bool(true)),
                "false" | "no" | "off" | "0" => Ok(Value::Bool(false)),
                _ => self.refuse(text, "is neither true nor false"),
            },
            Kind::Integer { .. } => self.number(text),
            Kind::Percent => self.number(text.strip_suffix('%').unwrap_or(text)),
            Kind::Duration { min } => self.span(text, Duration::from_secs(min)),
            Kind::Rate if is_rate(text) => kept(),
            Kind::Rate => self.refuse(text, "is no rate that rsync takes, or less than 512 bytes per second"),
            Kind::Size if size(text).is_some() => kept(),
            Kind::Size => self.refuse(text, "is no number of bytes, with K, M, G or T behind it or without"),
            Kind::Levels => levels::read(text).and_then(|_| kept()),
            Kind::Words(words) if words.contains(&text) => kept(),
            Kind::Words(words) => {
                let meant = nearest(text, words.iter().copied()).map(|word| format!("did you mean `{word}`? "));
                let hint = format!("{}it can be {}", meant.unwrap_or_default(), words.join(", "));
                Err(Wrong::new(format!("`{text}` is not one of its words"), hint))
            }
            Kind::Address => match text.parse::<IpAddr>() {
                Ok(address) => Ok(Value::Text(address.to_string())),
                Err(_) => self.refuse(text, "is no IP address"),
            },
        }
    }

    fn number(&self, text: &str) -> Result<Value, Wrong> {
        let (min, max) = match self.kind {
            Kind::Integer { min, max } => (min, max),
            _ => (0, 100),
        };
        match text.parse::<u64>() {
            Ok(number) if (min..=max).contains(&number) => Ok(Value::Integer(number)),
            _ => self.refuse(text, &format!("is not a whole number from {min} to {max}")),
        }
    }

    fn span(&self, text: &str, min: Duration) -> Result<Value, Wrong> {
        match humantime::parse_duration(text) {
            Ok(span) if span > LONGEST => self.refuse(text, "is longer than ten years"),
            Ok(span) if span < min => self.refuse(text, &format!("is shorter than {}", words::span(min))),
            Ok(span) => Ok(Value::Duration(span)),
            Err(error) => self.refuse(text, &format!("is no time span ({error})")),
        }
    }

    fn refuse(&self, text: &str, what: &str) -> Result<Value, Wrong> {
        Err(Wrong::new(format!("`{}` {what}", mask_address(text)), self.such_as()))
    }

    fn mismatch(&self, found: &DeValue<'_>) -> Wrong {
        let expected = match self.kind {
            Kind::Bool => "true or false",
            Kind::Integer { .. } | Kind::Percent => "a whole number",
            Kind::Duration { .. } => "a time span in quotes",
            Kind::Rate => "a rate in quotes or a number",
            Kind::Size => "a size in quotes or a number",
            Kind::List(_) => "a list of text",
            Kind::ListOrWord(_) => "a list of text or one word",
            Kind::Path | Kind::Program => "a path in quotes",
            Kind::Text | Kind::Secret | Kind::Upstream | Kind::Levels | Kind::Words(_) | Kind::Address => {
                "text in quotes"
            }
        };
        if self.kind == Kind::Secret {
            return Wrong::new(format!("expected {expected}"), self.write_example());
        }
        Wrong::new(format!("expected {expected}, found {}", describe(found)), self.write_example())
    }

    fn write_example(&self) -> String {
        format!("write for example `{} = {}`", self.leaf(), self.example)
    }

    /// The hint for a value that may not stand in a file: without the quotes.
    fn such_as(&self) -> String {
        format!("for example {}", self.example.trim_matches('"'))
    }
}

/// The type and, where it is short, the value of what stands in the file.
pub(super) fn describe(found: &DeValue<'_>) -> String {
    match found {
        DeValue::String(text) => format!("the text {}", toml::Value::from(mask_address(text))),
        DeValue::Integer(_) => format!("the number {}", found_text(found)),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(yes) => format!("the boolean {yes}"),
        DeValue::Datetime(_) => "a date or time".to_string(),
        DeValue::Array(_) => "a list".to_string(),
        DeValue::Table(_) => "a table".to_string(),
    }
}

/// The decimal text of a number in the file; as written where it is out of range.
fn found_text(found: &DeValue<'_>) -> String {
    match found {
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(decimal) => decimal.to_string(),
            Err(_) => number.to_string(),
        },
        _ => String::new(),
    }
}

fn list<'a>(items: impl Iterator<Item = &'a str>) -> Result<Value, Wrong> {
    let mut list = Vec::new();
    for item in items.map(str::trim).filter(|item| !item.is_empty()) {
        plain(item)?;
        list.push(item.to_string());
    }
    Ok(Value::List(list))
}

/// Control characters have no place in any setting, and NUL cannot be passed on at all. But POSIX knows no escape for a tab.
fn plain(text: &str) -> Result<(), Wrong> {
    let is_harmless = |c: char| c == '\t' && text.starts_with(crate::plan::filter::posix::PREFIX);
    match text.chars().find(|c| c.is_control() && !is_harmless(*c)) {
        Some(c) => Err(Wrong::new(
            format!("contains the control character {}", c.escape_unicode()),
            "in a regular expression write it as an escape, such as \\t; elsewhere leave it out",
        )),
        None => Ok(()),
    }
}

fn absolute(text: &str, setting: &Setting) -> Result<Value, Wrong> {
    let path = Path::new(text);
    if !path.is_absolute() {
        let hint = if text.starts_with(['~', '$']) {
            "`~` and variables are not expanded: write the path out".to_string()
        } else {
            setting.such_as()
        };
        return Err(Wrong::new(format!("`{text}` is not an absolute path"), hint));
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return setting.refuse(text, "contains `..`");
    }
    // Without doubled and trailing slashes, so that paths can be compared.
    let normal: std::path::PathBuf = path.components().collect();
    Ok(Value::Text(normal.to_string_lossy().into_owned()))
}

/// How many bytes a text says: a whole number, and perhaps K, M, G or T, each 1024 times the one before.
pub(super) fn size(text: &str) -> Option<u64> {
    let units = ["K", "M", "G", "T"];
    let unit = units.iter().position(|unit| text.to_ascii_uppercase().ends_with(unit));
    let digits = if unit.is_some() { &text[..text.len() - 1] } else { text };
    let number = digits.parse::<u64>().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    number.checked_mul(1 << unit.map_or(0, |power| 10 * (power + 1)))
}

/// Whether rsync's `--bwlimit` takes it: a number with an optional unit (`b k m g t p`, then `b` for powers of 1000 or `ib`),
/// and not below its minimum of 512 bytes per second; 0 means no limit.
fn is_rate(text: &str) -> bool {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let Ok(number) = number.parse::<f64>() else { return false };
    let unit = unit.to_ascii_lowercase();
    let mut letters = unit.chars();
    let power = match letters.next() {
        None => 1,
        Some(letter) => match "bkmgtp".find(letter) {
            Some(power) => power as i32,
            None => return false,
        },
    };
    let base: f64 = match letters.as_str() {
        "" | "ib" => 1024.0,
        "b" => 1000.0,
        _ => return false,
    };
    let rate = number * base.powi(power);
    rate == 0.0 || (512.0..=i64::MAX as f64).contains(&rate)
}

#[cfg(test)]
mod tests {
    use super::super::setting::{FAMILIES, SETTINGS, find};
    use super::*;

    fn read(key: &str, toml: &str) -> Result<Value, Wrong> {
        let value = DeValue::parse(toml).expect("TOML");
        find(key).expect("a key").read(value.get_ref()).map_err(|(wrong, _)| wrong)
    }

    #[test]
    fn every_default_and_example_of_the_table_can_be_read_and_they_differ() {
        for setting in SETTINGS.iter().chain(FAMILIES.iter().flat_map(|family| family.settings)) {
            let example = DeValue::parse(setting.example).expect("TOML");
            let example = setting.read(example.get_ref()).unwrap_or_else(|wrong| panic!("{}: {wrong:?}", setting.key));
            assert_ne!(example, setting.default(), "{}", setting.key);
        }
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for setting in super::super::setting::flags() {
            let example = DeValue::parse(setting.example).expect("TOML");
            let value = setting.read(example.get_ref()).expect("tested above");
            assert_eq!(read(setting.key, &value.to_string()), Ok(value), "{}", setting.key);
        }
    }

    #[test]
    fn wrong_types_name_what_was_found_and_an_example() {
        let wrong = read("rsync.timeout", "600").expect_err("a number");
        assert_eq!(wrong.what, "expected a time span in quotes, found the number 600");
        assert_eq!(wrong.hint, "write for example `timeout = \"3h\"`");
        let wrong = read("jobs", "\"8\"").expect_err("text");
        assert_eq!(wrong.what, "expected a whole number, found the text \"8\"");
        let wrong = read("filter.exclude", "\"debug\"").expect_err("text");
        assert_eq!(wrong.what, "expected a list of text, found the text \"debug\"");
        let wrong = read("filter.exclude", "[\"debug\", 3]").expect_err("a number inside");
        assert_eq!(wrong.what, "expected a list of text, found the number 3 in it");
        assert!(read("restricted", "\"true\"").is_err());
        assert!(read("modules", "\"fedora-epel\"").is_err());
    }

    #[test]
    fn numbers_have_bounds() {
        assert_eq!(read("jobs", "256"), Ok(Value::Integer(256)));
        assert_eq!(read("delete.min_entries", "1_000"), Ok(Value::Integer(1000)));
        assert_eq!(read("jobs", "0x10"), Ok(Value::Integer(16)));
        for (key, toml) in [
            ("jobs", "0"),
            ("jobs", "257"),
            ("jobs", "-1"),
            ("jobs", "99999999999999999999"),
            ("delete.max_share", "101"),
            ("rsync.timeout", "\"0s\""),
            ("rsync.timeout", "\"500ms\""),
            ("rsync.timeout", "\"11years\""),
            ("rsync.timeout", "\"10\""),
        ] {
            assert!(read(key, toml).is_err(), "{key} = {toml}");
        }
    }

    #[test]
    fn paths_are_absolute_and_normal() {
        assert_eq!(read("root", "\"/srv//mirror/./pub/\""), Ok(Value::Text("/srv/mirror/pub".into())));
        for text in ["srv/mirror", "~/mirror", "/srv/../etc", "./x"] {
            assert!(read("root", &format!("{text:?}")).is_err(), "{text}");
        }
        assert_eq!(read("rsync.program", "\"rsync\""), Ok(Value::Text("rsync".into())));
        assert!(read("rsync.program", "\"bin/rsync\"").is_err());
        assert!(read("rsync.program", "\"\"").is_err());
    }

    #[test]
    fn sizes_have_units_of_1024() {
        for (text, bytes) in
            [("0", 0), ("7", 7), ("3k", 3 << 10), ("500M", 500 << 20), ("16G", 16 << 30), ("2t", 2 << 40)]
        {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["", "G", "-1", "+1", "1.5G", "1 G", "1GiB", "1\u{212a}", "16777216T"] {
            assert_eq!(size(text), None, "{text}");
        }
        assert_eq!(read("read_altered", "0"), Ok(Value::Text("0".into())));
    }

    #[test]
    fn rates_are_what_rsync_takes() {
        for rate in ["0", "100", "1.5m", "20M", "1500KiB", "2mb", "512b"] {
            assert!(is_rate(rate), "{rate}");
        }
        for rate in ["", "m", "1.5.2", "10x", "10mbit", "-1", "100b", "0.1", "1e9", "inf", "."] {
            assert!(!is_rate(rate), "{rate}");
        }
        assert_eq!(read("rsync.bwlimit", "5000"), Ok(Value::Text("5000".into())));
    }

    #[test]
    fn lists_split_where_their_items_allow_it() {
        let texts = |items: &[&str]| Value::List(items.iter().map(|item| item.to_string()).collect());
        let exclude = find("filter.exclude").expect("a key");
        let flags = ["re:a{1,2}".to_string(), "debug".to_string()];
        assert_eq!(exclude.read_flags(&flags), Ok(texts(&["re:a{1,2}", "debug"])));
        assert_eq!(exclude.read_variable("debug  re:a{1,2}"), Ok(texts(&["debug", "re:a{1,2}"])));
        assert_eq!(exclude.read_variable("re:a b\nre:c,d\n"), Ok(texts(&["re:a b", "re:c,d"])));
        let modules = find("modules").expect("a key");
        assert_eq!(modules.read_flags(&["a, b".to_string(), "c".to_string()]), Ok(texts(&["a", "b", "c"])));
        assert_eq!(modules.read_flags(&[String::new()]), Ok(texts(&[])));
    }

    #[test]
    fn control_characters_are_refused() {
        assert!(read("rsync.user", r#""a\u0000b""#).is_err());
        assert!(read("filter.exclude", r#"["re:a\tb"]"#).is_err());
    }
}
