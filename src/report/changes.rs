//! What changed between two lists, for people and for programs.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::list::Row;
use crate::list::sections::Checksum;
use crate::path::{RelPath, escape};
use crate::plan::changes::Changes;
use crate::plan::explain::{JSON_VERSION, path_json};

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A line for each path: `+`, `-` or `~`, and the path, escaped.
    Text,
    /// One object: `entries` has the paths, with what both lists say.
    Json,
    /// The paths alone, as they are, each ended by NUL.
    Nul,
}

/// What the old list says and what the new one does, if anything.
type Sides<T> = (Option<T>, Option<T>);

/// What became of one path, and what the lists say of it.
#[derive(Default)]
struct Entry {
    rows: Option<Sides<Row>>,
    checksums: Option<Sides<Checksum>>,
}

impl Entry {
    /// A checksum on both sides tells that both lists have it: then a row that is on one side alone stands twice there.
    fn word(&self) -> &'static str {
        match (self.rows, self.checksums) {
            (_, Some((Some(_), Some(_)))) => "changed",
            (Some((None, _)), _) => "added",
            (Some((_, None)), _) => "removed",
            _ => "changed",
        }
    }

    fn sign(&self) -> char {
        match self.word() {
            "added" => '+',
            "removed" => '-',
            _ => '~',
        }
    }

    fn json(&self, path: RelPath<'_>) -> Value {
        let side = |row: Option<Row>, sum: Option<Checksum>| {
            let mut side = row.map_or(json!({}), |row| {
                json!({ "kind": row.kind.word(), "size": row.size, "time": row.time, "restricted": !row.mark.is_public() })
            });
            if let Some(sum) = sum {
                side["sha1"] = sum.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
            }
            if side == json!({}) { Value::Null } else { side }
        };
        let (old, new) = self.rows.unwrap_or_default();
        let (old_sum, new_sum) = self.checksums.unwrap_or_default();
        let mut entry = path_json(path.bytes());
        entry["change"] = self.word().into();
        entry["old"] = side(old, old_sum);
        entry["new"] = side(new, new_sum);
        entry
    }
}

/// Writes what changed, by path.
///
/// # Errors
/// What the writer says.
pub fn write(changes: &Changes<'_>, form: Form, out: &mut dyn Write) -> io::Result<()> {
    let mut out = io::BufWriter::new(out);
    match form {
        Form::Text => {
            for (path, entry) in entries(changes) {
                writeln!(out, "{} {}", entry.sign(), escape(path.bytes()))?;
            }
        }
        Form::Nul => {
            for (path, _) in entries(changes) {
                out.write_all(path.bytes())?;
                out.write_all(b"\0")?;
            }
        }
        Form::Json => {
            let count = |word| entries(changes).filter(|(_, entry)| entry.word() == word).count();
            let (added, removed, changed) = (count("added"), count("removed"), count("changed"));
            let bad = json!({ "old": changes.bad_old.len(), "new": changes.bad_new.len() });
            write!(out, "{{\"version\":{JSON_VERSION},\"kind\":\"diff\",\"added\":{added},\"removed\":{removed},")?;
            write!(out, "\"changed\":{changed},\"bad_rows\":{bad},\"entries\":[")?;
            for (number, (path, entry)) in entries(changes).enumerate() {
                // One by one: there may be millions.
                write!(out, "{}{}", if number == 0 { "" } else { "," }, entry.json(path))?;
            }
            writeln!(out, "]}}")?;
        }
    }
    out.flush()
}

/// Rows and checksums together, by path.
fn entries<'c, 't>(changes: &'c Changes<'t>) -> impl Iterator<Item = (RelPath<'t>, Entry)> + 'c {
    let mut rows = changes.rows.iter().peekable();
    let mut checksums = changes.checksums.iter().peekable();
    std::iter::from_fn(move || {
        let path =
            [rows.peek().map(|row| row.path), checksums.peek().map(|sum| sum.path)].into_iter().flatten().min()?;
        let row = rows.next_if(|row| row.path == path);
        let sum = checksums.next_if(|sum| sum.path == path);
        let rows = row.map(|row| (row.old, row.new));
        Some((path, Entry { rows, checksums: sum.map(|sum| (sum.old, sum.new)) }))
    })
}
