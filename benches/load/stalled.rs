//! How the server fares with viewers that never read, by its own metrics.

/// What the server holds against them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Stalled {
    /// Viewers that were behind at the same time, at most.
    pub(crate) lagging: u64,
    /// Viewers that were disconnected for their lag.
    pub(crate) sent_away: u64,
}

impl Stalled {
    /// What `/metrics` says now; zeros where it says nothing.
    pub(crate) fn read(metrics: &str) -> Self {
        let sum = |name: &str| {
            let values = metrics.lines().filter_map(|line| {
                let rest = line.strip_prefix(name)?;
                let series = rest.starts_with([' ', '{']);
                // A label's value may have a space in it: the number is the last word.
                let value = rest.rsplit(' ').next()?.parse::<f64>().ok()?;
                series.then_some(value)
            });
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "counts of viewers; `as` saturates"
            )]
            let sum = values.sum::<f64>() as u64;
            sum
        };
        Self {
            lagging: sum("chat_room_fanout_viewers_lagging"),
            sent_away: sum("chat_room_fanout_lag_disconnects_total"),
        }
    }

    /// Takes a later look, given what had been counted `before` the run.
    pub(crate) fn look_again(&mut self, now: Self, before: Self) {
        self.lagging = self.lagging.max(now.lagging);
        self.sent_away = now.sent_away.saturating_sub(before.sent_away);
    }
}
