//! Objects: the places of a payload where local objects turn into handles and handles into local objects.

use crate::buffer::Buffer;
use crate::driver::Driver;
use crate::memory::{Fault, UserMemory};
use crate::node::Strength;
use crate::process::Process;
use crate::table::Key;
use crate::thread::Thread;
use crate::uapi::*;
use crate::work::WorkQueue;
use zerocopy::{FromBytes, IntoBytes};

/// The size of the largest object, a scatter-gather buffer, in bytes. So much of a payload is read to look at
/// any object in it, if so much is left.
const LARGEST_OBJECT: u64 = 40;

/// Why a payload could not be put into its buffer.
pub(crate) enum Fill {
    /// It is malformed, and why. So many of its objects have been translated before.
    Refused { translated: u64, reason: Errno },
    /// It holds something that the reference driver does not model.
    NotModelled(&'static str),
}

/// An object in a payload.
enum Found {
    Flat(FlatObject, Kind, Strength),
    /// One of a kind that the reference driver does not model, by name.
    Other(&'static str),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Local,
    Remote,
}

impl Driver {
    /// Copies a payload and its table of offsets into a buffer, and translates the objects in it.
    ///
    /// What lies between two objects is copied straight from the sender's memory to where the receiver will
    /// read it, and so exactly once.
    pub(crate) fn fill(
        &mut self,
        sender: Key<Thread>,
        receiver: Key<Process>,
        buffer: Key<Buffer>,
        data: &TransactionData,
        memory: &dyn UserMemory,
    ) -> Result<(), Fill> {
        let process = self.threads[sender].process;
        let table = data.data_size.next_multiple_of(8);
        self.copy_to_buffer(process, memory, data.offsets, (receiver, buffer), table, data.offsets_size)
            .map_err(|Fault| Fill::Refused { translated: 0, reason: Errno::EFAULT })?;
        if !data.offsets_size.is_multiple_of(8) {
            return Err(Fill::Refused { translated: 0, reason: Errno::EINVAL });
        }
        let mut copied = 0;
        for translated in 0..data.offsets_size / 8 {
            let refused = |reason| Fill::Refused { translated, reason };
            let unreadable = |Fault| refused(Errno::EFAULT);
            let offset = self.offset_in_table(receiver, buffer, translated);
            if offset != copied {
                if offset < copied || offset > data.data_size {
                    return Err(refused(self.profile.offset_error));
                }
                self.copy_payload(process, memory, data, (receiver, buffer), copied..offset)
                    .map_err(unreadable)?;
            }
            let object = self.object_in_memory(process, memory, data, offset);
            let object = object.map_err(|Fault| refused(Errno::EINVAL))?;
            let translation = match object {
                Found::Flat(object, Kind::Local, strength) => {
                    self.local_to_remote(sender, receiver, object, strength).map_err(refused)?
                }
                Found::Flat(object, Kind::Remote, strength) => {
                    self.translate_remote(process, receiver, object, strength).map_err(refused)?
                }
                Found::Other(what) => return Err(Fill::NotModelled(what)),
            };
            let end = offset + size_of::<FlatObject>() as u64;
            let bytes = self.processes[receiver].allocator.bytes_mut(buffer);
            bytes[offset as usize..end as usize].copy_from_slice(translation.as_bytes());
            copied = end;
        }
        let all = data.offsets_size / 8;
        self.copy_payload(process, memory, data, (receiver, buffer), copied..data.data_size)
            .map_err(|Fault| Fill::Refused { translated: all, reason: Errno::EFAULT })
    }

    fn copy_payload(
        &mut self,
        sender: Key<Process>,
        memory: &dyn UserMemory,
        data: &TransactionData,
        to: (Key<Process>, Key<Buffer>),
        range: std::ops::Range<u64>,
    ) -> Result<(), Fault> {
        let length = range.end - range.start;
        if length == 0 {
            return Ok(());
        }
        self.copy_to_buffer(sender, memory, data.buffer.wrapping_add(range.start), to, range.start, length)?;
        self.statistics.payload_copies += 1;
        self.statistics.payload_bytes += length;
        Ok(())
    }

