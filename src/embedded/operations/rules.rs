//! The rules that the service model has for members' values, by the names of its shapes.

use std::collections::BTreeMap;
use std::fmt;

use super::input::{Input, Place, Rule, Structure};
use super::types::Blob;

/// A text of so many characters, and of a pattern if it has one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text {
    min: usize,
    max: usize,
    pattern: Option<Pattern>,
}

/// A regular expression in the model's words, and what tells whether all of a text matches it.
#[derive(Clone, Copy)]
struct Pattern {
    text: &'static str,
    matches: fn(&str) -> bool,
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

const fn text(min: usize, max: usize) -> Text {
    Text {
        min,
        max,
        pattern: None,
    }
}

impl Text {
    const fn of(self, text: &'static str, matches: fn(&str) -> bool) -> Self {
        Self {
            pattern: Some(Pattern { text, matches }),
            ..self
        }
    }
}

/// `StreamName`, `ShardId` and `ConsumerName`.
pub(crate) const NAME: Text = text(1, 128).of("[a-zA-Z0-9_.-]+", is_word);
/// Without a bound of its own: its pattern has one.
pub(crate) const HASH_KEY: Text =
    text(0, usize::MAX).of("0|([1-9]\\d{0,38})", |text| is_decimal(text, 39));
pub(crate) const SEQUENCE_NUMBER: Text =
    text(0, usize::MAX).of("0|([1-9]\\d{0,128})", |text| is_decimal(text, 129));
pub(crate) const PARTITION_KEY: Text = text(1, 256);
pub(crate) const SHARD_ITERATOR: Text = text(1, 512);
pub(crate) const NEXT_TOKEN: Text = text(1, 1_048_576);
pub(crate) const KEY_ID: Text = text(1, 2048);
pub(crate) const TAG_KEY: Text = text(1, 128);
const TAG_VALUE: Text = text(0, 256);
/// Not implemented by AWS either, reserved for the future; so it is looked at and passed over.
pub(crate) const STREAM_ID: Text = text(1, 24).of("[a-z0-9]{20}-[a-z0-9]{3}", is_stream_id);
pub(crate) const STREAM_ARN: Text = text(1, 2048)
    .of("arn:aws.*:kinesis:.*:\\d{12}:stream/\\S+", |arn| {
        resources(arn).any(|resource| resource.strip_prefix("stream/").is_some_and(is_dense))
    });
pub(crate) const CONSUMER_ARN: Text = text(1, 2048).of(
    "^(arn):aws.*:kinesis:.*:\\d{12}:.*stream\\/[a-zA-Z0-9_.-]+\\/consumer\\/[a-zA-Z0-9_.-]+:[0-9]+",
    |arn| resources(arn).any(is_consumer),
);
pub(crate) const RESOURCE_ARN: Text = text(1, 2048).of(
    "arn:aws.*:kinesis:.*:\\d{12}:.*(stream|channel|queue)/\\S+",
    |arn| {
        let kinds = ["stream/", "channel/", "queue/"];
        let ends_in = |resource: &str, kind: &str| {
            let found = resource.match_indices(kind);
            found
                .map(|(at, _)| resource.get(at + kind.len()..).unwrap_or_default())
                .any(is_dense)
        };
        resources(arn).any(|resource| kinds.iter().any(|kind| ends_in(resource, kind)))
    },
);

/// Any value at all.
pub(crate) struct Any;

impl<T> Rule<T> for Any {
    fn look(&self, _: &T, _: &mut Place<'_>) {}
}

fn at_least(min: impl fmt::Display) -> String {
    format!("Member must have length greater than or equal to {min}")
}

fn at_most(max: impl fmt::Display) -> String {
    format!("Member must have length less than or equal to {max}")
}

impl Text {
    fn is_short(&self, value: &str) -> bool {
        value.len() < self.min || (self.min > 1 && value.chars().count() < self.min)
    }

