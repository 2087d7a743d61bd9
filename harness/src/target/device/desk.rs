//! Desks: where a thread of an agent is asked to do something, and tells what came of it.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64};
use std::time::Duration;

use super::message::Request;

/// What the harness and one thread of an agent tell each other, in memory that they share.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Desk {
    operation: AtomicU32,
    detail: AtomicU32,
    argument: AtomicU64,
    address: AtomicU64,
    begin: AtomicU64,
    /// How often something has been asked. The thread waits for it to grow.
    asked: AtomicU32,
    /// How much of that has been done.
    answered: AtomicU32,
    result: AtomicI64,
    /// Which call of its process that it may sleep in the thread is in; 0 if in none.
    call: AtomicU64,
    /// Whether the harness sleeps until there is an answer.
    is_awaited: AtomicU32,
}

/// The number of the request for its id, which a thread need not be asked for.
const FIRST: u32 = 1;

impl Desk {
    /// Asks for the id of the thread, whenever it will be there.
    pub fn open(&self) {
        self.asked.store(FIRST, SeqCst);
    }

    /// Asks the thread to do something. It has done all that it was asked before.
    pub fn ask(&self, request: Request) {
        self.leave(request);
        wake(&self.asked);
    }

    /// Leaves something to do for a thread that is about to come back from what it was asked before. It finds it then, and
    /// what has come of that is told nobody.
    pub fn leave(&self, request: Request) {
        let Request { operation, detail, argument, address, begin } = request;
        self.operation.store(operation, SeqCst);
        self.detail.store(detail, SeqCst);
        self.argument.store(argument, SeqCst);
        self.address.store(address, SeqCst);
        self.begin.store(begin, SeqCst);
        self.asked.fetch_add(1, SeqCst);
    }

    /// What came of what the thread was asked last; `None` if it has not been done.
    pub fn answer(&self) -> Option<i64> {
        (self.answered.load(SeqCst) == self.asked.load(SeqCst)).then(|| self.result.load(SeqCst))
    }

    /// Waits until there is an answer, but no longer than this, if at all.
    pub fn wait_for_answer(&self, most: Duration) {
        self.is_awaited.store(1, SeqCst);
        let answered = self.answered.load(SeqCst);
        if answered != self.asked.load(SeqCst) {
            wait(&self.answered, answered, Some(most));
        }
        self.is_awaited.store(0, SeqCst);
    }

    /// Which call of its process that it may sleep in the thread is in; 0 if in none.
    pub fn call(&self) -> u64 {
        self.call.load(SeqCst)
    }

    /// The thread says which of these it is in; 0 if in none.
    pub fn note_call(&self, call: u64) {
        self.call.store(call, SeqCst);
    }

    /// The thread tells its id, and begins to hear what it is asked.
    pub fn take(&self, id: i32) -> Seat<'_> {
        let seat = Seat { desk: self, number: FIRST };
        seat.tell(id.into());
        seat
    }
}

/// The thread's side of its desk.
#[derive(Debug)]
pub struct Seat<'a> {
    desk: &'a Desk,
    /// The number of the last request that it has heard.
    number: u32,
}

impl Seat<'_> {
    /// Waits for the next request.
    pub fn hear(&mut self) -> Request {
        let desk = self.desk;
        while desk.asked.load(SeqCst) == self.number {
            wait(&desk.asked, self.number, None);
        }
        self.number = self.number.wrapping_add(1);
        Request {
            operation: desk.operation.load(SeqCst),
            detail: desk.detail.load(SeqCst),
            argument: desk.argument.load(SeqCst),
            address: desk.address.load(SeqCst),
            begin: desk.begin.load(SeqCst),
        }
    }

    /// Tells what came of it.
    pub fn tell(&self, result: i64) {
        self.desk.result.store(result, SeqCst);
        self.desk.answered.store(self.number, SeqCst);
        if self.desk.is_awaited.load(SeqCst) != 0 {
            wake(&self.desk.answered);
        }
    }
}

/// Sleeps for as long as the word is this, but no longer than that. It may also end early.
fn wait(word: &AtomicU32, value: u32, most: Option<Duration>) {
    let most = most.map(|most| nix::libc::timespec {
        tv_sec: most.as_secs() as nix::libc::time_t,
        tv_nsec: most.subsec_nanos().into(),
    });
    let most = most.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the word and the time outlive the call, which only reads them.
    unsafe { nix::libc::syscall(nix::libc::SYS_futex, word.as_ptr(), nix::libc::FUTEX_WAIT, value, most) };
}

/// Wakes who sleeps over the word.
fn wake(word: &AtomicU32) {
    // SAFETY: the word is only looked up, not written to.
    unsafe { nix::libc::syscall(nix::libc::SYS_futex, word.as_ptr(), nix::libc::FUTEX_WAKE, 1) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_heard_and_answered() {
        let desk = Desk::default();
        desk.open();
        assert_eq!(desk.answer(), None);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut seat = desk.take(77);
                for _ in 0..100 {
                    let request = seat.hear();
                    seat.tell(i64::from(request.operation) + request.argument as i64);
                }
            });
            let awaited = || {
                while desk.answer().is_none() {
                    desk.wait_for_answer(Duration::from_secs(60));
                }
                desk.answer()
            };
            assert_eq!(awaited(), Some(77));
            for argument in 0..100 {
                desk.ask(Request { operation: 5, detail: 0, argument, address: 0, begin: 0 });
                assert_eq!(awaited(), Some(5 + argument as i64));
            }
        });
    }
}