    /// Copies from a process' memory, which may be its own mapping, into a buffer of another.
    fn copy_to_buffer(
        &mut self,
        sender: Key<Process>,
        memory: &dyn UserMemory,
        from: u64,
        (receiver, buffer): (Key<Process>, Key<Buffer>),
        to: u64,
        length: u64,
    ) -> Result<(), Fault> {
        if length == 0 {
            return Ok(());
        }
        let range = to as usize..(to + length) as usize;
        if self.processes[sender].allocator.maps(from)
            && let Some((sender, receiver)) = self.processes.two(sender, receiver)
        {
            let source = sender.allocator.seen_at(from, range.len()).ok_or(Fault)?;
            receiver.allocator.bytes_mut(buffer)[range].copy_from_slice(source);
            return Ok(());
        }
        memory.read(from, &mut self.processes[receiver].allocator.bytes_mut(buffer)[range])
    }

    /// Looks at the object that the sender has at an offset of its payload. [`Fault`] if there is none.
    fn object_in_memory(
        &self,
        sender: Key<Process>,
        memory: &dyn UserMemory,
        data: &TransactionData,
        offset: u64,
    ) -> Result<Found, Fault> {
        let rest = data.data_size.checked_sub(offset).ok_or(Fault)?;
        if rest < size_of::<u32>() as u64 || !offset.is_multiple_of(4) {
            return Err(Fault);
        }
        let mut bytes = [0; LARGEST_OBJECT as usize];
        let length = rest.min(LARGEST_OBJECT) as usize;
        self.read_memory(sender, memory, data.buffer.wrapping_add(offset), &mut bytes[..length])?;
        recognise(&bytes[..length]).ok_or(Fault)
    }

    /// Entry `index` of a buffer's table of offsets.
    fn offset_in_table(&self, process: Key<Process>, buffer: Key<Buffer>, index: u64) -> u64 {
        let allocator = &self.processes[process].allocator;
        let start = allocator.buffers[buffer].content.map_or(0, |content| content.offsets_start());
        let entry = (start + index * 8) as usize;
        let bytes = &allocator.bytes(buffer)[entry..entry + 8];
        u64::from_ne_bytes(bytes.try_into().expect("an entry of the table is 8 bytes long"))
    }

    /// A local object of the sender becomes a handle of the receiver.
    fn local_to_remote(
        &mut self,
        sender: Key<Thread>,
        receiver: Key<Process>,
        object: FlatObject,
        strength: Strength,
    ) -> Result<FlatObject, Errno> {
        let process = self.threads[sender].process;
        let node = self.node_for(process, &object);
        let handle = if object.cookie == self.nodes[node].cookie {
            self.refer_to_node(receiver, node, strength, Some(WorkQueue::Thread(sender)))
        } else {
            Err(Errno::EINVAL)
        };
        self.let_go_of_node(node);
        let object_type = remote_type(strength);
        Ok(FlatObject { object_type, flags: object.flags, binder: handle?.into(), cookie: 0 })
    }

    /// A handle of the sender becomes a local object of the receiver, if it is one, or else a handle of it.
    fn translate_remote(
        &mut self,
        sender: Key<Process>,
        receiver: Key<Process>,
        object: FlatObject,
        strength: Strength,
    ) -> Result<FlatObject, Errno> {
        let handle = object.binder as u32;
        let reference = match strength {
            Strength::Strong => self.strong_reference(sender, handle)?,
            Strength::Weak => self.reference_at(sender, handle, false).ok_or(self.profile.handle_error)?,
        };
        let node = self.references[reference].node;
        let state = &self.nodes[node];
        if state.process == Some(receiver) {
            let (binder, cookie) = (state.pointer, state.cookie);
            self.take_local(node, strength);
            return Ok(FlatObject { object_type: local_type(strength), flags: object.flags, binder, cookie });
        }
        self.hold_node(node);
        let handle = self.refer_to_node(receiver, node, strength, None);
        self.let_go_of_node(node);
        Ok(FlatObject { binder: handle?.into(), cookie: 0, ..object })
    }

