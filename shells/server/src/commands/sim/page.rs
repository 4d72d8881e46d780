//! The page with the plots: one HTML file that loads nothing, runs no script and reads well in
//! light and dark.

mod bars;
mod plots;
mod svg;

use super::hunt::Outcome;
use super::options::Order;
use super::summary::{call, headline, told_in_words};
use super::words::{availability, bytes, count, dialled, number, percent, plural, span, time};
use relay_sim::{Histogram, Plan, Report};
use serde_json::Value;
use std::fmt::Write;
use svg::escape;

/// The whole page.
pub(super) fn html(order: &Order, outcome: &Outcome) -> String {
    let report = &outcome.total.report;
    let name = escape(&order.name);
    let mut body = String::new();
    heading(&mut body, order, outcome);
    tiles(&mut body, outcome);
    violations(&mut body, order, outcome);
    body.push_str("<div class=\"grid\">\n");
    for card in over_time(order, outcome).into_iter().chain(distributions(report)) {
        card.write(&mut body);
    }
    for card in counts(report) {
        card.write(&mut body);
    }
    body.push_str("</div>\n");
    details(&mut body, order, report);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>{name}: Relay simulation</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <main>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// A plot with its title, what it shows in a sentence, and its colours.
struct Card {
    size: Size,
    title: &'static str,
    about: String,
    legend: &'static [(&'static str, &'static str)],
    /// Nothing when there is nothing to be drawn.
    plot: Option<String>,
    /// What to say then.
    otherwise: &'static str,
}

/// How much of the page a card takes.
#[derive(Clone, Copy)]
enum Size {
    /// Half of its width.
    Half,
    /// All of its width.
    Wide,
    /// As high as three others.
    Tall,
}

impl Card {
    fn write(&self, body: &mut String) {
        let class = match self.size {
            Size::Half => "card",
            Size::Wide => "card wide",
            Size::Tall => "card tall",
        };
        let (title, about) = (escape(self.title), escape(&self.about));
        let _ = write!(body, "<section class=\"{class}\">\n<h2>{title}</h2>\n<p>{about}</p>\n");
        match &self.plot {
            Some(plot) => {
                legend(body, self.legend);
                let _ = writeln!(body, "<div class=\"scroll\">\n{plot}</div>");
            }
            None => {
                let _ = writeln!(body, "<p class=\"nothing\">{}</p>", escape(self.otherwise));
            }
        }
        body.push_str("</section>\n");
    }
}

fn legend(body: &mut String, entries: &[(&str, &str)]) {
    if entries.is_empty() {
        return;
    }
    body.push_str("<ul class=\"legend\">");
    for (class, text) in entries {
        let _ = write!(body, "<li><i class=\"{class}\"></i>{}</li>", escape(text));
    }
    body.push_str("</ul>\n");
}

fn heading(body: &mut String, order: &Order, outcome: &Outcome) {
    let report = &outcome.total.report;
    let (badge, word) = match outcome.is_clean() {
        true => ("good", String::from("every promise kept")),
        false if outcome.total.violations == 0 => ("bad", String::from("not deterministic")),
        false => ("bad", plural(outcome.total.violations, "violation")),
    };
    let _ = write!(
        body,
        "<header>\n<p class=\"over\">Relay simulation</p>\n\
         <h1>{name} <span class=\"badge {badge}\">{word}</span></h1>\n\
         <p class=\"who\">{who}. {virtual_time} of virtual time in {wall} of real time. \
         Trace <code>{hash:016x}</code>.</p>\n\
         <p>{again}: <code>{command}</code></p>\n</header>\n",
        name = escape(&order.name),
        who = escape(&headline(order, outcome)),
        virtual_time = span(report.virtual_time),
        wall = time(outcome.wall),
        hash = report.trace_hash,
        command = escape(&order.command(order.plan.seed)),
        again = again(outcome),
    );
}

/// What the command on the page repeats.
fn again(outcome: &Outcome) -> String {
    let total = &outcome.total;
    match total.seeds {
        0 | 1 => String::from("Run it again"),
        seeds => format!(
            "All figures here are of {seeds} seeds together, {} to {}. Run one of them again",
            total.report.seed, total.last_seed
        ),
    }
}

fn tiles(body: &mut String, outcome: &Outcome) {
    let report = &outcome.total.report;
    let calls = &report.calls;
    let tiles = [
        ("availability", availability(report), failed(report)),
        (
            "calls checked",
            count(report.calls_checked()),
            format!("{} answered, {} failed", count(calls.succeeded), count(calls.failed)),
        ),
        (
            "violations",
            count(outcome.total.violations),
            format!("in {}", plural(outcome.total.seeds, "seed")),
        ),
        ("latency, median", percentile(&report.latency, 500), spread(&report.latency)),
        ("recovery, median", percentile(&report.recovery, 500), spread(&report.recovery)),
        (
            "node-hours a minute",
            number(outcome.node_hours_per_minute()),
            format!("{} calls a minute", number(outcome.per_minute(calls.made as f64))),
        ),
    ];
    body.push_str("<dl class=\"tiles\">\n");
    for (name, value, about) in tiles {
        let (value, about) = (escape(&value), escape(&about));
        let _ = writeln!(
            body,
            "<div><dt>{name}</dt><dd class=\"value\">{value}</dd><dd>{about}</dd></div>"
        );
    }
    body.push_str("</dl>\n");
}

fn failed(report: &Report) -> String {
    let failed = report.calls.failed - report.calls.failed_as_expected;
    format!("{} of existing services failed", plural(failed, "call"))
}

fn percentile(times: &Histogram, per_mille: u64) -> String {
    if times.is_empty() { String::from("-") } else { time(times.percentile(per_mille)) }
}

fn spread(times: &Histogram) -> String {
    if times.is_empty() {
        return String::from("nothing to measure");
    }
    format!("99 % within {}, longest {}", time(times.percentile(990)), time(times.longest()))
}

fn violations(body: &mut String, order: &Order, outcome: &Outcome) {
    if outcome.is_clean() {
        return;
    }
    body.push_str("<section class=\"card alarm\">\n<h2>Broken promises</h2>\n");
    for (seed, [first, second]) in &outcome.unequal {
        let _ = writeln!(
            body,
            "<p>Two runs of seed {seed} differ: traces <code>{first:016x}</code> and \
             <code>{second:016x}</code>.</p>"
        );
    }
    if outcome.total.violations > 0 {
        let header = ["oracle", "seed", "call", "at", "what happened"];
        let rows = outcome.total.verdicts.iter().map(|(seed, verdict)| {
            let (oracle, call, at) = (verdict.oracle.to_owned(), call(verdict), span(verdict.at.0));
            [oracle, seed.to_string(), call, at, verdict.what.clone()]
        });
        table(body, &header, rows);
    }
    if let Some(broken) = &outcome.broken {
        let command = escape(&order.command(broken.plan.seed));
        let _ = writeln!(body, "<p>Run it again: <code>{command}</code></p>");
    }
    body.push_str("</section>\n");
}

fn over_time(order: &Order, outcome: &Outcome) -> [Card; 4] {
    let (timeline, runs_in) = (&outcome.total.report.timeline, &outcome.total.runs_in);
    let hosts = u32::from(order.plan.topology.homes) + u32::from(order.plan.topology.callers);
    let of_seeds = |what: &str| match outcome.total.seeds {
        0 | 1 => String::new(),
        seeds => format!(" ({what} {seeds} seeds)"),
    };
    let otherwise = "The run has no timeline.";
    [
        Card {
            size: Size::Wide,
            title: "Calls and faults",
            about: format!(
                "What became of the calls that ended in each part of the virtual time, and the \
                 faults that began in it{}.",
                of_seeds("sums of")
            ),
            legend: &[("ok", "answered"), ("bad", "failed"), ("fault", "faults begun")],
            plot: plots::calls(timeline),
            otherwise,
        },
        Card {
            size: Size::Half,
            title: "Latency over time",
            about: format!("What 99 % of the answers did not exceed{}.", of_seeds("worst of")),
            legend: &[],
            plot: plots::latency_over_time(timeline),
            otherwise: "No call was answered.",
        },
        Card {
            size: Size::Half,
            title: "Hosts linked",
            about: format!("Of {hosts} Homes and callers{}.", of_seeds("mean of")),
            legend: &[],
            plot: plots::linked(timeline, runs_in, hosts),
            otherwise,
        },
        Card {
            size: Size::Wide,
            title: "Held by all nodes",
            about: format!(
                "Bytes in the tables of the nodes, and of frames that they had not sent yet{}.",
                of_seeds("mean of")
            ),
            legend: &[],
            plot: plots::held(timeline, runs_in),
            otherwise: "Nothing was measured.",
        },
    ]
}

fn distributions(report: &Report) -> [Card; 2] {
    [
        Card {
            size: Size::Half,
            title: "Latency",
            about: String::from("From a call to its result."),
            legend: &[],
            plot: plots::distribution("latency", "results", &report.latency),
            otherwise: "No call was answered.",
        },
        Card {
            size: Size::Half,
            title: "Recovery",
            about: String::from("How long a Home or caller was without its link."),
            legend: &[],
            plot: plots::distribution("recovery time", "losses", &report.recovery),
            otherwise: "No host lost its link.",
        },
    ]
}

fn counts(report: &Report) -> [Card; 4] {
    let links = report.links.iter().take(LINKS_MAX).map(|link| {
        let dialled = match link.connections {
            0 => String::new(),
            times => format!(", dialled {}", plural(times, "time")),
        };
        let tip = format!("{}{dialled}", bytes(link.bytes));
        bars::Bar::new(format!("{} → {}", link.from, link.to), link.frames, tip)
    });
    let named = |counts: &std::collections::BTreeMap<&'static str, u64>| {
        let bars = counts.iter().map(|(name, count)| bars::Bar::named(name, *count));
        bars.collect::<Vec<_>>()
    };
    let told = report.told.iter();
    let told = told.map(|(told, count)| bars::Bar::named(told_in_words(told), *count));
    let card = |size, title, about: &str, plot, otherwise| Card {
        size,
        title,
        about: about.to_owned(),
        legend: &[],
        plot,
        otherwise,
    };
    [
        card(
            if report.links.len() > FEW_LINKS { Size::Tall } else { Size::Half },
            "Messages by link",
            "Frames from host to host, the busiest first.",
            bars::plot("frames", "ok", links.collect()),
            "No frames were counted.",
        ),
        card(
            Size::Half,
            "Errors",
            "Failed calls by their code.",
            bars::plot("failed calls", "bad", named(&report.errors)),
            "No call failed.",
        ),
        card(
            Size::Half,
            "What callers were told",
            "Whether a failed call ran, as its error says.",
            bars::plot("failed calls", "bad", told.collect()),
            "No call failed.",
        ),
        card(
            Size::Half,
            "Faults",
            "How often each happened.",
            bars::plot("faults", "fault", named(&report.faults)),
            "Nothing went wrong.",
        ),
    ]
}

