use crate::rooms::Rooms;

/// Messages sent one by one, counted by room and slot.
fn counted(rooms: &Rooms, accepted: &[u32]) -> Vec<Vec<u32>> {
    let mut seen = vec![Vec::new(); rooms.count()];
    for (room, seen) in seen.iter_mut().enumerate() {
        let serving = (0..accepted.len()).filter(|&p| rooms.slot(room, p).is_some());
        *seen = vec![0; serving.count()];
    }
    for (publisher, &all) in accepted.iter().enumerate() {
        for index in 0..all {
            let (room, number) = rooms.turn(publisher, index);
            let slot = rooms.slot(room, publisher).expect("it serves the room");
            assert_eq!(number, seen[room][slot], "numbers have no gap in a room");
            seen[room][slot] += 1;
        }
    }
    seen
}

#[test]
fn what_was_accepted_by_room_is_what_was_sent_there() {
    for (count, publishers) in [
        (1, 1),
        (1, 16),
        (3, 16),
        (16, 3),
        (10, 10),
        (7, 2),
        (1000, 16),
    ] {
        let rooms = Rooms::new("room", count, publishers);
        let accepted: Vec<u32> = (0..publishers).map(|p| 50 + 7 * p as u32).collect();
        let seen = counted(&rooms, &accepted);
        for (room, seen) in seen.iter().enumerate() {
            assert_eq!(
                *seen,
                rooms.accepted(room, &accepted),
                "room {room} of {count}"
            );
            assert!(seen.len() <= rooms.slots() && !seen.is_empty());
        }
    }
}

#[test]
fn nobody_else_serves_a_room() {
    let rooms = Rooms::new("room", 4, 2);
    assert_eq!(rooms.slot(1, 0), None);
    assert_eq!(rooms.slot(0, 9_999), None);
    assert_eq!(rooms.slot(2, 0), Some(0));
}
