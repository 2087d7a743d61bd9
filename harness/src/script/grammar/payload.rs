//! The grammar of payloads: `[ u32 42, binder foo ]`.

use std::ops::Range;

use reference_driver::uapi::{BUFFER_FLAGS, FLAT_OBJECT_FLAGS, OBJECT_TYPES};

use super::super::cursor::{Cursor, Parsed, shortened};
use super::super::diagnostics::Diagnostic;
use super::super::names::{Meaning, MentionKind};
use super::super::tokens::Kind;
use super::operand::{address, flags, mentioned, number, object, required, size};
use crate::program::{Address, BufferObject, DataItem, Descriptor, Object, Parent};

/// How the grammar reads the handle of an object.
pub(super) type HandleGrammar<H> = fn(&mut Cursor<'_>) -> Parsed<H>;

#[derive(Clone, Copy)]
enum Item {
    U32,
    I32,
    U64,
    I64,
    Str16,
    Bytes,
    Zero,
    At,
    Binder { weak: bool },
    Handle { weak: bool },
    Descriptor,
    Pointer,
    Fd,
    Fda,
    Ptr,
    Object,
}

const ITEMS: &[(&str, Item)] = &[
    ("u32", Item::U32),
    ("i32", Item::I32),
    ("u64", Item::U64),
    ("i64", Item::I64),
    ("str16", Item::Str16),
    ("bytes", Item::Bytes),
    ("zero", Item::Zero),
    ("descriptor", Item::Descriptor),
    ("pointer", Item::Pointer),
    ("at", Item::At),
    ("binder", Item::Binder { weak: false }),
    ("weak_binder", Item::Binder { weak: true }),
    ("handle", Item::Handle { weak: false }),
    ("weak_handle", Item::Handle { weak: true }),
    ("fd", Item::Fd),
    ("fda", Item::Fda),
    ("ptr", Item::Ptr),
    ("object", Item::Object),
];

/// The most bytes of a payload.
pub(in super::super) const LARGEST_PAYLOAD: u64 = 8 * 1024 * 1024;

/// `[ ITEM, … ]`
pub(super) fn payload<H>(cursor: &mut Cursor<'_>, handle: HandleGrammar<H>) -> Parsed<Vec<DataItem<H>>> {
    items(cursor, handle, Within::Payload)
}

/// Where items stand.
#[derive(Clone, Copy, PartialEq)]
enum Within {
    Payload,
    /// A scatter-gather buffer, in which there are no objects.
    Buffer,
}

fn items<H>(cursor: &mut Cursor<'_>, handle: HandleGrammar<H>, within: Within) -> Parsed<Vec<DataItem<H>>> {
    let mut items = Vec::new();
    let mut end = 0;
    cursor.bracketed("[", "]", |cursor| {
        let start = cursor.peek().span.start;
        let item = item(cursor, handle, end, within)?;
        if let (Within::Buffer, DataItem::Object(_)) = (within, item.without_place()) {
            return Err(object_within_buffer(start..cursor.end_of_previous()).into());
        }
        end = end_of(&item, end);
        if end > LARGEST_PAYLOAD {
            let message = "a payload that is too large";
            let label = format!("with this it is longer than {LARGEST_PAYLOAD} bytes (8M)");
            return Err(Diagnostic::error(message, start..cursor.end_of_previous(), label).into());
        }
        items.push(item);
        Ok(())
    })?;
    Ok(items)
}

fn object_within_buffer(span: Range<usize>) -> Diagnostic {
    let label = "expected bytes: what is in a buffer goes through as it is";
    Diagnostic::error("an object within a buffer", span, label)
        .help("objects stand in the payload itself; `descriptor` and `pointer` can stand here")
}

/// Where an item ends, in bytes from the start of the payload, if what is before it ends at `start`.
pub(in super::super) fn end_of<H>(item: &DataItem<H>, start: u64) -> u64 {
    let aligned = start.saturating_add(3) & !3;
    match item {
        DataItem::U32(_) | DataItem::I32(_) | DataItem::Descriptor(_) => start.saturating_add(4),
        DataItem::U64(_) | DataItem::I64(_) | DataItem::Pointer(_) => start.saturating_add(8),
        DataItem::Bytes(bytes) => start.saturating_add(bytes.len() as u64),
        DataItem::Zero(length) => start.saturating_add(*length),
        // The length, the characters and a last one of 0, padded to 4 bytes.
        DataItem::Str16(text) => {
            let characters = text.encode_utf16().count() as u64 + 1;
            aligned.saturating_add(4 + (characters * 2).next_multiple_of(4))
        }
        DataItem::Object(object) => aligned.saturating_add(object.size()),
        DataItem::At(place, item) => end_of(item, *place),
    }
}

fn item<H>(
    cursor: &mut Cursor<'_>,
    handle: HandleGrammar<H>,
    end: u64,
    within: Within,
) -> Parsed<DataItem<H>> {
    if !cursor.accept_word("at") {
        return plain_item(cursor, handle, within);
    }
    let span = cursor.peek().span.clone();
    let place = size(cursor, "a number of bytes from the start of the payload")?;
    if place < end {
        let label = format!("expected {end} or more: so long is the payload already");
        return Err(Diagnostic::error("items that overlap", span, label).into());
    }
    if cursor.is_word("at") {
        let span = cursor.peek().span.clone();
        return Err(Diagnostic::error("`at` within `at`", span, "expected what begins at that place").into());
    }
    Ok(DataItem::At(place, Box::new(plain_item(cursor, handle, within)?)))
}

/// An item, other than `at`.
fn plain_item<H>(cursor: &mut Cursor<'_>, handle: HandleGrammar<H>, within: Within) -> Parsed<DataItem<H>> {
    let item = cursor.known_word("item of a payload", ITEMS)?;
    Ok(match item.value {
        Item::U32 => DataItem::U32(number(cursor, "a number")?),
        Item::I32 => DataItem::I32(number(cursor, "a number")?),
        Item::U64 => DataItem::U64(number(cursor, "a number")?),
        Item::I64 => DataItem::I64(number(cursor, "a number")?),
        Item::Str16 => DataItem::Str16(string(cursor)?),
        Item::Bytes => DataItem::Bytes(bytes(cursor)?),
        Item::Zero => DataItem::Zero(size(cursor, "a number of bytes")?),
        Item::At => unreachable!("`at` has been looked for before"),
        Item::Binder { weak } => {
            let object = object(cursor)?;
            DataItem::Object(Object::Binder { weak, object, flags: object_flags(cursor)? })
        }
        Item::Handle { weak } => {
            let handle = handle(cursor)?;
            DataItem::Object(Object::Handle { weak, handle, flags: object_flags(cursor)? })
        }
        Item::Descriptor => DataItem::Descriptor(descriptor(cursor)?),
        Item::Pointer => DataItem::Pointer(number(cursor, "which object of the payload, from 0")?),
        Item::Fd => {
            let descriptor = descriptor(cursor)?;
            let flags = object_flags(cursor)?.unwrap_or(0);
            let cookie = if cursor.accept_word("cookie") { number(cursor, "a cookie")? } else { 0 };
            DataItem::Object(Object::Fd { descriptor, flags, cookie })
        }
        Item::Fda => {
            let count = number(cursor, "how many descriptors there are")?;
            cursor.expect_word("parent")?;
            let parent = parent(cursor)?;
            let pad = if cursor.accept_word("pad") { number(cursor, "a number")? } else { 0 };
            DataItem::Object(Object::FdArray { count, parent, pad })
        }
        // Of buffers within buffers there would be no end.
        Item::Ptr if within == Within::Buffer => return Err(object_within_buffer(item.span).into()),
        Item::Ptr => DataItem::Object(Object::Buffer(buffer_object(cursor, handle)?)),
        Item::Object => DataItem::Object(explicit_object(cursor)?),
    })
}

/// `"text"`
pub(super) fn string(cursor: &mut Cursor<'_>) -> Parsed<String> {
    match &cursor.peek().kind {
        Kind::Text(text) => {
            cursor.advance();
            Ok(text.clone())
        }
        _ => Err(cursor.expected("a string in double quotes")),
    }
}

/// `00 01 ff`: pairs of hexadecimal digits, as many as there are.
pub(super) fn bytes(cursor: &mut Cursor<'_>) -> Parsed<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let token = cursor.peek();
        if !matches!(token.kind, Kind::Word | Kind::Number) {
            return Ok(bytes);
        }
        let text = cursor.text(token);
        match u8::from_str_radix(text, 16) {
            Ok(byte) if text.len() == 2 => bytes.push(byte),
            _ => {
                let message = format!("`{}` is not a byte", shortened(text));
                let label = "expected two hexadecimal digits";
                return Err(Diagnostic::error(message, token.span.clone(), label).into());
            }
        }
        cursor.advance();
    }
}

