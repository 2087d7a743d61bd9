//! The scripts that were last made and read here, and the programs that they are. An engine that asks for an input tries it at
//! once, and then changes that one as a rule, or one of its corpus, to which it comes back: so these need not be read again
//! and again. That a script is read as the program that it was printed from is a law; what
//! [`FuzzTarget::Script`](super::FuzzTarget::Script) judges is always read.

use std::cell::RefCell;
use std::rc::Rc;

use rustc_hash::FxHashMap;

use crate::program::Program;
use crate::script::parse;

/// So many bytes of scripts that were read are kept, and then none. Their programs take some ten times as many.
const MOST_BYTES: usize = 16 << 20;

thread_local! {
    static LAST_MADE: RefCell<Option<(Vec<u8>, Rc<Program>)>> = const { RefCell::new(None) };
    static READ: RefCell<Read> = RefCell::default();
}

/// Scripts that were read.
#[derive(Default)]
struct Read {
    programs: FxHashMap<Box<[u8]>, Rc<Program>>,
    /// How many bytes they have.
    bytes: usize,
}

/// A program has been made whose script is this.
pub(super) fn note(script: &[u8], program: Program) {
    LAST_MADE.set(Some((script.to_vec(), Rc::new(program))));
}

/// The program that a script is, if it is the one that was last made.
pub(super) fn program(script: &[u8]) -> Option<Rc<Program>> {
    LAST_MADE.with_borrow(|last| {
        let (text, program) = last.as_ref()?;
        (text == script).then(|| Rc::clone(program))
    })
}

/// The program that a text is, if it is a script.
pub(super) fn read(text: &[u8]) -> Option<Rc<Program>> {
    if let Some(program) = program(text) {
        return Some(program);
    }
    READ.with_borrow_mut(|read| {
        if let Some(program) = read.programs.get(text) {
            return Some(Rc::clone(program));
        }
        let program = Rc::new(parse(text).ok()?.program);
        if read.bytes + text.len() > MOST_BYTES {
            *read = Read::default();
        }
        read.bytes += text.len();
        read.programs.insert(text.into(), Rc::clone(&program));
        Some(program)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz_target::FuzzTarget;
    use crate::generate::bytes_of_seed;
    use crate::script::parse;

    #[test]
    fn what_was_made_last_is_what_would_be_read() {
        let mut input = bytes_of_seed(1);
        let mut mutants = 0;
        for seed in 1..40 {
            // One of which nothing is left is none, and some are left to the engine.
            let Some(mutant) = FuzzTarget::CommandStream.mutate(&input, 1 << 16, seed) else { continue };
            mutants += 1;
            input = mutant;
            let read = parse(&input).expect("a script").program;
            assert_eq!(program(&input).as_deref(), Some(&read));
            assert_eq!(FuzzTarget::CommandStream.judge_of_many(&input), Ok(()));
        }
        assert!(mutants > 20, "{mutants}");
        assert_eq!(program(b"# Another script."), None);
    }
}
