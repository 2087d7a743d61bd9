//! Streams of all commands, some of them broken off.
#![no_main]

binderdrill_fuzz::fuzz!(binderdrill_fuzz::FuzzTarget::CommandStream);
