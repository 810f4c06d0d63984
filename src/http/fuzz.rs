//! What anyone may post or ask.

use std::fmt::Write as _;

use bolero::TypeGenerator;
use uuid::Uuid;

use super::{publish, query};
use crate::fuzz::{Changes, Text, fuzz};
use crate::message::Timestamp;

#[test]
fn bodies_are_drafts_or_problems() {
    let right = [
        r#"{"text":"hello","room":"lobby","name":"A B","id":"8c2f7a34-6a0c-4a6e-9f0b-0d1b6f1f0c11"}"#,
        r#"{"text":"\ud83d\ude00 \n\t","room":"~._-"}"#,
        r#" {"text":"x","id":null,"unknown":[{"a":1.5e300}]}"#,
    ];
    fuzz!(5_000, (u8, Changes), |(of, changes): &(u8, Changes)| {
        let body = right[usize::from(*of) % right.len()].as_bytes().to_vec();
        let body = changes.apply(body);
        let now = Timestamp::from_millis(1_800_000_000_000);
        if let Ok(draft) = publish::parse(&body, 2_000, now, Uuid::nil) {
            // What is accepted can be written, and read by everyone who reads the stream.
            let payload = crate::message::payload::decode(&draft.encode());
            assert!(payload.is_ok(), "{payload:?}");
        }
    });
}

/// A query as `URLSearchParams` writes it, more or less.
#[derive(Debug, TypeGenerator)]
struct Query {
    pairs: Vec<(u8, Text)>,
    changes: Changes,
}

#[test]
fn queries_are_read_or_refused_by_name() {
    let names = ["room", "after", "history", "rоom", ""];
    fuzz!(5_000, Query, |query: &Query| {
        let mut text = String::new();
        for (name, value) in &query.pairs {
            text.push_str(names[usize::from(*name) % names.len()]);
            text.push('=');
            for byte in value.text().bytes() {
                match byte {
                    b'a'..=b'z' | b'0'..=b'9' => text.push(char::from(byte)),
                    b' ' => text.push('+'),
                    other => write!(text, "%{other:02X}").unwrap(),
                }
            }
            text.push('&');
        }
        let first = query.pairs.iter().find(|(name, _)| name % 5 == 0);
        let once = query.pairs.iter().filter(|(name, _)| name % 5 == 0).count() == 1;
        if once {
            let [room] = query::parameters(&text, ["room"]).unwrap();
            assert_eq!(room, first.map(|(_, value)| value.text()));
        }
        let changed = query.changes.apply(text.into_bytes());
        let changed = String::from_utf8_lossy(&changed);
        if let Err(bad) = query::parameters(&changed, ["room", "after", "history"]) {
            assert!(names[..3].contains(&bad.name));
        }
    });
}