/// `flags FLAT_BINDER_FLAG_ACCEPTS_FDS | 0x7f`, if it comes next.
pub(super) fn object_flags(cursor: &mut Cursor<'_>) -> Parsed<Option<u32>> {
    Ok(if cursor.accept_word("flags") { Some(flags(cursor, FLAT_OBJECT_FLAGS)?) } else { None })
}

/// `log`, `99`
fn descriptor(cursor: &mut Cursor<'_>) -> Parsed<Descriptor> {
    if cursor.peek().kind == Kind::Number {
        return Ok(Descriptor::Number(number(cursor, "a descriptor")?));
    }
    Ok(Descriptor::File(mentioned(cursor, "a file or a number", MentionKind::Uses(Meaning::File))?))
}

/// `0 offset 8`, behind `parent`
fn parent(cursor: &mut Cursor<'_>) -> Parsed<Parent> {
    let index = number(cursor, "the parent's place in the table of offsets, from 0")?;
    cursor.expect_word("offset")?;
    Ok(Parent { index, offset: size(cursor, "a number of bytes from the start of the parent's buffer")? })
}

/// `[ u32 7 ] parent 0 offset 8 flags 0x1 length 9 buffer unmapped`
fn buffer_object<H>(cursor: &mut Cursor<'_>, handle: HandleGrammar<H>) -> Parsed<BufferObject<H>> {
    let content = items(cursor, handle, Within::Buffer)?;
    let parent = if cursor.accept_word("parent") { Some(parent(cursor)?) } else { None };
    let flags = if cursor.accept_word("flags") { Some(flags(cursor, BUFFER_FLAGS)?) } else { None };
    let length = if cursor.accept_word("length") { Some(size(cursor, "a number of bytes")?) } else { None };
    let buffer: Option<Address> = if cursor.accept_word("buffer") { Some(address(cursor)?) } else { None };
    Ok(BufferObject { content, parent, flags, length, buffer })
}

