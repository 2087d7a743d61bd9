//! Patched kernels: a kernel that was built here, or a stock kernel, with changes of its source.
//!
//! A patched kernel is known by its key, which is made of what its base was built from and of what the changes make of
//! the source. So the same is built once, whatever the patches were called that say it. Of a kernel that was built here,
//! only what the changes touch is compiled anew (see [`super::objects`]); of a stock kernel only the driver's module is
//! built (see [`super::module`]). It is the target `patched:KEY`.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::build::{Told, Work};
use super::built::{Built, BuiltFor, BuiltName, Choices, Record, kept};
use super::configuration::Options;
use super::lock::{Hold, Lock};
use super::notes::Noted;
use super::objects::{self, Place};
use super::source::Source;
use super::toolchain::Toolchain;
use super::{KernelError, file_error, overlay, remove_all, space, stale};
use crate::patch::Changes;

/// What stands before the key of a patched kernel.
pub const PATCHED_PREFIX: &str = "patched:";

/// What a patched kernel is kept in, beside its image or module.
const RECORD: &str = "patched.toml";

/// The version of what is written there, and of how keys are made.
const FORMAT: u32 = 1;

/// How many patched kernels are kept at most. The oldest go first.
const KEPT: usize = 60;

/// What building one takes of the disk at most, besides a copy of the objects.
const TAKES: u64 = 200_000_000;

/// The key of a patched kernel: twelve hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PatchedKey(String);

/// A patched kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patched {
    /// What it is known by.
    pub key: PatchedKey,
    /// The kernel that was patched, such as `built:uml-c` or `debian-6.12`.
    pub base: String,
    /// What the patch is called.
    pub title: String,
    /// What it is booted as.
    pub boots: Boots,
    folder: PathBuf,
}

/// What a patched kernel is booted as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Boots {
    /// An image.
    Image(BuiltFor),
    /// A stock kernel of this name, with a module in place of its own.
    Stock(String),
}

/// What is written of it.
#[derive(Serialize, Deserialize)]
struct PatchedRecord {
    format: u32,
    base: String,
    title: String,
    boots: Boots,
}

impl PatchedKey {
    /// Made of all that a kernel is made of.
    pub(super) fn of(parts: &[&str]) -> PatchedKey {
        let mut hasher = Sha256::new();
        hasher.update(FORMAT.to_le_bytes());
        for part in parts {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        PatchedKey(hex::encode(&hasher.finalize()[..6]))
    }
}

impl FromStr for PatchedKey {
    type Err = KernelError;

    fn from_str(word: &str) -> Result<PatchedKey, KernelError> {
        let key = word.strip_prefix(PATCHED_PREFIX).unwrap_or(word);
        if key.len() == 12 && key.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c)) {
            return Ok(PatchedKey(key.to_owned()));
        }
        Err(KernelError::Unavailable(format!(
            "{word:?} is no patched kernel: those are {PATCHED_PREFIX} and twelve hexadecimal digits, as binderdrill \
             patch names them"
        )))
    }
}

impl fmt::Display for PatchedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Patched {
    /// The one that is kept in a folder of all of them.
    pub(super) fn read(key: &PatchedKey, all: &Path) -> Result<Patched, KernelError> {
        let folder = all.join(key.to_string());
        let path = folder.join(RECORD);
        let missing = || {
            KernelError::Unavailable(format!(
                "there is no patched kernel {PATCHED_PREFIX}{key}: binderdrill patch builds it"
            ))
        };
        let text = fs::read_to_string(&path).map_err(|_| missing())?;
        let record: PatchedRecord = toml::from_str(&text).map_err(|_| missing())?;
        if record.format != FORMAT {
            return Err(missing());
        }
        let PatchedRecord { base, title, boots, .. } = record;
        Ok(Patched { key: key.clone(), base, title, boots, folder })
    }

    /// The target that it is.
    pub fn target(&self) -> String {
        format!("{PATCHED_PREFIX}{}", self.key)
    }

    /// Its image, or its module.
    pub fn image(&self) -> PathBuf {
        self.folder.join(self.boots.file())
    }

    /// Its notes, which are there if it counts which lines run.
    pub(super) fn notes(&self) -> PathBuf {
        self.folder.join(kept::NOTES)
    }

