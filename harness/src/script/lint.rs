//! Warnings: what a script may say, and yet may not mean what its author thinks.

use std::collections::HashSet;
use std::ops::Range;

use super::Script;
use super::diagnostics::{Diagnostic, Diagnostics};
use super::names::{Meaning, Mention, MentionKind};
use crate::program::{
    Action, Actor, Argument, Call, CallExpectation, Command, Context, Counter, DataItem, Declaration,
    Feature, Ioctl, Noted, Object, Program, ReadExpectation, ReturnItem, ReturnPattern, Step,
};

/// What is doubtful in a script.
pub fn lint(script: &Script) -> Diagnostics {
    let mut warnings = Vec::new();
    unused_names(&script.mentions, &mut warnings);
    idle_threads(script, &mut warnings);
    equal_alternatives(script, &mut warnings);
    missing_features(script, &mut warnings);
    Diagnostics::new(script.source.clone(), warnings)
}

/// What a target must have for a program to make sense, as far as its steps and processes tell.
pub(crate) fn features_of_program(program: &Program) -> Vec<Feature> {
    let steps = program.steps.iter().flat_map(|noted| noted.value.steps());
    let of_steps = steps.flat_map(features_of).map(|(feature, _)| feature);
    let is_elsewhere = |noted: &Noted<Declaration>| matches!(&noted.value, Declaration::Process(process) if process.context != Context::default());
    let of_contexts = program.declarations.iter().any(is_elsewhere).then_some(Feature::Contexts);
    let of_objects = wants_security_context(program).then_some(Feature::Lsm);
    let mut features = Vec::new();
    for feature in of_steps.chain(of_contexts).chain(of_objects) {
        if !features.contains(&feature) {
            features.push(feature);
        }
    }
    features.sort_unstable();
    features
}

/// Whether an object of a program is to be called with the security context of whoever calls.
fn wants_security_context(program: &Program) -> bool {
    use reference_driver::uapi::FLAT_BINDER_FLAG_TXN_SECURITY_CTX as WANTED;
    let is_wanted = |flags: u32| flags & WANTED != 0;
    let in_item = |item: &DataItem<_>| match item.without_place() {
        DataItem::Object(Object::Binder { flags: Some(flags), .. } | Object::Explicit { flags, .. }) => {
            is_wanted(*flags)
        }
        _ => false,
    };
    let in_command = |command: &Command| {
        command.sent().is_some_and(|(transaction, _)| transaction.data.iter().any(in_item))
    };
    program.steps.iter().flat_map(|noted| noted.value.steps()).any(|step| match &step.action {
        Action::Write { commands, .. } | Action::WriteRead { commands, .. } => {
            commands.iter().any(in_command)
        }
        Action::Call { call: Call::Ioctl(Ioctl::SetContextMgrExt(Argument::Value(manager))), .. } => {
            is_wanted(manager.flags)
        }
        _ => false,
    })
}

/// Handles and buffers that are named and never spoken of again.
fn unused_names(mentions: &[Mention], warnings: &mut Vec<Diagnostic>) {
    let used: HashSet<&str> = mentions
        .iter()
        .filter(|mention| matches!(mention.kind, MentionKind::Uses(_)))
        .map(|mention| mention.name.as_str())
        .collect();
    for mention in mentions {
        let (MentionKind::Binds(meaning @ (Meaning::Handle | Meaning::Buffer)), false) =
            (mention.kind, used.contains(mention.name.as_str()))
        else {
            continue;
        };
        let help = match meaning {
            Meaning::Handle => "write `handle _` for a handle that may be any",
            _ => "free it with BC_FREE_BUFFER, or leave out `as`",
        };
        let message = format!("the {meaning} `{}` is never used", mention.name);
        warnings.push(Diagnostic::warning(message, mention.span.clone(), "named here").help(help));
    }
}

