//! What modules weigh, as a table and as JSON.

use comfy_table::{CellAlignment, Table, presets};
use serde_json::json;

use crate::plan::explain::JSON_VERSION;
use crate::plan::size::{Part, Sizes};
use crate::plan::words::bytes;

/// One table for each module: the whole, then each part by the word that excludes it.
pub fn text(sizes: &[Sizes]) -> String {
    let mut text = String::new();
    for module in sizes {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        let heads = ["part", "entries", "size", "links once", "carried now"];
        table.set_header([&[module.module.as_str()], &heads[1..]].concat());
        table.add_row(row("everything", &module.total));
        for (word, part) in &module.parts {
            table.add_row(row(word, part));
        }
        table.column_iter_mut().skip(1).take(3).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        text.push_str(&table.trim_fmt());
        text.push_str("\n\n");
    }
    if !sizes.is_empty() {
        text.push_str("Each part by the word that leaves it out (filter.exclude). Parts overlap; hard links are counted once in each.\n");
    }
    text
}

fn row(word: &str, part: &Part) -> [String; 5] {
    let carried = match part.carried.entries {
        0 => "no".to_owned(),
        all if all == part.listed.entries => "yes".to_owned(),
        some => format!("{some} entries, {}", bytes(part.carried.bytes_once)),
    };
    let listed = &part.listed;
    [word.to_owned(), listed.entries.to_string(), bytes(listed.bytes), bytes(listed.bytes_once), carried]
}

/// The same as one JSON object.
pub fn json(sizes: &[Sizes]) -> String {
    format!("{}\n", json!({ "version": JSON_VERSION, "kind": "size", "modules": sizes }))
}
