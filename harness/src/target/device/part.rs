//! Parts: what a thread of an agent does by itself when a [tape](crate::target::tape) is played.
//!
//! The agent has been given them before, with the ids of the processes of the program. The thread does little there that
//! costs a system call but those of the program: it wakes whose turn is next, and lets others go before it.

use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;

use super::agent::Agent;
use super::message::Request;
use super::relay::Relay;
use crate::program::PLACES;
use crate::target::tape::{Act, Acts};
use crate::target::{Area, ThreadIndex, mappings_of};

/// What an agent plays.
#[derive(Debug)]
pub(super) struct Lines {
    /// The ids of the processes of the program.
    pub(super) pids: Vec<i32>,
    /// The parts of its threads, one behind the other.
    pub(super) parts: Vec<u8>,
    /// Whose turn it is.
    pub(super) relay: Arc<Relay>,
}

/// How often it is tried to become the manager of a context, and how long is waited in between.
const MOST_TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_micros(200);

/// That something else has come than what is on the tape.
const OTHERWISE: Errno = Errno::EILSEQ;
/// That there is no tape.
const MALFORMED: Errno = Errno::EBADMSG;

/// Plays the part that begins at this place of the process' parts.
pub(super) fn play(agent: &Agent, start: u64, thread: usize) -> nix::Result<i64> {
    let lines = agent.lines().ok_or(MALFORMED)?;
    let pid = |process: u32| {
        let pid = lines.pids.get(process as usize).ok_or(MALFORMED)?;
        Ok::<[u8; 4], Errno>(pid.to_ne_bytes())
    };
    let own = agent.thread(thread);
    let mut acts = Acts::at(&lines.parts, start as usize).map_err(|_| MALFORMED)?;
    loop {
        let act = acts.take().map_err(|_| MALFORMED)?;
        let is_as_expected = match act {
            Act::Put { address, bytes } => put(own, address, bytes)?,
            Act::Clear { address, length } => clear(own, address, length as usize)?,
            Act::PutPid { address, process } => put(own, address, &pid(process)?)?,
            Act::Call { operation, detail, argument, address, comes } => {
                let request = Request { operation, detail, argument, address, begin: 0 };
                let tries = if act.may_be_tried_again() { MOST_TRIES } else { 1 };
                let result = carried_out(agent, request, thread, tries);
                comes.is(result.unwrap_or_else(|errno| -i64::from(errno as i32)))
            }
            Act::Look { address, bytes } => is_in_memory(own, address, bytes)?,
            Act::LookForPid { address, process } => is_in_memory(own, address, &pid(process)?)?,
            Act::LookForNumber { address } => !is_in_memory(own, address, &[0; 4])?,
            Act::Yield => {
                // Those who have been woken go first, and then whom they have woken.
                (0..2).for_each(|_| std::thread::yield_now());
                true
            }
            Act::Stop => {
                lines.relay.pass_on(agent.desk(thread), start as u32);
                return Ok(0);
            }
        };
        if !is_as_expected {
            return Err(OTHERWISE);
        }
    }
}

/// Does a system call, at most so often if it is EBUSY.
fn carried_out(agent: &Agent, request: Request, thread: usize, tries: u32) -> nix::Result<i64> {
    for _ in 1..tries {
        match agent.carry_out(request, thread) {
            Err(Errno::EBUSY) => std::thread::sleep(PAUSE),
            result => return result,
        }
    }
    agent.carry_out(request, thread)
}

/// Puts bytes into the arena of a thread.
fn put(thread: ThreadIndex, address: u64, bytes: &[u8]) -> nix::Result<bool> {
    if !is_in_arena(thread, address, bytes.len()) {
        return Err(MALFORMED);
    }
    // SAFETY: all of it is mapped, and nothing but parts of this thread refers to it while it plays.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), address as *mut u8, bytes.len()) };
    Ok(true)
}

/// Puts zeroes into the arena of a thread.
fn clear(thread: ThreadIndex, address: u64, length: usize) -> nix::Result<bool> {
    if !is_in_arena(thread, address, length) {
        return Err(MALFORMED);
    }
    // SAFETY: as of `put`.
    unsafe { (address as *mut u8).write_bytes(0, length) };
    Ok(true)
}

/// Whether these bytes are in the arena of a thread, or in the device's mappings. Where there is no mapping, this is the end of
/// the process, which is something else than what is on the tape.
fn is_in_memory(thread: ThreadIndex, address: u64, bytes: &[u8]) -> nix::Result<bool> {
    let length = bytes.len();
    let is_mapping = [mappings_of(thread.process), PLACES]
        .iter()
        .any(|places| places.contains(&address) && length as u64 <= places.end - address);
    if !is_mapping && !is_in_arena(thread, address, length) {
        return Err(MALFORMED);
    }
    // SAFETY: arenas are mapped for as long as the process lives. Of a mapping of the device nothing is taken away while the
    // script's own thread looks at what has come; if it is, nobody goes on from there.
    Ok(unsafe { std::slice::from_raw_parts(address as *const u8, length) } == bytes)
}

/// Whether so many bytes from an address on lie in one area of a thread's arena.
fn is_in_arena(thread: ThreadIndex, address: u64, length: usize) -> bool {
    Area::ALL.iter().any(|area| {
        let addresses = area.addresses(thread);
        addresses.contains(&address) && length as u64 <= addresses.end - address
    })
}
