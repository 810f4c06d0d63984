//! Whether what came is what the table expects.
//!
//! An object is matched member by member, and what the table does not name may be anything; a list has as many elements
//! as in the table; anything else must be the same, but for these.
//!
//! | in the table | holds for |
//! | --- | --- |
//! | `"<absent>"`, `"<present>"` | a member that is not there (or null), or is |
//! | `"<text>"`, `"<whole>"` | any text that is not empty; any whole number of zero or more |
//! | `"<recent>"` | a time of the last ten minutes |
//! | `"<above x>"`, `"<at least x>"`, `"<at most x>"` | a number that is so, also as a decimal text of any length |
//! | `"/…/"` | a text in which the regular expression is found |
//! | `{ "<length>" = n }` | a list or text of that length |
//! | `{ "<has>" = [a, …] }` | a list with an element for each of these |
//! | `{ "<has no>" = [a, …] }` | a list without any element like these |
//! | `{ "<set>" = [a, …] }` | a list of just these, in any order |
//! | `{ "<rising>" = pointer }` | a list whose elements have rising numbers there |
//! | `{ "<count>" = n, of = a }` | a list in which `n` elements are like `a` |
//! | `{ "<halves>" = n }` | a list of `n` shards whose hash ranges are the whole space, in equal parts |
//! | `{ "<all>" = [a, …] }` | what each of these holds for |

use std::cmp::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use regex_lite::Regex;
use serde_json::{Map, Value};

/// Says where and how `came` is not as `expected`; None is for a member that is not there.
pub(super) fn differs(expected: &Value, came: Option<&Value>) -> Option<String> {
    let came = came.filter(|came| !came.is_null());
    if expected == "<absent>" {
        return came.map(|came| format!("expected nothing, came {}", short(came)));
    }
    let Some(came) = came else {
        return Some(format!("expected {}, came nothing", short(expected)));
    };
    match expected {
        Value::Object(members) => match special(members) {
            Some((word, value)) => {
                let holds = holds(word, value, members, came);
                (!holds).then(|| format!("expected {}, came {}", short(expected), short(came)))
            }
            None => members.iter().find_map(|(name, expected)| {
                differs(expected, came.get(name)).map(|text| format!("{name}: {text}"))
            }),
        },
        Value::Array(values) => {
            let elements = came.as_array().map_or(&[][..], Vec::as_slice);
            if !came.is_array() || elements.len() != values.len() {
                return Some(format!(
                    "expected {} elements, came {}",
                    values.len(),
                    short(came)
                ));
            }
            let mut pairs = values.iter().zip(elements).enumerate();
            pairs.find_map(|(place, (expected, came))| {
                differs(expected, Some(came)).map(|text| format!("[{place}]: {text}"))
            })
        }
        _ => (!is(expected, came))
            .then(|| format!("expected {}, came {}", short(expected), short(came))),
    }
}

fn special(members: &Map<String, Value>) -> Option<(&str, &Value)> {
    let found = members.iter().find(|(name, _)| name.starts_with('<'));
    found.map(|(name, value)| (name.as_str(), value))
}

/// Whether a value that is no list and no object is the expected one.
fn is(expected: &Value, came: &Value) -> bool {
    let Some(text) = expected.as_str() else {
        return match (expected.as_f64(), came.as_f64()) {
            (Some(expected), Some(came)) => (expected - came).abs() < 0.000_5,
            _ => expected == came,
        };
    };
    match text {
        "<present>" => return true,
        "<text>" => return came.as_str().is_some_and(|came| !came.is_empty()),
        "<whole>" => return came.as_u64().is_some(),
        "<recent>" => return came.as_f64().is_some_and(is_recent),
        _ => {}
    }
    if let Some(pattern) = text
        .strip_prefix('/')
        .and_then(|text| text.strip_suffix('/'))
    {
        let pattern = Regex::new(pattern).unwrap_or_else(|error| panic!("{text}: {error}"));
        return came.as_str().is_some_and(|came| pattern.is_match(came));
    }
    let bound = |word: &str| {
        text.strip_prefix(word)
            .and_then(|text| text.strip_suffix('>'))
    };
    let ordering = |bound: &str| compare(&plain(came), bound);
    if let Some(bound) = bound("<above ") {
        return ordering(bound) == Some(Ordering::Greater);
    }
    if let Some(bound) = bound("<at least ") {
        return ordering(bound).is_some_and(Ordering::is_ge);
    }
    if let Some(bound) = bound("<at most ") {
        return ordering(bound).is_some_and(Ordering::is_le);
    }
    came == text
}

fn holds(word: &str, value: &Value, members: &Map<String, Value>, came: &Value) -> bool {
    let values = value.as_array().map_or(&[][..], Vec::as_slice);
    let elements = came.as_array().map_or(&[][..], Vec::as_slice);
    let has = |value: &Value| {
        elements
            .iter()
            .any(|came| differs(value, Some(came)).is_none())
    };
    match word {
        "<length>" => {
            let length = came
                .as_str()
                .map_or(elements.len(), |text| text.chars().count());
            value.as_u64() == Some(length as u64)
        }
        "<has>" => values.iter().all(has),
        "<has no>" => came.is_array() && !values.iter().any(has),
        "<set>" => values.len() == elements.len() && values.iter().all(has),
        "<rising>" => {
            let pointer = value.as_str().expect("<rising> wants a pointer");
            let numbers: Vec<_> = elements
                .iter()
                .map(|came| plain(came.pointer(pointer).unwrap_or(&Value::Null)))
                .collect();
            let mut pairs = numbers.windows(2);
            pairs.all(|pair| compare(&pair[0], &pair[1]) == Some(Ordering::Less))
        }
        "<count>" => {
            let of = members.get("of").expect("<count> wants of");
            let like = elements
                .iter()
                .filter(|came| differs(of, Some(came)).is_none());
            value.as_u64() == Some(like.count() as u64)
        }
        "<halves>" => value.as_u64() == Some(elements.len() as u64) && are_equal_parts(elements),
        "<all>" => values
            .iter()
            .all(|value| differs(value, Some(came)).is_none()),
        _ => panic!("the table has the unknown word {word}"),
    }
}

