//! The figures for a person at a terminal: a summary, tables, and what to do about a violation.

use super::hunt::Outcome;
use super::options::{Order, quoted};
use super::words::{availability, bytes, count, dialled, number, plural, span, time};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use relay_sim::{Calls, Histogram, Report, Topology, Verdict};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;

/// Whether text may be coloured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint(bool);

impl Paint {
    pub(super) fn of_stdout() -> Self {
        Self(std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none())
    }

    fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    fn bad(self, text: &str) -> String {
        self.with("1;31", text)
    }

    fn with(self, style: &str, text: &str) -> String {
        if self.0 { format!("\u{1b}[{style}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Everything but the page and the schedule, which are not there yet.
pub(super) fn text(order: &Order, outcome: &Outcome, paint: Paint) -> String {
    let report = &outcome.total.report;
    let mut title = format!("{}, {}", order.name, headline(order, outcome));
    if outcome.is_interrupted {
        title.push_str(" (interrupted: of the finished runs only)");
    }
    let mut text = format!("{}\n\n", paint.bold(&title));
    for (name, value) in figures(outcome) {
        text.push_str(&format!("  {name:<18}{value}\n"));
    }
    for (title, header, counts) in
        [("errors", "CODE", &report.errors), ("faults", "FAULT", &report.faults)]
    {
        section(&mut text, paint, title, &counted(header, counts));
    }
    let title = match report.links.len() {
        links if links > LINKS_MAX => {
            format!("links: the busiest {LINKS_MAX} of {}", count(links as u64))
        }
        _ => String::from("links"),
    };
    section(&mut text, paint, &title, &links(report));
    text.push('\n');
    violations(&mut text, order, outcome, paint);
    text
}

/// Where the shortened schedule went, if there is one.
pub(super) fn schedule(path: Option<&Path>, paint: Paint) -> String {
    let Some(path) = path else {
        return String::from("it could not be repeated step by step: a bug of the simulator\n");
    };
    let replay = format!("replay it: relay sim --replay {}", quoted(path));
    format!("{} {}\n{replay}\n", paint.bold("schedule:"), path.display())
}

/// Who is in the world, and which seed it has.
pub(super) fn headline(order: &Order, outcome: &Outcome) -> String {
    let Topology { mains, homes, callers, .. } = order.plan.topology;
    let seeds = match outcome.total.seeds {
        0 | 1 => format!("seed {}", order.plan.seed),
        seeds => format!("{} from {}", plural(seeds, "seed"), order.plan.seed),
    };
    let [mains, homes, callers] = [(mains, "Main"), (homes, "Home"), (callers, "caller")]
        .map(|(number, one)| plural(u64::from(number), one));
    format!("{seeds}: {mains}, {homes}, {callers}")
}

/// What callers were told of a failed call, in words.
pub(super) fn told_in_words(told: &str) -> &str {
    match told {
        "no" => "it did not run",
        "yes" => "it ran",
        "unknown" => "it may have run",
        other => other,
    }
}

/// The call that a verdict is about.
pub(super) fn call(verdict: &Verdict) -> String {
    verdict.uid.map_or_else(|| String::from("no call"), |uid| format!("call {uid}"))
}

/// What the nodes hold, from one quarter of the time to the next.
fn held(outcome: &Outcome) -> String {
    let [first, second, third, last] =
        outcome.total.held_in_quarters().map(|(held, _)| bytes(held));
    format!("{first}, {second}, {third}, {last} (means of the quarters)")
}

fn figures(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let report = &outcome.total.report;
    let calls = &report.calls;
    let ended = calls.succeeded + calls.failed + calls.cancelled + calls.orphaned;
    let told = report.told.iter();
    let told: Vec<String> =
        told.map(|(told, calls)| format!("{} {}", told_in_words(told), count(*calls))).collect();
    let told = if told.is_empty() { String::from("no call failed") } else { told.join(", ") };
    vec![
        ("nodes", count(u64::from(report.nodes))),
        ("virtual time", span(report.virtual_time)),
        ("wall time", time(outcome.wall)),
        ("node-hours", format!("{} a minute", number(outcome.node_hours_per_minute()))),
        (
            "calls checked",
            format!(
                "{} ({} a minute)",
                count(report.calls_checked()),
                number(outcome.per_minute(report.calls_checked() as f64))
            ),
        ),
        (
            "of them",
            format!(
                "{} answered, {} failed{}, {} given up, {} lost with their caller, {} at the end",
                count(calls.succeeded),
                count(calls.failed),
                as_they_must(calls),
                count(calls.cancelled),
                count(calls.orphaned),
                count(calls.made.saturating_sub(ended))
            ),
        ),
        ("availability", availability(report)),
        ("latency", percentiles(&report.latency)),
        ("recovery", percentiles(&report.recovery)),
        ("registries agree", percentiles(&report.convergence)),
        ("callers were told", told),
        ("nodes hold", held(outcome)),
        ("trace hash", format!("{:016x}", report.trace_hash)),
    ]
}

/// How many of the failed calls had to fail. Availability leaves them out.
fn as_they_must(calls: &Calls) -> String {
    match calls.failed_as_expected {
        0 => String::new(),
        calls => format!(" ({} as they must: nobody offers it)", count(calls)),
    }
}

fn percentiles(times: &Histogram) -> String {
    if times.is_empty() {
        return String::from("-");
    }
    let of = |per_mille| time(times.percentile(per_mille));
    let (half, most, nearly_all) = (of(500), of(990), of(999));
    format!("p50 {half}, p99 {most}, p99.9 {nearly_all}, max {}", time(times.longest()))
}

fn counted(header: &str, counts: &BTreeMap<&'static str, u64>) -> Table {
    let mut rows: Vec<_> = counts.iter().collect();
    rows.sort_by_key(|(_, number)| Reverse(**number));
    let mut table = table([header, "COUNT"]);
    for (name, number) in rows {
        table.add_row([(*name).to_owned(), count(*number)]);
    }
    table
}

fn links(report: &Report) -> Table {
    let mut table = table(["FROM", "TO", "FRAMES", "BYTES", "CONNECTIONS"]);
    for link in report.links.iter().filter(|link| link.frames > 0).take(LINKS_MAX) {
        table.add_row([
            link.from.clone(),
            link.to.clone(),
            count(link.frames),
            bytes(link.bytes),
            dialled(link),
        ]);
    }
    table
}

/// A table whose columns of numbers are aligned at their last digit.
fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header);
    for (at, name) in header.iter().enumerate() {
        if let Some(column) = table.column_mut(at).filter(|_| NUMBERS.contains(name)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn section(text: &mut String, paint: Paint, title: &str, table: &Table) {
    if table.is_empty() {
        return;
    }
    text.push_str(&format!("\n{}\n", paint.bold(title)));
    for line in table.lines() {
        text.push_str(&format!(" {}\n", line.trim_end()));
    }
}

fn violations(text: &mut String, order: &Order, outcome: &Outcome, paint: Paint) {
    let total = &outcome.total;
    for (seed, [first, second]) in &outcome.unequal {
        text.push_str(&format!(
            "{} seed {seed} gave {first:016x}, then {second:016x}\n",
            paint.bad("not deterministic:")
        ));
    }
    if order.is_verified && outcome.unequal.is_empty() {
        let seeds = plural(total.seeds, "seed");
        text.push_str(&format!("determinism: {} ({seeds} run twice)\n", paint.good("yes")));
    }
    if total.violations == 0 {
        text.push_str(&format!("violations: {}\n", paint.good("none")));
        return;
    }
    text.push_str(&format!("violations: {}\n", paint.bad(&count(total.violations))));
    for (seed, verdict) in &total.verdicts {
        let which = if total.seeds > 1 { format!("seed {seed}, ") } else { String::new() };
        let what = crate::cli::one_line(&verdict.what);
        let (oracle, call, at) = (paint.bad(verdict.oracle), call(verdict), span(verdict.at.0));
        text.push_str(&format!("  {oracle} {which}{call} at {at}: {what}\n"));
    }
    let hidden = total.violations.saturating_sub(total.verdicts.len() as u64);
    if hidden > 0 {
        text.push_str(&format!("  and {} more\n", count(hidden)));
    }
    if let Some(broken) = &outcome.broken {
        text.push_str(&format!("run it again: {}\n", order.command(broken.plan.seed)));
        if order.replay.is_none() && !outcome.is_interrupted {
            text.push_str("it is being shortened to the few steps that matter\n");
        }
    }
}

const LINKS_MAX: usize = 20;
const NUMBERS: [&str; 4] = ["COUNT", "FRAMES", "BYTES", "CONNECTIONS"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::SimArgs;
    use crate::commands::sim::figures::Total;
    use crate::commands::sim::hunt::Broken;
    use relay_sim::{Plan, Span};
    use std::time::Duration;

    fn outcome(verdicts: u64) -> Outcome {
        let plan = Plan { seed: 7, ..Plan::default() };
        let what = String::from("it ran\u{1b}[2J twice");
        let verdict = Verdict { oracle: "S4", uid: Some(17), at: Span::millis(1_500), what };
        let mut report = Report { seed: 7, nodes: 6, ..Report::default() };
        report.verdicts = vec![verdict; verdicts as usize];
        report.calls.made = 1_234;
        report.errors.insert("DEADLINE", 3);
        let mut total = Total::default();
        total.add(&report);
        total.finish();
        let broken = (verdicts > 0).then_some(Broken { plan, report });
        let wall = Duration::from_secs(60);
        Outcome { total, broken, unequal: Vec::new(), wall, is_interrupted: false, threads: 1 }
    }

    fn shown(outcome: &Outcome, paint: Paint) -> String {
        let args = SimArgs { seed: Some(7), no_page: true, ..SimArgs::default() };
        text(&Order::of(&args).expect("allowed"), outcome, paint)
    }

    #[test]
    fn a_good_run_says_so() {
        let text = shown(&outcome(0), Paint(false));
        for part in
            ["seed 7: 1 Main, 3 Homes, 2 callers", "1,234 (", "DEADLINE", "violations: none"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains('\u{1b}') && !text.contains("run it again"), "{text}");
    }

    #[test]
    fn a_violation_is_told_with_what_to_do() {
        let text = shown(&outcome(25), Paint(false));
        let verdict = "  S4 call 17 at 1.5 s: it ran\\u{1b}[2J twice\n";
        assert_eq!(text.matches(verdict).count(), 20, "{text}");
        for part in ["violations: 25", "and 5 more", "run it again: relay sim --seed 7\n"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn calls_that_must_fail_are_told_beside_the_failed() {
        let mut outcome = outcome(0);
        let calls = &mut outcome.total.report.calls;
        (calls.succeeded, calls.failed, calls.failed_as_expected) = (8, 7, 5);
        let text = shown(&outcome, Paint(false));
        let of_them = "8 answered, 7 failed (5 as they must: nobody offers it), 0 given up";
        for part in [of_them, "availability      80 %"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let calls = &mut outcome.total.report.calls;
        (calls.succeeded, calls.failed) = (0, 5);
        let text = shown(&outcome, Paint(false));
        assert!(text.contains("availability      -\n"), "{text}");
    }

    #[test]
    fn two_runs_that_differ_are_told() {
        let mut outcome = outcome(0);
        outcome.unequal.push((7, [1, 2]));
        let text = shown(&outcome, Paint(true));
        let wanted =
            "not deterministic:\u{1b}[0m seed 7 gave 0000000000000001, then 0000000000000002";
        assert!(text.contains(wanted), "{text}");
        assert!(!outcome.is_clean());
    }
}
