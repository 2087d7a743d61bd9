//! Objects: the places of a payload where local objects turn into handles and handles into local objects, and where
//! descriptors and buffers are passed on.

use std::ops::Range;

use crate::buffer::Buffer;
use crate::descriptor::FileOnItsWay;
use crate::driver::Driver;
use crate::memory::{Fault, UserMemory};
use crate::node::Strength;
use crate::planted::Bug;
use crate::process::Process;
use crate::scatter::{INVALID, Refused, Scatter};
use crate::table::Key;
use crate::thread::Thread;
use crate::uapi::*;
use crate::work::WorkQueue;
use zerocopy::{FromBytes, IntoBytes};

/// The size of the largest object, a scatter-gather buffer, in bytes. So much of a payload is read to look at
/// any object in it, if so much is left.
const LARGEST_OBJECT: u64 = 40;

/// A payload on its way from its sender into a buffer.
pub(crate) struct Passage<'a> {
    pub(crate) sender: Key<Thread>,
    pub(crate) receiver: Key<Process>,
    pub(crate) buffer: Key<Buffer>,
    pub(crate) data: &'a TransactionDataSg,
    pub(crate) memory: &'a dyn UserMemory,
    /// Whether it can bring descriptors.
    pub(crate) takes_descriptors: bool,
}

/// That a payload could not be put into its buffer, and why. So many of its objects have been translated before.
pub(crate) struct NotFilled {
    pub(crate) translated: u64,
    pub(crate) reason: Errno,
}

/// An object in a payload.
pub(crate) enum Found {
    Flat(FlatObject, Kind, Strength),
    Fd(FdObject),
    FdArray(FdArrayObject),
    Buffer(BufferObject),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Local,
    Remote,
}

impl Driver {
    /// Copies a payload, its table of offsets and its scatter-gather buffers into a buffer, and translates the
    /// objects in it. Gives the files that it brings.
    ///
    /// What lies between two objects is copied straight from the sender's memory to where the receiver will
    /// read it, and so exactly once.
    pub(crate) fn fill(&mut self, passage: &Passage<'_>) -> Result<Vec<FileOnItsWay>, NotFilled> {
        let TransactionDataSg { transaction: data, buffers_size } = passage.data;
        let table = data.data_size.next_multiple_of(8);
        if !self.profile.offsets_are_read_singly {
            self.copy_offsets(passage, table, 0..data.offsets_size)
                .map_err(|Fault| NotFilled { translated: 0, reason: Errno::EFAULT })?;
        }
        for (size, bug) in [
            (data.offsets_size, Bug::MisalignedTableAllReleased),
            (*buffers_size, Bug::MisalignedRoomAllReleased),
        ] {
            if !size.is_multiple_of(8) {
                let translated = if self.profile.planted.is(bug) { u64::MAX } else { 0 };
                return Err(NotFilled { translated, reason: Errno::EINVAL });
            }
        }
        let end = if self.profile.planted.is(Bug::BuffersOverContext) {
            self.processes[passage.receiver].allocator.bytes(passage.buffer).len() as u64
        } else {
            table + data.offsets_size + buffers_size
        };
        let mut scatter = Scatter::new(table + data.offsets_size..end);
        let mut files = Vec::new();
        let mut copied = 0;
        let all = data.offsets_size / 8;
        for index in 0..all {
            if self.profile.offsets_are_read_singly {
                self.copy_offsets(passage, table, index * 8..(index + 1) * 8)
                    .map_err(|Fault| NotFilled { translated: index, reason: Errno::EFAULT })?;
            }
            let offset = self.offset_in_table(passage.receiver, passage.buffer, index);
            copied = self
                .pass_object(passage, (index, offset), copied, &mut scatter, &mut files)
                .map_err(|Refused(reason)| NotFilled { translated: index, reason })?;
        }
        self.copy_payload(passage, copied..data.data_size)
            .map_err(Refused::from)
            .and_then(|()| self.copy_scattered(passage, scatter))
            .map_err(|Refused(reason)| NotFilled { translated: all, reason })?;
        Ok(files)
    }

    /// Copies some of the table of offsets, which begins there in the receiver's buffer.
    fn copy_offsets(&mut self, passage: &Passage<'_>, table: u64, part: Range<u64>) -> Result<(), Fault> {
        let sender = self.threads[passage.sender].process;
        let from = passage.data.transaction.offsets.wrapping_add(part.start);
        let (buffer, to) = ((passage.receiver, passage.buffer), table + part.start);
        self.copy_to_buffer(sender, passage.memory, from, buffer, to, part.end - part.start)
    }

