//! What of the driver's own code runs, on a kernel that counts.

use std::fs;

use binderdrill::kernel::Store;
use libtest_mimic::Failed;
use serde_json::Value;

use super::{Test, binderdrill, holds, is, output};

pub(super) const IN_GCOV: &[Test] = &[
    ("lines_of_the_driver_are_attributed_to_the_cases_that_run_them", attributed),
    ("what_a_guest_ran_that_is_gone_is_not_known_and_said_so", lost),
];

pub(super) const IN_UML: &[Test] = &[("a_kernel_that_counts_nothing_is_refused", refused)];

const COUNTS: &str = "built:uml-c-gcov";

/// What these tests take.
pub(super) fn can_count() -> bool {
    Store::of_user().is_ok_and(|store| store.notes(COUNTS).is_ok())
}

fn attributed() -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let folder = place.path().join("pages");
    let out = folder.display().to_string();
    let options = ["--target", COUNTS, "--case", "--format", "json", "--out", &out];
    let cases = ["ioctl/version", "freeze/thawing"];
    let (status, json, error) = output(&mut binderdrill(&[&["coverage"], &cases[..], &options].concat()))?;
    is(status, 0, &error)?;
    let results: Value = serde_json::from_str(&json)?;
    let named = results["coverage"]["cases"].as_array().ok_or("no cases")?;
    let place_of = |case: &str| named.iter().position(|name| name == case);
    let [version, freeze] = cases.map(place_of);
    let (Some(version), Some(freeze)) = (version, freeze) else { return Err(format!("{named:?}").into()) };
    let file = &results["coverage"]["files"]["binder.c"];
    let functions = file["functions"].as_object().ok_or("no functions")?;
    let (start, function) = functions
        .iter()
        .find(|(_, function)| function["name"] == "binder_ioctl_freeze")
        .ok_or("no freezing")?;
    let (first, last) = (start.parse::<u64>()?, function["end"].as_u64().unwrap_or_default());
    let within = |line: &str| line.parse::<u64>().is_ok_and(|line| (first..=last).contains(&line));
    let lines = file["lines"].as_object().ok_or("no lines")?;
    let ran_by = |case: usize| {
        let by = |line: &Value| line["cases"].as_array().is_some_and(|cases| cases.contains(&case.into()));
        lines.iter().filter(|(number, line)| within(number) && by(line)).count()
    };
    is((ran_by(version), ran_by(freeze) > 5), (0, true), "who runs the lines of freezing")?;
    let booted =
        lines.values().filter(|line| line["runs"]["boot"] != 0 && line["runs"]["suite"] == 0).count();
    is(booted > 20, true, "what only booting runs")?;

    let lcov = fs::read_to_string(folder.join("lcov.info"))?;
    holds(&lcov, &["SF:drivers/android/binder.c", "TN:freeze_thawing", "BRDA:", "LF:"])?;
    holds(&fs::read_to_string(folder.join("binder.c.html"))?, &["class=\"never\"", "case: ioctl/version"])?;

    fs::remove_file(folder.join("lcov.info"))?;
    let (status, _, error) = output(&mut binderdrill(&["coverage", "ioctl/version", "--out", &out]))?;
    is(status, 2, &error)?;
    holds(&error, &["has other things in it", "name a folder of its own"])
}

fn lost() -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let out = place.path().display().to_string();
    let options = ["--target", COUNTS, "--out", &out, "--append", "binderdrill.fault=panic@2", "--jobs", "1"];
    let cases = ["first.drill", "second.drill", "third.drill"];
    let (status, report, error) = output(&mut binderdrill(&[&["coverage"], &cases[..], &options].concat()))?;
    is(status, 2, &error)?;
    holds(&report, &["it is not known what these ran, since their guests were gone", "second.drill"])
}

fn refused() -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let out = place.path().join("pages").display().to_string();
    for target in ["built:uml-c", "reference", "vm:debian-6.12"] {
        let options = ["coverage", "ioctl/version", "--target", target, "--out", &out];
        let (status, _, error) = output(&mut binderdrill(&options))?;
        is(status, 2, &error)?;
        holds(&error, &[target, "does not count which lines", "kernel build --with gcov"])?;
    }
    is(place.path().join("pages").exists(), false, "nothing is written")
}
