//! What is drawn of a run: its course over the virtual time, and how times are distributed.

use super::svg::{Anchor, Area, Canvas, MARGIN, Scale, Tick, ticks};
use super::{bytes, count, number, percent, plural, span, time};
use relay_sim::{Histogram, Moment};
use std::time::Duration;

/// Calls a second, failed ones at the bottom, and below them the faults that began.
pub(super) fn calls(timeline: &[Moment]) -> Option<String> {
    let course = Course::of(timeline, WIDE)?;
    let part = course.part.as_secs_f64();
    let most = timeline.iter().map(ended).max()? as f64 / part;
    let marks = ticks(most, 0.0);
    let plot = Area { left: course.left, right: course.right, top: 26.0, bottom: 226.0 };
    let scale = Scale::linear(top_of(&marks), (plot.bottom, plot.top));
    let mut canvas = Canvas::new("calls and faults over the virtual time", WIDE, 352.0);
    canvas.y_axis(plot, &scale, "calls per second", &marks);
    canvas.line("axis", (plot.left, plot.bottom), (plot.right, plot.bottom));
    for (at, moment) in timeline.iter().enumerate() {
        let (left, right) = course.bar(at);
        let failed = scale.at(f64::from(moment.failed) / part);
        let all = scale.at(ended(moment) as f64 / part);
        let tip = format!(
            "{}: {} answered, {} failed, {} begun",
            course.name(at),
            count(moment.succeeded.into()),
            count(moment.failed.into()),
            plural(moment.faults.into(), "fault")
        );
        canvas.rect("bar ok", Area { left, top: all, right, bottom: failed }, &tip);
        if moment.failed > 0 {
            let bottom = plot.bottom;
            canvas.rect("bar bad", Area { left, top: failed, right, bottom }, &tip);
        }
    }
    let lane = Area { top: 262.0, bottom: 306.0, ..plot };
    let most = timeline.iter().map(|moment| moment.faults).max()?.max(1);
    let scale = Scale::linear(most.into(), (lane.bottom, lane.top));
    let mark = |value: u32| Tick { value: value.into(), label: count(value.into()) };
    canvas.y_axis(lane, &scale, "faults begun", &[mark(0), mark(most)]);
    for (at, moment) in timeline.iter().enumerate().filter(|(_, moment)| moment.faults > 0) {
        let (left, right) = course.bar(at);
        let top = scale.at(moment.faults.into());
        let tip = format!("{}: {} begun", course.name(at), plural(moment.faults.into(), "fault"));
        canvas.rect("bar fault", Area { left, top, right, bottom: lane.bottom }, &tip);
    }
    course.x_axis(&mut canvas, lane);
    Some(canvas.finish())
}

/// The latency that 99 % of the results did not exceed, on a logarithmic scale.
pub(super) fn latency_over_time(timeline: &[Moment]) -> Option<String> {
    let course = Course::of(timeline, HALF)?;
    let known = || timeline.iter().map(|moment| moment.p99_micros).filter(|micros| *micros > 0);
    let (low, high) = decades(known().min()? as f64, known().max()? as f64);
    let plot = Area { left: course.left, right: course.right, top: 26.0, bottom: 206.0 };
    let scale = Scale::logarithmic(low, high, (plot.bottom, plot.top));
    let mut canvas = Canvas::new("99th percentile of the latency over time", HALF, 252.0);
    canvas.y_axis(plot, &scale, "99th percentile", &decade_ticks(low, high));
    course.x_axis(&mut canvas, plot);
    // A part of the time without results is a gap, not a latency of zero.
    for stretch in stretches(timeline) {
        let points: Vec<(f64, f64)> = stretch
            .clone()
            .flat_map(|at| {
                let y = scale.at(timeline[at].p99_micros as f64);
                [(course.x(at), y), (course.x(at + 1), y)]
            })
            .collect();
        canvas.path("curve", &points, "99th percentile of the latency");
    }
    course.tips(&mut canvas, plot, |at| match timeline[at].p99_micros {
        0 => String::from("no results"),
        micros => time(Duration::from_micros(micros)),
    });
    Some(canvas.finish())
}

