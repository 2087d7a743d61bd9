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
    insta::assert_snapshot!(canonical(
        r#"# A caller is parked until its call is answered.
# It is the driver that says who calls.

clause: txn.3, txn.7, identity.1
requires lsm

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
    ));
}
