//! An axis of a chart: where a value lies on it, and which values are written at it.

/// How values are spread over an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scale {
    /// From nought.
    Linear,
    Log,
}

/// An axis from its least to its greatest value.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    scale: Scale,
    least: f64,
    most: f64,
    pub(crate) ticks: Vec<Tick>,
}

/// A value with its name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    pub(crate) value: f64,
    pub(crate) name: String,
}

impl Axis {
    /// One that has room for all `values` and ends at a tick.
    pub(crate) fn around(scale: Scale, values: impl Iterator<Item = f64>) -> Self {
        let values: Vec<f64> = values
            .filter(|value| value.is_finite() && (scale == Scale::Linear || *value > 0.0))
            .collect();
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        match scale {
            Scale::Linear => Self::linear(most.max(0.0)),
            Scale::Log if values.is_empty() => Self::log(1.0, 10.0),
            Scale::Log => Self::log(least, most),
        }
    }

    /// One that ends where its values end, with ticks of its own.
    pub(crate) fn with_ticks(scale: Scale, least: f64, most: f64, ticks: Vec<Tick>) -> Self {
        Self {
            scale,
            least,
            most,
            ticks,
        }
    }

    fn linear(most: f64) -> Self {
        let most = if most > 0.0 { most } else { 1.0 };
        let step = step(most);
        let end = (most / step).ceil() * step;
        let ticks = (0..=20).map(|tick| f64::from(tick) * step);
        Self {
            scale: Scale::Linear,
            least: 0.0,
            most: end,
            ticks: ticks
                .take_while(|tick| *tick <= end + step / 2.0)
                .map(named)
                .collect(),
        }
    }

    fn log(least: f64, most: f64) -> Self {
        let ladder: Vec<f64> = (-9..=12)
            .flat_map(|decade| [1.0, 2.0, 5.0].map(|rung| rung * 10f64.powi(decade)))
            .collect();
        let first = ladder.iter().rposition(|&rung| rung <= least).unwrap_or(0);
        let end = ladder
            .iter()
            .position(|&rung| rung >= most)
            .unwrap_or(ladder.len() - 1)
            .max(first + 1)
            .min(ladder.len() - 1);
        let within = &ladder[first..=end];
        // Beyond some two decades only the decades have room.
        let ticks = within
            .iter()
            .filter(|rung| within.len() <= 8 || rung.log10().fract().abs() < 1e-9)
            .map(|&rung| named(rung));
        Self {
            scale: Scale::Log,
            least: within[0],
            most: within[within.len() - 1],
            ticks: ticks.collect(),
        }
    }

    /// Where a value lies, from 0 to 1.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let of = |value: f64| match self.scale {
            Scale::Linear => value,
            Scale::Log => value.max(self.least).ln(),
        };
        ((of(value) - of(self.least)) / (of(self.most) - of(self.least))).clamp(0.0, 1.0)
    }
}

/// A step of 1, 2 or 5 times a power of ten that makes some five of `most`.
fn step(most: f64) -> f64 {
    let rough = most / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let choice = [1.0, 2.0, 5.0, 10.0].map(|rung| rung * power);
    choice
        .into_iter()
        .find(|&step| step >= rough * 0.999)
        .unwrap_or(rough)
}

fn named(value: f64) -> Tick {
    Tick {
        value,
        name: short(value),
    }
}

/// A number as a person writes it at an axis.
pub(crate) fn short(value: f64) -> String {
    let (value, unit) = match value.abs() {
        1e9.. => (value / 1e9, " G"),
        1e6.. => (value / 1e6, " M"),
        10_000.0.. => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let digits = match value.abs() {
        100.0.. => 0,
        1.0.. => 1,
        0.1.. => 2,
        _ => 3,
    };
    let number = format!("{value:.digits$}");
    let number = if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        &number
    };
    format!("{number}{unit}")
}
