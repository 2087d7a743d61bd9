//! How a run ends: verdicts, and what a BINDER_WRITE_READ may come back with.

use reference_driver::uapi::*;

use super::fake::{FakeWorlds, Reply, noop_and, plain, with};
use super::{difference, run_on, run_script};
use crate::engine::{Interrupted, Rehearsal, SetUpError, Verdict, run};
use crate::program::{Moment, Program};
use crate::script::parse;
use crate::target::{TargetError, ThreadIndex};

const CLIENT: &str = "process client\n\n";

fn run_client(step: &str, reply: Reply) -> crate::engine::Run {
    run_script(&format!("{CLIENT}client  {step}\n"), vec![reply])
}

#[test]
fn a_read_opens_with_noop_or_spawn_looper() {
    let run = run_client("< BR_DEAD_REPLY", Reply::returns(plain(BR_DEAD_REPLY)));
    assert_eq!(difference(&run), "the read does not open with BR_NOOP");
    let run = run_client("< nothing", Reply::returns(Vec::new()));
    assert_eq!(difference(&run), "the read does not open with BR_NOOP");
    let spawn = || Reply::returns([plain(BR_SPAWN_LOOPER), plain(BR_DEAD_REPLY)].concat());
    assert_eq!(run_client("< BR_SPAWN_LOOPER, BR_DEAD_REPLY", spawn()).verdict, Verdict::Pass);
    assert_eq!(
        difference(&run_client("< BR_DEAD_REPLY", spawn())),
        "BR_SPAWN_LOOPER came, not BR_DEAD_REPLY"
    );
}

#[test]
fn what_no_driver_may_do_cannot_be_rehearsed() {
    let rehearse = |step: &str, reply| {
        let script = parse(format!("# A test.\nclause: test.1\n\n{CLIENT}{step}").as_bytes()).unwrap();
        let mut worlds = FakeWorlds::new(vec![reply]);
        let mut rehearsal = Rehearsal::begin(&script.program, &mut worlds).unwrap();
        let Moment::Step(step) = script.program.steps[0].value.clone() else { panic!("{script:?}") };
        let mut action = step.action;
        rehearsal.perform(ThreadIndex { process: 0, thread: 0 }, &mut action)
    };
    let complete = plain(BR_TRANSACTION_COMPLETE);
    let cut_off = noop_and(&[plain(BR_TRANSACTION)]);
    for (step, reply, why) in [
        ("client  < nothing\n", Reply::returns(complete.clone()), "open with BR_NOOP"),
        ("client  < nothing\n", Reply::returns(cut_off), "cut off"),
        ("client  > BC_ENTER_LOOPER\n", Reply::parks(), "sleeps"),
    ] {
        match rehearse(step, reply) {
            Err(Interrupted::Malformed(told)) => assert!(told.contains(why), "{told}"),
            other => panic!("{step}: {other:?}"),
        }
    }
    assert_eq!(rehearse("client  < nothing\n", Reply::returns(noop_and(&[complete]))), Ok(()));
}

#[test]
fn what_a_request_tells_is_compared_field_by_field() {
    let untouched = |expected: &str| {
        let call = "! BINDER_GET_FROZEN_INFO { pid client }";
        run_script(&format!("{CLIENT}client  {call}{expected}\n"), Vec::new())
    };
    assert_eq!(untouched("").verdict, Verdict::Pass);
    let all = untouched(" = { sync_recv 4294967295, async_recv 4294967295 }");
    assert_eq!(all.verdict, Verdict::Pass);
    assert_eq!(
        difference(&untouched(" = { sync_recv 1, async_recv 4294967295 }")),
        "it told { sync_recv 4294967295, async_recv 4294967295 }, where it must be { sync_recv 1, async_recv 4294967295 }"
    );
    assert_eq!(
        difference(&untouched(" = EINVAL")),
        "it told { sync_recv 4294967295, async_recv 4294967295 }, where it must be EINVAL"
    );
}

