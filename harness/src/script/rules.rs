//! Rules that concern more than one statement, or a script as a whole: what it must have, how large it may be,
//! and what a thread can do that is parked or whose process has ended.

mod forks;
mod races;

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use reference_driver::uapi::argument_size;

use super::diagnostics::Diagnostic;
use super::grammar::{LARGEST_PAYLOAD, Reading, end_of};
use crate::program::{
    Action, Actor, Call, CallExpectation, Command, Context, DataItem, Declaration, Moment, Name, Object,
    Process, Race, ReadExpectation, Step, Transaction, WriteReadOptions,
};
use crate::target::Area;

/// The most processes that a script may have.
pub const MOST_PROCESSES: usize = 64;
/// The most threads that a script may have, the first ones of processes among them.
pub const MOST_THREADS: usize = 256;
/// The most steps that a script may have.
pub const MOST_STEPS: usize = 10_000;

/// Checks a script. Of threads in `excused` it is not known what they have done; unless it is `complete`,
/// there may be more steps than are known.
pub(super) fn check(reading: &Reading<'_>, excused: &HashSet<&str>, complete: bool) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    if complete {
        presence(reading, &mut diagnostics);
        forks::check(reading, &mut diagnostics);
    }
    sizes(reading, &mut diagnostics);
    context_managers(reading, &mut diagnostics);
    races::check(reading, &mut diagnostics);
    Threads::new(reading, excused).check(reading, &mut diagnostics);
    diagnostics
}

/// A script has a title and at least one step.
fn presence(reading: &Reading<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let program = &reading.program;
    let untitled = program.opening.first().is_none_or(|title| title.is_empty());
    if untitled && program.declarations.is_empty() && program.steps.is_empty() {
        diagnostics.push(
            Diagnostic::of_file("an empty script")
                .help("a script begins with a comment, its title; then come processes, then steps"),
        );
        return;
    }
    if untitled {
        diagnostics.push(
            Diagnostic::error(
                "the script has no title",
                0..0,
                "expected a comment whose first line says what the script shows",
            )
            .help("begin with a line such as `# A call is answered.`"),
        );
    }
    if program.steps.is_empty() {
        diagnostics.push(
            Diagnostic::of_file("the script has no steps")
                .help("a step is a line such as `client > BC_ENTER_LOOPER`"),
        );
    }
}

fn sizes(reading: &Reading<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let program = &reading.program;
    let declarations = || program.declarations.iter().zip(&reading.positions.declarations);
    let mut processes = declarations()
        .filter(|(noted, _)| matches!(noted.value, Declaration::Process(_)))
        .skip(MOST_PROCESSES);
    if let Some((_, position)) = processes.next() {
        let label = format!("expected at most {MOST_PROCESSES}");
        diagnostics.push(Diagnostic::error("too many processes", position.bytes.clone(), label));
    }
    if let Some((_, position)) = declarations().nth(MOST_THREADS) {
        let label = format!("expected at most {MOST_THREADS}, the first threads of processes among them");
        diagnostics.push(Diagnostic::error("too many threads", position.bytes.clone(), label));
    }
    if let Some(position) = reading.positions.steps.get(MOST_STEPS) {
        let label = format!("expected at most {MOST_STEPS}");
        diagnostics.push(Diagnostic::error("too many steps", position.bytes.clone(), label));
    }
    let moments = program.steps.iter().zip(&reading.positions.steps);
    let steps =
        moments.flat_map(|(noted, position)| noted.value.steps().iter().map(move |step| (step, position)));
    for (step, position) in steps {
        let (Action::Write { commands, .. } | Action::WriteRead { commands, .. }) = &step.action else {
            continue;
        };
        if commands.iter().map(bytes_of).sum::<usize>() as u64 > Area::Commands.size() {
            let message = "more commands than a step has room for";
            let label = format!("expected commands of at most {} bytes together", Area::Commands.size());
            diagnostics.push(Diagnostic::error(message, position.bytes.clone(), label));
        }
        if commands.iter().map(payload_of).fold(0, u64::saturating_add) > LARGEST_PAYLOAD {
            let message = "more payload than a step has room for";
            let label = format!("expected payloads of at most {LARGEST_PAYLOAD} bytes together (8M)");
            diagnostics.push(Diagnostic::error(message, position.bytes.clone(), label));
        }
    }
}

