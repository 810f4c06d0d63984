//! Medians, ranges and ratios of runs that were taken in turn.

/// Three values stand for all rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// Of at least one value.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            *values.get(middle)?
        } else {
            f64::midpoint(*values.get(middle.checked_sub(1)?)?, *values.get(middle)?)
        };
        Some(Self {
            least: *values.first()?,
            median,
            most: *values.last()?,
        })
    }

    /// Of the ratios within each round: what the machine does to a whole round drops out.
    pub(crate) fn of_ratios(
        ours: impl IntoIterator<Item = f64>,
        theirs: impl IntoIterator<Item = f64>,
    ) -> Option<Self> {
        let pairs = ours.into_iter().zip(theirs);
        Self::of(
            pairs
                .filter(|&(_, theirs)| theirs > 0.0)
                .map(|(ours, theirs)| ours / theirs),
        )
    }
}
