//! Calls in a scene: what a thread does besides reading and writing.

use super::Scene;
use crate::generate::settle::Settler;
use crate::program::*;

impl Scene<'_, '_, '_, '_> {
    /// Things that change nothing, and ought to.
    pub(super) fn look(&mut self) {
        let handle = self.handle();
        let Scene { settler, thread, .. } = self;
        let process = &settler.situation.processes[thread.process];
        let object = settler.choices.pick(&process.objects).map(|object| object.name.clone());
        let pid = any_process(settler);
        let request = NodeInfoRequest {
            handle,
            strong_count: 0,
            weak_count: 0,
            reserved1: 0,
            reserved2: 0,
            reserved3: 0,
        };
        let watches = settler.situation.processes[thread.process].watches;
        let call = match settler.choices.below(8) {
            0 => Call::Poll { timeout_ms: 0 },
            1 if watches => Call::EpollWait { timeout_ms: 0 },
            1 => Call::Epoll,
            2 => Call::Ioctl(Ioctl::GetExtendedError(Argument::Value(()))),
            3 => Call::Ioctl(Ioctl::GetNodeDebugInfo(Argument::Value(
                object.map_or(Token::Number(0), Token::Symbol),
            ))),
            4 if settler.choices.one_in(2) => Call::Ioctl(Ioctl::GetNodeInfoForRef(Argument::Value(request))),
            5 => Call::Ioctl(Ioctl::GetFrozenInfo(Argument::Value(pid))),
            6 => Call::Ioctl(Ioctl::Version(Argument::Value(()))),
            _ => Call::Poll { timeout_ms: 0 },
        };
        settler.propose(*thread, Action::call(call));
    }

    pub(super) fn lifecycle(&mut self) {
        let Scene { settler, thread, .. } = self;
        let process = &settler.situation.processes[thread.process];
        let (is_open, is_mapped, pages) = (process.is_open, process.is_mapped, process.pages);
        let is_mourned = thread.process != 0
            && settler.situation.processes.iter().any(|process| !process.deaths.is_empty());
        let call = match settler.choices.below(10) {
            _ if is_mourned && settler.choices.one_in(2) => Call::Exit,
            0 if settler.choices.one_in(2) => Call::Exit,
            1 => Call::Ioctl(Ioctl::ThreadExit),
            2 => Call::Flush,
            3 if settler.choices.one_in(2) => Call::Close,
            4 if settler.choices.one_in(2) => Call::Munmap(None),
            5 if thread.process != 0 => Call::Exit,
            6 => Call::Ioctl(Ioctl::SetContextMgr),
            7 => {
                let threads = settler.parked_threads();
                match settler.choices.pick(&threads) {
                    Some(name) => Call::Signal(name.clone()),
                    None => Call::Flush,
                }
            }
            _ if !is_open => Call::Open { context: Context::Binder, nonblock: false },
            _ if !is_mapped => Call::Mmap {
                size: 64 * 1024,
                write: false,
                shared: settler.choices.one_in(4),
                at: if settler.choices.one_in(2) { Place::new(PLACES.start) } else { None },
            },
            8 | 9 if let Some(pages) = pages => change_mapping(pages, settler),
            _ => Call::Ioctl(Ioctl::ThreadExit),
        };
        settler.propose(*thread, Action::call(call));
    }

    pub(super) fn freeze(&mut self) {
        let Scene { settler, thread, .. } = self;
        let pid = any_process(settler);
        let enable = u32::from(settler.choices.one_in(2));
        let request = FreezeRequest { pid, enable, timeout_ms: 0 };
        settler.propose(*thread, Action::ioctl(Ioctl::Freeze(Argument::Value(request))));
    }

    pub(super) fn file(&mut self) {
        let Scene { settler, thread, .. } = self;
        let names = [settler.new_name("f"), settler.new_name("f")];
        let process = &settler.situation.processes[thread.process];
        let known = settler.choices.pick(&process.files).cloned();
        let [first, second] = names;
        let call = match (settler.choices.below(5), known) {
            (0, Some(file)) => Call::CloseDescriptor(file),
            (1, Some(file)) => Call::PollDescriptor(file),
            (2, _) => Call::Pipe { reading: first, writing: second },
            _ => Call::Memfd(first),
        };
        settler.propose(*thread, Action::call(call));
    }

    pub(super) fn limit(&mut self) {
        let Scene { settler, thread, .. } = self;
        let ioctl_chosen = match settler.choices.below(4) {
            0 => Ioctl::SetMaxThreads(Argument::Value(settler.choices.below(4) as u32)),
            1 | 2 => Ioctl::EnableOnewaySpamDetection(Argument::Value(1)),
            _ => Ioctl::SetMaxThreads(Argument::Unmapped),
        };
        settler.propose(*thread, Action::ioctl(ioctl_chosen));
    }
}

/// Something that leaves of a mapping less than it was, or more again.
fn change_mapping(whole: Pages, settler: &mut Settler<'_, '_, '_>) -> Call {
    let count = (whole.size() / PAGE) as usize;
    let first = settler.choices.below(count);
    let size = (1 + settler.choices.below(count - first)) as u64 * PAGE;
    let place = Place::new(whole.place().address() + first as u64 * PAGE).unwrap_or(whole.place());
    let pages = Pages::new(place, size).unwrap_or(whole);
    match settler.choices.below(6) {
        0 => Call::Munmap(Some(pages)),
        1 => Call::Mmap { size, write: false, shared: false, at: Some(place) },
        2 => Call::Mprotect { pages, protection: Protection::Write },
        3 | 4 => Call::Mprotect { pages, protection: Protection::None },
        _ => Call::Mprotect { pages, protection: Protection::Read },
    }
}

/// Any process, the one that asks among them.
fn any_process(settler: &mut Settler<'_, '_, '_>) -> PidPattern {
    let place = settler.choices.below(settler.situation.processes.len());
    PidPattern::Process(settler.situation.processes[place].name.clone())
}
