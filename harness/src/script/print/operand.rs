//! Printing operands. Handles, users and sizes are decimal; cookies, pointers, addresses and requests hexadecimal;
//! codes and numbers in payloads decimal while they are small.

use reference_driver::uapi::{
    BUFFER_FLAGS, FLAT_BINDER_FLAG_PRIORITY_MASK, FLAT_OBJECT_FLAGS, TRANSACTION_FLAGS, object_type_name,
};

use super::layout::Statement;
use crate::program::{
    Address, Descriptor, Errno, Handle, HandlePattern, Node, Pages, PidPattern, SecurityContextPattern, Token,
};

/// A code, or a number of a payload.
pub(super) fn number(statement: &mut Statement, number: u64) {
    if number <= 0xffff {
        statement.put_decimal(number);
    } else {
        hexadecimal(statement, number);
    }
}

pub(super) fn hexadecimal(statement: &mut Statement, number: impl Into<u64>) {
    statement.put_formatted(format_args!("{:#x}", number.into()));
}

/// A number of bytes. One that no memory has is a bit pattern, and hexadecimal.
pub(super) fn size(statement: &mut Statement, size: u64) {
    if size <= u64::from(u32::MAX) {
        statement.put_decimal(size);
    } else {
        hexadecimal(statement, size);
    }
}

/// A number of bytes that is as a rule a power of two.
pub(super) fn rounded_size(statement: &mut Statement, bytes: u64) {
    const K: u64 = 1024;
    const M: u64 = 1024 * 1024;
    let (count, unit) = match bytes {
        1.. if bytes.is_multiple_of(M) => (bytes / M, "M"),
        1.. if bytes.is_multiple_of(K) => (bytes / K, "K"),
        _ => return size(statement, bytes),
    };
    statement.put_decimal(count);
    statement.put(unit);
}

/// `4K at 0x300000000000`
pub(super) fn pages(statement: &mut Statement, pages: Pages) {
    rounded_size(statement, pages.size());
    statement.put(" at ");
    hexadecimal(statement, pages.place().address());
}

/// `TF_ONE_WAY | TF_ACCEPT_FDS`
pub(super) fn transaction_flags(statement: &mut Statement, flags: u32) {
    put_flags(statement, flags, TRANSACTION_FLAGS.iter().copied());
}

/// The priority among the flags of an object is a number.
pub(super) fn object_flags(statement: &mut Statement, flags: u32) {
    let single = FLAT_OBJECT_FLAGS.iter().copied().filter(|(_, bit)| *bit != FLAT_BINDER_FLAG_PRIORITY_MASK);
    put_flags(statement, flags, single);
}

/// The flags of a scatter-gather buffer.
pub(super) fn buffer_flags(statement: &mut Statement, flags: u32) {
    put_flags(statement, flags, BUFFER_FLAGS.iter().copied());
}

/// Flags by their names, with a sign between them behind which a line may end.
fn put_flags(statement: &mut Statement, flags: u32, known: impl Iterator<Item = (&'static str, u32)>) {
    let mut rest = flags;
    let mut is_first = true;
    let mut or = |statement: &mut Statement| {
        if !std::mem::take(&mut is_first) {
            statement.put(" ");
            statement.separate("|");
        }
    };
    for (name, bit) in known {
        if rest & bit == bit {
            rest &= !bit;
            or(statement);
            statement.put(name);
        }
    }
    if flags == 0 {
        statement.put("0");
    } else if rest != 0 {
        or(statement);
        hexadecimal(statement, rest);
    }
}

pub(super) fn object_type(statement: &mut Statement, object_type: u32) {
    match object_type_name(object_type) {
        Some(name) => statement.put(name),
        None => hexadecimal(statement, object_type),
    }
}

pub(super) fn handle(statement: &mut Statement, handle: &Handle) {
    match handle {
        Handle::Number(number) => statement.put_decimal(*number),
        Handle::Symbol(name) => statement.put(name.as_str()),
    }
}

pub(super) fn handle_pattern(statement: &mut Statement, pattern: &HandlePattern) {
    match pattern {
        HandlePattern::Is(is) => handle(statement, is),
        HandlePattern::Bind(name) => {
            statement.put("?");
            statement.put(name.as_str());
        }
        HandlePattern::Any => statement.put("_"),
    }
}

pub(super) fn descriptor(statement: &mut Statement, descriptor: &Descriptor) {
    match descriptor {
        Descriptor::File(name) => statement.put(name.as_str()),
        Descriptor::Number(number) => statement.put_decimal(*number),
    }
}

pub(super) fn token(statement: &mut Statement, token: &Token) {
    match token {
        Token::Number(number) => hexadecimal(statement, *number),
        Token::Symbol(name) => statement.put(name.as_str()),
    }
}

pub(super) fn node(statement: &mut Statement, node: &Node) {
    match node {
        Node::Object(name) => statement.put(name.as_str()),
        Node::Explicit { pointer, cookie } => {
            statement.put("{ ptr ");
            token(statement, pointer);
            statement.put(", cookie ");
            token(statement, cookie);
            statement.put(" }");
        }
    }
}

pub(super) fn address(statement: &mut Statement, address: &Address) {
    match address {
        Address::Number(number) => hexadecimal(statement, *number),
        Address::Buffer { buffer, offset } => {
            statement.put(buffer.as_str());
            if *offset != 0 {
                statement.put(" + ");
                size(statement, *offset);
            }
        }
        Address::Unmapped => statement.put("unmapped"),
    }
}

pub(super) fn pid(statement: &mut Statement, pid: &PidPattern) {
    match pid {
        PidPattern::Process(name) => statement.put(name.as_str()),
        PidPattern::Number(number) => statement.put_decimal(*number),
    }
}

pub(super) fn security_context(statement: &mut Statement, context: &SecurityContextPattern) {
    match context {
        SecurityContextPattern::Process(name) => statement.put(name.as_str()),
        SecurityContextPattern::Text(text) => string(statement, text),
    }
}

/// An error by its name, or as `errno 61`.
pub(super) fn errno(statement: &mut Statement, errno: Errno) {
    statement.put_formatted(format_args!("{errno}"));
}

/// A string in quotes.
pub(super) fn string(statement: &mut Statement, text: &str) {
    statement.put("\"");
    for character in text.chars() {
        match character {
            '"' => statement.put("\\\""),
            '\\' => statement.put("\\\\"),
            '\n' => statement.put("\\n"),
            '\t' => statement.put("\\t"),
            c if c.is_control() => statement.put_formatted(format_args!("\\u{{{:x}}}", c as u32)),
            c => statement.put(c.encode_utf8(&mut [0; 4])),
        }
    }
    statement.put("\"");
}

/// ` EINVAL consumed 4`
pub(super) fn failure(statement: &mut Statement, error: Option<Errno>, consumed: Option<u64>) {
    if let Some(error) = error {
        statement.put(" ");
        errno(statement, error);
    }
    if let Some(consumed) = consumed {
        statement.put(" consumed ");
        size(statement, consumed);
    }
}