/// How many hosts have their link; of several runs the mean of those that came so far.
pub(super) fn linked(timeline: &[Moment], runs_in: &[u32], hosts: u32) -> Option<String> {
    let course = Course::of(timeline, HALF)?;
    let means = timeline.iter().zip(runs_in);
    let means = means.map(|(moment, runs)| f64::from(moment.linked) / f64::from(*runs).max(1.0));
    let means: Vec<f64> = means.collect();
    let marks = ticks(hosts.max(1).into(), 1.0);
    let plot = Area { left: course.left, right: course.right, top: 26.0, bottom: 206.0 };
    let scale = Scale::linear(top_of(&marks), (plot.bottom, plot.top));
    let mut canvas = Canvas::new("hosts linked over time", HALF, 252.0);
    canvas.y_axis(plot, &scale, "hosts", &marks);
    course.x_axis(&mut canvas, plot);
    let steps = means.iter().enumerate().flat_map(|(at, mean)| {
        let y = scale.at(*mean);
        [(course.x(at), y), (course.x(at + 1), y)]
    });
    let curve: Vec<(f64, f64)> = steps.collect();
    let ends = [(plot.right, plot.bottom), (plot.left, plot.bottom)];
    let area: Vec<(f64, f64)> = curve.iter().copied().chain(ends).collect();
    canvas.path("under", &area, "hosts linked");
    canvas.path("curve", &curve, "hosts linked");
    let all = scale.at(hosts.into());
    canvas.line("bound", (plot.left, all), (plot.right, all));
    course.tips(&mut canvas, plot, |at| {
        format!("{} of {}", hundredths(means[at]), plural(hosts.into(), "host"))
    });
    Some(canvas.finish())
}

/// What all nodes hold, in bytes; of several runs the mean of those that came so far.
pub(super) fn held(timeline: &[Moment], runs_in: &[u32]) -> Option<String> {
    let course = Course::of(timeline, WIDE)?;
    let means = timeline.iter().zip(runs_in);
    let means = means.map(|(moment, runs)| {
        let runs = f64::from(*runs).max(1.0);
        (moment.held_bytes as f64 / runs, moment.held_calls as f64 / runs)
    });
    let means: Vec<(f64, f64)> = means.collect();
    let most = means.iter().map(|(held, _)| *held).fold(0.0, f64::max);
    if most == 0.0 {
        return None;
    }
    let marks = ticks(most / 1_000.0, 0.0);
    let plot = Area { left: course.left, right: course.right, top: 26.0, bottom: 206.0 };
    let scale = Scale::linear(top_of(&marks), (plot.bottom, plot.top));
    let mut canvas = Canvas::new("bytes held by all nodes over time", WIDE, 252.0);
    canvas.y_axis(plot, &scale, "kilobytes", &marks);
    course.x_axis(&mut canvas, plot);
    let steps = means.iter().enumerate().flat_map(|(at, (held, _))| {
        let y = scale.at(held / 1_000.0);
        [(course.x(at), y), (course.x(at + 1), y)]
    });
    let curve: Vec<(f64, f64)> = steps.collect();
    canvas.path("curve", &curve, "bytes held by all nodes");
    course.tips(&mut canvas, plot, |at| {
        let (held, calls) = means[at];
        format!("{}, {} calls in flight at all hops", bytes(held as u64), hundredths(calls))
    });
    Some(canvas.finish())
}

