//! What a comparison says: a table for people, which is Markdown, and every measurement as JSON.

use crate::load::{Measurement, Settings};
use crate::nats::Program;
use crate::{Row, System};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// All measurements so far.
pub(crate) struct Report {
    pub(crate) rounds: u32,
    settings: Settings,
    cores: usize,
    nats_version: Option<String>,
    cells: BTreeMap<(Row, System), Vec<Measurement>>,
}

impl Report {
    pub(crate) fn new(settings: &Settings, rounds: u32, nats: Option<&Program>) -> Self {
        Self {
            rounds,
            settings: *settings,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            nats_version: nats.map(|program| program.version.clone()),
            cells: BTreeMap::new(),
        }
    }

    pub(crate) fn add(&mut self, row: Row, system: System, measured: Measurement) {
        self.cells.entry((row, system)).or_default().push(measured);
    }

    /// Every measurement in the order of the rounds, with the medians and ratios of the table.
    pub(crate) fn to_json(&self) -> String {
        let cells: Vec<Value> = self
            .cells
            .iter()
            .map(|((row, system), measured)| {
                let (connections, in_flight) = row.shape();
                let rounds: Vec<Value> = measured.iter().map(to_json).collect();
                json!({
                    "connections": connections,
                    "in_flight": in_flight,
                    "system": system.to_string(),
                    "rounds": rounds,
                    "ratio_to_nats_server": self.ratio(*row, *system, System::Nats),
                    "ratio_to_blind_hub": self.ratio(*row, *system, System::Hub),
                })
            })
            .collect();
        let report = json!({
            "cores": self.cores,
            "payload_bytes": self.settings.payload,
            "seconds": self.settings.duration.as_secs(),
            "nats_server": self.nats_version,
            "cells": cells,
        });
        format!("{report:#}\n")
    }

    /// How much better `system` is than `other`: the median over the rounds, each compared with its
    /// own round, as the machine may change between them.
    fn ratio(&self, row: Row, system: System, other: System) -> Option<f64> {
        let (ours, theirs) = (self.cells.get(&(row, system))?, self.cells.get(&(row, other))?);
        let ratios = ours.iter().zip(theirs).map(|(ours, theirs)| match row {
            Row::Latency => theirs.p50.as_secs_f64() / ours.p50.as_secs_f64(),
            Row::OneBy64 | Row::SixteenBy16 => ours.rate / theirs.rate,
        });
        median(ratios.collect())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = vec![HEADINGS.map(str::to_owned)];
        for ((row, system), measured) in &self.cells {
            let of = |value: fn(&Measurement) -> f64| -> Vec<f64> {
                measured.iter().map(value).collect()
            };
            let rates = of(|it| it.rate);
            let text = |value: Option<f64>, digits: usize| {
                value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
            };
            let ratio = |other| text(self.ratio(*row, *system, other), 2);
            table.push([
                row.to_string(),
                system.to_string(),
                text(median(rates.clone()), 0),
                text(rates.iter().copied().reduce(f64::min), 0),
                text(rates.iter().copied().reduce(f64::max), 0),
                text(median(of(|it| micros(it.p50))), 1),
                text(median(of(|it| micros(it.p99))), 1),
                text(median(of(|it| it.broker_cpu)), 2),
                ratio(System::Nats),
                ratio(System::Hub),
            ]);
        }
        write_table(&table, f)?;
        let Settings { payload, duration } = self.settings;
        write!(
            f,
            "\nMedians of {} rounds of {} s, {payload} B, {} cores",
            self.rounds,
            duration.as_secs(),
            self.cores
        )?;
        if let Some(version) = &self.nats_version {
            write!(f, ", nats-server {version}")?;
        }
        writeln!(f, ". CPU: seconds of the broker for 1 M calls.")?;
        writeln!(
            f,
            "Ratios: above 1 this system is better; of p50 in row {}, of calls/s in the others.",
            Row::Latency
        )
    }
}

fn write_table(table: &[[String; COLUMNS]], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| width(column).unwrap_or(0));
    for (at, row) in table.iter().enumerate() {
        for (column, (text, width)) in row.iter().zip(widths).enumerate() {
            match column < LEFT_COLUMNS {
                true => write!(f, "| {text:<width$} ")?,
                false => write!(f, "| {text:>width$} ")?,
            }
        }
        writeln!(f, "|")?;
        if at == 0 {
            for (column, width) in widths.into_iter().enumerate() {
                let end = if column < LEFT_COLUMNS { '-' } else { ':' };
                write!(f, "|{}{end}", "-".repeat(width + 1))?;
            }
            writeln!(f, "|")?;
        }
    }
    Ok(())
}

fn to_json(measured: &Measurement) -> Value {
    json!({
        "calls": measured.calls,
        "calls_per_second": measured.rate,
        "p50_us": micros(measured.p50),
        "p99_us": micros(measured.p99),
        "broker_cpu_seconds_per_million": measured.broker_cpu,
    })
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// The middle value, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let (low, high) =
        (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some(f64::midpoint(*low, *high))
}

const COLUMNS: usize = 10;
const LEFT_COLUMNS: usize = 2;
const HEADINGS: [&str; COLUMNS] =
    ["work", "system", "calls/s", "min", "max", "p50 µs", "p99 µs", "CPU", "to nats", "to hub"];

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(rate: f64, p50: u64) -> Measurement {
        let p50 = Duration::from_micros(p50);
        Measurement { calls: 1, rate, p50, p99: p50 * 2, broker_cpu: 1.5 }
    }

    #[test]
    fn ratios_compare_rounds_and_the_better_is_above_one() {
        let settings = Settings { payload: 128, duration: Duration::from_secs(1) };
        let mut report = Report::new(&settings, 3, None);
        for (ours, theirs) in [(200.0, 100.0), (30.0, 10.0), (100.0, 100.0)] {
            report.add(Row::OneBy64, System::Relay, measured(ours, 10));
            report.add(Row::OneBy64, System::Nats, measured(theirs, 10));
            report.add(Row::Latency, System::Relay, measured(ours, 50));
            report.add(Row::Latency, System::Nats, measured(theirs, 100));
        }
        assert_eq!(report.ratio(Row::OneBy64, System::Relay, System::Nats), Some(2.0));
        assert_eq!(report.ratio(Row::Latency, System::Relay, System::Nats), Some(2.0));
        assert_eq!(report.ratio(Row::Latency, System::Relay, System::Hub), None);
        let table = report.to_string();
        assert!(table.contains("| 1 × 64 | Relay "), "{table}");
        let json: Value = serde_json::from_str(&report.to_json()).expect("is JSON");
        assert_eq!(json["cells"][0]["ratio_to_nats_server"], 2.0);
        assert_eq!(json["cells"][0]["rounds"].as_array().map(Vec::len), Some(3));
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }
}
