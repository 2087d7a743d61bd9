use reference_driver::Profile;
use strum::IntoEnumIterator;

use super::*;
use crate::engine::Verdict;
use crate::script::print;
use crate::suite;
use crate::target::{Audits, ReferenceTarget, Target};

/// What must hold of every settled program.
fn check(settled: &Settled, profile: &Profile, what: &str) {
    let text = print(&settled.program);
    assert!(
        matches!(settled.fault, None | Some(Fault::Unspeakable(_))),
        "{what}: {:?}\n{text}",
        settled.fault
    );
    if settled.program.steps.is_empty() {
        return;
    }
    let script = parse(text.as_bytes())
        .unwrap_or_else(|wrong| panic!("{what}: {}\n{text}", wrong.render("settled", false)));
    assert_eq!(script.program, settled.program, "{what}\n{text}");
    assert_eq!(print(&script.program), text, "{what}");
    if settled.fault.is_none() {
        let run = ReferenceTarget::new(profile.clone()).run(&settled.program);
        let run = run.expect("the reference driver can always be run");
        assert_eq!(run.verdict, Verdict::Pass, "{what}\n{text}");
        let again = settle(&settled.program, profile, &mut Unstructured::new(&[]));
        assert_eq!(print(&again.program), text, "{what}: settled again it is another one");
    }
}

fn generated(emphasis: Emphasis, profile: &Profile, seed: u64) -> Settled {
    generate(emphasis, profile, &mut Unstructured::new(&bytes_of_seed(seed)))
}

#[test]
fn what_is_generated_is_a_case_that_passes() {
    for profile in Profile::ALL {
        for emphasis in Emphasis::iter() {
            for seed in 0..40 {
                let settled = generated(emphasis, &profile, seed);
                check(&settled, &profile, &format!("{emphasis}, {}, seed {seed}", profile.name));
            }
        }
    }
}

#[test]
fn what_is_mutated_or_crossed_over_is_a_case_that_passes() {
    for profile in Profile::ALL {
        let mut programs: Vec<Program> =
            (0..8).map(|seed| generated(Emphasis::Mix, &profile, seed).program).collect();
        for seed in 0..160 {
            let bytes = bytes_of_seed(1000 + seed);
            let mut bytes = Unstructured::new(&bytes);
            let place = seed as usize % programs.len();
            let settled = match seed % 4 {
                0 => {
                    let other = programs[(place + 3) % programs.len()].clone();
                    cross_over(&programs[place], &other, &profile, 60, &mut bytes)
                }
                _ => mutate(&programs[place], &profile, 60, &mut bytes),
            };
            check(&settled, &profile, &format!("{}, seed {seed}", profile.name));
            assert!(settled.program.steps.len() <= 60 + 8, "{}", settled.program.steps.len());
            programs[place] = settled.program;
        }
    }
}

#[test]
fn the_suite_makes_seeds() {
    let mut steps = (0, 0);
    for case in suite::embedded() {
        let Ok(script) = &case.script else { continue };
        let settled = settle(&script.program, &Profile::C, &mut Unstructured::new(&[]));
        check(&settled, &Profile::C, &case.id);
        steps = (steps.0 + script.program.steps.len(), steps.1 + settled.program.steps.len());
    }
    // Some of what cases do is undefined, or waits for a time to pass.
    assert!(steps.1 * 100 > steps.0 * 90, "{} of {} steps are left", steps.1, steps.0);
}

#[test]
fn a_child_has_no_other_thread_than_its_first() {
    let program = |text: &str| parse(text.as_bytes()).unwrap().program;
    let parent = program(
        "# One.\nprocess server\nprocess child forked\nserver ! fork child\nchild > BC_ENTER_LOOPER\n",
    );
    let other =
        program("# Two.\nprocess a\nprocess b\nthread c of b\nc > BC_ENTER_LOOPER\na > BC_ENTER_LOOPER\n");
    for seed in 0..40 {
        let bytes = bytes_of_seed(seed);
        let settled = cross_over(&parent, &other, &Profile::C, 60, &mut Unstructured::new(&bytes));
        check(&settled, &Profile::C, "crossed with one of several threads");
    }
}

