//! What a BINDER_WRITE_READ came back with, read from the memory of its process.

use reference_driver::uapi::{BR_NOOP, BR_SPAWN_LOOPER, Errno, WriteRead};
use smallvec::SmallVec;
use zerocopy::{FromZeros, IntoBytes};

use super::decode::{Return, decode};
use super::objects::ArrivedObject;
use crate::program::PAGE;
use crate::target::{Answer, Area, TargetError, ThreadIndex, World};

/// The longest payload that is looked at, in bytes: more than any mapping of the device.
const LONGEST_PAYLOAD: u64 = 0x100_0000;
/// The longest security context that is looked at, in bytes.
const LONGEST_SECURITY_CONTEXT: u64 = 0x1000;
/// So many bytes of one are looked at together: most are shorter.
const PIECE_OF_STRING: usize = 64;

/// A BINDER_WRITE_READ that has returned.
#[derive(Debug, Clone)]
pub(super) struct Finished {
    pub(super) errno: Option<Errno>,
    pub(super) write_consumed: u64,
    pub(super) read_consumed: u64,
    /// The returns, without the BR_NOOP that opens them.
    pub(super) returns: Vec<Return>,
    /// Why the rest of what was read is no list of returns as it must be.
    pub(super) malformed: Option<String>,
}

/// Reads what a thread's BINDER_WRITE_READ, which was given this argument, came back with.
pub(super) fn finish(
    world: &mut dyn World,
    thread: ThreadIndex,
    given: &WriteRead,
    result: Result<Answer, Errno>,
) -> Result<Finished, TargetError> {
    let address = Area::Argument.addresses(thread).start;
    let mut argument = WriteRead::new_zeroed();
    if !world.look_at_memory(thread.process, address, argument.as_mut_bytes())? {
        return Err(TargetError::Failed(
            "the target lost the memory that holds the argument of an ioctl".to_owned(),
        ));
    }
    let mut finished = Finished {
        errno: result.err(),
        write_consumed: argument.write_consumed,
        read_consumed: argument.read_consumed,
        returns: Vec::new(),
        malformed: None,
    };
    match stream(world, thread, given, &finished)? {
        Ok(stream) => finished.take(stream),
        Err(malformed) => finished.malformed = Some(malformed),
    }
    for came in &mut finished.returns {
        fetch(world, thread.process, came)?;
    }
    Ok(finished)
}

/// What the driver wrote into a read buffer.
struct Stream {
    /// From the start of the read buffer.
    bytes: SmallVec<[u8; 512]>,
    /// Where the driver was told to begin. What lies before is not its own.
    begins: usize,
    /// Whether it must begin with BR_NOOP or BR_SPAWN_LOOPER.
    opens: bool,
}

/// What the driver wrote into the read buffer; else, in words, why there can be no such thing.
fn stream(
    world: &mut dyn World,
    thread: ThreadIndex,
    given: &WriteRead,
    finished: &Finished,
) -> Result<Result<Stream, String>, TargetError> {
    let (start, end) = (given.read_consumed, finished.read_consumed);
    let nothing = Stream { bytes: SmallVec::new(), begins: 0, opens: false };
    if given.read_size == 0 {
        return Ok(match start == end {
            true => Ok(nothing),
            false => Err(format!("nothing was to be read, and yet read_consumed went from {start} to {end}")),
        });
    }
    if finished.errno.is_some() && end <= start {
        return Ok(Ok(nothing));
    }
    if end < start {
        return Ok(Err(format!("read_consumed went back from {start} to {end}")));
    }
    let room = Area::Returns.addresses(thread);
    let outside = || format!("read_consumed is {end}, and the read buffer has no such bytes");
    if given.read_buffer != room.start || end > Area::Returns.size() {
        return Ok(if end == start { Ok(nothing) } else { Err(outside()) });
    }
    let mut bytes = SmallVec::from_elem(0, end as usize);
    Ok(match world.look_at_memory(thread.process, room.start, &mut bytes)? {
        false => Err(outside()),
        true => {
            let opens = start == 0 && finished.errno.is_none();
            Ok(Stream { bytes, begins: start as usize, opens })
        }
    })
}

