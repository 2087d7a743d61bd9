//! Buffers: the receiver's mapping, cut into pieces that transactions arrive in.

use std::collections::BTreeSet;
use std::ops::Range;

use rustc_hash::FxHashMap;

use crate::free_buffers::FreeBuffers;
use crate::mapping::Mapping;
use crate::node::Node;
use crate::oneway_spam::SpamDetection;
use crate::planted::{Bug, Planted};
use crate::profile::{PiecesGivenMemory, Placing, Profile};
use crate::table::{Key, Table};
use crate::transaction::Transaction;
use crate::uapi::Errno;

/// The size of a page, in bytes.
pub(crate) const PAGE: u64 = 0x1000;
/// The most that a process can use of its mapping, in bytes.
pub(crate) const MAPPING_LIMIT: u64 = 4 << 20;
/// With [`Placing::BehindTheLast`], so many buffers are few.
const FEW_BUFFERS: usize = 8;

/// A piece of a mapping (`struct binder_buffer`).
#[derive(Debug)]
pub(crate) struct Buffer {
    /// Where it begins, in bytes from the start of the mapping.
    pub(crate) start: u64,
    /// All of it, in bytes.
    pub(crate) size: u64,
    pub(crate) before: Option<Key<Buffer>>,
    pub(crate) after: Option<Key<Buffer>>,
    /// The process of whoever sent what it holds, or held last; 0 if it never held anything.
    pub(crate) sender_pid: i32,
    /// What it holds; `None` if it is free.
    pub(crate) content: Option<Content>,
}

/// What a buffer in use holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content {
    pub(crate) data_size: u64,
    pub(crate) offsets_size: u64,
    pub(crate) is_async: bool,
    /// The receiver has been told of it, and may free it.
    pub(crate) allow_user_free: bool,
    /// Its sender is suspected of oneway spam.
    pub(crate) oneway_spam_suspect: bool,
    /// TF_CLEAR_BUF: it is wiped when it is freed.
    pub(crate) clear_on_free: bool,
    /// The node that the transaction went to; `None` for a reply.
    pub(crate) target: Option<Key<Node>>,
    /// The transaction that it came with, while that lasts.
    pub(crate) transaction: Option<Key<Transaction>>,
    /// Where the sender's security context begins, in bytes from the start of the buffer, if it is there.
    pub(crate) security_context: Option<u64>,
}

impl Content {
    /// Where the table of offsets begins, in bytes from the start of the buffer.
    pub(crate) fn offsets_start(&self) -> u64 {
        self.data_size.next_multiple_of(8)
    }
}

/// What a transaction needs room for, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    pub(crate) data_size: u64,
    pub(crate) offsets_size: u64,
    /// Scatter-gather buffers, all together.
    pub(crate) buffers_size: u64,
    pub(crate) is_async: bool,
    /// The process of whoever sends it.
    pub(crate) sender_pid: i32,
}

impl Request {
    /// Whether a transaction can have such sizes: EINVAL for one that cannot be, ENOMEM for a sum that overflows.
    pub(crate) fn check_sizes(self) -> Result<(), Errno> {
        let data = self.data_size.checked_next_multiple_of(8).ok_or(Errno::EINVAL)?;
        if !self.offsets_size.is_multiple_of(8) || !self.buffers_size.is_multiple_of(8) {
            return Err(Errno::EINVAL);
        }
        let sum = data.checked_add(self.offsets_size).and_then(|sum| sum.checked_add(self.buffers_size));
        sum.map(drop).ok_or(Errno::ENOMEM)
    }

    /// The size of the buffer: each part rounded up to 8, and never 0, so that each has an address of its own.
    fn size(self) -> Option<u64> {
        let data = self.data_size.checked_next_multiple_of(8)?;
        let offsets = self.offsets_size.checked_next_multiple_of(8)?;
        let buffers = self.buffers_size.checked_next_multiple_of(8)?;
        Some(data.checked_add(offsets)?.checked_add(buffers)?.max(8))
    }
}

