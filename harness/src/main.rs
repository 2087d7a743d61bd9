//! The program `binderdrill`.

use std::process::ExitCode;

use binderdrill::command_line::CommandLine;
use binderdrill::target::live_as_asked;
use clap::Parser;

fn main() -> ExitCode {
    live_as_asked().unwrap_or_else(|| CommandLine::parse().execute())
}
