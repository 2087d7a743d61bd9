//! The crate in `fuzz/`, which is no member of the workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use binderdrill::fuzz_target::{FuzzTarget, dictionary};
use strum::IntoEnumIterator;

fn tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(tree().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The versions of each package of a lock file.
fn locked(path: &str) -> BTreeMap<String, BTreeSet<String>> {
    let lock: toml::Table = read(path).parse().expect("a lock file is TOML");
    let packages = lock["package"].as_array().expect("it lists packages");
    let mut locked: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages {
        let word = |key: &str| package[key].as_str().expect("it is a word").to_owned();
        locked.entry(word("name")).or_default().insert(word("version"));
    }
    locked
}

#[test]
fn it_is_built_with_the_same_versions() {
    let ours = locked("Cargo.lock");
    for (name, versions) in locked("fuzz/Cargo.lock") {
        let Some(expected) = ours.get(&name) else { continue };
        assert!(
            versions.is_subset(expected),
            "{name} is {versions:?} in fuzz/Cargo.lock, and {expected:?} here"
        );
    }
}

#[test]
fn it_has_each_target() {
    let manifest: toml::Table = read("fuzz/Cargo.toml").parse().expect("a manifest is TOML");
    let binaries = manifest["bin"].as_array().expect("it has binaries");
    let names: BTreeSet<&str> = binaries.iter().filter_map(|binary| binary["name"].as_str()).collect();
    let expected: BTreeSet<String> = FuzzTarget::iter().map(|target| target.to_string()).collect();
    assert_eq!(names, expected.iter().map(String::as_str).collect());
    for target in expected {
        assert!(read(&format!("fuzz/options/{target}.options")).contains("max_len = "));
    }
}

#[test]
fn the_dictionary_is_up_to_date() {
    let path = "fuzz/dictionaries/script.dict";
    assert!(
        read(path) == dictionary(),
        "{path} is out of date: cargo run --release -- seeds --dictionary > {path}"
    );
}
