//! Laws: what holds of every program, and of any bytes whatever.

use binderdrill::program::Program;
use binderdrill::script::{lint, parse, print};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::arbitrary;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    /// A program is what its canonical script says, and that script is its own canonical form.
    #[test]
    fn a_program_survives_its_script(program in arbitrary::program()) {
        let text = print(&program);
        let script = parse(text.as_bytes()).map_err(|wrong| {
            TestCaseError::fail(format!("{}\n{text}", wrong.render("printed", false)))
        })?;
        prop_assert_eq!(&script.program, &program, "{}", &text);
        prop_assert_eq!(print(&script.program), text);
    }

    /// The positions of a script are those of its statements.
    #[test]
    fn positions_are_those_of_the_statements(program in arbitrary::program()) {
        let text = print(&program);
        let script = parse(text.as_bytes()).unwrap();
        prop_assert_eq!(script.positions.steps.len(), program.steps.len());
        prop_assert_eq!(script.positions.declarations.len(), program.declarations.len());
        for position in script.positions.steps.iter().chain(&script.positions.declarations) {
            let line_start = text[..position.bytes.start].rfind('\n').map_or(0, |newline| newline + 1);
            prop_assert_eq!(line_start, position.bytes.start);
            prop_assert_eq!(position.line, 1 + text[..line_start].matches('\n').count());
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        read_or_refused(&bytes);
    }

    #[test]
    fn any_words_are_read_or_refused(words in proptest::collection::vec(word(), 0..60)) {
        read_or_refused(words.concat().as_bytes());
    }

    /// Scripts in which a few bytes have been changed, removed or repeated.
    #[test]
    fn a_damaged_script_is_read_or_refused(
        program in arbitrary::program(),
        damages in proptest::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<u8>()), 1..5),
    ) {
        let mut text = print(&program).into_bytes();
        for (place, damage, byte) in damages {
            let at = place.index(text.len());
            match damage {
                0 => text[at] = byte,
                1 => drop(text.remove(at)),
                2 => text.insert(at, b" \n#\"{}[],|<>=!"[usize::from(byte) % 14]),
                _ => text.extend_from_within(at..(at + usize::from(byte)).min(text.len())),
            }
            if text.is_empty() {
                break;
            }
        }
        read_or_refused(&text);
    }
}

/// What can stand in a script, and what cannot.
fn word() -> impl Strategy<Value = String> {
    let known = [
        "# title\n",
        "process p\n",
        "thread t of p\n",
        "p ",
        "t ",
        "> ",
        "< ",
        ">< ",
        "! ",
        "= ",
        "-> ",
        ", ",
        "| ",
        "\n",
        "{ ",
        "} ",
        "[ ",
        "] ",
        "( ",
        ") ",
        "any of { ",
        "in any order { ",
        "parked",
        "nothing",
        "consumed 4",
        "EINVAL ",
        "BC_REPLY ",
        "BC_TRANSACTION ",
        "BR_REPLY ",
        "handle 0",
        "data [ ",
        "u32 7",
        "str16 \"x\"",
        "as b",
        "bytes 00",
        "at 4 ",
        "binder o",
        "handle ?h",
        "?",
        "_",
        "+",
        ":",
        ".",
        "clause: a.1\n",
        "requires lsm\n",
        "without lsm\n",
        "unconfirmed: x\n",
        "0x",
        "1M",
        "-1",
        "\"",
        "\\",
        "\r",
        "# comment",
        "mmap ",
        "poll ",
        "POLLIN ",
        "exit\n",
    ];
    prop_oneof![
        9 => proptest::sample::select(known.to_vec()).prop_map(str::to_owned),
        1 => "\\PC{0,4}",
    ]
}

/// Does all that can be done with a script. What it comes to must be sound.
fn read_or_refused(bytes: &[u8]) {
    match parse(bytes) {
        Ok(script) => {
            let text = print(&script.program);
            let again = parse(text.as_bytes()).unwrap_or_else(|wrong| panic!("{wrong:?}\n{text}"));
            assert_eq!(again.program, script.program);
            lint(&script).render("read", true);
        }
        Err(wrong) => {
            assert!(!wrong.is_empty());
            assert!(wrong.render("refused", false).starts_with("error"));
        }
    }
}

/// The arbitrary programs would prove little if they left something out.
#[test]
fn arbitrary_programs_have_everything() {
    let mut runner = TestRunner::deterministic();
    let strategy = arbitrary::program();
    let programs: Vec<Program> =
        (0..3000).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect();
    let text: String = programs.iter().map(print).collect();

    use reference_driver::uapi::{COMMANDS, RETURNS};
    let protocol = COMMANDS.iter().chain(RETURNS).map(|(name, _)| *name);
    let never_sent = ["BR_ATTEMPT_ACQUIRE"];
    let words = [
        "context-manager",
        "uid",
        "nonblock",
        "on",
        "hwbinder",
        "vndbinder",
        "mmap",
        "unmapped",
        "closed",
        "thread",
        "open",
        "close",
        "flush",
        "munmap",
        "poll",
        "exit",
        "count payload_copies",
        "count deaths",
        "BINDER_WRITE_READ",
        "BINDER_SET_IDLE_TIMEOUT",
        "BINDER_SET_MAX_THREADS",
        "BINDER_SET_IDLE_PRIORITY",
        "BINDER_SET_CONTEXT_MGR",
        "BINDER_SET_CONTEXT_MGR_EXT",
        "BINDER_THREAD_EXIT",
        "BINDER_VERSION unmapped",
        "ioctl",
        "POLLIN | POLLERR",
        "(POLLIN | POLLERR)",
        "success",
        "errno 7",
        "clause:",
        "requires",
        "without",
        "unconfirmed:",
        "u32",
        "i32",
        "u64",
        "i64",
        "str16",
        "bytes",
        "zero",
        "at",
        "binder",
        "weak_binder",
        "handle",
        "weak_handle",
        "object {",
        "handle ?h1",
        "handle _",
        "target {",
        "pid p1",
        "euid",
        "secctx",
        "offsets [",
        "offsets []",
        "data_size",
        "offsets_size",
        "buffer unmapped",
        "offsets_buffer",
        "cookie",
        "sender_pid",
        "sender_euid",
        "buffers_size",
        "as b1",
        "write_size",
        "write_consumed",
        "write_buffer unmapped",
        "read_size",
        "read_consumed",
        "read_buffer unmapped",
        "any of {",
        "in any order {",
        "parked",
        "nothing",
        "consumed",
        "->",
        "BC_FREE_BUFFER b1",
        "TF_ONE_WAY",
        "FLAT_BINDER_FLAG_ACCEPTS_FDS",
        "as w0",
        "BINDER_TYPE_FD",
        "memfd f",
        "pipe f",
        "close f",
        "poll f",
        "forked",
        "fork p",
        "dup f",
        "use f",
        "setpriority -",
        "getpriority",
        "limit_descriptors",
        "count descriptors",
        "fd f",
        "fd 99",
        "fda",
        "ptr [",
        "ptr []",
        "descriptor f",
        "pointer",
        "parent",
        "BINDER_BUFFER_FLAG_HAS_PARENT",
    ];
    let missing: Vec<&str> =
        protocol.chain(words).filter(|word| !never_sent.contains(word) && !text.contains(word)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
