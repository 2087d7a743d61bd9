//! The names that a program uses for what takes part in it, wherever they stand: all of them can be changed at once.
//!
//! Nothing here leaves a field out with `..`: whoever adds one has to say whether a name is in it.

use super::*;

impl Program {
    /// Calls `change` with each name, wherever it stands. The topics of clauses are none of the program's own.
    pub(crate) fn each_name(&mut self, change: &mut impl FnMut(&mut Name)) {
        let Program {
            opening: _,
            clauses: _,
            driver: _,
            requires: _,
            without: _,
            unconfirmed: _,
            declarations,
            steps,
            closing: _,
        } = self;
        declarations.iter_mut().for_each(|noted| in_declaration(&mut noted.value, change));
        for noted in steps {
            noted.value.steps_mut().iter_mut().for_each(|step| in_step(step, change));
        }
    }
}

fn in_declaration(declaration: &mut Declaration, change: &mut impl FnMut(&mut Name)) {
    match declaration {
        Declaration::Process(Process {
            name,
            context: _,
            context_manager: _,
            uid: _,
            nonblock: _,
            device: _,
        }) => change(name),
        Declaration::Thread { name, process } => {
            change(name);
            change(process);
        }
    }
}

fn in_step(Step { actor, action }: &mut Step, change: &mut impl FnMut(&mut Name)) {
    match actor {
        Actor::Thread(name) => change(name),
        Actor::AnyOf { candidates, alias } => {
            candidates.iter_mut().for_each(&mut *change);
            change(alias);
        }
    }
    match action {
        Action::Write { options: _, commands, written: _ } => {
            commands.iter_mut().for_each(|command| in_command(command, change));
        }
        Action::Read { options: _, expected } => in_read(expected, change),
        Action::WriteRead { options: _, commands, written: _, expected } => {
            commands.iter_mut().for_each(|command| in_command(command, change));
            expected.iter_mut().for_each(|expected| in_read(expected, change));
        }
        Action::Call { call, expected } => {
            in_call(call, change);
            in_call_expectation(expected, change);
        }
    }
}

fn in_command(command: &mut Command, change: &mut impl FnMut(&mut Name)) {
    match command {
        Command::Transaction { target, transaction }
        | Command::TransactionSg { target, transaction, buffers_size: _ } => {
            in_handle(target, change);
            in_transaction(transaction, change);
        }
        Command::Reply(transaction) | Command::ReplySg { transaction, buffers_size: _ } => {
            in_transaction(transaction, change);
        }
        Command::FreeBuffer(address) => in_address(address, change),
        Command::Increfs(handle)
        | Command::Acquire(handle)
        | Command::Release(handle)
        | Command::Decrefs(handle)
        | Command::AttemptAcquire(handle) => in_handle(handle, change),
        Command::IncrefsDone(node) | Command::AcquireDone(node) => in_node(node, change),
        Command::RequestDeathNotification(handle, cookie)
        | Command::ClearDeathNotification(handle, cookie)
        | Command::RequestFreezeNotification(handle, cookie)
        | Command::ClearFreezeNotification(handle, cookie) => {
            in_handle(handle, change);
            in_token(cookie, change);
        }
        Command::DeadBinderDone(cookie) | Command::FreezeNotificationDone(cookie) => in_token(cookie, change),
        Command::AcquireResult(_)
        | Command::RegisterLooper
        | Command::EnterLooper
        | Command::ExitLooper
        | Command::Bytes(_) => {}
    }
}

fn in_transaction(transaction: &mut Transaction, change: &mut impl FnMut(&mut Name)) {
    let Transaction {
        code: _,
        flags: _,
        data,
        offsets: _,
        data_size: _,
        offsets_size: _,
        buffer,
        offsets_buffer,
        cookie: _,
        sender_pid: _,
        sender_euid: _,
    } = transaction;
    in_items(data, &mut in_handle, change);
    buffer.iter_mut().chain(offsets_buffer).for_each(|address| in_address(address, change));
}

/// In what is sent or expected, which differ in what stands for a handle.
fn in_items<H, C: FnMut(&mut Name)>(
    items: &mut [DataItem<H>],
    in_handle: &mut impl FnMut(&mut H, &mut C),
    change: &mut C,
) {
    for item in items {
        let mut item = item;
        while let DataItem::At(_, inner) = item {
            item = inner;
        }
        match item {
            DataItem::Descriptor(descriptor) => in_descriptor(descriptor, change),
            DataItem::Object(Object::Binder { weak: _, object, flags: _ }) => change(object),
            DataItem::Object(Object::Handle { weak: _, handle, flags: _ }) => in_handle(handle, change),
            DataItem::Object(Object::Fd { descriptor, flags: _, cookie: _ }) => {
                in_descriptor(descriptor, change);
            }
            DataItem::Object(Object::Buffer(BufferObject {
                content,
                parent: _,
                flags: _,
                length: _,
                buffer,
            })) => {
                in_items(content, in_handle, change);
                buffer.iter_mut().for_each(|address| in_address(address, change));
            }
            DataItem::Object(Object::Explicit { .. } | Object::FdArray { .. })
            | DataItem::U32(_)
            | DataItem::I32(_)
            | DataItem::U64(_)
            | DataItem::I64(_)
            | DataItem::Str16(_)
            | DataItem::Bytes(_)
            | DataItem::Zero(_)
            | DataItem::At(..)
            | DataItem::Pointer(_) => {}
        }
    }
}

