//! Fuzzing without a fuzzer: every seed and every past finding as an ordinary test, what changes inputs, and whether bugs
//! that are planted are found.

mod canary;
mod crate_of_targets;
mod inputs;
