//! How a kernel is built: configured, checked, made, and kept.
//!
//! Each built kernel has a folder of its own, which also keeps the objects, so that a change of one source file takes
//! seconds. The objects are kept as long as all but the contents of the source is as it was; else all is made anew.
//! What is kept is a kernel only while its record is there: it is taken away before make starts, and written last.

use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use strum::IntoEnumIterator;

use super::built::{Built, BuiltFor, BuiltName, Choices, Instrument, Record, kept};
use super::configuration::{Lost, Options};
use super::lock::{Hold, Lock};
use super::notes::Noted;
use super::source::{Source, SourceChoice, SourceFiles};
use super::toolchain::Toolchain;
use super::{KernelError, file_error, make, remove_all, remove_file, space, stale};
use crate::program::DriverKind;

/// What a kernel and its objects take of the disk at most, in bytes, without and with what it watches itself with.
const BUILDING_TAKES: u64 = 600_000_000;
const WATCHING_TAKES: u64 = 1_500_000_000;

/// What of a user's environment the programs of a build are given, besides what is ccache's: where things are.
const ENVIRONMENT: &[&str] = &[
    "PATH",
    "HOME",
    "TMPDIR",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "CARGO_HOME",
];

/// How rustc is told to count which lines of the driver run, with what LLVM needs besides in no library that the kernel has
/// not. Threads of several processors count together, and what a thread has counted is there even while it sleeps.
const COUNTED_BY_RUSTC: &str = "RUSTFLAGS_rust_binder_main.o=-Cinstrument-coverage -Zno-profiler-runtime \
                                -Zcoverage-options=branch -Cllvm-args=-instrprof-atomic-counter-update-all";

/// What to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// From which source.
    pub source: SourceChoice,
    /// With what.
    pub choices: Choices,
    /// What to call it; without a name, it is called by what was chosen.
    pub name: Option<BuiltName>,
}

/// What is being done while a kernel is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told<'a> {
    /// Something that takes a while has begun.
    Begun(&'a str),
    /// make has done so many steps, of which this is the last.
    Step(usize, &'a str),
}

/// A kernel that was asked for, and what it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The kernel.
    pub kernel: Built,
    /// Whether all was as it is, so that nothing had to be made.
    pub was_there: bool,
}

impl Order {
    /// The name of the kernel.
    pub fn name(&self) -> Result<BuiltName, KernelError> {
        if let Some(name) = &self.name {
            // These names say what a kernel was built with, and are believed.
            let says = BuiltFor::iter().any(|kind| name.to_string().starts_with(&format!("{kind}-")));
            return if says { Err(KernelError::UsualName(name.to_string())) } else { Ok(name.clone()) };
        }
        let choices = self.choices.name();
        self.source.name_part().map_or(choices.clone(), |source| format!("{source}-{choices}")).parse()
    }
}

/// Builds a kernel, unless it is there. Sources are kept in one folder, kernels in the other.
pub fn build(
    order: &Order,
    sources: &Path,
    kernels: &Path,
    tell: &mut dyn FnMut(Told<'_>),
) -> Result<Outcome, KernelError> {
    order.choices.check()?;
    let name = order.name()?;
    let tools = Toolchain::find(&order.choices, !order.source.is_at_hand(sources))?;
    let source = order.source.source(sources, &mut |what| tell(Told::Begun(what)))?;
    source.check(order.choices.driver)?;

    let folder = kernels.join(name.to_string());
    fs::create_dir_all(&folder).map_err(|error| file_error(&folder, error))?;
    let lock = Lock::take(&folder.join(kept::LOCK), Hold::Alone, &mut || {
        tell(Told::Begun("waiting for another binderdrill that builds it"));
    })?;
    let files = source.files()?;
    let work = Work {
        options: Options::asked_for(&order.choices),
        choices: &order.choices,
        source: &source,
        tools: &tools,
        folder: &folder,
        lock: &lock,
    };
    let setting = work.setting();
    let key = digest(&(&setting, files.digest()));
    let before = Record::read(&name, &folder).ok();
    if let Some(before) = &before
        && order.name.is_none()
        && matches!(order.source, SourceChoice::Tree(_))
        && before.source != source.name
    {
        return Err(KernelError::OtherTree { name: name.to_string(), source_of_it: before.source.clone() });
    }
    if let Some(record) = before
        && record.key == key
        && folder.join(order.choices.kind.image()).exists()
        && (!order.choices.has_notes() || folder.join(kept::NOTES).is_dir())
    {
        return Ok(Outcome { kernel: Built::of(&name, record, &folder), was_there: true });
    }

    remove_file(&folder.join(kept::RECORD))?;
    work.keep_or_forget_objects(&setting, &files)?;
    let takes = if order.choices.with.is_empty() { BUILDING_TAKES } else { WATCHING_TAKES };
    let missing = takes.saturating_sub(space::taken(&work.objects()));
    space::check(&folder, missing, &format!("building {name}"))?;
    let started = Instant::now();
    work.configure(tell)?;
    work.make(tell)?;
    let release = work.keep()?;
    let mut record = Record::new(key, release, source.name.clone(), order.choices.clone());
    record.seconds = started.elapsed().as_secs();
    record.tools.clone_from(&tools.versions);
    record.write(&folder)?;
    Ok(Outcome { kernel: Built::of(&name, record, &folder), was_there: false })
}

/// All that a build needs to know.
pub(super) struct Work<'a> {
    pub options: Options,
    pub choices: &'a Choices,
    pub source: &'a Source,
    pub tools: &'a Toolchain,
    pub folder: &'a Path,
    pub lock: &'a Lock,
}