/// The mapping of a process (`struct binder_alloc`).
#[derive(Debug, Default)]
pub(crate) struct Allocator {
    /// Where the process has mapped the device.
    mapping: Mapping,
    /// New buffers can be had.
    takes_transactions: bool,
    /// The address of the first mapping. There is no second one.
    base: u64,
    /// How long that is.
    size: u64,
    /// What the process sees there, up to the last page that has been used.
    memory: Vec<u8>,
    /// The pages that have been used so far. The process cannot read the others.
    present: Vec<bool>,
    pub(crate) buffers: Table<Buffer>,
    first: Option<Key<Buffer>>,
    free: FreeBuffers,
    placing: Placing,
    /// There have been more than [`FEW_BUFFERS`] at a time since there was none.
    had_many: bool,
    /// All buffers, by where they begin.
    by_start: FxHashMap<u64, Key<Buffer>>,
    /// What oneway messages may still use: half of the mapping at first.
    free_async_space: u64,
    /// Since there was last enough room for oneway messages, somebody has been told that it spams.
    pub(crate) spam_detected: bool,
    pub(crate) spam_detection: SpamDetection,
    pieces_given_memory: PiecesGivenMemory,
    /// A buffer is taken only once there is memory for it.
    memory_comes_first: bool,
    planted: Planted,
    in_use: usize,
}

impl Allocator {
    /// One without a mapping.
    pub(crate) fn new(profile: &Profile) -> Allocator {
        let Profile { spam_detection, planted, pieces_given_memory, placing, memory_comes_first, .. } =
            *profile;
        let free = match placing {
            Placing::Smallest => FreeBuffers::default(),
            Placing::BehindTheLast => FreeBuffers::Sorted(BTreeSet::new()),
        };
        Allocator {
            spam_detection,
            planted,
            pieces_given_memory,
            placing,
            memory_comes_first,
            free,
            ..Allocator::default()
        }
    }

    /// Takes a new mapping into use. Its size is what the process asked for, in bytes.
    pub(crate) fn map(&mut self, address: u64, size: u64) -> Result<(), Errno> {
        if self.size > 0 {
            return Err(Errno::EBUSY);
        }
        self.mapping = Mapping::of(address..address + size);
        let size = size.min(MAPPING_LIMIT);
        self.takes_transactions = true;
        self.base = address;
        self.size = size;
        self.present = vec![false; (size / PAGE) as usize];
        self.free_async_space = size / 2;
        let whole = Buffer { start: 0, size, before: None, after: None, sender_pid: 0, content: None };
        let key = self.buffers.insert(whole);
        self.first = Some(key);
        self.free.insert(key, &self.buffers);
        self.by_start.insert(0, key);
        Ok(())
    }

    /// The process takes away what it has mapped at these addresses. Buffers stay, to be freed; new ones need what is
    /// left, and with a driver to which any loss ends the mapping there are none.
    pub(crate) fn unmap(&mut self, addresses: &Range<u64>, takes_transactions: bool) {
        if self.mapping.remove(addresses) {
            self.takes_transactions &= takes_transactions;
        }
    }

    /// The process lets itself read what it has mapped at these addresses, or not.
    pub(crate) fn protect(&mut self, addresses: &Range<u64>, readable: bool) {
        self.mapping.protect(addresses, readable);
    }

    /// The kernel reclaims the pages in which there is no buffer. Who uses them again finds zeroes. It knows pages by the
    /// mapping, and leaves them where they are once that is gone.
    pub(crate) fn reclaim_pages(&mut self) {
        if !self.takes_transactions || !self.mapping.contains(self.base) {
            return;
        }
        let mut in_use = vec![false; self.present.len()];
        for (_, buffer) in self.buffers.iter().filter(|(_, buffer)| buffer.content.is_some()) {
            let pages =
                (buffer.start / PAGE) as usize..((buffer.start + buffer.size).div_ceil(PAGE)) as usize;
            in_use[pages].fill(true);
        }
        for page in (0..in_use.len()).filter(|page| !in_use[*page]) {
            self.present[page] = false;
            let end = self.memory.len().min((page + 1) * PAGE as usize);
            let start = end.min(page * PAGE as usize);
            self.memory[start..end].fill(0);
        }
    }