/// How times are distributed, on a logarithmic scale, with the percentiles that people ask for.
pub(super) fn distribution(what: &str, unit: &str, times: &Histogram) -> Option<String> {
    let bins = bins(times);
    let (first, last) = (bins.first()?.0, bins.last()?.0);
    let low = edge(first.min(last - BINS_PER_DOUBLING));
    let high = edge(last + 1);
    let share = |calls: u64| calls as f64 / times.len() as f64;
    let marks = ticks(bins.iter().map(|bin| share(bin.1) * 100.0).fold(0.0, f64::max), 0.0);
    let plot = Area { left: 56.0, right: HALF - MARGIN, top: 66.0, bottom: 246.0 };
    let x = Scale::logarithmic(low, high, (plot.left, plot.right));
    let y = Scale::linear(top_of(&marks), (plot.bottom, plot.top));
    let mut canvas = Canvas::new(&format!("distribution of the {what}"), HALF, 292.0);
    canvas.y_axis(plot, &y, "", &marks);
    canvas.text("unit", (plot.left, 16.0), Anchor::Start, &format!("% of {unit}"));
    for (bin, calls) in &bins {
        let (from, to) = (edge(*bin), edge(bin + 1));
        let tip = format!(
            "{} to {}: {} ({})",
            time(Duration::from_micros(from as u64)),
            time(Duration::from_micros(to as u64)),
            count(*calls),
            percent(share(*calls))
        );
        let top = y.at(share(*calls) * 100.0).min(plot.bottom - 1.0);
        let (left, right) = (x.at(from) + 0.5, x.at(to) - 0.5);
        canvas.rect("bar ok", Area { left, top, right, bottom: plot.bottom }, &tip);
    }
    canvas.x_axis(plot, &x, what, &time_ticks(low, high));
    for (row, (name, per_mille)) in PERCENTILES.iter().enumerate() {
        let value = times.percentile(*per_mille);
        let at = x.at(value.as_micros() as f64);
        let text = 30.0 + row as f64 * 15.0;
        canvas.line("mark", (at, text - 9.0), (at, plot.bottom));
        let is_right = at > plot.right - 130.0;
        let (anchor, gap) = if is_right { (Anchor::End, -5.0) } else { (Anchor::Start, 5.0) };
        let label = format!("{name} {}", time(value));
        canvas.text("label", (at + gap, text), anchor, &label);
    }
    Some(canvas.finish())
}

/// The axis of the virtual time that the plots of one width share.
struct Course {
    scale: Scale,
    left: f64,
    right: f64,
    part: Duration,
    parts: usize,
}

impl Course {
    fn of(timeline: &[Moment], width: f64) -> Option<Self> {
        let (first, last) = (timeline.first()?, timeline.last()?);
        let part = timeline.get(1).map_or(last.at, |second| second.at - first.at);
        let part = part.max(Duration::from_millis(1));
        let (left, right) = (56.0, width - MARGIN);
        let end = part.as_secs_f64() * timeline.len() as f64;
        let scale = Scale::linear(end, (left, right));
        Some(Self { scale, left, right, part, parts: timeline.len() })
    }

    /// Where a part of the time begins.
    fn x(&self, part: usize) -> f64 {
        self.scale.at(self.part.as_secs_f64() * part as f64)
    }

    /// Left and right side of the bar of a part.
    fn bar(&self, part: usize) -> (f64, f64) {
        let (left, right) = (self.x(part), self.x(part + 1));
        let gap = ((right - left) * 0.2).min(2.0);
        (left, (right - gap).max(left + 0.5))
    }

    fn name(&self, part: usize) -> String {
        let start = self.part * part as u32;
        format!("{} to {}", span(start), span(start + self.part))
    }