    /// Copies a payload up to an object, and passes that on. Gives where it ends.
    fn pass_object(
        &mut self,
        passage: &Passage<'_>,
        (index, offset): (u64, u64),
        copied: u64,
        scatter: &mut Scatter,
        files: &mut Vec<FileOnItsWay>,
    ) -> Result<u64, Refused> {
        let data = &passage.data.transaction;
        if self.profile.alignment_is_looked_at_first && !offset.is_multiple_of(4) {
            return Err(INVALID);
        }
        if offset != copied {
            let is_beyond = offset > data.data_size && !self.profile.planted.is(Bug::DataOverOffsets);
            if offset < copied || is_beyond {
                return Err(Refused(self.profile.offset_error));
            }
            self.copy_payload(passage, copied..offset)?;
        }
        let object = match self.object_in_memory(passage, offset)? {
            Found::Flat(object, Kind::Local, strength) => {
                Found::Flat(self.local_to_remote(passage, object, strength)?, Kind::Remote, strength)
            }
            Found::Flat(object, Kind::Remote, strength) => {
                Found::Flat(self.translate_remote(passage, object, strength)?, Kind::Remote, strength)
            }
            Found::Fd(object) => {
                let place = offset + std::mem::offset_of!(FdObject, fd) as u64;
                files.push(self.take_file(passage, object.fd, place)?);
                let flags = if self.profile.flags_of_descriptors_arrive { object.flags } else { 0 };
                Found::Fd(FdObject { flags, fd: 0, padding: 0, ..object })
            }
            Found::FdArray(array) => {
                self.take_files(passage, scatter, index, &array, files)?;
                let padding = if self.profile.flags_of_descriptors_arrive { array.padding } else { 0 };
                Found::FdArray(FdArrayObject { padding, ..array })
            }
            Found::Buffer(object) => {
                Found::Buffer(self.scatter(passage, scatter, (index, offset), object)?)
            }
        };
        let bytes = object.as_bytes();
        let end = offset + bytes.len() as u64;
        let buffer = self.processes[passage.receiver].allocator.bytes_mut(passage.buffer);
        buffer[offset as usize..end as usize].copy_from_slice(bytes);
        Ok(end)
    }

    fn copy_payload(&mut self, passage: &Passage<'_>, range: Range<u64>) -> Result<(), Fault> {
        self.copy_piece(passage, passage.data.transaction.buffer.wrapping_add(range.start), range)
    }

    /// Copies a piece of what is sent to this place in the receiver's buffer.
    pub(crate) fn copy_piece(
        &mut self,
        passage: &Passage<'_>,
        from: u64,
        to: Range<u64>,
    ) -> Result<(), Fault> {
        let length = to.end - to.start;
        if length == 0 {
            return Ok(());
        }
        let sender = self.threads[passage.sender].process;
        let buffer = (passage.receiver, passage.buffer);
        self.copy_to_buffer(sender, passage.memory, from, buffer, to.start, length)?;
        self.statistics.payload_copies += 1;
        self.statistics.payload_bytes += length;
        Ok(())
    }