    /// Puts memory into a page of the mapping, if there is none. It stays there until it is reclaimed. A driver that goes
    /// on without the mapping has no other pages, and says of the others whether the first one is mapped.
    fn install(&mut self, page: usize) -> Result<(), Errno> {
        if !self.present[page] {
            let address = self.base + page as u64 * PAGE;
            let (has_room, error) = match self.pieces_given_memory {
                PiecesGivenMemory::All => (self.mapping.contains(address), Errno::ESRCH),
                PiecesGivenMemory::Changed => (self.mapping.is_in_changed_piece(address), Errno::ENOMEM),
                PiecesGivenMemory::First if !self.mapping.contains(self.base) => (false, Errno::ESRCH),
                PiecesGivenMemory::First => (self.mapping.is_one_piece(self.base, address), Errno::EFAULT),
            };
            if !has_room {
                return Err(error);
            }
            self.present[page] = true;
        }
        Ok(())
    }

    /// Whether new buffers can be had, as far as there is room.
    pub(crate) fn takes_transactions(&self) -> bool {
        self.takes_transactions
    }

    /// The address of a buffer in the process.
    pub(crate) fn address_of(&self, buffer: Key<Buffer>) -> u64 {
        self.base + self.buffers[buffer].start
    }

    /// How many buffers are in use.
    pub(crate) fn in_use(&self) -> usize {
        self.in_use
    }

    /// Finds room: ESRCH without a mapping, EINVAL for sizes that overflow, ENOSPC when it is full, and whatever the
    /// driver says of pages that it cannot get.
    pub(crate) fn allocate(&mut self, request: Request) -> Result<Key<Buffer>, Errno> {
        if !self.takes_transactions {
            return Err(Errno::ESRCH);
        }
        let size = request.size().ok_or(Errno::EINVAL)?;
        self.had_many |= self.in_use == FEW_BUFFERS;
        if request.is_async && self.free_async_space < size {
            return Err(Errno::ENOSPC);
        }
        let key = self.place(size).ok_or(Errno::ENOSPC)?;
        let Buffer { start, size: found, .. } = self.buffers[key];
        let pages = (start / PAGE) as usize..((start + size).div_ceil(PAGE)) as usize;
        if self.memory_comes_first {
            pages.clone().try_for_each(|page| self.install(page))?;
        }
        // The rest is among the free ones before this one is not.
        if found > size {
            self.split(key, size);
        }
        self.free.remove(key, start, found);
        if request.is_async {
            self.free_async_space -= size;
        }
        self.buffers[key].content = Some(Content {
            data_size: request.data_size,
            offsets_size: request.offsets_size,
            is_async: request.is_async,
            allow_user_free: false,
            oneway_spam_suspect: false,
            clear_on_free: false,
            target: None,
            transaction: None,
            security_context: None,
        });
        self.in_use += 1;
        self.judge_sender(key, request);
        if !self.memory_comes_first
            && let Err(errno) = pages.clone().try_for_each(|page| self.install(page))
        {
            self.release(key);
            return Err(errno);
        }
        let end = (pages.end * PAGE as usize).min(self.size as usize);
        self.memory.resize(self.memory.len().max(end), 0);
        Ok(key)
    }

    /// The free buffer that is taken for so many bytes.
    fn place(&self, size: u64) -> Option<Key<Buffer>> {
        match self.placing {
            Placing::BehindTheLast if !self.had_many => {
                // They are few: this is no search.
                let mut fitting = None;
                let mut next = self.first;
                while let Some(key) = next {
                    let buffer = &self.buffers[key];
                    next = buffer.after;
                    if buffer.content.is_none()
                        && buffer.size >= size
                        && (fitting.is_none() || next.is_none())
                    {
                        fitting = Some(key);
                    }
                }
                fitting
            }
            _ => self.free.with_room_for(size, &self.buffers),
        }
    }

