//! What an author is shown of a script that is none, or a doubtful one.

use binderdrill::script::{lint, parse};

/// The beginning of most scripts here, so that what is wrong stands on line 4 or later.
const HEAD: &str = "# Title\nprocess server context-manager\nprocess client\n";

/// What is shown of each of these scripts, with what the script is there for.
fn shown(scripts: &[(&str, &str)]) -> String {
    let texts = scripts.iter().map(|(about, source)| format!("== {about}\n{}", refused(source.as_bytes())));
    texts.collect::<Vec<_>>().join("\n")
}

/// As [`shown`], for steps behind [`HEAD`].
fn steps(steps: &[(&str, &str)]) -> String {
    let scripts: Vec<_> = steps.iter().map(|(about, steps)| (*about, format!("{HEAD}{steps}\n"))).collect();
    shown(&scripts.iter().map(|(about, source)| (*about, source.as_str())).collect::<Vec<_>>())
}

fn refused(source: &[u8]) -> String {
    match parse(source) {
        Ok(_) => panic!("this is a script:\n{}", String::from_utf8_lossy(source)),
        Err(wrong) => wrong.render("case.drill", false),
    }
}

macro_rules! snapshot {
    ($text:expr) => {
        insta::with_settings!({ omit_expression => true }, { insta::assert_snapshot!($text) })
    };
}

#[test]
fn unknown_words() {
    snapshot!(steps(&[
        ("a command with a slip of the pen", "client > BC_TRANSACTON { handle 0 }"),
        ("a command in small letters", "client > bc_enter_looper"),
        ("a command that resembles none", "client > BC_FROBNICATE_ALL_OF_THEM 3"),
        ("a return where a command is due", "client > BR_REPLY"),
        ("a command where a return is due", "client < BC_REPLY"),
        ("a return that never comes", "client < BR_ATTEMPT_ACQUIRE"),
        ("an unknown error", "client ! mmap 1M write = EPRM"),
        ("an error without a name", "client ! mmap 1M write = ECONNREFUSED"),
        ("an unknown call", "client ! mapp 1M"),
        ("an ioctl with a slip of the pen", "client ! BINDER_FREZE { pid client, enable 1 }"),
        ("a structure that is not one", "client ! BINDER_FREEZE client"),
        ("a field of a structure that is missing", "client ! BINDER_FREEZE { enable 1 }"),
        ("an awaited call that never was", "client ! await"),
        ("what a call cannot tell", "client ! BINDER_VERSION = { sync_recv 0, async_recv 0 }"),
        ("an unknown field", "client > BC_TRANSACTION { handle 0, cod 7 }"),
        ("an unknown item", "client > BC_TRANSACTION { handle 0, data [ u16 7 ] }"),
        ("an unknown flag", "client > BC_TRANSACTION { handle 0, flags TF_ONEWAY }"),
        ("an unknown event", "client ! poll = POLLOUT"),
        ("an unknown counter", "client ! count copies"),
        ("an unknown option", "client < (read_sise 4) nothing"),
    ]));
}

#[test]
fn races() {
    let two = "race 2 times { client > BC_ENTER_LOOPER | server > BC_ENTER_LOOPER }";
    snapshot!(steps(&[
        ("no number of times", "race { client > BC_ENTER_LOOPER | server > BC_ENTER_LOOPER }"),
        ("no times at all", "race 0 times { client > BC_ENTER_LOOPER | server > BC_ENTER_LOOPER }"),
        ("a single step", "race 2 times { client > BC_ENTER_LOOPER }"),
        ("a second race", &format!("{two}\n{two}")),
        ("the same thread twice", "race 2 times { client > BC_ENTER_LOOPER | client > BC_EXIT_LOOPER }"),
        (
            "a line that is wrong in a race whose other lines are not",
            "race 2 times {\n  client > BC_ENTER_LOPER\n| server > BC_ENTER_LOOPER\n}\nclient ! poll = 0",
        ),
        ("a race without an end", "race 2 times {\n  client > BC_ENTER_LOOPER\n| server > BC_ENTER_LOOPER\n"),
        ("a parked thread", "client < parked\nrace 2 times { client < BR_REPLY | server > BC_ENTER_LOOPER }"),
        ("what is no call of the thread", "race 2 times { client ! signal server | server ! poll = 0 }"),
        (
            "a name that the race binds",
            "race 2 times { client < BR_REPLY as reply | server > BC_FREE_BUFFER reply }",
        ),
        ("a comment within", "race 2 times {\n  client ! poll = 0  # no\n| server ! poll = 0\n}"),
        (
            "one of several threads",
            "race 2 times { any of { client | server } as one < BR_REPLY | server ! poll = 0 }",
        ),
        ("nothing left to do it", "race 2 times { client ! exit | server ! poll = 0 }\nclient ! poll = 0"),
    ]));
    let own = "# Title\nprocess server\nthread worker of server\n\
               race 2 times { server ! close | worker > BC_ENTER_LOOPER }\n";
    snapshot!(shown(&[("a process that ends beside itself", own)]));
}

