//! Scatter-gather: buffers that are sent with a payload and arrive behind it, and what is in them that the driver
//! changes: pointers from one to another, and descriptors.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::buffer::Buffer;
use crate::descriptor::FileOnItsWay;
use crate::driver::Driver;
use crate::memory::Fault;
use crate::object::{Found, Passage};
use crate::planted::Bug;
use crate::process::Process;
use crate::table::Key;
use crate::uapi::*;

/// The scatter-gather buffers of a payload that is being sent. All places are in bytes from the start of the
/// receiver's buffer.
pub(crate) struct Scatter {
    /// Where the next buffer goes.
    next: u64,
    /// Where the room for them ends.
    end: u64,
    /// What is copied once all objects have been looked at.
    copies: Vec<Copy>,
    /// What is not copied, by its place.
    changes: BTreeMap<u64, Change>,
    last: Last,
}

/// Bytes of the sender that are to be copied.
struct Copy {
    from: u64,
    to: u64,
    length: u64,
}

/// Bytes of a scatter-gather buffer that are not copied.
enum Change {
    /// A pointer, which must lead to where its buffer is for the receiver.
    Pointer(u64),
    /// So many bytes of descriptors, whose numbers are known when they are delivered.
    Descriptors(u64),
}

/// How far the changes in buffers have come. They must be made in order, so that none is made twice.
#[derive(Clone, Copy)]
struct Last {
    /// The offset of the object in whose buffer the next change can be made, if there is one.
    object: Option<u64>,
    /// Where in that buffer it can be made at the earliest.
    minimum: u64,
}

/// That an object cannot be sent, and why.
pub(crate) struct Refused(pub(crate) Errno);

/// There is something wrong with the object itself.
pub(crate) const INVALID: Refused = Refused(Errno::EINVAL);

impl From<Fault> for Refused {
    fn from(_: Fault) -> Refused {
        Refused(Errno::EFAULT)
    }
}

impl Scatter {
    /// This is the room for buffers.
    pub(crate) fn new(room: Range<u64>) -> Scatter {
        Scatter {
            next: room.start,
            end: room.end,
            copies: Vec::new(),
            changes: BTreeMap::new(),
            last: Last { object: None, minimum: 0 },
        }
    }
}

impl Driver {
    /// Finds room for a scatter-gather buffer, object `index` of its payload, and has the pointer to it changed, if
    /// there is one. Gives the object as its receiver will see it.
    pub(crate) fn scatter(
        &self,
        passage: &Passage<'_>,
        scatter: &mut Scatter,
        (index, offset): (u64, u64),
        mut object: BufferObject,
    ) -> Result<BufferObject, Refused> {
        if object.length > scatter.end.saturating_sub(scatter.next) {
            return Err(INVALID);
        }
        scatter.copies.push(Copy { from: object.buffer, to: scatter.next, length: object.length });
        object.buffer = self.address_of(passage) + scatter.next;
        scatter.next += object.length.next_multiple_of(8);
        if object.flags & BINDER_BUFFER_FLAG_HAS_PARENT != 0 {
            let (parent_at, parent) = self.parent(passage, index, object.parent).ok_or(INVALID)?;
            let in_order = self.comes_in_order(passage, scatter.last, parent_at, object.parent_offset);
            let room = parent.length.checked_sub(size_of::<u64>() as u64);
            if !in_order || room.is_none_or(|room| object.parent_offset > room) {
                return Err(INVALID);
            }
            let place = self.place_in(passage, &parent, object.parent_offset);
            scatter.changes.insert(place, Change::Pointer(object.buffer));
        }
        // An object at the very start of a payload may not be told from none.
        let can_be_parent = offset != 0 || self.profile.first_object_can_be_parent;
        scatter.last = Last { object: can_be_parent.then_some(offset), minimum: 0 };
        Ok(object)
    }

    /// Takes the files of an array of descriptors, object `index` of its payload.
    pub(crate) fn take_files(
        &self,
        passage: &Passage<'_>,
        scatter: &mut Scatter,
        index: u64,
        array: &FdArrayObject,
        files: &mut Vec<FileOnItsWay>,
    ) -> Result<(), Refused> {
        const EACH: u64 = size_of::<u32>() as u64;
        if self.profile.empty_arrays_are_no_exception && !passage.takes_descriptors {
            return Err(Refused(Errno::EPERM));
        }
        let (parent_at, parent) = self.parent(passage, index, array.parent).ok_or(INVALID)?;
        if !self.comes_in_order(passage, scatter.last, parent_at, array.parent_offset) {
            return Err(INVALID);
        }
        let is_empty = array.num_fds == 0;
        if is_empty && self.profile.planted.is(Bug::EmptyArrayRefused) {
            return Err(INVALID);
        }
        if !is_empty || self.profile.empty_arrays_are_no_exception {
            let length = array.num_fds.checked_mul(EACH).ok_or(INVALID)?;
            let room = parent.length.checked_sub(length).ok_or(INVALID)?;
            // Where the sender has them stands only in its own copy of the parent.
            let sent = self.object_in_memory(passage, parent_at)?;
            let Found::Buffer(sent) = sent else { return Err(INVALID) };
            let place = self.place_in(passage, &parent, array.parent_offset);
            let numbers = sent.buffer.wrapping_add(array.parent_offset);
            if array.parent_offset > room || !place.is_multiple_of(EACH) || !numbers.is_multiple_of(EACH) {
                return Err(INVALID);
            }
            if !is_empty {
                scatter.changes.insert(place, Change::Descriptors(length));
            }
            let sender = self.threads[passage.sender].process;
            let places = || (0..length).step_by(EACH as usize);
            let number_at = |each| -> Result<u32, Refused> {
                let mut number = [0; EACH as usize];
                self.read_memory(sender, passage.memory, numbers.wrapping_add(each), &mut number)
                    .map_err(|Fault| self.unreadable_buffer())?;
                Ok(u32::from_ne_bytes(number))
            };
            if self.profile.arrays_are_read_first {
                places().try_for_each(|each| number_at(each).map(drop))?;
            }
            for each in places() {
                files.push(self.take_file(passage, number_at(each)?, place + each)?);
            }
        }
        let minimum = array.parent_offset.wrapping_add(array.num_fds.wrapping_mul(EACH));
        scatter.last = Last { object: Some(parent_at), minimum };
        Ok(())
    }

