//! Settling: steps that somebody proposes become a program that is whole. Each is done on the reference driver as it
//! comes; what it refers to and is not there is replaced by something that is, what cannot be done at all is left out,
//! and what came of it is what the program expects.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use reference_driver::Profile;
use smallvec::SmallVec;

use super::choices::Choices;
use super::depth::Depth;
use super::repair::Repair;
use super::situation::Situation;
use super::{USUAL_STEPS, undefined};
use crate::engine::{Interrupted, Rehearsal};
use crate::program::*;
use crate::script::{MOST_STEPS, features_of_program};
use crate::target::{Audits, ReferenceTarget, ThreadIndex, Worlds};

/// A program that has been done on the reference driver, and expects what came of it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The program. It can be printed, and is a case.
    pub program: Program,
    /// Why it ends before its end, if it does: a mistake of ours, but for [`Fault::Unspeakable`].
    pub fault: Option<Fault>,
}

/// What went wrong on the reference driver, in or behind the last step of a settled program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its state makes no sense.
    #[error("{0}")]
    Audit(String),
    /// Something is left of processes that have all ended.
    #[error("{0}")]
    Left(String),
    /// It fell over in the last step, of which it is not known what came.
    #[error("it panicked: {0}")]
    Panic(String),
    /// A step could not be done, though it had been made fit.
    #[error("{0}")]
    Step(String),
    /// What came in the step behind the last one cannot be written as an expectation: a payload lies where its receiver has
    /// no memory. That is no mistake of ours.
    #[error("{0}")]
    Unspeakable(String),
    /// What came of the last step is nothing that a driver may do.
    #[error("{0}")]
    Malformed(String),
}

impl From<Interrupted> for Fault {
    fn from(interrupted: Interrupted) -> Fault {
        match interrupted {
            Interrupted::Target(reason) => Fault::Audit(reason),
            Interrupted::Fault(reason) => Fault::Step(reason),
            Interrupted::Unspeakable(reason) => Fault::Unspeakable(reason),
            Interrupted::Malformed(reason) => Fault::Malformed(reason),
        }
    }
}

impl Settled {
    /// How far into the driver it goes.
    pub fn depth(&self) -> Depth {
        Depth::of(&self.program)
    }
}

/// Proposes steps to a settler until it has had enough.
pub(super) trait Author {
    /// Proposes what there is to propose.
    fn write(&mut self, settler: &mut Settler<'_, '_, '_>);
}

/// A program that is being settled.
pub(super) struct Settler<'r, 'c, 'u> {
    rehearsal: Rehearsal<'r>,
    pub(super) situation: Situation,
    pub(super) choices: Choices<'c, 'u>,
    /// What it is settled for.
    driver: DriverKind,
    /// A size that payloads often have, in bytes.
    pub(super) bulk: Option<u64>,
    steps: Vec<Noted<Moment>>,
    fault: Option<Fault>,
    most_steps: usize,
}

/// What programs are settled on: the model of a driver, and when that is audited.
#[derive(Debug, Clone, Copy)]
pub struct Stage<'p> {
    /// Which driver.
    pub profile: &'p Profile,
    /// When its state is audited.
    pub audits: Audits,
}

impl<'p> From<&'p Profile> for Stage<'p> {
    fn from(profile: &'p Profile) -> Stage<'p> {
        Stage { profile, audits: Audits::AfterEachCall }
    }
}

/// Settles what an author proposes, with these processes and no more steps than that.
pub(super) fn settle_with(
    mut program: Program,
    stage: Stage<'_>,
    most_steps: usize,
    choices: Choices<'_, '_>,
    author: &mut dyn Author,
) -> Settled {
    program.steps.clear();
    keep_one_thread_of_children(&mut program);
    // Else contexts would have no names.
    program.requires = vec![Feature::Lsm];
    let mut target = ReferenceTarget::new(stage.profile.clone()).audited(stage.audits);
    let kind = target.kind();
    let mut unborn: Vec<Name> = Vec::new();
    let (steps, fault) = match Rehearsal::begin(&program, &mut target) {
        Err(interrupted) => (Vec::new(), Some(interrupted.into())),
        Ok(rehearsal) => {
            let mut settler = Settler {
                rehearsal,
                situation: Situation::of(&program.declarations),
                choices,
                driver: kind,
                bulk: None,
                steps: Vec::with_capacity(USUAL_STEPS / 2),
                fault: None,
                most_steps: most_steps.min(MOST_STEPS),
            };
            author.write(&mut settler);
            settler.hear();
            let Settler { rehearsal, steps, fault, situation, .. } = settler;
            let left = || match catch_unwind(AssertUnwindSafe(|| rehearsal.close())) {
                Ok(Ok(closing)) => closing.left.into_iter().next().map(Fault::Left),
                Ok(Err(error)) => Some(Fault::Audit(error.to_string())),
                Err(panic) => Some(Fault::Panic(message(panic.as_ref()))),
            };
            let processes = situation.processes.into_iter();
            unborn = processes.filter(|process| process.is_unborn).map(|process| process.name).collect();
            let fault = match fault {
                None => left(),
                Some(unspeakable @ Fault::Unspeakable(_)) => left().or(Some(unspeakable)),
                other => other,
            };
            (steps, fault)
        }
    };
    program.steps = steps;
    // Nobody forks them any more.
    program.declarations.retain(|noted| match &noted.value {
        Declaration::Process(process) => !unborn.contains(&process.name),
        Declaration::Thread { process, .. } => !unborn.contains(process),
    });
    program.driver = Some(kind);
    let used = features_of_program(&program).into_iter();
    (program.requires, program.without) = used.partition(|feature| target.lacks(*feature).is_none());
    program.clauses = Vec::new();
    program.unconfirmed = None;
    program.closing = Vec::new();
    Settled { program, fault }
}

