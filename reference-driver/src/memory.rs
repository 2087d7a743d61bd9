//! The memory of a calling process, and its descriptors, as the driver reaches into it.

use crate::descriptor::DescriptorTable;
use zerocopy::{Immutable, IntoBytes};

/// That an address is not mapped, or not in that way. What was copied before it stays copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault;

/// The memory of a process but for its mapping of the device, which the driver keeps itself.
pub trait UserMemory: DescriptorTable {
    /// Whose it is: the id of the process.
    fn pid(&self) -> i32;

    /// Copies from the process, all or nothing.
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Fault>;

    /// Copies to the process, all or nothing.
    fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Fault>;
}

impl dyn UserMemory + '_ {
    /// Copies a structure of the ABI to the process.
    pub(crate) fn put<T: IntoBytes + Immutable>(&mut self, address: u64, value: &T) -> Result<(), Fault> {
        self.write(address, value.as_bytes())
    }
}