/// How many bytes of the write buffer a command takes.
pub(crate) fn bytes_of(command: &Command) -> usize {
    match (command, command.code()) {
        (Command::Bytes(bytes), _) => bytes.len(),
        (_, code) => size_of::<u32>() + code.map_or(0, argument_size),
    }
}

/// How many bytes of payload a command sends.
fn payload_of(command: &Command) -> u64 {
    let length = |transaction: &Transaction| {
        let buffers = transaction.data.iter().filter_map(|item| match item.without_place() {
            DataItem::Object(Object::Buffer(buffer)) => Some(&buffer.content),
            _ => None,
        });
        let parts = buffers.chain([&transaction.data]);
        parts
            .map(|items| items.iter().fold(0, |start, item| end_of(item, start)))
            .fold(0, u64::saturating_add)
    };
    command.sent().map_or(0, |(transaction, _)| length(transaction))
}

fn context_managers(reading: &Reading<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let managers = reading.program.declarations.iter().zip(&reading.positions.declarations).filter(
        |(noted, _)| matches!(&noted.value, Declaration::Process(process) if process.context_manager),
    );
    let mut managed: Vec<(Context, Range<usize>)> = Vec::new();
    for (noted, position) in managers {
        let Declaration::Process(process) = &noted.value else { continue };
        if let Declaration::Process(Process { uid: Some(1..), .. }) = noted.value {
            diagnostics.push(
                Diagnostic::error(
                    "a context manager of another user",
                    position.bytes.clone(),
                    "leave its `uid` out",
                )
                .help("a device lets only the user become its context manager who was the first to: the target's own"),
            );
        }
        match managed.iter().find(|(context, _)| *context == process.context) {
            None => managed.push((process.context, position.bytes.clone())),
            Some((_, first)) => diagnostics.push(
                Diagnostic::error(
                    "a second context manager",
                    position.bytes.clone(),
                    "a device has one context manager",
                )
                .related(first.clone(), "the first"),
            ),
        }
    }
}

/// What is known of a thread between two steps.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// It can do something.
    Idle,
    /// It sleeps in the read of the step that stands there.
    Parked(Range<usize>),
    /// It sleeps in the call of the step that stands there.
    ParkedInCall(Range<usize>),
    /// It depends on choices of the driver.
    Unknown,
    /// Its process has ended in the step that stands there.
    Ended(Range<usize>),
}

/// What is known of all threads while the steps are gone through.
struct Threads<'r> {
    states: HashMap<&'r str, State>,
    /// The processes that a thread may belong to: one, unless the name was given to one of several threads.
    processes: HashMap<&'r str, Vec<&'r str>>,
}

