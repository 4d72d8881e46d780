//! The figures of several runs of one plan, added up.

use relay_sim::{LinkTraffic, Report, Verdict};
use std::collections::BTreeMap;

/// All runs together.
#[derive(Debug, Default)]
pub(super) struct Total {
    /// Sums; of the latency at a moment the worst run is kept. The verdicts are in
    /// [`Self::verdicts`].
    pub(super) report: Report,
    /// Runs.
    pub(super) seeds: u64,
    /// The highest seed; the lowest is that of the report.
    pub(super) last_seed: u64,
    /// Broken promises.
    pub(super) violations: u64,
    /// The broken promises of the lowest seeds.
    pub(super) verdicts: Vec<(u64, Verdict)>,
    /// For each part of the time the runs that came so far: one that breaks a promise ends there.
    pub(super) runs_in: Vec<u32>,
    links: BTreeMap<(String, String), [u64; 3]>,
}

impl Total {
    /// Adds one run.
    pub(super) fn add(&mut self, run: &Report) {
        let sum = &mut self.report;
        sum.seed = if self.seeds == 0 { run.seed } else { sum.seed.min(run.seed) };
        self.last_seed = self.last_seed.max(run.seed);
        self.seeds += 1;
        // The order in which threads finish does not matter to a sum.
        sum.trace_hash = sum.trace_hash.wrapping_add(run.trace_hash);
        sum.nodes = run.nodes;
        sum.virtual_time += run.virtual_time;
        sum.events += run.events;
        sum.frames += run.frames;
        add_calls(sum, run);
        for (counts, more) in [
            (&mut sum.errors, &run.errors),
            (&mut sum.told, &run.told),
            (&mut sum.faults, &run.faults),
            (&mut sum.marks, &run.marks),
        ] {
            for (name, count) in more {
                *counts.entry(name).or_default() += count;
            }
        }
        sum.latency.merge(&run.latency);
        sum.recovery.merge(&run.recovery);
        sum.convergence.merge(&run.convergence);
        add_timeline(sum, run);
        self.runs_in.resize(sum.timeline.len(), 0);
        self.runs_in.iter_mut().take(run.timeline.len()).for_each(|runs| *runs += 1);
        for link in &run.links {
            let counts = self.links.entry((link.from.clone(), link.to.clone())).or_default();
            for (count, more) in counts.iter_mut().zip([link.frames, link.bytes, link.connections])
            {
                *count += more;
            }
        }
        self.violations += run.verdicts.len() as u64;
        let verdicts = run.verdicts.iter().take(VERDICTS_MAX).cloned();
        self.verdicts.extend(verdicts.map(|verdict| (run.seed, verdict)));
        self.verdicts.sort_by_key(|(seed, verdict)| (*seed, verdict.at));
        self.verdicts.truncate(VERDICTS_MAX);
    }

    /// What the nodes of one world held in each quarter of its time: bytes and calls in flight. Of
    /// several runs the mean of those that came so far.
    pub(super) fn held_in_quarters(&self) -> [(u64, u64); 4] {
        let mut mean = Report { timeline: self.report.timeline.clone(), ..Report::default() };
        for (moment, runs) in mean.timeline.iter_mut().zip(&self.runs_in) {
            let runs = u64::from(*runs).max(1);
            moment.held_bytes /= runs;
            moment.held_calls /= runs;
        }
        mean.held_in_quarters()
    }

    /// Orders the links, the busiest first.
    pub(super) fn finish(&mut self) {
        let links = std::mem::take(&mut self.links).into_iter();
        let mut links: Vec<LinkTraffic> = links
            .map(|((from, to), [frames, bytes, connections])| LinkTraffic {
                from,
                to,
                frames,
                bytes,
                connections,
            })
            .collect();
        links.sort_by_key(|link| std::cmp::Reverse(link.frames));
        self.report.links = links;
    }
}

const fn add_calls(sum: &mut Report, run: &Report) {
    let (calls, more) = (&mut sum.calls, &run.calls);
    calls.made += more.made;
    calls.succeeded += more.succeeded;
    calls.failed += more.failed;
    calls.failed_as_expected += more.failed_as_expected;
    calls.cancelled += more.cancelled;
    calls.orphaned += more.orphaned;
}

