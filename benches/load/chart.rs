//! Charts as SVG that stands alone: no script, no font, no file beside it, in the colours of the reader's scheme.

use std::fmt::Write;

use crate::axis::{Axis, short};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 58.0;
const BOTTOM: f64 = 48.0;
/// Lines with no more points than this show them, with their values.
const MARKED: usize = 16;

/// The colours of charts; also those of a page that has them within.
pub(crate) const STYLE: &str = "
svg.chart { font: 13px system-ui, sans-serif; --text: #1f2328; --quiet: #59636e; --grid: #d8dee4;
  --c0: #1f6feb; --c1: #bc4c00; --c2: #1a7f37; --c3: #8250df; --c4: #bf3989; }
@media (prefers-color-scheme: dark) { svg.chart { --text: #e6edf3; --quiet: #9198a1; --grid: #373e47;
  --c0: #58a6ff; --c1: #f0883e; --c2: #3fb950; --c3: #bc8cff; --c4: #ff7eb6; } }
svg.chart text { fill: var(--quiet); }
svg.chart .title { fill: var(--text); font-weight: 600; font-size: 15px; }
svg.chart .legend, svg.chart .value { fill: var(--text); }
svg.chart .grid { stroke: var(--grid); stroke-width: 1; }
svg.chart .line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
svg.chart .range { stroke-width: 2; opacity: .55; }
";

/// Lines over two axes.
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) x_label: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) lines: Vec<Line>,
}

/// A line of a chart.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<Point>,
}

/// A value, with the range it was taken from if there were several.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) range: Option<(f64, f64)>,
}

/// Bars, one below the other.
pub(crate) struct Bars {
    pub(crate) title: String,
    pub(crate) rows: Vec<(String, Point)>,
    pub(crate) digits: usize,
}

impl Point {
    pub(crate) fn new(x: f64, y: f64) -> Self {
        Self { x, y, range: None }
    }
}

impl Chart {
    /// The chart as an element of a page.
    pub(crate) fn svg(&self) -> String {
        let mut svg = open(&self.title, HEIGHT);
        self.draw_axes(&mut svg);
        let mut legend = LEFT;
        for (index, line) in self.lines.iter().enumerate() {
            self.draw_line(&mut svg, index, line);
            if self.lines.len() > 1 {
                let _ = write!(
                    svg,
                    r#"<rect x="{legend}" y="37" width="14" height="4" rx="2" fill="var(--c{index})"/><text class="legend" x="{}" y="43">{}</text>"#,
                    legend + 19.0,
                    escaped(&line.name)
                );
                legend += 40.0 + 7.2 * length(&line.name);
            }
        }
        svg + "</svg>"
    }

    fn draw_axes(&self, svg: &mut String) {
        for tick in &self.y.ticks {
            let y = self.y_of(tick.value);
            let _ = write!(
                svg,
                r#"<path class="grid" d="M{LEFT} {y:.1}H{}"/><text x="{}" y="{:.1}" text-anchor="end">{}</text>"#,
                WIDTH - RIGHT,
                LEFT - 8.0,
                y + 4.5,
                escaped(&tick.name)
            );
        }
        for tick in &self.x.ticks {
            let x = self.x_of(tick.value);
            let bottom = HEIGHT - BOTTOM;
            let _ = write!(
                svg,
                r#"<path class="grid" d="M{x:.1} {bottom}v5"/><text x="{x:.1}" y="{}" text-anchor="middle">{}</text>"#,
                bottom + 19.0,
                escaped(&tick.name)
            );
        }
        let _ = write!(
            svg,
            r#"<text x="{}" y="{}" text-anchor="end">{}</text>"#,
            WIDTH - RIGHT,
            HEIGHT - 8.0,
            escaped(&self.x_label)
        );
    }

    fn draw_line(&self, svg: &mut String, index: usize, line: &Line) {
        let mut path = String::new();
        for (number, point) in line.points.iter().enumerate() {
            let command = if number == 0 { 'M' } else { 'L' };
            let (x, y) = (self.x_of(point.x), self.y_of(point.y));
            let _ = write!(path, "{command}{x:.1} {y:.1}");
        }
        let _ = write!(
            svg,
            r#"<path class="line" stroke="var(--c{index})" d="{path}"/>"#
        );
        if line.points.len() > MARKED {
            return;
        }
        for point in &line.points {
            let (x, y) = (self.x_of(point.x), self.y_of(point.y));
            if let Some((least, most)) = point.range {
                let _ = write!(
                    svg,
                    r#"<path class="range" stroke="var(--c{index})" d="M{x:.1} {:.1}V{:.1}"/>"#,
                    self.y_of(least),
                    self.y_of(most)
                );
            }
            let _ = write!(
                svg,
                r#"<circle cx="{x:.1}" cy="{y:.1}" r="4" fill="var(--c{index})"><title>{}: {} at {}</title></circle>"#,
                escaped(&line.name),
                short(point.y),
                short(point.x)
            );
        }
    }

    fn x_of(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y_of(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - TOP - BOTTOM)
    }
}

impl Bars {
    const ROW: f64 = 34.0;
    const NAMES: f64 = 130.0;
    const VALUES: f64 = 90.0;

    /// The chart as an element of a page.
    pub(crate) fn svg(&self) -> String {
        let rows = u32::try_from(self.rows.len()).unwrap_or(u32::MAX);
        let mut svg = open(&self.title, 50.0 + Self::ROW * f64::from(rows));
        let ends = self
            .rows
            .iter()
            .map(|(_, bar)| bar.range.map_or(bar.y, |range| range.1));
        let most = ends.fold(0.0, f64::max).max(f64::MIN_POSITIVE);
        let room = WIDTH - Self::NAMES - Self::VALUES - RIGHT;
        let mut y = 42.0;
        for (index, (name, bar)) in self.rows.iter().enumerate() {
            let to = |value: f64| Self::NAMES + value / most * room;
            let (color, middle) = (usize::from(index > 0), y + Self::ROW / 2.0);
            let _ = write!(
                svg,
                r#"<text class="legend" x="{}" y="{}" text-anchor="end">{}</text><rect x="{}" y="{}" width="{:.1}" height="20" rx="3" fill="var(--c{color})"/>"#,
                Self::NAMES - 10.0,
                middle + 4.5,
                escaped(name),
                Self::NAMES,
                middle - 10.0,
                to(bar.y) - Self::NAMES
            );
            let end = bar.range.map_or(bar.y, |range| range.1.max(bar.y));
            if let Some((least, most)) = bar.range {
                let _ = write!(
                    svg,
                    r#"<path stroke="var(--text)" stroke-width="2" d="M{:.1} {middle}H{:.1}"/>"#,
                    to(least),
                    to(most)
                );
            }
            let digits = self.digits;
            let _ = write!(
                svg,
                r#"<text class="value" x="{:.1}" y="{}">{:.digits$}</text>"#,
                to(end) + 8.0,
                middle + 4.5,
                bar.y
            );
            y += Self::ROW;
        }
        svg + "</svg>"
    }
}

/// A chart's element as a file of its own.
pub(crate) fn file(svg: &str) -> String {
    match svg.split_once('>') {
        Some((head, rest)) => format!("{head}><style>{STYLE}</style>{rest}\n"),
        None => svg.to_owned(),
    }
}

fn open(title: &str, height: f64) -> String {
    let title = escaped(title);
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}"><text class="title" x="{}" y="20">{title}</text>"#,
        16
    )
}

/// Text within an element or an attribute.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn length(text: &str) -> f64 {
    f64::from(u32::try_from(text.chars().count()).unwrap_or(u32::MAX))
}
