use std::panic::catch_unwind;

use arbitrary::Unstructured;
use reference_driver::Bug;

use super::*;
use crate::generate::{Emphasis, bytes_of_seed, generate, settle};
use crate::program::DriverKind;

/// A history that no driver made: a script whose expectations are the doctor's.
fn doctored(steps: &str) -> Program {
    let text = format!(
        "# A doctored history.\n\nprocess manager context-manager\nprocess app\nthread app-2 of app\n\n{steps}"
    );
    parse(text.as_bytes()).unwrap_or_else(|wrong| panic!("{}", wrong.render("doctored", false))).program
}

/// What the laws and the count say of a history.
fn verdict(steps: &str) -> Result<(), Violation> {
    let program = doctored(steps);
    let history = History::of(&program);
    laws_hold(&history)?;
    counting::check(&history)
}

const CALL: &str = "\
app  > BC_TRANSACTION { handle 0, code 1 }
manager  < BR_TRANSACTION { target { ptr 0x0, cookie 0x0 }, code 1, pid app } as call
manager  >< BC_REPLY { code 2 } -> BR_TRANSACTION_COMPLETE
app  < BR_TRANSACTION_COMPLETE, BR_REPLY { code 2 } as reply
";

/// The manager gets a handle to an object of the application.
const OBJECT: &str = "\
app  >< BC_TRANSACTION { handle 0, code 1, flags TF_ONE_WAY, data [ binder foo ] } -> BR_INCREFS foo, BR_ACQUIRE foo, BR_TRANSACTION_COMPLETE
manager  < BR_TRANSACTION { target { ptr 0x0, cookie 0x0 }, code 1, flags TF_ONE_WAY, data [ handle ?h ] } as message
app  > BC_INCREFS_DONE foo, BC_ACQUIRE_DONE foo
";

#[test]
fn what_is_right_is_right() {
    assert_eq!(verdict(CALL), Ok(()));
    assert_eq!(
        verdict(&format!(
            "{OBJECT}app < parked\nmanager  > BC_FREE_BUFFER message\napp  < BR_RELEASE foo, BR_DECREFS foo\n"
        )),
        Ok(())
    );
    let counted = coverage(&doctored(OBJECT));
    assert_eq!(counted.counted, counted.events);
}

#[test]
fn an_answer_to_nothing_is_noticed() {
    let twice = format!("{CALL}app  < BR_REPLY {{ code 2 }}\n");
    assert!(
        matches!(verdict(&twice), Err(Violation::AnswerToNothing { step: 4, .. })),
        "{:?}",
        verdict(&twice)
    );
}

#[test]
fn a_call_that_has_failed_is_not_answered() {
    let text = "\
app  > BC_TRANSACTION { handle 0, code 5, flags TF_ONE_WAY }, BC_TRANSACTION { handle 0, code 1 }
manager  < BR_TRANSACTION { code 5, flags TF_ONE_WAY }
manager  < BR_TRANSACTION { code 1, pid app }
manager  >< BC_REPLY { code 2 } -> BR_TRANSACTION_COMPLETE
app  < BR_TRANSACTION_COMPLETE, BR_TRANSACTION_COMPLETE, BR_DEAD_REPLY, BR_REPLY { code 2 }
";
    assert!(matches!(verdict(text), Err(Violation::AnswerToNothing { step: 4, .. })), "{:?}", verdict(text));
    assert_eq!(verdict(&text.replace("BR_DEAD_REPLY, ", "")), Ok(()));
    assert_eq!(verdict(&text.replace(", BR_REPLY { code 2 }", "")), Ok(()));
}

#[test]
fn what_a_thread_was_not_told_goes_with_it() {
    let text = "\
app  > BC_TRANSACTION { handle 0, code 5, flags TF_ONE_WAY }
app  ! BINDER_THREAD_EXIT
app  > BC_TRANSACTION { handle 0, code 1 }
manager  < BR_TRANSACTION { code 1, pid app }
manager  >< BC_REPLY { code 2 } -> BR_TRANSACTION_COMPLETE
app  < BR_TRANSACTION_COMPLETE, BR_REPLY { code 2 }
";
    assert_eq!(verdict(text), Ok(()));
}

#[test]
fn what_arrives_twice_is_noticed() {
    let twice = format!("{CALL}manager  < BR_TRANSACTION {{ code 1, pid app }}\n");
    assert_eq!(verdict(&twice), Err(Violation::ArrivedTwice { step: 4, code: 1 }));
}