/// Threads that are declared and do nothing. A context manager does something merely by being there.
fn idle_threads(script: &Script, warnings: &mut Vec<Diagnostic>) {
    let busy: HashSet<&str> = script
        .program
        .steps
        .iter()
        .flat_map(|noted| noted.value.steps())
        .flat_map(|step| match &step.actor {
            Actor::Thread(name) => std::slice::from_ref(name),
            Actor::AnyOf { candidates, .. } => candidates,
        })
        .map(|name| name.as_str())
        .collect();
    for (noted, position) in script.program.declarations.iter().zip(&script.positions.declarations) {
        let name = match &noted.value {
            Declaration::Process(process) if process.context_manager => continue,
            Declaration::Process(process) => &process.name,
            Declaration::Thread { name, .. } => name,
        };
        if !busy.contains(name.as_str()) {
            let message = format!("`{name}` does nothing");
            warnings.push(Diagnostic::warning(message, position.bytes.clone(), "declared here"));
        }
    }
}

/// Choices of which two alternatives are the same.
fn equal_alternatives(script: &Script, warnings: &mut Vec<Diagnostic>) {
    fn repeats<T: PartialEq>(choice: &[T]) -> bool {
        choice.iter().enumerate().any(|(index, alternative)| choice[..index].contains(alternative))
    }
    for (step, span) in steps(script) {
        let repeated = match &step.action {
            Action::Call { expected: CallExpectation::AnyOf(choice), .. } => repeats(choice),
            Action::Read { expected: ReadExpectation::AnyOf(choice), .. }
            | Action::WriteRead { expected: Some(ReadExpectation::AnyOf(choice)), .. } => repeats(choice),
            _ => false,
        };
        if repeated {
            let message = "an `any of` with the same alternative twice";
            warnings.push(Diagnostic::warning(message, span, "expected alternatives that differ"));
        }
    }
}

/// Features that a script uses without requiring them, so that it fails where it ought to be skipped.
fn missing_features(script: &Script, warnings: &mut Vec<Diagnostic>) {
    let Program { requires, without, .. } = &script.program;
    let mut told: HashSet<Feature> = requires.iter().chain(without).copied().collect();
    let declared = script.program.declarations.iter().zip(&script.positions.declarations);
    let declared = declared.filter_map(|(noted, position)| match &noted.value {
        Declaration::Process(process) if process.context != Context::default() => {
            Some((vec![(Feature::Contexts, "another context")], position.bytes.clone()))
        }
        _ => None,
    });
    let in_steps = steps(script).map(|(step, span)| (features_of(step), span));
    for (features, span) in declared.chain(in_steps) {
        for (feature, what) in features {
            if told.insert(feature) {
                let message = format!("{what} without `requires {feature}`");
                let label = "used here for the first time";
                warnings.push(
                    Diagnostic::warning(message, span.clone(), label).help(format!(
                        "add `requires {feature}`, so that a target without it skips the script"
                    )),
                );
            }
        }
    }
}

fn steps(script: &Script) -> impl Iterator<Item = (&Step, Range<usize>)> {
    let Program { steps, .. } = &script.program;
    let positions = script.positions.steps.iter().map(|position| position.bytes.clone());
    let at_once = steps.iter().map(|noted| noted.value.steps()).zip(positions);
    at_once.flat_map(|(steps, position)| steps.iter().map(move |step| (step, position.clone())))
}

/// The features that a step cannot do without, and what of it needs them.
fn features_of(step: &Step) -> Vec<(Feature, &'static str)> {
    let (commands, expected) = match &step.action {
        Action::Write { commands, .. } => (commands.as_slice(), None),
        Action::Read { expected, .. } => ([].as_slice(), Some(expected)),
        Action::WriteRead { commands, expected, .. } => (commands.as_slice(), expected.as_ref()),
        Action::Call { call, .. } => return features_of_call(call),
    };
    let mut features: Vec<_> = commands.iter().flat_map(features_of_command).collect();
    let mut visit = |pattern: &ReturnPattern| features.extend(feature_of_return(pattern));
    // What is only one of several possibilities is no requirement.
    if let Some(ReadExpectation::Returns(items)) = expected {
        items.iter().for_each(|item| each_return(item, &mut visit));
    }
    features
}

