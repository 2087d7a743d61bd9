//! Seeds, past findings, and what is made of them.

use std::fs;
use std::path::Path;

use binderdrill::fuzz_target::{FuzzTarget, Seed};
use strum::IntoEnumIterator;

fn judge_seeds(target: FuzzTarget) {
    let seeds = target.seeds();
    assert!(seeds.len() > 200, "{target} has {} seeds", seeds.len());
    for Seed { case, bytes } in seeds {
        if let Err(finding) = target.judge(&bytes) {
            panic!("{target}, {case}: {finding}\n{}", finding.script.as_deref().unwrap_or_default());
        }
    }
}

#[test]
fn seeds_of_command_stream() {
    judge_seeds(FuzzTarget::CommandStream);
}

#[test]
fn seeds_of_refcount() {
    judge_seeds(FuzzTarget::Refcount);
}

#[test]
fn seeds_of_malformed_transaction() {
    judge_seeds(FuzzTarget::MalformedTransaction);
}

#[test]
fn seeds_of_raw_write_read() {
    judge_seeds(FuzzTarget::RawWriteRead);
}

#[test]
fn seeds_of_script() {
    judge_seeds(FuzzTarget::Script);
}

/// What fuzzing has found once is not there any more.
#[test]
fn past_findings() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/findings");
    let listed = fs::read_to_string(folder.join("README.md")).expect("the findings have a list");
    let mut findings = 0;
    for entry in fs::read_dir(&folder).expect("the findings are there") {
        let path = entry.expect("the findings can be listed").path();
        if path.extension().is_none_or(|extension| extension != "drill") {
            continue;
        }
        findings += 1;
        let name = path.file_name().expect("a file has a name").to_string_lossy().into_owned();
        assert!(listed.contains(&format!("`{name}`")), "fuzz/findings/README.md does not list {name}");
        let input = fs::read(&path).expect("a finding can be read");
        for target in FuzzTarget::iter() {
            if let Err(finding) = target.judge(&input) {
                panic!("{name} with {target}: {finding}\n{}", finding.script.as_deref().unwrap_or_default());
            }
        }
    }
    assert!(findings > 0);
}

#[test]
fn inputs_are_changed_into_inputs() {
    for target in FuzzTarget::iter() {
        let seeds = target.seeds();
        let mut changed = 0;
        for seed in 0..100 {
            let [first, second] = [seed, seed + 50].map(|place| &seeds[place * 5 % seeds.len()].bytes);
            let made = [
                target.mutate(first, 1 << 16, seed as u32),
                target.cross_over(first, second, 1 << 16, seed as u32),
            ];
            for made in made.into_iter().flatten() {
                changed += 1;
                if let Err(finding) = target.judge(&made) {
                    panic!("{target}: {finding}\n{}", finding.script.as_deref().unwrap_or_default());
                }
            }
        }
        let structured = target != FuzzTarget::RawWriteRead;
        assert_eq!(changed > 50, structured, "{target}: {changed}");
    }
}

#[test]
fn there_is_room_for_what_is_made() {
    let target = FuzzTarget::CommandStream;
    for seed in target.seeds().iter().take(50) {
        for most in [0, 100, 400] {
            assert!(target.mutate(&seed.bytes, most, 1).is_none_or(|made| made.len() <= most));
        }
    }
}

/// Some of them are wrong in a script, and none may make a target panic.
#[test]
fn any_bytes_are_an_input() {
    for target in FuzzTarget::iter() {
        for length in 0..300_u32 {
            let bytes = binderdrill::generate::bytes_of_seed(length.into());
            let mut input = bytes[..length as usize].to_vec();
            assert_eq!(target.judge(&input), Ok(()), "{target}: {length} bytes");
            input.insert(0, b'#');
            assert_eq!(target.judge(&input), Ok(()), "{target}: # and {length} bytes");
        }
    }
}
