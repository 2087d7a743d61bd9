//! Where the processes of a world keep their memory: the same on every target, so that programs are encoded once.
//!
//! Each process has addresses that no other one of its world uses, so that several can live in one address space. Each
//! thread has an arena of its own at a fixed address there. It holds an area for the argument of an ioctl, one
//! for commands, one for returns and one for payloads, each followed by addresses that are never mapped.
//! Commands are put at the very end of their area, so that a driver which reads past them faults, on every
//! target alike. Returns and payloads are put at the start of theirs, with zeroes behind them.

use std::ops::Range;

use super::ThreadIndex;
use crate::script::MOST_THREADS;

/// The address of the first thread's arena of the first process.
const ARENAS: u64 = 0x2000_0000_0000;
/// How many bytes each process has for arenas.
const ARENAS_STRIDE: u64 = MOST_THREADS as u64 * ARENA_STRIDE;
/// The distance from one thread's arena to the next, in bytes.
pub const ARENA_STRIDE: u64 = 0x1000_0000;
/// The distance from one area of an arena to the next, in bytes.
pub const AREA_STRIDE: u64 = 0x200_0000;
/// An address that no process of a world ever has memory at.
pub const UNMAPPED: u64 = 0x1fff_ffff_0000;

/// The lowest address that a process is given memory at, as kernels have it by default.
const LOWEST: u64 = 0x1_0000;

/// The addresses from here on are none of a process, on processors of 64 bits.
const ADDRESSES_OF_PROCESSES: u64 = 1 << 47;

/// Where the first process maps devices, unless a script says where.
const MAPPINGS: u64 = 0x7000_0000_0000;

/// How many bytes each process has for that.
const MAPPINGS_STRIDE: u64 = 0x8_0000_0000;

/// Where a process maps devices, unless a script says where: the first mapping begins at the start.
pub const fn mappings_of(process: usize) -> Range<u64> {
    let start = MAPPINGS + process as u64 * MAPPINGS_STRIDE;
    start..start + MAPPINGS_STRIDE
}

/// Where a process has the arenas of its threads.
pub const fn arenas_of(process: usize) -> Range<u64> {
    let start = ARENAS + process as u64 * ARENAS_STRIDE;
    start..start + ARENAS_STRIDE
}

/// Whether there may be memory of whomever at an address: not before the lowest that processes are given, not behind the
/// addresses of processes, and not where nobody of a world ever has any.
pub fn may_be_mapped(address: u64) -> bool {
    let nobodys = [0..LOWEST, UNMAPPED..ARENAS, ADDRESSES_OF_PROCESSES..u64::MAX];
    address != u64::MAX && !nobodys.iter().any(|addresses| addresses.contains(&address))
}

/// Where a process maps something next that has mapped so many bytes at an address of those.
pub const fn behind_mapping(address: u64, size: u64) -> u64 {
    address + size.next_multiple_of(0x20_0000) + 0x20_0000
}

/// The lowest number of a descriptor that a process of a world makes. Those before it are taken: the standard streams, and
/// a line to the harness.
pub const FIRST_DESCRIPTOR: u32 = 4;

/// Where each thread of a real process is told what to do, and says what it does.
pub const DESKS: u64 = 0x1fff_f000_0000;

/// An area of a thread's arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// Arguments of ioctls.
    Argument,
    /// Commands, at the very end.
    Commands,
    /// Returns.
    Returns,
    /// Payloads and tables of offsets.
    Payload,
}

impl Area {
    /// All areas, in the order of their addresses.
    pub const ALL: [Area; 4] = [Area::Argument, Area::Commands, Area::Returns, Area::Payload];

    /// Its size in bytes, a multiple of the page size.
    pub const fn size(self) -> u64 {
        match self {
            Area::Argument => 0x1000,
            Area::Commands => 0x4_0000,
            Area::Returns => 0x4_0000,
            Area::Payload => 0x100_0000,
        }
    }

    /// Its addresses in the arena of a thread.
    pub const fn addresses(self, thread: ThreadIndex) -> Range<u64> {
        let ThreadIndex { process, thread } = thread;
        let start = arenas_of(process).start + thread as u64 * ARENA_STRIDE + self as u64 * AREA_STRIDE;
        start..start + self.size()
    }
}
