//! Kernels built here from source: what is chosen of one, what it is called, and what is kept of it.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::SystemTime;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, IntoStaticStr};

use super::KernelError;
use crate::program::DriverKind;

/// What stands before the name of a built kernel.
pub const BUILT_PREFIX: &str = "built:";

/// What is kept of a built kernel, in its folder.
pub mod kept {
    /// What it is, and what it was built from.
    pub const RECORD: &str = "kernel.toml";
    /// Its whole configuration.
    pub const CONFIGURATION: &str = "config";
    /// What the last build said.
    pub const LOG: &str = "build.log";
    /// What make wrote, for the next build.
    pub const OBJECTS: &str = "objects";
    /// What gcov takes besides the counters of a kernel (see [`super::super::Notes`]).
    pub const NOTES: &str = "notes";
    /// What the objects are of, but for the contents of the source.
    pub const SETTING: &str = "setting";
    /// The files of the source, as they were when make last began.
    pub const SOURCE_FILES: &str = "source-files";
    /// Held by the one that builds.
    pub const LOCK: &str = "lock";
}

/// The version of what is written to [`kept::RECORD`].
const RECORD_FORMAT: u32 = 1;

/// What a kernel runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumIter, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum BuiltFor {
    /// On this machine's kernel, as a process of it (User-mode Linux).
    Uml,
    /// On a PC that QEMU emulates.
    Qemu,
}

/// What a kernel watches itself with.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Display,
    IntoStaticStr,
    Serialize,
    Deserialize,
    ValueEnum,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Instrument {
    /// Reports uses of memory that is not the user's (the kernel address sanitizer).
    Kasan,
    /// Reports orders of locks that can deadlock, and sleeps where none is allowed.
    Lockdep,
    /// Tells each thread which blocks of the driver it ran through.
    Kcov,
    /// Counts how often each line of the driver in C ran.
    Gcov,
    /// Counts how often each line of the driver in Rust ran.
    #[serde(rename = "llvm-cov")]
    #[strum(serialize = "llvm-cov")]
    LlvmCov,
}

/// What a kernel is built with, apart from its source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choices {
    /// What it runs on.
    #[serde(rename = "for")]
    pub kind: BuiltFor,
    /// Which driver it has.
    pub driver: DriverKind,
    /// What it watches itself with.
    pub with: BTreeSet<Instrument>,
}

/// What compiles the C of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compiler {
    Gcc,
    Clang,
}

/// The name of a built kernel: a word that can be a folder's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BuiltName(String);

/// A kernel that was built here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// What it is called, without the `built:` before it.
    pub name: String,
    /// What it runs on.
    pub kind: BuiltFor,
    /// Which driver it has.
    pub driver: DriverKind,
    /// What it watches itself with.
    pub with: BTreeSet<Instrument>,
    /// The release that its source gave it, such as `7.3.0-rc7`.
    pub release: String,
    /// What it was built from: the name of a package, or the path of a tree.
    pub source: String,
    /// The folder that holds it.
    folder: PathBuf,
}

/// What is written of a kernel beside its image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    format: u32,
    /// A digest of all that it was built from.
    pub key: String,
    pub release: String,
    pub source: String,
    #[serde(flatten)]
    pub choices: Choices,
    /// How long make took.
    pub seconds: u64,
    /// The programs that it was built with, in their own words.
    pub tools: Vec<String>,
}

impl BuiltFor {
    /// The kernel's image, in the folder of a built kernel.
    pub(super) fn image(self) -> &'static str {
        match self {
            BuiltFor::Uml => "linux",
            BuiltFor::Qemu => "bzImage",
        }
    }
}

