//! References that are counted, passed on and given back.
#![no_main]

binderdrill_fuzz::fuzz!(binderdrill_fuzz::FuzzTarget::Refcount);
