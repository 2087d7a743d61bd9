//! `binderdrill seeds`: what fuzzing begins with.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use super::{CommandError, Status};
use crate::fuzz_target::{FuzzTarget, dictionary};

#[derive(Debug, Args)]
pub(super) struct SeedsArguments {
    /// A folder for the seeds, a file each
    #[arg(required_unless_present = "dictionary")]
    folder: Option<PathBuf>,
    /// The fuzz target that they are for
    #[arg(long = "for", value_name = "FUZZ TARGET", default_value = "command_stream", value_parser = FuzzTarget::from_str)]
    target: FuzzTarget,
    /// Print the words of scripts, in the form of libFuzzer's dictionaries
    #[arg(long)]
    dictionary: bool,
}

pub(super) fn seeds(arguments: &SeedsArguments, out: &mut dyn Write) -> Result<Status, CommandError> {
    if arguments.dictionary {
        out.write_all(dictionary().as_bytes())?;
    }
    if let Some(folder) = &arguments.folder {
        fs::create_dir_all(folder)?;
        for seed in arguments.target.seeds() {
            let path = folder.join(seed.file_name());
            if !path.exists() {
                fs::write(path, &seed.bytes)?;
            }
        }
    }
    Ok(Status::AsExpected)
}
