//! Mailboxes: a folder of this machine that a guest can look into. Where the channel is a terminal of User-mode Linux, its
//! kernel asks this machine for each byte by itself; a file costs a few system calls, however long it is.
//!
//! A letter is a file whose name has a number in it. The number is told over the channel, and the guest takes the letter out
//! at once: so nothing is left there if somebody is killed, but in that moment.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

/// The word on the kernel's command line that names the folder, with a `=` behind it.
pub const WORD: &str = "binderdrill.mailbox=";

/// Where the guest has it.
const PLACE: &str = "/mailbox";

/// A mailbox, as the harness has it.
#[derive(Debug)]
pub struct Mailbox {
    folder: PathBuf,
    /// What it was sent last, which it may not have taken out.
    last: Option<PathBuf>,
}

impl Mailbox {
    /// One in a folder which has room. `None` if the guest could not be told where it is.
    pub fn within(folder: &Path) -> Option<Mailbox> {
        let path = folder.to_str()?;
        let is_one_word = !path.contains(|c: char| c.is_whitespace() || c == '"' || c == ',');
        is_one_word.then(|| Mailbox { folder: folder.to_owned(), last: None })
    }

    /// The word for the kernel's command line.
    pub fn word(&self) -> String {
        format!("{WORD}{}", self.folder.display())
    }

    /// Puts a letter into it. Gives its number.
    pub fn post(&mut self, letter: &[u8]) -> io::Result<u64> {
        self.empty();
        let number = fastrand::u64(..);
        let path = self.folder.join(name(number));
        let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        self.last = Some(path);
        file.write_all(letter)?;
        Ok(number)
    }

    /// Takes out what nobody else has.
    fn empty(&mut self) {
        if let Some(path) = self.last.take() {
            // As a rule it is gone.
            let _ = fs::remove_file(path);
        }
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.empty();
    }
}

/// The name of a letter.
fn name(number: u64) -> String {
    format!("binderdrill-{number:016x}")
}

/// Has, in a guest, the mailbox that is this folder of the machine around it. False if it cannot.
pub fn open(folder: &str) -> bool {
    let mounted = || mount(Some("none"), PLACE, Some("hostfs"), MsFlags::empty(), Some(folder));
    fs::create_dir_all(PLACE).is_ok() && mounted().is_ok()
}

/// Takes, in a guest, a letter out.
pub fn take(number: u64) -> io::Result<Vec<u8>> {
    let path = Path::new(PLACE).join(name(number));
    let letter = fs::read(&path)?;
    fs::remove_file(&path)?;
    Ok(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_that_nobody_takes_out_goes_with_the_next_one() {
        let around = tempfile::tempdir().unwrap();
        let letters = || fs::read_dir(around.path()).unwrap().count();
        let mut mailbox = Mailbox::within(around.path()).unwrap();
        let first = mailbox.post(b"a").unwrap();
        let second = mailbox.post(b"bc").unwrap();
        assert!(!around.path().join(name(first)).exists());
        assert_eq!(fs::read(around.path().join(name(second))).unwrap(), b"bc");
        drop(mailbox);
        assert_eq!(letters(), 0);
        let mut nowhere = Mailbox::within(&around.path().join("nowhere")).unwrap();
        assert!(nowhere.post(b"a").is_err());
    }

    #[test]
    fn a_folder_that_is_no_word_is_of_no_use() {
        assert!(Mailbox::within(Path::new("/two words")).is_none());
    }
}