/// A process that another one forks has no thread but its first.
fn keep_one_thread_of_children(program: &mut Program) {
    let forked = |noted: &Noted<Declaration>| match &noted.value {
        Declaration::Process(process) => {
            (process.device == DeviceSetUp::Forked).then(|| process.name.clone())
        }
        Declaration::Thread { .. } => None,
    };
    let children: Vec<Name> = program.declarations.iter().filter_map(forked).collect();
    program.declarations.retain(|noted| match &noted.value {
        Declaration::Process(_) => true,
        Declaration::Thread { process, .. } => !children.contains(process),
    });
}

impl Settler<'_, '_, '_> {
    /// Whether nothing more can be proposed.
    pub(super) fn is_done(&self) -> bool {
        self.fault.is_some() || self.steps.len() >= self.most_steps
    }

    /// How many steps there are so far.
    pub(super) fn steps(&self) -> usize {
        self.steps.len()
    }

    /// Whether the read of a thread has returned, and nothing has awaited it.
    pub(super) fn is_woken(&self, thread: ThreadIndex) -> bool {
        self.rehearsal.is_woken(thread)
    }

    /// The names of the threads that sleep in a read.
    pub(super) fn parked_threads(&self) -> Vec<Name> {
        let processes = self.situation.processes.iter().enumerate();
        let threads = processes.flat_map(|(process, state)| {
            (0..state.threads.len()).map(move |thread| ThreadIndex { process, thread })
        });
        let parked = threads.filter(|thread| self.rehearsal.is_parked(*thread));
        parked.map(|thread| self.rehearsal.name(thread).clone()).collect()
    }

    /// The thread of this name.
    pub(super) fn thread(&self, name: &Name) -> Option<ThreadIndex> {
        self.rehearsal.thread(name)
    }

    /// The threads that can do something.
    pub(super) fn idle_threads(&self) -> SmallVec<[ThreadIndex; 8]> {
        let mut idle = SmallVec::new();
        for (process, state) in self.situation.processes.iter().enumerate().filter(|(_, p)| p.is_alive) {
            let threads = (0..state.threads.len()).map(|thread| ThreadIndex { process, thread });
            idle.extend(threads.filter(|thread| self.rehearsal.is_idle(*thread)));
        }
        idle
    }

    /// Whether a thread may read.
    pub(super) fn may_read(&self, thread: ThreadIndex) -> bool {
        undefined::may_read(&self.situation, thread, |other| self.rehearsal.is_parked(other))
    }

    /// A name that means nothing yet.
    pub(super) fn new_name(&mut self, prefix: &'static str) -> Name {
        self.rehearsal.new_name(None, prefix)
    }

    /// Has a thread do this if it can. False if nothing was done.
    pub(super) fn propose(&mut self, thread: ThreadIndex, mut action: Action) -> bool {
        let awaits =
            matches!(&action, Action::Read { options, .. } if *options == WriteReadOptions::default());
        if awaits && !self.is_done() && self.is_woken(thread) {
            return self.perform(thread, action);
        }
        self.hear();
        let can_act = self.situation.processes[thread.process].is_alive && self.rehearsal.is_idle(thread);
        if self.is_done() || !can_act {
            return false;
        }
        let reads = matches!(action, Action::Read { .. } | Action::WriteRead { .. });
        if reads && !self.may_read(thread) {
            return false;
        }
        let mut repair = Repair {
            rehearsal: &mut self.rehearsal,
            situation: &self.situation,
            choices: &mut self.choices,
            thread,
        };
        if !repair.action(&mut action)
            || !undefined::avoid(&mut action, &self.situation.processes[thread.process], self.driver)
        {
            return false;
        }
        let rest = match self.rehearsal.has_parked() {
            true => undefined::split_overtaking(&mut action, &self.situation.processes[thread.process]),
            false => None,
        };
        let is_done = self.perform(thread, action);
        if let Some(rest) = rest {
            self.propose(thread, rest);
        }
        is_done
    }

    /// Lets threads whose reads have returned tell what they have got. Until they do, they can do nothing else.
    pub(super) fn hear(&mut self) {
        while self.fault.is_none() && self.rehearsal.woken().next().is_some() {
            let woken: SmallVec<[_; 8]> = self.rehearsal.woken().collect();
            for thread in woken {
                if !self.perform(thread, Action::read()) {
                    return;
                }
            }
        }
    }

    fn perform(&mut self, thread: ThreadIndex, mut action: Action) -> bool {
        // Nothing looks at a rehearsal any more that has fallen over.
        match catch_unwind(AssertUnwindSafe(|| self.rehearsal.perform(thread, &mut action))) {
            Ok(Ok(())) => {
                self.situation.follow(thread, &action);
                self.push(thread, action);
                true
            }
            Ok(Err(interrupted)) => {
                let fault = Fault::from(interrupted);
                // It can be done, and shows the fault again.
                if matches!(fault, Fault::Audit(_) | Fault::Malformed(_)) {
                    self.push(thread, action);
                }
                self.fault = Some(fault);
                false
            }
            Err(panic) => {
                self.fault = Some(Fault::Panic(message(panic.as_ref())));
                self.push(thread, action);
                false
            }
        }
    }

    fn push(&mut self, thread: ThreadIndex, action: Action) {
        let actor = Actor::Thread(self.rehearsal.name(thread).clone());
        let value = Moment::Step(Step { actor, action });
        self.steps.push(Noted { before: Vec::new(), value, after: None });
    }
}

/// What a panic says.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a word".to_owned())
}