    /// When it was built.
    pub fn built(&self) -> Option<SystemTime> {
        fs::metadata(self.folder.join(RECORD)).and_then(|record| record.modified()).ok()
    }

    /// Keeps a kernel that has been built as this file. Nobody ever sees half a kernel: it is moved into its place as a
    /// whole.
    pub(super) fn keep(
        key: PatchedKey,
        made: &Path,
        noted: Option<&Noted>,
        base: &str,
        title: &str,
        boots: Boots,
        all: &Path,
    ) -> Result<Patched, KernelError> {
        let folder = tempfile::Builder::new().prefix(".keeping-").tempdir_in(all);
        let folder = folder.map_err(|error| file_error(all, error))?;
        fs::copy(made, folder.path().join(boots.file())).map_err(|error| file_error(made, error))?;
        if let Some(noted) = noted {
            noted.keep(&folder.path().join(kept::NOTES))?;
        }
        let record = PatchedRecord {
            format: FORMAT,
            base: base.to_owned(),
            title: title.to_owned(),
            boots: boots.clone(),
        };
        let text = toml::to_string(&record).expect("a record is strings and numbers, which TOML has");
        let path = folder.path().join(RECORD);
        fs::write(&path, text).map_err(|error| file_error(&path, error))?;
        let place = all.join(key.to_string());
        // Whoever was quicker has built the same.
        if !place.exists() {
            fs::rename(folder.keep(), &place).map_err(|error| file_error(&place, error))?;
        }
        forget_old(all)?;
        Patched::read(&key, all)
    }
}

impl Boots {
    fn file(&self) -> &'static str {
        match self {
            Boots::Image(kind) => kind.image(),
            Boots::Stock(_) => "binder_linux.ko",
        }
    }
}

/// All that are kept.
pub(super) fn all(folder: &Path) -> Vec<Patched> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let keys = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<PatchedKey>().ok());
    let mut all: Vec<Patched> = keys.filter_map(|key| Patched::read(&key, folder).ok()).collect();
    all.sort_by_key(Patched::built);
    all
}

/// A folder to build in, which goes with the value. Those that somebody left who was killed over a build go too.
pub(super) fn workplace(all: &Path) -> Result<(tempfile::TempDir, Lock), KernelError> {
    const BUILDING: &str = ".building-";
    fs::create_dir_all(all).map_err(|error| file_error(all, error))?;
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        let lock = entry.path().join(kept::LOCK);
        let is_workplace = entry.file_name().to_str().is_some_and(|name| name.starts_with(BUILDING));
        if is_workplace && lock.exists() && Lock::take_if_free(&lock)?.is_some() {
            remove_all(&entry.path())?;
        }
    }
    let workplace = tempfile::Builder::new().prefix(BUILDING).tempdir_in(all);
    let workplace = workplace.map_err(|error| file_error(all, error))?;
    let lock = Lock::take(&workplace.path().join(kept::LOCK), Hold::Alone, &mut || {})?;
    Ok((workplace, lock))
}

fn forget_old(folder: &Path) -> Result<(), KernelError> {
    let all = all(folder);
    all[..all.len().saturating_sub(KEPT)].iter().try_for_each(|old| remove_all(&old.folder))
}

/// What is to be patched: a kernel that was built here, and where all is.
pub(super) struct Base<'a> {
    pub built: &'a Built,
    /// Its folder.
    pub folder: &'a Path,
    /// What it was built from.
    pub source: &'a Source,
}