fn details(body: &mut String, order: &Order, report: &Report) {
    let plan = escape(&file_of(&order.plan));
    let _ = writeln!(body, "<details><summary>The plan</summary>\n<pre>{plan}</pre></details>");
    if !report.links.is_empty() {
        let links = plural(report.links.len() as u64, "link");
        let _ = writeln!(body, "<details><summary>{links}</summary>");
        let rows = report.links.iter().take(LINK_ROWS_MAX).map(|link| {
            let (frames, connections) = (count(link.frames), dialled(link));
            [link.from.clone(), link.to.clone(), frames, bytes(link.bytes), connections]
        });
        table(body, &["from", "to", "frames", "bytes", "connections"], rows);
        body.push_str("</details>\n");
    }
    if !report.marks.is_empty() {
        let marks = plural(report.marks.len() as u64, "mark");
        let _ = writeln!(body, "<details><summary>{marks} reached</summary>");
        let rows = report.marks.iter().map(|(name, times)| [(*name).to_owned(), count(*times)]);
        table(body, &["mark", "times"], rows);
        body.push_str("</details>\n");
    }
}

/// The plan as `relay sim FILE` reads it, every field of it.
fn file_of(plan: &Plan) -> String {
    let Ok(Value::Object(plan)) = serde_json::to_value(plan) else { return String::new() };
    let (tables, fields): (Vec<_>, Vec<_>) = plan.iter().partition(|(_, value)| value.is_object());
    let mut text: String =
        fields.iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
    for (name, table) in tables {
        let _ = writeln!(text, "\n[{name}]");
        for (name, value) in table.as_object().into_iter().flatten() {
            let _ = writeln!(text, "{name} = {value}");
        }
    }
    text
}

