//! Cutting: of what a world was asked and has answered, a tape is made.

use reference_driver::uapi::{
    BINDER_FREEZE, BINDER_GET_EXTENDED_ERROR, BINDER_GET_FROZEN_INFO, BINDER_WRITE_READ, BR_REPLY,
    BR_TRANSACTION, BR_TRANSACTION_SEC_CTX, ExtendedError, TransactionData, WriteRead, argument_size,
};
use zerocopy::FromBytes;

use super::record::{Entry, Recording};
use super::{Act, Comes, Deed, MOST_ROLES, Role, Tape, Turn};
use crate::program::{Counter, PAGE, Place, PollEvents, Program};
use crate::script::print;
use crate::target::device::message::*;
use crate::target::mappings::Mappings;
use crate::target::{
    Answer, Area, FIRST_DESCRIPTOR, Image, Outcome, Piece, SystemCall, ThreadIndex, arenas_of,
    behind_mapping, is_too_long, mappings_of,
};

/// Why something cannot be played. The word says what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not put on tapes")]
pub struct Unplayable(pub &'static str);

/// Makes the tape of what was asked and answered when a program was run, and all was as expected.
pub(super) fn cut(program: &Program, recording: &Recording) -> Result<Vec<u8>, Unplayable> {
    if recording.processes.len() > MOST_ROLES || recording.processes.iter().any(|process| process.forked) {
        return Err(Unplayable("a process that is forked"));
    }
    let mut cutting = Cutting::of(program, recording);
    for entry in &recording.entries {
        cutting.take(entry)?;
    }
    cutting.count_openings();
    cutting.join();
    if cutting.players.iter().filter(|player| player.has_places).count() > 1 {
        return Err(Unplayable("places that several processes choose"));
    }
    Ok(cutting.tape())
}

/// A tape in the making.
struct Cutting<'a> {
    program: &'a Program,
    recording: &'a Recording,
    players: Vec<Player>,
    parts: Vec<Part<'a>>,
    turns: Vec<Turn>,
    /// Threads that sleep in a call.
    asleep: Vec<Asleep>,
    /// What has been opened: which process did, and whether it still has the descriptor.
    openings: Vec<(usize, bool)>,
    /// What the last call that returned was on: whose memory is looked at.
    back: Option<Back>,
    /// Whether something has been closed in the last turn.
    has_closed: bool,
    /// Whether anything has been closed at all.
    has_ever_closed: bool,
    /// What a security module calls all processes, if that has been asked.
    security_context: Option<&'a [u8]>,
}

/// A thread that sleeps in a call.
struct Asleep {
    thread: ThreadIndex,
    back: Back,
    /// What the call is on.
    opening: Option<usize>,
}

/// A call in its part.
#[derive(Clone, Copy)]
struct Back {
    part: usize,
    /// The place of the call among what is done in the part.
    call: usize,
    /// Where in its memory for returns the driver begins to write, if it writes any, in bytes.
    read_from: u64,
}

/// A process in the course of the program.
struct Player {
    /// Which opening its calls go to.
    opening: Option<usize>,
    mapped: Mappings<usize>,
    /// Where it maps something next.
    next: u64,
    touched: Vec<(u64, u32)>,
    has_places: bool,
    sets_priorities: bool,
    is_spent: bool,
}

/// What a thread does by itself.
struct Part<'a> {
    thread: ThreadIndex,
    acts: Vec<Act<'a>>,
}

impl Part<'_> {
    /// Whether it may take a while.
    fn may_be_tried_again(&self) -> bool {
        self.acts.iter().any(Act::may_be_tried_again)
    }
}

/// What a system call asks of an agent.
struct Asked {
    operation: u32,
    detail: u32,
    argument: u64,
    address: u64,
}

