//! Payloads: the data of a transaction, and the objects in it.

use super::{Handle, HandlePattern, Name};

/// A payload that a process sends.
pub type Payload = Vec<DataItem<Handle>>;

/// A payload as its receiver must find it.
pub type PayloadPattern = Vec<DataItem<HandlePattern>>;

/// One item of a payload. `H` is [`Handle`] in what is sent and [`HandlePattern`] in what is expected.
///
/// Items follow one another without gaps, but for objects and strings, which begin at the next multiple of 4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataItem<H> {
    /// `u32 42`
    U32(u32),
    /// `i32 -1`
    I32(i32),
    /// `u64 42`
    U64(u64),
    /// `i64 -1`
    I64(i64),
    /// `str16 "ping"`: as Parcel writes it, padded to 4 bytes.
    Str16(String),
    /// `bytes 00 01 ff`
    Bytes(Vec<u8>),
    /// `zero 4096`: so many bytes of 0.
    Zero(u64),
    /// `at 60 ITEM`: the item begins so many bytes from the start of the payload; what is between is 0.
    At(u64, Box<DataItem<H>>),
    /// An object, whose place goes into the table of offsets.
    Object(Object<H>),
}

/// A flat object in a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object<H> {
    /// `binder foo`, `weak_binder foo flags 0x17f`: a local object of the sender (or, in what is expected, of
    /// the receiver).
    Binder {
        /// Whether it is a weak one.
        weak: bool,
        /// The object. It comes into being where a process first sends it.
        object: Name,
        /// FLAT_BINDER_FLAG_ flags; without them, 0x17f where sent (as libbinder does, taking descriptors), and
        /// unchecked where expected.
        flags: Option<u32>,
    },
    /// `handle h`, `weak_handle 3`: a remote object.
    Handle {
        /// Whether it is a weak one.
        weak: bool,
        /// The handle.
        handle: H,
        /// FLAT_BINDER_FLAG_ flags; without them, 0 where sent and unchecked where expected.
        flags: Option<u32>,
    },
    /// `object { type 0x73622a85, flags 0, binder 0x10, cookie 0x20 }`: spelt out, 24 bytes.
    Explicit {
        /// The type.
        object_type: u32,
        /// The flags.
        flags: u32,
        /// The pointer or handle.
        binder: u64,
        /// The cookie.
        cookie: u64,
    },
}
