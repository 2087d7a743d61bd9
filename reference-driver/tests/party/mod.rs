//! Processes with threads and memory in front of a reference driver, for tests.

use std::ops::Range;
use std::sync::Arc;

use reference_driver::uapi::*;
use reference_driver::{
    Caller, Completion, DescriptorTable, Device, Driver, Fault, OpenFile, Profile, UserMemory,
};
use zerocopy::{FromBytes, IntoBytes};

const ARENA: usize = 0x1_0000;
const ARGUMENT: u64 = 0;
const COMMANDS: u64 = 0x1000;
const RETURNS: u64 = 0x8000;
const PAYLOAD: u64 = 0x9000;
const MAPPING: u64 = 0x7000_0000_0000;
const MAPPED: u64 = 0x8000;
const PAGE: u64 = 0x1000;

/// The addresses of some pages of a mapping.
fn addresses(pages: Range<u64>) -> Range<u64> {
    MAPPING + pages.start * PAGE..MAPPING + pages.end * PAGE
}

/// A process' memory: an arena for each of its threads, one behind the other, from address 0x10000 on. And the files
/// that it has descriptors for, each at the place of its number.
pub struct Memory(Vec<u8>, Vec<Option<OpenFile>>, i32);

/// So many descriptors can a process have. The first are there from the start.
const DESCRIPTORS: usize = 6;

impl DescriptorTable for Memory {
    fn file(&self, number: u32) -> Option<OpenFile> {
        self.1.get(number as usize)?.clone()
    }

    fn install(&mut self, file: OpenFile) -> Result<u32, Errno> {
        let free = self.1.iter().position(Option::is_none).ok_or(Errno::EMFILE)?;
        self.1[free] = Some(file);
        Ok(free as u32)
    }

    fn close(&mut self, number: u32) {
        if let Some(descriptor) = self.1.get_mut(number as usize) {
            *descriptor = None;
        }
    }
}

impl UserMemory for Memory {
    fn pid(&self) -> i32 {
        self.2
    }

    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        let start = (address as usize).checked_sub(ARENA).ok_or(Fault)?;
        bytes.copy_from_slice(self.0.get(start..start + bytes.len()).ok_or(Fault)?);
        Ok(())
    }

    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Fault> {
        let start = (address as usize).checked_sub(ARENA).ok_or(Fault)?;
        self.0.get_mut(start..start + bytes.len()).ok_or(Fault)?.copy_from_slice(bytes);
        Ok(())
    }
}

/// A process.
pub struct Party {
    device: Device,
    pid: i32,
    memory: Memory,
    parked: Vec<bool>,
    /// Threads whose last call was a BINDER_FREEZE.
    freezing: Vec<bool>,
    /// Buffers that it has been told of and has not freed.
    pub buffers: Vec<u64>,
    /// Where in its arena the next payload goes.
    next_payload: u64,
}

impl Party {
    fn new(driver: &mut Driver, pid: i32, threads: usize) -> Party {
        let caller = Caller { pid, tid: pid, euid: 0 };
        let device = driver.open(caller, 0, false).unwrap();
        driver.mmap(device, caller, MAPPING, MAPPED, false).unwrap();
        Party {
            device,
            pid,
            memory: Memory(
                vec![0; ARENA * threads],
                (0..DESCRIPTORS as u32).map(|number| (number < 2).then(|| OpenFile::new(number))).collect(),
                pid,
            ),
            parked: vec![false; threads],
            freezing: vec![false; threads],
            buffers: Vec::new(),
            next_payload: 0,
        }
    }

    /// Puts a payload and its table of offsets into memory.
    pub fn place_payload(&mut self, data: &[u8], offsets: &[u64]) -> (u64, u64) {
        let mut place = |bytes: &[u8]| {
            if self.next_payload as usize + bytes.len() > 0x6000 {
                self.next_payload = 0;
            }
            let address = ARENA as u64 + PAYLOAD + self.next_payload;
            self.memory.write(address, bytes).unwrap();
            self.next_payload += bytes.len().next_multiple_of(8) as u64;
            address
        };
        (place(data), place(offsets.as_bytes()))
    }
}

