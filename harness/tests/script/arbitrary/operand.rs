//! Arbitrary operands. The names of each kind of thing begin with a letter of their own.

use binderdrill::program::*;
use proptest::prelude::*;

/// Any name.
pub fn name() -> impl Strategy<Value = Name> {
    "[A-Za-z](-{0,2}[A-Za-z0-9_]){0,6}".prop_filter_map("a reserved word", Name::new)
}

/// One of few names of a kind, so that names meet.
pub fn numbered(start: &str, index: usize) -> Name {
    Name::new(format!("{start}{index}")).expect("a letter and a number are a name")
}

fn few(start: &'static str) -> impl Strategy<Value = Name> {
    (0..4_usize).prop_map(move |index| numbered(start, index))
}

pub fn object() -> impl Strategy<Value = Name> {
    few("o")
}

pub fn buffer() -> impl Strategy<Value = Name> {
    few("b")
}

pub fn file() -> impl Strategy<Value = Name> {
    few("f")
}

pub fn instance() -> impl Strategy<Value = Name> {
    few("fs")
}

pub fn descriptor() -> impl Strategy<Value = Descriptor> {
    prop_oneof![any::<u32>().prop_map(Descriptor::Number), file().prop_map(Descriptor::File)]
}

pub fn process() -> impl Strategy<Value = Name> {
    few("p")
}

pub fn byte_count() -> impl Strategy<Value = u64> {
    prop_oneof![0..300_u64, Just(1024), Just(3 << 20), any::<u64>()]
}

pub fn errno() -> impl Strategy<Value = Errno> {
    (1..=133_i32).prop_map(Errno)
}

pub fn handle() -> impl Strategy<Value = Handle> {
    prop_oneof![any::<u32>().prop_map(Handle::Number), few("h").prop_map(Handle::Symbol)]
}

pub fn handle_pattern() -> impl Strategy<Value = HandlePattern> {
    prop_oneof![
        handle().prop_map(HandlePattern::Is),
        few("h").prop_map(HandlePattern::Bind),
        Just(HandlePattern::Any),
    ]
}

pub fn cookie() -> impl Strategy<Value = Token> {
    prop_oneof![any::<u64>().prop_map(Token::Number), few("c").prop_map(Token::Symbol)]
}

pub fn object_token() -> impl Strategy<Value = Token> {
    prop_oneof![any::<u64>().prop_map(Token::Number), object().prop_map(Token::Symbol)]
}

pub fn node() -> impl Strategy<Value = Node> {
    prop_oneof![
        object().prop_map(Node::Object),
        (object_token(), object_token()).prop_map(|(pointer, cookie)| Node::Explicit { pointer, cookie }),
    ]
}

pub fn address() -> impl Strategy<Value = Address> {
    prop_oneof![
        any::<u64>().prop_map(Address::Number),
        (buffer(), byte_count()).prop_map(|(buffer, offset)| Address::Buffer { buffer, offset }),
        Just(Address::Unmapped),
    ]
}
