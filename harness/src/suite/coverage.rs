//! Coverage: how many cases use a word of the protocol, in good and in bad use.
//!
//! The words are those of the UAPI, so that one that no case uses is there too. A use is bad
//!
//! - if the write or the call that it stands in must fail: of the commands of a write, that at which the driver stops;
//! - if it stands in a transaction or a reply whose sender must read that it failed;
//! - if it names something by a number other than 0, or by an address, that the driver has not told anybody.
//!
//! Returns are what the driver does, and have no bad use. Of system calls that are no ioctls it is counted only that a case
//! has them, by the words of scripts. What no script can have of any driver is listed in `impossible.rs`, with the reason.

mod impossible;
mod uses;

use reference_driver::uapi::{
    BUFFER_FLAGS, COMMANDS, FLAT_OBJECT_FLAGS, IOCTLS, OBJECT_TYPES, RETURNS, TRANSACTION_FLAGS,
};

use super::Case;
use uses::{SYSTEM_CALLS, Uses};

/// How many cases use each word of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// The families of words, each of them as a whole.
    pub families: Vec<FamilyCoverage>,
}

/// How many cases use each word of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FamilyCoverage {
    /// What the words are, such as `command`.
    pub name: &'static str,
    /// The words, in the order of the UAPI.
    pub words: Vec<WordCoverage>,
}

/// How many cases use a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WordCoverage {
    /// The word, such as `BC_REPLY`.
    pub word: &'static str,
    /// The cases that have it in good use.
    pub good: Cell,
    /// The cases that have it in bad use.
    pub bad: Cell,
}

/// How many cases show a word in one use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// So many.
    Cases(usize),
    /// None, since no driver lets a script do that, for this reason.
    Impossible(&'static str),
    /// The word has no such use.
    NoSuchUse,
}

impl Cell {
    fn of(cases: usize, impossible: Option<&'static str>) -> Cell {
        match (cases, impossible) {
            (0, Some(reason)) => Cell::Impossible(reason),
            (cases, _) => Cell::Cases(cases),
        }
    }

    /// The reason, if no script can have it.
    pub fn why_impossible(&self) -> Option<&'static str> {
        match self {
            Cell::Impossible(reason) => Some(reason),
            Cell::Cases(_) | Cell::NoSuchUse => None,
        }
    }
}

impl WordCoverage {
    /// Its good use and its bad one.
    pub fn cells(&self) -> [Cell; 2] {
        [self.good, self.bad]
    }
}

impl Coverage {
    /// What cases use. Those that cannot be read use nothing.
    pub fn of(cases: &[Case]) -> Coverage {
        let readable = cases.iter().filter_map(|case| case.script.as_ref().ok());
        let uses: Vec<Uses> = readable.map(|script| Uses::of(&script.program)).collect();
        let covered = |name, words: Vec<&'static str>, has_bad_use: bool| FamilyCoverage {
            name,
            words: words
                .into_iter()
                .map(|word| WordCoverage {
                    word,
                    good: Cell::of(
                        uses.iter().filter(|uses| uses.good.contains(word)).count(),
                        impossible::good_use(word),
                    ),
                    bad: match has_bad_use {
                        true => Cell::Cases(uses.iter().filter(|uses| uses.bad.contains(word)).count()),
                        false => Cell::NoSuchUse,
                    },
                })
                .collect(),
        };
        let family = |name, words: &[(&'static str, u32)], has_bad_use| {
            covered(name, words.iter().map(|(word, _)| *word).collect(), has_bad_use)
        };
        Coverage {
            families: vec![
                family("command", COMMANDS, true),
                family("return", RETURNS, false),
                family("ioctl", IOCTLS, true),
                family("object type", OBJECT_TYPES, true),
                family("transaction flag", TRANSACTION_FLAGS, true),
                family("object flag", FLAT_OBJECT_FLAGS, true),
                family("buffer flag", BUFFER_FLAGS, true),
                covered("other system call", SYSTEM_CALLS.to_vec(), false),
            ],
        }
    }