fn add_timeline(sum: &mut Report, run: &Report) {
    let known = sum.timeline.len();
    for (moment, more) in sum.timeline.iter_mut().zip(&run.timeline) {
        moment.succeeded = moment.succeeded.saturating_add(more.succeeded);
        moment.failed = moment.failed.saturating_add(more.failed);
        moment.faults = moment.faults.saturating_add(more.faults);
        moment.linked = moment.linked.saturating_add(more.linked);
        moment.held_bytes = moment.held_bytes.saturating_add(more.held_bytes);
        moment.held_calls = moment.held_calls.saturating_add(more.held_calls);
        moment.p99_micros = moment.p99_micros.max(more.p99_micros);
    }
    sum.timeline.extend(run.timeline.iter().skip(known));
}

/// Broken promises that are kept word for word; all of them are counted.
const VERDICTS_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use relay_sim::{Calls, Moment, Span};
    use std::time::Duration;

    fn run(seed: u64, calls: u64) -> Report {
        let mut report = Report { seed, nodes: 3, trace_hash: seed << 60, ..Report::default() };
        report.virtual_time = Duration::from_secs(60);
        report.calls = Calls { made: calls, succeeded: calls - 1, failed: 1, ..Calls::default() };
        report.errors.insert("DEADLINE", 1);
        report.latency.add(Duration::from_millis(seed));
        let link = |from: &str, frames| LinkTraffic {
            from: from.into(),
            to: String::from("main-0"),
            frames,
            bytes: 10 * frames,
            connections: 1,
        };
        report.links = vec![link("home-0", 5), link("home-1", 5 + seed)];
        let moment = Moment {
            succeeded: 4,
            linked: 2,
            p99_micros: seed,
            held_bytes: 7_000,
            held_calls: 3,
            ..Moment::default()
        };
        report.timeline = vec![moment; seed as usize];
        let verdict = |at| Verdict { oracle: "S1", uid: Some(1), at, what: String::from("lost") };
        report.verdicts = (0..15).map(|at| verdict(Span::seconds(20 - at))).collect();
        report
    }

    #[test]
    fn runs_add_up_in_any_order() {
        let (mut one, mut other) = (Total::default(), Total::default());
        [2, 1, 3].into_iter().for_each(|seed| one.add(&run(seed, 10 * seed)));
        [3, 2, 1].into_iter().for_each(|seed| other.add(&run(seed, 10 * seed)));
        one.finish();
        other.finish();
        assert_eq!(one.report, other.report);
        let report = &one.report;
        assert_eq!((one.seeds, report.seed, report.nodes), (3, 1, 3));
        assert_eq!((report.calls.made, report.calls.failed), (60, 3));
        assert_eq!(report.errors["DEADLINE"], 3);
        assert_eq!((report.latency.len(), report.latency.longest().as_millis()), (3, 3));
        assert_eq!(report.trace_hash, 6 << 60);
        assert_eq!((report.links[0].from.as_str(), report.links[0].frames), ("home-1", 21));
        let moments: Vec<_> = report.timeline.iter().map(|m| (m.succeeded, m.p99_micros)).collect();
        assert_eq!(moments, [(12, 3), (8, 3), (4, 3)]);
        let linked: Vec<_> = report.timeline.iter().map(|moment| moment.linked).collect();
        assert_eq!((linked, &one.runs_in), (vec![6, 4, 2], &vec![3, 2, 1]));
        assert_eq!(one.last_seed, 3);
        let held = [(0, 0), (7_000, 3), (7_000, 3), (7_000, 3)];
        assert_eq!(one.held_in_quarters(), held, "three moments in four quarters");
    }

    #[test]
    fn every_violation_is_counted_and_the_first_are_kept() {
        let mut total = Total::default();
        [5, 2].into_iter().for_each(|seed| total.add(&run(seed, 1)));
        assert_eq!((total.violations, total.verdicts.len()), (30, VERDICTS_MAX));
        assert_eq!((total.verdicts[0].0, total.verdicts[0].1.at), (2, Span::seconds(6)));
        assert_eq!(total.verdicts[15].0, 5);
    }
}