/// Processes and the driver.
pub struct World {
    pub driver: Driver,
    parties: Vec<Party>,
    threads: usize,
    next_pid: i32,
}

impl World {
    pub fn new(profile: Profile, parties: usize, threads: usize) -> World {
        let mut world = World {
            driver: Driver::new(profile, 1).with_security_context(Arc::from(b"context\0".as_slice())),
            parties: Vec::new(),
            threads,
            next_pid: 100,
        };
        for _ in 0..parties {
            let party = Party::new(&mut world.driver, world.next_pid, threads);
            world.parties.push(party);
            world.next_pid += 100;
        }
        world
    }

    fn split(&self, thread: usize) -> (usize, usize) {
        (thread / self.threads % self.parties.len(), thread % self.threads)
    }

    pub fn party(&mut self, thread: usize) -> &mut Party {
        let (party, _) = self.split(thread);
        &mut self.parties[party]
    }

    pub fn is_parked(&self, thread: usize) -> bool {
        let (party, thread) = self.split(thread);
        self.parties[party].parked[thread]
    }

    fn caller(&self, thread: usize) -> Caller {
        let (party, thread) = self.split(thread);
        let pid = self.parties[party].pid;
        Caller { pid, tid: pid + thread as i32, euid: 0 }
    }

    pub fn write_read(&mut self, thread: usize, commands: &[u8], read_size: u64) {
        let base = (ARENA + self.split(thread).1 * ARENA) as u64;
        let request = WriteRead {
            write_size: commands.len() as u64,
            write_buffer: base + COMMANDS,
            read_size,
            read_buffer: base + RETURNS,
            ..WriteRead::default()
        };
        let memory = &mut self.party(thread).memory;
        memory.write(base + COMMANDS, commands).unwrap();
        self.ioctl(thread, BINDER_WRITE_READ, request.as_bytes());
    }

    /// Writes to the device of the next party, as who has inherited it or been sent it can.
    pub fn write_elsewhere(&mut self, thread: usize, commands: &[u8]) {
        if self.is_parked(thread) {
            return;
        }
        let caller = self.caller(thread);
        let (party, own) = self.split(thread);
        let device = self.parties[(party + 1) % self.parties.len()].device;
        let base = (ARENA + own * ARENA) as u64;
        let request = WriteRead {
            write_size: commands.len() as u64,
            write_buffer: base + COMMANDS,
            ..WriteRead::default()
        };
        let memory = &mut self.parties[party].memory;
        memory.write(base + COMMANDS, commands).unwrap();
        memory.write(base + ARGUMENT, request.as_bytes()).unwrap();
        let completion = self.driver.ioctl(device, caller, BINDER_WRITE_READ, base + ARGUMENT, memory);
        assert_ne!(completion, Completion::Parked, "it does not read");
    }

    pub fn set_priority(&mut self, thread: usize, nice: i32) {
        let caller = self.caller(thread);
        self.driver.set_priority(caller, nice).unwrap();
    }

    pub fn ioctl(&mut self, thread: usize, request: u32, argument: &[u8]) {
        if self.is_parked(thread) {
            return;
        }
        let caller = self.caller(thread);
        let (party, own) = self.split(thread);
        let base = (ARENA + own * ARENA) as u64;
        let party = &mut self.parties[party];
        party.memory.write(base + ARGUMENT, argument).unwrap();
        let device = party.device;
        party.freezing[own] = request == BINDER_FREEZE;
        let completion = self.driver.ioctl(device, caller, request, base + ARGUMENT, &mut party.memory);
        self.note(thread, completion, request == BINDER_WRITE_READ);
    }

    /// Takes note of how a call went, and of the buffers that it brought.
    fn note(&mut self, thread: usize, completion: Completion, read: bool) {
        let (party, own) = self.split(thread);
        let party = &mut self.parties[party];
        party.parked[own] = completion == Completion::Parked;
        if completion != Completion::Done(Ok(())) || !read {
            return;
        }
        let start = own * ARENA;
        let request = WriteRead::read_from_prefix(&party.memory.0[start..]).unwrap().0;
        let returns = start + RETURNS as usize;
        let mut returns = &party.memory.0[returns..returns + request.read_consumed as usize];
        while let Ok((code, rest)) = u32::read_from_prefix(returns) {
            let size = argument_size(code).min(rest.len());
            // With a security context, that stands behind the rest.
            if [BR_TRANSACTION, BR_TRANSACTION_SEC_CTX, BR_REPLY].contains(&code)
                && let Ok((data, _)) = TransactionData::read_from_prefix(rest)
            {
                party.buffers.push(data.buffer);
            }
            returns = &rest[size..];
        }
    }

