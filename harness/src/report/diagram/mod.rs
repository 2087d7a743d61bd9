//! Sequence diagrams: what the threads of a case told the driver and what it told them, from top to bottom.
//!
//! A [`Diagram`] is made of a transcript and nothing else: a lane for each thread, a row for each step, and when each
//! thread slept in the driver. Where the pieces stand is decided by [`layout`](Diagram::layout), without any drawing; what
//! is drawn is a template.

mod layout;
mod wording;

pub use layout::{Anchor, Band, Label, Layout, Tone};

use std::collections::HashMap;

use crate::engine::{Deviation, StepOutcome, StepRecord, Transcript};

/// The most labels that one end of a row has.
const MOST_LABELS: usize = 6;

/// What happened between some threads and the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagram {
    /// The threads, those of a process beside each other.
    pub lanes: Vec<Lane>,
    /// The steps.
    pub rows: Vec<Row>,
    /// When which thread slept in the driver.
    pub waits: Vec<Wait>,
    /// What was not as it should be once every process was gone.
    pub ending: Option<String>,
}

/// A thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// Its name.
    pub thread: String,
    /// Its process, if that has another name.
    pub process: Option<String>,
}

/// A step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// The line of the script on which it begins, from 1.
    pub line: Option<usize>,
    /// The index of the lane whose thread did it.
    pub lane: usize,
    /// What that told the driver.
    pub told: Vec<String>,
    /// What should have come, where something else did.
    pub expected: Vec<String>,
    /// What came.
    pub came: Vec<String>,
    /// Whether what came is an error.
    pub failed: bool,
    /// Whether the thread sleeps now.
    pub parked: bool,
    /// The lanes whose threads it woke.
    pub woke: Vec<usize>,
    /// Whether this is where the driver departs from what is expected.
    pub departs: bool,
    /// Whether it was one of several steps that began at once.
    pub races: bool,
}

/// A time in which a thread slept in the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// The lane of the thread.
    pub lane: usize,
    /// The row with which it began.
    pub from: usize,
    /// The row in which it was woken; `None` if it never was.
    pub to: Option<usize>,
}

impl Diagram {
    /// That of a transcript. `lines` are the lines of the script by step, `processes` the processes of its threads; both
    /// may know less than the transcript does.
    pub fn of(
        transcript: &Transcript,
        lines: &[usize],
        processes: &[(String, String)],
        deviation: Option<&Deviation>,
    ) -> Diagram {
        let lanes = lanes(transcript, processes);
        let places: HashMap<&str, usize> =
            lanes.iter().enumerate().map(|(place, lane)| (lane.thread.as_str(), place)).collect();
        let rows: Vec<Row> =
            transcript.steps.iter().map(|record| row(record, lines, &places, deviation)).collect();
        let after_all = deviation.filter(|deviation| deviation.step.is_none());
        let ending = after_all.map(|deviation| deviation.difference.clone());
        let waits = waits(&rows);
        Diagram { lanes, rows, waits, ending }
    }

    /// What it shows, for those who do not see it.
    pub fn alternative(&self) -> String {
        let threads: Vec<&str> = self.lanes.iter().map(|lane| lane.thread.as_str()).collect();
        let departs = self.rows.iter().find(|row| row.departs).and_then(|row| row.line);
        let departs = departs.map(|line| format!("; the driver departs from the script in line {line}"));
        format!(
            "Sequence diagram of {} steps of {} with the driver{}. The script says the same in words.",
            self.rows.len(),
            threads.join(", "),
            departs.unwrap_or_default()
        )
    }
}

/// The threads that do something or are woken, in the order of the script's declarations; those it does not declare come
/// last.
fn lanes(transcript: &Transcript, processes: &[(String, String)]) -> Vec<Lane> {
    let mut threads: Vec<&str> = Vec::new();
    for record in &transcript.steps {
        for thread in std::iter::once(&record.thread).chain(&record.woke) {
            if !threads.contains(&thread.as_str()) {
                threads.push(thread);
            }
        }
    }
    let declared = |thread: &str| processes.iter().position(|(name, _)| name == thread);
    let process = |place: usize| &processes[place].1;
    // Threads stand with the first one of their process.
    threads.sort_by_key(|thread| {
        let place = declared(thread).unwrap_or(usize::MAX);
        let first = declared(thread)
            .map(|place| processes.iter().position(|(_, other)| other == process(place)).unwrap_or(place));
        (first.unwrap_or(usize::MAX), place)
    });
    let lane = |thread: &str| Lane {
        thread: thread.to_owned(),
        process: declared(thread).map(process).filter(|process| *process != thread).cloned(),
    };
    threads.into_iter().map(lane).collect()
}

fn row(
    record: &StepRecord,
    lines: &[usize],
    places: &HashMap<&str, usize>,
    deviation: Option<&Deviation>,
) -> Row {
    let deviation = deviation.filter(|deviation| deviation.step == Some(record.step));
    let outcome = wording::came(record);
    Row {
        line: lines.get(record.step).copied(),
        lane: places.get(record.thread.as_str()).copied().unwrap_or(0),
        told: condensed(wording::told(record)),
        expected: deviation.map(|deviation| vec![deviation.expected.clone()]).unwrap_or_default(),
        came: condensed(outcome.words),
        failed: outcome.failed,
        parked: matches!(record.outcome, StepOutcome::Parked),
        woke: record.woke.iter().filter_map(|thread| places.get(thread.as_str()).copied()).collect(),
        departs: deviation.is_some(),
        races: record.races,
    }
}

