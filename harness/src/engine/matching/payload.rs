//! Matching of payloads: item by item, then the table of offsets.

use reference_driver::uapi::{FlatObject, PointerCookie};
use zerocopy::FromBytes;

use super::{Reader, Refusal, differs};
use crate::engine::describe;
use crate::engine::payload::{
    Placed, binder_type, handle_type, object_offsets, place, plain_bytes, read_str16, total_length,
};
use crate::engine::symbols::NewBindings;
use crate::engine::wording;
use crate::program::{DataItem, HandlePattern, Object, PayloadPattern};
use crate::script::fragment;

impl Reader<'_> {
    /// Matches a payload and its table of offsets, which is `offsets` or else where the objects are.
    pub(super) fn match_payload(
        &self,
        expected: &PayloadPattern,
        offsets: Option<&[u64]>,
        data: &[u8],
        table: &[u8],
        bindings: &mut NewBindings<'_>,
    ) -> Result<(), Refusal> {
        let placed = place(expected);
        let total = total_length(&placed);
        // Bytes that no item is at must be 0.
        let mut end = 0;
        for item in &placed {
            match_zeroes(data, end, item.offset)?;
            let bytes = usize::try_from(item.offset)
                .ok()
                .zip(usize::try_from(item.length).ok())
                .and_then(|(start, length)| data.get(start..start.checked_add(length)?));
            let Some(bytes) = bytes else {
                return differs(format!("the payload is {} bytes long, not {total}", data.len()));
            };
            self.match_item(item, bytes, bindings)?;
            end = item.offset + item.length;
        }
        if data.len() as u64 != total {
            return differs(format!("the payload is {} bytes long, not {total}", data.len()));
        }
        let expected = offsets.map_or_else(|| object_offsets(&placed), <[u64]>::to_vec);
        match_offsets(&expected, table)
    }

    fn match_item(
        &self,
        item: &Placed<'_, HandlePattern>,
        came: &[u8],
        bindings: &mut NewBindings<'_>,
    ) -> Result<(), Refusal> {
        let at = item.offset;
        let DataItem::Object(object) = item.item else {
            let expected = plain_bytes(item.item).expect("only objects have no bytes of their own");
            return match_plain(at, item.item, &expected, came);
        };
        let flat = FlatObject::read_from_bytes(came).expect("an object's item has an object's length");
        let (object_type, flags) = match object {
            Object::Binder { weak, flags, .. } => (binder_type(*weak), *flags),
            Object::Handle { weak, flags, .. } => (handle_type(*weak), *flags),
            Object::Explicit { object_type, flags, .. } => (*object_type, Some(*flags)),
        };
        let field_differs = |field: &str, came: String, expected: String| {
            differs(format!("the object at byte {at} of the payload has {field} {came}, not {expected}"))
        };
        if flat.object_type != object_type {
            let show = fragment::object_type;
            return field_differs("type", show(flat.object_type), show(object_type));
        }
        if let Some(flags) = flags
            && flat.flags != flags
        {
            return field_differs("flags", format!("0x{:x}", flat.flags), format!("0x{flags:x}"));
        }
        match object {
            Object::Binder { object, .. } => {
                let numbers = PointerCookie { pointer: flat.binder, cookie: flat.cookie };
                let what = format!("the object at byte {at} of the payload");
                self.match_node(&what, &crate::program::Node::Object(object.clone()), numbers)
            }
            Object::Handle { handle, .. } => {
                let Ok(number) = u32::try_from(flat.binder) else {
                    return field_differs(
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
                            return field_differs("handle", number.to_string(), name);
                        }
                    }
                }
                match flat.cookie {
                    0 => Ok(()),
                    cookie => field_differs("cookie", format!("0x{cookie:x}"), "0".into()),
                }
            }
            Object::Explicit { binder, cookie, .. } => {
                if flat.binder != *binder {
                    return field_differs("binder", format!("0x{:x}", flat.binder), format!("0x{binder:x}"));
                }
                if flat.cookie != *cookie {
                    return field_differs("cookie", format!("0x{:x}", flat.cookie), format!("0x{cookie:x}"));
                }
                Ok(())
            }
        }
    }
}

/// Matches an item that has bytes of its own.
fn match_plain(at: u64, item: &DataItem<HandlePattern>, expected: &[u8], came: &[u8]) -> Result<(), Refusal> {
    let Some(first) = expected.iter().zip(came).position(|(expected, came)| expected != came) else {
        return Ok(());
    };
    let word = |at: u64| format!("the payload differs at byte {at}");
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
fn match_zeroes(data: &[u8], start: u64, end: u64) -> Result<(), Refusal> {
    let length = data.len() as u64;
    let (start, end) = (start.min(length) as usize, end.min(length) as usize);
    match data.get(start..end).and_then(|gap| gap.iter().position(|byte| *byte != 0)) {
        Some(place) => {
            let at = start + place;
            differs(format!("the payload differs at byte {at}: it is 0x{:02x}, not 0x00", data[at]))
        }
        None => Ok(()),
    }
}

fn match_offsets(expected: &[u64], table: &[u8]) -> Result<(), Refusal> {
    let expected_size = expected.len() * 8;
    let entries = table.chunks_exact(8);
    let came: Vec<u64> = entries.map(|e| u64::from_le_bytes(e.try_into().expect("chunks of 8"))).collect();
    for (index, (came, expected)) in came.iter().zip(expected).enumerate() {
        if came != expected {
            return differs(format!("offset {index} is {came}, not {expected}"));
        }
    }
    if table.len() != expected_size {
        return differs(format!("the table of offsets is {} bytes long, not {expected_size}", table.len()));
    }
    Ok(())
}
