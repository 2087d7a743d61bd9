//! Exported scripts: they are compiled with all warnings, and do in a guest what the scripts do there.
//!
//! All of them are linked into one program, which a guest is given once, and runs one after the other. With
//! BINDERDRILL_EXPORT_ALL=1 it is the whole suite, which takes a compiler some minutes, and without a handful.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use binderdrill::engine::{StepOutcome, StepRecord, Verdict};
use binderdrill::export::{Language, export};
use binderdrill::program::DriverKind;
use binderdrill::report::Results;
use binderdrill::suite;
use libtest_mimic::Failed;

use super::{Test, binderdrill, is, output};

pub(super) const IN_UML: &[Test] = &[
    ("an_exported_script_does_in_a_guest_what_the_script_does", || exported(UML, DriverKind::Rust)),
    ("an_exported_script_tells_the_step_that_deviates", exported_deviation),
    ("a_guest_that_dies_over_a_program_is_what_that_shows", deadly_program),
];

pub(super) const IN_RUST: &[Test] =
    &[("an_exported_script_does_on_the_driver_in_rust_what_the_script_does", || {
        exported("built:uml-rust", DriverKind::C)
    })];

const UML: &str = "built:uml-c";

/// Of each way to do something, a case.
const CASES: &[&str] = &[
    "transaction/sync-call",
    "scenarios/",
    "freeze/waiting",
    "pool/",
    "scatter-gather/a",
    "file-descriptors/a",
    "oneway-spam/told",
    "extended-error/each",
    "device/epoll",
    "device/fork",
    "death/",
    "buffer/reclaimed",
    "rust-driver/",
];

/// The most cases of which a short test is made.
const MOST: usize = 40;

/// Exports scripts that are not about the other driver alone, and runs them in a guest of this one.
fn exported(target: &str, other: DriverKind) -> Result<(), Failed> {
    let is_all = std::env::var_os("BINDERDRILL_EXPORT_ALL").is_some();
    let cases = suite::embedded();
    let wanted = |id: &str| is_all || CASES.iter().any(|start| id.starts_with(start));
    let mut exported = Vec::new();
    let mut refused = 0;
    for case in cases.iter().filter(|case| wanted(&case.id)) {
        let script = case.script.as_ref().map_err(|_| format!("{} cannot be read", case.id))?;
        if script.program.driver == Some(other) {
            continue;
        }
        match export(Language::C, script, &case.id) {
            Ok(text) => exported.push((case.id.clone(), text)),
            Err(_) => refused += 1,
        }
    }
    if !is_all {
        // Some from everywhere.
        let every = exported.len().div_ceil(MOST).max(1);
        exported = exported.into_iter().step_by(every).collect();
    }
    let names: Vec<&str> = exported.iter().map(|(id, _)| id.as_str()).collect();
    let (_, json, stderr) = output(&mut binderdrill(
        &[&["run"], &names[..], &["--target", target, "--format", "json"]].concat(),
    ))?;
    let results: Results = serde_json::from_str(&json).map_err(|error| format!("{error}: {stderr}"))?;
    let ran = &results.runs.first().ok_or("nothing was run")?.cases;

    let folder = tempfile::tempdir()?;
    let program = compile(folder.path(), &exported)?;
    let path = program.display().to_string();
    let options = ["execute", &path, "--target", target, "--patience", "120"];
    let (_, told, stderr) = output(&mut binderdrill(&options))?;
    let mut same = 0;
    let mut others = 0;
    let mut differences = String::new();
    for (place, (id, _)) in exported.iter().enumerate() {
        let Some(result) = ran.iter().find(|result| result.id == *id) else {
            return Err(format!("{id} was not run").into());
        };
        if result.verdict != Verdict::Pass {
            // It is about something that this driver lacks, or does wrong.
            others += 1;
            continue;
        }
        match difference(place, &told, &result.transcript.steps) {
            None => same += 1,
            Some(how) => {
                let _ = writeln!(differences, "{id}: {how}");
            }
        }
    }
    eprintln!("{same} exported scripts do the same in a guest; {others} do not pass, {refused} are refused");
    if !differences.is_empty() {
        return Err(format!("{differences}{stderr}").into());
    }
    if same < 20 {
        return Err(format!("only {same} scripts were compared").into());
    }
    Ok(())
}

