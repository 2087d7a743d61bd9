//! Signatures: what kind of thing targets did differently. Programs with the same signature stand together, and one of them
//! is looked at.
//!
//! A signature says what was done, and what came of it on each side: the words of the protocol, and never a name or a
//! number, which are the program's.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::compare::{Divergence, Side, masked};
use crate::engine::{ReturnRecord, StepOutcome, StepRecord, WriteReadRecord};
use crate::program::{Action, Command, Program};
use crate::script::{bytes_of, fragment};

/// What kind of divergence it is, such as `read: BR_DEAD_REPLY | BR_FAILED_REPLY`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Signature(String);

impl Signature {
    /// That of a program on which targets part ways.
    pub fn of(program: &Program, divergence: &Divergence) -> Signature {
        let mut sides = divergence.sides.iter();
        let (Some(first), Some(second)) = (sides.next(), sides.next()) else {
            return Signature("no divergence".to_owned());
        };
        let records = (first.record.as_ref(), second.record.as_ref());
        let (did, came) = match (divergence.step, records) {
            (None, _) => ("end".to_owned(), [complaint(first), complaint(second)]),
            (Some(step), records) => {
                let stopped = || "ended before".to_owned();
                let came = match records {
                    (Some(one), Some(other)) => parted(one, other),
                    (Some(one), None) => [words(one).join(" "), stopped()],
                    (None, other) => [stopped(), other.map(words).unwrap_or_default().join(" ")],
                };
                let consumed =
                    [first, second].into_iter().filter_map(|side| match &side.record.as_ref()?.outcome {
                        StepOutcome::WriteRead(done) => Some(done.write_consumed),
                        _ => None,
                    });
                (did(program, step, consumed.min()), came)
            }
        };
        Signature(format!("{did}: {}", came.join(" | ")))
    }

    /// That of something that a target did not come to the end with, or that the model is at fault with.
    pub fn of_failure(who: &str, reason: &str) -> Signature {
        Signature(format!("{who}: {}", masked(&headline(reason))))
    }

    /// As it stands in a list of what is known.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As the beginning of a file's name.
    pub fn file_name(&self) -> String {
        let mut name = String::new();
        for letter in self.0.chars() {
            match letter.to_ascii_lowercase() {
                letter if letter.is_ascii_alphanumeric() => name.push(letter),
                _ if name.ends_with('-') || name.is_empty() => {}
                _ => name.push('-'),
            }
            if name.len() == LONGEST_FILE_NAME {
                break;
            }
        }
        name.trim_end_matches('-').to_owned()
    }
}

/// The most letters of a signature that a file's name has.
const LONGEST_FILE_NAME: usize = 80;

impl std::fmt::Display for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a step does: reads, writes, the command at which writing stopped, or a call by its words.
fn did(program: &Program, step: usize, consumed: Option<u64>) -> String {
    let mut steps = program.steps.iter().flat_map(|noted| noted.value.steps());
    let Some(step) = steps.nth(step) else { return "?".to_owned() };
    match &step.action {
        Action::Read { .. } => "read".to_owned(),
        Action::Write { commands, .. } | Action::WriteRead { commands, .. } => {
            let mut end = 0;
            let stopped_at = commands.iter().find(|command| {
                end += bytes_of(command) as u64;
                consumed.is_some_and(|consumed| consumed < end)
            });
            let verb = if matches!(step.action, Action::Write { .. }) { "write" } else { "write and read" };
            let command = stopped_at.or(commands.last()).map_or("nothing", |command| match command {
                Command::Bytes(_) => "bytes",
                command => fragment::command_word(command),
            });
            format!("{verb} {command}")
        }
        Action::Call { call, .. } => fragment::call(call).split(' ').next().unwrap_or_default().to_owned(),
    }
}

/// Where two records of the same step part.
fn parted(one: &StepRecord, other: &StepRecord) -> [String; 2] {
    let [ours, theirs] = [words(one), words(other)];
    if let Some(names) = in_another_order(one, other) {
        return [names, "in another order".to_owned()];
    }
    if ours != theirs {
        let alike = ours.iter().zip(&theirs).take_while(|(one, other)| one == other).count();
        let rest = |words: &[String]| match words.get(alike) {
            Some(word) => word.clone(),
            None => "nothing more".to_owned(),
        };
        return [rest(&ours), rest(&theirs)];
    }
    if one.woke != other.woke {
        return [one, other].map(|record| format!("woke {}", record.woke.len()));
    }
    if let (StepOutcome::WriteRead(one), StepOutcome::WriteRead(other)) = (&one.outcome, &other.outcome) {
        return parted_in_writing_and_reading(one, other);
    }
    match (&one.outcome, &other.outcome) {
        (StepOutcome::Succeeded { value: Some(_) }, StepOutcome::Succeeded { value: Some(_) }) => {
            ["a value".to_owned(), "another".to_owned()]
        }
        (StepOutcome::Told { structure: ours }, StepOutcome::Told { structure: theirs }) => {
            match [field(ours, theirs), field(theirs, ours)] {
                [one, other] if one == other => [one, "another".to_owned()],
                fields => fields,
            }
        }
        _ => ["?".to_owned(), "?".to_owned()],
    }
}

