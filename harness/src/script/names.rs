//! Names: the rules about what a script's names stand for.
//!
//! A name means one thing in the whole script: a process, a thread, an object, a handle, a buffer, a cookie, a file or
//! an instance of binderfs.
//! The grammar notes each place where a name stands, and the rules are checked over these mentions in order.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::Range;

use super::diagnostics::{Diagnostic, near_miss};
use crate::program::Name;

/// A place where a name stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mention {
    pub(super) kind: MentionKind,
    pub(super) name: Name,
    pub(super) span: Range<usize>,
    pub(super) branch: Option<Branch>,
}

/// One alternative of an `any of`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Branch {
    /// Which `any of` of the script.
    pub(super) choice: usize,
    /// Which of its alternatives.
    pub(super) alternative: usize,
}

/// What a name is there for where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MentionKind {
    /// From here on the name stands for a new thing of this kind.
    Binds(Meaning),
    /// The name must stand for such a thing already.
    Uses(Meaning),
    /// The name stands for such a thing, be it new or not: an object, or the cookie of a request.
    Introduces(Meaning),
}

/// What a name can stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Meaning {
    /// A process and its first thread.
    Process,
    /// A thread, be it the first of its process.
    Thread,
    Object,
    Handle,
    Buffer,
    Cookie,
    /// An open file, for which processes have descriptors.
    File,
    /// An instance of binderfs.
    Instance,
}

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Meaning::Process => "process",
            Meaning::Thread => "thread",
            Meaning::Object => "object",
            Meaning::Handle => "handle",
            Meaning::Buffer => "buffer",
            Meaning::Cookie => "cookie",
            Meaning::File => "file",
            Meaning::Instance => "instance of binderfs",
        })
    }
}

impl Meaning {
    /// Whether a name with this meaning can stand where that one is asked for.
    fn serves_as(self, asked: Meaning) -> bool {
        self == asked || (self, asked) == (Meaning::Process, Meaning::Thread)
    }

    fn how_bound(self) -> &'static str {
        match self {
            Meaning::Process => "a process is declared by `process NAME`",
            Meaning::Thread => {
                "a thread is declared by `process NAME`, `thread NAME of PROCESS` or `any of { … } as NAME`"
            }
            Meaning::Object => "an object comes into being where it is sent",
            Meaning::Handle => "a handle is bound by `handle ?NAME` in what is received",
            Meaning::Buffer => "a buffer is named by `as NAME` behind what is received",
            Meaning::Cookie => {
                "a cookie is named in BC_REQUEST_DEATH_NOTIFICATION or BC_REQUEST_FREEZE_NOTIFICATION; \
                 one that nobody knows is written as a number"
            }
            Meaning::Instance => "an instance of binderfs is mounted by `! mount NAME`",
            Meaning::File => "a file is made by `! memfd NAME`, `! pipe NAME NAME` or `! dup NAME`",
        }
    }
}

/// Checks all mentions, in the order of the script. Of names in `excused`, which stand in statements that could
/// not be read, it is not known what they mean.
pub(super) fn check(mentions: &[Mention], excused: &HashSet<&str>) -> Vec<Diagnostic> {
    let mut known: HashMap<&str, (Meaning, &Mention)> = HashMap::new();
    let mut diagnostics = Vec::new();
    for mention in mentions {
        let name = mention.name.as_str();
        let found = known.get(name).copied();
        match (mention.kind, found) {
            (MentionKind::Binds(meaning), None) | (MentionKind::Introduces(meaning), None) => {
                known.insert(name, (meaning, mention));
            }
            (MentionKind::Binds(meaning), Some((earlier, first))) => {
                if meaning != earlier || !are_alternatives(mention.branch, first.branch) {
                    diagnostics.push(
                        Diagnostic::error(
                            format!("the name `{name}` is taken"),
                            mention.span.clone(),
                            format!("expected a new name for this {meaning}"),
                        )
                        .related(first.span.clone(), format!("the name of this {earlier}")),
                    );
                }
            }
            (MentionKind::Uses(asked) | MentionKind::Introduces(asked), Some((earlier, first))) => {
                if !earlier.serves_as(asked) {
                    diagnostics.push(
                        Diagnostic::error(
                            format!("`{name}` is not {}", with_article(asked)),
                            mention.span.clone(),
                            format!("expected {}", with_article(asked)),
                        )
                        .related(first.span.clone(), format!("`{name}` is this {earlier}")),
                    );
                }
            }
            (MentionKind::Uses(asked), None) if !excused.contains(name) => {
                let candidates =
                    known.iter().filter(|(_, (meaning, _))| meaning.serves_as(asked)).map(|(name, _)| *name);
                let mut candidates: Vec<&str> = candidates.collect();
                candidates.sort_unstable();
                let label = match near_miss(name, candidates) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("no {asked} has this name so far"),
                };
                diagnostics.push(
                    Diagnostic::error(format!("unknown {asked} `{name}`"), mention.span.clone(), label)
                        .help(asked.how_bound()),
                );
            }
            (MentionKind::Uses(_), None) => {}
        }
    }
    diagnostics
}

fn are_alternatives(one: Option<Branch>, other: Option<Branch>) -> bool {
    matches!((one, other), (Some(one), Some(other))
        if one.choice == other.choice && one.alternative != other.alternative)
}

fn with_article(meaning: Meaning) -> String {
    let article = if matches!(meaning, Meaning::Object | Meaning::Instance) { "an" } else { "a" };
    format!("{article} {meaning}")
}