fn in_read(expected: &mut ReadExpectation, change: &mut impl FnMut(&mut Name)) {
    match expected {
        ReadExpectation::Parked | ReadExpectation::Failed { errno: _, consumed: _ } => {}
        ReadExpectation::AnyOf(choices) => choices.iter_mut().for_each(|choice| in_read(choice, change)),
        ReadExpectation::Returns(items) => {
            for item in items {
                match item {
                    ReturnItem::One(pattern) => in_return(pattern, change),
                    ReturnItem::InAnyOrder(all) => {
                        all.iter_mut().for_each(|pattern| in_return(pattern, change));
                    }
                    ReturnItem::AnyOf(lists) => {
                        lists.iter_mut().flatten().for_each(|pattern| in_return(pattern, change));
                    }
                }
            }
        }
    }
}

fn in_return(pattern: &mut ReturnPattern, change: &mut impl FnMut(&mut Name)) {
    match pattern {
        ReturnPattern::Transaction(arrival) | ReturnPattern::Reply(arrival) => in_arrival(arrival, change),
        ReturnPattern::TransactionSecCtx { transaction, secctx } => {
            in_arrival(transaction, change);
            match secctx {
                Some(SecurityContextPattern::Process(name)) => change(name),
                Some(SecurityContextPattern::Text(_)) | None => {}
            }
        }
        ReturnPattern::Increfs(node)
        | ReturnPattern::Acquire(node)
        | ReturnPattern::Release(node)
        | ReturnPattern::Decrefs(node) => in_node(node, change),
        ReturnPattern::DeadBinder(cookie)
        | ReturnPattern::ClearDeathNotificationDone(cookie)
        | ReturnPattern::FrozenBinder { cookie, is_frozen: _ }
        | ReturnPattern::ClearFreezeNotificationDone(cookie) => in_token(cookie, change),
        ReturnPattern::Error(_)
        | ReturnPattern::Ok
        | ReturnPattern::AcquireResult(_)
        | ReturnPattern::DeadReply
        | ReturnPattern::TransactionComplete
        | ReturnPattern::Noop
        | ReturnPattern::SpawnLooper
        | ReturnPattern::Finished
        | ReturnPattern::FailedReply
        | ReturnPattern::FrozenReply
        | ReturnPattern::OnewaySpamSuspect
        | ReturnPattern::TransactionPendingFrozen => {}
    }
}

fn in_arrival<C: FnMut(&mut Name)>(arrival: &mut TransactionPattern, change: &mut C) {
    let TransactionPattern { target, code: _, flags: _, pid, euid: _, data, offsets: _, capture } = arrival;
    target.iter_mut().for_each(|node| in_node(node, change));
    pid.iter_mut().for_each(|pid| in_pid(pid, change));
    let mut in_handle = |pattern: &mut HandlePattern, change: &mut C| match pattern {
        HandlePattern::Is(handle) => in_handle(handle, change),
        HandlePattern::Bind(name) => change(name),
        HandlePattern::Any => {}
    };
    in_items(data, &mut in_handle, change);
    capture.iter_mut().for_each(change);
}

fn in_call(call: &mut Call, change: &mut impl FnMut(&mut Name)) {
    match call {
        Call::Fork(name)
        | Call::Dup(name)
        | Call::Use(name)
        | Call::Memfd(name)
        | Call::CloseDescriptor(name)
        | Call::PollDescriptor(name)
        | Call::Signal(name) => change(name),
        Call::Pipe { reading, writing } => {
            change(reading);
            change(writing);
        }
        Call::Binderfs { instance, call: _ } => change(instance),
        Call::Ioctl(ioctl) => in_ioctl(ioctl, change),
        Call::Open { .. }
        | Call::Close
        | Call::Flush
        | Call::Mmap { .. }
        | Call::Munmap(_)
        | Call::Mprotect { .. }
        | Call::Poll { .. }
        | Call::Epoll
        | Call::EpollWait { .. }
        | Call::EpollClose
        | Call::Listen
        | Call::Report
        | Call::Exit
        | Call::Unshare
        | Call::SetPriority(_)
        | Call::GetPriority
        | Call::SetScheduler(_)
        | Call::GetScheduler
        | Call::LimitNice(_)
        | Call::DropCaches
        | Call::Await
        | Call::LimitDescriptors(_)
        | Call::Count(_) => {}
    }
}

