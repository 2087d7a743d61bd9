//! Guests that panic, fall silent, lose a process, or are run two at a time.

use std::process::Stdio;

use libtest_mimic::Failed;

use super::{Test, binderdrill, holds, is, output};

pub(super) const TESTS: &[Test] = &[
    ("a_guest_that_panics_spoils_its_own_case_only", panics),
    ("a_guest_that_falls_silent_spoils_its_own_case_only", falls_silent),
    ("a_process_that_is_killed_spoils_its_own_case_only", is_killed),
    ("what_a_kernel_complains_of_fails_the_case", complains),
    ("two_suites_run_at_once", two_at_once),
    ("a_suite_runs_on_several_processors", || runs_on(STOCK, "2", &SCRIPTS)),
    ("no_guest_has_ninety_nine_processors", too_many_processors),
    ("a_module_of_another_kernel_is_refused", wrong_module),
    ("a_deviation_of_a_kernel_is_told_as_one_of_the_reference_driver", deviates),
    ("what_the_kernel_says_is_told_with_a_deviation", log_of_the_kernel),
];

pub(super) const IN_UML: &[Test] = &[
    ("a_guest_of_user_mode_linux_that_panics_spoils_its_own_case_only", || {
        spoils(UML, "panic", 2, &["BROKEN second.drill: the guest ended", "sysrq", "2 passed, 1 broken"])
    }),
    ("a_guest_of_user_mode_linux_that_falls_silent_spoils_its_own_case_only", || {
        spoils(UML, "silence", 2, &["BROKEN second.drill: the guest said nothing for", "2 passed, 1 broken"])
    }),
    ("what_a_kernel_of_user_mode_linux_complains_of_fails_the_case", || {
        spoils(UML, "warning", 1, &["FAIL second.drill", "the kernel complains: WARNING: on purpose"])
    }),
    ("cases_about_systems_without_a_security_module_run_where_there_is_none", without_security_module),
    ("a_suite_runs_on_several_processors_of_user_mode_linux", || {
        // The second one is longer than what a terminal holds.
        ["1", "2"].iter().try_for_each(|cpus| runs_on(UML, cpus, &SCRIPTS))
    }),
];

const UML: &str = "built:uml-c";
const STOCK: &str = "vm:debian-6.12";

const SCRIPTS: [&str; 3] = ["first.drill", "second.drill", "third.drill"];

/// Runs three scripts, over the second of which something goes wrong.
fn spoils(target: &str, fault: &str, status: i32, told: &[&str]) -> Result<(), Failed> {
    let append = format!("binderdrill.fault={fault}@2");
    let options = ["--target", target, "--append", &append, "--patience", "2"];
    let (came, report, _) = output(&mut binderdrill(&[&["run"], &SCRIPTS[..], &options].concat()))?;
    is(came, status, &report)?;
    holds(&report, told)
}

/// They are skipped on any other kernel.
fn without_security_module() -> Result<(), Failed> {
    let cases = ["identity/security-context-where-there-is-none", "identity/security-context-not-asked-for"];
    let options = ["--target", UML, "--append", "lsm=yama"];
    let (came, report, _) = output(&mut binderdrill(&[&["run"], &cases[..], &options].concat()))?;
    is(came, 0, &report)?;
    holds(&report, &["2 passed on built:uml-c"])
}

fn panics() -> Result<(), Failed> {
    spoils(
        STOCK,
        "panic",
        2,
        &["BROKEN second.drill: the guest ended", "sysrq", "2 passed, 1 broken on vm:debian"],
    )
}

fn falls_silent() -> Result<(), Failed> {
    spoils(STOCK, "silence", 2, &["BROKEN second.drill: the guest said nothing for", "2 passed, 1 broken"])
}

fn is_killed() -> Result<(), Failed> {
    spoils(STOCK, "kill", 2, &["BROKEN second.drill: the process", "has died", "2 passed, 1 broken"])
}

fn complains() -> Result<(), Failed> {
    // A kernel that has complained is replaced; so each of the fresh ones complains over its second script, if it has one.
    let told = ["FAIL second.drill", "the kernel complains: WARNING: on purpose", "2 passed, 1 failed"];
    spoils(STOCK, "warning", 1, &told)
}

fn runs_on(target: &str, cpus: &str, scripts: &[&str]) -> Result<(), Failed> {
    let options = ["--target", target, "--cpus", cpus];
    let (status, report, error) = output(&mut binderdrill(&[&["run"], scripts, &options].concat()))?;
    is(status, 0, &format!("{report}{error}"))
}

fn too_many_processors() -> Result<(), Failed> {
    let (status, _, error) =
        output(&mut binderdrill(&["run", "first.drill", "--target", STOCK, "--cpus", "99"]))?;
    is(status, 2, &error)?;
    holds(&error, &["99 is not in 1..=8"])
}

fn two_at_once() -> Result<(), Failed> {
    let run = || {
        let mut command = binderdrill(&[&["run"], &SCRIPTS[..], &["--target", "vm:debian-6.12"]].concat());
        command.stdout(Stdio::piped()).spawn()
    };
    for suite in [run()?, run()?] {
        let output = suite.wait_with_output()?;
        let report = String::from_utf8_lossy(&output.stdout).into_owned();
        is(output.status.code(), Some(0), &report)?;
        holds(&report, &["3 passed on vm:debian-6.12"])?;
    }
    Ok(())
}

fn wrong_module() -> Result<(), Failed> {
    let (_, image, _) = output(&mut binderdrill(&["kernel", "path", "debian-6.1"]))?;
    let module = image.trim().replace("vmlinuz", "modules/binder_linux.ko");
    let (status, _, error) =
        output(&mut binderdrill(&["run", "first.drill", "--target", "vm:debian-6.12", "--module", &module]))?;
    is(status, 2, &error)?;
    holds(&error, &["binder_linux.ko was built for another kernel"])
}

fn deviates() -> Result<(), Failed> {
    let run = |target| output(&mut binderdrill(&["run", "deviates.drill", "--target", target]));
    let (status, guest, _) = run("vm:debian-6.12")?;
    is(status, 1, &guest)?;
    let (status, reference, _) = run("reference")?;
    is(status, 1, &reference)?;
    // Behind that, only a kernel has something to say.
    let end = |report: &str| report.find("    the kernel's log\n").or(report.find("\n\n").map(|end| end + 1));
    let told = |report: &str| report[..end(report).unwrap_or_default()].to_owned();
    is(told(&guest), told(&reference), "")
}

fn log_of_the_kernel() -> Result<(), Failed> {
    let (status, told, _) =
        output(&mut binderdrill(&["run", "refused.drill", "--target", "vm:debian-6.12"]))?;
    is(status, 1, &told)?;
    let (_, log) = told.split_once("the kernel's log\n").unwrap_or_default();
    holds(log, &["got transaction to invalid handle, 7"])
}