    /// Copies from a process' memory, which may be a mapping of a device, into a buffer.
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
        if self.processes[sender].sees_in_mapping(memory, from)
            && let Some((sender, receiver)) = self.processes.two(sender, receiver)
        {
            let source = sender.allocator.seen_at(from, range.len()).ok_or(Fault)?;
            receiver.allocator.bytes_mut(buffer)[range].copy_from_slice(source);
            return Ok(());
        }
        if memory
            .read(from, &mut self.processes[receiver].allocator.bytes_mut(buffer)[range.clone()])
            .is_err()
        {
            let source = self.seen_in_any_mapping(memory, from, range.len())?.to_vec();
            self.processes[receiver].allocator.bytes_mut(buffer)[range].copy_from_slice(&source);
        }
        Ok(())
    }

    /// Looks at the object that the sender has at an offset of its payload.
    pub(crate) fn object_in_memory(&self, passage: &Passage<'_>, offset: u64) -> Result<Found, Refused> {
        let (sender, data) = (self.threads[passage.sender].process, &passage.data.transaction);
        let cut_off = || Refused(self.profile.cut_off_object_error);
        let rest = data.data_size.checked_sub(offset).ok_or(INVALID)?;
        let is_aligned = offset.is_multiple_of(4) || self.profile.planted.is(Bug::AnyAlignment);
        if rest == 0 || !is_aligned {
            return Err(INVALID);
        }
        let mut bytes = [0; LARGEST_OBJECT as usize];
        let length = rest.min(LARGEST_OBJECT) as usize;
        self.read_memory(sender, passage.memory, data.buffer.wrapping_add(offset), &mut bytes[..length])
            .map_err(|Fault| cut_off())?;
        if rest < size_of::<u32>() as u64 {
            return Err(INVALID);
        }
        // Whether there is an object at all shows when there is room for any.
        let is_known = recognise(&bytes).is_some();
        recognise(&bytes[..length]).ok_or_else(|| if is_known { cut_off() } else { INVALID })
    }

    /// Entry `index` of a buffer's table of offsets.
    pub(crate) fn offset_in_table(&self, process: Key<Process>, buffer: Key<Buffer>, index: u64) -> u64 {
        let allocator = &self.processes[process].allocator;
        let start = allocator.buffers[buffer].content.map_or(0, |content| content.offsets_start());
        let (table, _) = allocator.bytes(buffer)[start as usize..].as_chunks();
        u64::from_ne_bytes(table[index as usize])
    }

    /// A local object of the sender becomes a handle of the receiver.
    fn local_to_remote(
        &mut self,
        passage: &Passage<'_>,
        object: FlatObject,
        strength: Strength,
    ) -> Result<FlatObject, Refused> {
        let process = self.threads[passage.sender].process;
        let node = self.node_for(process, &object);
        let handle = if object.cookie == self.nodes[node].cookie {
            self.refer_to_node(passage.receiver, node, strength, Some(WorkQueue::Thread(passage.sender)))
                .map_err(Refused)
        } else {
            Err(INVALID)
        };
        self.let_go_of_node(node);
        let (object_type, handle) = (remote_type(strength), handle?);
        Ok(FlatObject { object_type, flags: object.flags, binder: handle.into(), cookie: 0 })
    }

    /// A handle of the sender becomes a local object of the receiver, if it is one, or else a handle of it.
    fn translate_remote(
        &mut self,
        passage: &Passage<'_>,
        object: FlatObject,
        strength: Strength,
    ) -> Result<FlatObject, Refused> {
        let (sender, receiver) = (self.threads[passage.sender].process, passage.receiver);
        let handle = object.binder as u32;
        let reference = match strength {
            Strength::Strong => self.strong_reference(sender, handle).map_err(Refused)?,
            Strength::Weak => {
                self.reference_at(sender, handle, false).ok_or(Refused(self.profile.handle_error))?
            }
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
        Ok(FlatObject { binder: handle.map_err(Refused)?.into(), cookie: 0, ..object })
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
                // Files that have not been delivered go with their transaction; descriptors are the process' own.
                Some(Found::Fd(_) | Found::FdArray(_) | Found::Buffer(_)) | None => {}
            }
        }
    }

    /// The object that entry `index` of a buffer's table of offsets leads to.
    pub(crate) fn object_in_buffer(
        &self,
        process: Key<Process>,
        buffer: Key<Buffer>,
        index: u64,
    ) -> Option<Found> {
        self.object_at(process, buffer, self.offset_in_table(process, buffer, index))
    }

    /// The object at an offset of the payload in a buffer.
    pub(crate) fn object_at(&self, process: Key<Process>, buffer: Key<Buffer>, offset: u64) -> Option<Found> {
        let allocator = &self.processes[process].allocator;
        let data = &allocator.bytes(buffer)[..allocator.buffers[buffer].content?.data_size as usize];
        recognise(data.get(offset as usize..)?)
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

impl Found {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Found::Flat(object, ..) => object.as_bytes(),
            Found::Fd(object) => object.as_bytes(),
            Found::FdArray(object) => object.as_bytes(),
            Found::Buffer(object) => object.as_bytes(),
        }
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
        BINDER_TYPE_FD => return Some(Found::Fd(FdObject::read_from_prefix(bytes).ok()?.0)),
        BINDER_TYPE_FDA => return Some(Found::FdArray(FdArrayObject::read_from_prefix(bytes).ok()?.0)),
        BINDER_TYPE_PTR => return Some(Found::Buffer(BufferObject::read_from_prefix(bytes).ok()?.0)),
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
