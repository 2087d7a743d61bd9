//! Matching of payloads: item by item, then the table of offsets.

use reference_driver::uapi::{BINDER_TYPE_FD, BINDER_TYPE_FDA, BINDER_TYPE_PTR, FlatObject, PointerCookie};
use zerocopy::FromBytes;

use super::{Reader, Refusal, differs};
use crate::engine::bindings::NewBindings;
use crate::engine::decode::Received;
use crate::engine::describe;
use crate::engine::objects::ArrivedObject;
use crate::engine::payload::{
    NO_PARENT, Placed, binder_type, buffer_flags, handle_type, object_offsets, place, plain_bytes,
    read_str16, total_length,
};
use crate::engine::wording;
use crate::program::{BufferObject, DataItem, Descriptor, HandlePattern, Name, Object, PayloadPattern};
use crate::script::fragment;

/// Bytes that are matched: a payload, or what is in one of its buffers.
#[derive(Clone, Copy)]
struct Part<'a> {
    bytes: &'a [u8],
    /// The offset of the object whose buffer it is; `None` for the payload itself.
    buffer_of: Option<u64>,
}

impl std::fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.buffer_of {
            None => f.write_str("the payload"),
            Some(offset) => write!(f, "the buffer of the object at byte {offset}"),
        }
    }
}