impl Finished {
    fn take(&mut self, stream: Stream) {
        let (before, bytes) = stream.bytes.split_at(stream.begins);
        let opening = before.is_empty().then_some(BR_NOOP.to_le_bytes());
        let behind = opening.and_then(|opening| bytes.strip_prefix(&opening));
        let (returns, error) = match behind {
            Some(behind) => decode(behind, opening.map_or(0, |opening| opening.len())),
            None => decode(bytes, before.len()),
        };
        self.returns = returns;
        self.malformed = error.map(|error| error.to_string());
        match self.returns.first() {
            _ if behind.is_some() => {}
            // It takes the place of the BR_NOOP and is part of what a script says.
            Some(Return::SpawnLooper) if before.is_empty() => {}
            _ if stream.opens && self.malformed.is_none() => {
                self.malformed = Some("the read does not open with BR_NOOP".to_owned());
            }
            _ => {}
        }
        if before.starts_with(&BR_SPAWN_LOOPER.to_le_bytes()) {
            // The driver puts it at the very start, wherever it was told to begin.
            self.returns.insert(0, Return::SpawnLooper);
        } else if let Some(at) = before.iter().position(|byte| *byte != 0) {
            self.malformed =
                Some(format!("the driver wrote at byte {at}, before where it was told to begin"));
        }
    }
}

/// Reads the payload of what arrived.
fn fetch(world: &mut dyn World, process: usize, came: &mut Return) -> Result<(), TargetError> {
    if let Return::TransactionSecCtx { address, secctx, .. } = came {
        *secctx = string_at(world, process, *address)?;
    }
    let Some(received) = came.received_mut() else { return Ok(()) };
    let header = received.header;
    received.data = bytes_at(world, process, header.buffer, header.data_size)?;
    received.offsets = bytes_at(world, process, header.offsets, header.offsets_size)?;
    let objects: Vec<_> = received.objects().collect();
    for (_, offset, object) in &objects {
        if let ArrivedObject::Buffer(buffer) = object
            && let Some(bytes) = bytes_at(world, process, buffer.buffer, buffer.length)?
        {
            received.buffers.insert(*offset, bytes);
        }
    }
    for (_, _, object) in &objects {
        let numbers = match object {
            ArrivedObject::Fd(object) => vec![object.fd],
            ArrivedObject::FdArray(array) => {
                received.numbers(array).into_iter().map(|(_, number)| number).collect()
            }
            ArrivedObject::Flat(_) | ArrivedObject::Buffer(_) => continue,
        };
        for number in numbers {
            if let Some(state) = world.descriptor(process, number)? {
                received.descriptors.insert(number, state);
            }
        }
    }
    Ok(())
}

fn bytes_at(
    world: &mut dyn World,
    process: usize,
    address: u64,
    length: u64,
) -> Result<Option<Vec<u8>>, TargetError> {
    match length {
        0 => Ok(Some(Vec::new())),
        1..=LONGEST_PAYLOAD => world.read_memory(process, address, length as usize),
        _ => Ok(None),
    }
}

/// The NUL-terminated string at an address, without its NUL.
fn string_at(world: &mut dyn World, process: usize, address: u64) -> Result<Option<Vec<u8>>, TargetError> {
    let mut string = Vec::new();
    while (string.len() as u64) < LONGEST_SECURITY_CONTEXT {
        let next = address.wrapping_add(string.len() as u64);
        // All of a page can be read, or nothing of it.
        let length = PIECE_OF_STRING.min((PAGE - next % PAGE) as usize);
        let bytes = &mut [0; PIECE_OF_STRING][..length];
        if !world.look_at_memory(process, next, bytes)? {
            return Ok(None);
        }
        match bytes.iter().position(|byte| *byte == 0) {
            Some(end) => {
                string.extend_from_slice(&bytes[..end]);
                return Ok(Some(string));
            }
            None => string.extend_from_slice(bytes),
        }
    }
    Ok(None)
}
