use crate::ramp::{NEAR, Ramp, STEPS};

fn found(first: f64, limit: f64) -> (Option<f64>, u32) {
    let mut ramp = Ramp::new(first);
    while ramp.judge(ramp.rate() <= limit) {}
    (ramp.met, ramp.steps)
}

#[test]
fn the_largest_rate_is_found_to_a_twentieth() {
    for (first, limit) in [
        (20.0, 1_234.0),
        (5_000.0, 77.0),
        (100.0, 100.0),
        (1.0, 90_000.0),
    ] {
        let (met, steps) = found(first, limit);
        let met = met.expect("some rate is met");
        assert!(met <= limit && met * NEAR >= limit, "{met} for {limit}");
        assert!(steps < STEPS, "{steps} steps");
    }
}

#[test]
fn a_bound_that_nothing_meets_ends_the_search() {
    let (met, steps) = found(20.0, 0.0);
    assert_eq!(met, None);
    assert!(steps <= STEPS);
}

#[test]
fn a_bound_that_everything_meets_ends_the_search() {
    assert_eq!(found(20.0, f64::INFINITY).1, STEPS);
}