impl Reader<'_> {
    /// Matches a payload and its table of offsets, which is `offsets` or else where the objects are.
    pub(super) fn match_payload(
        &self,
        expected: &PayloadPattern,
        offsets: Option<&[u64]>,
        came: &Received,
        bindings: &mut NewBindings<'_>,
    ) -> Result<(), Refusal> {
        let payload = Part { bytes: came.data.as_deref().unwrap_or_default(), buffer_of: None };
        self.match_items(expected, payload, came, bindings)?;
        let places = object_offsets(&place(expected));
        match_offsets(offsets.unwrap_or(&places), came.offsets.as_deref().unwrap_or_default())
    }

    /// Matches items, which must be all there is in a part.
    fn match_items(
        &self,
        expected: &PayloadPattern,
        part: Part<'_>,
        came: &Received,
        bindings: &mut NewBindings<'_>,
    ) -> Result<(), Refusal> {
        let placed = place(expected);
        let total = total_length(&placed);
        let data = part.bytes;
        // Bytes that no item is at must be 0.
        let mut end = 0;
        for item in &placed {
            match_zeroes(part, end, item.offset)?;
            let bytes = usize::try_from(item.offset)
                .ok()
                .zip(usize::try_from(item.length).ok())
                .and_then(|(start, length)| data.get(start..start.checked_add(length)?));
            let Some(bytes) = bytes else {
                return differs(format!("{part} is {} bytes long, not {total}", data.len()));
            };
            self.match_item(item, Part { bytes, ..part }, came, bindings)?;
            end = item.offset + item.length;
        }
        if data.len() as u64 != total {
            return differs(format!("{part} is {} bytes long, not {total}", data.len()));
        }
        Ok(())
    }

    /// Matches an item, whose bytes are those of the part that it is in.
    fn match_item(
        &self,
        item: &Placed<'_, HandlePattern>,
        part: Part<'_>,
        came: &Received,
        bindings: &mut NewBindings<'_>,
    ) -> Result<(), Refusal> {
        let at = item.offset;
        let object = match item.item {
            DataItem::Object(object) => object,
            DataItem::Descriptor(descriptor) => {
                let number = u32::from_le_bytes(part.bytes.try_into().expect("its item has 4 bytes"));
                let what = format!("the number at byte {at} of {part}");
                return self.match_descriptor(&what, descriptor, number, came, bindings);
            }
            DataItem::Pointer(index) => {
                let address = u64::from_le_bytes(part.bytes.try_into().expect("its item has 8 bytes"));
                return match came.buffer((*index).into()) {
                    Some(buffer) if buffer.buffer == address => Ok(()),
                    Some(_) => differs(format!(
                        "the pointer at byte {at} of {part} does not lead to the buffer of object {index}"
                    )),
                    None => differs(format!("there is no object {index} with a buffer")),
                };
            }
            plain => {
                let expected = plain_bytes(plain).expect("all other items have bytes of their own");
                return match_plain(at, plain, &expected, part);
            }
        };
        let (object_type, _) = u32::read_from_prefix(part.bytes).expect("every object has a type");
        let expected_type = match object {
            Object::Binder { weak, .. } => binder_type(*weak),
            Object::Handle { weak, .. } => handle_type(*weak),
            Object::Explicit { object_type, .. } => *object_type,
            Object::Fd { .. } => BINDER_TYPE_FD,
            Object::FdArray { .. } => BINDER_TYPE_FDA,
            Object::Buffer(_) => BINDER_TYPE_PTR,
        };
        let this = ObjectAt { at };
        if object_type != expected_type {
            let show = fragment::object_type;
            return this.differs("type", show(object_type), show(expected_type));
        }
        // Its item has the length of an object of its type.
        match (object, ArrivedObject::read(part.bytes)) {
            (Object::Fd { descriptor, flags, cookie }, Some(ArrivedObject::Fd(fd))) => {
                this.hexadecimal("flags", fd.flags, *flags)?;
                this.hexadecimal("cookie", fd.cookie, *cookie)?;
                this.hexadecimal("the bytes behind its descriptor", fd.padding, 0_u32)?;
                self.match_descriptor(&this, descriptor, fd.fd, came, bindings)
            }
            (Object::FdArray { count, parent, pad }, Some(ArrivedObject::FdArray(array))) => {
                this.decimal("so many descriptors:", array.num_fds, *count)?;
                this.decimal("parent", array.parent, parent.index)?;
                this.decimal("offset", array.parent_offset, parent.offset)?;
                this.hexadecimal("pad", array.padding, *pad)
            }
            (Object::Buffer(expected), Some(ArrivedObject::Buffer(buffer))) => {
                self.match_buffer(this, expected, &buffer, came, bindings)
            }
            _ => {
                let flat = FlatObject::read_from_bytes(part.bytes).expect("all others are of 24 bytes");
                self.match_flat(this, object, &flat, bindings)
            }
        }
    }

    fn match_descriptor(
        &self,
        what: &dyn std::fmt::Display,
        expected: &Descriptor,
        number: u32,
        came: &Received,
        bindings: &mut NewBindings<'_>,
    ) -> Result<(), Refusal> {
        let name = match expected {
            Descriptor::Number(expected) if number == *expected => return Ok(()),
            Descriptor::Number(expected) => {
                return differs(format!("{what} has descriptor {number}, not {expected}"));
            }
            Descriptor::File(name) => name,
        };
        let Some(state) = came.descriptors.get(&number) else {
            return differs(format!(
                "{what} is no descriptor that the receiver has, and must be one for {name}"
            ));
        };
        if state.file != Some(self.symbols.file(name)) {
            let file = state.file.and_then(|file| self.symbols.file_named(file));
            let other = file.map_or("another file".to_owned(), Name::to_string);
            return differs(format!("{what} is a descriptor for {other}, not for {name}"));
        }
        if !state.close_on_exec {
            return differs(format!("{what} is a descriptor for {name} that is not close-on-exec"));
        }
        bindings.bind_descriptor(self.process, name.clone(), number);
        Ok(())
    }

    fn match_buffer(
        &self,
        this: ObjectAt,
        expected: &BufferObject<HandlePattern>,
        buffer: &reference_driver::uapi::BufferObject,
        came: &Received,
        bindings: &mut NewBindings<'_>,
    ) -> Result<(), Refusal> {
        this.hexadecimal("flags", buffer.flags, buffer_flags(expected))?;
        let parent = expected.parent.unwrap_or(NO_PARENT);
        this.decimal("parent", buffer.parent, parent.index)?;
        this.decimal("offset", buffer.parent_offset, parent.offset)?;
        if let Some(length) = expected.length {
            this.decimal("length", buffer.length, length)?;
        }
        if let Some(address) = &expected.buffer {
            this.hexadecimal("buffer", buffer.buffer, bindings.address(address)?)?;
            return Ok(());
        }
        let Some(content) = came.buffers.get(&this.at) else {
            return differs(format!(
                "the {} bytes of the buffer of {this} lie where the receiver has no memory",
                buffer.length
            ));
        };
        let part = Part { bytes: content, buffer_of: Some(this.at) };
        self.match_items(&expected.content, part, came, bindings)
    }

    fn match_flat(
        &self,
        this: ObjectAt,
        object: &Object<HandlePattern>,
        flat: &FlatObject,
        bindings: &mut NewBindings<'_>,
    ) -> Result<(), Refusal> {
        let flags = match object {
            Object::Binder { flags, .. } | Object::Handle { flags, .. } => *flags,
            Object::Explicit { flags, .. } => Some(*flags),
            Object::Fd { .. } | Object::FdArray { .. } | Object::Buffer(_) => None,
        };
        if let Some(flags) = flags {
            this.hexadecimal("flags", flat.flags, flags)?;
        }
        match object {
            Object::Binder { object, .. } => {
                let numbers = PointerCookie { pointer: flat.binder, cookie: flat.cookie };
                self.match_node(&this, &crate::program::Node::Object(object.clone()), numbers)
            }
            Object::Handle { handle, .. } => {
                let Ok(number) = u32::try_from(flat.binder) else {
                    return this.differs(
                        "the handle",
                        format!("0x{:x}", flat.binder),
                        "one of 32 bits".into(),
                    );
                };
                match handle {
                    HandlePattern::Any => {}
                    HandlePattern::Bind(name) => bindings.bind_handle(name.clone(), number),
                    HandlePattern::Is(handle) => {
                        let expected = bindings.handle(handle)?;
                        if number != expected {
                            let name = wording::handle(handle, expected);
                            return this.differs("handle", number.to_string(), name);
                        }
                    }
                }
                match flat.cookie {
                    0 => Ok(()),
                    cookie => this.differs("cookie", format!("0x{cookie:x}"), "0".into()),
                }
            }
            Object::Explicit { binder, cookie, .. } => {
                this.hexadecimal("binder", flat.binder, *binder)?;
                this.hexadecimal("cookie", flat.cookie, *cookie)
            }
            Object::Fd { .. } | Object::FdArray { .. } | Object::Buffer(_) => Ok(()),
        }
    }
}

