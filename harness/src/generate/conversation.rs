//! Conversations: programs whose every step is chosen by what there is at that point, so that calls are answered, objects
//! passed on, buffers freed and requests acknowledged, mostly; and sometimes not.

use reference_driver::uapi::{FLAT_BINDER_FLAG_ACCEPTS_FDS, FLAT_BINDER_FLAG_TXN_SECURITY_CTX};

use smallvec::SmallVec;

use super::Emphasis;
use super::choices::Choices;
use super::scene::Scene;
use super::settle::{Author, Settler};
use crate::program::*;
use crate::target::ThreadIndex;

/// The context manager's object, where it says so by BINDER_SET_CONTEXT_MGR_EXT.
const ROOT: &str = "root";

/// Writes a whole conversation.
pub(super) struct Conversation {
    pub(super) emphasis: Emphasis,
    pub(super) habits: Habits,
    pub(super) length: usize,
}

/// What is the same throughout a program, and different in another one.
pub(super) struct Habits {
    /// Whether the manager has yet to say that it takes descriptors.
    takes_descriptors: bool,
    /// A size that payloads often have, in bytes: a few of them fill the manager's mapping.
    bulk: Option<u64>,
}

/// Who takes part in a new program, and how.
pub(super) fn cast(choices: &mut Choices<'_, '_>) -> (Program, Habits) {
    let mut program = Program { opening: vec!["A generated program.".to_owned()], ..Program::default() };
    let takes_descriptors = choices.one_in(3);
    // A small mapping is filled for less.
    let filled = choices.one_in(4).then(|| choices.of([4096, 16 * 1024]));
    let bulk = filled
        .map(|size| size / 16 * (1 + choices.below(8) as u64) + choices.of([0, 8]) - choices.of([0, 8]));
    let processes = 2 + choices.below(3);
    let mut declare = |declaration| {
        program.declarations.push(Noted { before: Vec::new(), value: declaration, after: None });
    };
    for index in 0..processes {
        let word = if index == 0 { "manager".to_owned() } else { format!("app{index}") };
        let name = name(&word);
        let size = match (filled, choices.below(16)) {
            (Some(size), _) if index == 0 => size,
            (_, 0) => 4096,
            (_, 1) => 16 * 1024,
            (_, 2) => 1 << 20,
            _ => DeviceSetUp::DEFAULT_MAPPING,
        };
        let device =
            if index > 0 && choices.one_in(24) { DeviceSetUp::Opened } else { DeviceSetUp::Mapped(size) };
        declare(Declaration::Process(Process {
            name: name.clone(),
            context: Context::Binder,
            context_manager: index == 0 && !takes_descriptors,
            uid: (index > 0 && choices.one_in(4)).then_some(10_000 + index as u32),
            nonblock: choices.one_in(12),
            device,
        }));
        let more_threads = if index == 0 { choices.of([0, 1, 1]) } else { choices.of([1, 1, 0, 2]) };
        for thread in 0..more_threads {
            let thread = self::name(&format!("{word}-{}", thread + 2));
            declare(Declaration::Thread { name: thread, process: name.clone() });
        }
    }
    (program, Habits { takes_descriptors, bulk })
}

/// A name that is a word of letters, digits and hyphens.
fn name(word: &str) -> Name {
    Name::new(word).expect("letters, digits and hyphens within are a name")
}

impl Author for Conversation {
    fn write(&mut self, settler: &mut Settler<'_, '_, '_>) {
        let manager = ThreadIndex { process: 0, thread: 0 };
        settler.bulk = self.habits.bulk;
        if self.habits.takes_descriptors {
            let wanted = if settler.choices.one_in(2) { FLAT_BINDER_FLAG_TXN_SECURITY_CTX } else { 0 };
            let flags = FLAT_BINDER_FLAG_ACCEPTS_FDS | wanted;
            let object = ContextManagerObject { object: name(ROOT), flags };
            settler.propose(manager, Action::ioctl(Ioctl::SetContextMgrExt(Argument::Value(object))));
        }
        for process in 0..settler.situation.processes.len() {
            let first = ThreadIndex { process, thread: 0 };
            if process > 0 && self.habits.bulk.is_some() && settler.choices.one_in(2) {
                settler.propose(first, Action::ioctl(Ioctl::EnableOnewaySpamDetection(Argument::Value(1))));
            }
            let can_wait = process == 0 || settler.situation.processes[process].threads.len() > 1;
            if can_wait && !settler.choices.one_in(4) {
                settler.propose(first, enter());
                // In C the first read of a thread returns with nothing.
                settler.propose(first, Action::read());
            }
        }
        let mut attempts = 0;
        while settler.steps() < self.length && attempts < 3 * self.length && !settler.choices.is_empty() {
            attempts += 1;
            invent(settler, self.emphasis);
        }
        end(settler);
    }
}

/// Has every thread read what there is for it, so that nothing is left untold.
pub(super) fn end(settler: &mut Settler<'_, '_, '_>) {
    for _ in 0..8 {
        let mut has_read = false;
        for thread in settler.idle_threads() {
            let process = &settler.situation.processes[thread.process];
            let is_in_use = process.is_open && !process.is_nonblock;
            let is_known = settler.situation.thread(thread).has_acted;
            has_read |= is_in_use && is_known && settler.propose(thread, Action::read());
        }
        if !has_read {
            return;
        }
    }
}

/// Invents a step, or a few that belong together.
pub(super) fn invent(settler: &mut Settler<'_, '_, '_>, emphasis: Emphasis) {
    settler.hear();
    let emphasis = match emphasis {
        Emphasis::Mix => settler.choices.of([
            Emphasis::CommandStreams,
            Emphasis::ReferenceCounts,
            Emphasis::MalformedTransactions,
        ]),
        one => one,
    };
    let idle = settler.idle_threads();
    let weights: SmallVec<[u32; 8]> = idle.iter().map(|thread| urgency(settler, *thread)).collect();
    let chosen = settler.choices.weighted(weights.iter().copied());
    let Some(thread) = chosen.map(|chosen| idle[chosen]) else { return };
    Scene::of(settler, thread, emphasis).play();
}

/// How likely a thread is to be the next. Whoever is in the middle of something goes on with it, mostly: else nothing
/// would come to its end.
fn urgency(settler: &Settler<'_, '_, '_>, thread: ThreadIndex) -> u32 {
    let state = settler.situation.thread(thread);
    let may_read = settler.may_read(thread);
    match state.stack.last() {
        _ if state.must_read && may_read => 30,
        Some(_) => 20,
        None if can_call(settler, thread) => 6,
        None if may_read => 6,
        None => 1,
    }
}

/// Whether a thread knows somebody whom it can call.
pub(super) fn can_call(settler: &Settler<'_, '_, '_>, thread: ThreadIndex) -> bool {
    let process = &settler.situation.processes[thread.process];
    process.is_open && (thread.process != 0 || process.handles.iter().any(|known| known.strong > 0))
}

/// A thread that waits for whatever there is for its process.
fn enter() -> Action {
    Action::WriteRead {
        options: WriteReadOptions::default(),
        commands: vec![Command::EnterLooper],
        written: WriteExpectation::default(),
        expected: Some(ReadExpectation::Parked),
    }
}
