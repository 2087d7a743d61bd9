//! What the program prints, as it is read.

use std::fs;
use std::process::{Output, Stdio};

use super::{binderdrill, command, status, stderr, stdout, unread};

/// What a run printed, without the time that it took.
fn report(output: &Output) -> String {
    let without_time = |line: &str| match line.rsplit_once(" in ") {
        Some((rest, time)) if time.ends_with(" s") => format!("{rest} in TIME"),
        _ => line.to_owned(),
    };
    stdout(output).lines().map(without_time).collect::<Vec<String>>().join("\n")
}

/// Replaces the times in results, which differ from run to run, and where it was.
fn without_times(results: &mut serde_json::Value) {
    for run in results["runs"].as_array_mut().expect("a run for each target") {
        for time in ["seconds", "seconds_to_first_case"] {
            assert!(run[time].is_f64());
            run[time] = "TIME".into();
        }
    }
    let provenance = &mut results["provenance"];
    for word in ["started", "machine", "suite"] {
        assert!(provenance[word].is_string(), "{provenance}");
    }
    *provenance = "WHEN AND WHERE".into();
}

#[test]
fn a_deviation_is_told_with_all_that_is_known() {
    let output = binderdrill(&["run", "passes.drill", "deviates.drill", "lacks.drill"]);
    assert_eq!(status(&output), 1);
    assert_eq!(stderr(&output), "");
    insta::assert_snapshot!(report(&output));
}

#[test]
fn a_script_that_cannot_be_read_is_broken() {
    let output = binderdrill(&["run", "passes.drill", "malformed.drill"]);
    assert_eq!(status(&output), 2);
    insta::assert_snapshot!(report(&output));
}

#[test]
fn what_cannot_be_compared_is_no_agreement() {
    let folder = tempfile::tempdir().unwrap();
    let kept = |topic: &str| {
        let path = folder.path().join(format!("{topic}.json"));
        fs::write(&path, binderdrill(&["run", topic, "--format", "json"]).stdout).unwrap();
        path.display().to_string()
    };
    let (one, other) = (kept("oneway-spam"), kept("freeze-notification"));
    let differences = binderdrill(&["diff", &one, &other]);
    assert_eq!(status(&differences), 2);
    assert!(stdout(&differences).contains("nothing could be compared"), "{}", stdout(&differences));
    let again = folder.path().join("again.json").display().to_string();
    fs::copy(&one, &again).unwrap();
    assert_eq!(status(&binderdrill(&["diff", &one, &again])), 0);
    let against = |format: &str| {
        let output = binderdrill(&["run", "oneway-spam", "--against", &other, "--format", format]);
        stdout(&output).to_owned()
    };
    for (format, told) in [
        ("human", "no case was run by two of the targets"),
        ("ktap", "all targets did the same # SKIP no case was run by two of the targets"),
        ("junit", "<skipped message=\"no case was run by two of the targets\"/>"),
    ] {
        assert!(against(format).contains(told), "{format}: {}", against(format));
    }
}

#[test]
fn a_trace_shows_what_each_step_did() {
    let output = binderdrill(&["trace", "passes.drill"]);
    assert_eq!(status(&output), 0);
    insta::assert_snapshot!(stdout(&output));
}

#[test]
fn json_holds_everything_but_addresses() {
    let output = binderdrill(&["run", "deviates.drill", "lacks.drill", "--format", "json"]);
    assert_eq!(status(&output), 1);
    let mut results: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    without_times(&mut results);
    results["binderdrill"] = "VERSION".into();
    insta::assert_json_snapshot!(results);
}

#[test]
fn json_is_the_same_every_time() {
    let run = || {
        let output = binderdrill(&["run", "deviates.drill", "--format", "json"]);
        let mut results: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        without_times(&mut results);
        results
    };
    assert_eq!(run(), run());
}

#[test]
fn a_list_says_what_cases_are_about() {
    let output = binderdrill(&["list", "."]);
    // One of them cannot be read.
    assert_eq!(status(&output), 2);
    insta::assert_snapshot!(stdout(&output));
}

#[test]
fn the_coverage_of_cases_shows_what_none_of_them_uses() {
    let output = binderdrill(&["list", "--coverage", "passes.drill", "deviates.drill"]);
    assert_eq!(status(&output), 0);
    insta::assert_snapshot!(stdout(&output));
}

#[test]
fn colours_are_for_terminals_and_for_those_who_ask() {
    let coloured = |output: Output| stdout(&output).contains('\x1b');
    let run = || command(&["run", "deviates.drill"]);
    assert!(!coloured(run().output().unwrap()));
    assert!(coloured(run().env("CLICOLOR_FORCE", "1").output().unwrap()));
    assert!(!coloured(run().env("NO_COLOR", "1").output().unwrap()));
}

