//! `traceparent`: the caller's trace, so that a publish can be found in the log by it.
//!
//! Source: W3C Trace Context, section 3.2. Nothing else of it is done here: no span is made and
//! nothing is passed on.

use http::HeaderMap;

/// The ids of a well-formed `traceparent`, as they stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TraceParent<'a> {
    /// Of the whole trace: 32 hexadecimal digits.
    pub(super) trace: &'a str,
    /// Of the caller's span: 16 hexadecimal digits.
    pub(super) parent: &'a str,
}

impl<'a> TraceParent<'a> {
    /// What the head says, if it says it once and by the book.
    pub(super) fn of(headers: &'a HeaderMap) -> Option<Self> {
        let mut all = headers.get_all("traceparent").iter();
        match (all.next(), all.next()) {
            (Some(one), None) => Self::parse(one.to_str().ok()?),
            _ => None,
        }
    }

    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.splitn(5, '-');
        let version = hex(parts.next()?, 2)?;
        let trace = hex(parts.next()?, 32).filter(is_set)?;
        let parent = hex(parts.next()?, 16).filter(is_set)?;
        hex(parts.next()?, 2)?;
        let is_known = match version {
            "ff" => false,
            // Later versions may add something at the end.
            "00" => parts.next().is_none(),
            _ => true,
        };
        is_known.then_some(Self { trace, parent })
    }
}

/// `text` if it is so many hexadecimal digits, in lower case.
fn hex(text: &str, digits: usize) -> Option<&str> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (text.len() == digits && text.bytes().all(is_digit)).then_some(text)
}

/// All zeros means that there is none.
fn is_set(id: &&str) -> bool {
    id.bytes().any(|byte| byte != b'0')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";

    #[test]
    fn a_trace_parent_is_taken_by_the_book_or_not_at_all() {
        let found = Some(TraceParent {
            trace: TRACE,
            parent: PARENT,
        });
        for (text, expected) in [
            (format!("00-{TRACE}-{PARENT}-01"), found),
            (format!("00-{TRACE}-{PARENT}-00"), found),
            (format!("cc-{TRACE}-{PARENT}-01-what-follows"), found),
            (format!("cc-{TRACE}-{PARENT}-01"), found),
            (format!("00-{TRACE}-{PARENT}-01-what-follows"), None),
            (format!("ff-{TRACE}-{PARENT}-01"), None),
            (format!("00-{}-{PARENT}-01", TRACE.to_uppercase()), None),
            (format!("00-{}-{PARENT}-01", "0".repeat(32)), None),
            (format!("00-{TRACE}-{}-01", "0".repeat(16)), None),
            (format!("00-{TRACE}-{PARENT}"), None),
            (format!("00-{TRACE}-{PARENT}-1"), None),
            (format!("00-{TRACE}0-{PARENT}-01"), None),
            (format!("00{TRACE}{PARENT}01"), None),
            (String::new(), None),
        ] {
            assert_eq!(TraceParent::parse(&text), expected, "{text}");
        }
    }

    #[test]
    fn of_two_none_is_taken() {
        let value = format!("00-{TRACE}-{PARENT}-01");
        let mut headers = HeaderMap::new();
        headers.append("traceparent", value.parse().unwrap());
        assert!(TraceParent::of(&headers).is_some());
        headers.append("traceparent", value.parse().unwrap());
        assert_eq!(TraceParent::of(&headers), None);
    }

    proptest! {
        #[test]
        fn nothing_but_digits_gets_into_the_log(text in "\\PC{0,80}|[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-.{0,9}") {
            if let Some(found) = TraceParent::parse(&text) {
                prop_assert!(hex(found.trace, 32).is_some() && hex(found.parent, 16).is_some());
            }
        }
    }
}
