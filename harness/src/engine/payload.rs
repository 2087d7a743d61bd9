//! Payloads as bytes: where each item lies, and what it is made of.

use reference_driver::uapi::{
    BINDER_BUFFER_FLAG_HAS_PARENT, BINDER_TYPE_BINDER, BINDER_TYPE_FD, BINDER_TYPE_FDA, BINDER_TYPE_HANDLE,
    BINDER_TYPE_PTR, BINDER_TYPE_WEAK_BINDER, BINDER_TYPE_WEAK_HANDLE, FdArrayObject, FdObject, FlatObject,
};
use smallvec::SmallVec;
use zerocopy::IntoBytes;

use super::bindings::Bindings;
use super::fault::ScriptFault;
use super::symbols::Symbols;
use crate::program::{BufferObject, DataItem, Handle, Object, Parent};

/// Flags of a local object about which a script says nothing: the least priority, and descriptors are taken.
pub(crate) const USUAL_BINDER_FLAGS: u32 = 0x17f;

/// Where an item of a payload lies.
#[derive(Debug)]
pub(crate) struct Placed<'a, H> {
    /// Bytes from the start of the payload.
    pub(crate) offset: u64,
    /// Its length in bytes.
    pub(crate) length: u64,
    /// The item, never [`DataItem::At`].
    pub(crate) item: &'a DataItem<H>,
}

/// Where each item lies. No length overflows: a place past all addresses is the last address.
pub(crate) fn place<H>(items: &[DataItem<H>]) -> SmallVec<[Placed<'_, H>; 4]> {
    let mut end: u64 = 0;
    let mut placed = SmallVec::with_capacity(items.len());
    for mut item in items {
        let mut offset = natural_offset(item, end);
        while let DataItem::At(place, inner) = item {
            offset = *place;
            item = inner;
        }
        let length = length(item);
        end = offset.saturating_add(length);
        placed.push(Placed { offset, length, item });
    }
    placed
}

/// Where an item begins that follows what ends here.
pub(crate) fn natural_offset<H>(item: &DataItem<H>, end: u64) -> u64 {
    match item {
        DataItem::Object(_) | DataItem::Str16(_) => end.checked_next_multiple_of(4).unwrap_or(u64::MAX),
        _ => end,
    }
}