#[test]
fn a_clause_is_shown_with_its_cases_and_those_that_deviate() {
    let output = binderdrill(&["spec", "dev.7"]);
    assert_eq!(status(&output), 0);
    // Which kernels exactly the records are of changes with them.
    insta::with_settings!({ filters => vec![(r"\(linux-(c|rust)-[^)]*\)", "(linux-$1-RELEASE)")] }, {
        insta::assert_snapshot!(stdout(&output));
    });
}

#[test]
fn ktap_is_printed_as_kselftest_does() {
    let output = binderdrill(&["run", "passes.drill", "deviates.drill", "lacks.drill", "--format", "ktap"]);
    assert_eq!(status(&output), 1);
    insta::assert_snapshot!(stdout(&output));
}

#[test]
fn kept_results_are_written_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.json");
    let run = |format: &str| binderdrill(&["run", "passes.drill", "deviates.drill", "--format", format]);
    std::fs::write(&path, run("json").stdout).unwrap();
    let path = path.to_str().unwrap();
    let report = |format: &str| binderdrill(&["report", path, "--format", format]);
    assert_eq!(stdout(&report("ktap")), stdout(&run("ktap")));
    for (format, word) in [("junit", "<testsuites"), ("json", "\"format_version\""), ("human", "1 failed")] {
        let output = report(format);
        assert_eq!((status(&output), stdout(&output).contains(word)), (0, true), "{format}: {output:?}");
    }
    // The reference driver is no kernel.
    let output = report("kcidb");
    assert_eq!(status(&output), 2);
    assert!(stderr(&output).contains("these results are of no kernel"), "{}", stderr(&output));
    let output = binderdrill(&["report", path, "--format", "ktap", "--kcidb-origin", "mylab"]);
    assert_eq!(status(&output), 2);
    assert!(stderr(&output).contains("--kcidb-origin is for --format kcidb"), "{}", stderr(&output));
}

#[test]
fn who_reads_only_the_beginning_hears_no_complaint() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.json");
    let run = binderdrill(&["run", "passes.drill", "deviates.drill", "--format", "json"]);
    // KernelCI takes only what kernels did.
    let of_kernel = stdout(&run).replace("\"target\": \"reference\"", "\"target\": \"vm:own\"");
    std::fs::write(&path, of_kernel).unwrap();
    for format in ["ktap", "junit", "kcidb", "json", "human"] {
        let mut command = command(&["report", path.to_str().unwrap(), "--format", format]);
        let output = command.stdout(unread()).stderr(Stdio::piped()).output().unwrap();
        assert_eq!((status(&output), stderr(&output).as_str()), (2, ""), "{format}");
    }
}

#[test]
fn two_runs_are_compared_from_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.json");
    let arguments =
        ["run", "passes.drill", "--target", "reference", "--target", "reference:c-6.12", "--format", "json"];
    std::fs::write(&path, binderdrill(&arguments).stdout).unwrap();
    let [newest, older] =
        ["reference", "reference:c-6.12"].map(|target| format!("{}@{target}", path.display()));
    let output = binderdrill(&["diff", &newest, &older]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("the two did the same, 1 the same, of 1 case\n"), "{}", stdout(&output));
    // A path is no case of the suite, and is compared by its name.
    let output = binderdrill(&["run", "passes.drill", "--against", &older]);
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("all targets did the same"), "{}", stdout(&output));
}

#[test]
fn an_unknown_record_is_told_which_there_are() {
    for arguments in [
        &["diff", "record:debian-6.1", "record:debian-99"][..],
        &["run", "passes.drill", "--against", "record:debian-99"],
    ] {
        let output = binderdrill(arguments);
        assert_eq!((status(&output), stdout(&output)), (2, String::new()));
        assert!(stderr(&output).contains("record:debian-6.12, record:debian-7"), "{}", stderr(&output));
    }
}

#[test]
fn who_writes_a_report_into_a_folder_waits_for_whoever_does() {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("results.json");
    let run = binderdrill(&["run", "transaction/", "--format", "json"]);
    std::fs::write(&results, &run.stdout).unwrap();
    let site = folder.path().join("site");
    let begin = |_| {
        let mut report = command(&["report"]);
        let report =
            report.arg(&results).arg("--out").arg(&site).stdout(Stdio::piped()).stderr(Stdio::piped());
        report.spawn().unwrap()
    };
    let reports: Vec<_> = (0..4).map(begin).collect();
    for report in reports {
        let output = report.wait_with_output().unwrap();
        assert_eq!(status(&output), 0, "{}", stderr(&output));
    }
}
