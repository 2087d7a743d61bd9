//! Pages that show the driver's source, and which of its lines ran.

use std::fs;
use std::io;
use std::path::Path;

use askama::Template;

use super::{shown, within_reach};
use crate::coverage::{Coverage, CoverageResults, FileCoverage, LineCoverage, Origin, Unreached};
use crate::report::counted;
use crate::report::site::{Head, STYLE, SiteError};

/// So many cases that ran a line are named.
const NAMED: usize = 5;

/// The list of files.
const INDEX: &str = "index.html";

#[derive(Template)]
#[template(path = "driver.html")]
struct Index<'a> {
    head: Head,
    results: &'a CoverageResults,
    files: Vec<FileRow<'a>>,
    unreached: Vec<(&'a Unreached, String)>,
}

struct FileRow<'a> {
    file: &'a str,
    page: String,
    /// What is told of it, with its words.
    cells: Vec<String>,
}

#[derive(Template)]
#[template(path = "driver_source.html")]
struct Source<'a> {
    head: Head,
    file: &'a str,
    summary: String,
    lines: Vec<SourceLine<'a>>,
}

struct SourceLine<'a> {
    number: usize,
    /// How it is marked.
    class: &'static str,
    /// How often it ran; empty where there is no code.
    runs: String,
    text: &'a str,
    /// More of it.
    title: String,
}

/// Writes the pages into a folder; with `cases`, each line says which cases ran it.
pub fn write_driver_pages(folder: &Path, results: &CoverageResults, cases: bool) -> Result<(), SiteError> {
    put(folder, "style.css", STYLE)?;
    let index = Index {
        head: Head::new(format!("Coverage of the driver on {}", results.target), INDEX, ""),
        results,
        files: results.files.iter().map(FileRow::of).collect(),
        unreached: results
            .unreached
            .iter()
            .map(|unreached| {
                (unreached, format!("{}#L{}", page(&unreached.block.file), unreached.block.first))
            })
            .collect(),
    };
    put(folder, INDEX, &index.render()?)?;
    for shares in &results.files {
        let (file, text) = (&shares.file, &results.texts[&shares.file]);
        let covered = &results.coverage.files[file];
        let unreached: Vec<&Unreached> =
            results.unreached.iter().filter(|unreached| unreached.block.file == *file).collect();
        let line = |(place, text)| {
            SourceLine::of(place + 1, text, covered, &unreached, cases.then_some(&results.coverage))
        };
        let source = Source {
            head: Head::new(file.clone(), file, ""),
            file,
            summary: format!("{} of {} lines reached", shown(shares.all.lines), shares.all.lines.all),
            lines: text.lines().enumerate().map(line).collect(),
        };
        put(folder, &page(file), &source.render()?)?;
    }
    Ok(())
}

/// The page of a file. All pages lie in one folder.
fn page(file: &str) -> String {
    format!("{}.html", file.replace('/', "-"))
}

fn put(folder: &Path, name: &str, text: &str) -> Result<(), SiteError> {
    let path = folder.join(name);
    fs::write(&path, text).map_err(|source: io::Error| SiteError::File { path, source })
}

impl<'a> FileRow<'a> {
    fn of(shares: &'a crate::coverage::FileShares) -> FileRow<'a> {
        let all = &shares.all;
        let by = [Origin::Boot, Origin::Suite, Origin::Corpus];
        let by = by.iter().map(|origin| shares.by[origin].lines.reached.to_string());
        let cells = [all.lines.all.to_string()].into_iter().chain(by);
        let cells = cells.chain([shown(all.lines), within_reach(shares), shown(all.branches)]);
        FileRow { file: &shares.file, page: page(&shares.file), cells: cells.collect() }
    }
}

impl<'a> SourceLine<'a> {
    fn of(
        number: usize,
        text: &'a str,
        covered: &FileCoverage,
        unreached: &[&Unreached],
        coverage: Option<&Coverage>,
    ) -> SourceLine<'a> {
        let place = u32::try_from(number).unwrap_or(u32::MAX);
        let Some(line) = covered.lines.get(&place) else {
            return SourceLine { number, class: "", runs: String::new(), text, title: String::new() };
        };
        let runs = line.runs.total();
        let never = line.branches.iter().filter(|branch| branch.total() == 0).count();
        let block = unreached.iter().find(|unreached| unreached.block.has(&unreached.block.file, place));
        let (class, title) = match (runs, block) {
            (0, Some(block)) if !block.is_within_reach() => {
                ("away", block.reason.clone().unwrap_or_default())
            }
            (0, block) => ("never", block.and_then(|block| block.reason.clone()).unwrap_or_default()),
            _ if never > 0 => ("part", format!("{never} of {} ways were never taken. ", line.branches.len())),
            _ => ("", String::new()),
        };
        let title = title + &coverage.map_or_else(String::new, |coverage| of_cases(coverage, line));
        SourceLine { number, class, runs: runs.to_string(), text, title }
    }
}

/// The cases that ran a line.
fn of_cases(coverage: &Coverage, line: &LineCoverage) -> String {
    let named: Vec<&str> = coverage.cases_of(line).take(NAMED).collect();
    match line.cases.len() {
        0 => String::new(),
        all => {
            let more = if all > NAMED { ", …" } else { "" };
            format!("{}: {}{more}", counted(all, "case"), named.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::results_tests::results;

    #[test]
    fn pages_of_files_in_folders_lie_in_one() {
        assert_eq!(page("binder/node/wrapper.rs"), "binder-node-wrapper.rs.html");
    }

    #[test]
    fn pages_show_what_never_ran_and_escape_the_source() {
        let folder = tempfile::tempdir().unwrap();
        write_driver_pages(folder.path(), &results(), true).unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        let source = read("binder.c.html");
        assert!(source.contains("x &#60; y") && !source.contains("x < y"), "{source}");
        assert!(source.contains("<code id=\"L14\" class=\"never\""), "{source}");
        assert!(source.contains("class=\"away\" title=\"it is shown only\""), "{source}");
        assert!(source.contains("1 case: topic/case"), "{source}");
        let index = read("index.html");
        for (place, part) in [("binder.c.html#L14", "ran"), ("binder.c.html#L4", "never")] {
            assert!(index.contains(place) && index.contains(part), "{index}");
        }
    }
}