/// Builds a kernel with changes of its source, unless it is there. `all` is the folder of all patched kernels.
pub(super) fn build(
    base: &Base<'_>,
    changes: &Changes,
    title: &str,
    all: &Path,
    tell: &mut dyn FnMut(Told<'_>),
) -> Result<Patched, KernelError> {
    let name: BuiltName = base.built.name.parse()?;
    let record = Record::read(&name, base.folder)?;
    // What it watches itself with, and its base does not.
    let more = base.built.with.difference(&record.choices.with).map(ToString::to_string);
    let parts: Vec<String> =
        ["image".to_owned(), record.key, changes.digest()].into_iter().chain(more).collect();
    let key = PatchedKey::of(&parts.iter().map(String::as_str).collect::<Vec<&str>>());
    if let Ok(patched) = Patched::read(&key, all) {
        return Ok(patched);
    }
    let choices = Choices { kind: base.built.kind, driver: base.built.driver, with: base.built.with.clone() };
    let tools = Toolchain::find(&choices, false)?;
    let from = base.folder.join(kept::OBJECTS);
    space::check(all, space::taken(&from) + TAKES, &format!("building built:{name} with a patch"))?;

    let (workplace, lock) = workplace(all)?;
    let folder = workplace.path();
    tell(Told::Begun("copying what the base was made of"));
    let (source, copies) = (folder.join("source"), folder.join(kept::OBJECTS));
    overlay::make(&base.source.folder, changes, &source)?;
    {
        let wait = &mut || tell(Told::Begun("waiting for another binderdrill that builds the base"));
        let _unchanged = Lock::take(&base.folder.join(kept::LOCK), Hold::Shared, wait)?;
        objects::copy(
            Place { source: &base.source.folder, objects: &from },
            Place { source: &source, objects: &copies },
        )?;
    }
    // What is gone is not newer than anything.
    let gone: Vec<String> =
        changes.files().filter(|(_, text)| text.is_none()).map(|(path, _)| path.to_owned()).collect();
    stale::forget(&copies, &source, &gone)?;
    let source = Source::at(base.source.name.clone(), source);
    let work = Work {
        options: Options::asked_for(&choices),
        choices: &choices,
        source: &source,
        tools: &tools,
        folder,
        lock: &lock,
    };
    if changes
        .files()
        .any(|(path, _)| path.rsplit('/').next().is_some_and(|file| file.starts_with("Kconfig")))
    {
        work.configure(tell)?;
    }
    work.make(tell).map_err(|error| kept_log(error, folder, all))?;
    let made = work.image();
    let noted = work.noted();
    Patched::keep(
        key,
        &made,
        noted.as_ref(),
        &format!("built:{name}"),
        title,
        Boots::Image(choices.kind),
        all,
    )
}

/// An error of a build whose folder is about to go: its log stays, and paths are those of the source.
pub(super) fn kept_log(error: KernelError, folder: &Path, all: &Path) -> KernelError {
    let KernelError::Build { error, log } = error else { return error };
    let kept = all.join("failed.log");
    let log = if fs::copy(&log, &kept).is_ok() { kept } else { log };
    let source = format!("{}/source/", folder.display());
    KernelError::Build { error: error.replace(&source, ""), log }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_of_all_parts_and_read_as_it_is_written() {
        let key = PatchedKey::of(&["ab", "c"]);
        assert_ne!(key, PatchedKey::of(&["a", "bc"]));
        assert_eq!(format!("patched:{key}").parse::<PatchedKey>().unwrap(), key);
        for wrong in ["", "patched:", "patched:0123", "../../../etc", "patched:0123456789AB"] {
            assert!(wrong.parse::<PatchedKey>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_somebody_left_who_was_killed_goes() {
        let all = tempfile::tempdir().unwrap();
        let (mine, lock) = workplace(all.path()).unwrap();
        let (left, gone) = workplace(all.path()).unwrap();
        let left = left.keep();
        drop(gone);
        let (other, _lock) = workplace(all.path()).unwrap();
        assert!(!left.exists() && mine.path().exists() && other.path().exists());
        drop(lock);
    }

    #[test]
    fn a_patched_kernel_is_kept_whole() {
        let all = tempfile::tempdir().unwrap();
        let made = all.path().join("made");
        fs::write(&made, "a kernel").unwrap();
        let key = PatchedKey::of(&["x"]);
        assert!(Patched::read(&key, all.path()).unwrap_err().to_string().contains("binderdrill patch"));
        for boots in [Boots::Image(BuiltFor::Uml), Boots::Stock("debian-6.12".to_owned())] {
            let key = PatchedKey::of(&[boots.file()]);
            let kept =
                Patched::keep(key, &made, None, "a base", "a title", boots.clone(), all.path()).unwrap();
            assert_eq!((kept.base.as_str(), kept.title.as_str(), &kept.boots), ("a base", "a title", &boots));
            assert_eq!(fs::read_to_string(kept.image()).unwrap(), "a kernel");
        }
        assert_eq!(super::all(all.path()).len(), 2);
    }
}
