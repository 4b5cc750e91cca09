//! A line chart over time, as SVG: axes, warm-up, end of the load, one line a series, and the values
//! of a moment where the pointer rests. Colours are the page's.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 26.0;
/// Moments drawn; of a longer run every n-th.
const POINTS: usize = 600;
/// Colours of the page.
const COLOURS: usize = 5;

/// What all charts of a page have in common.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    /// Moments, seconds since the load began; rising.
    pub(super) at: Vec<f64>,
    /// What is left of it is warm-up.
    pub(super) warmup: f64,
    /// The last answer of the load; afterwards only callbacks come.
    pub(super) ended: f64,
}

#[derive(Clone, Debug)]
pub(super) struct Chart {
    pub(super) title: &'static str,
    /// What is drawn, and how to read it.
    pub(super) note: String,
    pub(super) unit: &'static str,
    pub(super) series: Vec<Series>,
}

#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: &'static str,
    /// One a moment; `None`: nothing happened.
    pub(super) values: Vec<Option<f64>>,
}

// === impl Series ===

impl Series {
    fn max(&self) -> Option<f64> {
        self.values.iter().flatten().copied().reduce(f64::max)
    }

    /// Of the moments while the load ran and counted.
    fn mean(&self, axis: &Axis) -> Option<f64> {
        let counted = axis.at.iter().zip(&self.values);
        let counted = counted.filter(|(at, _)| **at > axis.warmup && **at <= axis.ended);
        let values: Vec<f64> = counted.filter_map(|(_, value)| *value).collect();
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }
}

// === impl Chart ===

impl Chart {
    /// Title, legend with mean and highest value, drawing. Nothing if there is nothing to draw.
    pub(super) fn draw(&self, axis: &Axis) -> String {
        let drawn: Vec<_> = self.series.iter().filter(|series| series.max().is_some()).collect();
        if drawn.is_empty() || axis.at.len() < 2 {
            return String::new();
        }
        let mut out = format!(
            "<figure><h2>{} <small>{}</small></h2><p>{}</p><ul class=legend>",
            self.title, self.unit, self.note
        );
        for (n, series) in drawn.iter().enumerate() {
            let mean = series.mean(axis).map_or(String::new(), |m| format!("mean {}, ", number(m)));
            let max = number(series.max().unwrap_or(0.0));
            // Writing to a String cannot fail.
            let _ = write!(
                out,
                "<li><i class=s{}></i>{} <small>{mean}highest {max}</small></li>",
                n % COLOURS,
                series.name
            );
        }
        out.push_str("</ul>");
        self.svg(axis, &drawn, &mut out);
        out.push_str("</figure>\n");
        out
    }

    fn svg(&self, axis: &Axis, drawn: &[&Series], out: &mut String) {
        let end = axis.at.last().copied().unwrap_or(1.0).max(1.0);
        let top = drawn.iter().filter_map(|series| series.max()).fold(0.0, f64::max);
        let step = tick(top, 4.0);
        let top = ((top / step).ceil() * step).max(step);
        let x = |at: f64| LEFT + at / end * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);
        let (floor, ceiling, right) = (y(0.0), y(top), x(end));

        let _ = write!(
            out,
            "<svg viewBox='0 0 {WIDTH} {HEIGHT}' role=img aria-label='{}'>",
            self.title
        );
        if axis.warmup > 0.0 {
            let (width, height) = (x(axis.warmup.min(end)) - LEFT, floor - ceiling);
            let _ = write!(
                out,
                "<rect class=warmup x={LEFT} y={ceiling:.1} width={width:.1} height={height:.1} />\
                 <text class=mark x={:.1} y={:.1}>warm-up</text>",
                LEFT + 4.0,
                ceiling - 6.0
            );
        }
        for n in 0_u8..=20 {
            let value = f64::from(n) * step;
            if value > top * 1.001 {
                break;
            }
            let at = y(value);
            let _ = write!(
                out,
                "<line class=grid x1={LEFT} x2={right:.1} y1={at:.1} y2={at:.1} />\
                 <text class=y x={:.1} y={:.1}>{}</text>",
                LEFT - 8.0,
                at + 4.0,
                number(value)
            );
        }
        let seconds = tick(end, 8.0).max(1.0);
        for n in 0_u8..=20 {
            let at = f64::from(n) * seconds;
            if at > end {
                break;
            }
            let _ = write!(
                out,
                "<text class=x x={:.1} y={:.1}>{} s</text>",
                x(at),
                floor + 18.0,
                number(at)
            );
        }
        if axis.ended < end - 1.0 {
            let at = x(axis.ended);
            let _ = write!(
                out,
                "<line class=ended x1={at:.1} x2={at:.1} y1={ceiling:.1} y2={floor:.1} />\
                 <text class='mark end' x={at:.1} y={:.1}>last 201</text>",
                ceiling - 6.0
            );
        }

