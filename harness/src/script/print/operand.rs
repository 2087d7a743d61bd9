//! Printing operands. Handles, users and sizes are decimal; cookies, pointers, addresses and requests hexadecimal;
//! codes and numbers in payloads decimal while they are small.

use reference_driver::uapi::{
    BUFFER_FLAGS, FLAT_BINDER_FLAG_PRIORITY_MASK, FLAT_OBJECT_FLAGS, TRANSACTION_FLAGS, object_type_name,
};

use crate::program::{
    Address, Descriptor, Errno, Handle, HandlePattern, Node, Pages, PidPattern, SecurityContextPattern, Token,
};

/// A code, or a number of a payload.
pub(super) fn number(number: u64) -> String {
    if number <= 0xffff { number.to_string() } else { hexadecimal(number) }
}

pub(super) fn hexadecimal(number: u64) -> String {
    format!("{number:#x}")
}

/// A number of bytes. One that no memory has is a bit pattern, and hexadecimal.
pub(super) fn size(size: u64) -> String {
    if size <= u64::from(u32::MAX) { size.to_string() } else { hexadecimal(size) }
}

/// A number of bytes that is as a rule a power of two.
pub(super) fn rounded_size(bytes: u64) -> String {
    const K: u64 = 1024;
    const M: u64 = 1024 * 1024;
    match bytes {
        1.. if bytes.is_multiple_of(M) => format!("{}M", bytes / M),
        1.. if bytes.is_multiple_of(K) => format!("{}K", bytes / K),
        _ => size(bytes),
    }
}

/// `4K at 0x300000000000`
pub(super) fn pages(pages: Pages) -> String {
    format!("{} at {}", rounded_size(pages.size()), hexadecimal(pages.place().address()))
}

pub(super) fn transaction_flags(flags: u32) -> Vec<String> {
    names_of_flags(flags, TRANSACTION_FLAGS.iter().copied())
}

/// The priority among the flags of an object is a number.
pub(super) fn object_flags(flags: u32) -> Vec<String> {
    let single = FLAT_OBJECT_FLAGS.iter().copied().filter(|(_, bit)| *bit != FLAT_BINDER_FLAG_PRIORITY_MASK);
    names_of_flags(flags, single)
}

/// The flags of a scatter-gather buffer.
pub(super) fn buffer_flags(flags: u32) -> Vec<String> {
    names_of_flags(flags, BUFFER_FLAGS.iter().copied())
}

fn names_of_flags(flags: u32, known: impl Iterator<Item = (&'static str, u32)>) -> Vec<String> {
    let mut rest = flags;
    let mut words = Vec::new();
    for (name, bit) in known {
        if rest & bit == bit {
            rest &= !bit;
            words.push(name.to_owned());
        }
    }
    if words.is_empty() && rest == 0 {
        words.push("0".into());
    } else if rest != 0 {
        words.push(hexadecimal(rest.into()));
    }
    words
}

pub(super) fn object_type(object_type: u32) -> String {
    object_type_name(object_type).map_or_else(|| hexadecimal(object_type.into()), str::to_owned)
}

pub(super) fn handle(handle: &Handle) -> String {
    match handle {
        Handle::Number(number) => number.to_string(),
        Handle::Symbol(name) => name.to_string(),
    }
}

pub(super) fn handle_pattern(pattern: &HandlePattern) -> String {
    match pattern {
        HandlePattern::Is(is) => handle(is),
        HandlePattern::Bind(name) => format!("?{name}"),
        HandlePattern::Any => "_".into(),
    }
}

pub(super) fn descriptor(descriptor: &Descriptor) -> String {
    match descriptor {
        Descriptor::File(name) => name.to_string(),
        Descriptor::Number(number) => size((*number).into()),
    }
}

pub(super) fn token(token: &Token) -> String {
    match token {
        Token::Number(number) => hexadecimal(*number),
        Token::Symbol(name) => name.to_string(),
    }
}

pub(super) fn node(node: &Node) -> String {
    match node {
        Node::Object(name) => name.to_string(),
        Node::Explicit { pointer, cookie } => {
            format!("{{ ptr {}, cookie {} }}", token(pointer), token(cookie))
        }
    }
}

pub(super) fn address(address: &Address) -> String {
    match address {
        Address::Number(number) => hexadecimal(*number),
        Address::Buffer { buffer, offset: 0 } => buffer.to_string(),
        Address::Buffer { buffer, offset } => format!("{buffer} + {}", size(*offset)),
        Address::Unmapped => "unmapped".into(),
    }
}

pub(super) fn pid(pid: &PidPattern) -> String {
    match pid {
        PidPattern::Process(name) => name.to_string(),
        PidPattern::Number(number) => number.to_string(),
    }
}

pub(super) fn security_context(context: &SecurityContextPattern) -> String {
    match context {
        SecurityContextPattern::Process(name) => name.to_string(),
        SecurityContextPattern::Text(text) => string(text),
    }
}

/// An error by its name, or as `errno 61`.
pub(super) fn errno(errno: Errno) -> String {
    errno.to_string()
}

/// A string in quotes.
pub(super) fn string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\u{{{:x}}}", c as u32)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