    /// Notes the sender of a new message, and whether it is suspected of oneway spam.
    fn judge_sender(&mut self, key: Key<Buffer>, request: Request) {
        if self.spam_detection.counts_message {
            self.note_sender(key, request.sender_pid);
        }
        if self.planted.is(Bug::MessageUncounted) {
            self.note_sender(key, 0);
        }
        let suspect = request.is_async && self.suspects_spam(request.sender_pid);
        self.note_sender(key, request.sender_pid);
        if let Some(content) = &mut self.buffers[key].content {
            content.oneway_spam_suspect = suspect;
        }
    }

    /// What oneway messages may still use, in bytes.
    pub(crate) fn free_async_space(&self) -> u64 {
        self.free_async_space
    }

    /// The size of the mapping, in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Cuts a buffer that is about to be taken from the free ones; the rest is free.
    fn split(&mut self, key: Key<Buffer>, size: u64) {
        let buffer = &mut self.buffers[key];
        let rest = Buffer {
            start: buffer.start + size,
            size: buffer.size - size,
            before: Some(key),
            after: buffer.after,
            sender_pid: 0,
            content: None,
        };
        buffer.size = size;
        let (rest_start, after) = (rest.start, rest.after);
        let rest = self.buffers.insert(rest);
        self.buffers[key].after = Some(rest);
        if let Some(after) = after {
            self.buffers[after].before = Some(rest);
        }
        self.free.insert(rest, &self.buffers);
        self.by_start.insert(rest_start, rest);
    }

    /// The buffer at an address, for its process to free. It can be freed once, and not before it has arrived.
    pub(crate) fn claim_for_user_free(&mut self, address: u64) -> Option<Key<Buffer>> {
        let key = *self.by_start.get(&address.checked_sub(self.base)?)?;
        let content = self.buffers[key].content.as_mut()?;
        std::mem::take(&mut content.allow_user_free).then_some(key)
    }

    /// Frees a buffer, and joins it with free neighbours.
    pub(crate) fn release(&mut self, key: Key<Buffer>) {
        let buffer = &mut self.buffers[key];
        let (start, size) = (buffer.start, buffer.size);
        let Some(content) = buffer.content.take() else { return };
        if content.clear_on_free {
            self.memory[start as usize..(start + size) as usize].fill(0);
        }
        if content.is_async {
            self.free_async_space += size;
        }
        self.in_use -= 1;
        self.had_many &= self.in_use > 0;
        let (before, after) = (self.buffers[key].before, self.buffers[key].after);
        let mut whole = key;
        if let Some(after) = self.take_if_free(after) {
            self.join(key, after);
        }
        if let Some(before) = self.take_if_free(before) {
            self.join(before, key);
            whole = before;
        }
        self.free.insert(whole, &self.buffers);
    }

    /// Takes a neighbour from the free ones, if it is there and one of them.
    fn take_if_free(&mut self, neighbour: Option<Key<Buffer>>) -> Option<Key<Buffer>> {
        let key = neighbour.filter(|neighbour| self.buffers[*neighbour].content.is_none())?;
        let Buffer { start, size, .. } = self.buffers[key];
        self.free.remove(key, start, size);
        Some(key)
    }

    /// Joins two neighbours that are in use no more.
    fn join(&mut self, left: Key<Buffer>, right: Key<Buffer>) {
        let gone = self.buffers.remove(right);
        self.by_start.remove(&gone.start);
        if let Some(after) = gone.after {
            self.buffers[after].before = Some(left);
        }
        let left = &mut self.buffers[left];
        left.size += gone.size;
        left.after = gone.after;
    }

