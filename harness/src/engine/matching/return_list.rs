//! Matching of a whole list of returns, with the choices that the protocol leaves in their order.
//!
//! Every choice is tried in turn until one fits the whole list. If none does, the attempt that came furthest
//! is the one whose failure is told.

use smallvec::SmallVec;

use super::{Reader, Refusal};
use crate::engine::bindings::{Bindings, Bound, NewBindings};
use crate::engine::decode::Return;
use crate::engine::describe;
use crate::engine::fault::ScriptFault;
use crate::program::{ReturnItem, ReturnPattern};
use crate::script::fragment;

/// How many returns may be compared for one list, so that a list of many choices ends in bounded time.
const MOST_COMPARISONS: u32 = 100_000;

/// Matches a list of returns, and gives the bindings that are new.
pub(in crate::engine) fn match_returns(
    reader: Reader<'_>,
    expected: &[ReturnItem],
    came: &[Return],
    bindings: &Bindings,
) -> Result<Bound, Refusal> {
    let mut search = Search { reader, came, furthest: None, comparisons: 0 };
    let items: SmallVec<[Item<'_>; 8]> = expected.iter().map(Item::from).collect();
    match search.items(&items, 0, NewBindings::after(bindings)) {
        Ok(bindings) => Ok(bindings.into_new()),
        Err(Dead::Fault(fault)) => Err(Refusal::Fault(fault)),
        Err(Dead::End) => {
            // Nothing was attempted only where `any of` offers nothing.
            let words = search.furthest.map_or_else(|| "there is nothing that could fit".into(), |(_, w)| w);
            Err(Refusal::Differs(words))
        }
    }
}

/// What is left to match of a [`ReturnItem`].
#[derive(Debug, Clone)]
enum Item<'a> {
    One(&'a ReturnPattern),
    /// These, in any order.
    InAnyOrder(Vec<&'a ReturnPattern>),
    AnyOf(&'a [Vec<ReturnPattern>]),
}

impl<'a> From<&'a ReturnItem> for Item<'a> {
    fn from(item: &'a ReturnItem) -> Item<'a> {
        match item {
            ReturnItem::One(pattern) => Item::One(pattern),
            ReturnItem::InAnyOrder(patterns) => Item::InAnyOrder(patterns.iter().collect()),
            ReturnItem::AnyOf(lists) => Item::AnyOf(lists),
        }
    }
}

/// Why an attempt did not lead to a match.
enum Dead {
    /// It does not fit; the search has noted where.
    End,
    Fault(ScriptFault),
}

struct Search<'a> {
    reader: Reader<'a>,
    came: &'a [Return],
    /// How far the best attempt came, and what stopped it.
    furthest: Option<(Reach, String)>,
    comparisons: u32,
}

/// How far an attempt came: how many returns fit, and whether the next was at least of the right name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Reach {
    fitting: usize,
    same_name: bool,
}

impl<'a> Search<'a> {
    /// Matches items against what came from this place on.
    fn items(
        &mut self,
        mut items: &[Item<'_>],
        mut at: usize,
        mut bindings: NewBindings<'a>,
    ) -> Result<NewBindings<'a>, Dead> {
        while let Some((Item::One(pattern), rest)) = items.split_first() {
            self.one(pattern, at, &mut bindings)?;
            items = rest;
            at += 1;
        }
        let Some((choice, rest)) = items.split_first() else {
            return match self.came.get(at) {
                None => Ok(bindings),
                Some(surplus) => {
                    let words = format!("{} came besides", describe::name(surplus));
                    Err(self.end(Reach { fitting: at, same_name: false }, words))
                }
            };
        };
        match choice {
            Item::One(_) => unreachable!("the loop above has taken it"),
            Item::AnyOf(lists) => {
                for list in *lists {
                    let list = list.iter().map(Item::One);
                    let items: Vec<Item<'_>> = list.chain(rest.iter().cloned()).collect();
                    match self.items(&items, at, bindings.clone()) {
                        Err(Dead::End) => {}
                        decided => return decided,
                    }
                }
                Err(Dead::End)
            }
            Item::InAnyOrder(patterns) => {
                if patterns.is_empty() {
                    return self.items(rest, at, bindings);
                }
                for (index, pattern) in patterns.iter().enumerate() {
                    // Of equal patterns, the first stands for all.
                    if patterns[..index].contains(pattern) {
                        continue;
                    }
                    let mut bindings = bindings.clone();
                    match self.one(pattern, at, &mut bindings) {
                        Ok(()) => {}
                        Err(Dead::End) => continue,
                        Err(fault) => return Err(fault),
                    }
                    let mut left = patterns.clone();
                    left.remove(index);
                    let mut items = vec![Item::InAnyOrder(left)];
                    items.extend_from_slice(rest);
                    match self.items(&items, at + 1, bindings) {
                        Err(Dead::End) => {}
                        decided => return decided,
                    }
                }
                Err(Dead::End)
            }
        }
    }

    /// Matches one return. What it binds before it turns out not to fit means nothing.
    fn one(
        &mut self,
        pattern: &ReturnPattern,
        at: usize,
        bindings: &mut NewBindings<'a>,
    ) -> Result<(), Dead> {
        self.comparisons += 1;
        if self.comparisons > MOST_COMPARISONS {
            return Err(Dead::Fault(ScriptFault::TooManyChoices));
        }
        let Some(came) = self.came.get(at) else {
            let words = format!("{} did not come", fragment::return_word(pattern));
            return Err(self.end(Reach { fitting: at, same_name: false }, words));
        };
        match self.reader.match_return(pattern, came, bindings) {
            Ok(()) => Ok(()),
            Err(Refusal::Fault(fault)) => Err(Dead::Fault(fault)),
            Err(Refusal::Differs(words)) => {
                let same_name = describe::name(came) == fragment::return_word(pattern);
                let place = match same_name && self.came.len() > 1 {
                    true => {
                        format!("in {}, return {} of {}: ", describe::name(came), at + 1, self.came.len())
                    }
                    false => String::new(),
                };
                Err(self.end(Reach { fitting: at, same_name }, format!("{place}{words}")))
            }
        }
    }

    /// Notes why an attempt ended, unless a better one is known.
    fn end(&mut self, reach: Reach, words: String) -> Dead {
        if self.furthest.as_ref().is_none_or(|(furthest, _)| reach > *furthest) {
            self.furthest = Some((reach, words));
        }
        Dead::End
    }
}
