//! Inputs, and the constraints of their members as the service model states them. [`input!`] writes both down, a line a
//! member: its type, its name on the wire, whether it must be there, and its rule.
//!
//! All members are looked at before an operation begins, and the answer tells every violation at once, as AWS's does.

use std::fmt::{self, Display};

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::embedded::Error;

/// Longest piece of a client's input that is put into a message.
const SHOWN: usize = 128;
/// The most violations that are told of.
const TOLD: usize = 10;

/// What an operation is given.
pub(crate) trait Input {
    /// Looks at every member.
    fn look(&self, at: &mut Place<'_>);
}

/// The constraints of a member's value.
pub(crate) trait Rule<T: ?Sized> {
    /// Tells `at` of each constraint that the value breaks.
    fn look(&self, value: &T, at: &mut Place<'_>);
}

/// The input, unless a member breaks a constraint.
pub(crate) fn checked<I: Input>(input: I) -> Result<I, Error> {
    let mut found = Vec::new();
    input.look(&mut Place {
        path: Path::Root,
        found: &mut found,
    });
    match found.len() {
        0 => Ok(input),
        1 => Err(Error::validation(format!(
            "1 validation error detected: {}",
            found.concat()
        ))),
        count => Err(Error::validation(format!(
            "{count} validation errors detected: {}",
            found.join("; ")
        ))),
    }
}

/// A member that must be there; its rule has seen to it.
pub(crate) fn given<T>(value: Option<T>) -> Result<T, Error> {
    value.ok_or_else(|| Error::validation("A required member is missing."))
}

/// Where a value is within the input, and what was found there.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    path: Path<'a>,
    found: &'a mut Vec<String>,
}

impl Place<'_> {
    /// A member that must be there.
    pub(crate) fn must<T>(&mut self, name: &'static str, value: Option<&T>, rule: &impl Rule<T>) {
        match value {
            Some(value) => rule.look(value, &mut self.member(name)),
            None => self.member(name).tell("null", "Member must not be null"),
        }
    }

    /// A member that may be there.
    pub(crate) fn may<T>(&mut self, name: &'static str, value: Option<&T>, rule: &impl Rule<T>) {
        if let Some(value) = value {
            rule.look(value, &mut self.member(name));
        }
    }

    /// An element of a list, counted from zero.
    pub(crate) fn element<T>(&mut self, index: usize, value: &T, rule: &impl Rule<T>) {
        rule.look(
            value,
            &mut Place {
                path: Path::Element(&self.path, index),
                found: self.found,
            },
        );
    }

    fn member(&mut self, name: &'static str) -> Place<'_> {
        Place {
            path: Path::Member(&self.path, name),
            found: self.found,
        }
    }

    /// The value breaks this constraint.
    pub(crate) fn violates(&mut self, value: impl Display, constraint: impl Display) {
        let value: String = value.to_string().chars().take(SHOWN).collect();
        self.tell(&format!("'{value}'"), constraint);
    }

    fn tell(&mut self, value: &str, constraint: impl Display) {
        if self.found.len() < TOLD {
            let path = &self.path;
            self.found.push(format!(
                "Value {value} at '{path}' failed to satisfy constraint: {constraint}"
            ));
        }
    }
}

#[derive(Debug)]
enum Path<'a> {
    Root,
    Member(&'a Path<'a>, &'static str),
    Element(&'a Path<'a>, usize),
}

impl Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Member(parent, name) => {
                if !matches!(parent, Self::Root) {
                    write!(f, "{parent}.")?;
                }
                let mut letters = name.chars();
                let first = letters.next().map(|letter| letter.to_ascii_lowercase());
                write!(f, "{}{}", first.unwrap_or_default(), letters.as_str())
            }
            // Elements are counted from one.
            Self::Element(parent, index) => write!(f, "{parent}.{}.member", index + 1),
        }
    }
}

/// A structure, which on the wire is a map and nothing else: a list of its members' values is none.
#[derive(Debug)]
pub(crate) struct Structure<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Structure<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Read<T> {
            type Value = Structure<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a structure")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members)).map(Structure)
            }
        }
        deserializer.deserialize_map(Read(std::marker::PhantomData))
    }
}

/// Writes down an input: `field: Type = "NameOnTheWire" must RULE`, or `may RULE`. Members that are not written down are
/// passed over.
macro_rules! input {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty = $wire:literal $need:ident $rule:expr),* $(,)? }) => {
        $(#[$doc])*
        #[allow(clippy::struct_field_names, reason = "the names of the service model")]
        #[derive(Debug, serde::Deserialize)]
        pub(crate) struct $name {
            $(#[serde(rename = $wire)] pub(super) $field: Option<$type>,)*
        }

        impl $crate::embedded::operations::input::Input for $name {
            fn look(&self, _at: &mut $crate::embedded::operations::input::Place<'_>) {
                $(_at.$need($wire, self.$field.as_ref(), &$rule);)*
            }
        }
    };
}
pub(crate) use input;
