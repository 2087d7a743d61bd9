//! What the commands do, and the exit statuses.

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use super::{binderdrill, binderdrill_with_input, command, status, stderr, stdout, unread};

#[test]
fn without_arguments_the_suite_runs_on_the_reference_driver() {
    let output = binderdrill(&[]);
    assert!(stdout(&output).contains(" on reference in "), "{}", stdout(&output));
    assert_eq!(status(&output), 0, "{}", stdout(&output));
}

#[test]
fn the_exit_status_tells_how_it_went() {
    for (arguments, expected) in [
        (&["run", "passes.drill"][..], 0),
        (&["run", "lacks.drill"], 0),
        (&["run", "deviates.drill"], 1),
        (&["run", "malformed.drill"], 2),
        (&["run", "deviates.drill", "malformed.drill"], 1),
        (&["run", "no-such-case"], 2),
        (&["run", "no-such-file.drill"], 2),
        (&["run", "--target", "no-such-target"], 2),
        (&["run", "--no-such-option"], 2),
        (&["list", "no-such-case"], 2),
        (&["spec"], 0),
        (&["spec", "transactions"], 0),
        (&["spec", "no-such-page"], 2),
        (&["trace", "passes.drill"], 0),
        (&["trace", "deviates.drill"], 1),
        (&["trace", "malformed.drill"], 2),
        (&["trace", "no-such-file.drill"], 2),
        (&["trace", "device/epoll-own-work"], 0),
        (&["export", "device/epoll-own-work", "--as", "c"], 0),
        (&["check", "passes.drill"], 0),
        (&["check", "malformed.drill"], 1),
        (&["check", "no-such-file.drill"], 2),
        (&["fmt", "--check", "passes.drill"], 0),
        (&["fmt", "--check", "untidy.drill"], 1),
        (&["fmt", "--check", "malformed.drill"], 2),
        (&["replay", "passes.drill"], 0),
        (&["replay", "malformed.drill"], 2),
        (&["replay", "no-such-file.drill"], 2),
        (&["replay", "passes.drill", "--as", "no-such-target"], 2),
        (&["replay", "passes.drill", "--target", "no-such-target"], 2),
        (&["seeds"], 2),
        (&["seeds", "--dictionary"], 0),
        (&["--help"], 0),
    ] {
        let output = binderdrill(arguments);
        assert_eq!(status(&output), expected, "{arguments:?}: {}{}", stdout(&output), stderr(&output));
    }
}

#[test]
fn a_filter_that_selects_nothing_suggests_what_is_near() {
    let output = binderdrill(&["run", "transaction/synccall"]);
    assert_eq!(status(&output), 2);
    assert_eq!(stdout(&output), "");
    assert!(stderr(&output).contains("near it there is transaction/sync-call"), "{}", stderr(&output));
}

