//! A program: what the threads of some processes do to a binder device, step by step, and what each must see.
//!
//! Everything else is about programs: scripts are read into them and printed from them, targets run them,
//! fuzzers make them up. A program names things (threads, objects, handles, buffers, cookies) by symbol and
//! never by address, so that it means the same on every target. `docs/script-language.md` describes the same
//! thing as its author sees it, and [`crate::script`] turns one into the other.

mod binderfs;
mod call;
mod command;
mod context;
mod driver_kind;
mod feature;
mod mapping;
mod names;
mod operand;
mod payload;
mod race;
mod returns;
mod scheduling;
mod told;

pub use binderfs::*;
pub use call::*;
pub use command::*;
pub use context::*;
pub use driver_kind::*;
pub use feature::*;
pub use mapping::*;
pub use operand::*;
pub use payload::*;
pub use race::*;
pub use returns::*;
pub use scheduling::*;
pub use told::*;

use std::fmt;

/// A whole program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    /// The comment that opens the script, a line each without its `#`. The first line is the title.
    pub opening: Vec<String>,
    /// `clause:`, the clauses of the specification that the program shows.
    pub clauses: Vec<Clause>,
    /// `driver:`, the implementation that the program is about, where the two do different things.
    pub driver: Option<DriverKind>,
    /// `requires`, what a target must have for the program to make sense.
    pub requires: Vec<Feature>,
    /// `without`, what a target must not have: the program is about drivers before that came.
    pub without: Vec<Feature>,
    /// `unconfirmed:`, why no real kernel has confirmed yet what is expected here.
    pub unconfirmed: Option<String>,
    /// The processes, and their threads, in the order of their declaration.
    pub declarations: Vec<Noted<Declaration>>,
    /// What happens, in order.
    pub steps: Vec<Noted<Moment>>,
    /// Comments after the last step.
    pub closing: Vec<CommentLine>,
}

impl Program {
    /// Which of its steps leave open what comes of them.
    pub fn left_open(&self) -> impl Iterator<Item = usize> {
        let steps = self.steps.iter().enumerate();
        steps.filter(|(_, moment)| moment.value.steps().iter().any(Step::leaves_open)).map(|(index, _)| index)
    }

    /// The same with no steps.
    pub(crate) fn without_steps(&self) -> Program {
        Program {
            opening: self.opening.clone(),
            clauses: self.clauses.clone(),
            driver: self.driver,
            requires: self.requires.clone(),
            without: self.without.clone(),
            unconfirmed: self.unconfirmed.clone(),
            declarations: self.declarations.clone(),
            steps: Vec::new(),
            closing: self.closing.clone(),
        }
    }
}

/// A line of the script with the comments that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted<T> {
    /// The comment lines and blank lines before it.
    pub before: Vec<CommentLine>,
    /// What the line says.
    pub value: T,
    /// The comment at its end, without the `#`.
    pub after: Option<String>,
}

/// A line that says nothing to the driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommentLine {
    /// An empty line. The printer makes one of several in a row.
    Blank,
    /// A comment, without its `#` and the blank after it.
    Text(String),
}

/// A clause of the specification, such as `txn.3`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Clause {
    /// The page of the specification.
    pub topic: Name,
    /// The number of the clause on that page, from 1.
    pub number: u32,
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.topic, self.number)
    }
}

/// A line that says who takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Declaration {
    /// `process server context-manager mmap 1M`: a process, and its first thread of the same name.
    Process(Process),
    /// `thread worker of server`: one more thread of a process.
    Thread {
        /// What steps call the thread.
        name: Name,
        /// The process it belongs to.
        process: Name,
    },
}

/// A process, and how it is set up before the first step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its name, which is also the name of its first thread.
    pub name: Name,
    /// `on hwbinder`: the context whose device it opens.
    pub context: Context,
    /// `context-manager`: it makes itself the context manager during set-up, as BINDER_SET_CONTEXT_MGR does.
    pub context_manager: bool,
    /// `uid 10123`: its real and effective user. Without it, the user that the target runs as (0).
    pub uid: Option<u32>,
    /// `nonblock`: it opens the device with O_NONBLOCK.
    pub nonblock: bool,
    /// `forked`, `closed`, `unmapped`, `mmap 1M`: what it has done with the device before the first step.
    pub device: DeviceSetUp,
}

/// What a process has done with the device before the first step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceSetUp {
    /// `forked`: the process is not there yet. Another one makes it, and so it is what that one is.
    Forked,
    /// `closed`: nothing.
    Closed,
    /// `unmapped`: opened it.
    Opened,
    /// `mmap SIZE`: opened it and mapped so many bytes. Without a word, [`DeviceSetUp::DEFAULT_MAPPING`].
    Mapped(u64),
}

impl DeviceSetUp {
    /// How large the mapping of a process is about which the script says nothing, in bytes.
    pub const DEFAULT_MAPPING: u64 = 128 * 1024;
}

/// One thing that one thread does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Who does it.
    pub actor: Actor,
    /// What it does, and what it must see.
    pub action: Action,
}

impl Step {
    /// Whether it expects `any of` several things, of which one and the same driver may do now this and now that.
    pub fn leaves_open(&self) -> bool {
        match &self.action {
            Action::Write { .. } => false,
            Action::Read { expected, .. } => expected.leaves_open(),
            Action::WriteRead { expected, .. } => expected.as_ref().is_some_and(ReadExpectation::leaves_open),
            Action::Call { expected, .. } => matches!(expected, CallExpectation::AnyOf(_)),
        }
    }
}

/// Who does a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// `server`
    Thread(Name),
    /// `any of { w1 | w2 } as w`: whichever of these parked threads has been woken; from here on it is also
    /// called by the new name. Exactly one of them must have been.
    AnyOf {
        /// The threads, all of them parked.
        candidates: Vec<Name>,
        /// The new name.
        alias: Name,
    },
}

