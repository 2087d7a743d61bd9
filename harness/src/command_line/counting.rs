//! Counting: what of the driver runs while guests run cases, on a kernel that counts.

use std::io;
use std::sync::{Mutex, PoisonError};

use super::run::{Plan, run_on};
use super::{CommandError, TargetArguments};
use crate::coverage::gcov::ReportedFile;
use crate::coverage::{Coverage, Gcov, Llvm, Origin};
use crate::engine::Verdict;
use crate::kernel::{DriverKind, Notes};
use crate::report::{CaseResult, TargetResults};
use crate::suite::Case;
use crate::target::Target;
use crate::target::guest::{Counters, Since};

/// What is counted while guests run.
pub(super) struct Counting {
    reader: Reader,
    counted: Mutex<Counted>,
}

/// Who makes lines of counters.
enum Reader {
    /// Of a driver in C.
    Gcov(Gcov),
    /// Of one in Rust.
    Llvm(Llvm),
}

/// What has been counted.
#[derive(Default)]
pub(super) struct Counted {
    /// Line by line.
    pub(super) coverage: Coverage,
    /// Cases whose guests were gone before they could be asked, by their names.
    pub(super) lost: Vec<String>,
}

impl Reader {
    fn read(&self, counters: &Counters) -> Result<Vec<ReportedFile>, CommandError> {
        Ok(match self {
            Reader::Gcov(gcov) => gcov.read(counters)?,
            Reader::Llvm(llvm) => llvm.read(counters)?,
        })
    }
}

impl Counting {
    /// Nothing has been counted yet of the kernel with these notes.
    pub(super) fn of(notes: &Notes) -> Result<Counting, CommandError> {
        let reader = match notes.driver()? {
            DriverKind::C => Reader::Gcov(Gcov::of(notes)?),
            DriverKind::Rust => Reader::Llvm(Llvm::of(notes)?),
        };
        Ok(Counting { reader, counted: Mutex::default() })
    }

    /// Counts what booting runs.
    pub(super) fn boot(&self, target: &str, options: &TargetArguments) -> Result<(), CommandError> {
        let mut target = options.target(target, false)?;
        if let Some(counters) = target.counted(Since::Boot)? {
            let lines = self.reader.read(&counters)?;
            let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
            counted.coverage.add(Origin::Boot, None, &lines);
        }
        Ok(())
    }

    /// Runs what is planned, and counts what it runs.
    pub(super) fn run(&self, plan: &Plan<'_>, origin: Origin) -> Result<TargetResults, CommandError> {
        let observer = |case: &Case, result: &CaseResult, target: &mut dyn Target| {
            let counters = target.counted(Since::Last)?;
            if matches!(result.verdict, Verdict::Skip { .. } | Verdict::OtherDriver { .. }) {
                return Ok(());
            }
            let lines = counters.map(|counters| self.reader.read(&counters)).transpose()?;
            let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
            match lines {
                Some(lines) => counted.coverage.add(origin, Some(&case.id), &lines),
                None => counted.lost.push(case.id.clone()),
            }
            Ok(())
        };
        run_on(&Plan { observer: Some(&observer), ..*plan }, &mut io::sink())
    }

    /// What has been counted.
    pub(super) fn counted(self) -> Counted {
        let mut counted = self.counted.into_inner().unwrap_or_else(PoisonError::into_inner);
        counted.lost.sort();
        counted
    }
}
