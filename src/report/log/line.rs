//! One line of the log file for each event: time, level, topic, message, fields.

use std::fmt;

use chrono::Local;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::path::escape_controls;

/// `2026-11-30T03:02:11+01:00 WARN  lists: epel: line 7 of the list is set aside … module=epel line=7 pid=4711`
pub struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let time = crate::clock::now().with_timezone(&Local).format("%Y-%m-%dT%H:%M:%S%:z");
        let (level, topic) = (event.metadata().level(), event.metadata().target());
        let mut text = Text::default();
        event.record(&mut text);
        let Text { message, fields } = text;
        writeln!(line, "{time} {level:<5} {topic}: {message}{fields} pid={}", std::process::id())
    }
}

/// Message and fields, as they stand in the line.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }
}

impl Text {
    fn add(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if field.name() == "message" {
            self.message = escape_controls(&value.to_string());
        } else {
            self.fields.push_str(&format!(" {}=", field.name()));
            push_value(&mut self.fields, &value.to_string());
        }
    }
}

/// A value is in quotes where its end could not be told otherwise.
fn push_value(line: &mut String, value: &str) {
    if value.is_empty() || value.contains(|c: char| c.is_whitespace() || c == '"') {
        line.push('"');
        line.push_str(&escape_controls(&value.replace('"', "\\\"")));
        line.push('"');
    } else {
        line.push_str(&escape_controls(value));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_but_text_gets_into_a_line(text in any::<String>()) {
            let mut line = escape_controls(&text);
            push_value(&mut line, &text);
            prop_assert!(!line.contains(char::is_control), "{}", line);
        }
    }

    #[test]
    fn a_value_has_quotes_where_it_needs_them() {
        let written = |value: &str| {
            let mut line = String::new();
            push_value(&mut line, value);
            line
        };
        assert_eq!(written("linux/43/a\\x0a.rpm"), "linux/43/a\\x0a.rpm");
        assert_eq!(written("a b"), "\"a b\"");
        assert_eq!(written("a\n2026 ERROR"), "\"a\\x0a2026 ERROR\"");
        assert_eq!(written("\""), "\"\\\"\"");
        assert_eq!(written(""), "\"\"");
    }
}
