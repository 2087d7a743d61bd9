//! In brief: of what came, only what laws and the next steps of a rehearsal rest on. Of a payload that is its objects, and
//! of a call not who has made it. What is told so has not been compared with what came; so only that is told so of which
//! it is plain that a script could expect it.

use reference_driver::uapi::{
    BINDER_TYPE_BINDER, BINDER_TYPE_HANDLE, BINDER_TYPE_WEAK_BINDER, BINDER_TYPE_WEAK_HANDLE, FlatObject,
    PointerCookie,
};
use zerocopy::FromBytes;

use super::decode::{Received, Return};
use super::matching::Reader;
use crate::program::{
    DataItem, Handle, HandlePattern, Object, PayloadPattern, ReturnPattern, TransactionPattern,
};

/// How much a rehearsal tells of what came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// All of it, as a script expects it.
    InFull,
    /// What laws and the next steps rest on.
    InBrief,
}

impl Reader<'_> {
    /// Returns in brief; `None` if it takes all of one to know whether it can be expected.
    pub(super) fn in_brief(&self, returns: &[Return]) -> Option<Vec<ReturnPattern>> {
        returns.iter().map(|came| self.one_in_brief(came)).collect()
    }

    fn one_in_brief(&self, came: &Return) -> Option<ReturnPattern> {
        Some(match came {
            Return::Transaction(received) => ReturnPattern::Transaction(self.call_in_brief(received)?),
            Return::TransactionSecCtx { received, secctx: Some(_), .. } => {
                ReturnPattern::TransactionSecCtx { transaction: self.call_in_brief(received)?, secctx: None }
            }
            Return::Reply(received) => ReturnPattern::Reply(self.content_in_brief(received)?),
            Return::TransactionSecCtx { secctx: None, .. } => return None,
            Return::FrozenBinder(state) if state.reserved != 0 => return None,
            without_payload => self.describe(without_payload, None),
        })
    }

    fn call_in_brief(&self, received: &Received) -> Option<TransactionPattern> {
        let numbers = PointerCookie { pointer: received.header.target, cookie: received.header.cookie };
        let target = Some(self.symbols.node_named(self.process, numbers));
        Some(TransactionPattern { target, ..self.content_in_brief(received)? })
    }

    fn content_in_brief(&self, received: &Received) -> Option<TransactionPattern> {
        let data = received.data.as_deref()?;
        let (table, rest) = received.offsets.as_deref()?.as_chunks::<{ size_of::<u64>() }>();
        if !rest.is_empty() {
            return None;
        }
        let mut items = PayloadPattern::with_capacity(table.len());
        let mut end = 0;
        for offset in table {
            let offset = usize::try_from(u64::from_le_bytes(*offset)).ok()?;
            let (flat, _) = FlatObject::read_from_prefix(data.get(offset..)?).ok()?;
            if offset < end {
                return None;
            }
            end = offset + size_of::<FlatObject>();
            items.push(DataItem::Object(self.object_in_brief(&flat)?));
        }
        let (code, flags) = (received.header.code, received.header.flags);
        Some(TransactionPattern { code, flags, data: items, ..TransactionPattern::default() })
    }

    /// An object of its owner, or a handle.
    fn object_in_brief(&self, flat: &FlatObject) -> Option<Object<HandlePattern>> {
        let weak = matches!(flat.object_type, BINDER_TYPE_WEAK_BINDER | BINDER_TYPE_WEAK_HANDLE);
        match flat.object_type {
            BINDER_TYPE_BINDER | BINDER_TYPE_WEAK_BINDER => {
                let numbers = PointerCookie { pointer: flat.binder, cookie: flat.cookie };
                let object = self.symbols.object_of(self.process, numbers)?.clone();
                Some(Object::Binder { weak, object, flags: None })
            }
            BINDER_TYPE_HANDLE | BINDER_TYPE_WEAK_HANDLE if flat.cookie == 0 => {
                let number = u32::try_from(flat.binder).ok()?;
                let handle = HandlePattern::Is(Handle::Number(number));
                Some(Object::Handle { weak, handle, flags: None })
            }
            _ => None,
        }
    }
}
