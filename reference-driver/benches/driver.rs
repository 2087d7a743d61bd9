//! What the reference driver costs: a round trip, and how its operations grow with what is alive.
//!
//! Prints what it measured, the best of several rounds, and the ratios between figures of this one run.

use std::hint::black_box;
use std::time::{Duration, Instant};

use reference_driver::uapi::*;
use reference_driver::{
    Caller, Completion, DescriptorTable, Device, Driver, Fault, OpenFile, Profile, UserMemory,
};
use zerocopy::{FromBytes, IntoBytes};

const ROUNDS: usize = 15;

fn main() {
    let trip = best(|| RoundTrip::new().measure(20_000));
    println!("an empty call and its reply, all ioctls of both sides: {:.0} ns", nanoseconds(trip));
    println!("  (to be at most 1000 ns; a real kernel takes some 17000 ns)");
    println!();
    println!("{:<44} {:>12} {:>12} {:>8}", "operation, with so much else alive", "10", "100000", "ratio");
    for (what, measure) in [
        ("a call and its reply, among nodes and refs", calls_among_nodes as fn(usize) -> Duration),
        ("a new object sent, and given up again", objects_among_nodes),
        ("BC_ACQUIRE and BC_RELEASE of a handle", counts_among_handles),
        ("a buffer taken and freed, among buffers", buffers_among_buffers),
        ("a oneway message behind others, freed", oneway_among_buffers),
    ] {
        let (few, many) = (best(|| measure(10)), best(|| measure(100_000)));
        let ratio = nanoseconds(many) / nanoseconds(few);
        println!("{what:<44} {:>9.0} ns {:>9.0} ns {ratio:>8.2}", nanoseconds(few), nanoseconds(many));
    }
    println!("  (a ratio is to be at most 2)");
}

fn best(mut measure: impl FnMut() -> Duration) -> Duration {
    (0..ROUNDS).map(|_| measure()).min().unwrap_or_default()
}

fn nanoseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e9
}

/// The time of one of so many repetitions.
fn per(repetitions: u32, mut operation: impl FnMut()) -> Duration {
    for _ in 0..repetitions / 10 {
        operation();
    }
    let start = Instant::now();
    for _ in 0..repetitions {
        operation();
    }
    start.elapsed() / repetitions
}

/// The memory of a process: one piece from address 0x1000 on.
struct Memory(Vec<u8>, i32);

impl Memory {
    fn range(&self, address: u64, length: usize) -> Result<std::ops::Range<usize>, Fault> {
        let start = (address as usize).checked_sub(0x1000).ok_or(Fault)?;
        let end = start.checked_add(length).filter(|end| *end <= self.0.len()).ok_or(Fault)?;
        Ok(start..end)
    }
}

impl UserMemory for Memory {
    fn pid(&self) -> i32 {
        self.1
    }

    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        let range = self.range(address, bytes.len())?;
        bytes.copy_from_slice(&self.0[range]);
        Ok(())
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Fault> {
        let range = self.range(address, bytes.len())?;
        self.0[range].copy_from_slice(bytes);
        Ok(())
    }
}

/// Nobody sends descriptors here.
impl DescriptorTable for Memory {
    fn file(&self, _: u32) -> Option<OpenFile> {
        None
    }

    fn install(&mut self, _: OpenFile) -> Result<u32, Errno> {
        Err(Errno::EMFILE)
    }

    fn close(&mut self, _: u32) {}
}

const ARGUMENT: u64 = 0x1000;
const COMMANDS: u64 = 0x2000;
const RETURNS: u64 = 0x8000;
const DATA: u64 = 0x9000;
const OFFSETS: u64 = 0xa000;

/// A process with one thread.
struct Party {
    device: Device,
    caller: Caller,
    memory: Memory,
    commands: Vec<u8>,
}