    fn is_long(&self, value: &str) -> bool {
        // Bytes bound characters, so the common short text is not counted.
        value.len() > self.max && value.chars().count() > self.max
    }
}

impl Rule<String> for Text {
    fn look(&self, value: &String, at: &mut Place<'_>) {
        if let Some(pattern) = &self.pattern
            && !(pattern.matches)(value)
        {
            let text = pattern.text;
            at.violates(
                value,
                format!("Member must satisfy regular expression pattern: {text}"),
            );
        }
        if self.is_short(value) {
            at.violates(value, at_least(self.min));
        }
        if self.is_long(value) {
            at.violates(value, at_most(self.max));
        }
    }
}

/// A whole number within bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Number {
    min: i64,
    max: i64,
}

/// From `min` on.
pub(crate) const fn from(min: i64) -> Number {
    Number { min, max: i64::MAX }
}

/// From `min` to `max`.
pub(crate) const fn between(min: i64, max: i64) -> Number {
    Number { min, max }
}

impl Rule<i64> for Number {
    fn look(&self, value: &i64, at: &mut Place<'_>) {
        let (min, max) = (self.min, self.max);
        if *value < min {
            let text = format!("Member must have value greater than or equal to {min}");
            at.violates(value, text);
        }
        if *value > max {
            let text = format!("Member must have value less than or equal to {max}");
            at.violates(value, text);
        }
    }
}

/// One word of a list, and what each of them means.
#[derive(Debug)]
pub(crate) struct Words<T: 'static>(pub(crate) &'static [(&'static str, T)]);

impl<T: Copy> Words<T> {
    /// The meaning of a word.
    pub(crate) fn meaning(&self, word: &str) -> Option<T> {
        let found = self.0.iter().find(|(known, _)| *known == word);
        found.map(|(_, meaning)| *meaning)
    }
}

impl<T: Copy> Rule<String> for Words<T> {
    fn look(&self, value: &String, at: &mut Place<'_>) {
        if self.meaning(value).is_none() {
            let words: Vec<_> = self.0.iter().map(|(word, _)| *word).collect();
            let words = words.join(", ");
            at.violates(
                value,
                format!("Member must satisfy enum value set: [{words}]"),
            );
        }
    }
}

/// A blob of so many bytes at most.
pub(crate) struct Bytes {
    pub(crate) max: usize,
}

impl Rule<Blob> for Bytes {
    fn look(&self, value: &Blob, at: &mut Place<'_>) {
        let length = value.0.len();
        if length > self.max {
            at.violates(format_args!("{length} bytes"), at_most(self.max));
        }
    }
}

/// A list of so many elements, with a rule for each.
pub(crate) struct List<R> {
    pub(crate) min: usize,
    pub(crate) max: usize,
    pub(crate) each: R,
}

impl<T, R: Rule<T>> Rule<Vec<T>> for List<R> {
    fn look(&self, value: &Vec<T>, at: &mut Place<'_>) {
        let length = value.len();
        if length < self.min {
            at.violates(format_args!("{length} elements"), at_least(self.min));
        }
        if length > self.max {
            at.violates(format_args!("{length} elements"), at_most(self.max));
        }
        for (index, element) in value.iter().enumerate().take(self.max) {
            at.element(index, element, &self.each);
        }
    }
}

/// `TagMap`: how many tags one request may carry. How many a resource may have is another question.
pub(crate) struct TagMap;

impl TagMap {
    const MOST: usize = 200;
}

impl Rule<BTreeMap<String, String>> for TagMap {
    fn look(&self, tags: &BTreeMap<String, String>, at: &mut Place<'_>) {
        let length = tags.len();
        if length == 0 {
            at.violates("{}", at_least(1));
        }
        if length > Self::MOST {
            at.violates(format_args!("{length} tags"), at_most(Self::MOST));
        }
        let both = |rule: Text| format!("[{}, {}]", at_most(rule.max), at_least(rule.min));
        let breaks = |rule: Text, text: &str| rule.is_short(text) || rule.is_long(text);
        if let Some(key) = tags.keys().find(|key| breaks(TAG_KEY, key)) {
            let text = format!("Map keys must satisfy constraint: {}", both(TAG_KEY));
            at.violates(key, text);
        }
        if let Some(value) = tags.values().find(|value| breaks(TAG_VALUE, value)) {
            let text = format!("Map value must satisfy constraint: {}", both(TAG_VALUE));
            at.violates(value, text);
        }
    }
}

/// A structure, whose members have rules of their own.
pub(crate) struct Inner;

impl<T: Input> Rule<Structure<T>> for Inner {
    fn look(&self, value: &Structure<T>, at: &mut Place<'_>) {
        value.0.look(at);
    }
}

/// Whether that is a name of a stream, a shard or a consumer.
pub(in crate::embedded) fn is_name(text: &str) -> bool {
    text.len() <= NAME.max && is_word(text)
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// A number without sign and leading zeros.
fn is_decimal(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'))
}

fn is_stream_id(text: &str) -> bool {
    let is_part = |part: &str, length| {
        part.len() == length
            && part
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    text.split_once('-')
        .is_some_and(|(first, second)| is_part(first, 20) && is_part(second, 3))
}

/// What `\S+` is.
fn is_dense(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_whitespace)
}

/// What follows `arn:aws.*:kinesis:.*:\d{12}:`, in each way to read the text so.
fn resources(arn: &str) -> impl Iterator<Item = &str> {
    const ACCOUNT: usize = 12;
    let rest = arn.strip_prefix("arn:aws").unwrap_or_default();
    rest.match_indices(':').filter_map(move |(end, _)| {
        let account = rest.get(end.checked_sub(ACCOUNT)?..end)?;
        let before = rest.get(..end - ACCOUNT)?.strip_suffix(':')?;
        let is_account = account.bytes().all(|byte| byte.is_ascii_digit());
        // The colon after `kinesis` may be the one before the account only if the region is between two.
        let is_kinesis = before.contains(":kinesis:");
        let resource = rest.get(end + 1..)?;
        (is_account && is_kinesis && !before.contains('\n')).then_some(resource)
    })
}

/// What `.*stream\/[a-zA-Z0-9_.-]+\/consumer\/[a-zA-Z0-9_.-]+:[0-9]+` is.
fn is_consumer(resource: &str) -> bool {
    let parts = || {
        let (rest, second) = resource.rsplit_once(':')?;
        let (rest, consumer) = rest.rsplit_once("/consumer/")?;
        let (_, stream) = rest.rsplit_once("stream/")?;
        Some((stream, consumer, second))
    };
    parts().is_some_and(|(stream, consumer, second)| {
        is_word(stream)
            && is_word(consumer)
            && !second.is_empty()
            && second.bytes().all(|byte| byte.is_ascii_digit())
    })
}
