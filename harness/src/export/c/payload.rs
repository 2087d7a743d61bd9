//! Payloads: how they are put into memory before they are sent, and looked at when they have come.

use std::fmt::Write;

use super::Refusal;
use super::names::{Names, long};
use crate::engine::payload::{
    self as layout, NO_PARENT, Placed, USUAL_BINDER_FLAGS, binder_type, buffer_flags, handle_type,
};
use crate::program::*;
use crate::script::fragment;

/// Puts items where they belong in what a variable points at. `bases` are the variables for the buffers of the objects.
pub(super) fn put(
    text: &mut String,
    at: &str,
    items: &[DataItem<Handle>],
    bases: &[Option<String>],
    names: &mut Names,
) -> Result<(), Refusal> {
    let mut object_index = 0;
    for Placed { offset, item, .. } in layout::place(items) {
        let at = place(at, offset);
        match item {
            DataItem::U32(value) => line(text, &format!("set_u32({at}, {});", word(*value))),
            DataItem::I32(value) => line(text, &format!("set_u32({at}, (__u32){value});")),
            DataItem::U64(value) => line(text, &format!("set_u64({at}, {});", long(*value))),
            DataItem::I64(value) => {
                line(text, &format!("set_u64({at}, {}); /* {value} */", long(*value as u64)))
            }
            DataItem::Str16(string) => line(text, &format!("set_str16({at}, {});", str16(string))),
            DataItem::Bytes(bytes) if bytes.is_empty() => {}
            DataItem::Bytes(bytes) => {
                line(text, &format!("memcpy({at}, {}, {});", array(bytes), bytes.len()))
            }
            DataItem::Zero(_) => {}
            DataItem::At(..) => unreachable!("placed items are without their places"),
            DataItem::Descriptor(descriptor) => {
                line(text, &format!("set_u32({at}, {});", names.descriptor(descriptor)));
            }
            DataItem::Pointer(index) => {
                let buffer = bases.get(*index as usize).cloned().flatten().ok_or(NO_BUFFER)?;
                line(text, &format!("set_u64({at}, {buffer});"));
            }
            DataItem::Object(object) => {
                put_object(text, &at, object, bases.get(object_index).cloned().flatten(), names);
                object_index += 1;
            }
        }
    }
    Ok(())
}

const NO_BUFFER: &str = "a pointer in the payload is to no buffer of it";

fn put_object(text: &mut String, at: &str, object: &Object<Handle>, base: Option<String>, names: &mut Names) {
    let flat = |object_type: u32, flags: u32, rest: String| {
        let object_type = fragment::object_type(object_type);
        format!(
            "set_object({at}, (struct flat_binder_object){{ .hdr.type = {object_type}, .flags = 0x{flags:x}, {rest} }});"
        )
    };
    line(
        text,
        &match object {
            Object::Binder { weak, object, flags } => flat(
                binder_type(*weak),
                flags.unwrap_or(USUAL_BINDER_FLAGS),
                format!(".binder = {}, .cookie = {}", names.pointer(object), names.cookie_of(object)),
            ),
            Object::Handle { weak, handle, flags } => {
                flat(handle_type(*weak), flags.unwrap_or(0), format!(".handle = {}", names.handle(handle)))
            }
            Object::Explicit { object_type, flags, binder, cookie } => flat(
                *object_type,
                *flags,
                format!(".binder = {}, .cookie = {}", long(*binder), long(*cookie)),
            ),
            Object::Fd { descriptor, flags, cookie } => format!(
                "set_fd({at}, (struct binder_fd_object){{ .hdr.type = BINDER_TYPE_FD, .pad_flags = 0x{flags:x}, .fd = {}, \
                 .cookie = {} }});",
                names.descriptor(descriptor),
                long(*cookie)
            ),
            Object::FdArray { count, parent, pad } => format!(
                "set_fd_array({at}, (struct binder_fd_array_object){{ .hdr.type = BINDER_TYPE_FDA, .pad = 0x{pad:x}, \
                 .num_fds = {}, .parent = {}, .parent_offset = {} }});",
                long(*count),
                long(parent.index),
                long(parent.offset)
            ),
            Object::Buffer(object) => {
                let parent = object.parent.unwrap_or(NO_PARENT);
                let length = layout::total_length(&layout::place(&object.content));
                format!(
                    "set_buffer({at}, (struct binder_buffer_object){{ .hdr.type = BINDER_TYPE_PTR, .flags = 0x{:x}, .buffer = \
                     {}, .length = {}, .parent = {}, .parent_offset = {} }});",
                    buffer_flags(object),
                    base.unwrap_or_else(|| "0".to_owned()),
                    long(object.length.unwrap_or(length)),
                    long(parent.index),
                    long(parent.offset)
                )
            }
        },
    );
}