/// The names of the returns that have come in another order, if nothing else is different.
fn in_another_order(one: &StepRecord, other: &StepRecord) -> Option<String> {
    let (StepOutcome::WriteRead(ours), StepOutcome::WriteRead(theirs)) = (&one.outcome, &other.outcome)
    else {
        return None;
    };
    let sorted = |done: &WriteReadRecord| {
        let mut done = done.clone();
        done.returns.sort_by(|one, other| one.script.cmp(&other.script));
        done
    };
    if one.woke != other.woke || ours == theirs || sorted(ours) != sorted(theirs) {
        return None;
    }
    let moved = ours.returns.iter().zip(&theirs.returns).filter(|(one, other)| one != other);
    let names: BTreeSet<&str> = moved.map(|(ours, _)| ours.name.as_str()).collect();
    Some(names.into_iter().collect::<Vec<_>>().join(" and "))
}

/// Where two parts whose words are alike.
fn parted_in_writing_and_reading(one: &WriteReadRecord, other: &WriteReadRecord) -> [String; 2] {
    if one.write_consumed != other.write_consumed {
        return ["write_consumed".to_owned(), "another".to_owned()];
    }
    let differs = |(one, other): &(&ReturnRecord, &ReturnRecord)| one != other;
    if let Some((ours, theirs)) = one.returns.iter().zip(&other.returns).find(differs) {
        let field = match ours.script == theirs.script {
            true => "payload".to_owned(),
            false => field(&ours.script, &theirs.script),
        };
        return [format!("{} {field}", ours.name), "another".to_owned()];
    }
    ["read_consumed".to_owned(), "another".to_owned()]
}

/// The field of a text in which it first differs from another one: what stands first behind a brace, a bracket or a comma.
fn field(text: &str, other: &str) -> String {
    let mut last = "?";
    let mut is_first = false;
    let mut others = other.split_whitespace();
    for word in text.split_whitespace() {
        if is_first && word.starts_with(|letter: char| letter.is_ascii_lowercase()) {
            last = word.trim_end_matches(',');
        }
        if others.next() != Some(word) {
            break;
        }
        is_first = word.ends_with(['{', '[', ',']);
    }
    last.to_owned()
}

/// What came of a step, in the words of the protocol.
fn words(record: &StepRecord) -> Vec<String> {
    match &record.outcome {
        StepOutcome::Parked => vec!["parked".to_owned()],
        StepOutcome::WriteRead(done) => {
            let errno = done.errno.clone();
            let mut words: Vec<String> = errno.into_iter().collect();
            words.extend(done.returns.iter().map(|returned| returned.name.clone()));
            words.extend(done.malformed.as_deref().map(masked));
            words
        }
        StepOutcome::Succeeded { .. } => vec!["success".to_owned()],
        StepOutcome::Polled { events } if events.is_empty() => vec!["no events".to_owned()],
        StepOutcome::Polled { events } => vec![events.join("+")],
        StepOutcome::Told { .. } => vec!["told".to_owned()],
        StepOutcome::Failed { errno } => vec![errno.clone()],
        StepOutcome::NotOneWoken => vec!["not one woken".to_owned()],
    }
}

/// What a side complained of.
fn complaint(side: &Side) -> String {
    side.complaints.first().map_or_else(|| "nothing".to_owned(), |line| masked(line))
}

/// What of a reason says what kind it is: what a kernel says as it falls over, and in which function, or else the first line,
/// but for the place of a program on this machine.
fn headline(reason: &str) -> String {
    let first = reason.lines().next().unwrap_or_default();
    // Each line of a console has its time before it.
    let said =
        |line: &'_ str| line.trim_start().split_once("] ").map_or(line.trim(), |(_, said)| said).to_owned();
    let fall =
        reason.lines().skip(1).find(|line| LAST_WORDS.iter().any(|words| line.contains(words))).map(said);
    // In the kernel, places have names.
    let function = reason.lines().find_map(|line| {
        let (place, _) = line.split_once("RIP: ")?.1.split_once("+0x")?;
        Some(place.rsplit_once(':').map_or(place, |(_, function)| function).to_owned())
    });
    match (fall, function) {
        (Some(fall), Some(function)) => format!("{fall} in {function}"),
        (Some(fall), None) => fall,
        (None, _) => match first.split_once(" (/") {
            Some((told, _)) => told.to_owned(),
            None => first.to_owned(),
        },
    }
}