    fn x_axis(&self, canvas: &mut Canvas, plot: Area) {
        let end = self.part.as_secs_f64() * self.parts as f64;
        let units = [("days", 86_400.0, 3.0), ("h", 3_600.0, 2.5), ("min", 60.0, 2.5)];
        let unit = units.into_iter().find(|(_, size, from)| end >= size * from);
        let (name, size, _) = unit.unwrap_or(("s", 1.0, 0.0));
        let steps = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0];
        let step = steps.into_iter().find(|step| end / size / step <= 12.5).unwrap_or(end / size);
        let marks = (0..=(end / size / step + 1e-6) as u32).map(|at| {
            let value = f64::from(at) * step;
            Tick { value: value * size, label: number(value) }
        });
        let marks: Vec<Tick> = marks.collect();
        canvas.x_axis(plot, &self.scale, &format!("virtual time ({name})"), &marks);
    }

    /// Invisible columns that say beside the pointer what the part of the time was like.
    fn tips(&self, canvas: &mut Canvas, plot: Area, text: impl Fn(usize) -> String) {
        for part in 0..self.parts {
            let area = Area { left: self.x(part), right: self.x(part + 1), ..plot };
            canvas.rect("hit", area, &format!("{}: {}", self.name(part), text(part)));
        }
    }
}

