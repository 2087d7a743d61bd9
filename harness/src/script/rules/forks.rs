//! Rules about processes that others fork: each is forked once, and spoken of only after that.

use super::super::diagnostics::Diagnostic;
use super::super::grammar::Reading;
use super::super::names::{Mention, MentionKind};
use crate::program::{Action, Call, Declaration, DeviceSetUp, Name};

pub(super) fn check(reading: &Reading<'_>, diagnostics: &mut Vec<Diagnostic>) {
    let program = &reading.program;
    let steps = program.steps.iter().zip(&reading.positions.steps);
    let forks: Vec<(&Name, std::ops::Range<usize>)> = steps
        .flat_map(|(noted, position)| noted.value.steps().iter().map(move |step| (step, position)))
        .filter_map(|(step, position)| match &step.action {
            Action::Call { call: Call::Fork(child), .. } => Some((child, position.bytes.clone())),
            _ => None,
        })
        .collect();
    for (noted, position) in program.declarations.iter().zip(&reading.positions.declarations) {
        let Declaration::Process(process) = &noted.value else { continue };
        let mut of_this = forks.iter().filter(|(child, _)| **child == process.name).map(|(_, step)| step);
        if process.device != DeviceSetUp::Forked {
            diagnostics.extend(of_this.map(|step| {
                let message = format!("`{}` is there already", process.name);
                Diagnostic::error(message, step.clone(), "expected a process that is declared `forked`")
                    .related(position.bytes.clone(), "declared here")
            }));
            continue;
        }
        let Some(first) = of_this.next() else {
            let message = format!("nobody forks `{}`", process.name);
            diagnostics.push(
                Diagnostic::error(message, position.bytes.clone(), "a process that will never be there")
                    .help("another process makes it by `! fork NAME`"),
            );
            continue;
        };
        diagnostics.extend(of_this.map(|step| {
            let message = format!("`{}` is forked twice", process.name);
            Diagnostic::error(message, step.clone(), "expected another process")
                .related(first.clone(), "forked here")
        }));
        let declared = |mention: &Mention| {
            reading.positions.declarations.iter().any(|position| position.bytes.contains(&mention.span.start))
        };
        let (of_declarations, too_early): (Vec<_>, Vec<_>) = reading
            .mentions
            .iter()
            .filter(|mention| {
                mention.name == process.name
                    && matches!(mention.kind, MentionKind::Uses(_))
                    && mention.span.start < first.start
            })
            .partition(|mention| declared(mention));
        diagnostics.extend(of_declarations.into_iter().map(|mention| {
            let message = format!("`{}` is forked, and has one thread", process.name);
            Diagnostic::error(
                message,
                mention.span.clone(),
                "expected a process that is there from the start",
            )
            .related(position.bytes.clone(), "declared here")
            .help("a fork copies the thread that forks and no other: that one has the name of the process")
        }));
        diagnostics.extend(too_early.into_iter().map(|mention| {
            let message = format!("`{}` is not there yet", process.name);
            Diagnostic::error(message, mention.span.clone(), "expected a process that is")
                .related(first.clone(), "forked here")
        }));
    }
}
