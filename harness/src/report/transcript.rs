//! Transcripts for people: a line for each step, and below it what the script does not say.

use std::io::{self, Write};

use super::style::{BAD, FAINT, Styled};
use crate::engine::{StepOutcome, StepRecord, Transcript, WriteReadRecord};

/// Text longer than this, in characters, loses its middle.
const LONGEST: usize = 600;

/// Writes what each step did. `lines` are the lines of the script on which its steps begin, from 1.
pub fn write_transcript(
    out: &mut dyn Write,
    transcript: &Transcript,
    lines: &[usize],
    indentation: usize,
) -> io::Result<()> {
    let blanks = " ".repeat(indentation);
    let line_of = |record: &StepRecord| {
        lines.get(record.step).map_or_else(|| (record.step + 1).to_string(), usize::to_string)
    };
    let width = transcript.steps.iter().map(|record| line_of(record).len()).max().unwrap_or(0);
    let actors = transcript.steps.iter().map(|record| record.thread.chars().count()).max().unwrap_or(0);
    for record in &transcript.steps {
        let line = format!("{:>width$}", line_of(record));
        writeln!(out, "{blanks}{}  {}", Styled(FAINT, line), elide(&aligned(record, actors)))?;
        for remark in remarks(record) {
            writeln!(out, "{blanks}{:width$}  {:actors$}    {}", "", "", elide(&remark))?;
        }
    }
    for complaint in &transcript.complaints {
        writeln!(out, "{blanks}{}", Styled(BAD, format!("after the last process was gone: {complaint}")))?;
    }
    Ok(())
}

/// A transcript as people read it, a line each. Without the lines of the script, steps are numbered.
pub(crate) fn plain_lines(transcript: &Transcript, lines: &[usize]) -> Vec<String> {
    let mut text = Vec::new();
    // Nothing can go wrong in writing to memory.
    let _ = write_transcript(&mut text, transcript, lines, 0);
    let text = anstream::adapter::strip_bytes(&text).into_vec();
    String::from_utf8_lossy(&text).lines().map(str::to_owned).collect()
}

/// The step, with what its thread does in the same column for all threads.
fn aligned(record: &StepRecord, actors: usize) -> String {
    let rest = record.script.strip_prefix(&format!("{} ", record.thread)).map(str::trim_start);
    rest.map_or_else(|| record.script.clone(), |rest| format!("{:actors$}  {rest}", record.thread))
}

/// What came of a step, a line each.
pub(crate) fn remarks(record: &StepRecord) -> Vec<String> {
    let mut remarks = match &record.outcome {
        StepOutcome::Parked => vec!["parked".to_owned()],
        StepOutcome::WriteRead(done) => write_read(done),
        StepOutcome::Succeeded { value: None } => vec!["= success".to_owned()],
        StepOutcome::Succeeded { value: Some(value) } => vec![format!("= {value}")],
        StepOutcome::Told { structure } => vec![format!("= {structure}")],
        StepOutcome::Polled { events } if events.is_empty() => vec!["= 0".to_owned()],
        StepOutcome::Polled { events } => vec![format!("= {}", events.join(" | "))],
        StepOutcome::Failed { errno } => vec![format!("= {errno}")],
        StepOutcome::NotOneWoken => vec!["none or several were woken".to_owned()],
    };
    if !record.woke.is_empty() {
        remarks.push(format!("woke {}", record.woke.join(", ")));
    }
    remarks
}

fn write_read(done: &WriteReadRecord) -> Vec<String> {
    let mut result = format!("= {}", done.errno.as_deref().unwrap_or("success"));
    for (field, consumed) in [("write_consumed", done.write_consumed), ("read_consumed", done.read_consumed)]
    {
        if consumed > 0 {
            result.push_str(&format!(", {field} {consumed}"));
        }
    }
    let mut remarks = vec![result];
    remarks.extend(done.returns.iter().map(|returned| returned.script.clone()));
    remarks.extend(done.malformed.clone());
    remarks
}

/// Text without its middle, if it is very long.
pub(super) fn elide(text: &str) -> String {
    let length = text.chars().count();
    if length <= LONGEST {
        return text.to_owned();
    }
    let start: String = text.chars().take(LONGEST / 2).collect();
    let end: String = text.chars().skip(length - LONGEST / 2).collect();
    format!("{start} ({} characters left out) {end}", length - LONGEST / 2 * 2)
}
