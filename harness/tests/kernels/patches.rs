//! Patches: the verdict on one that changes an errno, on a stock kernel, and those that cannot be checked.

use std::fs;
use std::path::Path;

use binderdrill::kernel::Store;
use libtest_mimic::Failed;

use super::{Test, binderdrill, holds, is, output};

pub(super) const ON_STOCK: &[Test] = &[
    ("a_changed_errno_is_told_on_a_stock_kernel", changed_errno),
    ("what_does_not_compile_when_it_counts_is_judged_nevertheless", not_counting),
    ("a_patch_that_does_not_compile_is_shown_with_its_hunk", not_compiling),
    ("a_patch_of_what_is_no_module_is_refused_for_a_stock_kernel", outside_of_module),
];

/// On kernels that were built from the newest source, with and without what counts lines, and with the driver in Rust.
pub(super) const ON_GCOV: &[Test] = &[
    ("of_a_patchs_own_lines_it_is_told_which_ran", own_lines),
    ("of_a_series_each_patch_is_judged_on_top_of_those_before_it", each_of_a_series),
];
pub(super) const ON_RUST: &[Test] = &[
    ("a_patch_of_the_driver_in_rust_is_judged_and_its_mistakes_are_shown", patch_of_rust),
    ("of_a_patchs_own_lines_in_rust_it_is_told_which_ran", own_lines_of_rust),
];

pub(super) const REFUSALS: &[Test] = &[
    ("a_patch_that_is_none_is_refused", no_patch),
    ("a_base_that_is_none_is_refused", no_base),
    ("a_patch_that_does_not_apply_is_shown_beside_what_is_there", not_applying),
    ("a_patch_is_for_the_commit_that_is_asked_for", of_commit),
];

/// Whether the newest source is the one that the examples are for.
pub(super) fn has_newest_source() -> bool {
    let newest = || Store::of_user().ok()?.sources().pop();
    newest().is_some_and(|source| source.name.to_string() == "linux-source-7.3")
}

/// Whether the source of the stock kernel is there that is patched.
pub(super) fn has_source_of_stock() -> bool {
    let source = || {
        let store = Store::of_user().ok()?;
        let wanted = store.kernel("debian-6.12").ok()?;
        let version: Vec<String> = wanted.release().split('.').take(2).map(str::to_owned).collect();
        let name = format!("linux-source-{}", version.join("."));
        store.sources().into_iter().find(|source| source.name.to_string() == name)
    };
    source().is_some()
}

/// An example of `suites/patches/` for the newest source.
fn newest_example(name: &str) -> Result<String, Failed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../suites/patches/7.3");
    Ok(fs::read_to_string(folder.join(name))?)
}

/// The verdict on patches, as JSON, which must be of this status.
fn verdict(patches: &[(&str, &str)], words: &[&str], status: i32) -> Result<serde_json::Value, Failed> {
    let folder = tempfile::tempdir()?;
    let mut command = binderdrill(&["patch", "--format", "json"]);
    for (name, text) in patches {
        let path = folder.path().join(name);
        fs::write(&path, text)?;
        command.arg(path);
    }
    let (came, text, said) = output(command.args(words))?;
    is(came, status, &said)?;
    Ok(serde_json::from_str(&text)?)
}

/// A line that runs and one that never does are added.
fn own_lines() -> Result<(), Failed> {
    let example = newest_example("second-manager-eexist.patch")?;
    let more = "+\t\tif (current->pid < 0)\n+\t\t\tpr_err(\"of nobody\\n\");\n+\t\treturn -EEXIST;";
    let patch = example.replace(",7 @@", ",9 @@").replace("+\t\treturn -EEXIST;", more);
    let words = ["--base", "built:uml-c-gcov", "--suite", "ioctl/context-manager-twice"];
    told_which_ran(&verdict(&[("fix.patch", &patch)], &words, 1)?)
}

/// Of a patch with a line that the case runs, and one that nothing does.
fn told_which_ran(results: &serde_json::Value) -> Result<(), Failed> {
    let own = own_lines_in(results)?;
    is(&own("of nobody")?["kind"], &serde_json::json!("never"), "what is for nobody")?;
    let twice = own("-EEXIST")?;
    is(&twice["kind"], &serde_json::json!("did"), &twice.to_string())?;
    is(&twice["cases"], &serde_json::json!(["ioctl/context-manager-twice"]), &twice.to_string())
}

/// What ran of the own line of the first patch in which a text stands.
fn own_lines_in(
    results: &serde_json::Value,
) -> Result<impl Fn(&str) -> Result<serde_json::Value, Failed> + use<>, Failed> {
    let own = results["patches"][0]["own_lines"].clone();
    is(&own["kind"], &serde_json::json!("counted"), &own.to_string())?;
    Ok(move |text: &str| {
        let lines = own["lines"].as_array().ok_or("no lines")?;
        let line = lines.iter().find(|line| line["text"].to_string().contains(text));
        Ok(line.map(|line| line["ran"].clone()).ok_or_else(|| format!("{text} is not in {lines:?}"))?)
    })
}

