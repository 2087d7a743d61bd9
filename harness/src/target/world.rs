//! Worlds: processes and threads in front of a driver that can be reached from this very process. They know nothing of
//! scripts: they do system calls, and tell what came of them.

use std::time::Duration;

use reference_driver::Profile;
use reference_driver::uapi::Errno;
use serde::{Deserialize, Serialize};

use super::{FileId, Outcome, SystemCall};
use crate::program::{Counter, DriverKind, Feature, Name};

/// A driver that can be reached from this very process.
pub trait Worlds {
    /// What the user calls it, such as `reference` or `device:/dev/binder`.
    fn name(&self) -> String;

    /// As [`Target::driver`].
    fn driver(&self) -> Option<String>;

    /// Which implementation of the driver it has, or models.
    fn kind(&self) -> DriverKind;

    /// The reference driver's profile that its driver is nearest to.
    fn profile(&self) -> Profile {
        match self.kind() {
            DriverKind::Rust => Profile::RUST,
            DriverKind::C if self.lacks(Feature::FreezeNotification).is_some() => Profile::C_6_1,
            DriverKind::C if self.lacks(Feature::CallersEuid).is_some() => Profile::C_6_12,
            DriverKind::C => Profile::C,
        }
    }

    /// Whether it has what a program may require; if not, why not, in words that follow "skipped: ".
    fn lacks(&self, feature: Feature) -> Option<String>;

    /// A world with these processes and threads, none of which has opened the device yet.
    fn world(&mut self, processes: &[ProcessSpecification]) -> Result<Box<dyn World + '_>, TargetError>;
}

/// A process of a world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessSpecification {
    /// For messages.
    pub name: Name,
    /// Real and effective user; `None` leaves the one that the target runs as.
    pub uid: Option<u32>,
    /// The names of its threads, for messages; the first is its main thread. Never empty.
    pub threads: Vec<Name>,
    /// It is not there before another process makes it. It has one thread then, and the user of that one.
    pub forked: bool,
}

/// A thread of a world: which process of the list, and which thread of that process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ThreadIndex {
    /// Index of the process.
    pub process: usize,
    /// Index of the thread within it.
    pub thread: usize,
}

/// Processes and threads in front of a binder device, for the time of one case.
pub trait World {
    /// Lets a thread that is not parked do a system call, and waits until it has returned or is parked *and*
    /// everything it set off has come to rest: every other thread idle or parked, deferred work done.
    fn call(&mut self, thread: ThreadIndex, call: SystemCall) -> Result<Outcome, TargetError>;

    /// Lets several threads begin system calls at the same time but for their delays, and waits until everything has
    /// come to rest as it does for one. What came of each, in the same order. A world in which nothing happens at the
    /// same time does one after the other, in the order of the delays.
    fn race(&mut self, racers: Vec<Racer>) -> Result<Vec<Outcome>, TargetError> {
        let mut order: Vec<usize> = (0..racers.len()).collect();
        order.sort_by_key(|index| racers[*index].delay);
        let mut outcomes = vec![Outcome::Parked; racers.len()];
        for index in order {
            let Racer { thread, call, .. } = racers[index].clone();
            outcomes[index] = self.call(thread, call)?;
        }
        for (racer, outcome) in racers.iter().zip(&mut outcomes) {
            // One that was parked may have been woken by the next.
            if *outcome == Outcome::Parked {
                *outcome = self.collect(racer.thread)?;
            }
        }
        Ok(outcomes)
    }

    /// What has become of a call that parked. `Done` is told once; then the thread is idle again.
    fn collect(&mut self, thread: ThreadIndex) -> Result<Outcome, TargetError>;

    /// Lets time pass until a call in which a thread is parked gives up waiting, and everything that this sets off
    /// has come to rest. `Parked` if it waits without limit.
    fn expire(&mut self, thread: ThreadIndex) -> Result<Outcome, TargetError>;