const MESSAGES: &str = "\
app  > BC_TRANSACTION { handle 0, code 1, flags TF_ONE_WAY }, BC_TRANSACTION { handle 0, code 2, flags TF_ONE_WAY }
";

#[test]
fn a_message_that_overtakes_is_noticed() {
    let wrong = format!(
        "{MESSAGES}\
        manager  < BR_TRANSACTION {{ target {{ ptr 0x0, cookie 0x0 }}, code 2, flags TF_ONE_WAY }} as b\n\
        manager  > BC_FREE_BUFFER b\n\
        manager  < BR_TRANSACTION {{ target {{ ptr 0x0, cookie 0x0 }}, code 1, flags TF_ONE_WAY }}\n"
    );
    assert_eq!(verdict(&wrong), Err(Violation::Overtaken { step: 3, code: 2, overtaken: 1 }));
}

#[test]
fn a_message_that_is_not_held_back_is_noticed() {
    let wrong = format!(
        "{MESSAGES}\
        manager  < BR_TRANSACTION {{ target {{ ptr 0x0, cookie 0x0 }}, code 1, flags TF_ONE_WAY }} as b\n\
        manager  < BR_TRANSACTION {{ target {{ ptr 0x0, cookie 0x0 }}, code 2, flags TF_ONE_WAY }}\n"
    );
    assert_eq!(verdict(&wrong), Err(Violation::NotHeldBack { step: 2, code: 2, held: "b".to_owned() }));
}

#[test]
fn an_owner_that_is_told_twice_is_noticed() {
    let wrong = format!("{OBJECT}app-2  < BR_ACQUIRE foo\n");
    let told = Violation::ToldTwice { step: 3, told: "BR_ACQUIRE", node: "foo".to_owned() };
    assert_eq!(verdict(&wrong), Err(told));
    // In Rust it can be another object of that pointer.
    let program = Program { driver: Some(DriverKind::Rust), ..doctored(&wrong) };
    assert_eq!(laws_hold(&History::of(&program)), Ok(()));
}

#[test]
fn each_opening_of_a_device_has_nodes_of_its_own() {
    let again = "app-2  ! open\n\
        app-2  >< BC_TRANSACTION { handle 0, code 3, flags TF_ONE_WAY, data [ binder foo ] } -> BR_INCREFS foo, BR_ACQUIRE foo, BR_TRANSACTION_COMPLETE\n";
    let told_late = "app  < BR_INCREFS foo, BR_ACQUIRE foo, BR_TRANSACTION_COMPLETE\n";
    let parked = "app  >< BC_TRANSACTION { handle 0, code 1, flags TF_ONE_WAY, data [ binder foo ] } -> parked\n\
        app-2  ! close\n";
    for steps in [format!("{parked}{told_late}{again}"), format!("{parked}{again}{told_late}")] {
        assert_eq!(verdict(&steps), Ok(()), "{steps}");
    }
    let passed_on = format!("{parked}app-2  ! open\napp-2  ! dup shared\napp-2  ! use shared\n");
    let twice =
        format!("{passed_on}{again}{again}{told_late}").replace("app-2  ! open\napp-2  >", "app-2  >");
    assert!(matches!(verdict(&twice), Err(Violation::ToldTwice { step: 6, .. })), "{:?}", verdict(&twice));
}

#[test]
fn who_shares_an_opening_spells_out_what_others_name() {
    let told = "app  >< BC_TRANSACTION { handle 0, code 1, flags TF_ONE_WAY, data [ weak_binder foo ] } ->\
        BR_INCREFS foo, BR_TRANSACTION_COMPLETE\n";
    let spelt = "BR_DECREFS { ptr foo, cookie foo }";
    let given_up = format!("{told}manager  ! exit\napp-2  < {spelt}\n");
    assert_eq!(verdict(&given_up), Ok(()));
    let twice = format!("{given_up}app-2  < {spelt}\n");
    assert!(matches!(verdict(&twice), Err(Violation::ToldTwice { step: 3, .. })), "{:?}", verdict(&twice));
}

/// The manager has let go of an object that a forked process has sent, and which process is told of it is open.
const LET_GO_AFTER_A_FORK: &str = "\
app  ! fork child
child  >< BC_TRANSACTION { handle 0, code 1, flags TF_ONE_WAY, data [ binder foo ] } -> BR_INCREFS foo, BR_ACQUIRE foo, BR_TRANSACTION_COMPLETE
manager  < BR_TRANSACTION { target { ptr 0x0, cookie 0x0 }, code 1, flags TF_ONE_WAY, data [ handle ?h ] } as message
child  > BC_INCREFS_DONE foo, BC_ACQUIRE_DONE foo
manager  > BC_FREE_BUFFER message
";