/// Lines of Rust: one runs, one never does, and one is a comment. A case that has nothing to do with them runs none.
fn own_lines_of_rust() -> Result<(), Failed> {
    let example = newest_example("second-manager-eexist-rust.patch")?;
    let more = "+            // Who is nobody comes second.\n+            if kernel::current!().pid() < 0 {\n\
                +                return Err(ENODEV);\n+            }\n+            return Err(EEXIST);";
    let patch = example.replace(",7 @@", ",11 @@").replace("+            return Err(EEXIST);", more);
    is(patch == example, false, "the example is another")?;
    let suite = ["--suite", "ioctl/context-manager-twice", "--suite", "ioctl/version"];
    let words = [&["--base", "built:uml-rust"], &suite[..]].concat();
    let results = verdict(&[("fix.patch", &patch)], &words, 1)?;
    let own = own_lines_in(&results)?;
    is(&own("comes second")?["kind"], &serde_json::json!("no_code"), "a comment")?;
    is(&own("ENODEV")?["kind"], &serde_json::json!("never"), "what is for nobody")?;
    let condition = own("pid() < 0")?;
    is(&condition["ways_never_taken"], &serde_json::json!(1), &condition.to_string())?;
    let twice = own("EEXIST")?;
    is(&twice["kind"], &serde_json::json!("did"), &twice.to_string())?;
    is(&twice["cases"], &serde_json::json!(["ioctl/context-manager-twice"]), &twice.to_string())?;
    is(&twice["boot"], &serde_json::json!(0), &twice.to_string())?;

    let counted_on = results["patches"][0]["own_lines"]["counted_on"].as_str().ok_or("no kernel")?;
    let folder = tempfile::tempdir()?;
    let out = folder.path().display().to_string();
    let words = ["coverage", "ioctl/version", "--target", counted_on, "--case", "--out", &out];
    let (status, report, said) = output(&mut binderdrill(&words))?;
    is(status, 0, &said)?;
    holds(&report, &["binder/process.rs", "binder/context.rs"])?;
    holds(&fs::read_to_string(folder.path().join("lcov.info"))?, &["SF:drivers/android/binder/thread.rs"])?;
    holds(&fs::read_to_string(folder.path().join("binder-context.rs.html"))?, &["class=\"never\"", "ENODEV"])
}

/// A mailbox with a patch that breaks something, and a plain diff that mends it.
fn each_of_a_series() -> Result<(), Failed> {
    let example = newest_example("second-manager-eexist.patch")?;
    let (_, diff) = example.split_once("---\n").ok_or("no diff")?;
    let back = diff.replace("-EBUSY", "-ENOENT").replace("-EEXIST", "-EBUSY").replace("-ENOENT", "-EEXIST");
    let cover = "From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\nFrom: A <a@b.c>\n\
                 Subject: [PATCH 0/1] A cover letter\n\nWhy.\n\n";
    let series = [("series.mbox", format!("{cover}{example}\n")), ("back.diff", back)];
    let series: Vec<(&str, &str)> = series.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let words = ["--each", "--quick", "--base", "built:uml-c-gcov", "--suite", "ioctl/context-manager-twice"];
    let results = verdict(&series, &words, 1)?;
    let patches = results["patches"].as_array().ok_or("no patches")?;
    let told: Vec<(&str, &str)> = patches
        .iter()
        .filter_map(|patch| {
            let change = &patch["kernels"][0]["changes"][0]["kind"];
            Some((patch["titles"][0].as_str()?, change.as_str()?))
        })
        .collect();
    let expected = [("binder: a second context manager gets EEXIST", "broken"), ("back.diff", "fixed")];
    is(told.as_slice(), &expected, &results.to_string())
}

fn patch_of_rust() -> Result<(), Failed> {
    let example = newest_example("second-manager-eexist-rust.patch")?;
    let words = ["--quick", "--base", "built:uml-rust", "--suite", "ioctl/context-manager-twice"];
    let results = verdict(&[("fix.patch", &example)], &words, 1)?;
    let change = &results["patches"][0]["kernels"][0]["changes"][0];
    is(&change["kind"], &serde_json::json!("broken"), &results.to_string())?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("fix.patch");
    fs::write(&path, example.replace("EEXIST)", "EEXISTS)"))?;
    let path = path.display().to_string();
    let (status, _, said) = output(&mut binderdrill(&[&["patch", path.as_str()], &words[..]].concat()))?;
    is(status, 4, &said)?;
    holds(
        &said,
        &[
            "cannot find value `EEXISTS`",
            "drivers/android/binder/context.rs:114",
            "+            return Err(EEXISTS);",
        ],
    )
}

