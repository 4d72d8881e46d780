//! Horizontal bars, one for each name: how many there were of each.

use super::svg::{Anchor, Area, Canvas, Scale};
use super::{count, percent};
use std::cmp::Reverse;

/// One bar.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    name: String,
    count: u64,
    /// What else there is to say, beside the pointer.
    tip: String,
}

impl Bar {
    pub(super) const fn new(name: String, count: u64, tip: String) -> Self {
        Self { name, count, tip }
    }

    pub(super) fn named(name: &str, count: u64) -> Self {
        Self::new(name.to_owned(), count, String::new())
    }
}

/// The longest bar first. `None` when there is none, or all are empty.
pub(super) fn plot(unit: &str, class: &str, mut bars: Vec<Bar>) -> Option<String> {
    bars.sort_by_key(|bar| Reverse(bar.count));
    let most = bars.first().map_or(0, |bar| bar.count);
    if most == 0 {
        return None;
    }
    let all: u64 = bars.iter().map(|bar| bar.count).sum();
    let longest_name = bars.iter().map(|bar| width_of(&bar.name)).fold(0.0, f64::max);
    let left = (longest_name + 12.0).clamp(60.0, 260.0);
    let room = width_of(&count(most)) + 20.0;
    let scale = Scale::linear(most as f64, (left, WIDTH - room));
    let height = bars.len() as f64 * ROW + 6.0;
    let mut canvas = Canvas::new(&format!("{unit}, {} bars", bars.len()), WIDTH, height);
    canvas.line("axis", (left, 0.0), (left, height));
    for (at, bar) in bars.iter().enumerate() {
        let top = at as f64 * ROW + 5.0;
        let text = top + ROW / 2.0 + 1.5;
        let right = scale.at(bar.count as f64).max(left + 1.0);
        let area = Area { left, top, right, bottom: top + ROW - 6.0 };
        let share = percent(bar.count as f64 / all as f64);
        let tip = if bar.tip.is_empty() { share } else { bar.tip.clone() };
        let tip = format!("{}: {} {unit} ({tip})", bar.name, count(bar.count));
        canvas.text("name", (left - 8.0, text), Anchor::End, &bar.name);
        canvas.rect(&format!("bar {class}"), area, &tip);
        canvas.text("value", (right + 7.0, text), Anchor::Start, &count(bar.count));
    }
    Some(canvas.finish())
}

/// About the width of a text in a wide font, in the units of the picture.
fn width_of(text: &str) -> f64 {
    let width = |character: char| if character.is_uppercase() { 10.0 } else { 8.2 };
    text.chars().map(width).sum()
}

const WIDTH: f64 = 540.0;
const ROW: f64 = 24.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_sorted_and_none_is_drawn_for_nothing() {
        let bars = vec![Bar::named("few of them", 10), Bar::named("many", 1_000)];
        let drawn = plot("calls", "ok", bars).expect("bars");
        assert!(drawn.find("many") < drawn.find("few of them"), "{drawn}");
        assert_eq!(drawn.matches("<rect").count(), 2);
        assert!(drawn.contains("many: 1,000 calls (99.009 %)"), "{drawn}");
        assert_eq!(plot("calls", "ok", Vec::new()), None);
        assert_eq!(plot("calls", "ok", vec![Bar::named("zero", 0)]), None);
    }
}
