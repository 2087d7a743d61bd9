//! The source of a kernel: a package of Debian, fetched and unpacked once, or a tree of one's own, which is only read.

use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use walkdir::WalkDir;

use super::apt::{Apt, NEWER_SUITES, numbers, run};
use super::lock::{Hold, Lock};
use super::{KernelError, file_error, remove_all, remove_file, space};
use crate::program::DriverKind;

/// How the packages are called, but for the version.
pub const PACKAGE_PREFIX: &str = "linux-source-";

/// Where what is about to ship is: a source that the release and [`NEWER_SUITES`] do not have is looked for there.
const EXPERIMENTAL: &str = "experimental";

/// What fetching a package takes of the disk at most, in bytes: packed, and unpacked.
const FETCHING_TAKES: u64 = 2_500_000_000;

/// Which source is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceChoice {
    /// The newest package that has been unpacked, or, if there is none, the newest that Debian has.
    Newest,
    /// A package.
    Package(SourceName),
    /// A tree at this path.
    Tree(PathBuf),
}

/// The name of a package with the source of Linux, such as `linux-source-7.3`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceName {
    version: Vec<u32>,
}

/// A source, unpacked.
pub struct Source {
    /// The name of its package with its revision, or the path of its tree.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Keeps a package from being fetched anew while somebody builds from it.
    _in_use: Option<Lock>,
}

/// A package that has been unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpacked {
    /// Its name.
    pub name: SourceName,
    /// Debian's number for what is in it, such as `7.3.4-1`; `None` where nobody has written it down.
    pub revision: Option<String>,
    /// When it was fetched.
    pub fetched: Option<SystemTime>,
}

/// The files of a source as they were at one time: one line for each, with its size and when it was last changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFiles(String);

impl FromStr for SourceName {
    type Err = KernelError;

    fn from_str(name: &str) -> Result<SourceName, KernelError> {
        let wrong = || {
            KernelError::Unavailable(format!(
                "{name:?} is no name of a source: those are {PACKAGE_PREFIX}VERSION, such as {PACKAGE_PREFIX}6.12"
            ))
        };
        let version = name.strip_prefix(PACKAGE_PREFIX).ok_or_else(wrong)?;
        let version: Result<Vec<u32>, _> = version.split('.').map(str::parse).collect();
        version.map(|version| SourceName { version }).map_err(|_| wrong())
    }
}

impl std::fmt::Display for SourceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let numbers: Vec<String> = self.version.iter().map(u32::to_string).collect();
        write!(f, "{PACKAGE_PREFIX}{}", numbers.join("."))
    }
}

/// A word is a package if it is called like one, and else a path.
impl FromStr for SourceChoice {
    type Err = KernelError;

    fn from_str(word: &str) -> Result<SourceChoice, KernelError> {
        if word.starts_with(PACKAGE_PREFIX) {
            return Ok(SourceChoice::Package(word.parse()?));
        }
        Ok(SourceChoice::Tree(PathBuf::from(word)))
    }
}

impl SourceChoice {
    /// Whether nothing has to be fetched for it into this folder.
    pub fn is_at_hand(&self, folder: &Path) -> bool {
        match self {
            SourceChoice::Newest => !unpacked(folder).is_empty(),
            SourceChoice::Package(name) => folder.join(name.to_string()).is_dir(),
            SourceChoice::Tree(_) => true,
        }
    }

    /// What a kernel is called after, if nobody says otherwise: what is chosen by name says so.
    pub fn name_part(&self) -> Option<String> {
        match self {
            SourceChoice::Newest => None,
            SourceChoice::Package(name) => Some(name.to_string().replace(PACKAGE_PREFIX, "")),
            SourceChoice::Tree(path) => {
                let path = path.canonicalize().ok()?;
                let name = path.file_name()?.to_string_lossy().into_owned();
                Some(name.replace(|c: char| !(c.is_ascii_alphanumeric() || "._+".contains(c)), "-"))
            }
        }
    }

    /// The source, fetched into this folder if it is a package and not there.
    pub fn source(&self, folder: &Path, tell: &mut dyn FnMut(&str)) -> Result<Source, KernelError> {
        match self {
            SourceChoice::Tree(path) => Source::tree(path),
            SourceChoice::Package(name) => package(Some(name), folder, tell),
            SourceChoice::Newest => {
                let newest = unpacked(folder).pop().map(|package| package.name);
                package(newest.as_ref(), folder, tell)
            }
        }
    }
}