#[test]
fn who_shares_an_opening_is_told_for_all() {
    let with_child = |steps: &str| {
        let text = format!(
            "# A doctored history.\n\nprocess manager context-manager\nprocess app\nprocess child forked\n\n\
            {LET_GO_AFTER_A_FORK}{steps}"
        );
        parse(text.as_bytes()).unwrap_or_else(|wrong| panic!("{}", wrong.render("doctored", false))).program
    };
    let told = with_child(
        "app  < BR_RELEASE { ptr foo, cookie foo }, BR_DECREFS { ptr foo, cookie foo }\nchild  < parked\n",
    );
    assert_eq!(counting::check(&History::of(&told)), Ok(()));
    let counted = coverage(&told);
    assert_eq!(counted.counted, counted.events);
    let untold = counting::check(&History::of(&with_child("app  < parked\n")));
    assert!(matches!(untold, Err(Violation::NeverTold { step: 5, owed: "BR_RELEASE", .. })), "{untold:?}");
}

#[test]
fn what_comes_of_another_opening_says_nothing_of_what_was_sent_by_this_one() {
    // The message to nobody is refused, and is not what was accepted of the other device.
    let program = doctored(&format!(
        "{OBJECT}\
        app  > BC_TRANSACTION {{ handle 7, code 2 }}\n\
        app  ! open\n\
        app  >< BC_TRANSACTION {{ handle 0, code 3, flags TF_ONE_WAY }} -> BR_TRANSACTION_COMPLETE\n"
    ));
    let history = History::of(&program);
    let sent = |code| {
        let is_it = |event: &history::Event<'_>| match event.what {
            history::Happening::Command(command) => {
                command.sent().is_some_and(|(transaction, _)| transaction.code == code)
            }
            _ => false,
        };
        fates::fates(&history)[history.events.iter().position(is_it).expect("it was sent")]
    };
    assert_eq!(sent(2), None);
    assert_eq!(sent(3), Some(fates::Fate::Accepted));
}

#[test]
fn a_death_that_nobody_asked_for_is_noticed() {
    let wrong = format!(
        "{OBJECT}manager  > BC_REQUEST_DEATH_NOTIFICATION h grave\nmanager  < BR_DEAD_BINDER grave\n\
        manager  < BR_DEAD_BINDER grave\n"
    );
    let told = Violation::NotAskedFor { step: 5, told: "BR_DEAD_BINDER", cookie: "grave".to_owned() };
    assert_eq!(verdict(&wrong), Err(told));
}

/// The manager asks to be told of the application's death, or of its freezes.
fn asking(command: &str) -> String {
    format!("{OBJECT}manager  > {command} h grave\n")
}

#[test]
fn a_death_that_is_told_after_its_clearing_is_noticed() {
    let cleared = format!(
        "{}manager  >< BC_CLEAR_DEATH_NOTIFICATION h grave -> BR_CLEAR_DEATH_NOTIFICATION_DONE grave\n",
        asking("BC_REQUEST_DEATH_NOTIFICATION")
    );
    assert_eq!(verdict(&cleared), Ok(()));
    let told =
        |step| Err(Violation::NotAskedFor { step, told: "BR_DEAD_BINDER", cookie: "grave".to_owned() });
    let dead = "manager  < BR_DEAD_BINDER grave\n";
    assert_eq!(verdict(&format!("{cleared}{dead}")), told(5));
    let again = format!("{cleared}manager  > BC_REQUEST_DEATH_NOTIFICATION h grave\n{dead}");
    assert_eq!(verdict(&again), Ok(()));
    assert_eq!(verdict(&format!("{again}{dead}")), told(7));
}

#[test]
fn a_death_that_waits_to_be_read_is_told_before_its_clearing() {
    let told = format!(
        "{}manager  >< BC_CLEAR_DEATH_NOTIFICATION h grave -> BR_DEAD_BINDER grave\n\
        manager  >< BC_DEAD_BINDER_DONE grave -> BR_CLEAR_DEATH_NOTIFICATION_DONE grave\n",
        asking("BC_REQUEST_DEATH_NOTIFICATION")
    );
    assert_eq!(verdict(&told), Ok(()));
    let cleared = verdict(&format!("{told}manager  < BR_CLEAR_DEATH_NOTIFICATION_DONE grave\n"));
    assert!(matches!(cleared, Err(Violation::NotAskedFor { step: 6, .. })), "{cleared:?}");
}