/// Labels of which those that repeat stand once, and of very many only the first.
fn condensed(words: Vec<String>) -> Vec<String> {
    let mut condensed: Vec<(String, usize)> = Vec::new();
    for word in words {
        match condensed.last_mut() {
            Some((last, times)) if *last == word => *times += 1,
            _ => condensed.push((word, 1)),
        }
    }
    let left_out = condensed.len().saturating_sub(MOST_LABELS);
    let mut labels: Vec<String> = condensed
        .into_iter()
        .take(MOST_LABELS)
        .map(|(word, times)| if times > 1 { format!("{times} × {word}") } else { word })
        .collect();
    if left_out > 0 {
        labels.push(format!("and {left_out} more"));
    }
    labels
}

fn waits(rows: &[Row]) -> Vec<Wait> {
    let mut waits: Vec<Wait> = Vec::new();
    let end = |waits: &mut Vec<Wait>, lane: usize, row: usize| {
        if let Some(wait) = waits.iter_mut().rev().find(|wait| wait.lane == lane && wait.to.is_none()) {
            wait.to = Some(row);
        }
    };
    for (place, row) in rows.iter().enumerate() {
        if row.parked {
            let sleeps = waits.iter().any(|wait| wait.lane == row.lane && wait.to.is_none());
            if !sleeps {
                waits.push(Wait { lane: row.lane, from: place, to: None });
            }
        } else {
            end(&mut waits, row.lane, place);
        }
        for lane in &row.woke {
            end(&mut waits, *lane, place);
        }
    }
    waits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::WriteReadRecord;

    pub(super) fn step(step: usize, script: &str, outcome: StepOutcome, woke: &[&str]) -> StepRecord {
        StepRecord {
            step,
            thread: script.split(' ').next().unwrap().to_owned(),
            script: script.to_owned(),
            outcome,
            woke: woke.iter().map(|thread| (*thread).to_owned()).collect(),
            races: false,
        }
    }

    pub(super) fn written() -> StepOutcome {
        StepOutcome::WriteRead(WriteReadRecord {
            errno: None,
            write_consumed: 4,
            read_consumed: 0,
            returns: Vec::new(),
            malformed: None,
        })
    }

    fn call() -> Transcript {
        let steps = vec![
            step(0, "server  < parked", StepOutcome::Parked, &[]),
            step(1, "client  > BC_TRANSACTION { handle 0 }", written(), &["server"]),
            step(2, "client  < parked", StepOutcome::Parked, &[]),
            step(3, "server  > BC_REPLY", written(), &[]),
        ];
        Transcript { steps, complaints: Vec::new() }
    }

    fn processes(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(thread, process)| ((*thread).to_owned(), (*process).to_owned())).collect()
    }

    #[test]
    fn a_thread_waits_until_it_is_woken_or_for_ever() {
        let diagram = Diagram::of(
            &call(),
            &[4, 5, 6, 7],
            &processes(&[("client", "client"), ("server", "server")]),
            None,
        );
        let lanes: Vec<&str> = diagram.lanes.iter().map(|lane| lane.thread.as_str()).collect();
        assert_eq!(lanes, ["client", "server"]);
        assert_eq!(
            diagram.waits,
            [Wait { lane: 1, from: 0, to: Some(1) }, Wait { lane: 0, from: 2, to: None }]
        );
        assert_eq!(diagram.rows[1].woke, [1]);
        assert_eq!(diagram.rows[1].line, Some(5));
    }

    #[test]
    fn threads_of_a_process_stand_together_and_unknown_ones_last() {
        let names = ["stranger", "worker", "client", "server"];
        let steps = names
            .iter()
            .enumerate()
            .map(|(place, name)| step(place, &format!("{name} < parked"), StepOutcome::Parked, &[]));
        let transcript = Transcript { steps: steps.collect(), complaints: Vec::new() };
        let processes = processes(&[("server", "server"), ("client", "client"), ("worker", "server")]);
        let lanes = Diagram::of(&transcript, &[], &processes, None).lanes;
        let names: Vec<&str> = lanes.iter().map(|lane| lane.thread.as_str()).collect();
        assert_eq!(names, ["server", "worker", "client", "stranger"]);
        assert_eq!(lanes[1].process.as_deref(), Some("server"));
        assert_eq!(lanes[0].process, None);
    }

    #[test]
    fn the_departure_is_the_row_of_the_deviation() {
        let deviation = Deviation {
            step: Some(2),
            expected: "BR_REPLY".to_owned(),
            came: "parked".to_owned(),
            difference: "it is parked".to_owned(),
        };
        let diagram = Diagram::of(&call(), &[4, 5, 6, 7], &[], Some(&deviation));
        let departing: Vec<usize> = (0..4).filter(|row| diagram.rows[*row].departs).collect();
        assert_eq!(departing, [2]);
        assert_eq!(diagram.rows[2].expected, ["BR_REPLY"]);
        assert!(diagram.alternative().contains("line 6"), "{}", diagram.alternative());
        let after_all = Deviation { step: None, ..deviation };
        let diagram = Diagram::of(&call(), &[], &[], Some(&after_all));
        assert_eq!(diagram.ending.as_deref(), Some("it is parked"));
    }

    #[test]
    fn what_repeats_stands_once() {
        let words = |words: &[&str]| condensed(words.iter().map(|word| (*word).to_owned()).collect());
        assert_eq!(words(&["a", "a", "b", "a"]), ["2 × a", "b", "a"]);
        assert_eq!(words(&["1", "2", "3", "4", "5", "6", "7", "8"]).last().unwrap(), "and 2 more");
    }
}
