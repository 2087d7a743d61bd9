//! Debian's packages, through apt's own client and its signature checks. Nothing is installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::KernelError;

/// The keys that Debian signs all its suites with.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Suites that are newer than any release: what the installed one does not have is looked for there.
pub const NEWER_SUITES: &[&str] = &["testing", "unstable"];

/// apt, for one suite.
pub struct Apt {
    options: Vec<String>,
    /// What apt keeps of a suite other than those it is configured for; gone with this value.
    _state: Option<tempfile::TempDir>,
}

impl Apt {
    /// For the suites that this machine is configured for.
    pub fn installed() -> Apt {
        Apt { options: Vec::new(), _state: None }
    }

    /// For another suite of the same archive, with lists of its own. The machine's configuration is untouched.
    pub fn of_suite(suite: &str) -> Result<Apt, KernelError> {
        let archive = archive()?;
        let state =
            tempfile::tempdir().map_err(|error| KernelError::File { path: std::env::temp_dir(), error })?;
        let at = |place: &str| state.path().join(place);
        for folder in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(at(folder)).map_err(|error| KernelError::File { path: at(folder), error })?;
        }
        let source = format!("deb [signed-by={KEYRING}] {archive} {suite} main\n");
        let list = at("sources.list");
        fs::write(&list, source).map_err(|error| KernelError::File { path: list.clone(), error })?;
        let options = [
            ("Dir::State", state.path().to_owned()),
            ("Dir::State::lists", at("lists")),
            ("Dir::State::status", PathBuf::from("/dev/null")),
            ("Dir::Cache", at("cache")),
            ("Dir::Etc::sourcelist", list),
            ("Dir::Etc::sourceparts", PathBuf::from("/dev/null")),
        ];
        let options = options.map(|(option, path)| format!("-o{option}={}", path.display())).to_vec();
        let apt = Apt { options, _state: Some(state) };
        apt.run("apt-get", &["update", "-qq"], None)?;
        Ok(apt)
    }

    /// All packages whose names begin so.
    pub fn packages(&self, prefix: &str) -> Result<Vec<String>, KernelError> {
        let names = self.run("apt-cache", &["pkgnames", prefix], None)?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// The version of a package that would be fetched.
    pub fn revision(&self, package: &str) -> Result<String, KernelError> {
        let shown = self.run("apt-cache", &["show", "--no-all-versions", package], None)?;
        let version = shown.lines().find_map(|line| line.strip_prefix("Version: "));
        version.map(str::to_owned).ok_or_else(|| {
            KernelError::Unavailable(format!("apt does not say which version of {package} there is"))
        })
    }

    /// Fetches packages and unpacks them into one folder, which is given.
    pub fn download_and_unpack(&self, packages: &[String], folder: &Path) -> Result<PathBuf, KernelError> {
        // Without root, apt fetches as who it is; with root, it complains of a folder that is not its own.
        let mut arguments = vec!["download", "-qq", "-oAPT::Sandbox::User=root"];
        arguments.extend(packages.iter().map(String::as_str));
        self.run("apt-get", &arguments, Some(folder))?;
        let unpacked = folder.join("unpacked");
        let files =
            fs::read_dir(folder).map_err(|error| KernelError::File { path: folder.to_owned(), error })?;
        for file in files.flatten().map(|entry| entry.path()) {
            if file.extension().is_some_and(|extension| extension == "deb") {
                let (file, to) = (file.display().to_string(), unpacked.display().to_string());
                run(Command::new("dpkg-deb").args(["-x", &file, &to]))?;
            }
        }
        Ok(unpacked)
    }

    fn run(&self, program: &str, arguments: &[&str], folder: Option<&Path>) -> Result<String, KernelError> {
        let mut command = Command::new(program);
        command.args(&self.options).args(arguments).env("LC_ALL", "C.UTF-8");
        if let Some(folder) = folder {
            command.current_dir(folder);
        }
        run(&mut command)
    }
}

/// The numbers in a version, in order: how versions compare.
pub fn numbers(version: &str) -> Vec<u32> {
    let parts = version.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    parts.map(|part| part.parse().unwrap_or(u32::MAX)).collect()
}

/// Where this machine gets Debian's main archive from.
fn archive() -> Result<String, KernelError> {
    const FORMAT: &str = "$(ORIGIN) $(LABEL) $(COMPONENT) $(REPO_URI)";
    let mut command = Command::new("apt-get");
    let targets = run(command.args(["indextargets", "--format", FORMAT, "Created-By: Packages"]))?;
    targets.lines().find_map(|line| line.strip_prefix("Debian Debian main ")).map(str::to_owned).ok_or_else(|| {
        KernelError::Unavailable(
            "no source of Debian's main archive is configured here, so none of another suite can be derived from it \
             (apt-get update first)"
                .to_owned(),
        )
    })
}

/// Runs a command, and gives what it says.
pub fn run(command: &mut Command) -> Result<String, KernelError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| KernelError::Command {
        command: program.clone(),
        reason: format!("{error} (kernels and their sources are fetched with Debian's apt and dpkg)"),
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
    Err(KernelError::Command {
        command: format!("{program} {}", words.join(" ")),
        reason: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}
