//! What a kernel is built with: the programs and headers of this machine, all looked for before anything is begun.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::KernelError;
use super::apt::{Apt, numbers};
use super::built::{BuiltFor, Choices, Compiler};
use crate::program::DriverKind;

/// The only bindgen that is known to make bindings of which the Rust driver works.
pub const BINDGEN: &str = "0.71.1";

/// The first rustc and LLVM that Linux takes, of those that have the Rust driver.
const OLDEST_RUSTC: [u32; 2] = [1, 85];
const OLDEST_LLVM: u32 = 17;

/// Programs that every build takes, and the packages that have them.
const PROGRAMS: &[(&str, &str)] = &[
    ("gcc", "gcc"),
    ("ld", "binutils"),
    ("make", "make"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("bc", "bc"),
    ("perl", "perl-base"),
];

/// Programs that fetching a source takes.
const FETCHING: &[(&str, &str)] =
    &[("apt-get", "apt"), ("dpkg-deb", "dpkg"), ("tar", "tar"), ("xz", "xz-utils")];

/// The tools of a build, and how make is told of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchain {
    /// Arguments for make.
    pub arguments: Vec<String>,
    /// What the environment of make holds besides.
    pub environment: Vec<(&'static str, PathBuf)>,
    /// What they call themselves.
    pub versions: Vec<String>,
}

/// What is not there, and how to get it.
#[derive(Debug, Default)]
struct Missing {
    what: Vec<String>,
    packages: Vec<String>,
    commands: Vec<String>,
}

impl Toolchain {
    /// The tools for a kernel. All that are missing are named at once.
    pub fn find(choices: &Choices, fetches: bool) -> Result<Toolchain, KernelError> {
        let mut missing = Missing::default();
        let mut tools = Toolchain { arguments: Vec::new(), environment: Vec::new(), versions: Vec::new() };
        for (program, package) in PROGRAMS.iter().chain(if fetches { FETCHING } else { &[] }) {
            if which::which(program).is_err() {
                missing.package((*program).to_owned(), package);
            }
        }
        tools.versions.extend(["gcc", "ld"].into_iter().filter_map(|program| version(Path::new(program))));
        let headers = [("stdio.h", "libc6-dev"), ("gelf.h", "libelf-dev")];
        let headers = &headers[..if choices.kind == BuiltFor::Qemu { 2 } else { 1 }];
        for (header, package) in headers {
            // Without a compiler there is no asking for them, and they may be missing too.
            if !has_header(header) {
                missing.package(format!("the header {header}"), package);
            }
        }
        let compiler = match choices.compiler() {
            Compiler::Gcc => Path::new("gcc").to_owned(),
            Compiler::Clang => tools.find_clang(&mut missing),
        };
        let cache = if which::which("ccache").is_ok() { "ccache " } else { "" };
        // What compiles host programs is given to rustc as its linker, which takes one word.
        tools
            .arguments
            .extend([format!("CC={cache}{}", compiler.display()), format!("HOSTCC={}", compiler.display())]);
        if choices.driver == DriverKind::Rust {
            tools.find_for_rust(&mut missing);
        }
        if missing.what.is_empty() { Ok(tools) } else { Err(KernelError::Tools(missing.message())) }
    }

    /// clang, with all that it links with.
    fn find_clang(&mut self, missing: &mut Missing) -> PathBuf {
        match llvm(&["bin/clang", "bin/ld.lld", "bin/llvm-ar"]) {
            Some(folder) => {
                let programs = folder.join("bin");
                self.arguments.push(format!("LLVM={}/", programs.display()));
                self.versions.extend(version(&programs.join("clang")));
                programs.join("clang")
            }
            None => {
                let what = format!("clang, {OLDEST_LLVM} or newer, as KASAN takes it with Rust");
                missing.package(what, "clang-19 lld-19 llvm-19");
                PathBuf::new()
            }
        }
    }

    fn find_for_rust(&mut self, missing: &mut Missing) {
        match rustc() {
            Ok(rustc) => {
                self.arguments.push(format!("RUSTC={}", rustc.display()));
                self.arguments.push(format!("HOSTRUSTC={}", rustc.display()));
                self.versions.extend(version(&rustc));
            }
            Err(found) => {
                let of_browsers =
                    Apt::installed().packages("rustc-web").is_ok_and(|packages| !packages.is_empty());
                let packages = if of_browsers { "rustc-web rust-web-src" } else { "rustc rust-src" };
                let [major, minor] = OLDEST_RUSTC;
                let what = format!("rustc, {major}.{minor} or newer, with its library's source{found}");
                missing.package(what, packages);
            }
        }
        match libclang() {
            Some(folder) => {
                self.versions.push(folder.display().to_string());
                self.environment.push(("LIBCLANG_PATH", folder));
            }
            None => {
                missing.package(format!("libclang, {OLDEST_LLVM} or newer"), "libclang-19-dev");
            }
        }
        match bindgen() {
            Ok(bindgen) => {
                self.arguments.push(format!("BINDGEN={}", bindgen.display()));
                self.versions.extend(version(&bindgen));
            }
            Err(found) => {
                missing.what.push(format!("bindgen {BINDGEN}{found}"));
                missing.commands.push(format!("cargo install bindgen-cli --version {BINDGEN} --locked"));
            }
        }
    }
}

impl Missing {
    fn package(&mut self, what: String, packages: &str) {
        self.what.push(what);
        self.packages.extend(packages.split(' ').map(str::to_owned));
    }

    fn message(&self) -> String {
        let mut message = "a kernel cannot be built here, for what it takes is not installed:\n".to_owned();
        for what in &self.what {
            writeln!(message, "  {what}").expect("a string takes all that is written to it");
        }
        message.push_str("to install it:");
        if !self.packages.is_empty() {
            write!(message, "\n  apt-get install --no-install-recommends {}", self.packages.join(" "))
                .expect("a string takes all that is written to it");
        }
        for command in &self.commands {
            write!(message, "\n  {command}").expect("a string takes all that is written to it");
        }
        message
    }
}

/// The first line that a program says of its version.
pub(super) fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).lines().next()?.to_owned())
}

