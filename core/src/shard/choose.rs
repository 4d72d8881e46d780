//! Which of several instances gets a call.

use super::links::Links;
use crate::outbox::LinkId;
use crate::rng::Generator;
use crate::route::Instance;

/// What is known of the load of each instance at the moment.
pub(super) struct Loads<'a> {
    pub(super) links: &'a Links,
    pub(super) own: u16,
    pub(super) write_bytes_max: u32,
}

impl Loads<'_> {
    /// Of two instances drawn by lot, the one with fewer calls in flight (Mitzenmacher, "The Power
    /// of Two Choices"); any that takes a call where neither does. `node` narrows the choice to
    /// one node unless it is empty.
    #[inline]
    pub(super) fn choose(
        &self,
        instances: &[Instance],
        node: &str,
        generator: &mut Generator,
    ) -> Option<LinkId> {
        let load = |instance: &Instance| {
            let anyone = node.is_empty() || cfg!(mutant = "named_node_ignored");
            let wanted = anyone || instance.node.as_str() == node;
            if wanted { self.load(instance.link) } else { None }
        };
        let (first, second) = match instances {
            [] => return None,
            [only] => return load(only).map(|_| only.link),
            many => draw_two(many.len(), generator),
        };
        match (load(&instances[first]), load(&instances[second])) {
            (Some(a), Some(b)) if b < a => Some(instances[second].link),
            (Some(_), _) => Some(instances[first].link),
            (None, Some(_)) => Some(instances[second].link),
            (None, None) => {
                let (before, after) = instances.split_at(first);
                after.iter().chain(before).find(|i| load(i).is_some()).map(|i| i.link)
            }
        }
    }

    /// Calls in flight to an instance, or nothing when its link takes no call now. Of a link that
    /// another shard owns, only what this shard sent there is known.
    fn load(&self, link: LinkId) -> Option<u32> {
        let near = if link.shard == self.own { link } else { self.links.sibling(link.shard) };
        let link = self.links.get(near).filter(|link| link.takes_calls(self.write_bytes_max))?;
        Some(link.outbound.live())
    }
}

/// Two different places below `count`, which is at least two.
fn draw_two(count: usize, generator: &mut Generator) -> (usize, usize) {
    let count = count as u32;
    let first = generator.below(count);
    let second = (first + 1 + generator.below(count - 1)) % count;
    (first as usize, second as usize)
}
