//! The report on what the cases cover: a table of the words of the protocol.

use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, presets};

use super::human::write_table;
use super::style::{BAD, GOOD, Styled};
use crate::suite::Coverage;

/// What stands where a word has no such use.
const NO_SUCH_USE: &str = "-";
/// What stands where no case has a word in that use.
const EMPTY: &str = "none";

/// Writes how many cases use each word of the protocol, and where there is none.
pub fn write_coverage(out: &mut dyn Write, coverage: &Coverage) -> io::Result<()> {
    let cell = |count: Option<usize>| match count {
        None => NO_SUCH_USE.to_owned(),
        Some(0) => EMPTY.to_owned(),
        Some(count) => count.to_string(),
    };
    for family in &coverage.families {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header([family.name, "good use", "bad use"]);
        for word in &family.words {
            table.add_row([word.word.to_owned(), cell(Some(word.good)), cell(word.bad)]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        write_table(out, &table)?;
        writeln!(out)?;
    }
    let cells: Vec<usize> = coverage.words().flat_map(|word| word.cells()).collect();
    let empty = cells.iter().filter(|cases| **cases == 0).count();
    let line = match empty {
        0 => Styled(GOOD, format!("each of {} cells has a case", cells.len())),
        empty => Styled(BAD, format!("{empty} of {} cells have no case", cells.len())),
    };
    writeln!(out, "{line}")
}