impl Work<'_> {
    fn objects(&self) -> PathBuf {
        self.folder.join(kept::OBJECTS)
    }

    fn log(&self) -> PathBuf {
        self.folder.join(kept::LOG)
    }

    /// What the objects depend on, but for the contents of the source.
    fn setting(&self) -> String {
        let Toolchain { arguments, environment, versions } = self.tools;
        let tools = format!("{arguments:?}\n{environment:?}\n{versions:?}");
        let source = self.source.folder.display();
        format!("{source}\n{tools}\n{:?}\n{}", self.instrumented(), self.options)
    }

    /// Keeps of the objects that are there all that make can be trusted with.
    fn keep_or_forget_objects(&self, setting: &str, files: &SourceFiles) -> Result<(), KernelError> {
        let (setting_path, files_path) =
            (self.folder.join(kept::SETTING), self.folder.join(kept::SOURCE_FILES));
        let objects = self.objects();
        let same = fs::read_to_string(&setting_path).is_ok_and(|before| before == setting);
        match SourceFiles::read(&files_path).filter(|_| same) {
            Some(before) => {
                stale::forget(&objects, &self.source.folder, &before.changed_in(files))?;
            }
            None => {
                remove_file(&setting_path)?;
                remove_all(&objects)?;
            }
        }
        fs::create_dir_all(&objects).map_err(|error| file_error(&objects, error))?;
        files.write(&files_path)?;
        fs::write(&setting_path, setting).map_err(|error| file_error(&setting_path, error))
    }

    /// Makes the configuration from these options alone, and says which of them are not in it.
    fn lost_of(&self, options: &Options) -> Result<Vec<Lost>, KernelError> {
        let asked = self.objects().join("asked.config");
        fs::write(&asked, options.to_string()).map_err(|error| file_error(&asked, error))?;
        let mut make = self.command();
        make.env("KCONFIG_ALLCONFIG", &asked).arg("allnoconfig");
        remove_file(&self.log())?;
        make::run(make, &self.log(), self.lock, &mut |_, _| {})?;
        let path = self.objects().join(".config");
        let text = fs::read_to_string(&path).map_err(|error| file_error(&path, error))?;
        Ok(options.lost_in(&Options::read(&text)))
    }

    /// Makes the configuration from nothing but the options asked for, and checks that they are all in it.
    pub fn configure(&self, tell: &mut dyn FnMut(Told<'_>)) -> Result<(), KernelError> {
        tell(Told::Begun("configuring"));
        let lost = self.lost_of(&self.options)?;
        if lost.is_empty() || self.lost_of(&self.options.for_older_linux(self.choices.kind))?.is_empty() {
            return Ok(());
        }
        let lost = lost.iter().map(|lost| format!("\n  {lost}")).collect::<String>();
        let why = if self.choices.driver == DriverKind::Rust { self.why_no_rust() } else { String::new() };
        Err(KernelError::Unavailable(format!(
            "{} cannot be configured as asked for, since it does not have these options or something that they \
             depend on:{lost}{why}",
            self.source.name
        )))
    }

    /// What Linux itself says is wrong with the Rust toolchain.
    fn why_no_rust(&self) -> String {
        match self.command().arg("rustavailable").output() {
            Ok(output) if !output.status.success() => {
                format!("\nof Rust, Linux says:\n{}", String::from_utf8_lossy(&output.stderr).trim())
            }
            _ => String::new(),
        }
    }

    pub fn make(&self, tell: &mut dyn FnMut(Told<'_>)) -> Result<(), KernelError> {
        tell(Told::Begun("compiling"));
        let mut make = self.command();
        let jobs = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // What a step says stays in one piece, however many run at a time.
        make.arg(format!("-j{jobs}")).arg("--output-sync=target").args(self.instrumented()).arg(self.goal());
        make::run(make, &self.log(), self.lock, &mut |steps, step| tell(Told::Step(steps, step)))
    }

    /// make, with all that does not depend on what is to be made.
    fn command(&self) -> Command {
        let mut make = Command::new("make");
        make.env_clear()
            .envs(environment())
            .env("LC_ALL", "C.UTF-8")
            // Scripts of the source would write beside themselves.
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .envs(self.tools.environment.iter().map(|(variable, value)| (variable, value)))
            .arg("-C")
            .arg(&self.source.folder)
            .arg(format!("O={}", self.objects().display()))
            .arg(match self.choices.kind {
                BuiltFor::Uml => "ARCH=um",
                BuiltFor::Qemu => "ARCH=x86_64",
            })
            .args(&self.tools.arguments)
            // The same source gives the same image, wherever and whenever it is built.
            .args([
                "KBUILD_BUILD_USER=binderdrill",
                "KBUILD_BUILD_HOST=binderdrill",
                "KBUILD_BUILD_VERSION=1",
            ])
            .arg("KBUILD_BUILD_TIMESTAMP=1970-01-01 00:00:00 UTC")
            .arg("LOCALVERSION=");
        make
    }

    fn goal(&self) -> &'static str {
        match self.choices.kind {
            BuiltFor::Uml => "linux",
            BuiltFor::Qemu => "bzImage",
        }
    }

    /// What says to make which files are instrumented: those of the driver.
    fn instrumented(&self) -> Vec<String> {
        let files: &[&str] = match self.choices.driver {
            DriverKind::C => &["binder", "binder_alloc", "binderfs"],
            DriverKind::Rust => &["rust_binder_main", "rust_binderfs"],
        };
        let (mut arguments, mut counted) = (Vec::new(), Vec::new());
        for instrument in &self.choices.with {
            let variable = match instrument {
                Instrument::Kcov => "KCOV_INSTRUMENT",
                Instrument::Gcov => "GCOV_PROFILE",
                Instrument::LlvmCov => {
                    counted.push(COUNTED_BY_RUSTC.to_owned());
                    continue;
                }
                // These see all of the kernel.
                Instrument::Kasan | Instrument::Lockdep => continue,
            };
            arguments.extend(files.iter().map(|file| format!("{variable}_{file}.o=y")));
        }
        if !arguments.is_empty() {
            // Addresses and blocks become lines again.
            arguments.extend(files.iter().map(|file| format!("CFLAGS_{file}.o=-g")));
        }
        arguments.extend(counted);
        arguments
    }

    /// The image, as make leaves it.
    pub fn image(&self) -> PathBuf {
        match self.choices.kind {
            BuiltFor::Uml => self.objects().join("linux"),
            BuiltFor::Qemu => self.objects().join("arch/x86/boot/bzImage"),
        }
    }

    /// Where gcc leaves its notes, and the source that notes are about.
    pub fn noted(&self) -> Option<Noted> {
        let noted = || Noted { objects: self.objects(), source: self.source.folder.clone() };
        self.choices.has_notes().then(noted)
    }

    /// Takes the image, the configuration and the notes out of the objects. Gives the kernel's release.
    fn keep(&self) -> Result<String, KernelError> {
        let objects = self.objects();
        let image = self.image();
        let kept_image = self.folder.join(self.choices.kind.image());
        // One that runs is not written over.
        remove_file(&kept_image)?;
        for (made, kept) in
            [(image, kept_image), (objects.join(".config"), self.folder.join(kept::CONFIGURATION))]
        {
            fs::copy(&made, &kept).map_err(|error| file_error(&made, error))?;
        }
        if let Some(noted) = self.noted() {
            noted.keep(&self.folder.join(kept::NOTES))?;
        }
        let release = objects.join("include/config/kernel.release");
        let text = fs::read_to_string(&release).map_err(|error| file_error(&release, error))?;
        Ok(text.trim().to_owned())
    }
}

/// What of a user's environment the programs of a build are given. What else it says to make or the compiler would be in
/// the kernel, and in no key.
pub(super) fn environment() -> impl Iterator<Item = (OsString, OsString)> {
    let kept = |name: &str| ENVIRONMENT.contains(&name) || name.starts_with("CCACHE_");
    std::env::vars_os().filter(move |(name, _)| name.to_str().is_some_and(kept))
}

fn digest(value: &impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
