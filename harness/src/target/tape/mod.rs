//! Tapes: programs as nothing but what a world is asked, and what it answers.
//!
//! Where two targets are compared, a program is run on the model anyway. A [recorder](record) notes what the engine asks of
//! the model's world and what that answers; [`cut`] makes a tape of it. A guest *plays* the tape: it does the same calls, and
//! looks whether the answers are the same. For that it needs neither the script nor the engine, which cost more there than
//! all calls together.
//!
//! **Why equal answers are an equal run.** Whatever the engine does follows from the program and from what the world has
//! answered so far: it has no clock, no chance and no other source of news. So by induction over what it asks: if all answers
//! until now have been those of the tape, it would ask next what is on the tape next, and if the last answer is that of the
//! tape too, its transcript and its verdict are those that the model's run came to. Two answers count as the same where the
//! engine cannot tell them apart: ids of processes are compared by which process of the program has them, as it only ever
//! speaks of that ([`Act::LookForPid`]), and the number of an error by whether it is 0 ([`Act::LookForNumber`]). All else is
//! compared bit for bit, even addresses, which are the same in all worlds ([`crate::target::mappings_of`]).
//!
//! In four places less is asked than by the engine's worlds: a thread looks at its memory as soon as it is back, and not when
//! all is at rest, as only the driver's doing in its call is there; of what a poll finds the events are compared that scripts
//! can tell; a counter may take a moment to be what it must; and who becomes a context's manager may have to wait until the
//! driver has forgotten the one of the program before.
//!
//! So a tape proves that two runs are the same, and never that they differ: where an answer is another one, or something
//! cannot be put on a tape at all ([`Unplayable`]), the program is run from the script.
//!
//! Those who play live in one address space, where each has memory at addresses that no other process of its world uses. What
//! would tell them from processes that do not is not put on tapes: that one looks for memory where another one may have some.
//! That holds for what the program asks for. A driver that works in the wrong address space is not seen to, so some of the
//! programs that have been played are run from their scripts all the same.
//!
//! A tape is cut into *parts*: what one thread does by itself, which is mostly one call, and what it must find in its memory
//! when that has returned. A thread looks as soon as it is back. The order of the parts are the *turns*. After each turn
//! whoever directs the play waits until all is at rest, as the engine's worlds do, and sees who has come to the end of a part:
//! all those who must have, and nobody else. After several turns in a row in which nobody else must, that is seen once: whoever
//! has woken by mistake has come to the end of a part then, too.
//!
//! What a thread does several times in a row without waking anybody is one turn. After each call it lets those run whom it
//! may have woken all the same ([`Act::Yield`]): they come to the end of their parts then, which the tape does not have.

mod cut;
pub mod record;
#[cfg(test)]
mod tests;

use reference_driver::uapi::{BINDER_SET_CONTEXT_MGR, BINDER_SET_CONTEXT_MGR_EXT};
use serde::{Deserialize, Serialize};

use super::device::message::OP_IOCTL;
use super::{DescriptorState, FileId, ThreadIndex, mappings_of};
use crate::program::{Counter, DriverKind, Feature};
use crate::script::MOST_THREADS;
pub use record::record;

/// The most processes that a tape can have.
pub const MOST_ROLES: usize = 32;

/// A program, as it is played.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tape<'a> {
    /// Which driver it is for, if not for any.
    pub driver: Option<DriverKind>,
    /// What that must have.
    pub requires: Vec<Feature>,
    /// What that must not have.
    pub without: Vec<Feature>,
    /// What a security module must call all of its processes, if it is about that.
    pub security_context: Option<&'a [u8]>,
    /// Its processes.
    #[serde(borrow)]
    pub roles: Vec<Role<'a>>,
    /// Who does what, one after the other.
    pub turns: Vec<Turn>,
}