impl<'a> Cutting<'a> {
    fn of(program: &'a Program, recording: &'a Recording) -> Cutting<'a> {
        let player = |process: usize| Player {
            opening: None,
            mapped: Mappings::default(),
            next: mappings_of(process).start,
            touched: Vec::new(),
            has_places: false,
            sets_priorities: false,
            is_spent: false,
        };
        Cutting {
            program,
            recording,
            players: (0..recording.processes.len()).map(player).collect(),
            parts: Vec::new(),
            turns: Vec::new(),
            asleep: Vec::new(),
            openings: Vec::new(),
            back: None,
            has_closed: false,
            has_ever_closed: false,
            security_context: None,
        }
    }

    fn take(&mut self, entry: &'a Entry) -> Result<(), Unplayable> {
        match entry {
            Entry::Called { thread, call, outcome } => self.call(*thread, call, *outcome),
            Entry::Collected { outcome: Outcome::Parked, .. } => Ok(()),
            Entry::Collected { thread, outcome: Outcome::Done(result) } => {
                let place = self.asleep.iter().position(|asleep| asleep.thread == *thread);
                let Asleep { back, .. } =
                    self.asleep.remove(place.ok_or(Unplayable("a call that nobody has made"))?);
                let turn = self.turns.last_mut().ok_or(Unplayable("a call that nobody has made"))?;
                turn.woken.push(*thread);
                self.note_return(back, comes(*result)?);
                Ok(())
            }
            Entry::Signalled { thread, result: Ok(()) } => {
                self.begin(Turn::of(*thread, Deed::Signal));
                self.back = None;
                Ok(())
            }
            Entry::Signalled { .. } => Err(Unplayable("a signal for nobody")),
            Entry::Read { process, address, bytes } => {
                let bytes = bytes.as_deref().ok_or(Unplayable("memory that is not there"))?;
                self.look(*process, *address, bytes)
            }
            Entry::Descriptor { process, number, state } => {
                let turn = self.turns.last_mut().ok_or(Unplayable("a descriptor of nobody"))?;
                turn.descriptors.push((*process as u32, *number, *state));
                Ok(())
            }
            Entry::Counted { counter: Counter::Descriptors, .. } => Err(Unplayable("a count of descriptors")),
            Entry::Counted { process, counter, count } => {
                let thread = ThreadIndex { process: *process, thread: 0 };
                self.begin(Turn::of(thread, Deed::Count { counter: *counter, count: *count }));
                self.back = None;
                Ok(())
            }
            Entry::SecurityContext(context) => {
                let context = context.as_deref().ok_or(Unplayable("a process that is called nothing"))?;
                let known = self.security_context.replace(context);
                match known.is_none_or(|known| known == context) {
                    true => Ok(()),
                    false => Err(Unplayable("several security contexts")),
                }
            }
            Entry::Other(what) => Err(Unplayable(what)),
        }
    }

    /// Takes note of what has come of a call.
    fn note_return(&mut self, back: Back, came: Comes) {
        if let Some(Act::Call { comes, .. }) = self.parts[back.part].acts.get_mut(back.call) {
            *comes = came;
        }
        self.back = Some(back);
    }

    /// A new turn begins.
    fn begin(&mut self, turn: Turn) {
        self.count_openings();
        self.turns.push(turn);
    }

    /// The part in which a thread does its next call. While nobody is in a call, nobody can be woken: then it may go on with what
    /// it has just done. What sleeps, and what ends the process, has a part of its own: of a thread that does not come to the end
    /// of a part it is not seen where in it it is.
    fn part(&mut self, thread: ThreadIndex, is_apart: bool) -> usize {
        let goes_on = !is_apart
            && self.asleep.is_empty()
            && !self.has_closed
            && self.turns.last().is_some_and(|turn| {
                turn.thread == thread
                    && matches!(turn.deed, Deed::Part { returns: true, .. })
                    && turn.woken.is_empty()
                    && turn.files.is_empty()
                    && turn.descriptors.is_empty()
            })
            && !self.parts.last().is_some_and(Part::may_be_tried_again);
        if !goes_on {
            // Where it starts is known when all parts are.
            let deed = Deed::Part { start: self.parts.len() as u32, returns: true };
            self.begin(Turn::of(thread, deed));
            self.parts.push(Part { thread, acts: Vec::new() });
        }
        self.parts.len() - 1
    }

    fn call(
        &mut self,
        thread: ThreadIndex,
        call: &'a SystemCall,
        outcome: Outcome,
    ) -> Result<(), Unplayable> {
        let result = match outcome {
            Outcome::Done(result) => Some(result),
            Outcome::Parked => None,
        };
        let Some(asked) = self.asked(thread, call)? else {
            // The world says by itself what comes of it.
            self.back = None;
            return Ok(());
        };
        let part = self.part(thread, result.is_none() || *call == SystemCall::Exit);
        let mut read_from = 0;
        if let SystemCall::Ioctl { request, memory, .. } = call {
            self.put(part, *request, memory)?;
            read_from = read_consumed(thread, *request, memory);
        }
        let Asked { operation, detail, argument, address } = asked;
        let mut expected = result.map_or(Ok(Comes::Nothing), comes)?;
        if let (SystemCall::Mmap { .. }, Some(Ok(_))) = (call, result) {
            expected = Comes::Number { mask: u64::MAX, value: address };
        }
        let back = Back { part, call: self.parts[part].acts.len(), read_from };
        self.parts[part].acts.push(Act::Call { operation, detail, argument, address, comes: expected });
        let opening = self.players[thread.process].opening;
        let turn = self.turns.last_mut().expect("`part` has seen to it that there is one");
        match result {
            _ if *call == SystemCall::Exit => {
                let Deed::Part { start, .. } = turn.deed else { return Err(Unplayable("an odd end")) };
                turn.deed = Deed::Last { start };
                self.asleep.retain(|asleep| asleep.thread.process != thread.process);
                self.back = None;
            }
            None => {
                let Deed::Part { start, .. } = turn.deed else { return Err(Unplayable("an odd end")) };
                turn.deed = Deed::Part { start, returns: false };
                self.asleep.push(Asleep { thread, back, opening });
                self.back = None;
            }
            Some(_) => self.back = Some(back),
        }
        let made = match (call, result) {
            (SystemCall::Memfd { file }, Some(Ok(Answer::Descriptor(number)))) => vec![(number, *file)],
            (
                SystemCall::Pipe { reading, writing },
                Some(Ok(Answer::Pipe { reading: to_read, writing: to_write })),
            ) => vec![(to_read, *reading), (to_write, *writing)],
            _ => Vec::new(),
        };
        turn.files = made;
        self.note(thread, call, asked, result.is_some_and(|result| result.is_ok()));
        Ok(())
    }

    /// What a system call asks of an agent; `None` if the world answers it by itself.
    fn asked(&self, thread: ThreadIndex, call: &SystemCall) -> Result<Option<Asked>, Unplayable> {
        let player = &self.players[thread.process];
        let asked =
            |operation, detail, argument, address| Some(Asked { operation, detail, argument, address });
        Ok(match call {
            SystemCall::EpollWait { timeout_ms: 1.. } => return Err(Unplayable("a long wait for epoll")),
            SystemCall::Open { context, nonblock } => {
                asked(OP_OPEN, u32::from(*nonblock) | NUMBERLESS << 1, *context as u64, 0)
            }
            SystemCall::Mmap { size, at, .. } if is_too_long(*at, *size) => None,
            SystemCall::Mmap { size, write, shared, at } => {
                let free = if at.is_none() { MMAP_FREE } else { 0 };
                let how = mapping_bits(*write, *shared) | free;
                let end = mappings_of(thread.process).end;
                if at.is_none() && (*size > end || behind_mapping(player.next, *size) > end) {
                    return Err(Unplayable("a mapping that goes beyond the addresses of its process"));
                }
                asked(OP_MMAP, how, *size, at.map_or(player.next, Place::address))
            }
            SystemCall::Munmap(pages) => {
                let addresses = pages.map(|pages| pages.addresses()).or_else(|| player.mapped.last());
                addresses.and_then(|gone| asked(OP_MUNMAP, 0, gone.end - gone.start, gone.start))
            }
            SystemCall::PollDescriptor(_) if self.has_closed || self.has_ever_closed => {
                return Err(Unplayable("a file that may be closed late"));
            }
            SystemCall::PollDescriptor(number) => asked(OP_POLL_DESCRIPTOR, 0, (*number).into(), 0),
            SystemCall::Listen | SystemCall::Report => return Err(Unplayable("a report")),
            SystemCall::Dup { .. } | SystemCall::Use(_) => {
                return Err(Unplayable("another descriptor of a device"));
            }
            SystemCall::Fork { .. } => return Err(Unplayable("a process that is forked")),
            SystemCall::Unshare | SystemCall::Binderfs { .. } => return Err(Unplayable("binderfs")),
            SystemCall::SetScheduler(_) | SystemCall::GetScheduler | SystemCall::LimitNice(_) => {
                return Err(Unplayable("scheduling"));
            }
            SystemCall::DropCaches => return Err(Unplayable("memory that is reclaimed")),
            call => {
                let (operation, detail, argument) =
                    plain(call).ok_or(Unplayable("what only some worlds can do"))?;
                asked(operation, detail, argument, place_of(call))
            }
        })
    }

    /// Takes note of what a call has changed.
    fn note(&mut self, thread: ThreadIndex, call: &SystemCall, asked: Asked, has_succeeded: bool) {
        let player = &mut self.players[thread.process];
        match call {
            SystemCall::Open { .. } if has_succeeded => {
                player.opening = Some(self.openings.len());
                self.openings.push((thread.process, true));
            }
            SystemCall::Mmap { size, at, .. } => {
                let size = size.checked_next_multiple_of(PAGE).unwrap_or(u64::MAX);
                let addresses = asked.address..asked.address.saturating_add(size);
                if at.is_some() {
                    // What was there is gone, whatever the driver says.
                    player.mapped.unmap(&addresses);
                    player.has_places = true;
                    self.has_closed = true;
                }
                if let (true, Some(opening)) = (has_succeeded, player.opening) {
                    player.mapped.map(addresses, opening);
                    if at.is_none() {
                        player.next = behind_mapping(player.next, size);
                    }
                }
            }
            SystemCall::Munmap(pages) => {
                player.has_places |= pages.is_some();
                player.mapped.unmap(&(asked.address..asked.address + asked.argument));
                self.has_closed = true;
            }
            SystemCall::Close if has_succeeded => {
                if let Some(opening) = player.opening.take() {
                    self.openings[opening].1 = false;
                }
                self.has_closed = true;
            }
            SystemCall::Flush => self.has_closed = true,
            SystemCall::Exit => {
                player.mapped.clear();
                player.is_spent = true;
                let own = self.openings.iter_mut().filter(|(process, _)| *process == thread.process);
                own.for_each(|(_, is_held)| *is_held = false);
                self.has_closed = true;
            }
            SystemCall::Mprotect { .. } => player.has_places = true,
            SystemCall::SetPriority(_) => player.sets_priorities = true,
            // Among the lowest are those that agents have from the beginning.
            SystemCall::CloseDescriptor(_) | SystemCall::LimitDescriptors(_) => {
                player.is_spent |= !matches!(call, SystemCall::CloseDescriptor(FIRST_DESCRIPTOR..));
            }
            _ => {}
        }
    }

    /// Puts turns of one thread together that wake nobody. What may take a while has one of its own, whose end is awaited.
    fn join(&mut self) {
        let mut turns: Vec<Turn> = Vec::with_capacity(self.turns.len());
        for turn in std::mem::take(&mut self.turns) {
            let before = turns.last_mut().filter(|before| before.thread == turn.thread);
            if let (Deed::Part { start: second, returns: true }, Some(before)) = (turn.deed, before)
                && let Deed::Part { start: first, returns: true } = before.deed
                && before.is_bare()
                && turn.is_bare()
                && !self.parts[first as usize].may_be_tried_again()
            {
                let acts = std::mem::take(&mut self.parts[second as usize].acts);
                let part = &mut self.parts[first as usize];
                part.acts.push(Act::Yield);
                part.acts.extend(acts);
            } else {
                turns.push(turn);
            }
        }
        self.turns = turns;
    }

    /// Takes down how many devices are open after the last turn, if something has been closed in it.
    fn count_openings(&mut self) {
        if !std::mem::take(&mut self.has_closed) {
            return;
        }
        self.has_ever_closed = true;
        let is_open = |(opening, (process, is_held)): (usize, &(usize, bool))| {
            *is_held
                || self.players[*process].mapped.holds(opening)
                || self.asleep.iter().any(|asleep| asleep.opening == Some(opening))
        };
        let open = self.openings.iter().enumerate().filter(|opening| is_open(*opening)).count();
        if let Some(turn) = self.turns.last_mut() {
            turn.open = Some(open as u32);
        }
    }

    /// Has the thread put into its memory what an ioctl takes.
    fn put(&mut self, part: usize, request: u32, memory: &'a Image) -> Result<(), Unplayable> {
        let thread = self.parts[part].thread;
        let argument = Area::Argument.addresses(thread).start;
        for Piece { address, bytes, zeroes } in memory.iter() {
            self.touch(thread.process, address, bytes.len() + zeroes);
            let acts = &mut self.parts[part].acts;
            let is_about_process = matches!(request, BINDER_FREEZE | BINDER_GET_FROZEN_INFO);
            match bytes.split_first_chunk::<4>() {
                Some((pid, rest)) if is_about_process && address == argument => {
                    match self.recording.process_with(i32::from_le_bytes(*pid)) {
                        // The number may be what the script says.
                        Some(_) if spells_out(self.program, i32::from_le_bytes(*pid)) => {
                            return Err(Unplayable("a number that is also the id of a process"));
                        }
                        Some(process) => acts.push(Act::PutPid { address, process }),
                        None => acts.push(Act::Put { address, bytes: &bytes[..4] }),
                    }
                    acts.push(Act::Put { address: address + 4, bytes: rest });
                }
                _ if bytes.is_empty() => {}
                _ => acts.push(Act::Put { address, bytes }),
            }
            if zeroes > 0 {
                acts.push(Act::Clear { address: address + bytes.len() as u64, length: zeroes as u32 });
            }
        }
        Ok(())
    }

    /// Has the thread that is just back look at its memory.
    fn look(&mut self, process: usize, address: u64, bytes: &'a [u8]) -> Result<(), Unplayable> {
        let back = self.back.ok_or(Unplayable("memory of who is in no call"))?;
        let part = &mut self.parts[back.part];
        if part.thread.process != process {
            return Err(Unplayable("memory of who is in no call"));
        }
        let thread = part.thread;
        let is_about_process = matches!(
            part.acts.get(back.call),
            Some(Act::Call { operation: OP_IOCTL, detail: BINDER_FREEZE | BINDER_GET_FROZEN_INFO, .. })
        );
        let is_error = matches!(
            part.acts.get(back.call),
            Some(Act::Call { operation: OP_IOCTL, detail: BINDER_GET_EXTENDED_ERROR, .. })
        );
        if address == Area::Returns.addresses(thread).start {
            self.recording.look_at_returns(address, bytes, back.read_from as usize, &mut part.acts);
        } else if is_error && bytes.len() == size_of::<ExtendedError>() && bytes[..4] != [0; 4] {
            part.acts.push(Act::LookForNumber { address });
            part.acts.push(Act::Look { address: address + 4, bytes: &bytes[4..] });
        } else if is_about_process
            && let Some((pid, rest)) = bytes.split_first_chunk::<4>()
            && let Some(process) = self.recording.process_with(i32::from_le_bytes(*pid))
        {
            part.acts.push(Act::LookForPid { address, process });
            part.acts.push(Act::Look { address: address + 4, bytes: rest });
        } else if !bytes.is_empty() {
            part.acts.push(Act::Look { address, bytes });
        }
        self.touch(process, address, bytes.len());
        Ok(())
    }

    fn touch(&mut self, process: usize, address: u64, length: usize) {
        if arenas_of(process).contains(&address) {
            self.players[process].touched.push((address, length as u32));
        }
    }

    fn tape(self) -> Vec<u8> {
        let mut parts: Vec<Vec<u8>> = vec![Vec::new(); self.players.len()];
        let mut starts = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let of_process = &mut parts[part.thread.process];
            starts.push(of_process.len() as u32);
            if part.acts.is_empty() {
                continue;
            }
            for act in part.acts.iter().chain([&Act::Stop]) {
                let taken = postcard::to_extend(act, std::mem::take(of_process));
                *of_process = taken.expect("an act is plain data, and memory takes whatever it is given");
            }
        }
        let mut turns = self.turns;
        for turn in &mut turns {
            if let Deed::Part { start, .. } | Deed::Last { start } = &mut turn.deed {
                *start = starts[*start as usize];
            }
        }
        let roles = self.recording.processes.iter().zip(self.players).zip(&parts).enumerate();
        let roles = roles.map(|(process, ((specification, mut player), parts))| {
            player.touched.sort_unstable();
            player.touched.dedup();
            Role {
                uid: specification.uid,
                threads: specification.threads.len() as u32,
                parts,
                touched: player.touched,
                mapped: player.next - mappings_of(process).start,
                has_places: player.has_places,
                sets_priorities: player.sets_priorities,
                is_spent: player.is_spent,
            }
        });
        let tape = Tape {
            driver: self.program.driver,
            requires: self.program.requires.clone(),
            without: self.program.without.clone(),
            security_context: self.security_context,
            roles: roles.collect(),
            turns,
        };
        tape.written()
    }
}

