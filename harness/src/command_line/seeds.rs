//! `binderdrill seeds`: what fuzzing begins with.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{CommandError, Status, fuzz_target};
use crate::fuzz_target::{FuzzTarget, dictionary};
use crate::suite::FileError;

#[derive(Debug, Args)]
pub(super) struct SeedsArguments {
    /// A folder for the seeds, a file each
    #[arg(required_unless_present = "dictionary")]
    folder: Option<PathBuf>,
    /// The fuzz target that they are for
    #[arg(long = "for", value_name = "FUZZ TARGET", default_value = "command_stream", value_parser = fuzz_target)]
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
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| FileError { path, source }
        };
        fs::create_dir_all(folder).map_err(failed(folder))?;
        for seed in arguments.target.seeds() {
            let path = folder.join(seed.file_name());
            if !path.exists() {
                fs::write(&path, &seed.bytes).map_err(failed(&path))?;
            }
        }
    }
    Ok(Status::AsExpected)
}
