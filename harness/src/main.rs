//! The program `binderdrill`.

use std::process::ExitCode;

use binderdrill::command_line::CommandLine;
use binderdrill::target::device::nursery;
use binderdrill::target::guest::init;
use clap::Parser;

fn main() -> ExitCode {
    if init::is_guest() {
        init::live();
    }
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == nursery::COMMAND)
        && let Some(device) = words.next()
    {
        return nursery::live(device.into());
    }
    CommandLine::parse().execute()
}
