use crate::stalled::Stalled;

fn metrics(lagging: u64, bytes: u64, time: u64) -> Stalled {
    Stalled::read(&format!(
        "# HELP chat_room_fanout_viewers_lagging Viewers whose socket is full.\n\
         # TYPE chat_room_fanout_viewers_lagging gauge\n\
         chat_room_fanout_viewers_lagging {lagging}\n\
         chat_room_fanout_viewers_lagging_of_another_name 9\n\
         chat_room_fanout_lag_disconnects_total{{reason=\"too_far_behind\"}} {bytes}\n\
         chat_room_fanout_lag_disconnects_total{{reason=\"too long behind\"}} {time}\n"
    ))
}

#[test]
fn series_are_read_and_summed() {
    let stalled = metrics(3, 4, 5);
    assert_eq!((stalled.lagging, stalled.sent_away), (3, 9));
    assert_eq!(Stalled::read("nothing of it"), Stalled::default());
}

#[test]
fn the_most_at_a_time_and_those_of_this_run_count() {
    let before = metrics(0, 100, 0);
    let mut stalled = Stalled::default();
    for (lagging, sent_away) in [(50, 100), (70, 120), (10, 180)] {
        stalled.look_again(metrics(lagging, sent_away, 1), before);
    }
    assert_eq!((stalled.lagging, stalled.sent_away), (70, 81));
}
