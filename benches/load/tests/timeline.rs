use std::time::Duration;

use crate::timeline::Timeline;

const SECOND: u64 = 1_000_000;

#[test]
fn latencies_are_kept_by_when_they_were_due() {
    let mut timeline = Timeline::new(Duration::from_secs(1));
    timeline.record(0, 10).expect("recorded");
    timeline.record(3 * SECOND, 30).expect("recorded");
    let mut other = Timeline::new(Duration::from_secs(1));
    other.record(3 * SECOND + 1, 50).expect("recorded");
    other.record(9 * SECOND, 90).expect("recorded");
    timeline.add(other).expect("alike");
    let starts: Vec<_> = timeline.slots().map(|(start, _)| start.as_secs()).collect();
    assert_eq!(starts, [0, 3, 9]);
    let middle = timeline.between(Duration::from_secs(3), Duration::from_secs(4));
    assert_eq!(middle.expect("a histogram").len(), 2);
    assert_eq!(timeline.whole().expect("a histogram").max(), 90);
}

#[test]
fn a_time_that_cannot_be_is_refused() {
    let mut timeline = Timeline::new(Duration::from_millis(250));
    assert!(timeline.record(1_000 * SECOND, 10).is_ok());
    assert!(timeline.record(u64::MAX, 10).is_err());
}
