//! The search for the largest rate that a bound allows: doubling, then halving what lies between.

/// How near the two ends must come: a twentieth.
pub(crate) const NEAR: f64 = 1.05;
/// A search that runs away is ended.
pub(crate) const STEPS: u32 = 24;

/// A search under way.
#[derive(Debug)]
pub(crate) struct Ramp {
    /// The largest rate that was met.
    pub(crate) met: Option<f64>,
    /// The smallest that was not.
    missed: Option<f64>,
    rate: f64,
    pub(crate) steps: u32,
}

impl Ramp {
    pub(crate) fn new(first: f64) -> Self {
        Self {
            met: None,
            missed: None,
            rate: first,
            steps: 0,
        }
    }

    /// The rate to try now.
    pub(crate) fn rate(&self) -> f64 {
        self.rate
    }

    /// Takes whether the rate was met; false at the end of the search.
    pub(crate) fn judge(&mut self, met: bool) -> bool {
        self.steps += 1;
        if met {
            self.met = Some(self.rate);
        } else {
            self.missed = Some(self.rate);
        }
        self.rate = match (self.met, self.missed) {
            (Some(met), Some(missed)) if missed / met <= NEAR => return false,
            // Rates are judged by their ratio.
            (Some(met), Some(missed)) => (met * missed).sqrt(),
            (Some(met), None) => met * 2.0,
            (None, Some(missed)) => missed / 2.0,
            (None, None) => self.rate,
        };
        self.steps < STEPS && self.rate >= 0.1
    }
}
