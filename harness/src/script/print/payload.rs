//! Printing payloads.

use super::layout::Statement;
use super::operand::{
    address, buffer_flags, descriptor, handle, handle_pattern, hexadecimal, number, object_flags,
    object_type, rounded_size, size, string,
};
use super::separated;
use crate::program::{BufferObject, DataItem, Handle, HandlePattern, Object, Parent};

/// A handle of a payload, be it one that is sent or one that is expected.
pub(crate) trait PayloadHandle {
    fn text(&self) -> String;
}

impl PayloadHandle for Handle {
    fn text(&self) -> String {
        handle(self)
    }
}

impl PayloadHandle for HandlePattern {
    fn text(&self) -> String {
        handle_pattern(self)
    }
}

/// `[ ITEM, … ]`
pub(super) fn payload<H: PayloadHandle>(statement: &mut Statement, items: &[DataItem<H>]) {
    if items.is_empty() {
        return statement.put("[]");
    }
    statement.open("[ ");
    separated(statement, ",", items, item);
    statement.close(" ]");
}

pub(super) fn item<H: PayloadHandle>(statement: &mut Statement, item_to_print: &DataItem<H>) {
    match item_to_print {
        DataItem::U32(value) => statement.put(&format!("u32 {}", number((*value).into()))),
        DataItem::I32(value) => statement.put(&format!("i32 {value}")),
        DataItem::U64(value) => statement.put(&format!("u64 {}", number(*value))),
        DataItem::I64(value) => statement.put(&format!("i64 {value}")),
        DataItem::Str16(text) => statement.put(&format!("str16 {}", string(text))),
        DataItem::Bytes(values) => bytes(statement, values),
        DataItem::Zero(length) => statement.put(&format!("zero {}", rounded_size(*length))),
        DataItem::At(place, inner) => {
            statement.put(&format!("at {} ", size(*place)));
            item(statement, inner);
        }
        DataItem::Descriptor(value) => statement.put(&format!("descriptor {}", descriptor(value))),
        DataItem::Pointer(index) => statement.put(&format!("pointer {index}")),
        DataItem::Object(value) => object(statement, value),
    }
}

/// `bytes 00 01 ff`. Within brackets it may be broken between any two bytes.
pub(super) fn bytes(statement: &mut Statement, bytes: &[u8]) {
    statement.put("bytes");
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 && statement.is_within_brackets() {
            statement.separate("");
            statement.put(&format!("{byte:02x}"));
        } else {
            statement.put(&format!(" {byte:02x}"));
        }
    }
}

fn object<H: PayloadHandle>(statement: &mut Statement, object: &Object<H>) {
    let weakness = |weak: bool| if weak { "weak_" } else { "" };
    match object {
        Object::Binder { weak, object, flags } => {
            statement.put(&format!("{}binder {object}", weakness(*weak)));
            flags.iter().for_each(|flags| put_flags(statement, *flags));
        }
        Object::Handle { weak, handle, flags } => {
            statement.put(&format!("{}handle {}", weakness(*weak), handle.text()));
            flags.iter().for_each(|flags| put_flags(statement, *flags));
        }
        Object::Fd { descriptor: value, flags, cookie } => {
            statement.put(&format!("fd {}", descriptor(value)));
            if *flags != 0 {
                put_flags(statement, *flags);
            }
            if *cookie != 0 {
                statement.put(&format!(" cookie {}", hexadecimal(*cookie)));
            }
        }
        Object::FdArray { count, parent, pad } => {
            statement.put(&format!("fda {}", size(*count)));
            put_parent(statement, *parent);
            if *pad != 0 {
                statement.put(&format!(" pad {}", hexadecimal((*pad).into())));
            }
        }
        Object::Buffer(buffer) => buffer_object(statement, buffer),
        Object::Explicit { object_type: kind, flags, binder, cookie } => {
            statement.open("object { ");
            statement.put(&format!("type {}", object_type(*kind)));
            statement.separate(",");
            statement.put("flags ");
            separated(statement, "|", &object_flags(*flags), |statement, flag| statement.put(flag));
            statement.separate(",");
            statement.put(&format!("binder {}", hexadecimal(*binder)));
            statement.separate(",");
            statement.put(&format!("cookie {}", hexadecimal(*cookie)));
            statement.close(" }");
        }
    }
}

fn buffer_object<H: PayloadHandle>(statement: &mut Statement, buffer: &BufferObject<H>) {
    statement.put("ptr ");
    payload(statement, &buffer.content);
    buffer.parent.iter().for_each(|parent| put_parent(statement, *parent));
    if let Some(flags) = buffer.flags {
        statement.put(" flags ");
        separated(statement, "|", &buffer_flags(flags), |statement, flag| statement.put(flag));
    }
    if let Some(length) = buffer.length {
        statement.put(&format!(" length {}", size(length)));
    }
    if let Some(place) = &buffer.buffer {
        statement.put(&format!(" buffer {}", address(place)));
    }
}

fn put_parent(statement: &mut Statement, parent: Parent) {
    statement.put(&format!(" parent {} offset {}", size(parent.index), size(parent.offset)));
}

fn put_flags(statement: &mut Statement, flags: u32) {
    statement.put(" flags ");
    separated(statement, "|", &object_flags(flags), |statement, flag| statement.put(flag));
}