#[test]
fn a_death_may_be_told_before_its_clearing_and_read_of_later() {
    // The manager has a second thread here, which sleeps.
    let steps = |parked: &str| {
        let steps = format!(
            "{}{parked}manager  >< BC_CLEAR_DEATH_NOTIFICATION h grave, BC_DEAD_BINDER_DONE grave -> \
            BR_CLEAR_DEATH_NOTIFICATION_DONE grave\n\
            manager-2  < BR_DEAD_BINDER grave\n",
            asking("BC_REQUEST_DEATH_NOTIFICATION")
        );
        let text = format!(
            "# A doctored history.\n\nprocess manager context-manager\nthread manager-2 of manager\n\
            process app\n\n{steps}"
        );
        parse(text.as_bytes()).unwrap_or_else(|wrong| panic!("{}", wrong.render("doctored", false))).program
    };
    assert_eq!(laws_hold(&History::of(&steps("manager-2  < parked\n"))), Ok(()));
    let awake = steps("");
    let told = laws_hold(&History::of(&awake));
    assert!(matches!(told, Err(Violation::NotAskedFor { step: 5, .. })), "{told:?}");
}

#[test]
fn a_freeze_that_is_told_after_its_clearing_is_noticed() {
    let frozen = "manager  < BR_FROZEN_BINDER { cookie grave, is_frozen 1 }\n";
    let twice = format!("{}{frozen}{frozen}", asking("BC_REQUEST_FREEZE_NOTIFICATION"));
    assert_eq!(verdict(&twice), Ok(()));
    let done = "manager  < BR_CLEAR_FREEZE_NOTIFICATION_DONE grave\n";
    let cleared = format!("{twice}manager  > BC_CLEAR_FREEZE_NOTIFICATION h grave\n");
    assert_eq!(verdict(&format!("{cleared}{done}")), Ok(()));
    let told = |step| {
        let (told, cookie) = ("BR_FROZEN_BINDER", "grave".to_owned());
        Err(Violation::NotAskedFor { step, told, cookie })
    };
    assert_eq!(verdict(&format!("{cleared}{frozen}")), told(7));
    assert_eq!(verdict(&format!("{cleared}{done}{frozen}")), told(8));
}

#[test]
fn an_object_that_is_given_up_too_early_is_noticed() {
    let wrong = format!("{OBJECT}app-2  < BR_RELEASE foo\n");
    assert!(
        matches!(verdict(&wrong), Err(Violation::HeldStill { step: 3, told: "BR_RELEASE", .. })),
        "{:?}",
        verdict(&wrong)
    );
    let held = format!("{OBJECT}manager  > BC_ACQUIRE h, BC_FREE_BUFFER message\napp-2  < BR_RELEASE foo\n");
    assert!(matches!(verdict(&held), Err(Violation::HeldStill { step: 4, .. })), "{:?}", verdict(&held));
}

#[test]
fn an_object_that_is_never_given_up_is_noticed() {
    let wrong = format!("{OBJECT}manager  > BC_FREE_BUFFER message\napp-2  < parked\n");
    assert!(
        matches!(verdict(&wrong), Err(Violation::NeverTold { step: 4, owed: "BR_RELEASE", .. })),
        "{:?}",
        verdict(&wrong)
    );
}

#[test]
fn an_object_that_nobody_holds_and_is_asked_for_is_noticed() {
    let wrong =
        format!("{OBJECT}manager  > BC_FREE_BUFFER message\napp-2  < BR_RELEASE foo, BR_ACQUIRE foo\n");
    assert!(matches!(verdict(&wrong), Err(Violation::HeldByNobody { step: 4, .. })), "{:?}", verdict(&wrong));
}

#[test]
fn a_wrong_handle_is_noticed() {
    let wrong = format!(
        "{OBJECT}app  > BC_TRANSACTION {{ handle 0, code 2, data [ binder foo ] }}\n\
        manager  < BR_TRANSACTION {{ target {{ ptr 0x0, cookie 0x0 }}, code 2, data [ handle ?other ] }} as call\n\
        manager  >< BC_REPLY {{ code 3 }} -> BR_TRANSACTION_COMPLETE\n\
        app  < BR_TRANSACTION_COMPLETE, BR_REPLY {{ code 3 }}\n"
    );
    assert!(matches!(verdict(&wrong), Err(Violation::WrongHandle { step: 4, .. })), "{:?}", verdict(&wrong));
}