impl Party {
    fn new(driver: &mut Driver, pid: i32) -> Party {
        let caller = Caller { pid, tid: pid, euid: 0 };
        let device = driver.open(caller, 0, false).unwrap();
        driver.mmap(device, caller, 0x7000_0000_0000, 4 << 20, false).unwrap();
        Party { device, caller, memory: Memory(vec![0; 0xa000], caller.pid), commands: Vec::new() }
    }

    fn command(&mut self, code: u32, argument: &[u8]) -> &mut Self {
        self.commands.extend_from_slice(code.as_bytes());
        self.commands.extend_from_slice(argument);
        self
    }

    /// Writes the commands, and reads if told to.
    fn write_read(&mut self, driver: &mut Driver, read_size: u64) -> Completion {
        let request = WriteRead {
            write_size: self.commands.len() as u64,
            write_buffer: COMMANDS,
            read_size,
            read_buffer: RETURNS,
            ..WriteRead::default()
        };
        self.memory.write(ARGUMENT, request.as_bytes()).unwrap();
        self.memory.write(COMMANDS, &self.commands).unwrap();
        self.commands.clear();
        driver.ioctl(self.device, self.caller, BINDER_WRITE_READ, ARGUMENT, &mut self.memory)
    }

    fn resume(&mut self, driver: &mut Driver) -> Completion {
        driver.resume(self.device, self.caller.tid, &mut self.memory)
    }

    /// The last transaction or reply that was read.
    fn received(&self) -> TransactionData {
        let range = self.memory.range(ARGUMENT, size_of::<WriteRead>()).unwrap();
        let request = WriteRead::read_from_bytes(&self.memory.0[range]).unwrap();
        let size = size_of::<TransactionData>() as u64;
        let range = self.memory.range(RETURNS + request.read_consumed - size, size as usize).unwrap();
        TransactionData::read_from_bytes(&self.memory.0[range]).unwrap()
    }
}

/// A client and the context manager.
struct RoundTrip {
    driver: Driver,
    server: Party,
    client: Party,
}

const DONE: Completion = Completion::Done(Ok(()));

impl RoundTrip {
    fn new() -> RoundTrip {
        let mut driver = Driver::new(Profile::default(), 1);
        let mut server = Party::new(&mut driver, 1);
        let mut client = Party::new(&mut driver, 2);
        let managed =
            driver.ioctl(server.device, server.caller, BINDER_SET_CONTEXT_MGR, 0, &mut server.memory);
        assert_eq!(managed, DONE);
        assert_eq!(server.command(BC_ENTER_LOOPER, &[]).write_read(&mut driver, 0), DONE);
        // A thread's first ioctl never sleeps, so let it be this.
        assert_eq!(client.write_read(&mut driver, 0), DONE);
        let mut trip = RoundTrip { driver, server, client };
        assert_eq!(trip.server.write_read(&mut trip.driver, 256), Completion::Parked);
        trip
    }

    /// One empty call, its reply, and both buffers freed: the five ioctls that it takes.
    fn call(&mut self, data: TransactionData, keep: bool) {
        let driver = &mut self.driver;
        let called = self.client.command(BC_TRANSACTION, data.as_bytes()).write_read(driver, 256);
        assert_eq!(called, Completion::Parked);
        assert_eq!(driver.take_woken().len(), 1);
        assert_eq!(self.server.resume(driver), DONE);
        let call = self.server.received();
        if !keep {
            self.server.command(BC_FREE_BUFFER, call.buffer.as_bytes());
        }
        self.server.command(BC_REPLY, TransactionData::default().as_bytes());
        // BR_TRANSACTION_COMPLETE is there at once; then the server sleeps until the next call.
        assert_eq!(self.server.write_read(driver, 256), DONE);
        assert_eq!(driver.take_woken().len(), 1);
        assert_eq!(self.client.resume(driver), DONE);
        let reply = self.client.received();
        assert_eq!(self.server.write_read(driver, 256), Completion::Parked);
        assert_eq!(self.client.command(BC_FREE_BUFFER, reply.buffer.as_bytes()).write_read(driver, 0), DONE);
        black_box(reply);
    }

