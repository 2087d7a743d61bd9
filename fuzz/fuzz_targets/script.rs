//! The parser and the printer of scripts.
#![no_main]

binderdrill_fuzz::fuzz!(binderdrill_fuzz::FuzzTarget::Script);
