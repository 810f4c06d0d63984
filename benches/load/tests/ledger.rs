use crate::ledger::Ledger;

fn entered(mut ledger: Ledger, numbers: &[u32]) -> (u64, u64, u64, u64) {
    for &number in numbers {
        ledger.enter(0, number);
    }
    (
        ledger.delivered,
        ledger.lost(&[5]),
        ledger.repeated,
        ledger.out_of_order,
    )
}

#[test]
fn what_is_lost_repeated_and_late_is_counted() {
    for (numbers, outcome) in [
        (&[0, 1, 2, 3, 4][..], (5, 0, 0, 0)),
        (&[0, 1, 3, 4], (4, 1, 0, 0)),
        (&[0, 1, 2, 3], (4, 1, 0, 0)),
        (&[], (0, 5, 0, 0)),
        (&[0, 1, 1, 2, 3, 4], (5, 0, 1, 0)),
        (&[0, 2, 1, 3, 4], (5, 0, 0, 1)),
        (&[0, 2, 1, 1, 3], (4, 1, 1, 1)),
    ] {
        assert_eq!(
            entered(Ledger::from_the_start(1), numbers),
            outcome,
            "{numbers:?}"
        );
    }
}

#[test]
fn who_comes_late_misses_only_what_follows() {
    for (numbers, outcome) in [
        (&[2, 3, 4][..], (3, 0, 0, 0)),
        (&[2, 4], (2, 1, 0, 0)),
        (&[2, 3], (2, 1, 0, 0)),
        (&[], (0, 0, 0, 0)),
        (&[3, 2, 4], (2, 0, 1, 0)),
    ] {
        assert_eq!(
            entered(Ledger::from_now_on(1), numbers),
            outcome,
            "{numbers:?}"
        );
    }
}

#[test]
fn publishers_are_told_apart() {
    let mut ledger = Ledger::from_the_start(2);
    ledger.enter(0, 0);
    ledger.enter(1, 0);
    ledger.enter(1, 2);
    assert_eq!(ledger.lost(&[2, 3]), 2);
    assert_eq!(ledger.lost_between(), 1);
}

#[test]
fn what_is_live_follows_on_the_history() {
    for (live, outcome) in [
        (&[3, 4][..], (2, 0, 0, 0)),
        (&[4], (1, 1, 0, 0)),
        (&[2, 3, 4], (2, 0, 1, 0)),
        (&[], (0, 2, 0, 0)),
    ] {
        let mut ledger = Ledger::from_now_on(1);
        ledger.enter_history(0, 1);
        ledger.enter_history(0, 2);
        assert_eq!(entered(ledger, live), outcome, "{live:?}");
    }
}