    fn measure(&mut self, repetitions: u32) -> Duration {
        per(repetitions, || self.call(TransactionData::default(), false))
    }

    /// Sends an object of the client. The server keeps it, or gives it up with the buffer.
    fn send_object(&mut self, pointer: u64, keep: bool) {
        let object =
            FlatObject { object_type: BINDER_TYPE_BINDER, flags: 0, binder: pointer, cookie: pointer };
        self.client.memory.write(DATA, object.as_bytes()).unwrap();
        self.client.memory.write(OFFSETS, 0u64.as_bytes()).unwrap();
        let data = TransactionData {
            data_size: size_of::<FlatObject>() as u64,
            offsets_size: 8,
            buffer: DATA,
            offsets: OFFSETS,
            ..TransactionData::default()
        };
        self.call(data, keep);
        self.acknowledge(pointer);
    }

    /// The client answers what it is told of its object, until it is told no more.
    fn acknowledge(&mut self, pointer: u64) {
        let object = PointerCookie { pointer, cookie: pointer };
        self.client.command(BC_INCREFS_DONE, object.as_bytes()).command(BC_ACQUIRE_DONE, object.as_bytes());
        assert_eq!(self.client.write_read(&mut self.driver, 0), DONE);
        while self.driver.poll(self.client.device, self.client.caller).is_ok_and(|polled| polled.is_readable)
        {
            assert_eq!(self.client.write_read(&mut self.driver, 256), DONE);
        }
    }
}

/// A round trip whose server holds so many references to the client's nodes.
fn with_references(alive: usize) -> RoundTrip {
    let mut trip = RoundTrip::new();
    // A mapping of 4 MiB holds 100,000 buffers with an object each, so none of them is freed.
    for object in 0..alive {
        trip.send_object(0x10_0000 + object as u64 * 16, true);
    }
    trip
}

fn calls_among_nodes(alive: usize) -> Duration {
    with_references(alive).measure(5_000)
}

fn objects_among_nodes(alive: usize) -> Duration {
    let mut trip = with_references(alive);
    per(2_000, || trip.send_object(0x10, false))
}

fn counts_among_handles(alive: usize) -> Duration {
    let mut trip = with_references(alive);
    // The server's own thread sleeps, so another one of its process counts.
    trip.server.caller.tid += 1;
    let mut handle = 0u32;
    per(20_000, || {
        handle = (handle + 7919) % alive as u32 + 1;
        trip.server.command(BC_ACQUIRE, handle.as_bytes()).command(BC_RELEASE, handle.as_bytes());
        assert_eq!(trip.server.write_read(&mut trip.driver, 0), DONE);
    })
}

/// Round trips whose server has not freed the buffers of so many calls.
fn buffers_among_buffers(alive: usize) -> Duration {
    let mut trip = RoundTrip::new();
    for _ in 0..alive {
        trip.call(TransactionData::default(), true);
    }
    trip.measure(5_000)
}

/// A oneway message to a server that has not freed the buffers of so many calls.
fn oneway_among_buffers(alive: usize) -> Duration {
    let mut trip = RoundTrip::new();
    for _ in 0..alive {
        trip.call(TransactionData::default(), true);
    }
    per(5_000, || {
        let data = TransactionData { flags: TF_ONE_WAY, ..TransactionData::default() };
        let sent = trip.client.command(BC_TRANSACTION, data.as_bytes()).write_read(&mut trip.driver, 256);
        assert_eq!(sent, DONE);
        assert_eq!(trip.driver.take_woken().len(), 1);
        assert_eq!(trip.server.resume(&mut trip.driver), DONE);
        let message = trip.server.received();
        trip.server.command(BC_FREE_BUFFER, message.buffer.as_bytes());
        assert_eq!(trip.server.write_read(&mut trip.driver, 256), Completion::Parked);
    })
}