/// Which numbers stand for a file is the kernel's choice, of whatever words an array of descriptors is made.
#[test]
fn no_array_is_over_numbers_that_a_descriptor_may_have() {
    for array in
        ["fda 1 parent 0 offset 0", "object { type BINDER_TYPE_FDA, flags 0, binder 0x1, cookie 0x0 }"]
    {
        let text = format!(
            "# Arrays.\nprocess client\n\nclient > BC_TRANSACTION_SG {{ handle 0, data [ ptr [ u32 7 ], {array}, zero 8 ] }}\n"
        );
        let script =
            parse(text.as_bytes()).unwrap_or_else(|wrong| panic!("{}", wrong.render("array", false)));
        let settled = settle(&script.program, &Profile::RUST, &mut Unstructured::new(&[]));
        let settled = print(&settled.program);
        assert!(settled.contains("ptr [ bytes 3f 3f 3f 3f ]"), "{settled}");
    }
}

/// A driver in Rust takes memory back on some kernels, and not on others.
#[test]
fn no_memory_of_a_driver_in_rust_is_reclaimed() {
    let text = b"# Memory.\nprocess client\n\nclient ! drop_caches\nclient > BC_ENTER_LOOPER\n";
    let program = parse(text).unwrap_or_else(|wrong| panic!("{}", wrong.render("memory", false))).program;
    for (profile, is_reclaimed) in [(Profile::C, true), (Profile::RUST, false)] {
        let settled = print(&settle(&program, &profile, &mut Unstructured::new(&[])).program);
        assert_eq!(settled.contains("drop_caches"), is_reclaimed, "{settled}");
        assert!(settled.contains("BC_ENTER_LOOPER"), "{settled}");
    }
}

/// Whoever goes before all others finds a race always the same way, which may not be that of the model.
#[test]
fn no_thread_goes_before_all_others() {
    let text = b"# Scheduling.\nprocess client\n\n\
                 client ! sched_setscheduler { policy SCHED_FIFO, priority 5 }\n\
                 client ! sched_setscheduler { policy SCHED_BATCH, priority 0 }\n";
    let program = parse(text).unwrap_or_else(|wrong| panic!("{}", wrong.render("scheduling", false))).program;
    let settled = print(&settle(&program, &Profile::C, &mut Unstructured::new(&[])).program);
    assert!(!settled.contains("SCHED_FIFO") && settled.contains("SCHED_BATCH"), "{settled}");
}

#[test]
fn a_seed_is_a_program() {
    for emphasis in Emphasis::iter() {
        let [first, again] = [(); 2].map(|()| generated(emphasis, &Profile::C, 17));
        assert_eq!(first, again);
    }
}

#[test]
fn when_the_model_is_audited_makes_no_difference() {
    for seed in 0..100 {
        let bytes = bytes_of_seed(seed);
        let made = |audits| {
            let stage = Stage { profile: &Profile::C, audits };
            generate(Emphasis::Mix, stage, &mut Unstructured::new(&bytes))
        };
        assert_eq!(made(Audits::AtTheEnd), made(Audits::AfterEachCall));
    }
}

#[test]
fn any_input_is_a_program() {
    let settled = generated(Emphasis::Mix, &Profile::C, 3);
    let text = print(&settled.program);
    assert_eq!(Input::read(text.as_bytes()).settled(Emphasis::Mix, &Profile::C), settled);
    for length in 0..200 {
        let input = &text.as_bytes()[..length];
        check(&Input::read(input).settled(Emphasis::Mix, &Profile::C), &Profile::C, "a part of a script");
        let input = &bytes_of_seed(length as u64)[..length];
        check(&Input::read(input).settled(Emphasis::Mix, &Profile::C), &Profile::C, "few bytes");
    }
}

/// The bounds are well below what was measured when they were written.
#[test]
fn programs_go_deep() {
    for emphasis in Emphasis::iter() {
        let mut depth = Depth::default();
        (0..500).for_each(|seed| depth += generated(emphasis, &Profile::C, seed).depth());
        println!("{emphasis}: {depth:?}");
        let per_program = |count: u64| count as f64 / depth.programs as f64;
        assert!(depth.successes * 100 >= depth.steps * 75, "{emphasis}: {depth:?}");
        assert!(per_program(depth.completed()) >= 1.0, "{emphasis}: {depth:?}");
        assert!(per_program(depth.objects) >= 1.0, "{emphasis}: {depth:?}");
        assert!(depth.returns.len() >= 12, "{emphasis}: {depth:?}");
    }
}
