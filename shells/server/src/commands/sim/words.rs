//! Numbers as people read them, on the terminal and on the page.

use relay_sim::{LinkTraffic, Report};
use std::time::Duration;

/// `12,345`.
pub(in crate::commands) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with three digits that matter: `0.0123`, `4.56`, `78.9`, `1,234`.
pub(super) fn number(value: f64) -> String {
    if value >= 99.95 {
        return count(value.round() as u64);
    }
    if value <= 0.0 {
        return String::from("0");
    }
    let digits = (2.0 - value.log10().floor()).clamp(0.0, 6.0) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}

/// A time with three digits that matter and one unit: `640 µs`, `8.1 ms`, `1.24 s`, `3 min`.
pub(in crate::commands) fn time(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    let units = [("h", 3.6e9), ("min", 1.2e8), ("s", 1e6), ("ms", 1e3), ("µs", 0.0)];
    match units.into_iter().find(|(_, from)| micros >= *from) {
        Some(("h", size)) => format!("{} h", number(micros / size)),
        Some(("min", _)) => format!("{} min", number(micros / 6e7)),
        Some((unit, size)) if size > 0.0 => format!("{} {unit}", number(micros / size)),
        _ => format!("{} µs", number(micros)),
    }
}

/// A time in full, to the second where it is long: `1 h`, `25 min 48 s`, `30 days`.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    if time.subsec_micros() != 0 && seconds < 60 {
        return self::time(time);
    }
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let parts = parts.iter().filter(|(number, _)| *number > 0);
    let parts: Vec<String> = parts.map(|(number, unit)| format!("{number} {unit}")).collect();
    if parts.is_empty() { String::from("0 s") } else { parts.join(" ") }
}

/// `640 B`, `12.3 MiB`.
pub(super) fn bytes(bytes: u64) -> String {
    let units = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, size)| bytes >= *size) {
        Some((unit, size)) => format!("{} {unit}", number(bytes as f64 / size as f64)),
        None => format!("{bytes} B"),
    }
}

/// A share in percent, rounded down, so that 100 % means all.
pub(super) fn percent(share: f64) -> String {
    let thousandths = (share * 1e5 + 1e-6).floor() / 1e3;
    let text = format!("{thousandths:.3}");
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// The availability in percent, or a dash where nothing was asked for.
pub(super) fn availability(report: &Report) -> String {
    let calls = &report.calls;
    match calls.succeeded + calls.failed - calls.failed_as_expected {
        0 => String::from("-"),
        _ => percent(report.availability()),
    }
}

/// The connections of a link, or a dash in the direction in which nobody dials.
pub(super) fn dialled(link: &LinkTraffic) -> String {
    if link.connections == 0 { String::from("-") } else { count(link.connections) }
}

/// `1 Home`, `20 Homes`.
pub(in crate::commands) fn plural(number: u64, one: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {one}{ending}", count(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_short() {
        for (value, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(value), text);
        }
        for (value, text) in [
            (0.0, "0"),
            (0.012_34, "0.0123"),
            (4.561, "4.56"),
            (78.94, "78.9"),
            (99.96, "100"),
            (5.0, "5"),
        ] {
            assert_eq!(number(value), text);
        }
        for (value, text) in [(640, "640 B"), (2_048, "2 KiB"), (12_897_485, "12.3 MiB")] {
            assert_eq!(bytes(value), text);
        }
    }

    #[test]
    fn times_have_one_unit() {
        for (micros, text) in [
            (0, "0 µs"),
            (640, "640 µs"),
            (8_100, "8.1 ms"),
            (1_240_000, "1.24 s"),
            (75_000_000, "75 s"),
            (180_000_000, "3 min"),
            (3_600_000_000, "1 h"),
        ] {
            assert_eq!(time(Duration::from_micros(micros)), text);
        }
        for (seconds, text) in
            [(0, "0 s"), (3_600, "1 h"), (1_548, "25 min 48 s"), (90_061, "1 d 1 h 1 min 1 s")]
        {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
        assert_eq!(span(Duration::from_millis(1_240)), "1.24 s");
    }

    #[test]
    fn a_share_is_never_rounded_up_to_all() {
        for (share, text) in
            [(1.0, "100 %"), (0.999_999_9, "99.999 %"), (0.5, "50 %"), (0.0, "0 %"), (0.99, "99 %")]
        {
            assert_eq!(percent(share), text);
        }
    }
}