/// What a thread does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `client > COMMANDS`: a BINDER_WRITE_READ that only writes.
    Write {
        /// Departures from a well-made `struct binder_write_read`.
        options: WriteReadOptions,
        /// The commands; none at all is written `nothing`.
        commands: Vec<Command>,
        /// How the writing must end.
        written: WriteExpectation,
    },
    /// `client < RETURNS`: a BINDER_WRITE_READ that only reads, or the end of one in which the thread is parked.
    Read {
        /// Departures from a well-made `struct binder_write_read`.
        options: WriteReadOptions,
        /// What must be read.
        expected: ReadExpectation,
    },
    /// `client >< COMMANDS -> RETURNS`: a BINDER_WRITE_READ that writes, and then reads.
    WriteRead {
        /// Departures from a well-made `struct binder_write_read`.
        options: WriteReadOptions,
        /// The commands.
        commands: Vec<Command>,
        /// How the writing must end.
        written: WriteExpectation,
        /// What must be read; `None` when the writing must fail, since then nothing is read.
        expected: Option<ReadExpectation>,
    },
    /// `client ! CALL`: any other system call.
    Call {
        /// The call.
        call: Call,
        /// What must come of it.
        expected: CallExpectation,
    },
}

impl Action {
    /// A read that sleeps.
    pub fn read() -> Action {
        Action::Read { options: WriteReadOptions::default(), expected: ReadExpectation::Parked }
    }

    /// A call that succeeds.
    pub fn call(call: Call) -> Action {
        Action::Call { call, expected: CallExpectation::Succeeds }
    }

    /// An ioctl that succeeds.
    pub fn ioctl(ioctl: Ioctl) -> Action {
        Action::call(Call::Ioctl(ioctl))
    }
}

/// `(write_size 3, read_buffer unmapped)`: fields of `struct binder_write_read` that a well-behaved process
/// would have set otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteReadOptions {
    /// `write_size N`, in place of the length of the commands.
    pub write_size: Option<u64>,
    /// `write_consumed N`: the driver is told that so many bytes are done already.
    pub write_consumed: Option<u64>,
    /// `write_buffer unmapped`: no memory where the commands should be.
    pub write_buffer_unmapped: bool,
    /// `read_size N`, in place of [`WriteReadOptions::DEFAULT_READ_SIZE`].
    pub read_size: Option<u64>,
    /// `read_consumed N`: the driver is told that so many bytes are there already.
    pub read_consumed: Option<u64>,
    /// `read_buffer unmapped`: no memory where the returns should go.
    pub read_buffer_unmapped: bool,
}

impl WriteReadOptions {
    /// Room for returns in a read about which the script says nothing, in bytes: what libbinder uses.
    pub const DEFAULT_READ_SIZE: u64 = 256;

    /// Room for returns in a read, in bytes.
    pub fn room(&self) -> u64 {
        self.read_size.unwrap_or(WriteReadOptions::DEFAULT_READ_SIZE)
    }
}

/// `= EINVAL consumed 4`: how the writing must end. Without it, in success, with all consumed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteExpectation {
    /// The error, if there must be one.
    pub errno: Option<Errno>,
    /// Bytes consumed; `None` when nothing was said: all of them in success, unchecked in an error.
    pub consumed: Option<u64>,
}

/// What a read must give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadExpectation {
    /// `parked`: it does not return; the thread sleeps.
    Parked,
    /// A list of returns, in order. The BR_NOOP that opens a read is checked and not written;
    /// `nothing` is a read that returns with it alone.
    Returns(Vec<ReturnItem>),
    /// `= EAGAIN`, `= EFAULT consumed 4`
    Failed {
        /// The error.
        errno: Errno,
        /// What `read_consumed` must say, if the script does.
        consumed: Option<u64>,
    },
    /// `any of { parked | BR_DEAD_REPLY }`: the protocol leaves a choice.
    AnyOf(Vec<ReadExpectation>),
}

impl ReadExpectation {
    /// Whether it is a choice of several, or has one in its list.
    fn leaves_open(&self) -> bool {
        match self {
            ReadExpectation::Parked | ReadExpectation::Failed { .. } => false,
            ReadExpectation::Returns(returns) => {
                returns.iter().any(|item| matches!(item, ReturnItem::AnyOf(_)))
            }
            ReadExpectation::AnyOf(_) => true,
        }
    }

    /// Whether the read may be left sleeping.
    pub fn may_park(&self) -> bool {
        match self {
            ReadExpectation::Parked => true,
            ReadExpectation::AnyOf(choices) => choices.iter().any(ReadExpectation::may_park),
            ReadExpectation::Returns(_) | ReadExpectation::Failed { .. } => false,
        }
    }

    /// All returns that it speaks of, in the order in which they are written.
    pub fn patterns(&self) -> Vec<&ReturnPattern> {
        let mut patterns = Vec::new();
        self.visit(&mut |pattern| patterns.push(pattern));
        patterns
    }

    /// Calls `visit` with each of these.
    pub fn visit<'p>(&'p self, visit: &mut impl FnMut(&'p ReturnPattern)) {
        match self {
            ReadExpectation::Parked | ReadExpectation::Failed { .. } => {}
            ReadExpectation::AnyOf(choices) => choices.iter().for_each(|choice| choice.visit(visit)),
            ReadExpectation::Returns(items) => {
                for item in items {
                    match item {
                        ReturnItem::One(pattern) => visit(pattern),
                        ReturnItem::InAnyOrder(all) => all.iter().for_each(&mut *visit),
                        ReturnItem::AnyOf(lists) => lists.iter().flatten().for_each(&mut *visit),
                    }
                }
            }
        }
    }
}
