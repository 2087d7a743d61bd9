//! The report on what the cases cover: a table of the words of the protocol.

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, presets};

use super::human::write_table;
use super::style::{BAD, GOOD, Styled};
use crate::suite::{Cell, Coverage};

/// What stands where a word has no such use.
const NO_SUCH_USE: &str = "-";
/// What stands where no case has a word in that use.
const EMPTY: &str = "none";
/// What stands where no case can have it.
const IMPOSSIBLE: &str = "impossible";

/// Writes how many cases use each word of the protocol, and where there is none.
pub fn write_coverage(out: &mut dyn Write, coverage: &Coverage) -> io::Result<()> {
    let shown = |cell: Cell| match cell {
        Cell::NoSuchUse => NO_SUCH_USE.to_owned(),
        Cell::Impossible(_) => IMPOSSIBLE.to_owned(),
        Cell::Cases(0) => EMPTY.to_owned(),
        Cell::Cases(count) => count.to_string(),
    };
    for family in &coverage.families {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header([family.name, "good use", "bad use"]);
        for word in &family.words {
            table.add_row([word.word.to_owned(), shown(word.good), shown(word.bad)]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        write_table(out, &table)?;
        for word in &family.words {
            if let Some(reason) = word.cells().iter().find_map(Cell::why_impossible) {
                writeln!(out, "{}: {IMPOSSIBLE}, {reason}", word.word)?;
            }
        }
        writeln!(out)?;
    }
    let cells: Vec<Cell> = coverage.words().flat_map(|word| word.cells()).collect();
    let possible = cells.iter().filter(|cell| matches!(cell, Cell::Cases(_))).count();
    let empty = cells.iter().filter(|cell| **cell == Cell::Cases(0)).count();
    let line = match empty {
        0 => Styled(GOOD, format!("each of {possible} cells that a target could fill has a case")),
        empty => Styled(BAD, format!("{empty} of {possible} cells that a target could fill have no case")),
    };
    writeln!(out, "{line}")
}