/// An example of `suites/patches/` for the stock kernel.
fn example() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../suites/patches/6.12");
    folder.join("second-manager-eexist.patch").display().to_string()
}

/// The verdict is that of the driver as it would be shipped; another build of it tells which of the patch's lines ran.
fn changed_errno() -> Result<(), Failed> {
    let more = "+\t\tif (current->pid < 0)\n+\t\t\tpr_err(\"of nobody\\n\");\n+\t\tret = -EEXIST;";
    let patch = fs::read_to_string(example())?;
    let patch = patch.replace(",7 @@", ",9 @@").replace("+\t\tret = -EEXIST;", more);
    let words = ["--base", "debian-6.12", "--suite", "ioctl/context-manager"];
    let results = verdict(&[("fix.patch", &patch)], &words, 1)?;
    told_which_ran(&results)?;
    let text = results.to_string();
    let (judged, counted) =
        (&results["patches"][0]["kernels"][0]["patched"], &results["patches"][0]["own_lines"]["counted_on"]);
    is(judged.is_string() && counted.is_string() && judged != counted, true, &text)?;
    let kernel = &results["patches"][0]["kernels"][0];
    is(&kernel["kernel"], &serde_json::json!("debian-6.12"), &text)?;
    is(&results["patches"][0]["files"], &serde_json::json!(["drivers/android/binder.c"]), &text)?;
    let changes = kernel["changes"].as_array().ok_or("no changes")?;
    let twice = changes.iter().find(|change| change["base"]["id"] == "ioctl/context-manager-twice");
    let twice = twice.ok_or_else(|| format!("the case is not among {changes:?}"))?;
    is(&twice["kind"], &serde_json::json!("broken"), &text)?;
    is(&twice["base"]["verdict"]["kind"], &serde_json::json!("pass"), &text)?;
    let came = |whose: &str| twice[whose]["transcript"]["steps"][0]["outcome"].to_string();
    holds(&came("base"), &["EBUSY"])?;
    holds(&came("patched"), &["EEXIST"])
}

/// What the compiler is told when it is to count as well is a mistake of the patch, which nobody meets who ships it.
fn not_counting() -> Result<(), Failed> {
    let more = "--- a/drivers/android/Makefile\n+++ b/drivers/android/Makefile\n@@ -1,2 +1,3 @@\n \
                # SPDX-License-Identifier: GPL-2.0-only\n+CFLAGS_binder.o = $(if $(filter -fprofile-arcs,\
                $(ccflags-y)),-Werror=nonsense)\n ccflags-y += -I$(src)\t\t\t# needed for trace events\n";
    let patches = [("fix.patch", &*fs::read_to_string(example())?), ("more.patch", more)];
    let words = ["--base", "debian-6.12", "--suite", "ioctl/context-manager-twice"];
    let results = verdict(&patches, &words, 1)?;
    let patch = &results["patches"][0];
    is(&patch["kernels"][0]["changes"][0]["kind"], &serde_json::json!("broken"), &results.to_string())?;
    is(&patch["own_lines"]["kind"], &serde_json::json!("unknown"), &patch["own_lines"].to_string())?;
    holds(&patch["own_lines"]["why"].to_string(), &["does not build", "-Werror=nonsense"])
}

fn not_compiling() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("fix.patch");
    fs::write(&path, fs::read_to_string(example())?.replace("EEXIST", "EEXISTS"))?;
    let path = path.display().to_string();
    let words = ["patch", &path, "--base", "debian-6.12", "--suite", "ioctl/context-manager-twice"];
    let (status, _, said) = output(&mut binderdrill(&words))?;
    is(status, 4, &said)?;
    let parts = [
        "does not compile",
        "drivers/android/binder.c:",
        "'EEXISTS' undeclared",
        "in hunk 1 of 1",
        "+\t\tret = -EEXISTS;",
    ];
    holds(&said, &parts)
}

fn outside_of_module() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("fix.patch");
    fs::write(&path, "--- /dev/null\n+++ b/mm/new.c\n@@ -0,0 +1 @@\n+int x;\n")?;
    let path = path.display().to_string();
    let words = ["patch", &path, "--base", "debian-6.12", "--suite", "ioctl/context-manager-twice"];
    let (status, _, said) = output(&mut binderdrill(&words))?;
    is(status, 2, &said)?;
    holds(
        &said,
        &["warning: \"fix.patch\" touches nothing of the driver", "changes mm/new.c", "--base built:uml-c"],
    )
}

fn refused(words: &[&str], status: i32, parts: &[&str]) -> Result<(), Failed> {
    let (came, _, said) = output(&mut binderdrill(&[&["patch"], words].concat()))?;
    is(came, status, &said)?;
    holds(&said, parts)
}

