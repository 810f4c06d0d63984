//! Whether what viewers saw is what must always hold. Pure: it looks at a [`Recording`] and knows no clock and no socket.
//!
//! # What
//! - **I1** Every message that was acknowledged with 202 is owed to every viewer of its room that was there when its first
//!   POST began, and stayed, or came back within the resume window each time (whatever `recovered` said). It is also owed to
//!   whoever saw something before it and something after it, in the room's order.
//! - **I2** No viewer sees a message twice. Only after `"recovered": false` may the newest history repeat what an earlier
//!   [`Stay`] has seen, and a client drops that by its id; it is counted, and within the new stay nothing comes twice.
//! - **I3** All stays of all viewers of a room together have one order: the graph of "this came right after that" has no cycle.
//! - A publisher that waits for the 202 of one message before it posts the next sees its messages in that order.
//! - A message is seen in the room that it was posted to, and none that nobody posted.
//!
//! # How
//! [`check`] returns what is wrong, [`order`] sorts a room, [`tamper`] breaks a recording to see that it is noticed.

pub(crate) mod order;
pub(crate) mod tamper;

use std::collections::{HashMap, HashSet};
use std::fmt;

/// One message: who wrote it, and the how manieth of its messages it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) publisher: u32,
    pub(crate) number: u32,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.publisher, self.number)
    }
}

/// What is known of a message from its publisher. Times are milliseconds since the start of the run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fate {
    pub(crate) room: usize,
    /// When its first POST began.
    pub(crate) posted: u64,
    /// When the first 202 came.
    pub(crate) acknowledged: Option<u64>,
}

/// Why a stay began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// The viewer is new, or was away for longer than the resume window.
    Anew,
    /// It came back within the window and was not recovered.
    NotRecovered,
}

/// What a viewer saw from a `joined` that was not recovered up to the next one: resumes in between are exact.
#[derive(Clone, Debug)]
pub(crate) struct Stay {
    pub(crate) start: Start,
    pub(crate) joined: u64,
    pub(crate) shown: Vec<Key>,
}

/// One viewer.
#[derive(Clone, Debug)]
pub(crate) struct Viewer {
    pub(crate) name: String,
    pub(crate) room: usize,
    /// It left for good before the end: what came after that is not owed to it.
    pub(crate) left: bool,
    pub(crate) stays: Vec<Stay>,
    /// How it came and went, for people.
    pub(crate) diary: Vec<String>,
    /// What it was shown and should not have been, whatever else holds.
    pub(crate) strange: Vec<String>,
}

/// A whole run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recording {
    pub(crate) rooms: Vec<String>,
    pub(crate) messages: HashMap<Key, Fate>,
    /// The publishers that wait for each 202.
    pub(crate) patient: HashSet<u32>,
    pub(crate) viewers: Vec<Viewer>,
}

/// Something that must never be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// I1.
    Lost { viewer: String, key: Key },
    /// I2.
    Repeated { viewer: String, key: Key },
    /// I3; the two messages are seen in both orders, if two stays alone show it.
    Disordered {
        room: String,
        pair: Option<order::Inversion>,
    },
    /// A patient publisher's later message before its earlier one.
    Overtaken {
        viewer: String,
        earlier: Key,
        later: Key,
    },
    /// Seen in another room than it was posted to.
    Misrouted {
        viewer: String,
        key: Key,
        posted_to: String,
    },
    /// Seen, and posted by nobody.
    Unknown { viewer: String, key: Key },
    /// Whatever else a viewer noticed.
    Strange { viewer: String, what: String },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { viewer, key } => {
                write!(f, "I1: {viewer} never saw {key}, which was acknowledged")
            }
            Self::Repeated { viewer, key } => write!(f, "I2: {viewer} saw {key} twice"),
            Self::Disordered { room, pair: None } => write!(
                f,
                "I3: in {room} the orders of more than two viewers contradict each other"
            ),
            Self::Disordered {
                room,
                pair: Some(pair),
            } => write!(f, "I3: in {room} {pair}"),
            Self::Overtaken {
                viewer,
                earlier,
                later,
            } => write!(
                f,
                "I3: {viewer} saw {later} before {earlier}, which was acknowledged before it was posted"
            ),
            Self::Misrouted {
                viewer,
                key,
                posted_to,
            } => write!(f, "{viewer} saw {key}, which was posted to {posted_to}"),
            Self::Unknown { viewer, key } => write!(f, "{viewer} saw {key}, which nobody posted"),
            Self::Strange { viewer, what } => write!(f, "{viewer}: {what}"),
        }
    }
}

impl Violation {
    /// Whose viewer it is about.
    pub(crate) fn viewer(&self) -> Option<&str> {
        match self {
            Self::Lost { viewer, .. }
            | Self::Repeated { viewer, .. }
            | Self::Overtaken { viewer, .. }
            | Self::Misrouted { viewer, .. }
            | Self::Unknown { viewer, .. }
            | Self::Strange { viewer, .. } => Some(viewer),
            Self::Disordered { pair, .. } => pair.as_ref().map(|pair| pair.one.as_str()),
        }
    }
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) acknowledged: usize,
    /// Messages shown, to all viewers together.
    pub(crate) shown: usize,
    /// Pairs of a message and a viewer to whom it was owed.
    pub(crate) owed: usize,
    /// What the newest history repeated after `"recovered": false`.
    pub(crate) shown_again: usize,
}

