//! Bindings: the numbers behind names that the driver chose: those of handles and descriptors, and the addresses of
//! buffers. They are known when a read shows them.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::fault::ScriptFault;
use crate::program::{Address, Descriptor, Handle, Name};
use crate::target::UNMAPPED;

/// What the driver chose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bindings {
    handles: FxHashMap<Name, u32>,
    buffers: FxHashMap<Name, u64>,
    /// The last descriptor that a process got for a file.
    descriptors: BTreeMap<(usize, Name), u32>,
}

impl Bindings {
    /// The number of a handle.
    pub(super) fn handle(&self, handle: &Handle) -> Result<u32, ScriptFault> {
        match handle {
            Handle::Number(number) => Ok(*number),
            Handle::Symbol(name) => {
                self.handles.get(name).copied().ok_or_else(|| ScriptFault::UnboundHandle(name.clone()))
            }
        }
    }

    /// The address of a named buffer.
    pub(super) fn buffer(&self, name: &Name) -> Result<u64, ScriptFault> {
        self.buffers.get(name).copied().ok_or_else(|| ScriptFault::UnboundBuffer(name.clone()))
    }

    /// An address that a process hands to the driver.
    pub(super) fn address(&self, address: &Address) -> Result<u64, ScriptFault> {
        match address {
            Address::Number(number) => Ok(*number),
            Address::Buffer { buffer, offset } => Ok(self.buffer(buffer)?.wrapping_add(*offset)),
            Address::Unmapped => Ok(UNMAPPED),
        }
    }

    /// The number of a process' descriptor.
    pub(super) fn descriptor(&self, process: usize, descriptor: &Descriptor) -> Result<u32, ScriptFault> {
        match descriptor {
            Descriptor::Number(number) => Ok(*number),
            Descriptor::File(name) => self
                .descriptors
                .get(&(process, name.clone()))
                .copied()
                .ok_or_else(|| ScriptFault::NoDescriptor(name.clone())),
        }
    }

    /// A process has got a descriptor for a file.
    pub(super) fn bind_descriptor(&mut self, process: usize, name: Name, number: u32) {
        self.descriptors.insert((process, name), number);
    }

    /// A process has been made that has the descriptors of another.
    pub(super) fn fork(&mut self, parent: usize, child: usize) {
        let inherited = self.descriptors.iter().filter(|((process, _), _)| *process == parent);
        let inherited: Vec<_> =
            inherited.map(|((_, name), number)| ((child, name.clone()), *number)).collect();
        self.descriptors.extend(inherited);
    }

    /// Takes these in, too.
    pub(super) fn extend(&mut self, new: Bound) {
        self.handles.extend(new.handles);
        self.buffers.extend(new.buffers);
        self.descriptors.extend(new.descriptors);
    }
}

/// What a match has bound, in that order: of a name that was bound twice, the last counts. They are few.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bound {
    handles: Vec<(Name, u32)>,
    buffers: Vec<(Name, u64)>,
    descriptors: Vec<((usize, Name), u32)>,
}

/// What the driver chose according to a match that has not come to its end. If it fails, this is forgotten.
#[derive(Debug, Clone)]
pub(super) struct NewBindings<'a> {
    known: &'a Bindings,
    new: Bound,
}

impl<'a> NewBindings<'a> {
    /// Nothing but what is known.
    pub(super) fn after(known: &'a Bindings) -> NewBindings<'a> {
        NewBindings { known, new: Bound::default() }
    }

    /// The number of a handle.
    pub(super) fn handle(&self, handle: &Handle) -> Result<u32, ScriptFault> {
        let bound = match handle {
            Handle::Symbol(name) => last(&self.new.handles, name),
            Handle::Number(number) => Some(*number),
        };
        bound.map_or_else(|| self.known.handle(handle), Ok)
    }

    pub(super) fn bind_handle(&mut self, name: Name, number: u32) {
        self.new.handles.push((name, number));
    }

    pub(super) fn bind_buffer(&mut self, name: Name, address: u64) {
        self.new.buffers.push((name, address));
    }

    pub(super) fn bind_descriptor(&mut self, process: usize, name: Name, number: u32) {
        self.new.descriptors.push(((process, name), number));
    }

    /// An address that a process hands to the driver.
    pub(super) fn address(&self, address: &Address) -> Result<u64, ScriptFault> {
        let bound = match address {
            Address::Buffer { buffer, offset } => {
                last(&self.new.buffers, buffer).map(|start| start.wrapping_add(*offset))
            }
            Address::Number(_) | Address::Unmapped => None,
        };
        bound.map_or_else(|| self.known.address(address), Ok)
    }

    /// Those that are new.
    pub(super) fn into_new(self) -> Bound {
        self.new
    }
}

/// What a name was bound to last.
fn last<T: Copy>(bound: &[(Name, T)], name: &Name) -> Option<T> {
    bound.iter().rev().find(|(known, _)| known == name).map(|(_, value)| *value)
}