    /// Copies the buffers of a payload whose objects have all been looked at, but for what changes in them.
    pub(crate) fn copy_scattered(&mut self, passage: &Passage<'_>, scatter: Scatter) -> Result<(), Refused> {
        let Scatter { copies, changes, .. } = scatter;
        for Copy { from, to, length } in copies {
            let mut done = 0;
            for (place, change) in changes.range(to..to + length) {
                self.copy_piece(passage, from.wrapping_add(done), to + done..*place)
                    .map_err(|Fault| self.unreadable_buffer())?;
                let end = match change {
                    Change::Descriptors(length) => place + length,
                    Change::Pointer(_) if self.profile.pointers_are_aligned && !place.is_multiple_of(4) => {
                        return Err(INVALID);
                    }
                    Change::Pointer(address) => {
                        let bytes = self.processes[passage.receiver].allocator.bytes_mut(passage.buffer);
                        let place = *place as usize;
                        bytes[place..place + size_of::<u64>()].copy_from_slice(&address.to_ne_bytes());
                        place as u64 + size_of::<u64>() as u64
                    }
                };
                done = end - to;
            }
            self.copy_piece(passage, from.wrapping_add(done), to + done..to + length)
                .map_err(|Fault| self.unreadable_buffer())?;
        }
        Ok(())
    }

    fn unreadable_buffer(&self) -> Refused {
        Refused(self.profile.unreadable_buffer_error)
    }

    /// The object in whose buffer object `index` of a payload has something, and its offset. It must come before.
    fn parent(&self, passage: &Passage<'_>, index: u64, parent: u64) -> Option<(u64, BufferObject)> {
        let limit = if self.profile.planted.is(Bug::ParentBehindChild) { index * 8 } else { index };
        if parent >= limit {
            return None;
        }
        match self.object_in_buffer(passage.receiver, passage.buffer, parent)? {
            Found::Buffer(object) => {
                Some((self.offset_in_table(passage.receiver, passage.buffer, parent), object))
            }
            _ => None,
        }
    }

    /// Whether a change can be made at this place in the buffer of an object, after the last one: it must lie behind
    /// that one, and its object must be the last one's or an ancestor of it.
    fn comes_in_order(&self, passage: &Passage<'_>, last: Last, object: u64, place: u64) -> bool {
        let Last { object: Some(mut last), mut minimum } = last else { return false };
        while last != object {
            let child = self.object_at(passage.receiver, passage.buffer, last);
            let Some(Found::Buffer(child)) = child else { return false };
            if child.flags & BINDER_BUFFER_FLAG_HAS_PARENT == 0 {
                return false;
            }
            last = self.offset_in_table(passage.receiver, passage.buffer, child.parent);
            minimum = child.parent_offset + size_of::<u64>() as u64;
        }
        place >= minimum
    }

    fn address_of(&self, passage: &Passage<'_>) -> u64 {
        self.processes[passage.receiver].allocator.address_of(passage.buffer)
    }

    /// A place in the buffer of an object that has been changed already to lead to where its receiver sees it.
    fn place_in(&self, passage: &Passage<'_>, object: &BufferObject, offset: u64) -> u64 {
        object.buffer.wrapping_add(offset).wrapping_sub(self.address_of(passage))
    }

    /// The numbers of the descriptors that came in arrays of a buffer.
    pub(crate) fn descriptors_in_arrays(&self, process: Key<Process>, buffer: Key<Buffer>) -> Vec<u32> {
        let allocator = &self.processes[process].allocator;
        let start = allocator.address_of(buffer);
        let Some(content) = allocator.buffers[buffer].content else { return Vec::new() };
        let mut numbers = Vec::new();
        for index in 0..content.offsets_size / 8 {
            let Some(Found::FdArray(array)) = self.object_in_buffer(process, buffer, index) else { continue };
            // The place of an empty array may be any.
            if array.num_fds == 0 {
                continue;
            }
            let parent = self.object_in_buffer(process, buffer, array.parent);
            let Some(Found::Buffer(parent)) = parent else { continue };
            let place = (parent.buffer - start + array.parent_offset) as usize;
            let (all, _) = allocator.bytes(buffer)[place..].as_chunks();
            numbers.extend(all[..array.num_fds as usize].iter().map(|number| u32::from_ne_bytes(*number)));
        }
        numbers
    }
}