/// Holds a recording to what must hold. No violation means that all does.
pub(crate) fn check(recording: &Recording) -> (Checked, Vec<Violation>) {
    let mut checked = Checked {
        acknowledged: recording
            .messages
            .values()
            .filter(|fate| fate.acknowledged.is_some())
            .count(),
        ..Checked::default()
    };
    let mut violations = Vec::new();
    for viewer in &recording.viewers {
        check_stays(recording, viewer, &mut checked, &mut violations);
    }
    for (room, name) in recording.rooms.iter().enumerate() {
        let places = order::of_room(recording, room).unwrap_or_else(|pair| {
            violations.push(Violation::Disordered {
                room: name.clone(),
                pair,
            });
            HashMap::new()
        });
        let acknowledged: Vec<(Key, Fate)> = recording
            .messages
            .iter()
            .filter(|(_, fate)| fate.room == room && fate.acknowledged.is_some())
            .map(|(key, fate)| (*key, *fate))
            .collect();
        for viewer in recording
            .viewers
            .iter()
            .filter(|viewer| viewer.room == room)
        {
            check_completeness(
                viewer,
                &acknowledged,
                &places,
                &mut checked,
                &mut violations,
            );
        }
    }
    (checked, violations)
}

/// What a stay shows by itself: repeats, strangers, and patient publishers' messages out of their order.
fn check_stays(
    recording: &Recording,
    viewer: &Viewer,
    checked: &mut Checked,
    violations: &mut Vec<Violation>,
) {
    let name = || viewer.name.clone();
    let mut ever: HashSet<Key> = HashSet::new();
    for stay in &viewer.stays {
        let mut seen: HashSet<Key> = HashSet::with_capacity(stay.shown.len());
        let mut latest: HashMap<u32, Key> = HashMap::new();
        for &key in &stay.shown {
            checked.shown += 1;
            if !seen.insert(key) {
                violations.push(Violation::Repeated {
                    viewer: name(),
                    key,
                });
                continue;
            }
            checked.shown_again += usize::from(ever.contains(&key));
            match recording.messages.get(&key) {
                None => violations.push(Violation::Unknown {
                    viewer: name(),
                    key,
                }),
                Some(fate) if fate.room != viewer.room => violations.push(Violation::Misrouted {
                    viewer: name(),
                    key,
                    posted_to: recording.rooms.get(fate.room).cloned().unwrap_or_default(),
                }),
                Some(_) if recording.patient.contains(&key.publisher) => {
                    let before = latest.entry(key.publisher).or_insert(key);
                    if before.number > key.number {
                        violations.push(Violation::Overtaken {
                            viewer: name(),
                            earlier: key,
                            later: *before,
                        });
                    } else {
                        *before = key;
                    }
                }
                Some(_) => {}
            }
        }
        ever.extend(seen);
    }
    violations.extend(viewer.strange.iter().map(|what| Violation::Strange {
        viewer: name(),
        what: what.clone(),
    }));
}

/// I1, see the module's own words.
fn check_completeness(
    viewer: &Viewer,
    acknowledged: &[(Key, Fate)],
    places: &HashMap<Key, usize>,
    checked: &mut Checked,
    violations: &mut Vec<Violation>,
) {
    // A viewer that was away for too long begins anew: what lies between is nobody's promise.
    let lives: Vec<&[Stay]> = viewer
        .stays
        .chunk_by(|_, next| next.start == Start::NotRecovered)
        .collect();
    let mut missing: HashSet<Key> = HashSet::new();
    for (index, life) in lives.iter().enumerate() {
        let Some(first) = life.first() else { continue };
        let to_the_end = index + 1 == lives.len() && !viewer.left;
        let seen: HashSet<Key> = life
            .iter()
            .flat_map(|stay| stay.shown.iter().copied())
            .collect();
        let place = |key: &Key| places.get(key).copied();
        // Where the newest history begins, as of the first stay: a later one may begin further back.
        let begin = first.shown.first().and_then(place);
        let end = seen.iter().filter_map(place).max();
        for (key, fate) in acknowledged {
            let between = match (place(key), begin, end) {
                (Some(place), Some(begin), Some(end)) => {
                    place >= begin && (to_the_end || place <= end)
                }
                _ => false,
            };
            let is_owed = between || to_the_end && fate.posted >= first.joined;
            if !is_owed {
                continue;
            }
            checked.owed += 1;
            if !seen.contains(key) {
                missing.insert(*key);
            }
        }
    }
    let mut missing: Vec<Key> = missing.into_iter().collect();
    missing.sort_unstable();
    violations.extend(missing.into_iter().map(|key| Violation::Lost {
        viewer: viewer.name.clone(),
        key,
    }));
}