#[derive(Clone, Copy, PartialEq)]
enum ObjectField {
    Type,
    Flags,
    Binder,
    Cookie,
}

/// `{ type BINDER_TYPE_FD, flags 0, binder 0x10, cookie 0x20 }`
fn explicit_object<H>(cursor: &mut Cursor<'_>) -> Parsed<Object<H>> {
    const FIELDS: &[(&str, ObjectField)] = &[
        ("type", ObjectField::Type),
        ("flags", ObjectField::Flags),
        ("binder", ObjectField::Binder),
        ("cookie", ObjectField::Cookie),
    ];
    let start = cursor.peek().span.start;
    let (mut object_type, mut object_flags, mut binder, mut cookie) = (None, 0, 0, 0);
    cursor.fields(FIELDS, |cursor, field| {
        match field {
            ObjectField::Type if cursor.peek().kind == Kind::Word => {
                object_type = Some(cursor.known_word("type of object", OBJECT_TYPES)?.value);
            }
            ObjectField::Type => object_type = Some(number(cursor, "a type of object")?),
            ObjectField::Flags => object_flags = flags(cursor, FLAT_OBJECT_FLAGS)?,
            ObjectField::Binder => binder = number(cursor, "a pointer or a handle")?,
            ObjectField::Cookie => cookie = number(cursor, "a cookie")?,
        }
        Ok(())
    })?;
    let object_type = required(cursor, start, "type", object_type)?;
    Ok(Object::Explicit { object_type, flags: object_flags, binder, cookie })
}
