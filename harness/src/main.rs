//! The program `binderdrill`.

fn main() {}