    /// Writes a security context to the end of a buffer in use. What is behind it up to a multiple of 8 bytes stays as it was.
    pub(crate) fn append_security_context(&mut self, key: Key<Buffer>, context: &[u8]) {
        let bytes = self.bytes_mut(key);
        let start = bytes.len() - context.len().next_multiple_of(8);
        bytes[start..start + context.len()].copy_from_slice(context);
        if let Some(content) = &mut self.buffers[key].content {
            content.security_context = Some(start as u64);
        }
    }

    /// The bytes of a buffer in use.
    pub(crate) fn bytes(&self, key: Key<Buffer>) -> &[u8] {
        let buffer = &self.buffers[key];
        &self.memory[buffer.start as usize..(buffer.start + buffer.size) as usize]
    }

    /// The same, to write to.
    pub(crate) fn bytes_mut(&mut self, key: Key<Buffer>) -> &mut [u8] {
        let buffer = &self.buffers[key];
        &mut self.memory[buffer.start as usize..(buffer.start + buffer.size) as usize]
    }

    /// Whether an address lies in the mapping of the process, used or not.
    pub(crate) fn maps(&self, address: u64) -> bool {
        self.mapping.contains(address)
    }

    /// What the process sees at an address of its mapping; `None` where it would fault.
    pub(crate) fn seen_at(&self, address: u64, length: usize) -> Option<&[u8]> {
        let start = usize::try_from(address.checked_sub(self.base)?).ok()?;
        let end = start.checked_add(length)?;
        if !self.mapping.is_readable(address..address.checked_add(length as u64)?) {
            return None;
        }
        let pages = start / PAGE as usize..end.div_ceil(PAGE as usize);
        let present = self.present.get(pages)?.iter().all(|present| *present);
        present.then(|| self.memory.get(start..end)).flatten()
    }

