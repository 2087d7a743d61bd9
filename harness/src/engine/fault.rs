//! Faults: what makes a program impossible to run, which is nobody's fault but its author's.

use crate::program::Name;

/// Why a program cannot be run as it is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptFault {
    /// A step or a declaration names a thread that was not declared.
    #[error("there is no thread {0}")]
    UnknownThread(Name),
    /// A declaration or a pattern names a process that was not declared.
    #[error("there is no process {0}")]
    UnknownProcess(Name),
    /// Two declarations have the same name.
    #[error("{0} is declared twice")]
    DeclaredTwice(Name),
    /// A handle is used that nothing has bound.
    #[error("nothing before this step has bound the handle {0}")]
    UnboundHandle(Name),
    /// A buffer is used that nothing has named.
    #[error("nothing before this step has named the buffer {0}")]
    UnboundBuffer(Name),
    /// A process speaks of a descriptor that it never got.
    #[error("the process has never had a descriptor for {0}")]
    NoDescriptor(Name),
    /// A pointer is to a buffer that is not there.
    #[error(
        "object {0} of the payload, counted from 0, is no scatter-gather buffer that a pointer could be to"
    )]
    NoBuffer(u32),
    /// A payload does not fit the memory of a thread.
    #[error(
        "the payloads of one step take more than {limit} bytes, which is all the memory there is for them"
    )]
    PayloadTooLarge {
        /// The room, in bytes.
        limit: u64,
    },
    /// The commands do not fit the memory of a thread.
    #[error(
        "the commands of one step take more than {limit} bytes, which is all the memory there is for them"
    )]
    CommandsTooLarge {
        /// The room, in bytes.
        limit: u64,
    },
    /// A thread does something while it waits in the driver.
    #[error(
        "{0} is parked, so it can do nothing but await the end of that: `<` of a read, `! await` of a call"
    )]
    Parked(Name),
    /// One of several threads is awaited, and it does not wait for anything.
    #[error("{0} is not parked in a read, so it cannot be one of those that may be woken")]
    NotParked(Name),
    /// The end of a call is awaited, and there is none.
    #[error("{0} is not parked in a call, so there is nothing to await")]
    NotInCall(Name),
    /// A read is given departures, and none is begun.
    #[error("{0} is parked in a read already, so this `<` only awaits its end and can have no options")]
    OptionsOfParkedRead(Name),
    /// `any of { … } as w` does something other than awaiting a read.
    #[error("one of several threads can only be awaited with `<`")]
    ChoiceWithoutRead,
    /// Something is to race that the thread does not do by a system call of its own.
    #[error("{0} can race with nothing but a system call of its own")]
    CannotRace(Name),
    /// A thread does something after its process has ended.
    #[error("the process of {0} has ended")]
    Ended(Name),
    /// There are more ways for the returns to match than can be tried.
    #[error("`in any order` and `any of` leave more choices here than can be tried")]
    TooManyChoices,
}
