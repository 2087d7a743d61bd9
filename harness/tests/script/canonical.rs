//! The canonical form: what `print` makes of scripts that are written more freely.

use binderdrill::script::{parse, print};

/// The canonical form of a script, which must be the canonical form of itself, too.
fn canonical(source: &str) -> String {
    let script = parse(source.as_bytes()).unwrap();
    let text = print(&script.program);
    let again = parse(text.as_bytes()).unwrap();
    assert_eq!(again.program, script.program);
    assert_eq!(print(&again.program), text);
    text
}

#[test]
fn a_call() {
    insta::with_settings!({ omit_expression => true }, {
    insta::assert_snapshot!(canonical(
        r#"# A caller is parked until its call is answered.
# It is the driver that says who calls.

clause: txn.3, txn.7, identity.1
requires lsm
without pending_frozen

process server context-manager
process client mmap 1024K uid 10_123
thread worker of client

server > BC_ENTER_LOOPER
server < parked
client > BC_TRANSACTION { code 7, handle 0, data [ u32 42, str16 "ping" ] }
client   <   parked       # completion is deferred until the reply


# The server has been woken.
server < BR_TRANSACTION { code 7, pid client, euid 10123, data [ u32 42, str16 "ping" ] } as call
server > BC_FREE_BUFFER call, BC_REPLY { data [ u32 0 ] }
server < BR_TRANSACTION_COMPLETE
client < BR_TRANSACTION_COMPLETE, BR_REPLY { data [
    u32 0,
] } as reply
client > BC_FREE_BUFFER reply,
  BC_EXIT_LOOPER

# The end.
"#
    ))
    });
}

#[test]
fn long_statements() {
    let bytes = "5a ".repeat(60);
    insta::with_settings!({ omit_expression => true }, {
        insta::assert_snapshot!(canonical(&format!(
            r#"# Where statements are broken.
clause: a.1, a.2, a.3, a.4, a.5, a.6, a.7, a.8, a.9, a.10, a.11, a.12, a.13, a.14, a.15, a.16, a.17, a.18, a.19, a.20
process server
server > BC_ENTER_LOOPER, BC_EXIT_LOOPER, BC_ENTER_LOOPER, BC_EXIT_LOOPER, BC_ENTER_LOOPER, BC_EXIT_LOOPER, BC_REPLY
server > bytes {bytes}
server > BC_ENTER_LOOPER, BC_REPLY {{ code 1, data [ u32 1, bytes {bytes}, u32 2 ], offsets [ 0, 24, 48 ], sender_pid 1 }}
server > BC_TRANSACTION {{ handle 0, data [ object {{ type BINDER_TYPE_PTR, flags 0, binder 0x1000, cookie 0x0 }} ], buffer 1 }}
server >< BC_TRANSACTION {{ handle 0, code 1, data [ u32 1 ] }} -> in any order {{ BR_TRANSACTION_COMPLETE | BR_TRANSACTION {{ code 2 }} as call }}
server < any of {{ BR_TRANSACTION_COMPLETE, BR_REPLY {{ data [ u32 1 ] }} | BR_TRANSACTION_COMPLETE, BR_REPLY {{ data [ u32 2 ] }} }}
server < any of {{ BR_REPLY as one | BR_TRANSACTION as one }}
"#
        )))
    });
}

#[test]
fn comments_and_blank_lines() {
    insta::with_settings!({ omit_expression => true }, {
        insta::assert_snapshot!(canonical(
            "\r\n#Title\r\n#\r\n#   indented\r\n\r\n\r\n# before a process\r\n\r\nprocess a #of its own\r\n\
             a > nothing # why\r\n\r\n\r\n# between\r\na > nothing\r\n\r\n# at the end\r\n\r\n"
        ))
    });
}

#[test]
fn a_race() {
    insta::with_settings!({ omit_expression => true }, {
        insta::assert_snapshot!(canonical(
            "# Title\nprocess server\nprocess a\n\nserver > nothing\n# before\n\
             race 0x10 times seed 0 { a ! poll = POLLIN | POLLERR | server > nothing } # behind\n"
        ))
    });
    let text = "# Title\n\nprocess race\nprocess a\n\n\
                race 2 times seed 7 {\n  race  ! poll = POLLIN | POLLERR\n| a     > nothing\n}\nrace  ! poll = 0\n";
    assert_eq!(canonical(text), text);
}

/// Each way to write a number comes to the same.
#[test]
fn numbers() {
    let written = |size: &str| canonical(&format!("# Title\nprocess a\na ! mmap {size}\n"));
    for size in ["4194304", "0x400000", "4M", "4096K", "4_194_304", "0x40_0000"] {
        assert_eq!(written(size), "# Title\n\nprocess a\n\na  ! mmap 4M\n");
    }
}
