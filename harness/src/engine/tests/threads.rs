//! Threads that are parked, woken, awaited or forgotten.

use reference_driver::uapi::*;

use super::fake::{Reply, noop_and, plain};
use super::{difference, run_script};
use crate::engine::{Run, StepOutcome, Verdict};
use crate::target::ThreadIndex;

const POOL: &str =
    "process client\nprocess server context-manager\nthread w1 of server\nthread w2 of server\n\n";
const W1: ThreadIndex = ThreadIndex { process: 1, thread: 1 };
const W2: ThreadIndex = ThreadIndex { process: 1, thread: 2 };
const PARK_BOTH: &str = "w1  < parked\nw2  < parked\nclient  > BC_ENTER_LOOPER\n";

fn with_pool(rest: &str, mut last: Reply, woken: &[ThreadIndex]) -> Run {
    for thread in woken {
        last = last.wakes(*thread, noop_and(&[plain(BR_TRANSACTION_COMPLETE)]));
    }
    run_script(&format!("{POOL}{PARK_BOTH}{rest}"), vec![Reply::parks(), Reply::parks(), last])
}

#[test]
fn a_thread_that_stays_parked_is_fine() {
    assert_eq!(with_pool("", Reply::written(), &[]).verdict, Verdict::Pass);
    assert_eq!(with_pool("w1  < parked\n", Reply::written(), &[]).verdict, Verdict::Pass);
}

#[test]
fn a_return_that_nothing_awaits_is_a_deviation() {
    let run = with_pool("", Reply::written(), &[W2]);
    assert_eq!(
        difference(&run),
        "w2's read returned BR_TRANSACTION_COMPLETE, and nothing in the script awaits it"
    );
    assert_eq!(run.transcript.steps[2].woke, ["w2"]);
}

#[test]
fn a_later_read_collects_what_woke_a_thread() {
    let run = with_pool("w2  < BR_TRANSACTION_COMPLETE\n", Reply::written(), &[W2]);
    assert_eq!(run.verdict, Verdict::Pass);
    let StepOutcome::WriteRead(record) = &run.transcript.steps[3].outcome else { panic!("no read") };
    assert_eq!(record.returns[0].script, "BR_TRANSACTION_COMPLETE");
}

#[test]
fn whichever_thread_was_woken_is_called_by_the_new_name() {
    let rest = "any of { w1 | w2 } as w  < BR_TRANSACTION_COMPLETE\n";
    let one = with_pool(rest, Reply::written(), &[W1]);
    let other = with_pool(rest, Reply::written(), &[W2]);
    assert_eq!(one.verdict, Verdict::Pass);
    assert_eq!(one.transcript.steps[2].woke, ["w"]);
    // Which one it was is the driver's choice, and nothing that transcripts differ in.
    assert_eq!(one.transcript, other.transcript);
}

#[test]
fn exactly_one_thread_must_be_woken() {
    let rest = "any of { w1 | w2 } as w  < BR_TRANSACTION_COMPLETE\n";
    assert_eq!(difference(&with_pool(rest, Reply::written(), &[])), "0 of 2 threads were woken, not 1");
    assert_eq!(difference(&with_pool(rest, Reply::written(), &[W1, W2])), "2 of 2 threads were woken, not 1");
}

#[test]
fn a_read_that_parks_where_it_must_return_is_a_deviation_at_once() {
    let run = run_script("process client\n\nclient  < BR_TRANSACTION_COMPLETE\n", vec![Reply::parks()]);
    assert_eq!(difference(&run), "it is parked, where BR_TRANSACTION_COMPLETE was expected");
    let run = with_pool("w1  < BR_DEAD_REPLY\n", Reply::written(), &[]);
    assert_eq!(difference(&run), "it is parked, where BR_DEAD_REPLY was expected");
    let run = run_script("process client\n\nclient  > BC_ENTER_LOOPER\n", vec![Reply::parks()]);
    assert_eq!(difference(&run), "it is parked, and a write must return");
}

#[test]
fn a_read_that_returns_where_it_must_park_is_a_deviation() {
    let reply = Reply::returns(noop_and(&[plain(BR_DEAD_REPLY)]));
    let run = run_script("process client\n\nclient  < parked\n", vec![reply]);
    assert_eq!(difference(&run), "the read returned, where it must be parked");
    let Verdict::Fail(deviation) = &run.verdict else { panic!("no deviation") };
    assert_eq!((deviation.expected.as_str(), deviation.came.as_str()), ("parked", "BR_DEAD_REPLY"));
}

#[test]
fn a_choice_between_parking_and_returning_is_one() {
    let script = "process client\n\nclient  < any of { parked | BR_DEAD_REPLY }\n";
    assert_eq!(run_script(script, vec![Reply::parks()]).verdict, Verdict::Pass);
    let dead = || noop_and(&[plain(BR_DEAD_REPLY)]);
    assert_eq!(run_script(script, vec![Reply::returns(dead())]).verdict, Verdict::Pass);
    let run = run_script(script, vec![Reply::returns(noop_and(&[]))]);
    assert_eq!(
        difference(&run),
        "none of the choices fits; of the first, the read returned, where it must be parked"
    );
}

#[test]
fn what_was_written_before_parking_is_judged_when_the_read_ends() {
    let script = "process server context-manager\nprocess client\n\n\
                  client  >< BC_ENTER_LOOPER -> parked\n\
                  server  > BC_ENTER_LOOPER\n\
                  client  < BR_DEAD_REPLY\n";
    let client = ThreadIndex { process: 1, thread: 0 };
    let wakes = Reply::written().wakes(client, noop_and(&[plain(BR_DEAD_REPLY)]));
    assert_eq!(run_script(script, vec![Reply::parks(), wakes]).verdict, Verdict::Pass);
}

#[test]
fn threads_of_a_process_that_ends_are_not_waited_for() {
    let script = format!("{POOL}w1  < parked\nw2  ! exit\nclient  ! poll = 0\n");
    assert_eq!(run_script(&script, vec![Reply::parks()]).verdict, Verdict::Pass);
}

#[test]
fn a_thread_in_a_read_can_do_nothing_else() {
    let script = "process server context-manager\nprocess client\n\n\
                  client  < any of { parked | BR_DEAD_REPLY }\n\
                  server  > BC_ENTER_LOOPER\n\
                  client  > BC_ENTER_LOOPER\n";
    let client = ThreadIndex { process: 1, thread: 0 };
    let wakes = Reply::written().wakes(client, noop_and(&[plain(BR_DEAD_REPLY)]));
    let run = run_script(script, vec![Reply::parks(), wakes]);
    assert_eq!(difference(&run), "client's read returned BR_DEAD_REPLY, and nothing in the script awaits it");
    let Verdict::Fail(deviation) = &run.verdict else { panic!("no deviation") };
    assert_eq!(deviation.step, Some(2));

    let run = run_script(script, vec![Reply::parks(), Reply::written()]);
    let Verdict::Broken { reason } = run.verdict else { panic!("{:?}", run.verdict) };
    assert!(reason.starts_with("the script is wrong: client is parked, so"), "{reason}");
}
