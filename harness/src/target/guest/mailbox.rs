//! Mailboxes: a folder of this machine that a guest can look into. Where the channel is a terminal of User-mode Linux, its
//! kernel asks this machine for each byte by itself; a file costs a few system calls, however long it is.
//!
//! A letter is a file with a number for a name. Its number is told over the channel; the guest takes it out.

use std::fs;
use std::io;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use tempfile::TempDir;

/// The word on the kernel's command line that names the folder, with a `=` behind it.
pub const WORD: &str = "binderdrill.mailbox=";

/// Where the guest has it.
const PLACE: &str = "/mailbox";

/// A mailbox, as the harness has it. With it all that is still in it goes.
#[derive(Debug)]
pub struct Mailbox {
    folder: TempDir,
    /// How many letters there have been.
    letters: u64,
}

impl Mailbox {
    /// An empty one, in a folder which has room. `None` if there cannot be one, or the guest could not be told where it is.
    pub fn within(folder: &Path) -> Option<Mailbox> {
        let folder = tempfile::Builder::new().prefix("binderdrill-").tempdir_in(folder).ok()?;
        let path = folder.path().to_str()?;
        let is_one_word = !path.contains(|c: char| c.is_whitespace() || c == '"' || c == ',');
        is_one_word.then_some(Mailbox { folder, letters: 0 })
    }

    /// The word for the kernel's command line.
    pub fn word(&self) -> String {
        format!("{WORD}{}", self.folder.path().display())
    }

    /// Puts a letter into it. Gives its number.
    pub fn post(&mut self, letter: &[u8]) -> io::Result<u64> {
        self.letters += 1;
        let path = self.folder.path().join(self.letters.to_string());
        fs::write(&path, letter).inspect_err(|_| {
            // Nobody will take it out.
            let _ = fs::remove_file(&path);
        })?;
        Ok(self.letters)
    }
}

/// Has, in a guest, the mailbox that is this folder of the machine around it. False if it cannot.
pub fn open(folder: &str) -> bool {
    let mounted = || mount(Some("none"), PLACE, Some("hostfs"), MsFlags::empty(), Some(folder));
    fs::create_dir_all(PLACE).is_ok() && mounted().is_ok()
}

/// Takes, in a guest, a letter out.
pub fn take(number: u64) -> io::Result<Vec<u8>> {
    let path = Path::new(PLACE).join(number.to_string());
    let letter = fs::read(&path)?;
    fs::remove_file(&path)?;
    Ok(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_in_the_folder_until_it_goes() {
        let around = tempfile::tempdir().unwrap();
        let mut mailbox = Mailbox::within(around.path()).unwrap();
        let folder = mailbox.word().strip_prefix(WORD).map(std::path::PathBuf::from).unwrap();
        assert_eq!((mailbox.post(b"a").unwrap(), mailbox.post(b"bc").unwrap()), (1, 2));
        assert_eq!(fs::read(folder.join("2")).unwrap(), b"bc");
        drop(mailbox);
        assert!(!folder.exists());
        assert!(Mailbox::within(&folder).is_none(), "there is no such folder");
    }

    #[test]
    fn a_folder_that_is_no_word_is_of_no_use() {
        let around = tempfile::Builder::new().prefix("two words").tempdir().unwrap();
        assert!(Mailbox::within(around.path()).is_none());
    }
}
