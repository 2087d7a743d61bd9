//! Findings: programs on which targets part ways, made as small as they can be, and written as cases.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::bench::Difference;
use super::side_by_side::side_by_side;
use crate::engine::Verdict;
use crate::program::Program;
use crate::script::print;

/// A program on which targets part ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The index of the lane that showed it.
    pub lane: usize,
    /// The seed of the program that showed it first.
    pub seed: u64,
    /// How many steps that had.
    pub steps_before: usize,
    /// What is left of it.
    pub program: Program,
    /// What targets do with this.
    pub difference: Difference,
    /// How often.
    pub steadiness: Steadiness,
    /// The search for less was ended before it was as small as it can be.
    pub is_cut_short: bool,
    /// Why, if that is listed.
    pub known: Option<String>,
}

/// How often a program shows a difference.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub struct Steadiness {
    /// In so many runs.
    pub shown: u32,
    /// Of so many.
    pub of: u32,
}

impl Steadiness {
    /// Whether it was in all of them, and there were any.
    pub fn is_steady(self) -> bool {
        self.shown == self.of && self.of > 0
    }
}

impl std::fmt::Display for Steadiness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} runs", self.shown, self.of)
    }
}

impl Finding {
    /// The program as a case, with where it comes from.
    pub fn case(&self, lane: &str, replay: &str) -> Program {
        let mut program = self.program.clone();
        program.opening = vec![
            format!("Targets part ways: {}.", self.difference.signature),
            format!(
                "On {lane}, in {}; seed {}, which had {} steps.",
                self.steadiness, self.seed, self.steps_before
            ),
            format!("Again: {replay}"),
        ];
        if self.is_cut_short {
            let line = "It may be made smaller still: the search for less was ended. `binderdrill minimise` goes on with it.";
            program.opening.push(line.to_owned());
        }
        program
    }

    /// What targets did, for people.
    pub fn text(&self, targets: &[&str], replay: &str) -> String {
        let mut text =
            format!("{}\n\n{}; seed {}\n{replay}\n\n", self.difference.signature, self.steadiness, self.seed);
        if let [(_, one), others @ ..] = &self.difference.runs[..] {
            let first = targets.first().copied().unwrap_or_default();
            for (place, (_, other)) in others.iter().enumerate() {
                let target = targets.get(place + 1).copied().unwrap_or_default();
                text.push_str(&side_by_side((first, &one.transcript), (target, &other.transcript)));
                text.push('\n');
            }
        }
        for (name, run) in &self.difference.runs {
            match &run.verdict {
                Verdict::Broken { reason } => text.push_str(&format!("{name}: {reason}\n\n")),
                Verdict::Fail(deviation) => text.push_str(&format!("{name}: {}\n\n", deviation.difference)),
                _ => {}
            }
        }
        text
    }

    /// Writes the case and the text into a folder, and tells where the case is, and its script. What is there already is not
    /// written again, and of what is listed there is one of a kind.
    pub fn write(&self, folder: &Path, targets: &[&str], command: &str) -> io::Result<(PathBuf, String)> {
        fs::create_dir_all(folder)?;
        let listed = if self.known.is_some() { "listed-" } else { "" };
        let name = format!("{listed}{}", self.difference.signature.file_name());
        let script = print(&self.case(&targets.join(", "), command));
        // Of a file system that is full no case is left that is cut off.
        let mut whole =
            tempfile::Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(folder)?;
        whole.write_all(script.as_bytes())?;
        for number in 0..u32::MAX {
            let path = match number {
                0 => folder.join(format!("{name}.{}", binderdrill_suites::EXTENSION)),
                number => folder.join(format!("{name}-{number}.{}", binderdrill_suites::EXTENSION)),
            };
            if self.known.is_some() {
                whole.persist(&path).map_err(|error| error.error)?;
                fs::write(path.with_extension("txt"), self.text(targets, command))?;
                return Ok((path, script));
            }
            if fs::read(&path).is_ok_and(|there| there == script.as_bytes()) {
                return Ok((path, script));
            }
            // Another campaign may write into the same folder.
            match whole.persist_noclobber(&path) {
                Ok(_) => {
                    fs::write(path.with_extension("txt"), self.text(targets, command))?;
                    return Ok((path, script));
                }
                Err(taken) if taken.error.kind() == io::ErrorKind::AlreadyExists => whole = taken.file,
                Err(error) => return Err(error.error),
            }
        }
        Err(io::Error::other("there are too many findings"))
    }
}