fn has_header(header: &str) -> bool {
    let mut gcc = Command::new("gcc");
    gcc.args(["-fsyntax-only", "-xc", "-include", header, "/dev/null"]);
    gcc.output().is_ok_and(|output| output.status.success())
}

/// The programs of a name: the one that a variable names, or all that are installed.
fn programs(variable: &str, name: &str) -> Vec<PathBuf> {
    match std::env::var_os(variable) {
        Some(program) => vec![PathBuf::from(program)],
        None => which::which_all(name).into_iter().flatten().collect(),
    }
}

/// A rustc that can compile the kernel's copy of the core library, or what is wrong with those that are there.
fn rustc() -> Result<PathBuf, String> {
    let mut found = String::new();
    for program in programs("RUSTC", "rustc") {
        let says = version(&program).unwrap_or_default();
        let new_enough = numbers(&says).get(..2).is_some_and(|version| version >= &OLDEST_RUSTC[..]);
        let sysroot = Command::new(&program).args(["--print", "sysroot"]).output().ok();
        let sysroot = sysroot.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
        let sysroot = sysroot.unwrap_or_default();
        let has_source = sysroot.join("lib/rustlib/src/rust/library/core/src/lib.rs").is_file();
        if new_enough && has_source {
            // The compiler itself: rustup's stand-in for it goes by the folder that it is called in.
            let own = sysroot.join("bin/rustc");
            return Ok(if own.is_file() { own } else { program });
        }
        let why = if new_enough {
            "no source: rustup component add rust-src, if it is rustup's"
        } else {
            "too old"
        };
        write!(found, "; {} is {says}, {why}", program.display())
            .expect("a string takes all that is written to it");
    }
    Err(found)
}

/// The folder of the newest libclang.
fn libclang() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("LIBCLANG_PATH") {
        return Some(PathBuf::from(folder));
    }
    llvm(&["lib/libclang.so"]).map(|folder| folder.join("lib"))
}

/// The folder of the newest LLVM that has these files.
fn llvm(files: &[&str]) -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let versions = folders.filter_map(|entry| {
        let number: u32 = entry.file_name().to_str()?.strip_prefix("llvm-")?.parse().ok()?;
        let there = number >= OLDEST_LLVM && files.iter().all(|file| entry.path().join(file).exists());
        there.then_some((number, entry.path()))
    });
    versions.max().map(|(_, folder)| folder)
}

/// The one bindgen that will do, or what is wrong with those that are there.
fn bindgen() -> Result<PathBuf, String> {
    let mut found = String::new();
    for program in programs("BINDGEN", "bindgen") {
        let says = version(&program).unwrap_or_default();
        let says = says.strip_prefix("bindgen ");
        if says == Some(BINDGEN) {
            return Ok(program);
        }
        let why = says.map_or_else(|| "no bindgen".to_owned(), wrong_bindgen);
        write!(found, "; {} is {why}", program.display()).expect("a string takes all that is written to it");
    }
    Err(found)
}

/// Why a bindgen of another version will not do.
fn wrong_bindgen(version: &str) -> String {
    let why = if numbers(version) < numbers(BINDGEN) {
        "too old for Linux"
    } else {
        "too new: with the bindings of 0.73.2, which lack padding, the kernel boots and every mmap of binder fails \
         with EINVAL"
    };
    format!("{version}, {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_missing_is_in_one_message() {
        let mut missing = Missing::default();
        missing.package("flex".to_owned(), "flex");
        missing.package("the header gelf.h".to_owned(), "libelf-dev");
        missing.what.push(format!("bindgen {BINDGEN}; /usr/bin/bindgen is {}", wrong_bindgen("0.73.2")));
        missing.commands.push("cargo install bindgen-cli".to_owned());
        insta::assert_snapshot!(missing.message());
    }

    #[test]
    fn an_old_bindgen_is_called_old() {
        assert_eq!(wrong_bindgen("0.66.1"), "0.66.1, too old for Linux");
        assert!(wrong_bindgen("0.72.0").contains("too new"));
    }
}