impl<'r> Threads<'r> {
    fn new(reading: &'r Reading<'_>, excused: &HashSet<&str>) -> Threads<'r> {
        let mut threads = Threads { states: HashMap::new(), processes: HashMap::new() };
        for noted in &reading.program.declarations {
            let (name, process) = match &noted.value {
                Declaration::Process(process) => (&process.name, &process.name),
                Declaration::Thread { name, process } => (name, process),
            };
            let state = if excused.contains(name.as_str()) { State::Unknown } else { State::Idle };
            threads.states.insert(name.as_str(), state);
            threads.processes.insert(name.as_str(), vec![process.as_str()]);
        }
        threads
    }

    fn state(&self, thread: &Name) -> State {
        // A thread that was never declared is reported elsewhere.
        self.states.get(thread.as_str()).cloned().unwrap_or(State::Unknown)
    }

    fn check(mut self, reading: &'r Reading<'_>, diagnostics: &mut Vec<Diagnostic>) {
        for (noted, actors) in reading.program.steps.iter().zip(&reading.actors) {
            for (step, actor) in noted.value.steps().iter().zip(actors) {
                let problem = match &step.actor {
                    Actor::Thread(name) => self.problem(name, step, actor),
                    Actor::AnyOf { candidates, .. } => {
                        let mut problems = candidates.iter().map(|name| self.problem_of_choice(name, actor));
                        problems.find_map(|problem| problem).or_else(|| never_parked(step, actor))
                    }
                };
                diagnostics.extend(problem);
            }
            if let Moment::Race(race) = &noted.value {
                let problems = race.steps.iter().zip(actors);
                diagnostics
                    .extend(problems.filter_map(|(step, actor)| self.problem_in_race(race, step, actor)));
            }
            for (step, actor) in noted.value.steps().iter().zip(actors) {
                self.follow(step, actor);
            }
        }
    }

    /// What keeps a thread from doing this in a race.
    fn problem_in_race(&self, race: &Race, step: &Step, actor: &Range<usize>) -> Option<Diagnostic> {
        let process = |step: &Step| match &step.actor {
            Actor::Thread(name) | Actor::AnyOf { alias: name, .. } => {
                self.processes.get(name.as_str()).and_then(|processes| processes.first().copied())
            }
        };
        if let (Actor::Thread(name), Action::Read { .. }) = (&step.actor, &step.action)
            && let State::Parked(parked) = self.state(name)
        {
            let label =
                "expected a thread that does something new; this is awaited before the race or after it";
            return Some(
                Diagnostic::error(format!("`{name}` is parked"), actor.clone(), label)
                    .related(parked, "parked since here"),
            );
        }
        let Action::Call { call, .. } = &step.action else { return None };
        let own = process(step);
        let alone = race.steps.iter().filter(|other| own.is_some() && process(other) == own).count() < 2;
        match call {
            Call::Await
            | Call::Count(_)
            | Call::Signal(_)
            | Call::Fork(_)
            | Call::Use(_)
            | Call::Unshare
            | Call::LimitNice(_)
            | Call::DropCaches => Some(Diagnostic::error(
                "`await`, `count`, `signal`, `fork`, `use`, `unshare`, `limit_nice` and `drop_caches` cannot race",
                actor.clone(),
                "expected a system call that this thread itself does to the device",
            )),
            Call::Close | Call::Flush | Call::Exit if !alone => Some(Diagnostic::error(
                "a process that races with its own end",
                actor.clone(),
                "expected no other thread of this process in the race: what ends it ends what they do",
            )),
            _ => None,
        }
    }

    /// What keeps a thread from doing this step.
    fn problem(&self, name: &Name, step: &Step, actor: &Range<usize>) -> Option<Diagnostic> {
        match (self.state(name), &step.action) {
            (State::Ended(exit), _) => Some(ended(name, actor, exit)),
            (State::ParkedInCall(_), Action::Call { call: Call::Await, .. }) => None,
            (State::Idle, Action::Call { call: Call::Await, .. }) => Some(Diagnostic::error(
                format!("`{name}` is not parked in a call"),
                actor.clone(),
                "expected a thread that sleeps in a call, such as a `poll { timeout_ms 600000 }` that is `= parked`",
            )),
            (State::Parked(parked), Action::Read { options, .. }) => {
                (*options != WriteReadOptions::default()).then(|| {
                    Diagnostic::error(
                        "options on a read that goes on",
                        actor.clone(),
                        format!("expected no options: `{name}` is parked, so this awaits its earlier read"),
                    )
                    .related(parked, "parked since here")
                })
            }
            (State::Parked(parked) | State::ParkedInCall(parked), _) => Some(
                Diagnostic::error(
                    format!("`{name}` is parked"),
                    actor.clone(),
                    match self.state(name) {
                        State::Parked(_) => "expected `<`, which awaits the read that it is parked in",
                        _ => "expected `! await`, which awaits the call that it is parked in",
                    },
                )
                .related(parked, "parked since here"),
            ),
            (_, Action::Call { call: Call::Exit, expected }) if *expected != CallExpectation::Succeeds => {
                Some(Diagnostic::error("`exit` never fails", actor.clone(), "expected no `=` behind `exit`"))
            }
            _ => None,
        }
    }

    /// What keeps a thread from being one of those that may have been woken.
    fn problem_of_choice(&self, name: &Name, actor: &Range<usize>) -> Option<Diagnostic> {
        match self.state(name) {
            State::Idle | State::ParkedInCall(_) => Some(Diagnostic::error(
                format!("`{name}` is not parked in a read"),
                actor.clone(),
                "expected parked threads, one of which has been woken",
            )),
            State::Ended(exit) => Some(ended(name, actor, exit)),
            State::Parked(_) | State::Unknown => None,
        }
    }

    /// Notes what a step does to its thread.
    fn follow(&mut self, step: &'r Step, actor: &Range<usize>) {
        let state = match &step.action {
            Action::Read { expected, .. } | Action::WriteRead { expected: Some(expected), .. } => {
                after(expected, actor)
            }
            Action::Call { call: Call::Exit, .. } => State::Ended(actor.clone()),
            Action::Call { expected, .. } => after_call(expected, actor),
            _ => State::Idle,
        };
        let name = match &step.actor {
            Actor::Thread(name) => name,
            Actor::AnyOf { candidates, alias } => {
                for candidate in candidates {
                    self.states.insert(candidate.as_str(), State::Unknown);
                }
                let lists = candidates.iter().filter_map(|name| self.processes.get(name.as_str()));
                let mut processes: Vec<&str> = lists.flatten().copied().collect();
                processes.sort_unstable();
                processes.dedup();
                self.processes.insert(alias.as_str(), processes);
                alias
            }
        };
        match (&state, self.processes.get(name.as_str()).map(Vec::as_slice)) {
            (State::Ended(_), Some([process])) => {
                let process = *process;
                for (thread, processes) in &self.processes {
                    if processes.contains(&process) {
                        let certain = processes.len() == 1;
                        let state = if certain { state.clone() } else { State::Unknown };
                        self.states.insert(thread, state);
                    }
                }
            }
            (State::Ended(_), Some(_)) => {
                for state in self.states.values_mut() {
                    *state = State::Unknown;
                }
                self.states.insert(name.as_str(), state);
            }
            _ => {
                // A thread that is still parked has been so since an earlier step.
                if let (State::Parked(_), State::Parked(_))
                | (State::ParkedInCall(_), State::ParkedInCall(_)) = (&state, self.state(name))
                {
                    return;
                }
                self.states.insert(name.as_str(), state);
            }
        }
    }
}