/// The packages that have been unpacked in a folder, by version.
pub fn unpacked(folder: &Path) -> Vec<Unpacked> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<SourceName>().ok());
    let mut names: Vec<SourceName> = names.collect();
    names.sort();
    names.into_iter().map(|name| Place::of(&name, folder).unpacked()).collect()
}

/// A package as it was unpacked, or, if it was not, is now.
fn package(
    name: Option<&SourceName>,
    folder: &Path,
    tell: &mut dyn FnMut(&str),
) -> Result<Source, KernelError> {
    let fetched;
    let name = match name.filter(|name| Place::of(name, folder).tree.is_dir()) {
        Some(name) => name,
        None => {
            fetched = fetch(name, folder, tell)?.unpacked.name;
            &fetched
        }
    };
    let place = Place::of(name, folder);
    let wait = &mut || tell("waiting for another binderdrill that fetches the source");
    let lock = Lock::take(&place.lock, Hold::Shared, wait)?;
    let revision = place.unpacked().revision.map_or_else(String::new, |revision| format!(" {revision}"));
    Ok(Source { name: format!("{name}{revision}"), folder: place.tree, _in_use: Some(lock) })
}

/// A package, and whether it was there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The package.
    pub unpacked: Unpacked,
    /// Whether Debian has nothing newer than what was there.
    pub was_there: bool,
}

/// Fetches a package, or the newest one, in place of an older revision of it.
pub fn fetch(
    wanted: Option<&SourceName>,
    folder: &Path,
    tell: &mut dyn FnMut(&str),
) -> Result<Fetched, KernelError> {
    let (apt, name) = find(wanted, tell)?;
    let place = Place::of(&name, folder);
    fs::create_dir_all(folder).map_err(|error| file_error(folder, error))?;
    let wait = &mut || tell("waiting for another binderdrill that uses the source");
    let _alone = Lock::take(&place.lock, Hold::Alone, wait)?;
    let revision = apt.revision(&name.to_string())?;
    if place.tree.is_dir() && place.unpacked().revision.as_ref() == Some(&revision) {
        return Ok(Fetched { unpacked: place.unpacked(), was_there: true });
    }
    // What somebody left who was killed over this.
    remove_all(&place.fresh)?;
    space::check(folder, FETCHING_TAKES, &format!("fetching {name}"))?;
    let fetched = place.fill(&apt, &name, tell);
    let cleared = remove_all(&place.fresh);
    fetched.and(cleared)?;
    fs::write(&place.revision, revision).map_err(|error| file_error(&place.revision, error))?;
    Ok(Fetched { unpacked: place.unpacked(), was_there: false })
}

/// Deletes a package that nobody builds from.
pub fn remove(name: &SourceName, folder: &Path) -> Result<(), KernelError> {
    let place = Place::of(name, folder);
    let Some(_alone) = Lock::take_if_free(&place.lock)? else {
        return Err(KernelError::Unavailable(format!(
            "{name} is in use: somebody builds from it or fetches it"
        )));
    };
    remove_all(&place.fresh)?;
    remove_all(&place.tree)?;
    remove_file(&place.revision)?;
    remove_file(&place.lock)
}

/// Where things of a package are.
struct Place {
    name: SourceName,
    /// Its files, and beside them:
    tree: PathBuf,
    /// Its revision.
    revision: PathBuf,
    /// The lock on both.
    lock: PathBuf,
    /// What is being fetched.
    fresh: PathBuf,
}

impl Place {
    fn of(name: &SourceName, folder: &Path) -> Place {
        Place {
            name: name.clone(),
            tree: folder.join(name.to_string()),
            revision: folder.join(format!("{name}.revision")),
            lock: folder.join(format!("{name}.lock")),
            fresh: folder.join(format!(".fetching-{name}")),
        }
    }

    fn unpacked(&self) -> Unpacked {
        // The tree itself is as old as its packing.
        let fetched = fs::metadata(&self.revision).and_then(|file| file.modified()).ok();
        Unpacked { name: self.name.clone(), revision: fs::read_to_string(&self.revision).ok(), fetched }
    }

    /// Fetches and unpacks it.
    fn fill(&self, apt: &Apt, name: &SourceName, tell: &mut dyn FnMut(&str)) -> Result<(), KernelError> {
        fs::create_dir(&self.fresh).map_err(|error| file_error(&self.fresh, error))?;
        tell(&format!("fetching {name}"));
        let package = apt.download_and_unpack(&[name.to_string()], &self.fresh)?;
        tell(&format!("unpacking {name}"));
        let archive = package.join(format!("usr/src/{name}.tar.xz"));
        let mut tar = Command::new("tar");
        run(tar.arg("-xf").arg(&archive).arg("-C").arg(&self.fresh).arg("--no-same-owner"))?;
        // Nobody ever sees half a source: it is moved into its place as a whole.
        remove_file(&self.revision)?;
        remove_all(&self.tree)?;
        let tree = self.fresh.join(name.to_string());
        fs::rename(&tree, &self.tree).map_err(|error| file_error(&tree, error))
    }
}

