//! Relays: turns of a tape that threads have one after the other without the harness in between.
//!
//! A turn in which nobody else is to wake, and nothing is to be looked at from outside, is over when the thread whose turn it
//! is has come to the end of its part. It then asks the next one itself. When the last one sleeps, the harness sees
//! whether all have come to that end, and nobody else has woken meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::desk::Desk;
use super::message::{OP_PLAY, Request};

/// The turns of a tape, and whose it is.
#[derive(Debug, Default)]
pub(super) struct Relay {
    legs: Vec<Option<Leg>>,
    /// Which of them it is. Behind the last one that was passed on it is the next.
    current: AtomicUsize,
}

/// A turn that can be passed on, or to which another one can be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leg {
    desk: *const Desk,
    start: u32,
}

// SAFETY: the desks that it points to are made of atomic numbers alone, and are there for as long as anybody plays: the
// process that a desk is of keeps its memory until whoever plays in it has been reaped.
unsafe impl Send for Leg {}
// SAFETY: as above.
unsafe impl Sync for Leg {}

impl Leg {
    /// That in which the thread at this desk plays the part that begins at this place.
    pub(super) fn new(desk: &Desk, start: u32) -> Leg {
        Leg { desk, start }
    }
}

impl Relay {
    /// A relay over turns, each of which is a leg or not. The desks of these must be there for as long as anybody plays.
    pub(super) fn new(legs: Vec<Option<Leg>>) -> Relay {
        Relay { legs, current: AtomicUsize::new(0) }
    }

    /// Begins with this turn. Gives the last one that it comes to without the harness.
    pub(super) fn begin(&self, turn: usize) -> usize {
        self.current.store(turn, Ordering::SeqCst);
        let legs = self.legs.get(turn..).unwrap_or_default();
        turn + legs.iter().take_while(|leg| leg.is_some()).count().saturating_sub(1)
    }

    /// Which turn it is.
    pub(super) fn current(&self) -> usize {
        self.current.load(Ordering::SeqCst)
    }

    /// The thread at a desk has come to the end of the part that begins at this place. If it is its turn, that is over, and
    /// whoever comes next is asked, if it is one more leg.
    pub(super) fn pass_on(&self, desk: &Desk, start: u32) {
        let current = self.current();
        let leg = |turn: usize| self.legs.get(turn).copied().flatten();
        if leg(current).is_some_and(|leg| std::ptr::eq(leg.desk, desk) && leg.start == start) {
            self.current.store(current + 1, Ordering::SeqCst);
            if let Some(next) = leg(current + 1) {
                // SAFETY: the desks are there for as long as anybody plays, which the calling thread does.
                unsafe { &*next.desk }.ask(part_at(next.start));
            }
        }
    }
}

/// The request to play the part that begins at this place.
pub(super) fn part_at(start: u32) -> Request {
    Request { operation: OP_PLAY, detail: 0, argument: start.into(), address: 0, begin: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_passed_on_as_far_as_there_are_legs() {
        let desks = [Desk::default(), Desk::default()];
        let leg = |desk: usize, start| Some(Leg::new(&desks[desk], start));
        let relay = Relay::new(vec![leg(0, 0), leg(1, 0), leg(0, 7), None, leg(1, 9)]);
        assert_eq!((relay.begin(3), relay.begin(4), relay.begin(0)), (3, 4, 2));
        let asked = || desks.each_ref().map(|desk| desk.answer().is_none());
        relay.pass_on(&desks[1], 0);
        assert_eq!((relay.current(), asked()), (0, [false, false]), "it is not its turn");
        relay.pass_on(&desks[0], 7);
        assert_eq!((relay.current(), asked()), (0, [false, false]), "it has woken from another part");
        relay.pass_on(&desks[0], 0);
        assert_eq!((relay.current(), asked()), (1, [false, true]));
        relay.pass_on(&desks[1], 0);
        assert_eq!((relay.current(), asked()), (2, [true, true]));
        relay.pass_on(&desks[0], 7);
        assert_eq!(relay.current(), 3, "it is over, and what comes next is no leg");
    }
}
