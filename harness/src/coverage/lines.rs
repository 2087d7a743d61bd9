//! Lines and branches of the driver, and by whose doing each ran.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::Serialize;
use strum::{Display, VariantArray};

use super::gcov::ReportedFile;

/// Whose doing it is that code runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Display, VariantArray, Serialize)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Origin {
    /// The kernel's, which booted, and the guest's, which made ready for programs.
    Boot,
    /// A case's.
    Suite,
    /// A program's that nobody wrote, or that somebody keeps.
    Corpus,
}

/// How often something ran, by origin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Runs {
    boot: u64,
    suite: u64,
    corpus: u64,
}

/// What ran of a driver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// Its files, by their names in the driver's folder.
    pub files: BTreeMap<String, FileCoverage>,
    /// The cases and programs that lines are attributed to, each by its place.
    pub cases: Vec<String>,
}

/// What ran of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FileCoverage {
    /// Its functions, by their first lines.
    pub functions: BTreeMap<u32, Function>,
    /// Its lines that have code, by their numbers from 1.
    pub lines: BTreeMap<u32, LineCoverage>,
}

/// A function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its last line.
    pub end: u32,
    /// How often it ran.
    pub runs: Runs,
}

/// What ran of a line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LineCoverage {
    /// How often it ran.
    pub runs: Runs,
    /// How often each way was taken that the code may go at its end.
    pub branches: Vec<Runs>,
    /// The cases that ran it, by their places.
    pub cases: Vec<usize>,
}

/// How much of something ran.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Share {
    /// So many ran.
    pub reached: usize,
    /// Of so many.
    pub all: usize,
}

/// How much ran.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Of the lines that have code.
    pub lines: Share,
    /// Of the ways that the code may go.
    pub branches: Share,
    /// Of the functions.
    pub functions: Share,
}

impl Runs {
    /// How often it ran by this origin's doing.
    pub fn of(&self, origin: Origin) -> u64 {
        match origin {
            Origin::Boot => self.boot,
            Origin::Suite => self.suite,
            Origin::Corpus => self.corpus,
        }
    }

    /// How often it ran.
    pub fn total(&self) -> u64 {
        Origin::VARIANTS.iter().fold(0, |total: u64, origin| total.saturating_add(self.of(*origin)))
    }

    fn add(&mut self, origin: Origin, count: u64) {
        let runs = match origin {
            Origin::Boot => &mut self.boot,
            Origin::Suite => &mut self.suite,
            Origin::Corpus => &mut self.corpus,
        };
        *runs = runs.saturating_add(count);
    }
}

impl Coverage {
    /// Adds what was counted. `case` is the case or program that it is attributed to.
    pub fn add(&mut self, origin: Origin, case: Option<&str>, counted: &[ReportedFile]) {
        let case = case.map(|case| {
            self.cases.push(case.to_owned());
            self.cases.len() - 1
        });
        for file in counted {
            self.files.entry(file.file.clone()).or_default().add(origin, case, file);
        }
    }

    /// What is known of a line of a file; `None` if there is no code in it.
    pub fn line(&self, file: &str, line: u32) -> Option<&LineCoverage> {
        self.files.get(file)?.lines.get(&line)
    }

    /// The names of the cases that ran a line.
    pub fn cases_of<'a>(&'a self, line: &'a LineCoverage) -> impl Iterator<Item = &'a str> {
        line.cases.iter().map(|case| self.cases[*case].as_str())
    }

    /// For each case the lines that no other one runs, in the order of the cases.
    pub fn alone(&self) -> Vec<(&str, Vec<(&str, u32)>)> {
        let mut alone: BTreeMap<&str, Vec<(&str, u32)>> = BTreeMap::new();
        for (name, file) in &self.files {
            for (number, line) in &file.lines {
                if let [case] = line.cases[..] {
                    alone.entry(&self.cases[case]).or_default().push((name, *number));
                }
            }
        }
        alone.into_iter().collect()
    }
}