impl Recording {
    /// The index of the process that has an id.
    fn process_with(&self, pid: i32) -> Option<u32> {
        self.pids.iter().position(|known| *known == pid).map(|process| process as u32)
    }

    /// What there must be where a driver has written returns, from this place on: these bytes, but for ids of processes.
    fn look_at_returns<'a>(&self, address: u64, bytes: &'a [u8], start: usize, acts: &mut Vec<Act<'a>>) {
        let mut looked = 0;
        let mut look = |until: usize, acts: &mut Vec<Act<'a>>| {
            if looked < until {
                acts.push(Act::Look { address: address + looked as u64, bytes: &bytes[looked..until] });
            }
            looked = until + size_of::<i32>();
        };
        let mut place = start;
        while let Some((code, _)) = bytes.get(place..).and_then(|rest| rest.split_first_chunk::<4>()) {
            let code = u32::from_le_bytes(*code);
            place += size_of::<u32>();
            if matches!(code, BR_TRANSACTION | BR_TRANSACTION_SEC_CTX | BR_REPLY) {
                let at = place + std::mem::offset_of!(TransactionData, sender_pid);
                let pid = bytes.get(at..).and_then(|rest| rest.split_first_chunk::<4>());
                if let Some(process) = pid.and_then(|(pid, _)| self.process_with(i32::from_le_bytes(*pid))) {
                    look(at, acts);
                    acts.push(Act::LookForPid { address: address + at as u64, process });
                }
            }
            place += argument_size(code);
        }
        look(bytes.len(), acts);
    }
}