impl Choices {
    /// That these go together.
    pub fn check(&self) -> Result<(), KernelError> {
        let excluded = |what: &str| Err(KernelError::Unavailable(what.to_owned()));
        let with = |instrument| self.with.contains(&instrument);
        if self.driver == DriverKind::Rust && with(Instrument::Gcov) {
            return excluded(
                "gcov and the Rust driver are not built together: gcov counts lines of C only. The Rust driver's are \
                 counted with llvm-cov",
            );
        }
        if with(Instrument::LlvmCov) && (self.driver, self.kind) != (DriverKind::Rust, BuiltFor::Uml) {
            return excluded(
                "llvm-cov counts lines of the Rust driver, on User-mode Linux, out of whose memory they are read: \
                 --driver rust, without --for qemu. Lines of the C driver are counted with gcov",
            );
        }
        if self.kind == BuiltFor::Uml
            && self.compiler() == Compiler::Clang
            && with(Instrument::Kasan)
            && with(Instrument::Lockdep)
        {
            return excluded(
                "the Rust driver is not built for User-mode Linux with both KASAN and lockdep: KASAN takes clang, and \
                 what clang makes of User-mode Linux switches lockdep off as it boots. Build one of each, or for QEMU",
            );
        }
        if with(Instrument::Lockdep) && with(Instrument::Gcov) {
            return excluded("gcov and lockdep in one kernel crash it before it boots: build one of each");
        }
        Ok(())
    }

    /// What compiles the kernel. Linux has KASAN look at Rust only where the C around it is compiled by clang.
    pub(super) fn compiler(&self) -> Compiler {
        match self.driver {
            DriverKind::Rust if self.with.contains(&Instrument::Kasan) => Compiler::Clang,
            _ => Compiler::Gcc,
        }
    }

    /// Whether it counts which of its lines run, so that it is kept which lines there are.
    pub(super) fn has_notes(&self) -> bool {
        [Instrument::Gcov, Instrument::LlvmCov].iter().any(|counting| self.with.contains(counting))
    }

    /// What a kernel is called that was built so, if nobody says otherwise.
    pub fn name(&self) -> String {
        let with = self.with.iter().map(|instrument| format!("-{instrument}")).collect::<String>();
        format!("{}-{}{with}", self.kind, self.driver)
    }
}

impl FromStr for BuiltName {
    type Err = KernelError;

    fn from_str(name: &str) -> Result<BuiltName, KernelError> {
        let name = name.strip_prefix(BUILT_PREFIX).unwrap_or(name);
        let fits = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
        let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if begins && name.chars().all(fits) && name.len() <= 100 {
            Ok(BuiltName(name.to_owned()))
        } else {
            Err(KernelError::BuiltName(name.to_owned()))
        }
    }
}

impl fmt::Display for BuiltName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Built {
    /// The kernel that is kept in a folder, if one is.
    pub(super) fn read(name: &BuiltName, folder: &Path) -> Result<Built, KernelError> {
        let record = Record::read(name, folder)?;
        Ok(Built::of(name, record, folder))
    }

    pub(super) fn of(name: &BuiltName, record: Record, folder: &Path) -> Built {
        let Record { release, source, choices: Choices { kind, driver, with }, .. } = record;
        Built { name: name.to_string(), kind, driver, with, release, source, folder: folder.to_owned() }
    }

    /// Its image: the program `linux`, or a bzImage.
    pub fn image(&self) -> PathBuf {
        self.folder.join(self.kind.image())
    }

    /// Its notes, which are there if it counts which lines run.
    pub(super) fn notes(&self) -> PathBuf {
        self.folder.join(kept::NOTES)
    }

    /// When it was built.
    pub fn built(&self) -> Option<SystemTime> {
        fs::metadata(self.image()).and_then(|image| image.modified()).ok()
    }
}

impl Record {
    pub(super) fn new(key: String, release: String, source: String, choices: Choices) -> Record {
        Record { format: RECORD_FORMAT, key, release, source, choices, seconds: 0, tools: Vec::new() }
    }

