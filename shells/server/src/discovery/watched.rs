//! What is known of one DNS name: which peers it gave, what a new answer changes, and when to ask
//! again. Decides only; nothing here waits or dials.

use super::lookup::Answer;
use relay_tokio::Endpoint;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The peers of one name.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// Each peer with the number of answers in a row that lacked it.
    known: BTreeMap<Endpoint, u32>,
    /// What the last answer had that could not be used.
    complaints: BTreeSet<String>,
    failures: u32,
}

/// What an answer changes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    /// New peers, the ones to prefer first.
    pub(super) added: Vec<Endpoint>,
    /// Peers that are gone.
    pub(super) removed: Vec<Endpoint>,
    /// What cannot be used and was not said before.
    pub(super) complaints: Vec<String>,
}

impl Watched {
    /// Takes an answer in.
    pub(super) fn answered(&mut self, answer: &Answer) -> Change {
        self.failures = 0;
        let mut change = Change::default();
        let listed: BTreeSet<&Endpoint> = answer.peers.iter().take(PEERS_MAX).collect();
        for (peer, missed) in &mut self.known {
            if listed.contains(peer) {
                *missed = 0;
            } else if !answer.is_partial {
                *missed += 1;
            }
        }
        self.known.retain(|peer, missed| {
            let is_kept = *missed < MISSED_MAX;
            if !is_kept {
                change.removed.push(peer.clone());
            }
            is_kept
        });
        for peer in answer.peers.iter().take(PEERS_MAX) {
            // Those that are about to go still count: names that change with every answer must
            // not add up to more peers.
            if self.known.len() < PEERS_MAX && !self.known.contains_key(peer) {
                self.known.insert(peer.clone(), 0);
                change.added.push(peer.clone());
            }
        }
        let mut complaints: BTreeSet<String> =
            answer.complaints.iter().take(COMPLAINTS_MAX).cloned().collect();
        if answer.peers.len() > PEERS_MAX {
            complaints.insert(format!("more than {PEERS_MAX} records: the rest is left out"));
        }
        change.complaints = complaints.difference(&self.complaints).cloned().collect();
        self.complaints = complaints;
        change
    }

    /// Notes that there was no answer. Gives the pause before the next attempt, between half of
    /// a bound that doubles with each failure and all of it; `random` picks.
    pub(super) fn failed(&mut self, interval: Duration, random: u32) -> Duration {
        let doublings = self.failures.min(DOUBLINGS_MAX);
        self.failures = self.failures.saturating_add(1);
        let bound = (RETRY_MIN * (1 << doublings)).min(RETRY_MAX).min(interval.max(PAUSE_FLOOR));
        let half = bound / 2;
        half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }

    /// The peers, for whoever ends the watch.
    pub(super) fn into_peers(self) -> impl Iterator<Item = Endpoint> {
        self.known.into_keys()
    }

    /// How many peers there are.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}

/// The pause after an answer whose records live for `ttl`; never more than `interval`, which the
/// operator chose.
pub(super) fn pause_after_answer(ttl: Duration, interval: Duration) -> Duration {
    ttl.clamp(TTL_MIN, TTL_MAX).min(interval.max(PAUSE_FLOOR))
}

/// Most peers of one name.
pub(super) const PEERS_MAX: usize = 64;
/// A peer goes when this many answers in a row lack it.
const MISSED_MAX: u32 = 2;
/// Records that cannot be used are the fault of whoever wrote them; so many are reported.
const COMPLAINTS_MAX: usize = 8;
const TTL_MIN: Duration = Duration::from_secs(5);
const TTL_MAX: Duration = Duration::from_secs(300);
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
const DOUBLINGS_MAX: u32 = 6;
/// Whatever the operator chose, name servers are not asked without pause.
const PAUSE_FLOOR: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: usize) -> Endpoint {
        Endpoint::parse(&format!("ws://h{number}:1")).expect("an address")
    }

    fn answer(numbers: impl IntoIterator<Item = usize>) -> Answer {
        Answer { peers: numbers.into_iter().map(peer).collect(), ..Answer::default() }
    }

    #[test]
    fn e12_a_peer_goes_when_two_answers_in_a_row_lack_it() {
        let mut watched = Watched::default();
        assert_eq!(watched.answered(&answer([2, 1])).added, [peer(2), peer(1)]);
        assert_eq!(watched.answered(&answer([1])), Change::default());
        assert_eq!(watched.answered(&answer([1, 2])), Change::default());
        assert_eq!(watched.answered(&answer([1])), Change::default());
        watched.failed(Duration::from_secs(30), 0);
        let change = watched.answered(&answer([1, 3]));
        assert_eq!((change.added, change.removed), (vec![peer(3)], vec![peer(2)]));
        assert_eq!(watched.into_peers().collect::<Vec<_>>(), [peer(1), peer(3)]);
    }

    #[test]
    fn e12_what_half_an_answer_lacks_is_not_gone() {
        let mut watched = Watched::default();
        watched.answered(&answer([1, 2]));
        for _ in 0..5 {
            let half = Answer { is_partial: true, ..answer([1]) };
            assert_eq!(watched.answered(&half), Change::default());
        }
        assert_eq!(watched.len(), 2);
    }

    #[test]
    fn e12_a_name_never_has_more_than_64_peers() {
        let mut watched = Watched::default();
        let change = watched.answered(&answer(0..77));
        assert_eq!((change.added.len(), change.complaints.len()), (64, 1));
        assert_eq!(watched.answered(&answer(0..78)), Change::default(), "said once");
        for round in 1..20 {
            watched.answered(&answer(round * 100..round * 100 + 64));
            assert!(watched.len() <= 64);
        }
    }

    #[test]
    fn e12_complaints_are_few_and_said_once() {
        let mut watched = Watched::default();
        let complaints: Vec<String> = (0..500).map(|number| number.to_string()).collect();
        let bad = Answer { complaints, ..Answer::default() };
        assert_eq!(watched.answered(&bad).complaints.len(), 8);
        assert_eq!(watched.answered(&bad), Change::default());
        watched.answered(&answer([]));
        assert_eq!(watched.answered(&bad).complaints.len(), 8, "they came back");
    }

    #[test]
    fn e12_pauses_follow_the_records_within_bounds() {
        let seconds = Duration::from_secs;
        let day = seconds(86_400);
        for (ttl, interval, pause) in [
            (seconds(0), seconds(30), seconds(5)),
            (seconds(20), seconds(30), seconds(20)),
            (seconds(3600), seconds(30), seconds(30)),
            (seconds(3600), day, seconds(300)),
            (seconds(60), seconds(1), seconds(1)),
            (seconds(60), Duration::from_millis(1), PAUSE_FLOOR),
        ] {
            assert_eq!(pause_after_answer(ttl, interval), pause, "{ttl:?} {interval:?}");
        }
    }

    #[test]
    fn e12_failures_are_retried_with_growing_pauses_and_jitter() {
        let day = Duration::from_hours(24);
        let pauses = |random, interval| {
            let mut watched = Watched::default();
            (0..9).map(|_| watched.failed(interval, random).as_millis()).collect::<Vec<_>>()
        };
        let least = [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000];
        assert_eq!(pauses(0, day), least);
        assert_eq!(pauses(u32::MAX, day), least.map(|pause| pause * 2));
        assert_eq!(pauses(u32::MAX, Duration::from_secs(3))[7], 3000);
        let mut watched = Watched::default();
        watched.failed(day, 0);
        watched.answered(&answer([]));
        assert_eq!(watched.failed(day, 0).as_millis(), 500);
    }
}
