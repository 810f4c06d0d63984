use crate::median::Spread;

#[test]
fn the_median_of_rounds() {
    let spread = |least, median, most| {
        Some(Spread {
            least,
            median,
            most,
        })
    };
    assert_eq!(Spread::of([3.0, 1.0, 2.0]), spread(1.0, 2.0, 3.0));
    assert_eq!(Spread::of([4.0, 1.0]), spread(1.0, 2.5, 4.0));
    assert_eq!(Spread::of([7.0]), spread(7.0, 7.0, 7.0));
    assert_eq!(Spread::of([]), None);
}

#[test]
fn ratios_are_taken_within_a_round() {
    let ratios = Spread::of_ratios([1.0, 10.0, 100.0], [2.0, 20.0, 200.0]);
    assert_eq!(ratios, Spread::of([0.5, 0.5, 0.5]));
    assert_eq!(Spread::of_ratios([1.0], [0.0]), None);
}
