//! A world whose driver answers as it is told, and remembers what it was asked.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use reference_driver::uapi::*;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::program::{Counter, DriverKind, Feature};
use crate::target::{
    Answer, Closing, DescriptorState, Image, Outcome, Piece, ProcessSpecification, SystemCall, TargetError,
    ThreadIndex, World, Worlds,
};

/// Where the fake driver puts what a process receives.
pub(super) const MAPPING: u64 = 0x7000_0000_0000;

/// What the driver does when it is next called with BINDER_WRITE_READ.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) errno: Option<Errno>,
    pub(super) parks: bool,
    /// All, without a word.
    pub(super) write_consumed: Option<u64>,
    /// What is put into the read buffer.
    pub(super) returns: Vec<u8>,
    /// What is put into the receiver's mapping first, and how far into it.
    pub(super) mapped: Vec<(u64, Vec<u8>)>,
    /// Threads whose parked reads end, with what is put into their read buffers.
    pub(super) wakes: Vec<(ThreadIndex, Vec<u8>)>,
}

impl Reply {
    /// Everything is written, and this is read.
    pub(super) fn returns(returns: Vec<u8>) -> Reply {
        Reply { returns, ..Reply::default() }
    }

    /// Everything is written, and nothing was to be read.
    pub(super) fn written() -> Reply {
        Reply::default()
    }

    pub(super) fn parks() -> Reply {
        Reply { parks: true, ..Reply::default() }
    }

    pub(super) fn fails(errno: Errno, write_consumed: u64) -> Reply {
        Reply { errno: Some(errno), write_consumed: Some(write_consumed), ..Reply::default() }
    }

    pub(super) fn mapped(mut self, offset: u64, bytes: Vec<u8>) -> Reply {
        self.mapped.push((offset, bytes));
        self
    }

    pub(super) fn wakes(mut self, thread: ThreadIndex, returns: Vec<u8>) -> Reply {
        self.wakes.push((thread, returns));
        self
    }
}

/// Returns as a driver writes them, behind the BR_NOOP that opens them.
pub(super) fn noop_and(returns: &[Vec<u8>]) -> Vec<u8> {
    let mut stream = BR_NOOP.to_le_bytes().to_vec();
    stream.extend(returns.concat());
    stream
}

/// A return without an argument.
pub(super) fn plain(code: u32) -> Vec<u8> {
    code.to_le_bytes().to_vec()
}

/// A return with its argument.
pub(super) fn with<T: IntoBytes + Immutable>(code: u32, argument: T) -> Vec<u8> {
    [code.as_bytes(), argument.as_bytes()].concat()
}

/// Worlds of which there is one.
pub(super) struct FakeWorlds {
    replies: Option<VecDeque<Reply>>,
    /// What opening a world fails with.
    pub(super) refuses: Option<TargetError>,
    /// What the device's first `open` fails with.
    pub(super) open_fails: Option<Errno>,
    /// What is wrong when the world is closed.
    pub(super) closing: Closing,
    /// The ioctls that were done, with what was put into memory for them.
    pub(super) ioctls: Rc<RefCell<Vec<Ioctl>>>,
}

/// An ioctl as the driver saw it.
#[derive(Debug, Clone)]
pub(super) struct Ioctl {
    pub(super) request: u32,
    pub(super) argument: u64,
    pub(super) memory: Image,
}

impl FakeWorlds {
    pub(super) fn new(replies: Vec<Reply>) -> FakeWorlds {
        FakeWorlds {
            replies: Some(replies.into()),
            refuses: None,
            open_fails: None,
            closing: Closing::default(),
            ioctls: Rc::default(),
        }
    }
}

impl Worlds for FakeWorlds {
    fn name(&self) -> String {
        "fake".to_owned()
    }

    fn driver(&self) -> Option<String> {
        None
    }

    fn kind(&self) -> DriverKind {
        DriverKind::C
    }

    fn lacks(&self, feature: Feature) -> Option<String> {
        (feature == Feature::Lsm).then(|| "the fake has no security module".to_owned())
    }

    fn world(&mut self, _: &[ProcessSpecification]) -> Result<Box<dyn World + '_>, TargetError> {
        if let Some(error) = self.refuses.take() {
            return Err(error);
        }
        Ok(Box::new(FakeWorld {
            replies: self.replies.take().expect("one world for each test"),
            memory: BTreeMap::new(),
            parked: BTreeMap::new(),
            returned: BTreeMap::new(),
            open_fails: self.open_fails,
            closing: self.closing.clone(),
            ioctls: Rc::clone(&self.ioctls),
        }))
    }
}

struct FakeWorld {
    replies: VecDeque<Reply>,
    memory: BTreeMap<(usize, u64), u8>,
    /// Threads that sleep, and the addresses of their arguments.
    parked: BTreeMap<ThreadIndex, u64>,
    returned: BTreeMap<ThreadIndex, Result<Answer, Errno>>,
    open_fails: Option<Errno>,
    closing: Closing,
    ioctls: Rc<RefCell<Vec<Ioctl>>>,
}

