//! What the rows of one directory come to, where several are of one name.

use crate::list::row::Bad;
use crate::list::{BadRow, Kind, Row};

/// What became of one directory's rows.
#[derive(Default)]
pub(super) struct Settled {
    /// So many rows are left, at the front.
    pub kept: usize,
    /// Those that were set aside.
    pub bad: Vec<Bad>,
    /// Files and links below which other rows lie.
    pub not_dirs: Vec<Row>,
}

/// Sorts rows by name, and leaves one of each name.
///
/// Rows given twice alike are one row. Rows that contradict each other are all set aside, and what is here under their name
/// is left alone. Where something lies below a name, the name is a directory, unless a good row says otherwise.
pub(super) fn settle(text: &[u8], rows: &mut [Row]) -> Settled {
    let Some(first) = rows.first() else { return Settled::default() };
    // All names begin at the same byte: to search each path for its last `/` would take longer than to sort.
    let prefix = first.path(text).bytes().len() - first.path(text).name().len();
    let name = |row: &Row| &row.path(text).bytes()[prefix..];
    rows.sort_unstable_by(|a, b| name(a).cmp(name(b)));
    let mut settled = Settled::default();
    let mut start = 0;
    while start < rows.len() {
        let first = name(&rows[start]);
        let end = start + rows[start..].iter().take_while(|row| name(row) == first).count();
        let row = match end - start {
            1 => rows[start],
            _ => settle_one(text, &rows[start..end], &mut settled),
        };
        rows[settled.kept] = row;
        settled.kept += 1;
        start = end;
    }
    settled
}

/// The one row that stands for several of the same name.
fn settle_one(text: &[u8], rows: &[Row], settled: &mut Settled) -> Row {
    let implied =
        rows.iter().find(|row| row.kind == Kind::Dir && row.time == 0 && bad(text, row, BadRow::Twice).is_none());
    let mut listed = rows.iter().filter(|row| row.kind != Kind::Unreadable && Some(*row) != implied);
    let unreadable = rows.iter().find(|row| row.kind == Kind::Unreadable);
    let (said, alike) = match listed.next() {
        Some(first) => (Some(first), listed.all(|row| row.says_the_same(first))),
        None => (None, true),
    };
    match (said, unreadable, implied) {
        (Some(row), None, None) if alike => *row,
        (Some(row), None, Some(_)) if alike => {
            settled.not_dirs.push(*row);
            *row
        }
        (_, _, Some(implied)) => {
            set_aside(text, rows, settled);
            *implied
        }
        _ => {
            set_aside(text, rows, settled);
            rows[0].as_kind(Kind::Unreadable)
        }
    }
}

fn set_aside(text: &[u8], rows: &[Row], settled: &mut Settled) {
    settled
        .bad
        .extend(rows.iter().filter(|row| row.kind != Kind::Unreadable).filter_map(|row| bad(text, row, BadRow::Twice)));
}

/// The line of a row as one that is set aside; `None` for a directory that has no row of its own.
pub(super) fn bad(text: &[u8], row: &Row, why: BadRow) -> Option<Bad> {
    let path = row.span();
    let start = memchr::memrchr(b'\n', &text[..path.start]).map_or(0, |lf| lf + 1);
    let ends = matches!(text.get(path.end), None | Some(b'\n'));
    let own = Row::parse(&text[start..path.end], start as u32).is_ok_and(|parsed| parsed.span() == path);
    (ends && own).then_some(Bad { line: start..path.end, why })
}