/// Where Debian has this source, or its newest: in the installed release, or a newer suite.
fn find(wanted: Option<&SourceName>, tell: &mut dyn FnMut(&str)) -> Result<(Apt, SourceName), KernelError> {
    let mut best: Option<(Apt, SourceName)> = None;
    let mut seen = Vec::new();
    let installed = std::iter::once(None);
    for suite in installed.chain(NEWER_SUITES.iter().copied().chain([EXPERIMENTAL]).map(Some)) {
        let apt = match suite {
            None => Apt::installed(),
            Some(suite) => {
                tell(&format!("looking for sources in {suite}"));
                Apt::of_suite(suite)?
            }
        };
        let mut names: Vec<SourceName> =
            apt.packages(PACKAGE_PREFIX)?.iter().filter_map(|name| name.parse().ok()).collect();
        names.sort();
        seen.extend(names.iter().map(ToString::to_string));
        match wanted {
            Some(wanted) if names.contains(wanted) => return Ok((apt, wanted.clone())),
            Some(_) => {}
            None => {
                let newest = names.pop().filter(|name| best.as_ref().is_none_or(|(_, best)| name > best));
                best = newest.map(|name| (apt, name)).or(best);
            }
        }
    }
    best.ok_or_else(|| {
        seen.sort_by_key(|name| numbers(name));
        seen.dedup();
        let known = if seen.is_empty() { "none (apt-get update first)".to_owned() } else { seen.join(", ") };
        let wanted = wanted.map_or("source of Linux".to_owned(), ToString::to_string);
        KernelError::Unavailable(format!("Debian has no {wanted}; it has {known}"))
    })
}

impl Source {
    /// One that has been made for the time being.
    pub(super) fn at(name: String, folder: PathBuf) -> Source {
        Source { name, folder, _in_use: None }
    }

    fn tree(path: &Path) -> Result<Source, KernelError> {
        let folder = path.canonicalize().map_err(|error| {
            KernelError::Unavailable(format!(
                "{} is no source: {error}; a source is {PACKAGE_PREFIX}VERSION, such as {PACKAGE_PREFIX}6.12, or the \
                 path of a tree",
                path.display()
            ))
        })?;
        let name = folder.display().to_string();
        // make and the kernel's own scripts split words at these.
        if name.contains(|c: char| c.is_whitespace() || c == ':' || c == '#') {
            return Err(KernelError::Unavailable(format!(
                "Linux cannot be built from {name:?}: its path holds a space, a colon or a hash, and make cannot \
                 have that"
            )));
        }
        Ok(Source { name, folder, _in_use: None })
    }

    /// That this is a source with this driver, and that objects can be kept outside of it.
    pub fn check(&self, driver: DriverKind) -> Result<(), KernelError> {
        let refuse = |reason: String| Err(KernelError::Unavailable(format!("{}: {reason}", self.name)));
        let binder = fs::read_to_string(self.folder.join("drivers/android/Kconfig")).unwrap_or_default();
        if !self.folder.join("Kbuild").is_file() || !binder.contains("config ANDROID_BINDER_IPC\n") {
            return refuse("this is no source of Linux with a Binder driver".to_owned());
        }
        if driver == DriverKind::Rust && !binder.contains("config ANDROID_BINDER_IPC_RUST\n") {
            return refuse(
                "this Linux has no Rust driver, which came with 6.18; --driver c can be had".to_owned(),
            );
        }
        let built_in =
            [".config", "include/config", "arch/x86/include/generated", "arch/um/include/generated"];
        match built_in.iter().find(|place| self.folder.join(place).exists()) {
            None => Ok(()),
            Some(place) => refuse(format!(
                "this tree has been built in (it holds {place}), and so nothing can be built from it elsewhere. Give a \
                 clean one (git -C {0} worktree add PATH), or clean it, which deletes its .config (make -C {0} mrproper)",
                self.folder.display()
            )),
        }
    }

