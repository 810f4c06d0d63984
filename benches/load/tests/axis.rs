use crate::axis::{Axis, Scale, short};

fn names(axis: &Axis) -> Vec<&str> {
    axis.ticks.iter().map(|tick| tick.name.as_str()).collect()
}

#[test]
fn an_axis_begins_at_nought_and_ends_at_a_tick() {
    let axis = Axis::around(Scale::Linear, [3.0, 9.4].into_iter());
    assert_eq!(names(&axis), ["0", "2", "4", "6", "8", "10"]);
    assert_eq!(axis.place(5.0), 0.5);
    assert_eq!(axis.place(99.0), 1.0);
    assert_eq!(
        names(&Axis::around(Scale::Linear, [].into_iter())),
        ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    );
}

#[test]
fn a_logarithmic_axis_goes_from_rung_to_rung() {
    let axis = Axis::around(Scale::Log, [1_500.0, 18_000.0, f64::NAN, 0.0].into_iter());
    assert_eq!(names(&axis), ["1000", "2000", "5000", "10 k", "20 k"]);
    assert_eq!(axis.place(1_000.0), 0.0);
    assert_eq!(axis.place(0.0), 0.0);
    let wide = Axis::around(Scale::Log, [0.1, 1_000.0].into_iter());
    assert_eq!(names(&wide), ["0.1", "1", "10", "100", "1000"]);
    let same = Axis::around(Scale::Log, [10.0, 10.0].into_iter());
    assert!(same.place(10.0).is_finite());
}

#[test]
fn numbers_are_short() {
    for (value, text) in [
        (0.0, "0"),
        (0.25, "0.25"),
        (1.5, "1.5"),
        (120.0, "120"),
        (9_999.0, "9999"),
        (18_000.0, "18 k"),
        (2_500_000.0, "2.5 M"),
    ] {
        assert_eq!(short(value), text);
    }
}