/// What a process does.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role<'a> {
    /// Its user, if not the one that the target runs as.
    pub uid: Option<u32>,
    /// How many threads it has.
    pub threads: u32,
    /// The parts of its threads.
    pub parts: &'a [u8],
    /// Addresses of arenas, each with a length in bytes, at which it puts something or looks.
    pub touched: Vec<(u64, u32)>,
    /// So much is mapped in the course of it, in bytes, from [`crate::target::mappings_of`] on.
    pub mapped: u64,
    /// It maps devices at places that the script has chosen.
    pub has_places: bool,
    /// Its threads set their priorities.
    pub sets_priorities: bool,
    /// What it does cannot be undone: it does not do anything after this.
    pub is_spent: bool,
}

/// What happens until all is at rest again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Whose turn it is.
    pub thread: ThreadIndex,
    /// What happens.
    pub deed: Deed,
    /// Threads that come to the end of the part in which they have slept.
    pub woken: Vec<ThreadIndex>,
    /// How many devices are open after it, if something has been closed: the driver does that later.
    pub open: Option<u32>,
    /// Descriptors that its process has made in it, each for a file that is known from then on.
    pub files: Vec<(u32, FileId)>,
    /// Descriptors of processes, each with what it must be after it.
    pub descriptors: Vec<(u32, u32, Option<DescriptorState>)>,
}

/// What happens in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deed {
    /// The thread plays the part that begins at this place of its process' parts.
    Part {
        /// In bytes.
        start: u32,
        /// It comes to its end, and does not sleep before.
        returns: bool,
    },
    /// The same, and its process ends over it.
    Last {
        /// In bytes.
        start: u32,
    },
    /// It is sent a signal.
    Signal,
    /// A counter of the driver, as its process sees it, is this.
    Count {
        /// Which one.
        counter: Counter,
        /// What it is.
        count: u64,
    },
}

impl Turn {
    /// Whether nothing else happens than its deed.
    pub fn is_bare(&self) -> bool {
        let Turn { thread: _, deed: _, woken, open, files, descriptors } = self;
        woken.is_empty() && open.is_none() && files.is_empty() && descriptors.is_empty()
    }

    /// One in which this happens, and nothing else.
    fn of(thread: ThreadIndex, deed: Deed) -> Turn {
        Turn { thread, deed, woken: Vec::new(), open: None, files: Vec::new(), descriptors: Vec::new() }
    }
}

/// Something that is done in a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act<'a> {
    /// Bytes are put into the arena of the thread.
    Put {
        /// Where to.
        address: u64,
        /// Which.
        bytes: &'a [u8],
    },
    /// So many zeroes are put there.
    Clear {
        /// Where to.
        address: u64,
        /// How many.
        length: u32,
    },
    /// The id of a process is put there, in four bytes.
    PutPid {
        /// Where to.
        address: u64,
        /// Which process.
        process: u32,
    },
    /// The thread does a system call. The numbers are those of a [request](super::device::message::Request).
    Call {
        /// What it does.
        operation: u32,
        /// As of a request.
        detail: u32,
        /// As of a request.
        argument: u64,
        /// As of a request.
        address: u64,
        /// What must come of it.
        comes: Comes,
    },
    /// These bytes must be in memory.
    Look {
        /// Where.
        address: u64,
        /// Which.
        bytes: &'a [u8],
    },
    /// The id of a process must be there, in four bytes.
    LookForPid {
        /// Where.
        address: u64,
        /// Which process.
        process: u32,
    },
    /// A number must be there that is not 0, in four bytes.
    LookForNumber {
        /// Where.
        address: u64,
    },
    /// Whoever has been woken runs until it sleeps again.
    Yield,
    /// The part ends.
    Stop,
}

impl Act<'_> {
    /// Whether it is done anew as long as a device has the manager of a program before, which has not been forgotten yet.
    pub fn may_be_tried_again(&self) -> bool {
        let is_about_manager = |detail| matches!(detail, BINDER_SET_CONTEXT_MGR | BINDER_SET_CONTEXT_MGR_EXT);
        matches!(self, Act::Call { operation: OP_IOCTL, detail, comes: Comes::SUCCESS, .. } if is_about_manager(*detail))
    }
}

