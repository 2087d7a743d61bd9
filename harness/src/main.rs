//! The program `binderdrill`.

use std::process::ExitCode;

use binderdrill::command_line::CommandLine;
use clap::Parser;

fn main() -> ExitCode {
    CommandLine::parse().execute()
}