    /// Its files as they are now, without looking into them.
    pub fn files(&self) -> Result<SourceFiles, KernelError> {
        let visible = WalkDir::new(&self.folder)
            .sort_by_file_name()
            .into_iter()
            .filter_entry(|entry| entry.file_name() != ".git");
        let mut files = String::new();
        for entry in visible {
            let entry = entry.map_err(|error| file_error(&self.folder, error.into()))?;
            if entry.file_type().is_dir() {
                continue;
            }
            let metadata = entry.metadata().map_err(|error| file_error(entry.path(), error.into()))?;
            let changed = metadata.modified().map_err(|error| file_error(entry.path(), error))?;
            let changed = changed.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
            let path = entry.path().strip_prefix(&self.folder).unwrap_or(entry.path());
            writeln!(files, "{} {} {changed}", path.display(), metadata.len())
                .expect("a string takes all that is written to it");
        }
        Ok(SourceFiles(files))
    }
}

impl SourceFiles {
    /// Those that were written down before.
    pub fn read(path: &Path) -> Option<SourceFiles> {
        fs::read_to_string(path).ok().map(SourceFiles)
    }

    /// Writes them down.
    pub fn write(&self, path: &Path) -> Result<(), KernelError> {
        fs::write(path, &self.0).map_err(|error| file_error(path, error))
    }

    /// The same number for the same files.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.0.hash(&mut hasher);
        hasher.finish()
    }

    /// The paths, from the source's folder, of files that were here and are no longer as they were.
    pub fn changed_in(&self, later: &SourceFiles) -> Vec<String> {
        let later: std::collections::HashSet<&str> = later.0.lines().collect();
        let changed = self.0.lines().filter(|line| !later.contains(line));
        // A path may hold spaces, the two numbers after it do not.
        changed.filter_map(|line| line.rsplitn(3, ' ').last()).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> (tempfile::TempDir, Source) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("drivers/android")).unwrap();
        fs::write(folder.path().join("Kbuild"), "").unwrap();
        fs::write(folder.path().join("drivers/android/Kconfig"), "config ANDROID_BINDER_IPC\n").unwrap();
        let source = Source::tree(folder.path()).unwrap();
        (folder, source)
    }

    #[test]
    fn a_package_is_called_like_one() {
        assert_eq!(
            "linux-source-7.3".parse::<SourceChoice>().unwrap(),
            SourceChoice::Package(SourceName { version: vec![7, 3] })
        );
        assert_eq!(
            "../linux".parse::<SourceChoice>().unwrap(),
            SourceChoice::Tree(PathBuf::from("../linux"))
        );
        assert!("linux-source-seven".parse::<SourceChoice>().is_err());
        assert!("linux-source-6.9".parse::<SourceName>().unwrap() < "linux-source-6.12".parse().unwrap());
    }

    #[test]
    fn what_cannot_be_built_from_is_refused() {
        let (folder, source) = tree();
        source.check(DriverKind::C).unwrap();
        let no_rust = source.check(DriverKind::Rust).unwrap_err().to_string();
        assert!(no_rust.contains("6.18"), "{no_rust}");
        fs::write(folder.path().join(".config"), "").unwrap();
        let unclean = source.check(DriverKind::C).unwrap_err().to_string();
        assert!(unclean.contains("holds .config") && unclean.contains("worktree add"), "{unclean}");
        let empty = tempfile::tempdir().unwrap();
        let nothing = Source::tree(empty.path()).unwrap();
        let nothing = nothing.check(DriverKind::C).unwrap_err().to_string();
        assert!(nothing.contains("no source of Linux"), "{nothing}");
        assert!(Source::tree(Path::new("/no/such/tree")).err().unwrap().to_string().contains("No such file"));
        let spaced = folder.path().join("a tree");
        fs::create_dir(&spaced).unwrap();
        assert!(Source::tree(&spaced).err().unwrap().to_string().contains("a space"));
    }

    #[test]
    fn files_that_changed_or_went_are_found() {
        let (folder, source) = tree();
        let file = folder.path().join("with a space.c");
        fs::write(&file, "one").unwrap();
        let before = source.files().unwrap();
        assert_eq!(before.changed_in(&source.files().unwrap()), Vec::<String>::new());
        fs::write(&file, "longer").unwrap();
        fs::write(folder.path().join("new.c"), "").unwrap();
        fs::remove_file(folder.path().join("Kbuild")).unwrap();
        let after = source.files().unwrap();
        assert_eq!(before.changed_in(&after), ["Kbuild", "with a space.c"]);
        assert_ne!(before.digest(), after.digest());
        // Another size is seen, and so is another time alone: a patch that was taken back.
        let old = fs::File::options().write(true).open(&file).unwrap();
        old.set_modified(UNIX_EPOCH).unwrap();
        assert_eq!(after.changed_in(&source.files().unwrap()), ["with a space.c"]);
    }
}