/// What stands in the line in which a kernel begins to say that it falls over.
const LAST_WORDS: [&str; 6] = [
    "BUG:",
    "kernel BUG at",
    "Oops",
    "general protection fault",
    "unable to handle",
    "Kernel panic - not syncing",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn record(outcome: StepOutcome) -> StepRecord {
        StepRecord {
            step: 0,
            thread: "client".to_owned(),
            script: String::new(),
            outcome,
            woke: Vec::new(),
            races: false,
        }
    }

    fn read(returns: &[&str]) -> StepRecord {
        let returned = |script: &&str| ReturnRecord {
            name: script.split(' ').next().unwrap_or_default().to_owned(),
            script: (*script).to_owned(),
            payload: None,
        };
        record(StepOutcome::WriteRead(WriteReadRecord {
            errno: None,
            write_consumed: 0,
            read_consumed: 4,
            returns: returns.iter().map(returned).collect(),
            malformed: None,
        }))
    }

    #[test]
    fn what_comes_first_that_is_not_alike_is_told() {
        let one = read(&["BR_TRANSACTION_COMPLETE", "BR_DEAD_REPLY"]);
        let other = read(&["BR_TRANSACTION_COMPLETE", "BR_FAILED_REPLY"]);
        assert_eq!(parted(&one, &other), ["BR_DEAD_REPLY", "BR_FAILED_REPLY"]);
        let shorter = read(&["BR_TRANSACTION_COMPLETE"]);
        assert_eq!(parted(&one, &shorter), ["BR_DEAD_REPLY", "nothing more"]);
        assert_eq!(parted(&record(StepOutcome::Parked), &shorter), ["parked", "BR_TRANSACTION_COMPLETE"]);
    }

    #[test]
    fn another_order_is_told() {
        let one = read(&["BR_NOOP", "BR_RELEASE o1", "BR_DECREFS o1", "BR_RELEASE o2", "BR_DECREFS o2"]);
        let other = read(&["BR_NOOP", "BR_RELEASE o2", "BR_DECREFS o2", "BR_RELEASE o1", "BR_DECREFS o1"]);
        assert_eq!(parted(&one, &other), ["BR_DECREFS and BR_RELEASE", "in another order"]);
        let another = read(&["BR_NOOP", "BR_RELEASE o2", "BR_DECREFS o2", "BR_RELEASE o1", "BR_DECREFS o3"]);
        assert_eq!(parted(&one, &another), ["BR_RELEASE ?", "another"]);
    }

    #[test]
    fn a_field_is_told_without_its_value() {
        let [one, other] = [7, 8]
            .map(|code| read(&[format!("BR_TRANSACTION {{ code 3, flags {code}, data [ ] }}").as_str()]));
        assert_eq!(parted(&one, &other), ["BR_TRANSACTION flags", "another"]);
    }

    #[test]
    fn what_is_told_is_named_by_its_field_and_never_by_a_name_of_the_program() {
        let parted = |[one, other]: [&str; 2]| {
            let told = |structure: &str| StepOutcome::Told { structure: structure.to_owned() };
            parted(&record(told(one)), &record(told(other)))
        };
        let id = ["{ id 1, command BR_OK, param 0 }", "{ id 2, command BR_OK, param 0 }"];
        assert_eq!(parted(id), ["id", "another"]);
        let name = ["{ from_pid client, from_tid a, code 7 }", "{ from_pid client, from_tid b, code 7 }"];
        assert_eq!(parted(name), ["from_tid", "another"]);
        let missing =
            ["{ error BR_OK, from_pid client }", "{ error BR_OK, context binder, from_pid client }"];
        assert_eq!(parted(missing), ["from_pid", "context"]);
    }

    #[test]
    fn a_value_is_of_no_kind() {
        let value = |value| record(StepOutcome::Succeeded { value: Some(value) });
        assert_eq!(parted(&value(3), &value(-5)), ["a value", "another"]);
    }

    #[test]
    fn a_kernel_that_falls_over_says_what_kind_it_is() {
        let reason = |panic: &str| {
            let console = "[    1.20] binder: 7:7 got reply\n  [    1.25] Kernel panic - not syncing: ";
            format!(
                "the guest ended (/home/a/linux: signal: 6); the last lines of its console:\n  {console}{panic}"
            )
        };
        let signature = |panic: &str| Signature::of_failure("built:uml-c", &reason(panic)).to_string();
        assert_eq!(signature("a 3rd one"), "built:uml-c: Kernel panic - not syncing: a Nrd one");
        assert_ne!(signature("one"), signature("another"));
        let places = "[    1.26] RIP: 0033:0x7f12ab\n[    1.27] RIP: 0010:binder_ioctl+0x1/0x2";
        let with_place = signature(&format!("Fatal exception\n{places}"));
        assert!(with_place.ends_with("not syncing: Fatal exception in binder_ioctl"), "{with_place}");
        let silent = Signature::of_failure(
            "a",
            "the guest ended (/home/a/linux: signal: 6); its console stayed empty",
        );
        assert_eq!(silent.as_str(), "a: the guest ended");
    }

    #[test]
    fn what_failed_is_told_without_numbers() {
        let signature = Signature::of_failure("built:uml-c", "the guest said nothing for 60 s\nmore");
        assert_eq!(signature.as_str(), "built:uml-c: the guest said nothing for N s");
        assert_eq!(signature.file_name(), "built-uml-c-the-guest-said-nothing-for-n-s");
    }
}
