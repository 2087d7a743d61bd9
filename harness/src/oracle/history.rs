//! A history: what the threads of a settled program told the driver, and what it told them, event by event. Laws are
//! about histories alone, so that what they say does not rest on the model that they judge.

use std::fmt;

use crate::program::*;
use crate::script::{bytes_of, fragment};

/// What happened in a program.
pub(super) struct History<'p> {
    pub(super) events: Vec<Event<'p>>,
    /// The processes, each at its index.
    pub(super) processes: Vec<&'p Process>,
    /// The threads, each at its index, with the index of its process.
    pub(super) threads: Vec<(&'p Name, usize)>,
    /// Of which driver, where laws differ.
    pub(super) driver: Option<DriverKind>,
}

/// Something that happened.
pub(super) struct Event<'p> {
    /// In which step of the program, from 0.
    pub(super) step: usize,
    /// The index of the thread.
    pub(super) thread: usize,
    /// Which opening of a device it was about. A process can have several, one after the other or, by descriptors that were
    /// passed, at once; and one can be that of several processes.
    pub(super) opening: OpeningIndex,
    /// Behind how many events it was, at least: what a thread that sleeps is told, it tells in a later step.
    pub(super) earliest: usize,
    pub(super) what: Happening<'p>,
}

/// Which of the openings in a history.
pub(super) type OpeningIndex = usize;

/// What happened.
#[derive(Clone, Copy)]
pub(super) enum Happening<'p> {
    /// The driver took this command.
    Command(&'p Command),
    /// The driver gave this.
    Return(&'p ReturnPattern),
    /// The thread fell asleep in a read.
    Parked,
    /// The thread did another call, and it succeeded.
    Call(&'p Call),
    /// What the driver took cannot be told: bytes that may be any commands, or a write that was broken off.
    Unclear,
}

/// What an owner calls its object. One that has the numbers of another process' object is called as that one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Called<'p> {
    Object(&'p Name),
    Numbers(&'p Node),
}

impl<'p> From<&'p Node> for Called<'p> {
    fn from(node: &'p Node) -> Called<'p> {
        match node {
            Node::Object(name) => Called::Object(name),
            Node::Explicit { pointer: Token::Symbol(pointer), cookie: Token::Symbol(cookie) }
                if pointer == cookie =>
            {
                Called::Object(pointer)
            }
            node => Called::Numbers(node),
        }
    }
}

impl fmt::Display for Called<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Called::Object(name) => name.fmt(f),
            Called::Numbers(node) => f.write_str(&fragment::node(node)),
        }
    }
}

