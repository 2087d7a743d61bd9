//! Comparison: where several targets did different things with the same program.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::engine::{Deviation, StepRecord, Transcript};
use crate::report::remarks;

/// The first step at which targets part ways.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Divergence {
    /// The index of the step in its program, from 0; `None` if they part after the last step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    /// What was done, each with the targets that did it; the targets are named in the order in which they ran.
    pub sides: Vec<Side>,
}

/// What some of the targets did alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Side {
    /// The targets.
    pub targets: Vec<String>,
    /// The step; `None` where the run had ended before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<StepRecord>,
    /// What the target complained of in the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub complaints: Vec<String>,
}

impl Divergence {
    /// The second side as a deviation from the first. `None` if there are no two sides.
    pub fn deviation(&self) -> Option<Deviation> {
        let [one, other, ..] = &self.sides[..] else { return None };
        let told = |side: &Side| match &side.record {
            Some(record) => remarks(record).join("\n"),
            None if side.complaints.is_empty() => "nothing".to_owned(),
            None => side.complaints.join("\n"),
        };
        Some(Deviation {
            step: self.step,
            expected: told(one),
            came: told(other),
            difference: format!(
                "{} and {} did different things",
                one.targets.join(", "),
                other.targets.join(", ")
            ),
        })
    }
}

/// Compares what targets did with one program. `None` if all did the same.
pub fn divergence(transcripts: &[(&str, &Transcript)]) -> Option<Divergence> {
    let longest = transcripts.iter().map(|(_, transcript)| transcript.steps.len()).max().unwrap_or(0);
    for place in 0..longest {
        let sides = sides(transcripts, |transcript| (transcript.steps.get(place).cloned(), Vec::new()));
        if sides.len() > 1 {
            let step = sides.iter().find_map(|side| side.record.as_ref()).map(|record| record.step);
            return Some(Divergence { step, sides });
        }
    }
    let sides = sides(transcripts, |transcript| (None, transcript.complaints.clone()));
    (sides.len() > 1).then_some(Divergence { step: None, sides })
}

/// Puts targets together that did the same.
fn sides(
    transcripts: &[(&str, &Transcript)],
    look: impl Fn(&Transcript) -> (Option<StepRecord>, Vec<String>),
) -> Vec<Side> {
    let mut sides: Vec<Side> = Vec::new();
    for (target, transcript) in transcripts {
        let (record, complaints) = look(transcript);
        let alike = sides.iter_mut().find(|side| side.record == record && side.complaints == complaints);
        match alike {
            Some(side) => side.targets.push((*target).to_owned()),
            None => sides.push(Side { targets: vec![(*target).to_owned()], record, complaints }),
        }
    }
    sides
}

/// Text in which numbers are alike: those in decimal digits, those that begin with 0x, and addresses.
pub fn masked(text: &str) -> String {
    /// Words of hexadecimal digits with so many letters, or more, are addresses.
    const ADDRESS: usize = 8;
    let is_address = |word: &str| {
        let is_long = word.len() >= ADDRESS && word.contains(|letter: char| letter.is_ascii_digit());
        word.starts_with("0x") || is_long && word.chars().all(|letter| letter.is_ascii_hexdigit())
    };
    let mut masked = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_of_word = |letter: char| letter.is_ascii_alphanumeric();
        let end = rest.find(|letter| is_of_word(letter) != is_of_word(first)).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        rest = behind;
        if is_address(word) {
            masked.push('N');
            continue;
        }
        for letter in word.chars() {
            match letter.is_ascii_digit() {
                true if masked.ends_with('N') => {}
                true => masked.push('N'),
                false => masked.push(letter),
            }
        }
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::StepOutcome;

    fn transcript(outcomes: &[StepOutcome]) -> Transcript {
        let step = |(step, outcome): (usize, &StepOutcome)| StepRecord {
            step,
            thread: "client".to_owned(),
            script: "client < parked".to_owned(),
            outcome: outcome.clone(),
            woke: Vec::new(),
            races: false,
        };
        Transcript { steps: outcomes.iter().enumerate().map(step).collect(), complaints: Vec::new() }
    }

    #[test]
    fn targets_that_do_the_same_do_not_diverge() {
        let one = transcript(&[StepOutcome::Parked]);
        assert_eq!(divergence(&[("a", &one), ("b", &one)]), None);
        assert_eq!(divergence(&[]), None);
    }

    #[test]
    fn the_first_difference_is_found_and_those_who_agree_stand_together() {
        let succeeds = StepOutcome::Succeeded { value: None };
        let one = transcript(&[StepOutcome::Parked, StepOutcome::Parked]);
        let other = transcript(&[StepOutcome::Parked, succeeds]);
        let shorter = transcript(&[StepOutcome::Parked]);
        let found = divergence(&[("a", &one), ("b", &other), ("c", &one), ("d", &shorter)]).unwrap();
        assert_eq!(found.step, Some(1));
        let targets: Vec<_> = found.sides.iter().map(|side| side.targets.join(" ")).collect();
        assert_eq!(targets, ["a c", "b", "d"]);
        assert_eq!(found.sides[2].record, None);
    }

    #[test]
    fn complaints_at_the_end_are_compared() {
        let one = transcript(&[StepOutcome::Parked]);
        let mut other = one.clone();
        other.complaints.push("2 nodes are left after all is closed".to_owned());
        let found = divergence(&[("a", &one), ("b", &other)]).unwrap();
        assert_eq!((found.step, found.sides.len()), (None, 2));
    }

    #[test]
    fn numbers_are_alike() {
        assert_eq!(masked("2 nodes are left, 0x17f"), "N nodes are left, N");
        assert_eq!(masked("at address: ffffc9000123abcd in binder_ioctl"), "at address: N in binder_ioctl");
        assert_eq!(
            masked("WARNING: CPU: 0 PID: 77 at binder.c:3165"),
            "WARNING: CPU: N PID: N at binder.c:N"
        );
        assert_eq!(masked("defaced, ünd"), "defaced, ünd");
    }
}