/// How long the payload is in which items lie so.
pub(crate) fn total_length<H>(placed: &[Placed<'_, H>]) -> u64 {
    placed.iter().map(|item| item.offset.saturating_add(item.length)).max().unwrap_or(0)
}

/// How long the payload is up to where there is nothing but zeroes.
pub(crate) fn length_without_zeroes<H>(placed: &[Placed<'_, H>]) -> u64 {
    let with_bytes = placed.iter().filter(|item| !matches!(item.item, DataItem::Zero(_)));
    with_bytes.map(|item| item.offset.saturating_add(item.length)).max().unwrap_or(0)
}

/// Where the objects are among items that lie so.
pub(crate) fn object_offsets<H>(placed: &[Placed<'_, H>]) -> SmallVec<[u64; 4]> {
    let objects = placed.iter().filter(|placed| matches!(placed.item, DataItem::Object(_)));
    objects.map(|placed| placed.offset).collect()
}

fn length<H>(item: &DataItem<H>) -> u64 {
    match item {
        DataItem::U32(_) | DataItem::I32(_) | DataItem::Descriptor(_) => 4,
        DataItem::U64(_) | DataItem::I64(_) | DataItem::Pointer(_) => 8,
        // The number of units, the units and a NUL, up to 4 bytes.
        DataItem::Str16(text) => (4 + 2 * (text.encode_utf16().count() as u64 + 1)).next_multiple_of(4),
        DataItem::Bytes(bytes) => bytes.len() as u64,
        DataItem::Zero(count) => *count,
        DataItem::At(_, inner) => length(inner),
        DataItem::Object(object) => object.size(),
    }
}

/// A string as Parcel writes it: the number of UTF-16 units, the units, a NUL, and zeroes up to 4 bytes.
pub(crate) fn str16(text: &str) -> Vec<u8> {
    let units: Vec<u16> = text.encode_utf16().collect();
    let mut bytes = Vec::with_capacity(4 + 2 * units.len() + 4);
    bytes.extend_from_slice(&(units.len() as u32).to_le_bytes());
    units.iter().chain(&[0]).for_each(|unit| bytes.extend_from_slice(&unit.to_le_bytes()));
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The string that bytes hold as Parcel writes it, and how many bytes it takes.
pub(crate) fn read_str16(bytes: &[u8]) -> Option<(String, usize)> {
    let (count, rest) = bytes.split_first_chunk::<4>()?;
    let units = rest.get(..usize::try_from(u32::from_le_bytes(*count)).ok()?.checked_mul(2)?)?;
    let units: Vec<u16> = units.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
    let text = String::from_utf16(&units).ok()?;
    let encoded = str16(&text);
    bytes.starts_with(&encoded).then_some((text, encoded.len()))
}

/// The bytes of an item. Those of objects and scalars take no allocation.
pub(crate) type Encoded = SmallVec<[u8; 40]>;

/// The bytes of scalar items; `None` for those whose bytes depend on who sees them.
pub(crate) fn plain_bytes<H>(item: &DataItem<H>) -> Option<Encoded> {
    match item {
        DataItem::U32(value) => Some(Encoded::from_slice(&value.to_le_bytes())),
        DataItem::I32(value) => Some(Encoded::from_slice(&value.to_le_bytes())),
        DataItem::U64(value) => Some(Encoded::from_slice(&value.to_le_bytes())),
        DataItem::I64(value) => Some(Encoded::from_slice(&value.to_le_bytes())),
        DataItem::Str16(text) => Some(Encoded::from_vec(str16(text))),
        DataItem::Bytes(bytes) => Some(Encoded::from_slice(bytes)),
        DataItem::Zero(count) => Some(Encoded::from_elem(0, usize::try_from(*count).ok()?)),
        DataItem::At(_, inner) => plain_bytes(inner),
        DataItem::Descriptor(_) | DataItem::Pointer(_) | DataItem::Object(_) => None,
    }
}

/// The object type of a local object.
pub(crate) fn binder_type(weak: bool) -> u32 {
    if weak { BINDER_TYPE_WEAK_BINDER } else { BINDER_TYPE_BINDER }
}

/// The object type of a remote object.
pub(crate) fn handle_type(weak: bool) -> u32 {
    if weak { BINDER_TYPE_WEAK_HANDLE } else { BINDER_TYPE_HANDLE }
}

/// Who sends a payload.
pub(super) struct Sender<'a> {
    pub(super) symbols: &'a Symbols,
    pub(super) bindings: &'a Bindings,
    /// Which process it is.
    pub(super) process: usize,
    /// For each object of the payload, where its buffer lies, and the length of what is in there, if it has one.
    pub(super) buffers: SmallVec<[Option<(u64, u64)>; 4]>,
}

impl Sender<'_> {
    /// Writes items as they are sent, be they a whole payload or what is in a buffer, over zeroes that have room for them, but
    /// not for zeroes at the end.
    pub(super) fn encode(&self, placed: &[Placed<'_, Handle>], bytes: &mut [u8]) -> Result<(), ScriptFault> {
        let mut objects = 0;
        for Placed { offset, length, item } in placed {
            let encoded = match item {
                DataItem::Zero(_) => {
                    // There are zeroes already, unless it lies where another item does.
                    let [start, end] = [*offset, offset + length].map(|at| bytes.len().min(at as usize));
                    bytes[start..end].fill(0);
                    continue;
                }
                DataItem::Object(object) => {
                    objects += 1;
                    self.object(object, objects - 1)?
                }
                DataItem::Descriptor(descriptor) => {
                    Encoded::from_slice(&self.bindings.descriptor(self.process, descriptor)?.to_le_bytes())
                }
                DataItem::Pointer(index) => {
                    let buffer = self.buffers.get(*index as usize).copied().flatten();
                    let (address, _) = buffer.ok_or(ScriptFault::NoBuffer(*index))?;
                    Encoded::from_slice(&address.to_le_bytes())
                }
                plain => plain_bytes(plain).expect("all other items have bytes of their own"),
            };
            // Within the total, which was found to fit into memory.
            let start = *offset as usize;
            bytes[start..start + *length as usize].copy_from_slice(&encoded);
        }
        Ok(())
    }

    fn object(&self, object: &Object<Handle>, index: usize) -> Result<Encoded, ScriptFault> {
        let flat = match object {
            Object::Binder { weak, object, flags } => {
                let numbers = self.symbols.object(object);
                FlatObject {
                    object_type: binder_type(*weak),
                    flags: flags.unwrap_or(USUAL_BINDER_FLAGS),
                    binder: numbers.pointer,
                    cookie: numbers.cookie,
                }
            }
            Object::Handle { weak, handle, flags } => FlatObject {
                object_type: handle_type(*weak),
                flags: flags.unwrap_or(0),
                binder: self.bindings.handle(handle)?.into(),
                cookie: 0,
            },
            Object::Explicit { object_type, flags, binder, cookie } => {
                FlatObject { object_type: *object_type, flags: *flags, binder: *binder, cookie: *cookie }
            }
            Object::Fd { descriptor, flags, cookie } => {
                let fd = self.bindings.descriptor(self.process, descriptor)?;
                let object =
                    FdObject { object_type: BINDER_TYPE_FD, flags: *flags, fd, padding: 0, cookie: *cookie };
                return Ok(Encoded::from_slice(object.as_bytes()));
            }
            Object::FdArray { count, parent, pad } => {
                let object = FdArrayObject {
                    object_type: BINDER_TYPE_FDA,
                    padding: *pad,
                    num_fds: *count,
                    parent: parent.index,
                    parent_offset: parent.offset,
                };
                return Ok(Encoded::from_slice(object.as_bytes()));
            }
            Object::Buffer(object) => {
                let (buffer, length) = self.buffers.get(index).copied().flatten().unwrap_or_default();
                let parent = object.parent.unwrap_or(NO_PARENT);
                let object = reference_driver::uapi::BufferObject {
                    object_type: BINDER_TYPE_PTR,
                    flags: buffer_flags(object),
                    buffer,
                    length: object.length.unwrap_or(length),
                    parent: parent.index,
                    parent_offset: parent.offset,
                };
                return Ok(Encoded::from_slice(object.as_bytes()));
            }
        };
        Ok(Encoded::from_slice(flat.as_bytes()))
    }
}

/// What stands where a buffer without a parent has the place of one.
pub(crate) const NO_PARENT: Parent = Parent { index: 0, offset: 0 };

/// The flags of a scatter-gather buffer.
pub(crate) fn buffer_flags<H>(object: &BufferObject<H>) -> u32 {
    object.flags.unwrap_or(if object.parent.is_some() { BINDER_BUFFER_FLAG_HAS_PARENT } else { 0 })
}

/// The objects of a payload, in order.
pub(crate) fn objects<H>(items: &[DataItem<H>]) -> impl Iterator<Item = &Object<H>> {
    items.iter().filter_map(|item| match item.without_place() {
        DataItem::Object(object) => Some(object),
        _ => None,
    })
}