/// What must come of a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comes {
    /// It succeeds, and these bits of the number that it returns are this.
    Number {
        /// Which bits.
        mask: u64,
        /// What they are.
        value: u64,
    },
    /// It fails with this errno.
    Errno(u16),
    /// It does not return.
    Nothing,
}

impl Comes {
    /// It succeeds, with whatever number.
    pub const SUCCESS: Comes = Comes::Number { mask: 0, value: 0 };

    /// Whether a number that a system call has returned, or a negative errno, is what must come.
    pub fn is(self, result: i64) -> bool {
        match self {
            Comes::Number { mask, value } => result >= 0 && result as u64 & mask == value,
            Comes::Errno(errno) => result == -i64::from(errno),
            Comes::Nothing => false,
        }
    }
}

/// These bytes are no tape, or not one of so many processes and threads as it speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tape is malformed")]
pub struct Malformed;

impl<'a> Tape<'a> {
    /// Reads one, and makes sure that whatever it speaks of is there.
    pub fn read(bytes: &'a [u8]) -> Result<Tape<'a>, Malformed> {
        let tape: Tape<'a> = postcard::from_bytes(bytes).map_err(|_| Malformed)?;
        let is_there = |thread: &ThreadIndex| {
            tape.roles.get(thread.process).is_some_and(|role| thread.thread < role.threads as usize)
        };
        let starts = |turn: &Turn| match turn.deed {
            Deed::Part { start, .. } | Deed::Last { start } => {
                (start as usize) < tape.roles[turn.thread.process].parts.len()
            }
            Deed::Signal | Deed::Count { .. } => true,
        };
        let are_roles =
            |turn: &Turn| turn.descriptors.iter().all(|(process, ..)| (*process as usize) < tape.roles.len());
        let are_there = |turn: &Turn| {
            is_there(&turn.thread) && turn.woken.iter().all(is_there) && starts(turn) && are_roles(turn)
        };
        let has_room = |(process, role): (usize, &Role<'_>)| {
            let mappings = mappings_of(process);
            role.threads as usize <= MOST_THREADS && role.mapped <= mappings.end - mappings.start
        };
        let is_whole = tape.roles.len() <= MOST_ROLES
            && tape.roles.iter().enumerate().all(has_room)
            && tape.turns.iter().all(are_there);
        is_whole.then_some(tape).ok_or(Malformed)
    }

    /// The bytes to be read.
    fn written(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("a tape is plain data, and memory takes whatever it is given")
    }
}

/// The tapes of several programs, as they are sent.
#[derive(Debug, Default)]
pub struct Reel {
    /// Which of the programs have one, by their places.
    pub places: Vec<usize>,
    /// Their tapes, for [`Reel::tapes`].
    pub bytes: Vec<u8>,
}

impl Reel {
    /// Puts the tapes of programs together, as far as there are any.
    pub fn of(tapes: &[Option<Vec<u8>>]) -> Reel {
        let numbered = tapes.iter().enumerate().filter_map(|(place, tape)| Some((place, tape.as_deref()?)));
        let (places, tapes): (Vec<usize>, Vec<&[u8]>) = numbered.unzip();
        let bytes = postcard::to_allocvec(&tapes);
        Reel { places, bytes: bytes.expect("tapes are plain data, and memory takes whatever it is given") }
    }

    /// The tapes that have been put together.
    pub fn tapes(bytes: &[u8]) -> Result<Vec<&[u8]>, Malformed> {
        postcard::from_bytes(bytes).map_err(|_| Malformed)
    }
}

/// What is done from a place of these parts on.
#[derive(Debug, Clone, Copy)]
pub struct Acts<'a> {
    rest: &'a [u8],
}

impl<'a> Acts<'a> {
    /// From this place on.
    pub fn at(parts: &'a [u8], start: usize) -> Result<Acts<'a>, Malformed> {
        Ok(Acts { rest: parts.get(start..).ok_or(Malformed)? })
    }

    /// What is done next.
    pub fn take(&mut self) -> Result<Act<'a>, Malformed> {
        let (act, rest) = postcard::take_from_bytes(self.rest).map_err(|_| Malformed)?;
        self.rest = rest;
        Ok(act)
    }
}