#[test]
fn statements() {
    snapshot!(steps(&[
        ("no operator", "client BC_ENTER_LOOPER"),
        ("nothing behind the operator", "client >"),
        ("a bracket that is not closed", "client > BC_REPLY { data [ u32 1 }\nclient < parked"),
        ("a brace that is not closed", "client > BC_REPLY { code 1\nclient < parked"),
        ("a comma too many", "client > BC_ENTER_LOOPER,\nclient < parked"),
        ("a comma too few", "client > BC_ENTER_LOOPER BC_EXIT_LOOPER"),
        ("a comment within a statement", "client > BC_REPLY {\n  code 7, # seven\n}"),
        ("a missing handle", "client > BC_TRANSACTION { code 7 }"),
        ("a field twice", "client > BC_REPLY { code 7, code 8 }"),
        ("a lonely alternative", "client < any of { BR_OK }"),
        ("a choice within a choice", "client < any of { parked | any of { BR_OK | BR_NOOP }, BR_OK }"),
        ("a choice that is no list", "client < any of { parked | BR_OK }, BR_NOOP"),
        ("no arrow", "client >< BC_ENTER_LOOPER"),
        ("an arrow behind a failure", "client >< BC_ENTER_LOOPER = EINVAL -> parked"),
        ("an arrow behind >", "client > BC_ENTER_LOOPER -> parked"),
        ("an option of the other direction", "client < (write_size 3) nothing"),
        ("a value of a call that gives none", "client ! mmap 1M = 0"),
        ("exit that fails", "client ! exit = EPERM"),
    ]));
}

#[test]
fn numbers_and_strings() {
    snapshot!(steps(&[
        ("out of range", "client > BC_TRANSACTION { handle 4294967296 }"),
        ("negative", "client ! BINDER_SET_MAX_THREADS -1"),
        ("no number", "client ! mmap 1G"),
        ("half a byte", "client > bytes 00 1"),
        ("no end", "client > BC_REPLY { data [ str16 \"ping ] }"),
        ("an escape", "client > BC_REPLY { data [ str16 \"a\\qb\" ] }"),
        ("a surrogate", "client > BC_REPLY { data [ str16 \"\\u{d800}\" ] }"),
        ("quotes", "client > BC_REPLY { data [ str16 'ping' ] }"),
        ("too much payload", "client > BC_REPLY { data [ u32 1, zero 99999999999 ] }"),
        ("items that overlap", "client > BC_REPLY { data [ u64 1, at 4 u32 1 ] }"),
        ("a control character", "client > BC_ENTER_LOOPER \u{7}"),
    ]));
}

#[test]
fn names() {
    snapshot!(steps(&[
        ("an unknown thread", "cleint > BC_ENTER_LOOPER"),
        ("a thread of nobody", "worker > BC_ENTER_LOOPER"),
        ("a handle that is not bound", "client > BC_TRANSACTION { handle h }"),
        ("a buffer that is not captured", "client > BC_FREE_BUFFER call"),
        ("a cookie that nobody gave", "client > BC_DEAD_BINDER_DONE grave"),
        ("a buffer as a handle", "client < BR_REPLY as reply\nclient > BC_ACQUIRE reply"),
        ("a buffer captured twice", "client < BR_REPLY as it\nclient < BR_REPLY as it"),
        ("an object called like a thread", "client > BC_REPLY { data [ binder server ] }"),
        ("a reserved name", "client > BC_FREE_BUFFER any"),
        ("a thread that is no process", "client < BR_TRANSACTION { pid clint }"),
        ("a choice of unknown threads", "any of { a | b } as w < BR_OK"),
    ]));
    snapshot!(shown(&[
        ("a process twice", "# Title\nprocess a\nprocess a\na > nothing\n"),
        ("a thread of an unknown process", "# Title\nprocess a\nthread t of b\nt > nothing\n"),
        ("a thread of a thread", "# Title\nprocess a\nthread t of a\nthread u of t\nu > nothing\n"),
    ]));
}

