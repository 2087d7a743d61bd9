//! Stock kernels of Debian: which packages they are in, and what of them is kept.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::apt::{Apt, NEWER_SUITES, numbers};
use super::{KernelError, file_error};
use crate::target::guest::{GUEST_MODULES, with_needs};

/// The kernel's image, in its folder.
pub const IMAGE: &str = "vmlinuz";
/// The folder of its modules.
pub const MODULES: &str = "modules";
/// The file that names its release.
pub const RELEASE: &str = "release";

/// The name of a stock kernel: `debian-` and the beginning of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockName {
    version: Vec<u32>,
}

impl FromStr for StockName {
    type Err = KernelError;

    fn from_str(name: &str) -> Result<StockName, KernelError> {
        let wrong = || KernelError::Name(name.to_owned());
        let numbers = name.strip_prefix("debian-").ok_or_else(wrong)?.split('.');
        let version: Vec<u32> = numbers.map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
        if version.is_empty() { Err(wrong()) } else { Ok(StockName { version }) }
    }
}

impl fmt::Display for StockName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.version.iter().map(u32::to_string).collect();
        write!(f, "debian-{}", numbers.join("."))
    }
}

/// A kernel among the packages of a suite.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    /// Its release but for the flavour, such as `6.1.0-56`.
    release: String,
    packages: Vec<String>,
}

/// Fetches the newest kernel of a name into a folder.
pub fn fetch(name: &StockName, folder: &Path, tell: &mut dyn FnMut(&str)) -> Result<(), KernelError> {
    let (apt, candidate) = find(name, tell)?;
    let download = tempfile::tempdir_in(folder).map_err(|error| file_error(folder, error))?;
    tell(&format!("fetching Linux {}", candidate.release));
    let unpacked = apt.download_and_unpack(&candidate.packages, download.path())?;
    tell(&format!("unpacking Linux {}", candidate.release));
    let release = format!("{}-amd64", candidate.release);
    keep_image(&unpacked, &release, folder)?;
    keep_modules(&unpacked, &release, folder)?;
    fs::write(folder.join(RELEASE), format!("{release}\n")).map_err(|error| file_error(folder, error))
}

/// The newest kernel of a name: of the installed release, or else of a newer suite.
fn find(name: &StockName, tell: &mut dyn FnMut(&str)) -> Result<(Apt, Candidate), KernelError> {
    let installed = Apt::installed();
    if let Some(candidate) = newest(name, &installed.packages("linux-")?) {
        return Ok((installed, candidate));
    }
    let mut seen = Vec::new();
    for suite in NEWER_SUITES {
        tell(&format!("{name} is not in the release that is installed; looking in {suite}"));
        let apt = Apt::of_suite(suite)?;
        let packages = apt.packages("linux-")?;
        if let Some(candidate) = newest(name, &packages) {
            return Ok((apt, candidate));
        }
        seen.extend(candidates(&packages).into_iter().map(|candidate| candidate.release));
    }
    seen.extend(candidates(&installed.packages("linux-")?).into_iter().map(|candidate| candidate.release));
    seen.sort_by_key(|release| numbers(release));
    seen.dedup();
    let known =
        if seen.is_empty() { "none at all (apt-get update first)".to_owned() } else { seen.join(", ") };
    Err(KernelError::Unavailable(format!("Debian has no kernel {name}; it has {known}")))
}

fn newest(name: &StockName, packages: &[String]) -> Option<Candidate> {
    let fitting = candidates(packages);
    let fitting =
        fitting.into_iter().filter(|candidate| numbers(&candidate.release).starts_with(&name.version));
    fitting.max_by_key(|candidate| numbers(&candidate.release))
}

/// The plain kernels for 64-bit PCs among packages: all in one package, or in one for the image and one for the
/// modules.
fn candidates(packages: &[String]) -> Vec<Candidate> {
    let plain = |release: &&str| {
        !release.contains("cloud")
            && !release.contains("rt")
            && release.starts_with(|c: char| c.is_ascii_digit())
    };
    let whole = packages.iter().filter_map(|package| {
        let release = package.strip_prefix("linux-image-")?.strip_suffix("-amd64-unsigned").filter(plain)?;
        Some(Candidate { release: release.to_owned(), packages: vec![package.clone()] })
    });
    let split = packages.iter().filter_map(|package| {
        let release = package.strip_prefix("linux-binary-")?.strip_suffix("-amd64").filter(plain)?;
        let modules = format!("linux-modules-{release}-amd64");
        packages
            .contains(&modules)
            .then(|| Candidate { release: release.to_owned(), packages: vec![package.clone(), modules] })
    });
    whole.chain(split).collect()
}

fn keep_image(unpacked: &Path, release: &str, folder: &Path) -> Result<(), KernelError> {
    let name = format!("vmlinuz-{release}");
    let places =
        [unpacked.join("boot").join(&name), unpacked.join(format!("usr/lib/modules/{release}/vmlinuz"))];
    let image = places.iter().find(|place| place.exists()).ok_or_else(|| {
        KernelError::Unavailable(format!(
            "the packages of Linux {release} hold no image where it is looked for"
        ))
    })?;
    fs::copy(image, folder.join(IMAGE)).map(drop).map_err(|error| file_error(image, error))
}

/// Keeps the few modules that a guest needs, unpacked.
fn keep_modules(unpacked: &Path, release: &str, folder: &Path) -> Result<(), KernelError> {
    let places =
        ["lib", "usr/lib"].map(|lib| unpacked.join(lib).join("modules").join(release).join("kernel"));
    let all = places.iter().find(|place| place.is_dir()).ok_or_else(|| {
        KernelError::Unavailable(format!(
            "the packages of Linux {release} hold no modules where they are looked for"
        ))
    })?;
    let kept = folder.join(MODULES);
    fs::create_dir(&kept).map_err(|error| file_error(&kept, error))?;
    let modules =
        with_needs(all, GUEST_MODULES).map_err(|error| KernelError::Unavailable(error.to_string()))?;
    for module in modules {
        let path: PathBuf = kept.join(format!("{}.ko", module.name));
        fs::write(&path, module.bytes).map_err(|error| file_error(&path, error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_newest_of_a_name_is_found() {
        let packages = packages(&[
            "linux-image-6.1.0-9-amd64-unsigned",
            "linux-image-6.1.0-56-amd64-unsigned",
            "linux-image-6.1.0-57-cloud-amd64-unsigned",
            "linux-image-6.1.0-57-rt-amd64-unsigned",
            "linux-image-6.12.117+deb12-amd64-unsigned",
            "linux-image-6.12.117+deb12-amd64-dbg",
            "linux-binary-7.2.13+deb14-amd64",
            "linux-modules-7.2.13+deb14-amd64",
            "linux-binary-7.3.1+deb14-amd64",
        ]);
        let newest = |name: &str| newest(&name.parse().unwrap(), &packages).map(|found| found.release);
        assert_eq!(newest("debian-6.1").as_deref(), Some("6.1.0-56"));
        assert_eq!(newest("debian-6").as_deref(), Some("6.12.117+deb12"));
        assert_eq!(newest("debian-7").as_deref(), Some("7.2.13+deb14"));
        assert_eq!(newest("debian-7.3"), None);
    }

    #[test]
    fn a_name_is_a_version() {
        assert_eq!("debian-6.12".parse::<StockName>().unwrap().to_string(), "debian-6.12");
        for wrong in ["debian-", "debian-six", "fedora-6", "6.12", "debian-6..1", "debian-../x"] {
            assert!(wrong.parse::<StockName>().is_err(), "{wrong}");
        }
    }
}