fn in_ioctl(ioctl: &mut Ioctl, change: &mut impl FnMut(&mut Name)) {
    match ioctl {
        Ioctl::SetContextMgrExt(Argument::Value(ContextManagerObject { object, flags: _ })) => change(object),
        Ioctl::GetNodeDebugInfo(Argument::Value(token)) => in_token(token, change),
        Ioctl::GetNodeInfoForRef(Argument::Value(request)) => in_handle(&mut request.handle, change),
        Ioctl::Freeze(Argument::Value(FreezeRequest { pid, enable: _, timeout_ms: _ }))
        | Ioctl::GetFrozenInfo(Argument::Value(pid)) => in_pid(pid, change),
        Ioctl::SetContextMgrExt(Argument::Unmapped)
        | Ioctl::GetNodeDebugInfo(Argument::Unmapped)
        | Ioctl::GetNodeInfoForRef(Argument::Unmapped)
        | Ioctl::Freeze(Argument::Unmapped)
        | Ioctl::GetFrozenInfo(Argument::Unmapped)
        | Ioctl::WriteReadUnmapped
        | Ioctl::SetIdleTimeout(_)
        | Ioctl::SetMaxThreads(_)
        | Ioctl::SetIdlePriority(_)
        | Ioctl::SetContextMgr
        | Ioctl::ThreadExit
        | Ioctl::Version(_)
        | Ioctl::EnableOnewaySpamDetection(_)
        | Ioctl::GetExtendedError(_)
        | Ioctl::Raw { .. } => {}
    }
}

fn in_call_expectation(expected: &mut CallExpectation, change: &mut impl FnMut(&mut Name)) {
    match expected {
        CallExpectation::Tells(told) => in_told(told, change),
        CallExpectation::AnyOf(choices) => {
            choices.iter_mut().for_each(|choice| in_call_expectation(choice, change));
        }
        CallExpectation::Succeeds
        | CallExpectation::Value(_)
        | CallExpectation::Parked
        | CallExpectation::Fails(_)
        | CallExpectation::Events(_) => {}
    }
}

fn in_told(told: &mut Told, change: &mut impl FnMut(&mut Name)) {
    match told {
        Told::NodeDebugInfo { node, has_strong_ref: _, has_weak_ref: _ } => in_node(node, change),
        Told::Report(report) => {
            let Report {
                error: _,
                context: _,
                from_pid,
                from_tid,
                to_pid,
                to_tid,
                is_reply: _,
                flags: _,
                code: _,
                data_size: _,
            } = &mut **report;
            from_pid.iter_mut().chain(to_pid).for_each(|pid| in_pid(pid, change));
            from_tid.iter_mut().chain(to_tid).for_each(change);
        }
        Told::FrozenInfo { .. }
        | Told::ExtendedError { .. }
        | Told::NodeInfoForRef { .. }
        | Told::Scheduling(_) => {}
    }
}

fn in_handle(handle: &mut Handle, change: &mut impl FnMut(&mut Name)) {
    match handle {
        Handle::Symbol(name) => change(name),
        Handle::Number(_) => {}
    }
}

fn in_token(token: &mut Token, change: &mut impl FnMut(&mut Name)) {
    match token {
        Token::Symbol(name) => change(name),
        Token::Number(_) => {}
    }
}

fn in_node(node: &mut Node, change: &mut impl FnMut(&mut Name)) {
    match node {
        Node::Object(name) => change(name),
        Node::Explicit { pointer, cookie } => {
            in_token(pointer, change);
            in_token(cookie, change);
        }
    }
}

fn in_address(address: &mut Address, change: &mut impl FnMut(&mut Name)) {
    match address {
        Address::Buffer { buffer, offset: _ } => change(buffer),
        Address::Number(_) | Address::Unmapped => {}
    }
}

fn in_descriptor(descriptor: &mut Descriptor, change: &mut impl FnMut(&mut Name)) {
    match descriptor {
        Descriptor::File(name) => change(name),
        Descriptor::Number(_) => {}
    }
}

fn in_pid(pid: &mut PidPattern, change: &mut impl FnMut(&mut Name)) {
    match pid {
        PidPattern::Process(name) => change(name),
        PidPattern::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{parse, print};
    use crate::suite::embedded;

    #[test]
    fn no_name_of_the_suite_is_left_out() {
        let mut names = 0;
        for case in embedded() {
            let script = case.script.expect("the suite can be read");
            let mut changed = script.program.clone();
            changed.each_name(&mut |name| *name = name.another());
            let read = parse(print(&changed).as_bytes()).expect("other names do as well");
            let kept: Vec<&Name> = read.names().filter(|name| !name.as_str().ends_with("-x")).collect();
            assert_eq!(kept, Vec::<&Name>::new(), "{}", case.id);
            names += read.names().count();
            changed.each_name(&mut |name| {
                let before = name.as_str().strip_suffix("-x").and_then(Name::new);
                *name = before.expect("it is what has been changed");
            });
            assert_eq!(changed, script.program, "{}", case.id);
        }
        assert!(names > 1000, "{names}");
    }
}
