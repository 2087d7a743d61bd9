//! Tells the program which commit it is built from, for reports. Only in release builds: in others it would be built anew
//! after every commit.

use std::env;
use std::process::Command;

const COMMIT: &str = "BINDERDRILL_COMMIT";

fn main() {
    println!("cargo::rerun-if-env-changed={COMMIT}");
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os(COMMIT).is_some() || env::var("PROFILE").is_ok_and(|profile| profile != "release") {
        return;
    }
    // Without git, or outside of a clone, the commit is not known, and reports do without.
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", file]) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    if let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) {
        println!("cargo::rustc-env={COMMIT}={commit}");
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