/// Calls `visit` with each return that must come.
fn each_return(item: &ReturnItem, visit: &mut impl FnMut(&ReturnPattern)) {
    match item {
        ReturnItem::One(pattern) => visit(pattern),
        ReturnItem::InAnyOrder(patterns) => patterns.iter().for_each(visit),
        ReturnItem::AnyOf(_) => {}
    }
}

fn features_of_call(call: &Call) -> Vec<(Feature, &'static str)> {
    match call {
        Call::Open { context, .. } if *context != Context::default() => {
            vec![(Feature::Contexts, "another context")]
        }
        Call::Unshare => vec![(Feature::UserNamespaces, "a user namespace")],
        Call::Binderfs { .. } => vec![(Feature::Binderfs, "an instance of binderfs")],
        Call::Count(Counter::PayloadCopies | Counter::PayloadBytes) => {
            vec![(Feature::CopyCounter, "a counter of copies")]
        }
        Call::Count(Counter::Descriptors) => Vec::new(),
        Call::Count(_) => vec![(Feature::ObjectCounter, "a counter of the driver's objects")],
        Call::Listen | Call::Report => vec![(Feature::Reports, "the driver's reports")],
        Call::Ioctl(Ioctl::Freeze(_) | Ioctl::GetFrozenInfo(_)) => vec![(Feature::Freeze, "freezing")],
        Call::Ioctl(Ioctl::EnableOnewaySpamDetection(_)) => {
            vec![(Feature::OnewaySpamDetection, "detection of spam")]
        }
        Call::Ioctl(Ioctl::GetExtendedError(_)) => vec![(Feature::ExtendedError, "an extended error")],
        Call::Ioctl(Ioctl::GetNodeDebugInfo(_) | Ioctl::GetNodeInfoForRef(_)) => {
            vec![(Feature::NodeInfo, "information about nodes")]
        }
        _ => Vec::new(),
    }
}

fn features_of_command(command: &Command) -> Vec<(Feature, &'static str)> {
    let (mut features, data) = match command {
        Command::TransactionSg { transaction, .. } | Command::ReplySg { transaction, .. } => {
            (vec![(Feature::ScatterGather, "a scatter-gather command")], transaction.data.as_slice())
        }
        Command::Transaction { transaction, .. } | Command::Reply(transaction) => {
            (Vec::new(), transaction.data.as_slice())
        }
        Command::RequestFreezeNotification(..)
        | Command::ClearFreezeNotification(..)
        | Command::FreezeNotificationDone(_) => {
            (vec![(Feature::FreezeNotification, "a freeze notification")], [].as_slice())
        }
        _ => (Vec::new(), [].as_slice()),
    };
    features.extend(data.iter().filter_map(feature_of_item));
    features
}

fn feature_of_item<H>(item: &DataItem<H>) -> Option<(Feature, &'static str)> {
    use reference_driver::uapi::BINDER_TYPE_FD;
    let DataItem::Object(object) = item.without_place() else { return None };
    match object {
        Object::Fd { .. } | Object::Explicit { object_type: BINDER_TYPE_FD, .. } => {
            Some((Feature::FdPassing, "a descriptor"))
        }
        Object::FdArray { .. } => Some((Feature::FdPassing, "an array of descriptors")),
        Object::Buffer(_) => Some((Feature::ScatterGather, "a scatter-gather buffer")),
        Object::Explicit { .. } | Object::Binder { .. } | Object::Handle { .. } => None,
    }
}

fn feature_of_return(pattern: &ReturnPattern) -> Option<(Feature, &'static str)> {
    match pattern {
        ReturnPattern::TransactionSecCtx { .. } => Some((Feature::Lsm, "a security context")),
        ReturnPattern::FrozenBinder { .. } | ReturnPattern::ClearFreezeNotificationDone(_) => {
            Some((Feature::FreezeNotification, "a freeze notification"))
        }
        ReturnPattern::FrozenReply => Some((Feature::Freeze, "a frozen process")),
        ReturnPattern::TransactionPendingFrozen => {
            Some((Feature::PendingFrozen, "a message pending for a frozen process"))
        }
        ReturnPattern::OnewaySpamSuspect => Some((Feature::OnewaySpamDetection, "detection of spam")),
        _ => None,
    }
}