    /// The words of all families.
    pub fn words(&self) -> impl Iterator<Item = &WordCoverage> {
        self.families.iter().flat_map(|family| &family.words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "# A script.\nclause: txn.1\n\nprocess server context-manager\nprocess client\n\n\
        client  > BC_ENTER_LOOPER, BC_ACQUIRE 17, BC_ATTEMPT_ACQUIRE 0, BC_EXIT_LOOPER = EINVAL consumed 12\n\
        client  >< BC_TRANSACTION { handle 0, data [ binder foo ] } -> parked\n\
        server  < BR_TRANSACTION { data [ handle ?h ] } as call\n\
        server  >< BC_REPLY { flags TF_ACCEPT_FDS, data [ fd 99 ] } -> BR_FAILED_REPLY\n\
        client  < BR_FAILED_REPLY\n\
        server  > BC_FREE_BUFFER call\n\
        client  ! BINDER_SET_CONTEXT_MGR = EBUSY\n\
        client  ! BINDER_SET_CONTEXT_MGR_EXT bar flags FLAT_BINDER_FLAG_TXN_SECURITY_CTX = EBUSY\n\
        client  > BC_TRANSACTION_SG { handle 0, flags TF_ONE_WAY, data [ ptr [ u64 1 ],\n\
                    ptr [ u32 1 ] parent 0 offset 0 ] }\n\
        client  < BR_TRANSACTION_COMPLETE\n";

    fn of(word: &str) -> (Cell, Cell) {
        let case = Case::new("a/case", "a case", SCRIPT.as_bytes());
        assert!(case.script.is_ok(), "{:?}", case.script);
        let coverage = Coverage::of(&[case.clone(), case]);
        let found =
            coverage.words().find(|found| found.word == word).expect("every word of the UAPI is there");
        (found.good, found.bad)
    }

    fn cases(good: usize, bad: usize) -> (Cell, Cell) {
        (Cell::Cases(good), Cell::Cases(bad))
    }

    #[test]
    fn a_failing_write_is_a_bad_use_of_the_command_at_which_it_stops() {
        assert_eq!(of("BC_ENTER_LOOPER"), cases(2, 0));
        let (good, bad) = of("BC_ATTEMPT_ACQUIRE");
        assert!(matches!((good, bad), (Cell::Impossible(_), Cell::Cases(2))), "{good:?}, {bad:?}");
        assert_eq!(of("BC_EXIT_LOOPER"), cases(0, 0));
    }

    #[test]
    fn what_nobody_was_given_is_a_bad_use() {
        assert_eq!(of("BC_ACQUIRE"), cases(0, 2));
        assert_eq!(of("BC_FREE_BUFFER"), cases(2, 0));
    }

    #[test]
    fn a_failed_reply_is_a_bad_use_of_all_that_is_in_what_failed() {
        assert_eq!(of("BC_REPLY"), cases(0, 2));
        assert_eq!(of("BINDER_TYPE_FD"), cases(0, 2));
        assert_eq!(of("TF_ACCEPT_FDS"), cases(0, 2));
        assert_eq!(of("BC_TRANSACTION"), cases(0, 2));
        assert_eq!(of("BINDER_TYPE_BINDER"), cases(0, 2));
        assert_eq!(of("BINDER_TYPE_HANDLE"), cases(2, 0));
        assert_eq!(of("BR_FAILED_REPLY"), (Cell::Cases(2), Cell::NoSuchUse));
    }

    #[test]
    fn flags_of_objects_and_buffers_are_counted_with_what_bears_them() {
        assert_eq!(of("FLAT_BINDER_FLAG_ACCEPTS_FDS"), cases(0, 2));
        assert_eq!(of("FLAT_BINDER_FLAG_TXN_SECURITY_CTX"), cases(0, 2));
        assert_eq!(of("BINDER_BUFFER_FLAG_HAS_PARENT"), cases(2, 0));
    }

    #[test]
    fn a_failing_call_is_a_bad_use_of_its_ioctl() {
        assert_eq!(of("BINDER_SET_CONTEXT_MGR"), cases(0, 2));
        assert_eq!(of("BINDER_WRITE_READ"), cases(2, 2));
        assert_eq!(of("BINDER_FREEZE"), cases(0, 0));
    }

    /// What is empty is work left to do, and what is called impossible must be.
    #[test]
    fn the_suite_fills_every_cell_that_a_target_could_fill() {
        let coverage = Coverage::of(&crate::suite::embedded());
        let empty: Vec<_> = coverage.words().filter(|word| word.cells().contains(&Cell::Cases(0))).collect();
        assert!(empty.is_empty(), "{empty:?}");
        for (word, _) in impossible::GOOD_USES {
            let word = coverage.words().find(|found| found.word == *word).expect("a word of the UAPI");
            assert!(matches!(word.good, Cell::Impossible(_)), "{word:?} is possible after all");
        }
    }

    /// Every word that scripts have for a part of the protocol is one of the UAPI, and so in the table.
    #[test]
    fn the_table_has_every_word_of_the_protocol_that_scripts_use() {
        let coverage = Coverage::of(&[]);
        let listed: Vec<&str> = coverage.words().map(|word| word.word).collect();
        for family in
            [COMMANDS, RETURNS, IOCTLS, OBJECT_TYPES, TRANSACTION_FLAGS, FLAT_OBJECT_FLAGS, BUFFER_FLAGS]
        {
            assert!(family.iter().all(|(word, _)| listed.contains(word)));
        }
        for case in crate::suite::embedded() {
            let script = case.script.expect("the suite can be read");
            let Uses { good, bad } = Uses::of(&script.program);
            let strange: Vec<_> = good.union(&bad).filter(|word| !listed.contains(word)).collect();
            assert!(strange.is_empty(), "{}: {strange:?}", case.id);
        }
    }
}