/// Whether the hash ranges of shards follow one another from 0 to 2^128 - 1, and are as wide as each other, but for what
/// a division leaves.
fn are_equal_parts(shards: &[Value]) -> bool {
    let key = |shard: &Value, name: &str| {
        let key = shard.pointer(&format!("/HashKeyRange/{name}"));
        key.and_then(Value::as_str)?.parse::<u128>().ok()
    };
    let ranges: Option<Vec<_>> = shards
        .iter()
        .map(|shard| key(shard, "StartingHashKey").zip(key(shard, "EndingHashKey")))
        .collect();
    let Some(mut ranges) = ranges.filter(|ranges| !ranges.is_empty()) else {
        return false;
    };
    ranges.sort_unstable();
    let follow = ranges
        .windows(2)
        .all(|pair| pair[0].1.checked_add(1) == Some(pair[1].0));
    let widths = || ranges.iter().map(|(start, end)| end.saturating_sub(*start));
    let spread = widths()
        .max()
        .zip(widths().min())
        .map(|(most, least)| most - least);
    ranges[0].0 == 0
        && ranges[ranges.len() - 1].1 == u128::MAX
        && follow
        && spread.is_some_and(|spread| spread <= ranges.len() as u128)
}

fn is_recent(seconds: f64) -> bool {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    (now.as_secs_f64() - seconds).abs() < 600.0
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Compares numbers that can be longer than any machine's. Whole ones of any length, others as floating point.
fn compare(left: &str, right: &str) -> Option<Ordering> {
    let is_whole = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_whole(left) && is_whole(right) {
        let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
        return Some(left.len().cmp(&right.len()).then_with(|| left.cmp(right)));
    }
    left.parse::<f64>().ok()?.partial_cmp(&right.parse().ok()?)
}

/// A value's text, not too long to be read.
pub(super) fn short(value: &Value) -> String {
    const SHOWN: usize = 600;
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn matches(expected: &Value, came: &Value) -> bool {
        differs(expected, Some(came)).is_none()
    }

    #[test]
    fn members_that_are_not_named_may_be_anything_and_named_ones_may_not() {
        let came = json!({"a": 1, "b": {"c": "x", "d": []}});
        assert!(matches(&json!({"b": {"c": "x"}, "e": "<absent>"}), &came));
        for expected in [
            json!({"a": 2}),
            json!({"a": "<absent>"}),
            json!({"b": {"c": "y"}}),
            json!({"b": {"d": [1]}}),
            json!({"e": "<present>"}),
        ] {
            assert!(!matches(&expected, &came), "{expected}");
        }
    }

    #[test]
    fn long_numbers_are_compared_as_numbers() {
        let long = "49600000000000000000000000000000000000000000000000000002";
        assert!(matches(&json!("<above 9>"), &json!(long)));
        assert!(matches(&json!(format!("<at most {long}>")), &json!(long)));
        assert!(!matches(&json!(format!("<above {long}>")), &json!(long)));
        assert!(!matches(&json!("<above 3>"), &json!(3)));
        assert!(!matches(&json!("<above 3>"), &json!("x")));
    }

    #[test]
    fn lists_are_matched_as_the_word_says() {
        let came = json!([{"n": "9"}, {"n": "10"}, {"n": "11", "x": 1}]);
        for expected in [
            json!({"<length>": 3}),
            json!({"<has>": [{"n": "10"}]}),
            json!({"<has no>": [{"n": "12"}]}),
            json!({"<set>": [{"n": "11"}, {"n": "9"}, {"n": "10"}]}),
            json!({"<rising>": "/n"}),
            json!({"<count>": 2, "of": {"x": "<absent>"}}),
            json!({"<all>": [{"<length>": 3}, {"<rising>": "/n"}]}),
        ] {
            assert!(matches(&expected, &came), "{expected}");
        }
        for expected in [
            json!({"<length>": 2}),
            json!({"<has>": [{"n": "10"}, {"n": "12"}]}),
            json!({"<has no>": [{"n": "10"}]}),
            json!({"<set>": [{"n": "11"}, {"n": "9"}]}),
            json!({"<rising>": "/x"}),
            json!({"<count>": 3, "of": {"x": "<absent>"}}),
        ] {
            assert!(!matches(&expected, &came), "{expected}");
        }
    }

    #[test]
    fn equal_parts_of_the_hash_space_have_no_gap() {
        let shard = |start: u128, end: u128| json!({"HashKeyRange": {"StartingHashKey": start.to_string(), "EndingHashKey": end.to_string()}});
        let half = 1 << 127;
        let expected = json!({"<halves>": 2});
        assert!(matches(
            &expected,
            &json!([shard(half, u128::MAX), shard(0, half - 1)])
        ));
        assert!(!matches(
            &expected,
            &json!([shard(0, half - 2), shard(half, u128::MAX)])
        ));
        assert!(!matches(
            &expected,
            &json!([shard(0, 9), shard(10, u128::MAX)])
        ));
        assert!(!matches(
            &json!({"<halves>": 1}),
            &json!([shard(1, u128::MAX)])
        ));
    }
}