fn table<const N: usize>(
    body: &mut String,
    header: &[&str; N],
    rows: impl Iterator<Item = [String; N]>,
) {
    body.push_str("<div class=\"scroll\"><table><thead><tr>");
    for name in header {
        let _ = write!(body, "<th scope=\"col\">{}</th>", escape(name));
    }
    body.push_str("</tr></thead><tbody>\n");
    for row in rows {
        let cells = row.iter().map(|cell| format!("<td>{}</td>", escape(cell)));
        let _ = writeln!(body, "<tr>{}</tr>", cells.collect::<String>());
    }
    body.push_str("</tbody></table></div>\n");
}

const STYLE: &str = include_str!("page/style.css");
const LINKS_MAX: usize = 20;
/// So many bars are no higher than the other cards.
const FEW_LINKS: usize = 8;
/// Rows of the table of links; a world of thousands of hosts stays a page that opens.
const LINK_ROWS_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::SimArgs;
    use crate::commands::sim::figures::Total;
    use figment::providers::{Format, Toml};
    use relay_sim::{Faults, LinkTraffic, Span, Verdict};
    use std::time::Duration;

    fn page(report: &Report) -> String {
        let args = SimArgs { file: None, ..SimArgs::default() };
        let mut order = Order::of(&args).expect("allowed");
        order.name = String::from("<i>&");
        let mut total = Total::default();
        total.add(report);
        total.finish();
        let wall = Duration::from_secs(1);
        html(
            &order,
            &Outcome {
                total,
                broken: None,
                unequal: Vec::new(),
                wall,
                is_interrupted: false,
                threads: 1,
            },
        )
    }

    #[test]
    fn a_page_of_nothing_is_a_page() {
        let page = page(&Report::default());
        for text in ["No call failed.", "No host lost its link.", "every promise kept"] {
            assert!(page.contains(text), "{text}: {page}");
        }
        assert_eq!(page.matches("<svg").count(), 0);
    }

    #[test]
    fn nothing_on_the_page_comes_from_elsewhere_or_is_taken_as_markup() {
        let mut report = Report::default();
        let what = String::from("told '<script>'");
        report.verdicts = vec![Verdict { oracle: "S5", uid: Some(3), at: Span::default(), what }];
        report.errors.insert("DEADLINE", 4);
        let (from, to) = (String::from("<b>"), String::from("main-0"));
        report.links = vec![LinkTraffic { from, to, frames: 1, bytes: 2, connections: 3 }];
        let page = page(&report);
        assert!(page.contains("told &#39;&lt;script&gt;&#39;") && page.contains("1 violation"));
        for text in ["<script", "<b>", "<i>&", "src=", "href=", "url(", "http://", "https://"] {
            assert!(!page.contains(text), "{text}: {page}");
        }
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    }

    #[test]
    fn the_plan_on_the_page_can_be_run() {
        let plan = Plan { seed: 9, faults: Faults::share(0.1), ..Plan::default() };
        let read = figment::Figment::from(Toml::string(&file_of(&plan))).extract::<Plan>();
        assert_eq!(read.expect("a plan"), plan);
    }
}