fn ended(name: &Name, actor: &Range<usize>, exit: Range<usize>) -> Diagnostic {
    Diagnostic::error(
        format!("`{name}` can do nothing any more"),
        actor.clone(),
        "expected a thread of a process that has not ended",
    )
    .related(exit, "its process ended here")
}

/// One of several threads cannot be both woken and parked, nor can its read be given options.
fn never_parked(step: &Step, actor: &Range<usize>) -> Option<Diagnostic> {
    let Action::Read { options, expected } = &step.action else { return None };
    if *options != WriteReadOptions::default() {
        let label = "expected no options: this awaits a read that goes on";
        return Some(Diagnostic::error("options on a read that goes on", actor.clone(), label));
    }
    (after(expected, actor) != State::Idle).then(|| {
        Diagnostic::error(
            "a thread that has been woken and is parked",
            actor.clone(),
            "`any of` is for the one thread that has been woken: expected what it reads",
        )
    })
}

/// What is known of a thread after a call.
fn after_call(expected: &CallExpectation, actor: &Range<usize>) -> State {
    match expected {
        CallExpectation::Parked => State::ParkedInCall(actor.clone()),
        CallExpectation::AnyOf(choice) if choice.contains(&CallExpectation::Parked) => State::Unknown,
        _ => State::Idle,
    }
}

/// What is known of a thread after a read.
fn after(expected: &ReadExpectation, actor: &Range<usize>) -> State {
    match expected {
        ReadExpectation::Parked => State::Parked(actor.clone()),
        ReadExpectation::AnyOf(choice) if choice.contains(&ReadExpectation::Parked) => State::Unknown,
        _ => State::Idle,
    }
}
