//! `binderdrill report`: results as a site.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use super::rendering::{KcidbArguments, ResultsFormat, write_results};
use super::{CommandError, Status, complain, write_json};
use crate::report::site::{Past, Report, Summary, Written};
use crate::report::{self, Results};

#[derive(Debug, Args)]
pub(super) struct ReportArguments {
    /// Files of `run --format json`, compressed by gzip or not; several are put together
    #[arg(required_unless_present = "schema", value_name = "RESULTS")]
    results: Vec<PathBuf>,
    /// The folder of the site. It keeps a summary of each report that is written there
    #[arg(long, value_name = "FOLDER", default_value = "report")]
    out: PathBuf,
    /// The results to compare with [default: the last report in the folder]
    #[arg(long, value_name = "RESULTS")]
    since: Option<PathBuf>,
    /// Write no site, but print the results in this format
    #[arg(long, value_enum, conflicts_with_all = ["out", "since"])]
    format: Option<ResultsFormat>,
    #[command(flatten)]
    kcidb: KcidbArguments,
    /// Print the JSON Schema of results
    #[arg(long, exclusive = true)]
    schema: bool,
}

pub(super) fn report(arguments: &ReportArguments, out: &mut dyn Write) -> Result<Status, CommandError> {
    if arguments.schema {
        write_json(out, &report::schema())?;
        return Ok(Status::AsExpected);
    }
    let submission = arguments.kcidb.submission(arguments.format)?;
    let mut notices = Vec::new();
    let mut read = Vec::new();
    for path in &arguments.results {
        match report::read(path) {
            Ok(results) => read.push((path.clone(), results)),
            Err(error) => notices.push(error.to_string()),
        }
    }
    if read.iter().all(|(_, results)| results.runs.is_empty() && results.unusable.is_empty()) {
        notices.iter().for_each(|notice| complain(notice));
        return Err(CommandError::Options("there are no results to make a report of".to_owned()));
    }
    let (results, misfits) = report::merge(read);
    notices.extend(misfits);
    if let Some(format) = arguments.format {
        notices.iter().for_each(|notice| complain(notice));
        write_results(out, &results, format, &submission)?;
        return Ok(status(&notices));
    }
    let since = match arguments.since.as_ref().map(|path| report::read(path)) {
        Some(Ok(results)) => Some(Summary::of(&results)),
        Some(Err(error)) => {
            notices.push(error.to_string());
            None
        }
        None => None,
    };
    let (report, written) = write(results, since, notices, &arguments.out)?;
    let (path, size) = (arguments.out.join("index.html"), written.bytes as f64 / 1e6);
    writeln!(out, "{} ({} files, {size:.1} MB)", path.display(), written.files)?;
    Ok(status(&report.notices))
}

/// Writes the site, keeps a summary for the next one, and says what could not be shown.
pub(super) fn write(
    results: Results,
    since: Option<Summary>,
    mut notices: Vec<String>,
    folder: &Path,
) -> Result<(Report, Written), CommandError> {
    let now = Summary::of(&results);
    let Past { summaries, unreadable } = Past::before(folder, now.started);
    notices.extend(unreadable.iter().map(ToString::to_string));
    let since = since.or_else(|| summaries.last().cloned());
    notices.iter().for_each(|notice| complain(notice));
    let report = Report { results, notices, since, past: summaries };
    let written = report.write(folder)?;
    now.keep(folder)?;
    Ok((report, written))
}

/// That something could not be shown is said by the exit status, too.
pub(super) fn status(notices: &[String]) -> Status {
    if notices.is_empty() { Status::AsExpected } else { Status::CouldNotRun }
}