        let every = axis.at.len().div_ceil(POINTS).max(1);
        for (n, series) in drawn.iter().enumerate() {
            let moments = axis.at.iter().zip(&series.values).step_by(every);
            let path = path(moments.map(|(at, value)| (x(*at), value.map(y))));
            let _ = write!(out, "<path class=s{} d='{path}' />", n % COLOURS);
        }
        self.pointers(axis, drawn, every, (&x, ceiling, floor), out);
        out.push_str("</svg>");
    }

    /// Where the pointer rests the values of that moment are told.
    fn pointers(
        &self,
        axis: &Axis,
        drawn: &[&Series],
        every: usize,
        (x, ceiling, floor): (&dyn Fn(f64) -> f64, f64, f64),
        out: &mut String,
    ) {
        let mut left = x(0.0);
        for (index, at) in axis.at.iter().enumerate().step_by(every) {
            let mut text = format!("{at:.0} s");
            for series in drawn {
                if let Some(Some(value)) = series.values.get(index) {
                    let _ = write!(text, "\n{}: {} {}", series.name, number(*value), self.unit);
                }
            }
            let right = x(*at);
            let _ = write!(
                out,
                "<rect class=point x={left:.1} y={ceiling:.1} width={:.1} height={:.1}>\
                 <title>{text}</title></rect>",
                (right - left).max(0.1),
                floor - ceiling
            );
            left = right;
        }
    }
}

/// A line through the points that exist; one that stands alone becomes a dot.
fn path(points: impl Iterator<Item = (f64, Option<f64>)>) -> String {
    let mut out = String::new();
    let mut drawing = false;
    for (x, y) in points {
        if let Some(y) = y {
            let command = if drawing { 'L' } else { 'M' };
            let _ = write!(out, "{command}{x:.1} {y:.1}");
            if !drawing {
                out.push_str("h.1");
            }
        }
        drawing = y.is_some();
    }
    out
}

/// A round distance (1, 2, 5 times a power of ten) that parts 0 to `max` into about `parts`.
fn tick(max: f64, parts: f64) -> f64 {
    if max <= 0.0 {
        return 1.0;
    }
    let raw = max / parts;
    let power = 10_f64.powf(raw.log10().floor());
    let round = [1.0, 2.0, 5.0].into_iter().find(|round| raw <= round * power);
    round.map_or(10.0 * power, |round| round * power)
}

/// With commas between thousands, and a fraction only where it says something.
pub(super) fn number(value: f64) -> String {
    if value.abs() < 9.95 && (value - value.round()).abs() > 0.005 {
        return format!("{value:.1}");
    }
    let digits = format!("{:.0}", value.abs());
    let mut out = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if value < 0.0 { format!("-{out}") } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        for (max, step) in [(0.0, 1.0), (3.9, 1.0), (7.0, 2.0), (80.0, 20.0), (9_000.0, 5_000.0)] {
            assert!((tick(max, 4.0) - step).abs() < 1e-9, "{max}: {}", tick(max, 4.0));
        }
    }

    #[test]
    fn numbers_read_well() {
        let shown = [0.0, 0.25, 9.96, 80.4, 1_234.0, 1_234_567.8, -5_000.0].map(number);
        assert_eq!(shown, ["0", "0.2", "10", "80", "1,234", "1,234,568", "-5,000"]);
    }

    #[test]
    fn a_gap_is_not_bridged_and_a_lonely_point_is_a_dot() {
        let points = [(0.0, Some(1.0)), (1.0, Some(2.0)), (2.0, None), (3.0, Some(4.0))];
        assert_eq!(path(points.into_iter()), "M0.0 1.0h.1L1.0 2.0M3.0 4.0h.1");
    }

    #[test]
    fn a_chart_shows_its_series_within_its_frame() {
        let axis = Axis { at: vec![0.0, 1.0, 2.0, 3.0], warmup: 1.0, ended: 2.0 };
        let values = vec![None, Some(10.0), Some(30.0), Some(5.0)];
        let series = vec![
            Series { name: "SendMessage", values },
            Series { name: "never", values: vec![None; 4] },
        ];
        let chart = Chart { title: "Operations", note: String::new(), unit: "a second", series };
        let svg = chart.draw(&axis);
        assert!(svg.contains("SendMessage <small>mean 30, highest 30</small>"), "{svg}");
        assert!(!svg.contains("never"), "{svg}");
        assert!(svg.contains("warm-up"), "{svg}");
        let path = svg.split("<path class=s0 d='").nth(1).unwrap().split('\'').next().unwrap();
        assert_eq!(path, "M275.3 136.7h.1L490.7 22.0L706.0 165.3");
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        let axis = Axis { at: vec![0.0, 1.0], warmup: 0.0, ended: 1.0 };
        let series = vec![Series { name: "none", values: vec![None, None] }];
        let chart = Chart { title: "None", note: String::new(), unit: "ms", series };
        assert_eq!(chart.draw(&axis), "");
    }
}