impl<'p> History<'p> {
    /// What happened in a program that expects what came. Of one that leaves a choice, nothing is known behind that.
    pub(super) fn of(program: &'p Program) -> History<'p> {
        let room = 4 * program.steps.len();
        let mut history = History {
            events: Vec::with_capacity(room),
            processes: Vec::new(),
            threads: Vec::new(),
            driver: program.driver,
        };
        for noted in &program.declarations {
            match &noted.value {
                Declaration::Process(process) => {
                    history.threads.push((&process.name, history.processes.len()));
                    history.processes.push(process);
                }
                Declaration::Thread { name, process } => {
                    if let Some(owner) = history.processes.iter().position(|known| known.name == *process) {
                        history.threads.push((name, owner));
                    }
                }
            }
        }
        let mut openings = Openings::of(&history);
        for (index, noted) in program.steps.iter().enumerate() {
            for step in noted.value.steps() {
                let Actor::Thread(name) = &step.actor else { return history };
                let Some(thread) = history.threads.iter().position(|(known, _)| *known == name) else {
                    return history;
                };
                let process = history.threads[thread].1;
                let (opening, since) = openings.begin(&step.action, process, thread);
                let mut add = |what| {
                    let earliest = since.unwrap_or(history.events.len());
                    history.events.push(Event { step: index, thread, opening, earliest, what });
                };
                happenings(&step.action, &mut add);
                let place = history.events.len();
                if openings.end(&step.action, process, thread, opening, place, &history.processes).is_none() {
                    let what = Happening::Unclear;
                    history.events.push(Event { step: index, thread, opening, earliest: place, what });
                }
            }
        }
        history
    }

    /// The name of a thread, for messages.
    pub(super) fn name(&self, thread: usize) -> String {
        self.threads[thread].0.to_string()
    }
}

/// Which openings the calls of processes go to.
struct Openings<'p> {
    /// How many there have been.
    count: usize,
    /// That of each process.
    current: Vec<OpeningIndex>,
    /// That in which each thread sleeps, or has slept and has not told what it got, and behind how many events it was seen
    /// to sleep.
    parked: Vec<Option<(OpeningIndex, usize)>>,
    /// Those that scripts have given a name, as files.
    named: Vec<(&'p Name, OpeningIndex)>,
}

impl<'p> Openings<'p> {
    /// Each process has one of its own, to begin with.
    fn of(history: &History<'p>) -> Openings<'p> {
        let count = history.processes.len();
        let parked = vec![None; history.threads.len()];
        Openings { count, current: (0..count).collect(), parked, named: Vec::new() }
    }

    /// The opening that an action of a thread is about, and behind how many events the thread was seen to sleep, if it tells
    /// what it has been told since.
    fn begin(&mut self, action: &Action, process: usize, thread: usize) -> (OpeningIndex, Option<usize>) {
        let slept = match action {
            Action::Read { .. } => self.parked[thread].take(),
            _ => None,
        };
        match slept {
            Some((opening, since)) => (opening, Some(since)),
            None => (self.current[process], None),
        }
    }

    /// Takes note of what an action has changed, behind so many events. `None` if that cannot be told.
    fn end(
        &mut self,
        action: &'p Action,
        process: usize,
        thread: usize,
        opening: OpeningIndex,
        place: usize,
        processes: &[&Process],
    ) -> Option<()> {
        match action {
            Action::Read { expected: ReadExpectation::Parked, .. }
            | Action::WriteRead { expected: Some(ReadExpectation::Parked), .. } => {
                self.parked[thread] = Some((opening, place));
            }
            Action::Call { expected: CallExpectation::Fails(_), .. } => {}
            Action::Call { call, .. } => match call {
                Call::Open { .. } | Call::Binderfs { call: BinderfsCall::Open { .. }, .. } => {
                    self.current[process] = self.count;
                    self.count += 1;
                }
                Call::Dup(file) => self.named.push((file, opening)),
                Call::Use(file) => {
                    self.current[process] = self.named.iter().rfind(|(known, _)| *known == file)?.1;
                }
                Call::Fork(child) => {
                    let child = processes.iter().position(|process| process.name == *child)?;
                    self.current[child] = opening;
                }
                _ => {}
            },
            _ => {}
        }
        Some(())
    }
}

fn happenings<'p>(action: &'p Action, add: &mut impl FnMut(Happening<'p>)) {
    match action {
        Action::Write { options, commands, written } => write(options, commands, written, add),
        Action::Read { expected, .. } => read(expected, add),
        Action::WriteRead { options, commands, written, expected } => {
            write(options, commands, written, add);
            expected.iter().for_each(|expected| read(expected, add));
        }
        Action::Call { call, expected } => {
            if !matches!(expected, CallExpectation::Fails(_)) {
                add(Happening::Call(call));
            }
        }
    }
}

fn write<'p>(
    options: &WriteReadOptions,
    commands: &'p [Command],
    written: &WriteExpectation,
    add: &mut impl FnMut(Happening<'p>),
) {
    let is_plain =
        options.write_size.is_none() && options.write_consumed.is_none() && !options.write_buffer_unmapped;
    if !is_plain {
        // What has been consumed of a write that is none is nothing, or one cannot tell.
        if written.consumed != Some(0) {
            add(Happening::Unclear);
        }
        return;
    }
    let mut left = written.consumed.unwrap_or(u64::MAX);
    for command in commands {
        // Of bytes that were broken off, some may have been a command.
        if matches!(command, Command::Bytes(_)) {
            if left > 0 {
                add(Happening::Unclear);
            }
            return;
        }
        let size = bytes_of(command) as u64;
        if left < size {
            return;
        }
        left -= size;
        add(Happening::Command(command));
    }
}

fn read<'p>(expected: &'p ReadExpectation, add: &mut impl FnMut(Happening<'p>)) {
    match expected {
        ReadExpectation::Parked => add(Happening::Parked),
        // What was told to somebody who could not be told it is lost, or is told again.
        ReadExpectation::Failed { errno: Errno::EFAULT, .. } => add(Happening::Unclear),
        ReadExpectation::Failed { .. } => {}
        ReadExpectation::Returns(items) => {
            for item in items {
                match item {
                    ReturnItem::One(pattern) => add(Happening::Return(pattern)),
                    ReturnItem::InAnyOrder(_) | ReturnItem::AnyOf(_) => add(Happening::Unclear),
                }
            }
        }
        ReadExpectation::AnyOf(_) => add(Happening::Unclear),
    }
}
