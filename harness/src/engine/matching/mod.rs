//! Matching: whether what came is what a program expects, what that binds, and if not, where they first differ.

mod payload;
mod return_list;
mod transaction;

use std::fmt::Display;

use reference_driver::uapi::PointerCookie;

use super::bindings::NewBindings;
use super::decode::Return;
use super::describe;
use super::fault::ScriptFault;
use super::symbols::Symbols;
use crate::program::{Node, ReturnPattern, SecurityContextPattern, Token};
use crate::script::fragment;

pub(super) use return_list::match_returns;

/// Why what came does not match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal<Difference = String> {
    /// It differs in this way; if in words, they say where first.
    Differs(Difference),
    /// It cannot be told, since the program is at fault.
    Fault(ScriptFault),
}

impl From<ScriptFault> for Refusal {
    fn from(fault: ScriptFault) -> Refusal {
        Refusal::Fault(fault)
    }
}

/// Ends a match with words on what differs.
fn differs<T>(words: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Differs(words.into()))
}

/// Says so if a field, named with its verb, has another value than it must have.
fn same<T: PartialEq>(
    field: &str,
    came: &T,
    expected: &T,
    show: impl Fn(&T) -> String,
) -> Result<(), Refusal> {
    if came == expected {
        return Ok(());
    }
    differs(format!("{field} {}, not {}", show(came), show(expected)))
}

/// In whose eyes a return is matched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) symbols: &'a Symbols,
    /// The process that read it.
    pub(super) process: usize,
}

impl Reader<'_> {
    /// Matches one return. Bindings are only meaningful if it matches.
    fn match_return(
        &self,
        expected: &ReturnPattern,
        came: &Return,
        bindings: &mut NewBindings<'_>,
    ) -> Result<(), Refusal> {
        match (expected, came) {
            (ReturnPattern::Transaction(expected), Return::Transaction(came))
            | (ReturnPattern::Reply(expected), Return::Reply(came)) => {
                self.match_transaction(expected, came, bindings)
            }
            (
                ReturnPattern::TransactionSecCtx { transaction, secctx },
                Return::TransactionSecCtx { received, secctx: came, .. },
            ) => {
                self.match_transaction(transaction, received, bindings)?;
                self.match_security_context(secctx.as_ref(), came.as_deref())
            }
            (ReturnPattern::Error(expected), Return::Error(came))
            | (ReturnPattern::AcquireResult(expected), Return::AcquireResult(came)) => {
                same("it is", came, expected, i32::to_string)
            }
            (ReturnPattern::Increfs(expected), Return::Increfs(came))
            | (ReturnPattern::Acquire(expected), Return::Acquire(came))
            | (ReturnPattern::Release(expected), Return::Release(came))
            | (ReturnPattern::Decrefs(expected), Return::Decrefs(came)) => {
                self.match_node(&"the object", expected, *came)
            }
            (ReturnPattern::DeadBinder(expected), Return::DeadBinder(came))
            | (
                ReturnPattern::ClearDeathNotificationDone(expected),
                Return::ClearDeathNotificationDone(came),
            )
            | (
                ReturnPattern::ClearFreezeNotificationDone(expected),
                Return::ClearFreezeNotificationDone(came),
            ) => self.match_cookie(expected, *came),
            (ReturnPattern::FrozenBinder { cookie, is_frozen }, Return::FrozenBinder(came)) => {
                self.match_cookie(cookie, came.cookie)?;
                same("is_frozen is", &came.is_frozen, is_frozen, u32::to_string)?;
                same("the reserved field is", &came.reserved, &0, u32::to_string)
            }
            (ReturnPattern::Ok, Return::Ok)
            | (ReturnPattern::DeadReply, Return::DeadReply)
            | (ReturnPattern::TransactionComplete, Return::TransactionComplete)
            | (ReturnPattern::Noop, Return::Noop)
            | (ReturnPattern::SpawnLooper, Return::SpawnLooper)
            | (ReturnPattern::Finished, Return::Finished)
            | (ReturnPattern::FailedReply, Return::FailedReply)
            | (ReturnPattern::FrozenReply, Return::FrozenReply)
            | (ReturnPattern::OnewaySpamSuspect, Return::OnewaySpamSuspect)
            | (ReturnPattern::TransactionPendingFrozen, Return::TransactionPendingFrozen) => Ok(()),
            _ => differs(format!("{} came, not {}", describe::name(came), fragment::return_word(expected))),
        }
    }

    fn match_node(&self, what: &dyn Display, expected: &Node, came: PointerCookie) -> Result<(), Refusal> {
        let expected = self.symbols.node(expected);
        if expected == came {
            return Ok(());
        }
        let show = |numbers| fragment::node(&self.symbols.node_named(self.process, numbers));
        differs(format!("{what} is {}, not {}", show(came), show(expected)))
    }

    fn match_cookie(&self, expected: &Token, came: u64) -> Result<(), Refusal> {
        let expected = self.symbols.cookie(expected);
        same("the cookie is", &came, &expected, |number| fragment::token(&self.symbols.cookie_named(*number)))
    }

    fn match_security_context(
        &self,
        expected: Option<&SecurityContextPattern>,
        came: Option<&[u8]>,
    ) -> Result<(), Refusal> {
        let Some(came) = came else {
            return differs("the security context is no string in the receiver's memory");
        };
        match expected {
            Some(expected) if !self.symbols.is_security_context(expected, came) => {
                let came = fragment::security_context(&self.symbols.security_context_named(came, &[]));
                let expected = fragment::security_context(expected);
                differs(format!("the security context is {came}, not {expected}"))
            }
            _ => Ok(()),
        }
    }
}
