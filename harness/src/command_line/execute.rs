//! `binderdrill execute`: a program that is none of ours, in a guest, on its binder device.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use object::Endianness;
use object::elf::{FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader, ProgramHeader};

use super::{CommandError, Status, TargetArguments, complain};
use crate::input;
use crate::suite::FileError;

/// The most bytes of a program.
const LARGEST: u64 = 256 << 20;

#[derive(Debug, Args)]
pub(super) struct ExecuteArguments {
    /// The program, statically linked, as a guest has no C library; it is given the path of the device as its first word
    program: PathBuf,
    /// The guest to run it in: `built:uml-c`, `vm:debian-6.12`, `uml:PATH/TO/linux`, …
    #[arg(long, value_name = "TARGET")]
    target: String,
    /// More words for the program
    #[arg(last = true)]
    words: Vec<String>,
    #[command(flatten)]
    options: TargetArguments,
}

pub(super) fn execute(arguments: &ExecuteArguments, out: &mut dyn Write) -> Result<Status, CommandError> {
    arguments.options.check(std::slice::from_ref(&arguments.target))?;
    let path = &arguments.program;
    let program = input::read(path, LARGEST).map_err(|source| FileError { path: path.clone(), source })?;
    if program.len() as u64 > LARGEST {
        return Err(CommandError::Options(format!(
            "{} is too large to be run in a guest: a program has up to {} MiB",
            path.display(),
            LARGEST >> 20
        )));
    }
    if let Some(why) = unfit(&program) {
        return Err(CommandError::Options(format!("{} cannot be run in a guest: {why}", path.display())));
    }
    let mut target = arguments.options.target(&arguments.target, false)?;
    let executed = target.execute(&program, &arguments.words)?;
    out.write_all(&executed.output)?;
    for complaint in &executed.complaints {
        complain(&format!("the kernel complains: {complaint}"));
    }
    let status = match executed.status {
        Ok(0) => Status::AsExpected,
        Ok(1) => Status::Deviation,
        Ok(status) => {
            complain(&format!("it ended with status {status}"));
            Status::CouldNotRun
        }
        Err(why) => {
            complain(&why);
            Status::CouldNotRun
        }
    };
    // A kernel that complains is at fault, whatever that has made of the program.
    Ok(if executed.complaints.is_empty() { status } else { Status::Deviation })
}

/// Why a guest, which has this program and nothing else, cannot run it.
fn unfit(program: &[u8]) -> Option<&'static str> {
    let segments = FileHeader64::<Endianness>::parse(program).and_then(|header| {
        let endian = header.endian()?;
        Ok((endian, header.program_headers(endian, program)?))
    });
    match segments {
        Err(_) => Some("it is no program of 64 bits for Linux (an ELF file)"),
        Ok((endian, segments)) => segments
            .iter()
            .any(|segment| segment.p_type(endian) == PT_INTERP)
            .then_some("it is linked dynamically, and there is no C library: link it with -static"),
    }
}
