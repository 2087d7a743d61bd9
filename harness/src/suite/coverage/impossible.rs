//! What no script can have of any driver: good uses of words that the UAPI has kept and no driver has ever served, or
//! serves no more. That they fail is a bad use, and shown by cases.

/// The words that have no good use, and why.
pub(super) const GOOD_USES: &[(&str, &str)] = &[
    ("BC_ACQUIRE_RESULT", UNSERVED),
    ("BC_ATTEMPT_ACQUIRE", UNSERVED),
    ("BINDER_SET_IDLE_TIMEOUT", UNSERVED),
    ("BINDER_SET_IDLE_PRIORITY", UNSERVED),
    ("BR_ERROR", "is for a kernel that has run out of memory within a command"),
    ("BR_OK", "is never returned by a read; BINDER_GET_EXTENDED_ERROR tells it"),
    ("BR_ACQUIRE_RESULT", UNSENT),
    ("BR_ATTEMPT_ACQUIRE", UNSENT),
    ("BR_FINISHED", UNSENT),
];

const UNSERVED: &str = "fails in every driver";
const UNSENT: &str = "is sent by no driver";

/// Why a word has no good use, if it has none.
pub(super) fn good_use(word: &str) -> Option<&'static str> {
    GOOD_USES.iter().find(|(listed, _)| *listed == word).map(|(_, reason)| *reason)
}
