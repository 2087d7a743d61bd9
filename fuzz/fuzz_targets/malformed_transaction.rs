//! Transactions whose sizes, offsets, objects or addresses are wrong.
#![no_main]

binderdrill_fuzz::fuzz!(binderdrill_fuzz::FuzzTarget::MalformedTransaction);
