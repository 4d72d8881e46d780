//! Which of several instances gets a call.

use super::instances::{Instances, State};
use super::links::{Link, Links};
use crate::config::Balance;
use crate::message::Priority;
use crate::outbox::LinkId;
use crate::rng::Generator;
use crate::route::Instance;
use crate::slots::Slot;
use crate::time::Instant;

/// What a call wants, and what is known of the load of each instance at the moment.
pub(super) struct Select<'a> {
    pub(super) links: &'a Links,
    pub(super) instances: &'a Instances,
    /// The shard that chooses.
    pub(super) own: u16,
    pub(super) write_bytes_max: u32,
    /// The link over which the call came.
    pub(super) caller: LinkId,
    pub(super) now: Instant,
    pub(super) priority: Priority,
    /// The node that must answer, as `ID` or `ID@MAIN`; empty when any may.
    pub(super) node: &'a str,
    /// The id of this Main, to which its Homes are attached; empty in a Home, whose Main has looked
    /// before it passed a call on.
    pub(super) main: &'a str,
    /// The instance that was tried already.
    pub(super) except: Slot,
    /// The bit of the compression of the request; zero when it is plain.
    pub(super) packed: u8,
}

/// Why no instance takes a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NoInstance {
    /// There is none.
    Unknown,
    /// None of them takes bodies that are compressed like this.
    Packed,
    /// All of them are at their limits.
    Full,
    /// Those that are not full failed often; one may be tried then.
    Open(Instant),
}

impl Select<'_> {
    /// The instance that gets the call: of the nearest ones that take it, as `balance` says.
    /// `turn` counts the calls of the service.
    #[inline]
    pub(super) fn choose<'i>(
        &self,
        instances: &'i [Instance],
        balance: Balance,
        turn: u32,
        generator: &mut Generator,
    ) -> Result<&'i Instance, NoInstance> {
        if let [only] = instances {
            return self.load(only).map(|_| only);
        }
        let mut rest = instances;
        let mut why = NoInstance::Unknown;
        while let Some(first) = rest.first() {
            let tier = rest.iter().take_while(|instance| instance.tier == first.tier).count();
            let (nearest, behind) = rest.split_at(tier);
            match self.pick(nearest, balance, turn, generator) {
                Ok(chosen) => return Ok(chosen),
                Err(worse) => why = why.and(worse),
            }
            rest = behind;
        }
        Err(why)
    }

    /// One of several that are equally near.
    fn pick<'i>(
        &self,
        instances: &'i [Instance],
        balance: Balance,
        turn: u32,
        generator: &mut Generator,
    ) -> Result<&'i Instance, NoInstance> {
        let first = match (balance, instances) {
            (_, []) => return Err(NoInstance::Unknown),
            (_, [only]) => return self.load(only).map(|_| only),
            (Balance::TwoChoices, many) => {
                let (first, second) = draw_two(many.len(), generator);
                match (self.load(&many[first]), self.load(&many[second])) {
                    (Ok(a), Ok(b)) if b < a => return Ok(&many[second]),
                    (Ok(_), _) => return Ok(&many[first]),
                    (Err(_), Ok(_)) => return Ok(&many[second]),
                    (Err(_), Err(_)) => first,
                }
            }
            (Balance::LeastConnections, many) => return self.least_busy(many, turn),
            (Balance::RoundRobin, many) => turn as usize % many.len(),
            (Balance::Random, many) => generator.below(many.len() as u32) as usize,
        };
        let mut why = NoInstance::Unknown;
        let (before, after) = instances.split_at(first);
        for instance in after.iter().chain(before) {
            match self.load(instance) {
                Ok(_) => return Ok(instance),
                Err(worse) => why = why.and(worse),
            }
        }
        Err(why)
    }

    /// The one with the fewest calls in flight; of several the next one in turn.
    fn least_busy<'i>(&self, many: &'i [Instance], turn: u32) -> Result<&'i Instance, NoInstance> {
        let (mut least, mut why) = (None, NoInstance::Unknown);
        let (before, after) = many.split_at(turn as usize % many.len());
        for instance in after.iter().chain(before) {
            match self.load(instance) {
                Ok(_) => {
                    let busy = self.instances.get(instance.slot).map_or(0, |state| state.in_flight);
                    if least.is_none_or(|(fewest, _)| busy < fewest) {
                        least = Some((busy, instance));
                    }
                }
                Err(worse) => why = why.and(worse),
            }
        }
        least.map(|(_, instance)| instance).ok_or(why)
    }

    /// What an instance has to do, or why it takes no call now. Of a link that another shard owns
    /// only what this shard sent there is known.
    #[inline]
    fn load(&self, instance: &Instance) -> Result<u64, NoInstance> {
        if !self.is_wanted(instance) || instance.slot == self.except {
            return Err(NoInstance::Unknown);
        }
        if instance.compressions & self.packed != self.packed {
            return Err(NoInstance::Packed);
        }
        let state = self.instances.get(instance.slot);
        if let Some(Err(until)) = state.map(|state| state.allows(self.now)) {
            return Err(NoInstance::Open(until));
        }
        let LinkId { shard, .. } = instance.link;
        let near = if shard == self.own { instance.link } else { self.links.sibling(shard) };
        let takes = |link: &Link| {
            link.takes_calls(self.caller, self.write_bytes_max, self.priority, self.now)
        };
        if !self.links.get(near).is_some_and(takes) {
            return Err(NoInstance::Full);
        }
        Ok(state.map_or(0, |state: &State| state.score(self.now)))
    }

    #[inline]
    fn is_wanted(&self, instance: &Instance) -> bool {
        if self.node.is_empty() || planted!("named_node_ignored") {
            return true;
        }
        let Some((node, main)) = self.node.split_once('@') else {
            return instance.node.as_str() == self.node;
        };
        let last = instance.path.as_ref().and_then(|path| path.last());
        let origin = last.map_or(self.main, |origin| origin.as_str());
        instance.node.as_str() == node && (origin == main || origin.is_empty())
    }
}

impl NoInstance {
    /// What is said of two sets of instances that both take no call.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unknown, why) | (why, Self::Unknown) => why,
            // Whoever sends the call again, and plain, learns about the others.
            (Self::Packed, _) | (_, Self::Packed) => Self::Packed,
            (Self::Open(a), Self::Open(b)) => Self::Open(a.min(b)),
            (Self::Full, _) | (_, Self::Full) => Self::Full,
        }
    }
}

/// Two different places below `count`, which is at least two.
fn draw_two(count: usize, generator: &mut Generator) -> (usize, usize) {
    let count = count as u32;
    let first = generator.below(count);
    let second = (first + 1 + generator.below(count - 1)) % count;
    (first as usize, second as usize)
}

#[cfg(test)]
mod tests;
