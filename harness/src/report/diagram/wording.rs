//! Wording: a step of a transcript in the words that stand at its arrows.

use crate::engine::{StepOutcome, StepRecord, WriteReadRecord};

/// How every transaction to the context manager begins that has set no pointer and no cookie, which tells nobody anything.
const NO_TARGET: &str = "target { ptr 0x0, cookie 0x0 }, ";

/// What came of a step.
pub(super) struct Came {
    /// In words.
    pub(super) words: Vec<String>,
    /// Whether it is an error.
    pub(super) failed: bool,
}

/// What the thread of a step told the driver: each of its commands, or the call; nothing if it only reads.
pub(super) fn told(record: &StepRecord) -> Vec<String> {
    let Some((sign, rest)) = behind_actor(&record.script) else { return vec![record.script.clone()] };
    let written = match sign {
        Sign::Read => return Vec::new(),
        Sign::Call => return vec![split(rest, &["="])[0].trim().to_owned()],
        Sign::Write => rest,
        Sign::WriteRead => split(rest, &["->"])[0],
    };
    let commands = split(written, &["="])[0];
    split(commands, &[","]).into_iter().map(|command| command.trim().to_owned()).collect()
}

/// What the driver told it.
pub(super) fn came(record: &StepRecord) -> Came {
    let plain = |words: Vec<String>| Came { words, failed: false };
    match &record.outcome {
        StepOutcome::Parked | StepOutcome::Succeeded { value: None } => plain(Vec::new()),
        StepOutcome::WriteRead(done) => write_read(done),
        StepOutcome::Succeeded { value: Some(value) } => plain(vec![format!("= {value}")]),
        StepOutcome::Told { structure } => plain(vec![format!("= {structure}")]),
        StepOutcome::Polled { events } if events.is_empty() => plain(vec!["= 0".to_owned()]),
        StepOutcome::Polled { events } => plain(vec![format!("= {}", events.join(" | "))]),
        StepOutcome::Failed { errno } => Came { words: vec![format!("= {errno}")], failed: true },
        StepOutcome::NotOneWoken => {
            Came { words: vec!["none or several were woken".to_owned()], failed: true }
        }
    }
}

fn write_read(done: &WriteReadRecord) -> Came {
    let mut words: Vec<String> =
        done.returns.iter().map(|returned| returned.script.replacen(NO_TARGET, "", 1)).collect();
    if words.is_empty() && done.read_consumed > 0 && done.malformed.is_none() {
        words.push("nothing".to_owned());
    }
    words.extend(done.malformed.clone());
    words.extend(done.errno.as_ref().map(|errno| format!("= {errno}")));
    Came { words, failed: done.errno.is_some() || done.malformed.is_some() }
}

/// How a step calls the driver.
enum Sign {
    Write,
    Read,
    WriteRead,
    Call,
}

/// The sign of a step and what stands behind it; nothing where there is no sign.
fn behind_actor(script: &str) -> Option<(Sign, &str)> {
    let (at, _) = top_level(script).find(|(_, rest)| rest.starts_with(['<', '>', '!']))?;
    let rest = &script[at..];
    let signs = [("><", Sign::WriteRead), (">", Sign::Write), ("<", Sign::Read), ("!", Sign::Call)];
    signs.into_iter().find_map(|(word, sign)| Some((sign, rest.strip_prefix(word)?)))
}

/// The pieces of a text between some separators that stand in no brackets and no string.
fn split<'t>(text: &'t str, separators: &[&str]) -> Vec<&'t str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for (at, rest) in top_level(text) {
        let found = separators.iter().find(|separator| rest.starts_with(**separator));
        if let Some(separator) = found.filter(|_| at >= start) {
            pieces.push(&text[start..at]);
            start = at + separator.len();
        }
    }
    pieces.push(&text[start..]);
    pieces
}

/// The places of a text that stand in no brackets and no string, each with what follows.
fn top_level(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    text.char_indices().filter_map(move |(at, letter)| {
        if in_string {
            in_string = escaped || letter != '"';
            escaped = !escaped && letter == '\\';
            return None;
        }
        match letter {
            '"' => in_string = true,
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth = depth.saturating_sub(1),
            _ => return (depth == 0).then(|| (at, &text[at..])),
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{step, written};
    use super::*;

    fn told_of(script: &str) -> Vec<String> {
        told(&step(0, script, written(), &[]))
    }

    #[test]
    fn each_command_is_a_word_of_its_own() {
        assert_eq!(
            told_of(
                r#"client  > BC_TRANSACTION { handle 0, data [ str16 "}, > \" =" ] }, BC_FREE_BUFFER call"#
            ),
            [r#"BC_TRANSACTION { handle 0, data [ str16 "}, > \" =" ] }"#, "BC_FREE_BUFFER call"]
        );
        assert_eq!(told_of("client  > BC_ENTER_LOOPER = EINVAL consumed 4"), ["BC_ENTER_LOOPER"]);
    }

    #[test]
    fn what_is_read_is_not_told() {
        assert!(told_of("client  < BR_REPLY, BR_NOOP").is_empty());
        assert!(told_of("any of { server | helper } as busy  < BR_TRANSACTION { code 1 }").is_empty());
        assert_eq!(told_of("server  >< BC_REPLY -> BR_TRANSACTION_COMPLETE"), ["BC_REPLY"]);
    }

    #[test]
    fn a_call_is_told_as_it_stands() {
        assert_eq!(told_of("client ! BINDER_VERSION = 8"), ["BINDER_VERSION"]);
        assert_eq!(told_of("client ! exit"), ["exit"]);
        assert_eq!(told_of("nothing that is known"), ["nothing that is known"]);
    }
}