    /// Says what is wrong with the buffers: they must tile the mapping, no two free ones beside each other.
    pub(crate) fn audit(&self, complain: &mut dyn FnMut(String)) {
        let mut end = 0;
        let mut seen = 0;
        let mut in_use = 0;
        let mut async_space = 0;
        let mut free = 0;
        let mut before: Option<Key<Buffer>> = None;
        let mut next = self.first;
        while let Some(key) = next {
            let buffer = &self.buffers[key];
            if buffer.start != end || buffer.size == 0 {
                complain(format!("buffer {key:?} begins at {:#x}, not at {end:#x}", buffer.start));
            }
            if buffer.before != before || self.by_start.get(&buffer.start) != Some(&key) {
                complain(format!("buffer {key:?} is not linked to its neighbours"));
            }
            match &buffer.content {
                Some(content) => {
                    in_use += 1;
                    async_space += if content.is_async { buffer.size } else { 0 };
                }
                None => {
                    free += 1;
                    if !self.free.contains(key, buffer.start, buffer.size) {
                        complain(format!("free buffer {key:?} cannot be found by its size"));
                    }
                    if before.is_some_and(|before| self.buffers[before].content.is_none()) {
                        complain(format!("free buffers {before:?} and {key:?} lie beside each other"));
                    }
                }
            }
            seen += 1;
            end = buffer.start + buffer.size;
            before = Some(key);
            next = buffer.after;
        }
        if end != self.size {
            complain(format!("buffers cover {end:#x} bytes of a mapping of {:#x}", self.size));
        }
        if self.free_async_space + async_space != self.size / 2 {
            complain(format!(
                "{:#x} bytes of asynchronous space and {async_space:#x} in use are not half of the mapping",
                self.free_async_space
            ));
        }
        if seen != self.buffers.len() || free != self.free.len() || in_use != self.in_use {
            complain("the tables of buffers disagree on how many there are".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BASE: u64 = 0x7000_0000;

    fn mapped(size: u64) -> Allocator {
        let mut allocator = Allocator::default();
        allocator.map(BASE, size).unwrap();
        allocator
    }

    fn complaints(allocator: &Allocator) -> Vec<String> {
        let mut complaints = Vec::new();
        allocator.audit(&mut |complaint| complaints.push(complaint));
        complaints
    }

    fn request(data_size: u64) -> Request {
        Request { data_size, offsets_size: 0, buffers_size: 0, is_async: false, sender_pid: 1 }
    }

    #[test]
    fn a_second_mapping_is_refused_for_ever() {
        let mut allocator = mapped(PAGE);
        assert_eq!(allocator.map(BASE, PAGE), Err(Errno::EBUSY));
        allocator.unmap(&(0..u64::MAX), false);
        assert_eq!(allocator.map(BASE, PAGE), Err(Errno::EBUSY));
        assert_eq!(allocator.allocate(request(8)), Err(Errno::ESRCH));
    }

    #[test]
    fn sizes_that_overflow_are_refused() {
        let mut allocator = mapped(PAGE);
        assert_eq!(allocator.allocate(request(u64::MAX)), Err(Errno::EINVAL));
        let both = Request { offsets_size: 16, ..request(u64::MAX - 7) };
        assert_eq!(allocator.allocate(both), Err(Errno::EINVAL));
        assert_eq!(allocator.allocate(request(PAGE + 1)), Err(Errno::ENOSPC));
    }

    #[test]
    fn oneway_messages_get_half_of_the_mapping() {
        let mut allocator = mapped(PAGE);
        let half = Request { is_async: true, ..request(PAGE / 2) };
        let buffer = allocator.allocate(half).unwrap();
        let more = Request { is_async: true, ..request(0) };
        assert_eq!(allocator.allocate(more), Err(Errno::ENOSPC));
        allocator.allocate(request(PAGE / 2)).unwrap();
        allocator.release(buffer);
        allocator.allocate(more).unwrap();
    }

    #[test]
    fn pages_without_a_buffer_are_reclaimed() {
        let mut allocator = mapped(4 * PAGE);
        let [freed, held] = [PAGE + 8, PAGE].map(|size| allocator.allocate(request(size)).unwrap());
        allocator.bytes_mut(freed).fill(7);
        allocator.bytes_mut(held).fill(8);
        allocator.release(freed);
        allocator.reclaim_pages();
        assert_eq!(allocator.seen_at(BASE, 1), None);
        assert_eq!(allocator.seen_at(BASE + PAGE, 9), Some([7, 7, 7, 7, 7, 7, 7, 7, 8].as_slice()));
        assert!(allocator.bytes(held).iter().all(|byte| *byte == 8));

        let small = allocator.allocate(request(8)).unwrap();
        assert_eq!(allocator.address_of(small), BASE);
        assert_eq!(allocator.seen_at(BASE, PAGE as usize), Some([0; PAGE as usize].as_slice()));
    }

    #[test]
    fn nothing_is_reclaimed_of_a_mapping_that_is_gone() {
        let mut allocator = mapped(2 * PAGE);
        let freed = allocator.allocate(request(PAGE)).unwrap();
        allocator.release(freed);
        allocator.unmap(&(BASE..BASE + PAGE), true);
        allocator.reclaim_pages();
        allocator.allocate(request(PAGE)).unwrap();
    }

    proptest! {
        #[test]
        fn buffers_tile_the_mapping(operations in proptest::collection::vec((any::<bool>(), 0u64..3000, any::<usize>()), 0..100)) {
            let mut allocator = mapped(8 * PAGE);
            let mut held: Vec<Key<Buffer>> = Vec::new();
            for (allocate, size, pick) in operations {
                if allocate {
                    let request = Request { offsets_size: size % 5 * 8, is_async: size % 3 == 0, ..request(size) };
                    held.extend(allocator.allocate(request));
                } else if !held.is_empty() {
                    allocator.release(held.swap_remove(pick % held.len()));
                }
                prop_assert_eq!(complaints(&allocator), Vec::<String>::new());
            }
            for buffer in held {
                allocator.release(buffer);
            }
            prop_assert_eq!(allocator.buffers.len(), 1);
        }
    }
}