#[test]
fn parked_and_ended_threads() {
    snapshot!(steps(&[
        ("a parked thread writes", "client < parked\nclient > BC_ENTER_LOOPER"),
        ("a parked thread calls", "client >< nothing -> parked\nserver > nothing\nclient ! poll"),
        ("options on a read that goes on", "client < parked\nclient < (read_size 4) parked"),
        ("a step behind the end", "client ! exit\nserver > nothing\nclient > nothing"),
        ("a choice of threads that sleep nowhere", "any of { client | server } as w < BR_OK"),
        (
            "a choice that writes",
            "client < parked\nserver < parked\nany of { client | server } as w > BC_EXIT_LOOPER",
        ),
        (
            "a choice that is parked",
            "client < parked\nserver < parked\nany of { client | server } as w < parked",
        ),
        ("the same thread twice", "client < parked\nany of { client | client } as w < BR_OK"),
    ]));
}

#[test]
fn forked_processes() {
    let script = |steps: &str| format!("{HEAD}process child forked\n{steps}\n");
    let scripts = [
        ("a process that does something before it is there", script("child ! poll\nserver ! fork child")),
        (
            "one that is asked about before",
            script("server < BR_TRANSACTION { pid child }\nserver ! fork child"),
        ),
        ("one that has another thread", script("thread t of child\nserver ! fork child")),
        ("one that is forked twice", script("server ! fork child\nclient ! fork child")),
        ("one that nobody forks", script("server ! poll")),
        ("one that is there anyway", script("server ! fork child\nserver ! fork client")),
        ("one with a user of its own", format!("{HEAD}process child uid 1 forked\nserver ! fork child\n")),
        ("a fork in a race", script("race 2 times { server ! fork child | client > BC_ENTER_LOOPER }")),
    ];
    snapshot!(shown(&scripts.each_ref().map(|(about, source)| (*about, source.as_str()))));
}

#[test]
fn header_lines_and_declarations() {
    snapshot!(shown(&[
        ("an empty file", ""),
        ("only blank lines", "\n\n  \n"),
        ("no title", "process a\na > nothing\n"),
        ("no steps", "# Title\nprocess a\n"),
        ("a clause twice", "# Title\nclause: txn.1, txn.1\nprocess a\na > nothing\n"),
        ("two lines of clauses", "# Title\nclause: txn.1\nclause: txn.2\nprocess a\na > nothing\n"),
        ("clause 0", "# Title\nclause: txn.0\nprocess a\na > nothing\n"),
        ("an unknown feature", "# Title\nrequires freze\nprocess a\na > nothing\n"),
        ("a feature required and not wanted", "# Title\nrequires lsm\nwithout lsm\nprocess a\na > nothing\n"),
        ("no reason", "# Title\nunconfirmed:\nprocess a\na > nothing\n"),
        ("a header line too late", "# Title\nprocess a\nclause: txn.1\na > nothing\n"),
        (
            "a comment between header lines",
            "# Title\nclause: txn.1\n# why\nrequires lsm\nprocess a\na > nothing\n"
        ),
        ("a declaration too late", "# Title\nprocess a\na > nothing\nprocess b\n"),
        ("an unknown word", "# Title\nprocess a contextmanager\na > nothing\n"),
        ("words that contradict each other", "# Title\nprocess a closed nonblock\na > nothing\n"),
        ("a context manager of another user", "# Title\nprocess a context-manager uid 1000\na > nothing\n"),
        (
            "two context managers",
            "# Title\nprocess a context-manager\nprocess b context-manager\na > nothing\n",
        ),
    ]));
}

#[test]
fn files_that_are_no_scripts() {
    let not_text = [
        ("not UTF-8", b"# Title\nprocess \xff\xfe\n".as_slice()),
        ("binary", b"\x7fELF\x02\x01\x01\0\0\0".as_slice()),
        ("a byte order mark", b"\xef\xbb\xbf# Title\nprocess a\na > nothing\n".as_slice()),
        ("an old Macintosh", b"# Title\nprocess a\ra > nothing".as_slice()),
    ];
    let texts = not_text.map(|(about, source)| format!("== {about}\n{}", refused(source)));
    let large = refused(" ".repeat(2_000_000).as_bytes());
    snapshot!(format!("{}\n== large\n{large}", texts.join("\n")));
}