/// A program in which all of these are.
fn compile(folder: &Path, exported: &[(String, String)]) -> Result<std::path::PathBuf, Failed> {
    let compiler = |words: &[&str]| -> Result<(), Failed> {
        let (status, _, stderr) = output(Command::new("gcc").args(words).current_dir(folder))?;
        is(status, 0, &stderr)
    };
    let mut first =
        "#include <stdio.h>\n#include <stdlib.h>\n#include <sys/wait.h>\n#include <unistd.h>\n".to_owned();
    let mut calls = String::new();
    let mut objects = Vec::new();
    for (place, (_, text)) in exported.iter().enumerate() {
        let (source, object) = (format!("{place}.c"), format!("{place}.o"));
        std::fs::write(folder.join(&source), text)?;
        let name = format!("-Dmain=case_{place}");
        compiler(&["-Wall", "-Wextra", "-Werror", "-O2", "-pthread", &name, "-c", &source, "-o", &object])?;
        let _ = writeln!(first, "int case_{place}(int, char **);");
        let _ = writeln!(calls, "\tdo_one({place}, case_{place}, n, words);");
        objects.push(object);
    }
    let _ = write!(
        first,
        "static void do_one(int place, int (*main)(int, char **), int n, char **words)\n{{\n\tint status = 0;\n\tpid_t pid;\n\n\t\
         printf(\"=== %d begins\\n\", place);\n\tfflush(stdout);\n\tpid = fork();\n\tif (!pid)\n\t\t_exit(main(n, words));\n\t\
         waitpid(pid, &status, 0);\n\tprintf(\"=== %d ended with %d\\n\", place, WIFEXITED(status) ? WEXITSTATUS(status) : \
         -WTERMSIG(status));\n\tfflush(stdout);\n\tusleep(100000); /* the driver lets go of it */\n}}\n\nint main(int n, char \
         **words)\n{{\n{calls}\treturn 0;\n}}\n"
    );
    std::fs::write(folder.join("all.c"), first)?;
    let mut words = vec!["-O2", "-static", "-pthread", "all.c", "-o", "all"];
    words.extend(objects.iter().map(String::as_str));
    compiler(&words)?;
    Ok(folder.join("all"))
}

/// How what one of the programs told differs from what the script did, if it does.
fn difference(place: usize, told: &str, steps: &[StepRecord]) -> Option<String> {
    let begin = format!("=== {place} begins\n");
    let end = format!("=== {place} ended with ");
    let Some((_, rest)) = told.split_once(&begin) else { return Some("it was not begun".to_owned()) };
    let Some((came, status)) = rest.split_once(&end) else { return Some(format!("it did not end: {rest}")) };
    if !status.starts_with("0\n") {
        return Some(came.lines().rev().take(6).collect::<Vec<_>>().join(" < "));
    }
    // Before each step stands its line, and what came of it is indented further.
    let mut blocks: Vec<Vec<&str>> = Vec::new();
    for line in came.lines() {
        match line.strip_prefix("        ") {
            Some(said) => blocks.last_mut()?.push(said),
            None if line.starts_with("all is") => {}
            None => blocks.push(Vec::new()),
        }
    }
    // First comes what processes do before the first step.
    let Some(first) = blocks.len().checked_sub(steps.len()) else {
        return Some("steps are missing".to_owned());
    };
    for (said, step) in blocks[first..].iter().zip(steps) {
        let expected = words(step);
        let said: Vec<&str> = said.iter().copied().filter(|line| !line.starts_with("woke ")).collect();
        let said: Vec<String> = match &step.outcome {
            // The words of returns are compared, and their number, but not what each holds: that is judged there.
            StepOutcome::WriteRead(_) => said
                .iter()
                .enumerate()
                .map(|(place, line)| match place {
                    0 => (*line).to_owned(),
                    _ => line.split(' ').next().unwrap_or_default().to_owned(),
                })
                .collect(),
            // What it tells is judged there, too.
            StepOutcome::Told { .. } => {
                said.iter().map(|line| line.split(',').next().unwrap_or_default().to_owned()).collect()
            }
            _ => said.iter().map(|line| (*line).to_owned()).collect(),
        };
        if said != expected {
            return Some(format!("{}: {said:?}, and the script {expected:?}", step.script));
        }
    }
    None
}

