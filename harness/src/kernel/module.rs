//! The driver of a stock kernel, built as a module out of its tree: with the headers that Debian has for that very
//! kernel, out of the source package of that version. It is built as it would be shipped, or so that it counts which of its
//! lines run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use walkdir::WalkDir;

use super::apt::{Apt, NEWER_SUITES, numbers};
use super::build::{Told, environment};
use super::counting_module;
use super::notes::Noted;
use super::patched::{Boots, Patched, PatchedKey, kept_log, workplace};
use super::source::{Source, SourceChoice, SourceName};
use super::{
    Kernel, KernelError, PACKAGE_PREFIX, file_error, make, remove_all, remove_file, space, toolchain,
};
use crate::patch::{Changes, DRIVER};

/// Where headers are that the driver shares with the rest of the kernel.
const HEADERS: &str = "include/";

/// What the headers of a kernel take of the disk at most, in bytes: packed, and unpacked.
const HEADERS_TAKE: u64 = 250_000_000;

/// The name of the source package that a stock kernel is of.
pub fn source_of(kernel: &Kernel) -> Result<SourceChoice, KernelError> {
    let version = numbers(&kernel.release());
    let [major, minor, ..] = version[..] else {
        return Err(KernelError::Unavailable(format!("{} does not say which Linux it is", kernel.name)));
    };
    let name: SourceName = format!("{PACKAGE_PREFIX}{major}.{minor}").parse()?;
    Ok(SourceChoice::Package(name))
}

/// Which of the two modules of one source is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModuleKind {
    /// The driver as it would be shipped.
    Plain,
    /// The driver, counting which of its lines run.
    Counting,
}

/// Where all is that building a module takes.
pub(super) struct Base<'a> {
    pub kernel: &'a Kernel,
    /// What the driver is built from.
    pub source: &'a Source,
    /// The folder in which headers are kept.
    pub headers: &'a Path,
    pub kind: ModuleKind,
}