    /// Gives up the references that a buffer holds for its first `objects` objects.
    pub(crate) fn release_objects(&mut self, process: Key<Process>, buffer: Key<Buffer>, objects: u64) {
        let Some(content) = self.processes[process].allocator.buffers[buffer].content else { return };
        for index in 0..objects.min(content.offsets_size / 8) {
            match self.object_in_buffer(process, buffer, index) {
                Some(Found::Flat(object, Kind::Local, strength)) => {
                    if let Some(node) = self.node_at(process, object.binder) {
                        self.hold_node(node);
                        self.drop_local(node, strength);
                        self.let_go_of_node(node);
                    }
                }
                Some(Found::Flat(object, Kind::Remote, strength)) => {
                    // A process may have given up the handle already, more often than it was given it.
                    let _ = self.discount_handle(process, object.binder as u32, strength);
                }
                Some(Found::Other(_)) | None => {}
            }
        }
    }

    /// The object that entry `index` of a buffer's table of offsets leads to.
    fn object_in_buffer(&self, process: Key<Process>, buffer: Key<Buffer>, index: u64) -> Option<Found> {
        let offset = self.offset_in_table(process, buffer, index) as usize;
        let allocator = &self.processes[process].allocator;
        let data = &allocator.bytes(buffer)[..allocator.buffers[buffer].content?.data_size as usize];
        recognise(data.get(offset..)?)
    }

    /// The pointers of local objects, and whether strong, for which a process' buffers hold references.
    pub(crate) fn local_objects_in_buffer(
        &self,
        process: Key<Process>,
        buffer: Key<Buffer>,
    ) -> impl Iterator<Item = (u64, Strength)> {
        let content = self.processes[process].allocator.buffers[buffer].content;
        let objects = content.map_or(0, |content| content.offsets_size / 8);
        (0..objects).filter_map(move |index| match self.object_in_buffer(process, buffer, index) {
            Some(Found::Flat(object, Kind::Local, strength)) => Some((object.binder, strength)),
            _ => None,
        })
    }
}

/// The object that bytes begin with, if they do and it is whole.
fn recognise(bytes: &[u8]) -> Option<Found> {
    let object_type = u32::read_from_prefix(bytes).ok()?.0;
    let (kind, strength) = match object_type {
        BINDER_TYPE_BINDER => (Kind::Local, Strength::Strong),
        BINDER_TYPE_WEAK_BINDER => (Kind::Local, Strength::Weak),
        BINDER_TYPE_HANDLE => (Kind::Remote, Strength::Strong),
        BINDER_TYPE_WEAK_HANDLE => (Kind::Remote, Strength::Weak),
        BINDER_TYPE_FD => return (bytes.len() >= 24).then_some(Found::Other("file descriptors")),
        BINDER_TYPE_FDA => return (bytes.len() >= 32).then_some(Found::Other("arrays of file descriptors")),
        BINDER_TYPE_PTR => return (bytes.len() >= 40).then_some(Found::Other("scatter-gather buffers")),
        _ => return None,
    };
    let object = FlatObject::read_from_prefix(bytes).ok()?.0;
    Some(Found::Flat(object, kind, strength))
}

fn local_type(strength: Strength) -> u32 {
    match strength {
        Strength::Strong => BINDER_TYPE_BINDER,
        Strength::Weak => BINDER_TYPE_WEAK_BINDER,
    }
}

fn remote_type(strength: Strength) -> u32 {
    match strength {
        Strength::Strong => BINDER_TYPE_HANDLE,
        Strength::Weak => BINDER_TYPE_WEAK_HANDLE,
    }
}
