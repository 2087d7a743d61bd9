//! Appearance: where a program first names something. That is where it gets its number.

use super::symbols::Symbols;
use crate::program::*;

impl Symbols {
    /// Gives a number to each name that first appears in what a process does next.
    pub(super) fn number(&mut self, process: usize, action: &Action) {
        Appearance { symbols: self, process }.action(action);
    }
}

/// A walk through a program in the order in which it is read, that numbers each name where it first appears.
struct Appearance<'s> {
    symbols: &'s mut Symbols,
    /// The process whose step is being walked.
    process: usize,
}

impl Appearance<'_> {
    fn action(&mut self, action: &Action) {
        match action {
            Action::Write { commands, .. } => self.commands(commands),
            Action::Read { expected, .. } => expected.visit(&mut |pattern| self.pattern(pattern)),
            Action::WriteRead { commands, expected, .. } => {
                self.commands(commands);
                expected.iter().for_each(|expected| expected.visit(&mut |pattern| self.pattern(pattern)));
            }
            Action::Call { call: Call::Ioctl(Ioctl::SetContextMgrExt(Argument::Value(object))), .. } => {
                self.object(&object.object);
            }
            Action::Call { call: Call::Binderfs { instance, .. }, .. } => {
                self.symbols.add_instance(instance);
            }
            Action::Call { call: Call::Memfd(file) | Call::Dup(file), .. } => self.symbols.add_file(file),
            Action::Call { call: Call::Pipe { reading, writing }, .. } => {
                self.symbols.add_file(reading);
                self.symbols.add_file(writing);
            }
            Action::Call { call, expected } => {
                if let Call::Ioctl(Ioctl::GetNodeDebugInfo(Argument::Value(Token::Symbol(object)))) = call {
                    self.object(object);
                }
                self.told(expected);
            }
        }
    }

    fn commands(&mut self, commands: &[Command]) {
        for command in commands {
            match command {
                Command::Transaction { transaction, .. }
                | Command::TransactionSg { transaction, .. }
                | Command::Reply(transaction)
                | Command::ReplySg { transaction, .. } => self.payload(&transaction.data),
                Command::IncrefsDone(node) | Command::AcquireDone(node) => self.node(node),
                Command::RequestDeathNotification(_, cookie)
                | Command::ClearDeathNotification(_, cookie)
                | Command::RequestFreezeNotification(_, cookie)
                | Command::ClearFreezeNotification(_, cookie)
                | Command::DeadBinderDone(cookie)
                | Command::FreezeNotificationDone(cookie) => self.cookie(cookie),
                Command::AcquireResult(_)
                | Command::FreeBuffer(_)
                | Command::Increfs(_)
                | Command::Acquire(_)
                | Command::Release(_)
                | Command::Decrefs(_)
                | Command::AttemptAcquire(_)
                | Command::RegisterLooper
                | Command::EnterLooper
                | Command::ExitLooper
                | Command::Bytes(_) => {}
            }
        }
    }

    fn pattern(&mut self, pattern: &ReturnPattern) {
        match pattern {
            ReturnPattern::Transaction(transaction)
            | ReturnPattern::TransactionSecCtx { transaction, .. }
            | ReturnPattern::Reply(transaction) => {
                transaction.target.iter().for_each(|node| self.node(node));
                self.payload(&transaction.data);
            }
            ReturnPattern::Increfs(node)
            | ReturnPattern::Acquire(node)
            | ReturnPattern::Release(node)
            | ReturnPattern::Decrefs(node) => self.node(node),
            ReturnPattern::DeadBinder(cookie)
            | ReturnPattern::ClearDeathNotificationDone(cookie)
            | ReturnPattern::FrozenBinder { cookie, .. }
            | ReturnPattern::ClearFreezeNotificationDone(cookie) => self.cookie(cookie),
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

    fn told(&mut self, expected: &CallExpectation) {
        match expected {
            CallExpectation::Tells(Told::NodeDebugInfo { node, .. }) => self.node(node),
            CallExpectation::AnyOf(choices) => choices.iter().for_each(|choice| self.told(choice)),
            _ => {}
        }
    }

    fn payload<H>(&mut self, items: &[DataItem<H>]) {
        for item in items {
            match item.without_place() {
                DataItem::Object(Object::Binder { object, .. }) => self.object(object),
                DataItem::Object(Object::Fd { descriptor, .. }) | DataItem::Descriptor(descriptor) => {
                    self.descriptor(descriptor);
                }
                DataItem::Object(Object::Buffer(buffer)) => self.payload(&buffer.content),
                _ => {}
            }
        }
    }

    fn node(&mut self, node: &Node) {
        match node {
            Node::Object(name) => self.object(name),
            Node::Explicit { pointer, cookie } => {
                for token in [pointer, cookie] {
                    if let Token::Symbol(name) = token {
                        self.object(name);
                    }
                }
            }
        }
    }

    fn object(&mut self, name: &Name) {
        self.symbols.add_object(self.process, name);
    }

    fn descriptor(&mut self, descriptor: &Descriptor) {
        if let Descriptor::File(name) = descriptor {
            self.symbols.add_file(name);
        }
    }

    fn cookie(&mut self, token: &Token) {
        if let Token::Symbol(name) = token {
            self.symbols.add_cookie(name);
        }
    }
}