/// Builds the driver of a stock kernel with changes of its source, unless it is there. `all` is the folder of all patched
/// kernels.
pub(super) fn build(
    base: &Base<'_>,
    changes: &Changes,
    title: &str,
    all: &Path,
    tell: &mut dyn FnMut(Told<'_>),
) -> Result<Patched, KernelError> {
    let release = base.kernel.release();
    let elsewhere: Vec<&str> =
        changes.files().map(|(path, _)| path).filter(|path| !is_of_module(path)).collect();
    if !elsewhere.is_empty() {
        return Err(KernelError::Unavailable(format!(
            "{} is a stock kernel, of which only the driver's module is built, and the patch changes {}: give a kernel \
             that is built from source as base (--base built:uml-c)",
            base.kernel.name,
            elsewhere.join(", ")
        )));
    }
    let compiler = compiler(&release, base.kind)?;
    let (digest, compiler_words) = (changes.digest(), compiler.join(" "));
    let mut parts = vec!["module", &release, &base.source.name, &compiler_words, &digest];
    // Notes are for the gcov of the same gcc only.
    let gcc = toolchain::version(Path::new("gcc")).unwrap_or_default();
    if base.kind == ModuleKind::Counting {
        parts.extend(counting_module::KEY);
        parts.push(&gcc);
    }
    let key = PatchedKey::of(&parts);
    if let Ok(patched) = Patched::read(&key, all) {
        return Ok(patched);
    }
    let headers = headers(&release, base.headers, tell)?;
    let (workplace, lock) = workplace(all)?;
    let folder = workplace.path();
    let source = folder.join("source");
    let driver = lay_out(base.source, changes, base.kind, &source)?;

    tell(Told::Begun(match base.kind {
        ModuleKind::Plain => "compiling",
        ModuleKind::Counting => "compiling what counts",
    }));
    let mut command = Command::new("make");
    command
        .env_clear()
        .envs(environment())
        .env("LC_ALL", "C.UTF-8")
        // Linux 7 would look for the configuration in the folder that its other headers are in.
        .env("KBUILD_OUTPUT", &headers)
        .arg("-C")
        .arg(&headers)
        .arg(format!("M={}", driver.display()))
        .args(&compiler)
        .arg(format!("-j{}", std::thread::available_parallelism().map_or(1, std::num::NonZero::get)))
        .arg("modules");
    make::run(command, &folder.join("build.log"), &lock, &mut |steps, step| tell(Told::Step(steps, step)))
        .map_err(|error| kept_log(error, folder, all))?;
    let made = driver.join("binder_linux.ko");
    if !made.is_file() {
        return Err(KernelError::Unavailable(format!(
            "the source {} makes no module binder_linux.ko: is this kernel's driver one?",
            base.source.name
        )));
    }
    // Objects lie beside what they were made of.
    let noted = Noted { objects: source.clone(), source };
    let noted = (base.kind == ModuleKind::Counting).then_some(&noted);
    let boots = Boots::Stock(base.kernel.name.clone());
    Patched::keep(key, &made, noted, &base.kernel.name, title, boots, all)
}

fn is_of_module(path: &str) -> bool {
    path.starts_with(DRIVER) || path.starts_with(HEADERS)
}

/// The driver's folder with its changes, in a folder that stands for the source. Changed headers stand beside it, and are
/// looked for before those of the kernel.
fn lay_out(
    source: &Source,
    changes: &Changes,
    kind: ModuleKind,
    folder: &Path,
) -> Result<PathBuf, KernelError> {
    let driver = folder.join(DRIVER.trim_end_matches('/'));
    let original = source.folder.join(DRIVER);
    for entry in WalkDir::new(&original) {
        let entry = entry.map_err(|error| file_error(&original, error.into()))?;
        let inside = entry.path().strip_prefix(&original).unwrap_or(entry.path());
        let copy = driver.join(inside);
        match entry.file_type().is_dir() {
            true => fs::create_dir_all(&copy),
            false => fs::copy(entry.path(), &copy).map(drop),
        }
        .map_err(|error| file_error(entry.path(), error))?;
    }
    for (path, text) in changes.files() {
        let place = folder.join(path);
        match text {
            None if place.exists() => fs::remove_file(&place).map_err(|error| file_error(&place, error))?,
            None => {}
            Some(text) => {
                let parent = place.parent().unwrap_or(folder);
                fs::create_dir_all(parent).map_err(|error| file_error(parent, error))?;
                fs::write(&place, text).map_err(|error| file_error(&place, error))?;
            }
        }
    }
    let (include, makefile) = (folder.join("include"), driver.join("Makefile"));
    let mut kbuild =
        format!("NOSTDINC_FLAGS += -I{0} -I{0}/uapi\ninclude {1}\n", include.display(), makefile.display());
    if kind == ModuleKind::Counting {
        kbuild += &counting_module::add_to(&driver)?;
    }
    let path = driver.join("Kbuild");
    fs::write(&path, kbuild).map_err(|error| file_error(&path, error))?;
    Ok(driver)
}

/// What says to make which compiler to take: the one that the kernel was built with, if it is there.
fn compiler(release: &str, kind: ModuleKind) -> Result<Vec<String>, KernelError> {
    let missing: Vec<&str> = ["gcc", "make", "x86_64-linux-gnu-ld"]
        .into_iter()
        .filter(|program| which::which(program).is_err())
        .collect();
    if !missing.is_empty() {
        return Err(KernelError::Tools(format!(
            "the driver of Linux {release} cannot be built here: {} is missing\nto install it:\n  apt-get install \
             --no-install-recommends gcc make binutils libc6-dev",
            missing.join(", ")
        )));
    }
    // Notes name the folder that they were made in, which is another one each time: ccache would only fill up.
    let is_cached = kind == ModuleKind::Plain && which::which("ccache").is_ok();
    let cache = if is_cached { "ccache " } else { "" };
    Ok(vec![format!("CC={cache}gcc")])
}

/// The headers of a kernel, fetched if they are not there.
fn headers(release: &str, folder: &Path, tell: &mut dyn FnMut(Told<'_>)) -> Result<PathBuf, KernelError> {
    let kept = folder.join(release);
    let inside = kept.join("usr/src").join(format!("linux-headers-{release}"));
    if inside.is_dir() {
        return Ok(inside);
    }
    tell(Told::Begun("fetching the kernel's headers"));
    fs::create_dir_all(folder).map_err(|error| file_error(folder, error))?;
    space::check(folder, HEADERS_TAKE, &format!("fetching the headers of Linux {release}"))?;
    let (apt, packages) = find_headers(release)?;
    let download = tempfile::Builder::new().prefix(".fetching-").tempdir_in(folder);
    let download = download.map_err(|error| file_error(folder, error))?;
    let unpacked = apt.download_and_unpack(&packages, download.path())?;
    let common = release.strip_suffix("-amd64").unwrap_or(release);
    // It names the other package where that would be installed.
    let makefile = unpacked.join("usr/src").join(format!("linux-headers-{release}/Makefile"));
    let includes = kept.join("usr/src").join(format!("linux-headers-{common}-common/Makefile"));
    fs::write(&makefile, format!("include {}\n", includes.display()))
        .map_err(|error| file_error(&makefile, error))?;
    // With it, make would want to describe the module's types as the kernel's are, which takes one more program.
    remove_file(&unpacked.join("usr/src").join(format!("linux-headers-{release}/vmlinux")))?;
    remove_all(&kept)?;
    fs::rename(&unpacked, &kept).map_err(|error| file_error(&kept, error))?;
    Ok(inside)
}

/// Where Debian has the headers of a kernel, and in which packages.
fn find_headers(release: &str) -> Result<(Apt, Vec<String>), KernelError> {
    let common = release.strip_suffix("-amd64").unwrap_or(release);
    let wanted = format!("linux-headers-{release}");
    let version: Vec<String> = numbers(release).iter().take(2).map(u32::to_string).collect();
    let kbuilds = [format!("linux-kbuild-{common}"), format!("linux-kbuild-{}", version.join("."))];
    for suite in std::iter::once(None).chain(NEWER_SUITES.iter().map(Some)) {
        let apt = suite.map_or_else(|| Ok(Apt::installed()), |suite| Apt::of_suite(suite))?;
        if !apt.packages("linux-headers-")?.contains(&wanted) {
            continue;
        }
        let there = apt.packages("linux-kbuild-")?;
        if let Some(kbuild) = kbuilds.iter().find(|name| there.contains(name)) {
            return Ok((apt, vec![wanted, format!("linux-headers-{common}-common"), kbuild.clone()]));
        }
    }
    Err(KernelError::Unavailable(format!(
        "Debian has no headers for Linux {release} any more ({wanted}): fetch the newest such kernel (binderdrill kernel \
         fetch), for which it has"
    )))
}
