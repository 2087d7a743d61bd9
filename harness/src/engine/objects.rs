//! The objects of a payload that has arrived: what its table of offsets leads to. Nothing in it is trusted.

use reference_driver::uapi::*;
use xxhash_rust::xxh3::xxh3_128;
use zerocopy::FromBytes;

use super::decode::Received;

/// So many bytes of a payload are told one by one.
const LONGEST_TOLD: usize = 4096;

/// An object that arrived.
#[derive(Debug, Clone, Copy)]
pub(super) enum ArrivedObject {
    /// One of 24 bytes that is no descriptor, be its type known or not.
    Flat(FlatObject),
    Fd(FdObject),
    FdArray(FdArrayObject),
    Buffer(BufferObject),
}

impl ArrivedObject {
    /// The object that bytes begin with, if it is whole.
    pub(super) fn read(bytes: &[u8]) -> Option<ArrivedObject> {
        let (object_type, _) = u32::read_from_prefix(bytes).ok()?;
        Some(match object_type {
            BINDER_TYPE_FD => ArrivedObject::Fd(FdObject::read_from_prefix(bytes).ok()?.0),
            BINDER_TYPE_FDA => ArrivedObject::FdArray(FdArrayObject::read_from_prefix(bytes).ok()?.0),
            BINDER_TYPE_PTR => ArrivedObject::Buffer(BufferObject::read_from_prefix(bytes).ok()?.0),
            _ => ArrivedObject::Flat(FlatObject::read_from_prefix(bytes).ok()?.0),
        })
    }

    /// Its length in bytes.
    pub(super) fn size(&self) -> usize {
        match self {
            ArrivedObject::Flat(_) => size_of::<FlatObject>(),
            ArrivedObject::Fd(_) => size_of::<FdObject>(),
            ArrivedObject::FdArray(_) => size_of::<FdArrayObject>(),
            ArrivedObject::Buffer(_) => size_of::<BufferObject>(),
        }
    }
}

impl Received {
    /// The table of offsets.
    pub(super) fn table(&self) -> Vec<u64> {
        let (entries, _) = self.offsets.as_deref().unwrap_or_default().as_chunks();
        entries.iter().map(|entry| u64::from_le_bytes(*entry)).collect()
    }

    /// The object at this offset of the payload, if there is one.
    pub(super) fn object(&self, offset: u64) -> Option<ArrivedObject> {
        ArrivedObject::read(self.data.as_deref()?.get(usize::try_from(offset).ok()?..)?)
    }

    /// Objects, each with its place in the table of offsets and its offset in the payload.
    pub(super) fn objects(&self) -> impl Iterator<Item = (u64, u64, ArrivedObject)> {
        let places = (0..).zip(self.table());
        places.filter_map(|(index, offset)| Some((index, offset, self.object(offset)?)))
    }

    /// The scatter-gather buffer at this place of the table of offsets, as its object tells of it.
    pub(super) fn buffer(&self, index: u64) -> Option<BufferObject> {
        let offset = *self.table().get(usize::try_from(index).ok()?)?;
        match self.object(offset)? {
            ArrivedObject::Buffer(buffer) => Some(buffer),
            _ => None,
        }
    }

    /// The numbers of the descriptors that an array speaks of, each with its offset in the parent's buffer, as far as
    /// they are in memory.
    pub(super) fn numbers(&self, array: &FdArrayObject) -> Vec<(u64, u32)> {
        let content = || {
            let offset = *self.table().get(usize::try_from(array.parent).ok()?)?;
            self.buffers.get(&offset)
        };
        let Some(content) = content() else { return Vec::new() };
        let start = usize::try_from(array.parent_offset).unwrap_or(usize::MAX);
        let (numbers, _) = content.get(start..).unwrap_or_default().as_chunks();
        let places = (array.parent_offset..).step_by(size_of::<u32>());
        let numbers = numbers.iter().map(|number| u32::from_le_bytes(*number));
        places.zip(numbers).take(usize::try_from(array.num_fds).unwrap_or(usize::MAX)).collect()
    }

    /// The payload in hexadecimal, with dots for what the driver was free to choose: numbers of descriptors and
    /// addresses of buffers. Of one longer than [`LONGEST_TOLD`], its length and a hash, for which these are zeroes.
    pub(super) fn masked(&self) -> Option<String> {
        let data = self.data.as_deref()?;
        let free = self.objects().filter_map(|(_, offset, object)| {
            let free = match object {
                ArrivedObject::Fd(_) => 8..12,
                ArrivedObject::Buffer(_) => 8..16,
                ArrivedObject::Flat(_) | ArrivedObject::FdArray(_) => return None,
            };
            // The object was read from there, so it lies within the payload.
            let start = offset as usize;
            Some(start + free.start..start + free.end)
        });
        if data.len() > LONGEST_TOLD {
            let mut data = data.to_vec();
            free.for_each(|free| data[free].fill(0));
            return Some(format!("{} bytes, XXH3 {:032x}", data.len(), xxh3_128(&data)));
        }
        let mut text = vec![0; 2 * data.len()];
        hex::encode_to_slice(data, &mut text).expect("there is room for two digits a byte");
        free.for_each(|free| text[free.start * 2..free.end * 2].fill(b'.'));
        Some(String::from_utf8(text).expect("digits and dots are text"))
    }
}