#[test]
fn limits() {
    let many = |count: usize, line: &dyn Fn(usize) -> String| -> String { (0..count).map(line).collect() };
    let processes = many(65, &|index| format!("process p{index}\n"));
    let threads = many(256, &|index| format!("thread t{index} of a\n"));
    let steps = many(10_001, &|_| "client > nothing\n".into());
    let commands = many(4000, &|_| "BC_TRANSACTION { handle 0 },\n".into());
    let payloads = many(3, &|_| "BC_REPLY { data [ zero 4M ] },".into());
    let name = "x".repeat(65);
    snapshot!(shown(&[
        ("processes", &format!("# Title\n{processes}p0 > nothing\n")),
        ("threads", &format!("# Title\nprocess a\n{threads}a > nothing\n")),
        ("steps", &format!("{HEAD}{steps}")),
        ("payloads of a step", &format!("{HEAD}client > {payloads} BC_EXIT_LOOPER\n")),
        ("a name", &format!("# Title\nprocess {name}\n")),
    ]));
    assert!(
        refused(format!("{HEAD}client > {commands}BC_EXIT_LOOPER\n").as_bytes()).contains("262144 bytes")
    );
}

/// Every error is told of in one go, but not what only follows from another.
#[test]
fn several_at_once() {
    snapshot!(steps(&[(
        "four mistakes, one of which hides where `h` is bound",
        "server < BR_TRANSCTION { data [ handle ?h ] } as call\n\
         server > BC_ACQUIRE h, BC_FREE_BUFFER call\n\
         client > BC_TRANSACTION { handle 0, data [ u32 1 }\n\
         client < EAGAIN\n\
         clinet < parked\n\
         client > BC_ENTER_LOOPER",
    )]));
}

#[test]
fn no_more_than_twenty_are_shown() {
    let wrong = parse(format!("{HEAD}{}", "client > BC_X\n".repeat(50)).as_bytes()).unwrap_err();
    assert_eq!(wrong.len(), 50);
    let text = wrong.render("case.drill", false);
    assert_eq!(text.matches("error:").count(), 20);
    assert!(text.ends_with("\n\ncase.drill: 30 more\n"), "{text}");
}

#[test]
fn colours_are_for_terminals_only() {
    let wrong = parse(b"# Title\nprocess a\na > BC_X\n").unwrap_err();
    assert!(wrong.render("case.drill", true).contains('\u{1b}'));
    assert!(!wrong.render("case.drill", false).contains('\u{1b}'));
}

/// A file made to be slow to read is read, or refused, at once.
#[test]
fn hostile_scripts_take_bounded_time() {
    let start = std::time::Instant::now();
    let fill = |unit: &str| unit.repeat(100_000 / unit.len());
    for unit in [
        "{",
        "[ ",
        "any of { ",
        "x",
        "x ",
        "9",
        "\"",
        "\\",
        "# x\n",
        "a < parked\n",
        "(",
        "BC_X,",
        "-",
        "\n",
        "ß",
    ] {
        for head in [HEAD, "# Title\nprocess a\na > ", "# Title\nprocess a\na > BC_REPLY { data [ "] {
            if let Err(wrong) = parse(format!("{head}{}", fill(unit)).as_bytes()) {
                let shown = wrong.render("case.drill", false);
                assert!(shown.len() < 100_000, "{} bytes shown of {unit:?}", shown.len());
            }
        }
    }
    assert!(start.elapsed().as_secs() < 60, "it took {:?}", start.elapsed());
}

#[test]
fn warnings() {
    let script = format!(
        "{HEAD}process idle\nthread lazy of client\n\
         client < any of {{ BR_OK | BR_OK }}\n\
         client < BR_TRANSACTION {{ data [ handle ?h ] }} as call\n\
         client > BC_TRANSACTION_SG {{ handle 0 }}, BC_TRANSACTION_SG {{ handle 0 }}\n\
         client ! count payload_copies = 1\n"
    );
    let script = parse(script.as_bytes()).unwrap();
    snapshot!(lint(&script).render("case.drill", false));
}

/// However deep they are: what reads them would need as much stack.
#[test]
fn buffers_within_buffers_are_refused_at_the_second_one() {
    let nested = "[ ptr ".repeat(10_000);
    let text = format!("# A title.\n\nprocess client\n\nclient > BC_TRANSACTION {{ handle 0, data {nested}");
    let said = parse(text.as_bytes()).unwrap_err().render("nested.drill", false);
    assert!(said.contains("an object within a buffer") && said.contains("nested.drill:5:"), "{said}");
}
