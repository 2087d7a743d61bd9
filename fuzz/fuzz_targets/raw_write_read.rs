//! Any bytes as the write buffer of a BINDER_WRITE_READ.
#![no_main]

binderdrill_fuzz::fuzz!(binderdrill_fuzz::FuzzTarget::RawWriteRead);