/// Whether a script has a number in it.
fn spells_out(program: &Program, number: i32) -> bool {
    let number = number.to_string();
    print(program).split(|c: char| !c.is_ascii_digit()).any(|word| word == number)
}

/// Where the driver begins to write returns, as it is told by what is in memory before an ioctl, in bytes.
fn read_consumed(thread: ThreadIndex, request: u32, memory: &Image) -> u64 {
    let address = Area::Argument.addresses(thread).start;
    let argument = memory.iter().find(|piece| request == BINDER_WRITE_READ && piece.address == address);
    let told = argument.and_then(|piece| WriteRead::read_from_bytes(piece.bytes).ok());
    told.map_or(0, |told| told.read_consumed)
}

/// What must come of a call that has returned this.
fn comes(result: Result<Answer, reference_driver::uapi::Errno>) -> Result<Comes, Unplayable> {
    Ok(match result {
        Err(errno) => Comes::Errno(u16::try_from(errno.0).map_err(|_| Unplayable("an odd errno"))?),
        Ok(Answer::Success) => Comes::SUCCESS,
        Ok(Answer::Events(events)) => Comes::Number { mask: ALL_EVENTS, value: events_number(events) },
        Ok(Answer::Nice(nice)) => Comes::Number { mask: u64::MAX, value: (20 - nice) as u64 },
        Ok(Answer::Descriptor(number)) => Comes::Number { mask: u64::MAX, value: number.into() },
        Ok(Answer::Pipe { reading, writing }) => {
            Comes::Number { mask: u64::MAX, value: u64::from(reading) | u64::from(writing) << 32 }
        }
        Ok(Answer::Number(_)) => return Err(Unplayable("binderfs")),
        Ok(Answer::Scheduling(_)) => return Err(Unplayable("scheduling")),
        Ok(Answer::Report(_)) => return Err(Unplayable("a report")),
    })
}

/// The bits of what a poll finds that are told.
const ALL_EVENTS: u64 =
    (nix::libc::POLLIN | nix::libc::POLLERR | nix::libc::POLLHUP | nix::libc::POLLNVAL) as u64;

pub(super) fn events_number(PollEvents { readable, error, hangup, invalid }: PollEvents) -> u64 {
    let bits = [
        (readable, nix::libc::POLLIN),
        (error, nix::libc::POLLERR),
        (hangup, nix::libc::POLLHUP),
        (invalid, nix::libc::POLLNVAL),
    ];
    bits.into_iter().filter(|(is_set, _)| *is_set).map(|(_, bit)| bit as u64).sum()
}

/// The address of the pages that a call is about that names them.
fn place_of(call: &SystemCall) -> u64 {
    match call {
        SystemCall::Mprotect { pages, .. } => pages.place().address(),
        _ => 0,
    }
}