    pub fn poll(&mut self, thread: usize) {
        if !self.is_parked(thread) {
            let caller = self.caller(thread);
            let device = self.party(thread).device;
            let _ = self.driver.poll(device, caller);
        }
    }

    pub fn interrupt(&mut self, thread: usize) {
        if self.is_parked(thread) {
            let caller = self.caller(thread);
            let (party, own) = self.split(thread);
            let party = &mut self.parties[party];
            let completion = self.driver.interrupt(party.device, caller.tid, &mut party.memory);
            assert_eq!(completion, Completion::Done(Err(Errno::EINTR)));
            party.parked[own] = false;
        }
    }

    pub fn flush(&mut self, thread: usize) {
        let device = self.party(thread).device;
        self.driver.flush(device);
    }

    /// Takes back these pages of the mapping.
    pub fn unmap(&mut self, thread: usize, pages: Range<u64>) {
        let device = self.party(thread).device;
        self.driver.munmap(device, addresses(pages));
    }

    /// Lets these pages of the mapping be read, or not.
    pub fn protect(&mut self, thread: usize, pages: Range<u64>, readable: bool) {
        let device = self.party(thread).device;
        self.driver.mprotect(device, addresses(pages), readable);
    }

    /// Ends a process, as the kernel does when it is killed, and puts a new one in its place.
    pub fn replace(&mut self, thread: usize) {
        let (party, _) = self.split(thread);
        self.end(party);
        self.parties[party] = Party::new(&mut self.driver, self.next_pid, self.threads);
        self.next_pid += 100;
    }

    fn end(&mut self, party: usize) {
        for own in 0..self.threads {
            self.interrupt(party * self.threads + own);
        }
        let device = self.parties[party].device;
        self.driver.munmap(device, 0..u64::MAX);
        self.driver.flush(device);
        self.driver.release(device);
        self.settle();
    }

    /// Lets everything come to rest.
    pub fn settle(&mut self) {
        loop {
            self.driver.run_deferred_work();
            let woken = self.driver.take_woken();
            let overdue = self.driver.take_overdue();
            if woken.is_empty() && overdue.is_empty() {
                return;
            }
            for (device, tid) in woken {
                if let Some((party, own)) = self.parked_thread(device, tid) {
                    // Of a freeze there is nothing to be taken note of in what the thread read last.
                    let reads = !self.parties[party].freezing[own];
                    let memory = &mut self.parties[party].memory;
                    let completion = self.driver.resume(device, tid, memory);
                    self.note(party * self.threads + own, completion, reads);
                }
            }
            for (device, tid) in overdue {
                if let Some((party, own)) = self.parked_thread(device, tid) {
                    self.time_out(party * self.threads + own);
                }
            }
        }
    }

    /// The party and the thread of it behind a thread id, if it is parked.
    fn parked_thread(&self, device: Device, tid: i32) -> Option<(usize, usize)> {
        let party = self.parties.iter().position(|party| party.device == device)?;
        let own = (tid - self.parties[party].pid) as usize;
        self.parties[party].parked[own].then_some((party, own))
    }

    /// Lets the time run out of a thread that may have gone to sleep for some time.
    pub fn time_out(&mut self, thread: usize) {
        if self.is_parked(thread) {
            let tid = self.caller(thread).tid;
            let device = self.party(thread).device;
            if let Some(completion) = self.driver.time_out(device, tid, u32::MAX) {
                self.note(thread, completion, false);
            }
        }
    }

    /// The process id of the party that a thread is of.
    pub fn pid(&self, thread: usize) -> i32 {
        self.caller(thread).pid
    }

    /// Ends every process.
    pub fn close(&mut self) {
        for party in 0..self.parties.len() {
            self.end(party);
        }
    }
}