impl FileCoverage {
    fn add(&mut self, origin: Origin, case: Option<usize>, counted: &ReportedFile) {
        for function in &counted.functions {
            let known = self.functions.entry(function.start_line).or_insert_with(|| Function {
                name: function.name.clone(),
                end: function.end_line,
                runs: Runs::default(),
            });
            known.runs.add(origin, function.execution_count);
        }
        // The lines of a file stand in gcov's report as its notes have them, whatever was counted: so a line's branches are
        // in the same order every time.
        let mut branches_before: BTreeMap<u32, usize> = BTreeMap::new();
        for line in &counted.lines {
            let known = self.lines.entry(line.line_number).or_default();
            known.runs.add(origin, line.count);
            let before = branches_before.entry(line.line_number).or_default();
            for branch in &line.branches {
                if known.branches.len() == *before {
                    known.branches.push(Runs::default());
                }
                known.branches[*before].add(origin, branch.count);
                *before += 1;
            }
            if let Some(case) = case.filter(|case| line.count > 0 && known.cases.last() != Some(case)) {
                known.cases.push(case);
            }
        }
    }

    /// The function that a line stands in.
    pub fn function_of(&self, line: u32) -> Option<&Function> {
        self.functions
            .range(..=line)
            .rev()
            .map(|(_, function)| function)
            .find(|function| function.end >= line)
    }

    /// How much of it ran, by the doing of those that are counted.
    pub fn totals(&self, counts: impl Fn(&Runs) -> bool) -> Totals {
        let mut totals = Totals::default();
        let mut count = |share: fn(&mut Totals) -> &mut Share, runs: &Runs| {
            let share = share(&mut totals);
            share.all += 1;
            share.reached += usize::from(counts(runs));
        };
        for line in self.lines.values() {
            count(|totals| &mut totals.lines, &line.runs);
            line.branches.iter().for_each(|branch| count(|totals| &mut totals.branches, branch));
        }
        self.functions.values().for_each(|function| count(|totals| &mut totals.functions, &function.runs));
        totals
    }
}

impl Share {
    /// In percent, or nothing if there is nothing to reach.
    pub fn percent(&self) -> Option<f64> {
        (self.all > 0).then(|| self.reached as f64 * 100.0 / self.all as f64)
    }
}

impl AddAssign for Share {
    fn add_assign(&mut self, other: Share) {
        self.reached += other.reached;
        self.all += other.all;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::coverage::gcov::tests::recorded;

    /// What a boot and a case made of a driver of two functions.
    pub(crate) fn coverage() -> Coverage {
        let mut coverage = Coverage::default();
        coverage.add(Origin::Boot, None, &recorded());
        coverage.add(Origin::Suite, Some("topic/case"), &recorded());
        coverage
    }

    #[test]
    fn what_is_counted_adds_up_by_origin() {
        let coverage = coverage();
        let file = &coverage.files["binder.c"];
        let once = &recorded()[0];
        let counted: u64 = once.lines.iter().map(|line| line.count).sum();
        let total = |origin| file.lines.values().map(|line| line.runs.of(origin)).sum::<u64>();
        assert_eq!(Origin::VARIANTS.iter().copied().map(total).collect::<Vec<_>>(), [counted, counted, 0]);
        let branches: usize = once.lines.iter().map(|line| line.branches.len()).sum();
        assert_eq!(file.totals(|_| true).branches, Share { reached: branches, all: branches });
        assert_eq!(file.totals(|runs| runs.of(Origin::Corpus) > 0).lines.reached, 0);
    }

    #[test]
    fn a_line_has_its_cases_and_its_function() {
        let coverage = coverage();
        let file = &coverage.files["binder.c"];
        for (number, line) in &file.lines {
            let cases: Vec<&str> = coverage.cases_of(line).collect();
            assert_eq!(cases, if line.runs.total() > 0 { vec!["topic/case"] } else { vec![] }, "{number}");
            assert!(file.function_of(*number).is_some(), "{number}");
        }
        assert_eq!(file.function_of(1), None);
        assert_eq!(coverage.line("binder.c", 1), None);
    }

    #[test]
    fn what_only_one_case_runs_is_found() {
        let mut coverage = coverage();
        let all: Vec<usize> = coverage.alone().iter().map(|(_, lines)| lines.len()).collect();
        assert_eq!(all.len(), 1);
        coverage.add(Origin::Suite, Some("topic/same"), &recorded());
        assert!(coverage.alone().is_empty());
    }
}
