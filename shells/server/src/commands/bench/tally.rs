//! What came of the calls, counted.

use super::answer::{Answer, Failed};
use super::targets::Ended;
use relay_sim::Histogram;
use relay_tokio::Executed;
use std::collections::BTreeMap;
use std::time::Duration;

/// Every call is exactly one of: in flight, right, wrong, an error, lost.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) calls: u64,
    /// Right answers.
    pub(super) ok: u64,
    /// Answers that are not the ones to these calls.
    pub(super) wrong: u64,
    pub(super) errors: u64,
    /// Calls that nobody answered in time, not even with an error.
    pub(super) lost: u64,
    /// Calls that were made again at another URL because they provably had not run.
    pub(super) failed_over: u64,
    pub(super) errors_by: BTreeMap<(String, &'static str), Errors>,
    /// Of the right answers.
    pub(super) latency: Histogram,
    pub(super) shortest: Option<Duration>,
    /// What was wrong with the first wrong answer.
    pub(super) first_wrong: Option<String>,
    /// Right answers in each second since the start.
    pub(super) ok_each_second: Vec<u64>,
    /// Attempts at each URL, and how many of them failed.
    pub(super) attempts: BTreeMap<usize, Attempts>,
}

/// Errors of one kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Errors {
    pub(super) count: u64,
    /// What the first said.
    pub(super) message: String,
}

/// What was tried at one URL.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Attempts {
    pub(super) count: u64,
    pub(super) failed: u64,
}

impl Tally {
    /// A call is made.
    pub(super) fn started(&mut self) {
        self.calls += 1;
    }

    /// A call that was made has ended. `wrong` says what is wrong with its answer.
    pub(super) fn ended(
        &mut self,
        ended: &Ended,
        wrong: Option<String>,
        latency: Duration,
        passed: Duration,
    ) {
        self.count_attempts(ended);
        match &ended.answer {
            Answer::Result(_) | Answer::Strange(_) if wrong.is_some() => {
                self.wrong += 1;
                self.first_wrong = self.first_wrong.take().or(wrong);
            }
            Answer::Result(_) | Answer::Strange(_) => self.count_ok(latency, passed),
            Answer::Failed(failed) => self.count_error(failed),
            Answer::Lost => self.lost += 1,
        }
    }

    /// Calls that were in flight when the load was stopped.
    pub(super) fn cut_off(&self) -> u64 {
        self.calls - self.ok - self.wrong - self.errors - self.lost
    }

    /// Calls that ended, but not well.
    pub(super) const fn bad(&self) -> u64 {
        self.wrong + self.errors + self.lost
    }

    fn count_ok(&mut self, latency: Duration, passed: Duration) {
        self.ok += 1;
        self.latency.add(latency);
        self.shortest = Some(self.shortest.map_or(latency, |shortest| shortest.min(latency)));
        // Runs that are longer than a day keep the figures of their first.
        let second = passed.as_secs() as usize;
        if second < SECONDS_MAX {
            if self.ok_each_second.len() <= second {
                self.ok_each_second.resize(second + 1, 0);
            }
            self.ok_each_second[second] += 1;
        }
    }

    fn count_error(&mut self, failed: &Failed) {
        self.errors += 1;
        let key = (failed.code.clone(), failed.executed.name());
        let is_known = self.errors_by.contains_key(&key) || self.errors_by.len() < KINDS_MAX;
        // Codes come from other machines: there may be any number of them.
        let key = if is_known { key } else { (String::from("OTHER"), failed.executed.name()) };
        let message = || Errors { count: 0, message: failed.message.clone() };
        self.errors_by.entry(key).or_insert_with(message).count += 1;
    }

    fn count_attempts(&mut self, ended: &Ended) {
        if ended.tried > 1 {
            self.failed_over += 1;
        }
        for at in 0..ended.tried {
            let attempts = self.attempts.entry((ended.first + at) % ended.urls).or_default();
            attempts.count += 1;
            let is_last = at + 1 == ended.tried;
            let is_failed = matches!(ended.answer, Answer::Failed(_) | Answer::Lost);
            attempts.failed += u64::from(!is_last || is_failed);
        }
    }

    /// Errors of this outcome.
    pub(super) fn errors_of(&self, executed: Executed) -> u64 {
        let errors = self.errors_by.iter().filter(|((_, name), _)| *name == executed.name());
        errors.map(|(_, errors)| errors.count).sum()
    }
}

/// A day.
const SECONDS_MAX: usize = 86_400;
/// Kinds of errors that are told apart.
const KINDS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn end(tally: &mut Tally, answer: Answer, tried: usize) {
        tally.started();
        let wrong = matches!(answer, Answer::Strange(_)).then(|| String::from("strange"));
        let ended = Ended { answer, first: 1, tried, urls: 2 };
        tally.ended(&ended, wrong, Duration::from_millis(3), Duration::from_millis(1_500));
    }

    #[test]
    fn every_call_is_counted_once() {
        let mut tally = Tally::default();
        end(&mut tally, Answer::Result("1".into()), 1);
        end(&mut tally, Answer::Result("1".into()), 2);
        end(&mut tally, Answer::Strange(String::new()), 1);
        end(&mut tally, Answer::failed("LINK_LOST", Executed::Unknown, "gone"), 1);
        end(&mut tally, Answer::failed("LINK_LOST", Executed::Unknown, "gone again"), 1);
        end(&mut tally, Answer::failed("UNAVAILABLE", Executed::No, ""), 2);
        end(&mut tally, Answer::Lost, 1);
        tally.started();
        assert_eq!((tally.calls, tally.ok, tally.wrong), (8, 2, 1));
        assert_eq!((tally.errors, tally.lost, tally.cut_off()), (3, 1, 1));
        assert_eq!(tally.failed_over, 2);
        assert_eq!(tally.errors_of(Executed::Unknown), 2);
        assert_eq!(tally.errors_of(Executed::No), 1);
        let lost = &tally.errors_by[&(String::from("LINK_LOST"), "unknown")];
        assert_eq!(*lost, Errors { count: 2, message: String::from("gone") });
        assert_eq!(tally.ok_each_second, [0, 2]);
        assert_eq!(tally.attempts[&1], Attempts { count: 7, failed: 5 });
        assert_eq!(tally.attempts[&0], Attempts { count: 2, failed: 1 });
    }

    #[test]
    fn any_number_of_codes_takes_bounded_room() {
        let mut tally = Tally::default();
        for code in 0..1_000 {
            end(&mut tally, Answer::failed(&code.to_string(), Executed::Yes, ""), 1);
        }
        assert_eq!(tally.errors_by.len(), KINDS_MAX + 1);
        assert_eq!(tally.errors_of(Executed::Yes), 1_000);
    }
}