    /// Sends a signal to a thread, which handles it by doing nothing, and waits until everything that this sets off has
    /// come to rest. ESRCH if its process has ended.
    fn signal(&mut self, thread: ThreadIndex) -> Result<Result<(), Errno>, TargetError>;

    /// Bytes of a process' memory: its arena, or its mapping of the device. `None` where not mapped.
    fn read_memory(
        &mut self,
        process: usize,
        address: u64,
        length: usize,
    ) -> Result<Option<Vec<u8>>, TargetError>;

    /// The same for who only looks at them: fills in as many as there is room for. False where not mapped.
    fn look_at_memory(
        &mut self,
        process: usize,
        address: u64,
        bytes: &mut [u8],
    ) -> Result<bool, TargetError> {
        let read = self.read_memory(process, address, bytes.len())?;
        read.iter().for_each(|read| bytes.copy_from_slice(read));
        Ok(read.is_some())
    }

    /// What a descriptor of a process is; `None` if the process has no such one.
    fn descriptor(&mut self, process: usize, number: u32) -> Result<Option<DescriptorState>, TargetError>;

    /// The process id by which the driver calls a process.
    fn pid(&self, process: usize) -> i32;

    /// What the security module of the target calls a process, with a final 0 if it counts one; `None` if it has no name for it, or there is no such
    /// module.
    fn security_context(&mut self, process: usize) -> Result<Option<Vec<u8>>, TargetError>;

    /// A counter of the driver, as the process sees it; an error if this target does not keep it.
    fn count(&mut self, process: usize, counter: Counter) -> Result<u64, TargetError>;

    /// Whether some process has looked, in vain, for memory where another one may have some. A model can tell.
    fn has_reached_elsewhere(&self) -> bool {
        false
    }

    /// Ends every process, waits until the driver has forgotten them, and says what is wrong after that.
    fn close(self: Box<Self>) -> Result<Closing, TargetError>;
}

/// A thread that begins a system call at the same time as others do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Racer {
    /// The thread. It is not parked.
    pub thread: ThreadIndex,
    /// What it does.
    pub call: SystemCall,
    /// How long it waits before it begins.
    pub delay: Duration,
}

/// What a descriptor of a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescriptorState {
    /// The open file that it is for; `None` for one that no script has made.
    pub file: Option<FileId>,
    /// Whether it is closed when the process executes another program.
    pub close_on_exec: bool,
}

/// What is wrong with a driver once every process of a world is gone, a line each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Closing {
    /// What is left of them.
    pub left: Vec<String>,
    /// What the kernel complained of since the last world was closed.
    pub complaints: Vec<String>,
    /// All that the kernel's log has had since this world was made, as far as it can be read.
    pub log: Vec<String>,
}

/// How that ends which is told of what is left.
pub(crate) const LEFT_AFTER_ALL: &str = "left after all is closed";

/// So many of a kind, of which the words for one and for several are given, that are left after all is closed.
pub(crate) fn left_after_all(count: u64, (one, several): (&str, &str)) -> String {
    match count {
        1 => format!("1 {one} is {LEFT_AFTER_ALL}"),
        count => format!("{count} {several} are {LEFT_AFTER_ALL}"),
    }
}

/// That a target could not do what it was asked to. All but the first two spoil the case at hand and no other.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The target, in its present state, does not do this at all: the case is skipped, not failed.
    #[error("{0}")]
    Unsupported(String),
    /// Something that the target rests on is missing or refused. Says what, where, and what to do.
    #[error("{0}")]
    SetUp(String),
    /// A process of the world has ended that was not meant to: by the kernel, or by whoever else can kill it.
    #[error("the process {0} has died")]
    Died(Name),
    /// Something that the driver or its kernel should have done long since has not been done. Says what, and how long it has
    /// been waited for.
    #[error("{0}")]
    Hangs(String),
    /// The machine did not do what the target needs besides the driver, or the driver tells what has no meaning.
    #[error("{0}")]
    Failed(String),
    /// What no target is asked for, or a target that does not work as it should: in either case a mistake of ours.
    #[error("{0} (a bug of binderdrill)")]
    Bug(String),
}