/// A mean that is not rounded up to a whole number: `9`, `9.75`.
fn hundredths(mean: f64) -> String {
    let text = format!("{:.2}", (mean * 100.0 + 1e-6).floor() / 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

const fn ended(moment: &Moment) -> u64 {
    moment.succeeded as u64 + moment.failed as u64
}

fn top_of(ticks: &[Tick]) -> f64 {
    ticks.last().map_or(1.0, |tick| tick.value)
}

/// Consecutive parts of the time that have results.
fn stretches(timeline: &[Moment]) -> Vec<std::ops::Range<usize>> {
    let mut stretches: Vec<std::ops::Range<usize>> = Vec::new();
    for (at, _) in timeline.iter().enumerate().filter(|(_, moment)| moment.p99_micros > 0) {
        match stretches.last_mut() {
            Some(last) if last.end == at => last.end = at + 1,
            Some(_) | None => stretches.push(at..at + 1),
        }
    }
    stretches
}

/// The powers of ten around a range.
fn decades(low: f64, high: f64) -> (f64, f64) {
    let low = 10_f64.powf(low.log10().floor());
    let high = 10_f64.powf(high.log10().ceil());
    (low, high.max(low * 10.0))
}

fn decade_ticks(low: f64, high: f64) -> Vec<Tick> {
    let first = low.log10().ceil() as i32;
    let last = (high.log10() + 1e-9).floor() as i32;
    let tick = |power: i32| {
        let value = 10_f64.powi(power);
        let micros = Duration::from_micros(value as u64);
        // "100 s" and "1,000 s" stand beside "10 s"; minutes would not line up with the decades.
        let label = match micros.as_secs() {
            0 => time(micros),
            seconds => format!("{} s", count(seconds)),
        };
        Tick { value, label }
    };
    (first..=last).map(tick).collect()
}

/// The decades, and three to each decade where the range is short.
fn time_ticks(low: f64, high: f64) -> Vec<Tick> {
    let decades = decade_ticks(low, high);
    if decades.len() > 2 {
        return decades;
    }
    let first = low.log10().floor() as i32;
    let steps =
        (first..first + 3).flat_map(|power| [1.0, 2.0, 5.0].map(|n| n * 10_f64.powi(power)));
    let steps = steps.filter(|value| (low * 0.999..=high * 1.001).contains(value));
    let label = |value: f64| time(Duration::from_micros(value.round() as u64));
    steps.map(|value| Tick { value, label: label(value) }).collect()
}

/// Times of a quarter of a doubling together: number of the bin, and times in it. Bins between
/// them are empty.
fn bins(times: &Histogram) -> Vec<(i32, u64)> {
    let mut bins: Vec<(i32, u64)> = Vec::new();
    for (end, calls) in times.buckets() {
        let micros = (end.as_micros() as f64).max(1.0);
        let bin = (micros.log2() * f64::from(BINS_PER_DOUBLING)).floor() as i32;
        match bins.last_mut() {
            Some((last, sum)) if *last == bin => *sum += calls,
            Some(_) | None => bins.push((bin, calls)),
        }
    }
    bins
}

/// Where a bin begins, in microseconds.
fn edge(bin: i32) -> f64 {
    2_f64.powf(f64::from(bin) / f64::from(BINS_PER_DOUBLING))
}

const WIDE: f64 = 1_120.0;
const HALF: f64 = 540.0;
const BINS_PER_DOUBLING: i32 = 4;
const PERCENTILES: [(&str, u64); 3] = [("p50", 500), ("p99", 990), ("p99.9", 999)];

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(at: u64, succeeded: u32, p99_micros: u64) -> Moment {
        let at = Duration::from_secs(at * 30);
        let faults = at.as_secs() as u32 % 4;
        let (held_bytes, held_calls) = (30_000 + 1_000 * u64::from(faults), 4);
        Moment { at, succeeded, failed: 1, faults, linked: 3, held_bytes, held_calls, p99_micros }
    }

    #[test]
    fn every_part_of_the_time_is_drawn() {
        let timeline: Vec<Moment> = (0..20).map(|at| moment(at, 50, 900 * at)).collect();
        let drawn = calls(&timeline).expect("a timeline");
        assert_eq!(drawn.matches("class=\"bar ok\"").count(), 20);
        assert_eq!(drawn.matches("class=\"bar bad\"").count(), 20);
        assert!(drawn.contains("30 s to 1 min: 50 answered, 1 failed, 2 faults begun"), "{drawn}");
        assert!(drawn.contains("virtual time (min)") && drawn.contains("calls per second"));
        let drawn = linked(&timeline, &[1; 20], 4).expect("a timeline");
        assert_eq!(drawn.matches("3 of 4 hosts").count(), 20);
        let drawn = linked(&timeline, &[2; 20], 4).expect("a timeline");
        assert_eq!(drawn.matches(": 1.5 of 4 hosts").count(), 20);
        assert!(calls(&[]).is_none() && linked(&[], &[], 1).is_none());
    }

    #[test]
    fn a_time_without_results_is_a_gap() {
        let timeline = [moment(0, 1, 5), moment(1, 1, 7), moment(2, 0, 0), moment(3, 1, 9)];
        assert_eq!(stretches(&timeline), [0..2, 3..4]);
        let drawn = latency_over_time(&timeline).expect("results");
        assert_eq!(drawn.matches("<path class=\"curve\"").count(), 2);
        assert!(drawn.contains("1 min to 1 min 30 s: no results"), "{drawn}");
        assert_eq!(latency_over_time(&timeline[2..3]), None);
    }

    #[test]
    fn a_distribution_shows_all_times_and_percentiles() {
        let mut times = Histogram::default();
        (1..=1_000).for_each(|n| times.add(Duration::from_millis(n)));
        assert_eq!(bins(&times).iter().map(|bin| bin.1).sum::<u64>(), 1_000);
        let drawn = distribution("latency", "results", &times).expect("times");
        for text in ["p50 ", "p99 ", "p99.9 ", ">10 ms<", ">100 ms<", "% of results"] {
            assert!(drawn.contains(text), "{text}: {drawn}");
        }
        assert_eq!(distribution("latency", "results", &Histogram::default()), None);
        let mut one = Histogram::default();
        one.add(Duration::from_millis(3));
        assert!(
            distribution("latency", "results", &one).is_some_and(|drawn| drawn.contains("100 %"))
        );
    }

    #[test]
    fn ticks_of_times_are_powers_of_ten() {
        let labels = |ticks: Vec<Tick>| ticks.into_iter().map(|t| t.label).collect::<Vec<_>>();
        assert_eq!(decades(3_000.0, 2e6), (1_000.0, 1e7));
        assert_eq!(
            labels(decade_ticks(1_000.0, 1e8)),
            ["1 ms", "10 ms", "100 ms", "1 s", "10 s", "100 s"]
        );
        assert_eq!(labels(time_ticks(3_000.0, 30_000.0)), ["5 ms", "10 ms", "20 ms"]);
    }
}
