//! Programs that are none of ours, and are run in a guest: what scripts have been exported to, above all.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::packed::unpack;

/// Where a guest keeps the program.
const PLACE: &str = "/tmp/program";

/// Where it keeps what that writes.
const OUTPUT: &str = "/tmp/program.output";

/// How often a program is looked at whether it has ended.
const POLL: Duration = Duration::from_millis(1);

/// Keeps a program, in the guest.
pub fn keep(packed: &str) -> io::Result<()> {
    let program = unpack(packed)?;
    let _ = fs::remove_file(PLACE);
    File::create(PLACE)?.write_all(&program)?;
    fs::set_permissions(PLACE, Permissions::from_mode(0o755))
}

/// Runs the program that is kept, in the guest, for no longer than that, and tells what it writes as it does. The status with
/// which it ended, or what came in between.
pub fn execute(
    device: &Path,
    words: &[String],
    patience: Duration,
    mut tell: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<i32, String> {
    run(device, words, patience, &mut tell).unwrap_or_else(|error| Err(format!("it cannot be run: {error}")))
}

fn run(
    device: &Path,
    words: &[String],
    patience: Duration,
    tell: &mut impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Result<i32, String>> {
    // A file takes all that it writes, however much and whoever of its children may hold on to it.
    let output = File::create(OUTPUT)?;
    let mut written = File::open(OUTPUT)?;
    let mut tell_more = || {
        let mut more = Vec::new();
        written.read_to_end(&mut more)?;
        if more.is_empty() { Ok(()) } else { tell(&more) }
    };
    let mut command = Command::new(PLACE);
    command.arg(device).args(words).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let mut process = command.spawn()?;
    let start = Instant::now();
    loop {
        let ended = process.try_wait()?;
        tell_more()?;
        if let Some(status) = ended {
            // A status of both kinds says in words what it is.
            return Ok(status.code().ok_or_else(|| format!("it was ended by a {status}")));
        }
        if start.elapsed() > patience {
            process.kill()?;
            process.wait()?;
            tell_more()?;
            return Ok(Err(format!(
                "it had not ended after {} s (--patience gives it more)",
                patience.as_secs()
            )));
        }
        std::thread::sleep(POLL);
    }
}