#[test]
fn an_unknown_clause_is_told_what_there_is() {
    for (word, expected) in
        [("tnx.3", "did you mean txn?"), ("txn.999", "Transactions has clauses up to txn.")]
    {
        let output = binderdrill(&["spec", word]);
        assert_eq!((status(&output), stdout(&output)), (2, String::new()));
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
}

#[test]
fn an_unknown_target_is_told_what_there_is() {
    let output = binderdrill(&["run", "--target", "refrence"]);
    let message = stderr(&output);
    assert!(
        message.contains("there is no target \"refrence\"") && message.contains("`reference`"),
        "{message}"
    );
}

#[test]
fn scripts_are_read_from_standard_input() {
    let script = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/command_line/scripts/untidy.drill"));
    let script = script.unwrap();
    assert_eq!(status(&binderdrill_with_input(&["check", "-"], &script)), 0);
    let formatted = binderdrill_with_input(&["fmt", "-"], &script);
    assert_eq!(status(&formatted), 0);
    let again = binderdrill_with_input(&["fmt", "-", "--check"], &formatted.stdout);
    assert_eq!((status(&again), stdout(&again)), (0, String::new()));
    assert_eq!(status(&binderdrill_with_input(&["trace", "-"], &script)), 0);
}

#[test]
fn patches_are_read_from_standard_input() {
    let refused = |input: &[u8]| {
        let output = binderdrill_with_input(&["patch", "-"], input);
        assert_eq!(status(&output), 2, "{}", stderr(&output));
        stderr(&output)
    };
    assert!(refused(b"\n").contains("the patch - is empty"));
    assert!(refused(b"words\n").contains("- holds no patch"));
    let cut_off = "--- a/drivers/android/binder.c\n+++ b/drivers/android/binder.c\n@@ -1,2 +1,2 @@\n-a\n";
    let said = refused(cut_off.as_bytes());
    assert!(said.contains("-: \"standard input\" is not a whole patch"), "{said}");
}

#[test]
fn what_cannot_be_removed_keeps_nothing_else() {
    let cache = tempfile::tempdir().unwrap();
    let kernels = cache.path().join("binderdrill/kernels");
    fs::create_dir_all(kernels.join("built/mine")).unwrap();
    let mut command = command(&["kernel", "remove", "built:none", "built:mine", "debian-6.1"]);
    let output = command.env("XDG_CACHE_HOME", cache.path()).output().unwrap();
    let said = stderr(&output);
    assert_eq!(status(&output), 2, "{said}");
    assert!(said.contains("none") && said.contains("debian-6.1"), "{said}");
    assert!(!kernels.join("built/mine").exists(), "{said}");
}

#[test]
fn check_shows_every_mistake() {
    let output = binderdrill(&["check", "malformed.drill"]);
    let text = stdout(&output);
    assert!(text.contains("malformed.drill:6") && text.contains("malformed.drill:7"), "{text}");
}

#[test]
fn fmt_writes_the_file_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("untidy.drill");
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/command_line/scripts/untidy.drill"), &path).unwrap();
    let path = path.to_str().unwrap();
    assert_eq!(status(&binderdrill(&["fmt", "--check", path])), 1);
    assert_eq!(status(&binderdrill(&["fmt", path])), 0);
    assert_eq!(status(&binderdrill(&["fmt", "--check", path])), 0);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_folder_without_scripts_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let output = binderdrill(&["run", folder.path().to_str().unwrap()]);
    assert_eq!(status(&output), 2);
    assert!(stderr(&output).contains("there is no script (*.drill) in the folder"), "{}", stderr(&output));
}

