//! `binderdrill diff`: what two kernels did otherwise, as it is kept.

use std::io::Write;

use clap::Args;

use super::{CommandError, Format, Status, remark, write_json};
use crate::difference::Differences;
use crate::report::{CaseResult, kept, named, write_differences};
use crate::suite;

#[derive(Debug, Args)]
pub(super) struct DiffArguments {
    /// What one kernel did: `record:debian-6.1`, a file of `run --format json`, or FILE@TARGET where that has several
    left: String,
    /// What another one did
    right: String,
    /// Compare only these cases: part of a name, or a clause such as txn.3
    #[arg(long = "only", value_name = "FILTER")]
    filter: Vec<String>,
    /// How to write what differs
    #[arg(long, value_enum, default_value_t = Format::Human)]
    format: Format,
}

pub(super) fn diff(arguments: &DiffArguments, out: &mut dyn Write) -> Result<Status, CommandError> {
    let DiffArguments { left, right, filter, format } = arguments;
    if left == right {
        return Err(CommandError::Options(format!("{left} is the same as itself; name two")));
    }
    let (left, right) = (kept(left)?, kept(right)?);
    let is_wanted = |case: &CaseResult| {
        filter.is_empty() || filter.iter().any(|filter| suite::is_meant(&case.id, &case.clauses, filter))
    };
    for run in [&left, &right] {
        let changed = suite::changed_since(run.cases.iter().filter(|case| is_wanted(case)));
        if !changed.is_empty() {
            let what = "in the suite, there have changed since";
            remark(&format!("{what} {}: {}", run.target, named(&changed)));
        }
    }
    let differences = Differences::between(left, right, is_wanted);
    if differences.cases() == 0 {
        return Err(CommandError::Options(format!(
            "no case has {} in its name or among its clauses",
            filter.join(" or ")
        )));
    }
    match format {
        Format::Human => write_differences(out, &differences)?,
        Format::Json => write_json(out, &differences)?,
    }
    Ok(match (differences.is_nothing(), differences.same) {
        (false, _) => Status::Deviation,
        (true, 1..) => Status::AsExpected,
        // That no case can be compared is no agreement.
        (true, 0) => Status::CouldNotRun,
    })
}