#[test]
fn a_call_that_does_not_sleep_is_not_parked() {
    let run =
        run_script(&format!("{CLIENT}client  ! BINDER_FREEZE {{ pid 7, enable 1 }} = parked\n"), Vec::new());
    assert_eq!(difference(&run), "it succeeded, where it must be parked");
}

#[test]
fn nothing_is_a_noop_alone() {
    assert_eq!(run_client("< nothing", Reply::returns(noop_and(&[]))).verdict, Verdict::Pass);
    let two = Reply::returns(noop_and(&[plain(BR_NOOP)]));
    assert_eq!(difference(&run_client("< nothing", two)), "BR_NOOP came besides");
    assert_eq!(run_client("< (read_size 0) nothing", Reply::written()).verdict, Verdict::Pass);
}

#[test]
fn returns_that_cannot_be_decoded_are_a_deviation() {
    let cut_off = noop_and(&[plain(BR_DEAD_REPLY), with(BR_ERROR, -1_i32)[..6].to_vec()]);
    let run = run_client("< BR_DEAD_REPLY", Reply::returns(cut_off));
    assert_eq!(
        difference(&run),
        "the returns are cut off at byte 8: 6 bytes are left where BR_ERROR takes 8"
    );
    let unknown = noop_and(&[plain(0x1234)]);
    let run = run_client("< nothing", Reply::returns(unknown));
    assert_eq!(difference(&run), "the returns hold 0x1234 at byte 4, which is no code of the protocol");
}

#[test]
fn a_write_must_succeed_and_consume_everything() {
    let step = "> BC_ENTER_LOOPER, BC_EXIT_LOOPER";
    assert_eq!(run_client(step, Reply::written()).verdict, Verdict::Pass);
    let half = Reply { write_consumed: Some(4), ..Reply::default() };
    assert_eq!(difference(&run_client(step, half)), "write_consumed is 4, not 8");
    assert_eq!(
        difference(&run_client(step, Reply::fails(Errno::EINVAL, 4))),
        "it failed with EINVAL, with 4 of 8 bytes of commands consumed"
    );
    assert_eq!(
        difference(&run_client(step, Reply::fails(Errno::EINVAL, 8))),
        "it failed with EINVAL, with 8 of 8 bytes of commands consumed"
    );
}

#[test]
fn a_write_that_must_fail_must_fail_so() {
    let step = "> BC_ENTER_LOOPER, BC_EXIT_LOOPER = EINVAL consumed 4";
    assert_eq!(run_client(step, Reply::fails(Errno::EINVAL, 4)).verdict, Verdict::Pass);
    assert_eq!(difference(&run_client(step, Reply::fails(Errno::EINVAL, 8))), "write_consumed is 8, not 4");
    assert_eq!(
        difference(&run_client(step, Reply::fails(Errno::EFAULT, 4))),
        "the error is EFAULT, not EINVAL"
    );
    assert_eq!(
        difference(&run_client(step, Reply::written())),
        "the write succeeded, where it must fail with EINVAL"
    );
}

#[test]
fn a_read_that_fails_is_matched() {
    let again = || Reply { errno: Some(Errno::EAGAIN), ..Reply::default() };
    assert_eq!(run_client("< = EAGAIN", again()).verdict, Verdict::Pass);
    assert_eq!(difference(&run_client("< nothing", again())), "the read failed with EAGAIN");
    assert_eq!(difference(&run_client("< = EFAULT", again())), "the error is EAGAIN, not EFAULT");
    assert_eq!(difference(&run_client("< = EAGAIN consumed 4", again())), "read_consumed is 0, not 4");
}

#[test]
fn other_calls_are_matched() {
    let script = format!("{CLIENT}client  ! BINDER_VERSION = 8\nclient  ! poll = 0\nclient  ! munmap\n");
    assert_eq!(run_script(&script, Vec::new()).verdict, Verdict::Pass);
    let differs = |call: &str| {
        let run = run_script(&format!("{CLIENT}client  ! {call}\n"), Vec::new());
        difference(&run).to_owned()
    };
    assert_eq!(differs("BINDER_VERSION = 7"), "it gave 8, where it must be 7");
    assert_eq!(differs("BINDER_SET_IDLE_TIMEOUT 0"), "it failed with EINVAL, where it must be success");
    assert_eq!(differs("munmap = EINVAL"), "it succeeded, where it must be EINVAL");
    assert_eq!(differs("poll = POLLIN"), "it gave 0, where it must be POLLIN");
}