#[test]
fn no_input_makes_the_program_panic() {
    for input in [&b""[..], b"\xff\xfe", b"\0", b"#", b"# t\nprocess p\np < ", &[b'['; 100_000]] {
        for arguments in [&["check", "-"][..], &["trace", "-"], &["fmt", "-"]] {
            let output = binderdrill_with_input(arguments, input);
            assert!(matches!(status(&output), 1 | 2), "{arguments:?} of {input:?}: {}", stderr(&output));
        }
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_panic() {
    let output = command(&["run", "--format", "json"]).stdout(unread()).output().unwrap();
    assert_eq!((status(&output), stderr(&output).as_str()), (2, ""));
}

/// A campaign of hours is not lost because what it tells goes to a pipe that nobody reads any longer.
#[test]
fn a_listener_who_has_heard_enough_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let [findings, night] = ["findings", "night"].map(|name| folder.path().join(name).display().to_string());
    let both = ["--target", "reference:c-6.12", "--target", "reference:rust"];
    let nightly = ["nightly", "--target", "reference", "--only", "oneway-spam", "--corpus", "passes.drill"];
    for (arguments, expected, told) in [
        (
            [&["fuzz", "--seed", "1", "--programs", "9", "--out", &findings], &both[..]].concat(),
            1,
            "of the last 9",
        ),
        ([&["minimise", "deviates.drill"], &both[..]].concat(), 1, "Targets part ways"),
        ([&nightly[..], &["--out", &night]].concat(), 0, "All as expected"),
    ] {
        let output = command(&arguments).stderr(unread()).output().unwrap();
        assert_eq!(status(&output), expected, "{arguments:?}: {}", stdout(&output));
        assert!(stdout(&output).contains(told), "{arguments:?}: {}", stdout(&output));
    }
}

#[test]
fn what_is_no_file_in_a_folder_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/command_line/scripts/passes.drill"), at("a.drill"))
        .unwrap();
    // Whoever opened it would wait for somebody to write.
    assert!(Command::new("mkfifo").arg(at("pipe.drill")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(at("socket.drill")).unwrap();
    std::os::unix::fs::symlink("..", at("up")).unwrap();
    let path = folder.path().to_str().unwrap();
    for (arguments, told) in [
        (&["run", path][..], "1 passed on reference"),
        (&["replay", path], "1 input: 1 as the model says"),
        (
            &[
                "fuzz",
                "--target",
                "reference:c-6.12",
                "--target",
                "reference:c-6.1",
                "--programs",
                "1",
                "--corpus",
                path,
            ],
            "1 programs of",
        ),
    ] {
        let output = binderdrill(arguments);
        assert!(stdout(&output).contains(told), "{arguments:?}: {}{}", stdout(&output), stderr(&output));
    }
}

/// The campaign that these words ask for, which needs no kernel.
fn campaign(words: &[&str]) -> Output {
    binderdrill(
        &[&["fuzz", "--target", "reference:c-6.12", "--target", "reference:rust", "--seed", "1"], words]
            .concat(),
    )
}

#[test]
fn a_campaign_that_can_come_to_nothing_says_so_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().to_str().unwrap();
    for (words, told) in [
        (&["--corpus", "no-such-folder"][..], "no-such-folder: No such file"),
        (&["--corpus", empty], "there is no script (*.drill) in the folder"),
        (&["--corpus", "malformed.drill"], "`binderdrill check malformed.drill` tells why"),
        (
            &["--out", "passes.drill/findings"],
            "nothing that is found can be written to passes.drill/findings",
        ),
        (&["--programs", "0"], "invalid value '0' for '--programs <N>'"),
        (&["--for", "0s"], "no program was run"),
    ] {
        let output = campaign(words);
        assert_eq!(status(&output), 2, "{words:?}");
        assert!(stderr(&output).contains(told), "{words:?}: {}", stderr(&output));
    }
}

#[test]
fn scripts_of_a_corpus_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["passes.drill", "malformed.drill"] {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/command_line/scripts/").to_owned() + name;
        fs::copy(script, folder.path().join(name)).unwrap();
    }
    let corpus = folder.path().to_str().unwrap();
    let output = campaign(&["--programs", "1", "--corpus", corpus, "--out", corpus]);
    let told = stderr(&output);
    assert!(told.contains("left out of the corpus") && told.contains("malformed.drill"), "{told}");
}

/// Runs the program where nothing can be written to files, as on a disk that is full.
fn on_a_full_disk(arguments: &[&str]) -> Output {
    let words = ["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_binderdrill")];
    let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/command_line/scripts");
    Command::new("sh").args(words).args(arguments).current_dir(scripts).output().unwrap()
}

#[test]
fn a_finding_that_cannot_be_written_can_be_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let targets = ["--target", "reference:c-6.12", "--target", "reference:rust"];
    let output =
        on_a_full_disk(&[&["fuzz", "--seed", "1", "--programs", "1", "--out", out], &targets[..]].concat());
    assert_eq!(status(&output), 1, "{}", stderr(&output));
    let again =
        "again: binderdrill fuzz --target reference:c-6.12 --target reference:rust --seed 1 --programs 1";
    assert!(stderr(&output).contains(again), "{}", stderr(&output));
    assert_eq!(fs::read_dir(out).unwrap().count(), 0);
}

