//! `binderdrill kernel`: the kernels that can be booted.

use std::io::Write;
use std::time::SystemTime;

use clap::Subcommand;

use super::{CommandError, Status};
use crate::kernel::{Store, USUAL};

#[derive(Debug, Subcommand)]
pub(super) enum KernelCommand {
    /// List the kernels that have been fetched, and the usual ones that have not
    List,
    /// Fetch stock kernels of Debian, such as debian-6.12; without a name, the usual ones
    Fetch {
        /// `debian-` and the beginning of a version: the newest such kernel that Debian has
        name: Vec<String>,
    },
    /// Print where the image of a fetched kernel is
    Path {
        /// Its name
        name: String,
    },
}

pub(super) fn kernel(command: &KernelCommand, out: &mut dyn Write) -> Result<Status, CommandError> {
    let store = Store::of_user()?;
    match command {
        KernelCommand::List => list(&store, out)?,
        KernelCommand::Fetch { name } => {
            let usual: Vec<String> = USUAL.iter().map(|name| (*name).to_owned()).collect();
            for name in if name.is_empty() { &usual } else { name } {
                let kernel = store.fetch(name, &mut |what| eprintln!("{name}: {what}"))?;
                writeln!(out, "{name} is Linux {}", kernel.release())?;
            }
        }
        KernelCommand::Path { name } => writeln!(out, "{}", store.kernel(name)?.image().display())?,
    }
    Ok(Status::AsExpected)
}

fn list(store: &Store, out: &mut dyn Write) -> Result<(), CommandError> {
    let kernels = store.kernels();
    for kernel in &kernels {
        let age = kernel.fetched().and_then(|fetched| SystemTime::now().duration_since(fetched).ok());
        let age = age.map_or_else(String::new, |age| format!("fetched {} days ago", age.as_secs() / 86_400));
        writeln!(out, "{:<14} Linux {:<28} {age}", kernel.name, kernel.release())?;
    }
    for name in USUAL.iter().filter(|name| kernels.iter().all(|kernel| kernel.name != **name)) {
        writeln!(out, "{name:<14} missing: binderdrill kernel fetch {name}")?;
    }
    Ok(())
}