    pub(super) fn read(name: &BuiltName, folder: &Path) -> Result<Record, KernelError> {
        let path = folder.join(kept::RECORD);
        let Ok(text) = fs::read_to_string(&path) else {
            return Err(KernelError::NotBuilt { name: name.to_string(), half: folder.is_dir() });
        };
        let unreadable = |reason: String| {
            KernelError::Unavailable(format!(
                "{} cannot be read: {reason}; binderdrill kernel remove {BUILT_PREFIX}{name}, and build it again",
                path.display()
            ))
        };
        let record: Record = toml::from_str(&text).map_err(|error| unreadable(error.message().to_owned()))?;
        match record.format {
            RECORD_FORMAT => Ok(record),
            other => {
                Err(unreadable(format!("its format is {other}, and this program knows {RECORD_FORMAT}")))
            }
        }
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), KernelError> {
        let path = folder.join(kept::RECORD);
        let text = toml::to_string(self).expect("a record is strings and numbers, which TOML has");
        fs::write(&path, text).map_err(|error| KernelError::File { path, error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choices(driver: DriverKind, with: &[Instrument]) -> Choices {
        Choices { kind: BuiltFor::Uml, driver, with: with.iter().copied().collect() }
    }

    #[test]
    fn a_kernel_is_called_by_what_was_chosen() {
        use Instrument::{Kasan, Lockdep};
        assert_eq!(choices(DriverKind::Rust, &[]).name(), "uml-rust");
        assert_eq!(choices(DriverKind::C, &[Lockdep, Kasan]).name(), "uml-c-kasan-lockdep");
        assert_eq!(choices(DriverKind::Rust, &[Instrument::LlvmCov]).name(), "uml-rust-llvm-cov");
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        use Instrument::{Gcov, Kasan, Kcov, LlvmCov, Lockdep};
        for (driver, with) in [
            (DriverKind::Rust, vec![Gcov]),
            (DriverKind::C, vec![LlvmCov]),
            (DriverKind::C, vec![Kasan, Lockdep, Gcov]),
            (DriverKind::C, vec![Gcov, Lockdep]),
            (DriverKind::Rust, vec![Kasan, Lockdep]),
        ] {
            assert!(choices(driver, &with).check().is_err(), "{driver} {with:?}");
        }
        for (driver, with) in [
            (DriverKind::Rust, vec![Kasan, Kcov]),
            (DriverKind::C, vec![Kasan, Lockdep, Kcov]),
            (DriverKind::Rust, vec![LlvmCov]),
        ] {
            assert!(choices(driver, &with).check().is_ok(), "{driver} {with:?}");
        }
    }

    #[test]
    fn a_name_is_a_word() {
        assert_eq!("built:uml-c".parse::<BuiltName>().unwrap().to_string(), "uml-c");
        for wrong in ["", "..", "a/b", "-x", "a b", "built:", "a:b"] {
            assert!(wrong.parse::<BuiltName>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let name: BuiltName = "mine".parse().unwrap();
        let mut record = Record::new(
            "0123".to_owned(),
            "7.3.0".to_owned(),
            "linux-source-7.3".to_owned(),
            choices(DriverKind::C, &[Instrument::Kasan]),
        );
        record.tools = vec!["gcc 12".to_owned()];
        record.write(folder.path()).unwrap();
        assert_eq!(Record::read(&name, folder.path()).unwrap(), record);
        insta::assert_snapshot!(fs::read_to_string(folder.path().join(kept::RECORD)).unwrap());
    }

    #[test]
    fn a_record_of_another_format_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let name: BuiltName = "mine".parse().unwrap();
        assert!(matches!(Record::read(&name, folder.path()), Err(KernelError::NotBuilt { half: true, .. })));
        let choices = choices(DriverKind::C, &[]);
        let record =
            Record { format: 7, ..Record::new(String::new(), String::new(), String::new(), choices) };
        record.write(folder.path()).unwrap();
        let error = Record::read(&name, folder.path()).unwrap_err().to_string();
        assert!(error.contains("its format is 7") && error.contains("kernel remove built:mine"), "{error}");
    }
}