#[test]
fn a_script_that_cannot_be_written_anew_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("untidy.drill");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/command_line/scripts/untidy.drill");
    fs::copy(script, &path).unwrap();
    let output = on_a_full_disk(&["fmt", path.to_str().unwrap()]);
    assert_eq!(status(&output), 2, "{}", stderr(&output));
    assert_eq!(fs::read(&path).unwrap(), fs::read(script).unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_cannot_be_written_is_named() {
    for arguments in [
        &["seeds", "passes.drill/seeds"][..],
        &["nightly", "--target", "reference", "--out", "passes.drill/site"],
    ] {
        let output = binderdrill(arguments);
        assert_eq!(status(&output), 2);
        assert!(stderr(&output).contains("passes.drill/s"), "{}", stderr(&output));
    }
}

#[test]
fn an_unknown_fuzz_target_is_told_what_there_is() {
    let output = binderdrill(&["replay", "passes.drill", "--as", "no-such-target"]);
    let told = stderr(&output);
    assert!(
        told.contains("there is command_stream, refcount, malformed_transaction, raw_write_read"),
        "{told}"
    );
}

#[test]
fn what_a_guest_cannot_execute_is_refused_before_it_boots() {
    let own = env!("CARGO_BIN_EXE_binderdrill");
    let folder = tempfile::tempdir().unwrap();
    let linked = folder.path().join("linked");
    let mut compiler = Command::new("cc");
    compiler.args(["-x", "c", "-", "-o"]).arg(&linked);
    let mut compiler = compiler.stdin(Stdio::piped()).spawn().unwrap();
    compiler.stdin.take().unwrap().write_all(b"int main(void) { return 0; }").unwrap();
    assert!(compiler.wait().unwrap().success());
    for (program, told) in [
        ("passes.drill", "no program of 64 bits"),
        (linked.to_str().unwrap(), "linked dynamically"),
        (own, "vm:none"),
    ] {
        let output = binderdrill(&["execute", program, "--target", "vm:none"]);
        assert_eq!(status(&output), 2);
        assert!(stderr(&output).contains(told), "{}", stderr(&output));
    }
}

/// That there is no driver is no deviation of one.
#[test]
fn an_exported_script_without_a_device_shows_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("reproducer.c");
    let program = folder.path().join("reproducer");
    let exported = ["export", "transaction/sync-call", "--as", "c", "--out", source.to_str().unwrap()];
    assert_eq!(status(&binderdrill(&exported)), 0);
    let compiled = Command::new("cc").args(["-pthread", "-o"]).args([&program, &source]).status();
    assert!(compiled.unwrap().success());
    for (device, told) in [("/dev/no-such-device", "No such file"), ("/dev/null", "is no binder device")] {
        let output = Command::new(&program).arg(device).output().unwrap();
        assert_eq!((status(&output), stdout(&output)), (2, String::new()));
        assert!(stderr(&output).starts_with(device) && stderr(&output).contains(told), "{}", stderr(&output));
    }
}

#[test]
fn seeds_are_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = folder.path().join("raw_write_read");
    let corpus = corpus.to_str().unwrap();
    for _ in 0..2 {
        assert_eq!(status(&binderdrill(&["seeds", corpus, "--for", "raw_write_read"])), 0);
    }
    let seeds = fs::read_dir(corpus).unwrap().count();
    let output = binderdrill(&["replay", corpus, "--target", "reference", "--target", "reference:rust"]);
    assert_eq!(status(&output), 0, "{}", stdout(&output));
    for target in ["reference", "reference:rust"] {
        let told = format!("{seeds} inputs: {seeds} as the model says on {target} in ");
        assert!(stdout(&output).contains(&told), "{}", stdout(&output));
    }
}

#[test]
fn what_cannot_be_compared_is_not_said_to_be_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("unshares.drill");
    fs::write(&path, "# All of it is left undefined.\n\nprocess client\n\nclient ! unshare\n").unwrap();
    let path = path.to_str().unwrap();
    let replayed = binderdrill(&["replay", path]);
    assert!(
        stdout(&replayed).contains("1 input: 1 of which nothing can be compared"),
        "{}",
        stdout(&replayed)
    );
    let targets = ["--target", "reference:c-6.12", "--target", "reference:rust"];
    let minimised = binderdrill(&[&["minimise", path], &targets[..]].concat());
    assert_eq!(status(&minimised), 2);
    assert!(stderr(&minimised).contains("nothing of it can be compared"), "{}", stderr(&minimised));
}

#[test]
fn a_trace_says_why_there_is_none() {
    for (case, told) in [
        ("rust-driver/a-call-waits-for-a-looper", "it is about the driver in Rust"),
        ("freeze-notification/before-linux-6.12", "skipped: "),
        ("race/call-on-its-way-to-a-process-that-exits", "all was as expected; of a race no step is told"),
    ] {
        let traced = binderdrill(&["trace", case]);
        assert_eq!(status(&traced), 0);
        assert!(stderr(&traced).contains(told), "{case}: {}", stderr(&traced));
    }
    let raced = binderdrill(&[
        "replay",
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../suites/cases/race/call-on-its-way-to-a-process-that-exits.drill"
        ),
    ]);
    assert!(
        stderr(&raced).contains("the steps of a race are done one after the other"),
        "{}",
        stderr(&raced)
    );
}