/// Looks whether items came, in what a variable points at that is as long as they are. `objects` is the variable for the
/// whole payload, with the offset of each of its objects.
pub(super) fn check(
    text: &mut String,
    at: &str,
    items: &[DataItem<HandlePattern>],
    objects: (&str, &[u64]),
    names: &mut Names,
) -> Result<(), Refusal> {
    let mut end = 0;
    for Placed { offset, length, item } in layout::place(items) {
        if offset > end {
            expect(text, &format!("zeroes_at({}, {})", place(at, end), offset - end));
        }
        end = offset + length;
        let here = place(at, offset);
        match item {
            DataItem::U32(value) => expect(text, &format!("u32_at({here}) == {}", word(*value))),
            DataItem::I32(value) => expect(text, &format!("(__s32)u32_at({here}) == {value}")),
            DataItem::U64(value) => expect(text, &format!("u64_at({here}) == {}", long(*value))),
            DataItem::I64(value) => expect(text, &format!("u64_at({here}) == {}", long(*value as u64))),
            DataItem::Str16(string) => expect(text, &format!("str16_at({here}, {})", str16(string))),
            DataItem::Bytes(bytes) if bytes.is_empty() => {}
            DataItem::Bytes(bytes) => {
                // A comma in braces would end the argument of a macro.
                expect(text, &format!("(bytes_at({here}, {}, {}))", array(bytes), bytes.len()));
            }
            DataItem::Zero(0) => {}
            DataItem::Zero(count) => expect(text, &format!("zeroes_at({here}, {count})")),
            DataItem::At(..) => unreachable!("placed items are without their places"),
            DataItem::Descriptor(descriptor) => {
                check_descriptor(text, &format!("u32_at({here})"), descriptor, names)
            }
            DataItem::Pointer(index) => {
                let (data, offsets) = objects;
                let object = offsets.get(*index as usize).ok_or(NO_BUFFER)?;
                expect(text, &format!("u64_at({here}) == buffer_at({}).buffer", place(data, *object)));
            }
            DataItem::Object(object) => check_object(text, &here, offset, object, objects, names)?,
        }
    }
    Ok(())
}

fn check_descriptor(text: &mut String, number: &str, descriptor: &Descriptor, names: &mut Names) {
    match descriptor {
        Descriptor::Number(expected) => expect(text, &format!("{number} == {expected}u")),
        Descriptor::File(name) => {
            let file = names.file(name);
            expect(text, &format!("is_descriptor_for((int){number}, {file})"));
            line(text, &format!("names->files[{file}].descriptors[process] = (int){number};"));
        }
    }
}

