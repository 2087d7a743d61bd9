//! make, and all that it starts: a process group of its own, which ends with this process, however that ends.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use super::failure::{first_error, step};
use super::lock::Lock;
use super::{KernelError, file_error};

/// What the watcher does: once its input ends, it ends its process group. Asked to end, make and the compilers delete
/// what they have half written.
const WATCH: &str = "trap '' TERM; read -r _; kill -TERM 0; sleep 2; kill -KILL 0";

/// Runs make. All that it says is added to the log; its steps are told with their number. Whoever of its processes is
/// left when this one is gone keeps the lock.
pub fn run(
    mut make: Command,
    log: &Path,
    lock: &Lock,
    told: &mut dyn FnMut(usize, &str),
) -> Result<(), KernelError> {
    let failed =
        |error: io::Error| KernelError::Command { command: "make".to_owned(), reason: error.to_string() };
    let group = Group::start().map_err(failed)?;
    let (reader, writer) = io::pipe().map_err(failed)?;
    make.stdin(lock.as_input().map_err(failed)?);
    make.stdout(writer.try_clone().map_err(failed)?).stderr(writer).process_group(group.number());
    let mut child = make.spawn().map_err(failed)?;
    // It holds the pipe's other end: with that open, the end of what make says would never come.
    drop(make);
    let followed = follow(reader, log, told);
    if followed.is_err() {
        group.end();
    }
    let status = child.wait().map_err(failed)?;
    followed?;
    if status.success() {
        return Ok(());
    }
    let said = fs::read(log).map_err(|error| file_error(log, error))?;
    Err(KernelError::Build { error: first_error(&String::from_utf8_lossy(&said)), log: log.to_owned() })
}

/// Logs all that make says, and tells its steps.
fn follow(reader: impl io::Read, path: &Path, told: &mut dyn FnMut(usize, &str)) -> Result<(), KernelError> {
    let log = fs::File::options().append(true).create(true).open(path);
    let mut log = log.map_err(|error| file_error(path, error))?;
    let mut steps = 0;
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.map_err(|error| file_error(path, error))?;
        let line = String::from_utf8_lossy(&line);
        writeln!(log, "{line}").map_err(|error| file_error(path, error))?;
        if let Some(step) = step(&line) {
            steps += 1;
            told(steps, step);
        }
    }
    Ok(())
}

/// A process group, led by a watcher who ends it when this process is gone.
struct Group {
    watcher: Child,
    /// What the watcher reads; nobody ever writes to it.
    input: Option<ChildStdin>,
}

impl Group {
    fn start() -> io::Result<Group> {
        let mut watcher = Command::new("sh");
        watcher.args(["-c", WATCH]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut watcher = watcher.process_group(0).spawn()?;
        let input = watcher.stdin.take();
        Ok(Group { watcher, input })
    }

    /// What the system calls the group: the watcher's own number, which is its as long as it has not been waited for.
    fn number(&self) -> i32 {
        self.watcher.id().cast_signed()
    }

    /// Ends all processes of the group.
    fn end(mut self) {
        drop(self.input.take());
        // It ends by its own hand.
        let _ = self.watcher.wait();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // make is done, and there is nobody left to watch.
        let _ = self.watcher.kill();
        let _ = self.watcher.wait();
    }
}
