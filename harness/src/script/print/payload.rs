//! Printing payloads.

use super::layout::Statement;
use super::lists::separated;
use super::operand::{
    address, buffer_flags, descriptor, handle, handle_pattern, hexadecimal, number, object_flags,
    object_type, rounded_size, size, string,
};
use crate::program::{BufferObject, DataItem, Handle, HandlePattern, Object, Parent};

/// A handle of a payload, be it one that is sent or one that is expected.
pub(crate) trait PayloadHandle {
    fn put(&self, statement: &mut Statement);
}

impl PayloadHandle for Handle {
    fn put(&self, statement: &mut Statement) {
        handle(statement, self);
    }
}

impl PayloadHandle for HandlePattern {
    fn put(&self, statement: &mut Statement) {
        handle_pattern(statement, self);
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
        DataItem::U32(value) => {
            statement.put("u32 ");
            number(statement, (*value).into());
        }
        DataItem::I32(value) => {
            statement.put("i32 ");
            statement.put_decimal(*value);
        }
        DataItem::U64(value) => {
            statement.put("u64 ");
            number(statement, *value);
        }
        DataItem::I64(value) => {
            statement.put("i64 ");
            statement.put_decimal(*value);
        }
        DataItem::Str16(text) => {
            statement.put("str16 ");
            string(statement, text);
        }
        DataItem::Bytes(values) => bytes(statement, values),
        DataItem::Zero(length) => {
            statement.put("zero ");
            rounded_size(statement, *length);
        }
        DataItem::At(place, inner) => {
            statement.put("at ");
            size(statement, *place);
            statement.put(" ");
            item(statement, inner);
        }
        DataItem::Descriptor(value) => {
            statement.put("descriptor ");
            descriptor(statement, value);
        }
        DataItem::Pointer(index) => {
            statement.put("pointer ");
            statement.put_decimal(*index);
        }
        DataItem::Object(value) => object(statement, value),
    }
}

/// `bytes 00 01 ff`. Within brackets it may be broken between any two bytes.
pub(super) fn bytes(statement: &mut Statement, bytes: &[u8]) {
    statement.put("bytes");
    for (index, byte) in bytes.iter().enumerate() {
        if index > 0 && statement.is_within_brackets() {
            statement.separate("");
        } else {
            statement.put(" ");
        }
        statement.put_hexadecimal_byte(*byte);
    }
}

fn object<H: PayloadHandle>(statement: &mut Statement, object: &Object<H>) {
    match object {
        Object::Binder { weak, object, flags } => {
            statement.put(if *weak { "weak_binder " } else { "binder " });
            statement.put(object.as_str());
            flags.iter().for_each(|flags| put_flags(statement, *flags));
        }
        Object::Handle { weak, handle, flags } => {
            statement.put(if *weak { "weak_handle " } else { "handle " });
            handle.put(statement);
            flags.iter().for_each(|flags| put_flags(statement, *flags));
        }
        Object::Fd { descriptor: value, flags, cookie } => {
            statement.put("fd ");
            descriptor(statement, value);
            if *flags != 0 {
                put_flags(statement, *flags);
            }
            if *cookie != 0 {
                statement.put(" cookie ");
                hexadecimal(statement, *cookie);
            }
        }
        Object::FdArray { count, parent, pad } => {
            statement.put("fda ");
            size(statement, *count);
            put_parent(statement, *parent);
            if *pad != 0 {
                statement.put(" pad ");
                hexadecimal(statement, *pad);
            }
        }
        Object::Buffer(buffer) => buffer_object(statement, buffer),
        Object::Explicit { object_type: kind, flags, binder, cookie } => {
            statement.open("object { ");
            statement.put("type ");
            object_type(statement, *kind);
            statement.separate(",");
            statement.put("flags ");
            object_flags(statement, *flags);
            statement.separate(",");
            statement.put("binder ");
            hexadecimal(statement, *binder);
            statement.separate(",");
            statement.put("cookie ");
            hexadecimal(statement, *cookie);
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
        buffer_flags(statement, flags);
    }
    if let Some(length) = buffer.length {
        statement.put(" length ");
        size(statement, length);
    }
    if let Some(place) = &buffer.buffer {
        statement.put(" buffer ");
        address(statement, place);
    }
}

fn put_parent(statement: &mut Statement, parent: Parent) {
    statement.put(" parent ");
    size(statement, parent.index);
    statement.put(" offset ");
    size(statement, parent.offset);
}

fn put_flags(statement: &mut Statement, flags: u32) {
    statement.put(" flags ");
    object_flags(statement, flags);
}