fn check_object(
    text: &mut String,
    at: &str,
    offset: u64,
    object: &Object<HandlePattern>,
    objects: (&str, &[u64]),
    names: &mut Names,
) -> Result<(), Refusal> {
    let mut flat = |object_type: u32, flags: Option<u32>| {
        let object_type = fragment::object_type(object_type);
        expect(text, &format!("object_at({at}).hdr.type == {object_type}"));
        if let Some(flags) = flags {
            expect(text, &format!("object_at({at}).flags == 0x{flags:x}"));
        }
    };
    match object {
        Object::Binder { weak, object, flags } => {
            flat(binder_type(*weak), *flags);
            expect(text, &format!("object_at({at}).binder == {}", names.pointer(object)));
            expect(text, &format!("object_at({at}).cookie == {}", names.cookie_of(object)));
        }
        Object::Handle { weak, handle, flags } => {
            flat(handle_type(*weak), *flags);
            expect(text, &format!("object_at({at}).binder >> 32 == 0 && object_at({at}).cookie == 0"));
            match handle {
                HandlePattern::Any => {}
                HandlePattern::Bind(name) => {
                    let handle = names.bound_handle(name);
                    line(text, &format!("{handle} = object_at({at}).handle;"));
                }
                HandlePattern::Is(handle) => {
                    let handle = names.handle(handle);
                    expect(text, &format!("object_at({at}).handle == {handle}"));
                }
            }
        }
        Object::Explicit { object_type, flags, binder, cookie } => {
            flat(*object_type, Some(*flags));
            expect(text, &format!("object_at({at}).binder == {}", long(*binder)));
            expect(text, &format!("object_at({at}).cookie == {}", long(*cookie)));
        }
        Object::Fd { descriptor, flags, cookie } => {
            expect(text, &format!("fd_at({at}).hdr.type == BINDER_TYPE_FD"));
            expect(
                text,
                &format!("fd_at({at}).pad_flags == 0x{flags:x} && fd_at({at}).pad_binder >> 32 == 0"),
            );
            expect(text, &format!("fd_at({at}).cookie == {}", long(*cookie)));
            check_descriptor(text, &format!("fd_at({at}).fd"), descriptor, names);
        }
        Object::FdArray { count, parent, pad } => {
            expect(
                text,
                &format!(
                    "fd_array_at({at}).hdr.type == BINDER_TYPE_FDA && fd_array_at({at}).pad == 0x{pad:x}"
                ),
            );
            expect(text, &format!("fd_array_at({at}).num_fds == {}", long(*count)));
            expect(text, &format!("fd_array_at({at}).parent == {}", long(parent.index)));
            expect(text, &format!("fd_array_at({at}).parent_offset == {}", long(parent.offset)));
        }
        Object::Buffer(object) => {
            let parent = object.parent.unwrap_or(NO_PARENT);
            expect(text, &format!("buffer_at({at}).hdr.type == BINDER_TYPE_PTR"));
            expect(text, &format!("buffer_at({at}).flags == 0x{:x}", buffer_flags(object)));
            expect(text, &format!("buffer_at({at}).parent == {}", long(parent.index)));
            expect(text, &format!("buffer_at({at}).parent_offset == {}", long(parent.offset)));
            let length = layout::total_length(&layout::place(&object.content));
            if object.length.is_some() || object.buffer.is_none() {
                expect(text, &format!("buffer_at({at}).length == {}", long(object.length.unwrap_or(length))));
            }
            if let Some(address) = &object.buffer {
                expect(text, &format!("buffer_at({at}).buffer == {}", names.address(address)));
                return Ok(());
            }
            let content = format!("buffer_{offset}");
            line(text, "{");
            line(
                text,
                &format!(
                    "const unsigned char *{content} = fetch(buffer_at({at}).buffer, buffer_at({at}).length);"
                ),
            );
            text.push('\n');
            expect(text, &format!("{content} != NULL"));
            check(text, &content, &object.content, objects, names)?;
            line(text, "}");
        }
    }
    Ok(())
}

/// Adds a line to a function.
pub(super) fn line(text: &mut String, line: &str) {
    let _ = writeln!(text, "\t{line}");
}

/// Adds what must hold.
pub(super) fn expect(text: &mut String, condition: &str) {
    line(text, &format!("EXPECT({condition});"));
}

fn place(at: &str, offset: u64) -> String {
    if offset == 0 { at.to_owned() } else { format!("{at} + {offset}") }
}

/// A number of 32 bits.
pub(super) fn word(number: u32) -> String {
    if number < 0x1_0000 { format!("{number}u") } else { format!("0x{number:x}u") }
}

/// Bytes, as an argument.
pub(super) fn array(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("0x{byte:02x}")).collect();
    format!("(const unsigned char[]){{ {} }}", bytes.join(", "))
}

/// A string of 16-bit units, and how many there are, as two arguments.
fn str16(text: &str) -> String {
    let units: Vec<u16> = text.encode_utf16().collect();
    let is_plain = |unit: &u16| (0x20..0x7f).contains(unit) && ![0x22, 0x5c, 0x3f].contains(unit);
    if units.iter().all(is_plain) {
        return format!("u\"{text}\", {}", units.len());
    }
    let listed: Vec<String> = units.iter().map(|unit| format!("0x{unit:x}")).collect();
    format!("((const __u16[]){{ {} }}), {}", listed.join(", "), units.len())
}