#[test]
fn a_fault_is_a_violation() {
    let settled = |fault| Settled { program: doctored(CALL), fault: Some(fault) };
    let audit = examine(&settled(Fault::Audit("x".to_owned())), &Profile::C);
    assert_eq!(audit, Err(Violation::Audit { step: 4, complaint: "x".to_owned() }));
    let malformed = examine(&settled(Fault::Malformed("x".to_owned())), &Profile::C);
    assert_eq!(malformed, Err(Violation::Malformed { step: 3, complaint: "x".to_owned() }));
    let left = examine(&settled(Fault::Left("1 node".to_owned())), &Profile::C);
    assert_eq!(left, Err(Violation::Left("1 node".to_owned())));
    let step = examine(&settled(Fault::Step("x".to_owned())), &Profile::C);
    assert!(matches!(step, Err(Violation::Harness { .. })));
}

#[test]
fn a_program_that_does_something_else_is_noticed() {
    // There is no manager that reads, and so no reply.
    let program =
        doctored("app  >< BC_TRANSACTION { handle 0, code 1 } -> BR_TRANSACTION_COMPLETE, BR_REPLY\n");
    assert!(matches!(replays(&program, &Profile::C), Err(Violation::Replay(_))));
    assert!(matches!(compare(&program, &Profile::C), Err(Violation::Differs { .. })));
}

#[test]
fn a_program_that_is_not_what_its_script_says_is_noticed() {
    let mut program = doctored(CALL);
    // Between two lines of the opening comment there is nothing that could keep this one apart.
    program.opening[0] = "Two\nlines.".to_owned();
    assert!(matches!(reads_as_printed(&program), Err(Violation::Script(_))));
}

#[test]
fn the_model_keeps_the_laws() {
    let mut coverage = Coverage::default();
    for profile in Profile::ALL {
        for seed in 0..300 {
            let settled = generate(Emphasis::Mix, &profile, &mut Unstructured::new(&bytes_of_seed(seed)));
            if let Err(violation) = examine_thoroughly(&settled, &profile) {
                panic!("{}, seed {seed}: {violation}\n{}", profile.name, print(&settled.program));
            }
            if profile == Profile::C {
                let counted = super::coverage(&settled.program);
                coverage.events += counted.events;
                coverage.counted += counted.counted;
            }
        }
    }
    // An oracle that always gives up would keep its peace, too. Measured was a half.
    assert!(coverage.counted * 4 > coverage.events, "{coverage:?}");
}

/// How a planted bug shows.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// The oracle complains of what the driver with the bug does.
    Unaided(Violation),
    /// The sound driver does something else.
    Compared,
    /// The driver with the bug falls over.
    Panicked,
}

/// Looks for a bug with a program.
fn look(program: &Program, buggy: &Profile) -> Option<Found> {
    let settled = catch_unwind(|| settle(program, buggy, &mut Unstructured::new(&[])));
    let Ok(settled) = settled else { return Some(Found::Panicked) };
    match examine(&settled, &Profile::C) {
        Err(violation) => Some(Found::Unaided(violation)),
        Ok(()) => compare(&settled.program, &Profile::C).is_err().then_some(Found::Compared),
    }
}

/// The fuzzers begin with the suite's cases: so they find each planted bug at once, if the oracle notices it there.
#[test]
fn planted_bugs_are_found_in_the_cases_about_them() {
    let cases = crate::suite::embedded();
    let mut unaided = Vec::new();
    for bug in Bug::ALL {
        let buggy = Profile::C.with_bug(bug);
        let about = cases.iter().filter(|case| case.title().starts_with(bug.published_as()));
        let scripts = about.filter_map(|case| case.script.as_ref().ok());
        let found: Vec<Found> = scripts.filter_map(|script| look(&script.program, &buggy)).collect();
        println!("{bug:?}: {found:?}");
        assert!(!found.is_empty(), "{bug:?} is not found");
        if found.iter().any(|found| *found != Found::Compared) {
            unaided.push(bug);
        }
    }
    println!("found without a comparison: {unaided:?}");
    // The others do what some driver might; only another driver can tell.
    assert_eq!(unaided, FOUND_UNAIDED);
}

/// The bugs after which the driver falls over, or its state makes no sense, or what it says breaks a law.
const FOUND_UNAIDED: [Bug; 5] = [
    Bug::MisalignedTableAllReleased,
    Bug::MisalignedRoomAllReleased,
    Bug::DataOverOffsets,
    Bug::QueuedFreezeOutlivesHandle,
    Bug::NoAnswerForNoLooper,
];