#[test]
fn a_set_up_that_fails_is_no_pass() {
    let mut target = FakeWorlds::new(Vec::new());
    target.open_fails = Some(Errno::ENODEV);
    let run = run_on(&format!("{CLIENT}client  ! poll = 0\n"), &mut target);
    let reason = "setting up process client: open failed with ENODEV".to_owned();
    assert_eq!(run.verdict, Verdict::Broken { reason });
}

#[test]
fn what_a_target_lacks_is_skipped() {
    let script = format!("{CLIENT}client  ! count nodes = 3\nclient  ! count deaths = 0\n");
    let run = run_script(&script, Vec::new());
    assert_eq!(run.verdict, Verdict::Skip { reason: "the fake does not count deaths".to_owned() });
    assert_eq!(run.transcript.steps.len(), 1);

    let other = Program { driver: Some(crate::program::DriverKind::Rust), ..Program::default() };
    let run = crate::engine::run(&other, &mut FakeWorlds::new(Vec::new())).unwrap();
    assert_eq!(run.verdict, Verdict::OtherDriver { driver: crate::program::DriverKind::Rust });
    let requires = Program { requires: vec![crate::program::Feature::Lsm], ..Program::default() };
    let run = crate::engine::run(&requires, &mut FakeWorlds::new(Vec::new())).unwrap();
    assert_eq!(run.verdict, Verdict::Skip { reason: "the fake has no security module".to_owned() });
    let without = Program { without: vec![crate::program::Feature::Freeze], ..Program::default() };
    let run = crate::engine::run(&without, &mut FakeWorlds::new(Vec::new())).unwrap();
    assert_eq!(
        run.verdict,
        Verdict::Skip { reason: "the script is about drivers without freeze".to_owned() }
    );
}

#[test]
fn a_target_without_its_set_up_ends_everything() {
    let mut target = FakeWorlds::new(Vec::new());
    target.refuses = Some(TargetError::SetUp("there is no /dev/binder".to_owned()));
    let error = run(&Program::default(), &mut target).unwrap_err();
    assert_eq!(error, SetUpError("there is no /dev/binder".to_owned()));
}

#[test]
fn what_the_driver_complains_of_at_the_end_is_a_deviation() {
    let mut target = FakeWorlds::new(Vec::new());
    target.closing.left = vec!["one node is left".to_owned()];
    let run = run_on(&format!("{CLIENT}client  ! poll = 0\n"), &mut target);
    assert_eq!(difference(&run), "one node is left");
    assert_eq!(run.transcript.complaints, ["one node is left"]);
}

#[test]
fn what_the_kernel_complains_of_is_a_deviation_whatever_else_came() {
    let complains = |script: &str| {
        let mut target = FakeWorlds::new(Vec::new());
        target.closing.complaints = vec!["BUG: KASAN: slab-use-after-free".to_owned()];
        run_on(&format!("{CLIENT}{script}"), &mut target)
    };
    let passed = complains("client  ! poll = 0\n");
    assert_eq!(difference(&passed), "the kernel complains: BUG: KASAN: slab-use-after-free");
    let deviates = complains("client  ! poll = POLLIN\n");
    let Verdict::Fail(deviation) = &deviates.verdict else { panic!("{deviates:?}") };
    assert_eq!(deviation.step, Some(0));
    assert!(
        deviation.came.ends_with("\nthe kernel complains: BUG: KASAN: slab-use-after-free"),
        "{deviation:?}"
    );
    let lacks = complains("client  ! count threads = 0\n");
    assert!(difference(&lacks).starts_with("the kernel complains"), "{lacks:?}");
}