fn no_patch() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("fix.patch");
    let name = path.display().to_string();
    refused(&[&name], 2, &["fix.patch cannot be read: No such file"])?;
    fs::write(&path, "\n")?;
    refused(&[&name], 2, &["fix.patch is empty"])?;
    fs::write(&path, "Hello.\n")?;
    refused(&[&name], 2, &["holds no patch", "git format-patch"])
}

fn no_base() -> Result<(), Failed> {
    let patch = example();
    refused(
        &[&patch, "--base", "nonsense"],
        2,
        &["\"nonsense\" is nothing that can be patched", "debian-6.12"],
    )?;
    refused(&[&patch, "--base", "built:not-there"], 2, &["built:not-there", "has not been built"])?;
    refused(&[&patch, "--base", "debian-0.1"], 2, &["kernel fetch debian-0.1"])?;
    refused(&[&patch, "--base", "built:uml-c", "--commit", "HEAD"], 2, &["--commit takes the folder"])?;
    let folder = tempfile::tempdir()?;
    let no_repository = folder.path().display().to_string();
    refused(&[&patch, "--base", &no_repository], 2, &["is no source of Linux: it has no Makefile"])?;
    refused(
        &[&patch, "--base", &no_repository, "--commit", "HEAD"],
        2,
        &["is in no git repository, of which a commit"],
    )
}

fn not_applying() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let driver = folder.path().join("drivers/android");
    fs::create_dir_all(&driver)?;
    fs::write(driver.join("binder.c"), "one\ntwo\nthree\n")?;
    fs::write(folder.path().join("Makefile"), "")?;
    let patch = folder.path().join("fix.patch");
    fs::write(
        &patch,
        "--- a/drivers/android/binder.c\n+++ b/drivers/android/binder.c\n@@ -1,3 +1,3 @@\n one\n-2\n+zwei\n three\n",
    )?;
    let (base, patch) = (folder.path().display().to_string(), patch.display().to_string());
    let parts = ["does not apply: drivers/android/binder.c, hunk 1 of 1", "2 - 2", "+ two"];
    refused(&[&patch, "--base", &base], 3, &parts)
}

/// What is there is what was there at that commit.
fn of_commit() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let repository = folder.path().join("repository");
    let driver = repository.join("drivers/android");
    fs::create_dir_all(&driver)?;
    let git = |words: &[&str]| -> Result<(), Failed> {
        let identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@localhost"];
        let mut git = std::process::Command::new("git");
        let done = git.arg("-C").arg(&repository).args(identity).args(words).output()?;
        is(done.status.success(), true, &String::from_utf8_lossy(&done.stderr))
    };
    git(&["init", "-q"])?;
    fs::write(repository.join("Makefile"), "")?;
    for text in ["the first\n", "the second\n"] {
        fs::write(driver.join("binder.c"), text)?;
        git(&["add", "."])?;
        git(&["commit", "-q", "-m", text])?;
    }
    let patch = folder.path().join("fix.patch");
    let diff =
        "--- a/drivers/android/binder.c\n+++ b/drivers/android/binder.c\n@@ -1 +1 @@\n-another\n+one\n";
    fs::write(&patch, diff)?;
    let (base, patch) = (repository.display().to_string(), patch.display().to_string());
    for (commit, there) in [("HEAD", "+ the second"), ("HEAD~1", "+ the first")] {
        let mut command = binderdrill(&["patch", &patch, "--base", &base, "--commit", commit]);
        let (status, _, said) = output(command.env("XDG_CACHE_HOME", folder.path().join("cache")))?;
        is(status, 3, &said)?;
        holds(&said, &[there, &format!("the base is {base} at {commit}")])?;
        is(said.contains("not committed"), false, &said)?;
    }
    // Of a folder within the repository, a commit is that folder, and not what was taken out for the whole.
    let part = repository.join("drivers").display().to_string();
    let mut command = binderdrill(&["patch", &patch, "--base", &part, "--commit", "HEAD"]);
    let (status, _, said) = output(command.env("XDG_CACHE_HOME", folder.path().join("cache")))?;
    is(status, 2, &said)?;
    holds(&said, &["is no source of Linux at HEAD: it has no Makefile"])?;
    refused(
        &[&patch, "--base", &base, "--commit", "v9"],
        2,
        &["has no commit \"v9\": git does not know it"],
    )?;
    refused(&[&patch, "--base", &base, "--commit", "--output=x"], 2, &[])?;
    // What is not committed is part of the folder.
    fs::write(driver.join("binder.c"), "the third\n")?;
    refused(&[&patch, "--base", &base], 3, &["has changes that are not committed", "+ the third"])
}