#[test]
fn words_of_an_exported_program_differ_where_names_do() {
    let script = "# Two names that C cannot tell from each other.\n\nprocess a_b\nprocess a-b\nthread t_2 of a_b\n\
                  thread t-2 of a-b\n\na_b ! poll = 0\na-b ! poll = 0\n";
    let exported = binderdrill_with_input(&["export", "-", "--as", "c"], script.as_bytes());
    let text = stdout(&exported);
    assert!(text.contains("enum { PROCESS_a_b, PROCESS_a_b_, PROCESSES };"), "{text}");
    assert!(text.contains("enum { THREAD_a_b, THREAD_a_b_, THREAD_t_2, THREAD_t_2_, THREADS };"), "{text}");
}

#[test]
fn what_deviates_from_the_model_is_not_what_a_replay_is_about() {
    // What a script expects is replaced by what the model does.
    let output = binderdrill(&["replay", "deviates.drill"]);
    assert_eq!(status(&output), 0, "{}", stdout(&output));
}

#[test]
fn a_replay_may_end_with_what_no_script_can_expect() {
    // What comes to the child lies where it has no memory.
    let script = "# A call to a child.\ndriver: c\n\nprocess server context-manager\nprocess child forked\nprocess client\n\n\
        server  ! fork child\nchild  < nothing\nchild  < parked\nclient  >< BC_TRANSACTION { handle 0, data [ u32 7 ] } -> parked\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("unreadable.drill");
    fs::write(&path, script).unwrap();
    let output = binderdrill(&["replay", path.to_str().unwrap()]);
    assert!(stdout(&output).contains("1 input: 1 as the model says on reference"), "{}", stdout(&output));
}

/// Ctrl-C is no accident: what has been found by then is written and told.
#[test]
fn a_campaign_that_is_interrupted_tells_what_it_has_found() {
    let folder = tempfile::tempdir().unwrap();
    let findings = folder.path().join("findings");
    let mut fuzz =
        command(&["fuzz", "--target", "reference:c-6.12", "--target", "reference:rust", "--seed", "7"]);
    fuzz.args(["--for", "10m", "--out"]).arg(&findings).stdout(Stdio::piped()).stderr(Stdio::piped());
    let process = fuzz.spawn().unwrap();
    let written = || fs::read_dir(&findings).map_or(0, |entries| entries.count());
    while written() < 2 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let pid = nix::unistd::Pid::from_raw(process.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let output = process.wait_with_output().unwrap();
    assert_eq!(status(&output), 1, "{}", stderr(&output));
    let told = stdout(&output);
    assert!(told.contains("reference:c-6.12, reference:rust"), "{told}");
    assert!(written() >= 2 && told.contains(".drill"), "{told}");
}

#[test]
fn a_script_on_which_drivers_part_ways_is_made_smaller() {
    let script = "\
# A call waits for a thread.

process server context-manager
process client

server  ! BINDER_SET_MAX_THREADS 3
client  > BC_TRANSACTION { handle 0, code 1 }
server  ! poll = POLLIN
";
    let small = binderdrill_with_input(
        &["minimise", "-", "--target", "reference:c-6.12", "--target", "reference:rust"],
        script.as_bytes(),
    );
    assert_eq!(status(&small), 1, "{}", stderr(&small));
    assert!(stdout(&small).ends_with("process server\n\nserver  ! poll = POLLIN\n"), "{}", stdout(&small));
    let alike = binderdrill_with_input(
        &["minimise", "-", "--target", "reference:c-6.12", "--target", "reference:c-6.1"],
        script.as_bytes(),
    );
    assert_eq!(status(&alike), 0, "{}", stdout(&alike));
    let alone = binderdrill_with_input(&["minimise", "-", "--target", "reference"], script.as_bytes());
    assert_eq!(status(&alone), 2, "{}", stdout(&alone));
}
