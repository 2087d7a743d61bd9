//! Reports on which of the driver's own code ran: for people on a terminal, and as pages that show the source.

mod pages;

pub use pages::write_driver_pages;

use std::collections::BTreeMap;
use std::io::{self, Write};

use comfy_table::{CellAlignment, Table, presets};
use strum::VariantArray;

use super::counted;
use super::human::write_table;
use super::style::{ASIDE, NAME, Styled};
use crate::coverage::{CoverageResults, FileShares, Origin, Share, Totals, Unreached};

/// What is told of a file, with its name.
const PARTS: [(&str, Part); 3] = [
    ("lines", |totals| totals.lines),
    ("branches", |totals| totals.branches),
    ("functions", |totals| totals.functions),
];

type Part = fn(&Totals) -> Share;

/// Writes how much ran of each file, and so many of the largest blocks that programs may be able to reach.
pub fn write_driver_coverage(
    out: &mut dyn Write,
    results: &CoverageResults,
    blocks: usize,
) -> io::Result<()> {
    write_shares(out, results)?;
    write_unreached(out, results, blocks)?;
    for (what, names) in [
        ("it is not known what these ran, since their guests were gone", &results.lost),
        ("explained in suites/unreached, and reached or no longer there", &results.idle),
    ] {
        if !names.is_empty() {
            writeln!(out, "\n{}: {}", Styled(ASIDE, what), names.join(", "))?;
        }
    }
    Ok(())
}

fn write_shares(out: &mut dyn Write, results: &CoverageResults) -> io::Result<()> {
    let origins = Origin::VARIANTS.iter().map(ToString::to_string);
    let header = ["file", "", "all"].map(str::to_owned).into_iter().chain(origins);
    let mut table = table(header.chain(["reached", "of what programs can reach"].map(str::to_owned)));
    for file in &results.files {
        for (place, (part, share)) in PARTS.into_iter().enumerate() {
            if share(&file.all).all == 0 {
                continue;
            }
            let name = if place == 0 { file.file.as_str() } else { "" };
            let all = share(&file.all);
            let by = Origin::VARIANTS.iter().map(|origin| share(&file.by[origin]).reached.to_string());
            let row = [name.to_owned(), part.to_owned(), all.all.to_string()].into_iter().chain(by);
            let reachable = if place == 0 { within_reach(file) } else { String::new() };
            table.add_row(row.chain([shown(all), reachable]));
        }
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    write_table(out, &table)
}

fn write_unreached(out: &mut dyn Write, results: &CoverageResults, most: usize) -> io::Result<()> {
    let (within, out_of_reach): (Vec<&Unreached>, _) =
        results.unreached.iter().partition(|unreached| unreached.is_within_reach());
    if !within.is_empty() {
        writeln!(out, "\n{}", Styled(NAME, "never reached, and programs may be able to"))?;
        let mut table = table(["lines", "where", "function", ""]);
        for Unreached { block, why, reason } in within.iter().take(most) {
            let whole = if block.whole { ", never called" } else { "" };
            let reason = match (why, reason) {
                (Some(why), Some(reason)) => format!("{why}: {reason}"),
                _ => String::new(),
            };
            let function = format!("{}{whole}", block.function);
            table.add_row([block.lines.to_string(), block.place(), function, reason]);
        }
        if let Some(column) = table.column_mut(0) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        write_table(out, &table)?;
        if let more @ 1.. = within.len().saturating_sub(most) {
            let lines: usize = within.iter().skip(most).map(|unreached| unreached.block.lines).sum();
            writeln!(out, "and {} with {}", counted(more, "smaller one"), counted(lines, "line"))?;
        }
    }
    let mut kinds: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for Unreached { block, why, .. } in &out_of_reach {
        let (blocks, lines) = kinds.entry(why.map_or_else(String::new, |why| why.to_string())).or_default();
        (*blocks, *lines) = (*blocks + 1, *lines + block.lines);
    }
    if !kinds.is_empty() {
        writeln!(out, "\n{}", Styled(NAME, "out of the reach of programs"))?;
        let mut table = table(["why", "blocks", "lines"]);
        for (why, (blocks, lines)) in kinds {
            table.add_row([why, blocks.to_string(), lines.to_string()]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        write_table(out, &table)?;
    }
    Ok(())
}

/// Writes for each case how many lines only it runs, those with the most first.
pub fn write_alone(out: &mut dyn Write, results: &CoverageResults, most: usize) -> io::Result<()> {
    let mut alone = results.coverage.alone();
    alone.sort_by_key(|(case, lines)| (std::cmp::Reverse(lines.len()), *case));
    if alone.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", Styled(NAME, "lines that only one case runs"))?;
    let mut table = table(["lines", "case", "the first"]);
    for (case, lines) in alone.iter().take(most) {
        let (file, line) = lines[0];
        table.add_row([lines.len().to_string(), (*case).to_owned(), format!("{file}:{line}")]);
    }
    if let Some(column) = table.column_mut(0) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    write_table(out, &table)?;
    match alone.len().saturating_sub(most) {
        0 => Ok(()),
        more => writeln!(out, "and {}", counted(more, "more case")),
    }
}

fn table(header: impl IntoIterator<Item = impl ToString>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.into_iter().map(|word| word.to_string()));
    table
}

/// How much of a file's lines that programs can reach they do.
fn within_reach(file: &FileShares) -> String {
    format!("{} of {}, {}", file.reachable.reached, file.reachable.all, percent(file.reachable))
}

fn shown(share: Share) -> String {
    format!("{}, {}", share.reached, percent(share))
}

fn percent(share: Share) -> String {
    share.percent().map_or_else(|| "-".to_owned(), |percent| format!("{percent:.1} %"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::results_tests::results;

    #[test]
    fn shares_and_blocks_are_told() {
        let mut results = results();
        results.lost.push("topic/panics".to_owned());
        let mut text = Vec::new();
        write_driver_coverage(&mut text, &results, 1).unwrap();
        write_alone(&mut text, &results, 1).unwrap();
        insta::assert_snapshot!(anstream::adapter::strip_str(&String::from_utf8(text).unwrap()).to_string());
    }
}
