//! The grammar of scheduling: `{ policy SCHED_FIFO, priority 5 }`.

use strum::IntoEnumIterator;

use super::super::cursor::{Cursor, Parsed};
use super::ioctl::structure;
use super::operand::{number, required};
use crate::program::{Scheduling, SchedulingPolicy};

#[derive(Clone, Copy, PartialEq)]
enum Field {
    Policy,
    Priority,
}

/// `{ policy SCHED_FIFO, priority 5 }`, both of which must be there.
pub(super) fn scheduling(cursor: &mut Cursor<'_>) -> Parsed<Scheduling> {
    let (mut policy, mut priority) = (None, None);
    let fields = [("policy", Field::Policy), ("priority", Field::Priority)];
    let start = structure(cursor, &fields, |cursor, field| {
        match field {
            Field::Policy => {
                let known: Vec<(&'static str, SchedulingPolicy)> =
                    SchedulingPolicy::iter().map(|policy| (policy.into(), policy)).collect();
                policy = Some(cursor.known_word("policy", &known)?.value);
            }
            Field::Priority => priority = Some(number(cursor, "a priority")?),
        }
        Ok(())
    })?;
    let policy = required(cursor, start.clone(), "policy", policy)?;
    Ok(Scheduling { policy, priority: required(cursor, start, "priority", priority)? })
}