impl FakeWorld {
    fn write(&mut self, process: usize, address: u64, bytes: &[u8]) {
        let places = (address..).zip(bytes).map(|(address, byte)| ((process, address), *byte));
        self.memory.extend(places);
    }

    fn read(&self, process: usize, address: u64, length: usize) -> Option<Vec<u8>> {
        let end = address.checked_add(length as u64)?;
        (address..end).map(|address| self.memory.get(&(process, address)).copied()).collect()
    }

    /// Ends a BINDER_WRITE_READ whose argument is here.
    fn finish(&mut self, thread: ThreadIndex, argument: u64, consumed: Option<u64>, returns: &[u8]) {
        let bytes = self.read(thread.process, argument, size_of::<WriteRead>()).expect("an argument");
        let mut write_read = WriteRead::read_from_bytes(&bytes).expect("an argument");
        write_read.write_consumed = consumed.unwrap_or(write_read.write_size);
        let at = write_read.read_buffer + write_read.read_consumed;
        write_read.read_consumed += returns.len() as u64;
        self.write(thread.process, at, returns);
        self.write(thread.process, argument, write_read.as_bytes());
    }

    fn write_read(&mut self, thread: ThreadIndex, argument: u64) -> Outcome {
        let reply = self.replies.pop_front().expect("a reply for every BINDER_WRITE_READ of the test");
        for (offset, bytes) in &reply.mapped {
            self.write(thread.process, MAPPING + offset, bytes);
        }
        for (woken, returns) in &reply.wakes {
            let argument = self.parked.remove(woken).expect("a thread that is parked");
            for (offset, bytes) in &reply.mapped {
                self.write(woken.process, MAPPING + offset, bytes);
            }
            self.finish(*woken, argument, None, returns);
            self.returned.insert(*woken, Ok(Answer::Success));
        }
        if reply.parks {
            self.parked.insert(thread, argument);
            return Outcome::Parked;
        }
        self.finish(thread, argument, reply.write_consumed, &reply.returns);
        Outcome::Done(reply.errno.map_or(Ok(Answer::Success), Err))
    }
}

impl World for FakeWorld {
    fn call(&mut self, thread: ThreadIndex, call: SystemCall) -> Result<Outcome, TargetError> {
        assert!(!self.parked.contains_key(&thread), "a parked thread was made to do something");
        Ok(match call {
            SystemCall::Ioctl { request, argument, memory } => {
                for Piece { address, bytes, zeroes } in memory.iter() {
                    self.write(thread.process, address, &[bytes, &vec![0; zeroes]].concat());
                }
                self.ioctls.borrow_mut().push(Ioctl { request, argument, memory });
                match request {
                    BINDER_WRITE_READ => self.write_read(thread, argument),
                    BINDER_VERSION => {
                        self.write(thread.process, argument, &8_i32.to_le_bytes());
                        Outcome::Done(Ok(Answer::Success))
                    }
                    BINDER_SET_IDLE_TIMEOUT => Outcome::Done(Err(Errno::EINVAL)),
                    _ => Outcome::Done(Ok(Answer::Success)),
                }
            }
            SystemCall::Open { .. } => Outcome::Done(self.open_fails.map_or(Ok(Answer::Success), Err)),
            SystemCall::Poll { .. } => Outcome::Done(Ok(Answer::Events(Default::default()))),
            SystemCall::Exit => {
                self.parked.retain(|parked, _| parked.process != thread.process);
                Outcome::Done(Ok(Answer::Success))
            }
            _ => Outcome::Done(Ok(Answer::Success)),
        })
    }

    fn collect(&mut self, thread: ThreadIndex) -> Result<Outcome, TargetError> {
        assert!(self.parked.contains_key(&thread) || self.returned.contains_key(&thread));
        Ok(self.returned.remove(&thread).map_or(Outcome::Parked, Outcome::Done))
    }

    fn expire(&mut self, thread: ThreadIndex) -> Result<Outcome, TargetError> {
        self.collect(thread)
    }

    fn read_memory(
        &mut self,
        process: usize,
        address: u64,
        length: usize,
    ) -> Result<Option<Vec<u8>>, TargetError> {
        Ok(self.read(process, address, length))
    }

    fn descriptor(&mut self, _: usize, _: u32) -> Result<Option<DescriptorState>, TargetError> {
        Ok(None)
    }

    fn signal(&mut self, _: ThreadIndex) -> Result<Result<(), Errno>, TargetError> {
        Ok(Ok(()))
    }

    fn security_context(&mut self, _: usize) -> Result<Option<Vec<u8>>, TargetError> {
        Ok(None)
    }

    fn pid(&self, process: usize) -> i32 {
        100 + process as i32
    }

    fn count(&mut self, _: usize, counter: Counter) -> Result<u64, TargetError> {
        match counter {
            Counter::Nodes => Ok(3),
            _ => Err(TargetError::Unsupported(format!("the fake does not count {counter}"))),
        }
    }

    fn close(self: Box<Self>) -> Result<Closing, TargetError> {
        Ok(self.closing)
    }
}
