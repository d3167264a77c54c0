//! What is needed and what is free, as a table.

use comfy_table::{CellAlignment, Table, presets};

use crate::plan::space::Room;
use crate::plan::words::bytes;

/// One line for the bytes of each file system, and one for its inodes where they are counted.
pub fn text(rooms: &[Room]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["file system", "needed", "free", "would be enough"]);
    for room in rooms {
        table.add_row([room.path.clone(), room.needed_bytes(), room.free_bytes(), bytes(room.enough.bytes)]);
        if room.free.entries.is_some() {
            let enough = room.enough.entries.to_string();
            table.add_row(["  inodes".to_owned(), room.needed_entries(), room.free_entries(), enough]);
        }
    }
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table.trim_fmt()
}