/// What came of a step, as an exported program says it.
fn words(step: &StepRecord) -> Vec<String> {
    match &step.outcome {
        StepOutcome::Parked => vec!["parked".to_owned()],
        StepOutcome::WriteRead(done) => {
            let mut first = format!("= {}", done.errno.as_deref().unwrap_or("success"));
            for (field, consumed) in
                [("write_consumed", done.write_consumed), ("read_consumed", done.read_consumed)]
            {
                if consumed > 0 {
                    let _ = write!(first, ", {field} {consumed}");
                }
            }
            [first].into_iter().chain(done.returns.iter().map(|returned| returned.name.clone())).collect()
        }
        StepOutcome::Succeeded { value: Some(value) } => vec![format!("= {value}")],
        StepOutcome::Succeeded { value: None } | StepOutcome::Told { .. } => vec!["= success".to_owned()],
        StepOutcome::Polled { events } if events.is_empty() => vec!["= 0".to_owned()],
        StepOutcome::Polled { events } => vec![format!("= {}", events.join(" | "))],
        StepOutcome::Failed { errno } => vec![format!("= {errno}")],
        StepOutcome::NotOneWoken => Vec::new(),
    }
}

/// A script that expects what no driver does fails there in C, too.
fn exported_deviation() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (source, program) = (at("reproducer.c"), at("reproducer"));
    let (status, _, stderr) =
        output(&mut binderdrill(&["export", "deviates.drill", "--as", "c", "--out", &source]))?;
    is(status, 0, &stderr)?;
    let words = ["-Wall", "-Wextra", "-Werror", "-O2", "-static", "-pthread", &source, "-o", &program];
    let (status, _, stderr) = output(Command::new("gcc").args(words))?;
    is(status, 0, &stderr)?;
    let (status, told, _) = output(&mut binderdrill(&["execute", &program, "--target", UML]))?;
    is(status, 1, &told)?;
    let (_, report, _) = output(&mut binderdrill(&["run", "deviates.drill", "--target", UML]))?;
    let deviating = told.lines().rev().nth(1).unwrap_or_default();
    let line = deviating.strip_prefix("line ").and_then(|rest| rest.split(':').next()).unwrap_or_default();
    super::holds(&report, &[&format!("deviates.drill:{line}: ")])
}

/// What ends the kernel is no lack of the target.
fn deadly_program() -> Result<(), Failed> {
    const SOURCE: &str = "#include <fcntl.h>\n#include <stdio.h>\n#include <unistd.h>\n\
                          int main(void) { dprintf(1, \"about to\\n\"); sleep(1); \
                          return write(open(\"/proc/sysrq-trigger\", O_WRONLY), \"c\", 1) < 0; }\n";
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (source, program) = (at("deadly.c"), at("deadly"));
    std::fs::write(&source, SOURCE)?;
    let (status, _, stderr) = output(Command::new("gcc").args(["-static", &source, "-o", &program]))?;
    is(status, 0, &stderr)?;
    let (status, told, stderr) = output(&mut binderdrill(&["execute", &program, "--target", UML]))?;
    is(status, 1, &stderr)?;
    super::holds(&told, &["about to"])?;
    super::holds(&stderr, &["the guest ended", "its guest died over it"])
}
