use crate::choices::{Rate, Varied, Vary, share};

#[test]
fn a_rate_is_flat_or_within_bounds() {
    assert_eq!("flat".parse(), Ok(Rate::Flat));
    assert_eq!("0.5".parse(), Ok(Rate::PerSecond(0.5)));
    for wrong in ["0", "-1", "NaN", "1000001", "much"] {
        assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
    }
}

#[test]
fn what_varies_has_values_within_bounds() {
    let rooms = Vary {
        what: Varied::Rooms,
        values: vec![1, 10, 100],
    };
    assert_eq!("rooms=1,10,100".parse(), Ok(rooms));
    for wrong in ["rooms", "rooms=", "rooms=0", "rooms=1,,2", "seats=1"] {
        assert!(wrong.parse::<Vary>().is_err(), "{wrong}");
    }
}

#[test]
fn not_everybody_can_stall() {
    assert_eq!(share("0.5"), Ok(0.5));
    assert!(share("1").is_err() && share("-0.1").is_err());
}
