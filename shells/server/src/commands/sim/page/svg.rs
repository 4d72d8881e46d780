//! Drawing: shapes with a title each, scales from values to points, ticks at round values.

use std::fmt::Write;

/// A picture that is being drawn. Colours and fonts are left to the style sheet.
#[derive(Debug)]
pub(super) struct Canvas {
    out: String,
}

/// A rectangle: left, top, right, bottom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) right: f64,
    pub(super) bottom: f64,
}

/// Where the text stands in relation to its point.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Canvas {
    /// A picture of this size that tells `about` to those who cannot see it.
    pub(super) fn new(about: &str, width: f64, height: f64) -> Self {
        let about = escape(about);
        let out =
            format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{about}\">\n");
        Self { out }
    }

    /// A filled rectangle; what `title` says appears beside the pointer.
    pub(super) fn rect(&mut self, class: &str, area: Area, title: &str) {
        let (width, height) = (area.right - area.left, area.bottom - area.top);
        let _ = writeln!(
            self.out,
            "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\">\
             <title>{}</title></rect>",
            area.left,
            area.top,
            width.max(0.1),
            height.max(0.0),
            escape(title)
        );
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let _ = writeln!(
            self.out,
            "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\"/>",
            from.0, from.1, to.0, to.1
        );
    }

    /// Connected points.
    pub(super) fn path(&mut self, class: &str, points: &[(f64, f64)], title: &str) {
        let mut drawn = String::new();
        for (at, (x, y)) in points.iter().enumerate() {
            let _ = write!(drawn, "{}{x:.1} {y:.1}", if at == 0 { 'M' } else { 'L' });
        }
        let title = escape(title);
        let _ = writeln!(
            self.out,
            "<path class=\"{class}\" d=\"{drawn}\"><title>{title}</title></path>"
        );
    }

    pub(super) fn text(&mut self, class: &str, at: (f64, f64), anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let _ = writeln!(
            self.out,
            "<text class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
            at.0,
            at.1,
            escape(text)
        );
    }

    /// The lines and labels of the axis at the left.
    pub(super) fn y_axis(&mut self, plot: Area, scale: &Scale, unit: &str, ticks: &[Tick]) {
        for tick in ticks {
            let y = scale.at(tick.value);
            self.line("grid", (plot.left, y), (plot.right, y));
            self.text("tick", (plot.left - 8.0, y + 4.0), Anchor::End, &tick.label);
        }
        self.text("unit", (plot.left, plot.top - 10.0), Anchor::Start, unit);
    }

    /// The line, ticks and labels of the axis at the bottom.
    pub(super) fn x_axis(&mut self, plot: Area, scale: &Scale, unit: &str, ticks: &[Tick]) {
        self.line("axis", (plot.left, plot.bottom), (plot.right, plot.bottom));
        for tick in ticks {
            let x = scale.at(tick.value);
            self.line("axis", (x, plot.bottom), (x, plot.bottom + 5.0));
            // A long label at the end would stand half outside of the picture.
            let is_outside = x + 4.0 * tick.label.len() as f64 > plot.right + MARGIN;
            let (anchor, x) = match is_outside {
                true => (Anchor::End, plot.right + MARGIN),
                false => (Anchor::Middle, x),
            };
            self.text("tick", (x, plot.bottom + 19.0), anchor, &tick.label);
        }
        let middle = f64::midpoint(plot.left, plot.right);
        self.text("unit", (middle, plot.bottom + 38.0), Anchor::Middle, unit);
    }

    pub(super) fn finish(mut self) -> String {
        self.out.push_str("</svg>\n");
        self.out
    }
}

/// From values to points of the picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    is_logarithmic: bool,
    /// The points of the lowest and the highest value.
    points: (f64, f64),
}

impl Scale {
    pub(super) const fn linear(high: f64, points: (f64, f64)) -> Self {
        Self { low: 0.0, high, is_logarithmic: false, points }
    }

    /// Both values must be above zero.
    pub(super) fn logarithmic(low: f64, high: f64, points: (f64, f64)) -> Self {
        Self { low: low.ln(), high: high.ln(), is_logarithmic: true, points }
    }

    pub(super) fn at(&self, value: f64) -> f64 {
        let value = if self.is_logarithmic { value.max(1e-9).ln() } else { value };
        let share = (value - self.low) / (self.high - self.low).max(1e-9);
        self.points.0 + share.clamp(0.0, 1.0) * (self.points.1 - self.points.0)
    }
}

/// A labelled place on an axis.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Tick {
    pub(super) value: f64,
    pub(super) label: String,
}

/// Ticks at round values from zero to the first that reaches `most`, about five of them. `step_min`
/// is 1 where only whole numbers make sense.
pub(super) fn ticks(most: f64, step_min: f64) -> Vec<Tick> {
    let rough = (most / 5.0).max(step_min).max(1e-6);
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power);
    let step = step.into_iter().find(|step| *step >= rough * 0.999).unwrap_or(rough);
    let steps = (most / step - 1e-6).ceil().max(1.0) as u32;
    let tick = |at: u32| {
        let value = f64::from(at) * step;
        Tick { value, label: super::number(value) }
    };
    (0..=steps).map(tick).collect()
}

/// Text as it stands in HTML, also between quotes.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(character),
            _ if character.is_control() => out.push('\u{fffd}'),
            _ => out.push(character),
        }
    }
    out
}

/// Room to the right of a plot.
pub(super) const MARGIN: f64 = 14.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_most() {
        let labels = |most, step| {
            ticks(most, step).into_iter().map(|tick| tick.label).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(labels(10.0, 0.0), "0 2 4 6 8 10");
        assert_eq!(labels(43.0, 0.0), "0 10 20 30 40 50");
        assert_eq!(labels(2.0, 1.0), "0 1 2");
        assert_eq!(labels(0.9, 0.0), "0 0.2 0.4 0.6 0.8 1");
        assert_eq!(labels(0.0, 1.0), "0 1");
        assert_eq!(labels(123_456.0, 1.0), "0 50,000 100,000 150,000");
    }

    #[test]
    fn scales_map_both_ends_and_clamp() {
        let scale = Scale::linear(10.0, (100.0, 0.0));
        for (value, point) in [(0.0, 100.0), (5.0, 50.0), (10.0, 0.0), (20.0, 0.0)] {
            assert!((scale.at(value) - point).abs() < 1e-9, "{value}");
        }
        let scale = Scale::logarithmic(1.0, 100.0, (0.0, 200.0));
        for (value, point) in [(1.0, 0.0), (10.0, 100.0), (100.0, 200.0), (0.0, 0.0)] {
            assert!((scale.at(value) - point).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn nothing_leaves_its_quotes() {
        assert_eq!(
            escape("<a href='x'>\"&\u{1b}"),
            "&lt;a href=&#39;x&#39;&gt;&quot;&amp;\u{fffd}"
        );
        let mut canvas = Canvas::new("\"<b>", 1.0, 1.0);
        canvas.text("tick", (0.0, 0.0), Anchor::Start, "</svg>");
        let drawn = canvas.finish();
        assert!(!drawn.contains("<b>") && drawn.matches("</svg>").count() == 1, "{drawn}");
    }
}
