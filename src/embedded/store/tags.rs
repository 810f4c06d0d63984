//! Tags of streams and of registered consumers.

use std::collections::BTreeMap;

use super::{Status, Store, Stream};
use crate::embedded::Error;
use crate::embedded::clock::Now;

/// Tags by their keys.
pub(crate) type Tags = BTreeMap<String, String>;

/// Tags of one resource.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_TagResource.html>
const MOST: usize = 50;
/// What no key may begin with.
const RESERVED: &str = "aws:";

/// What tags can be on: a stream, or one of its consumers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resource<'a> {
    pub(crate) stream: &'a str,
    /// Its name, and the second of its registration: both are in its ARN.
    pub(crate) consumer: Option<(&'a str, u64)>,
}

impl Store {
    /// The tags of a resource.
    pub(crate) fn tags(&mut self, of: Resource<'_>, now: Now) -> Result<&Tags, Error> {
        let stream = self.find(of.stream, now)?;
        tags_of(stream, of).map(|tags| &*tags)
    }

    /// Adds tags; those whose keys are there already are replaced.
    pub(crate) fn tag(&mut self, of: Resource<'_>, tags: Tags, now: Now) -> Result<(), Error> {
        admit(self.changeable_tags(of, now)?, tags)
    }

    /// Takes tags away, as far as they are there.
    pub(crate) fn untag(
        &mut self,
        of: Resource<'_>,
        keys: &[String],
        now: Now,
    ) -> Result<(), Error> {
        let tags = self.changeable_tags(of, now)?;
        for key in keys {
            tags.remove(key);
        }
        Ok(())
    }

    fn changeable_tags(&mut self, of: Resource<'_>, now: Now) -> Result<&mut Tags, Error> {
        let stream = self.stream_mut(of.stream, now)?;
        if matches!(stream.status, Status::Creating | Status::Deleting) && of.consumer.is_none() {
            return Err(Error::in_use(format!(
                "Stream {} is in state {}.",
                stream.name,
                stream.status.name()
            )));
        }
        tags_of(stream, of)
    }
}

fn tags_of<'a>(stream: &'a mut Stream, of: Resource<'_>) -> Result<&'a mut Tags, Error> {
    let Some((name, second)) = of.consumer else {
        return Ok(&mut stream.tags);
    };
    let consumer = stream.consumers.get_mut(name);
    let consumer = consumer.filter(|consumer| consumer.second == second);
    consumer
        .map(|consumer| &mut consumer.tags)
        .ok_or_else(|| Error::not_found(format!("Consumer {name}:{second} not found.")))
}

/// Adds tags to those that are there; if that cannot be, nothing is changed.
pub(crate) fn admit(tags: &mut Tags, new: Tags) -> Result<(), Error> {
    for (key, value) in &new {
        if ![key, value]
            .into_iter()
            .all(|text| text.chars().all(is_allowed))
        {
            return Err(Error::invalid_argument(
                "Some tags contain invalid characters. Valid characters: Unicode letters, digits, white space, _ . / = + - @ :.",
            ));
        }
        if key.starts_with(RESERVED) {
            return Err(Error::invalid_argument(format!(
                "Tag keys that begin with {RESERVED} are reserved."
            )));
        }
    }
    let added = new.keys().filter(|key| !tags.contains_key(*key)).count();
    if tags.len() + added > MOST {
        return Err(Error::invalid_argument(format!(
            "A given resource cannot have more than {MOST} tags associated with it."
        )));
    }
    tags.extend(new);
    Ok(())
}

fn is_allowed(letter: char) -> bool {
    letter.is_alphanumeric() || letter.is_whitespace() || "_./=+-@:".contains(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(own).collect()
    }

    #[test]
    fn tags_are_added_and_replaced() {
        let mut kept = tags(&[("a", "1"), ("b", "2")]);
        admit(&mut kept, tags(&[("b", "3"), ("ä:/=+-@_. 1", "")])).unwrap();
        assert_eq!(kept, tags(&[("a", "1"), ("b", "3"), ("ä:/=+-@_. 1", "")]));
    }

    #[test]
    fn what_cannot_be_a_tag_changes_nothing() {
        for new in [[("c", "100%")], [("c?", "")], [("aws:c", "")]] {
            let mut kept = tags(&[("a", "1")]);
            let mut new = tags(&new);
            new.insert("a".to_owned(), "2".to_owned());
            admit(&mut kept, new).unwrap_err();
            assert_eq!(kept, tags(&[("a", "1")]));
        }
    }

    #[test]
    fn a_resource_has_fifty_tags_at_most() {
        let mut kept: Tags = (0..49).map(|n| (n.to_string(), String::new())).collect();
        admit(&mut kept, tags(&[("0", "x"), ("50", "x")])).unwrap();
        admit(&mut kept, tags(&[("51", "")])).unwrap_err();
        admit(&mut kept, tags(&[("0", "y")])).unwrap();
        assert_eq!(kept.len(), 50);
    }
}