/// An object, by its offset in the payload.
#[derive(Clone, Copy)]
struct ObjectAt {
    at: u64,
}

impl std::fmt::Display for ObjectAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the object at byte {} of the payload", self.at)
    }
}

impl ObjectAt {
    fn differs(self, field: &str, came: String, expected: String) -> Result<(), Refusal> {
        differs(format!("{self} has {field} {came}, not {expected}"))
    }

    fn hexadecimal<T: PartialEq + std::fmt::LowerHex>(
        self,
        field: &str,
        came: T,
        expected: T,
    ) -> Result<(), Refusal> {
        if came == expected {
            return Ok(());
        }
        self.differs(field, format!("0x{came:x}"), format!("0x{expected:x}"))
    }

    fn decimal(self, field: &str, came: u64, expected: u64) -> Result<(), Refusal> {
        if came == expected {
            return Ok(());
        }
        self.differs(field, came.to_string(), expected.to_string())
    }
}

/// Matches an item that has bytes of its own.
fn match_plain(
    at: u64,
    item: &DataItem<HandlePattern>,
    expected: &[u8],
    part: Part<'_>,
) -> Result<(), Refusal> {
    let came = part.bytes;
    if came == expected {
        return Ok(());
    }
    let Some(first) = expected.iter().zip(came).position(|(expected, came)| expected != came) else {
        return Ok(());
    };
    let word = |at: u64| format!("{part} differs at byte {at}");
    let at_byte = || {
        let place = word(at + first as u64);
        format!("{place}: it is 0x{:02x}, not 0x{:02x}", came[first], expected[first])
    };
    differs(match item {
        DataItem::Str16(text) => match read_str16(came) {
            Some((other, _)) => format!("{}: the string is {other:?}, not {text:?}", word(at)),
            None => at_byte(),
        },
        DataItem::Bytes(_) | DataItem::Zero(_) => at_byte(),
        scalar => {
            let (came, _) = describe::read_like(scalar, came).expect("a scalar's item has a scalar's length");
            format!("{}: it is {}, not {}", word(at), fragment::data_item(&came), fragment::data_item(scalar))
        }
    })
}

/// The bytes from `start` to `end` must be 0, as far as they are there.
fn match_zeroes(part: Part<'_>, start: u64, end: u64) -> Result<(), Refusal> {
    let data = part.bytes;
    let length = data.len() as u64;
    let (start, end) = (start.min(length) as usize, end.min(length) as usize);
    match data.get(start..end).and_then(|gap| gap.iter().position(|byte| *byte != 0)) {
        Some(place) => {
            let at = start + place;
            differs(format!("{part} differs at byte {at}: it is 0x{:02x}, not 0x00", data[at]))
        }
        None => Ok(()),
    }
}

fn match_offsets(expected: &[u64], table: &[u8]) -> Result<(), Refusal> {
    let expected_size = expected.len() * 8;
    let (entries, _) = table.as_chunks();
    let came = entries.iter().map(|entry| u64::from_le_bytes(*entry));
    for (index, (came, expected)) in came.zip(expected).enumerate() {
        if came != *expected {
            return differs(format!("offset {index} is {came}, not {expected}"));
        }
    }
    if table.len() != expected_size {
        return differs(format!("the table of offsets is {} bytes long, not {expected_size}", table.len()));
    }
    Ok(())
}
