//! What people may write.

/// The longest text, in Unicode scalar values.
pub const MAX_TEXT_CHARS: usize = 2_000;
/// The longest name, in Unicode scalar values.
pub const MAX_NAME_CHARS: usize = 64;

/// A text that may be published: 1–2,000 characters, no control characters but line feed and tab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(Box<str>);

impl Text {
    /// Checks a text.
    ///
    /// # Errors
    /// [`InvalidText`] says which rule it breaks.
    pub fn new(text: impl Into<Box<str>>) -> Result<Self, InvalidText> {
        Self::within(text, MAX_TEXT_CHARS)
    }

    /// Checks a text that may have at most `limit` characters, and never more than
    /// [`MAX_TEXT_CHARS`].
    ///
    /// # Errors
    /// [`InvalidText`] says which rule it breaks.
    pub fn within(text: impl Into<Box<str>>, limit: usize) -> Result<Self, InvalidText> {
        let text = text.into();
        if text.is_empty() {
            return Err(InvalidText::Empty);
        }
        check(&text, limit.min(MAX_TEXT_CHARS), &['\n', '\t'])?;
        Ok(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A name that may be published: 1–64 characters, no control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(Box<str>);

impl Name {
    /// Checks a name; an empty one is no name.
    ///
    /// # Errors
    /// [`InvalidText`] says which rule it breaks.
    pub fn new(name: impl Into<Box<str>>) -> Result<Option<Self>, InvalidText> {
        let name = name.into();
        check(&name, MAX_NAME_CHARS, &[])?;
        Ok((!name.is_empty()).then_some(Self(name)))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check(text: &str, limit: usize, allowed: &[char]) -> Result<(), InvalidText> {
    // Bytes first: a text with fewer bytes than the limit need not be counted.
    if text.len() > limit && text.chars().count() > limit {
        return Err(InvalidText::TooLong { limit });
    }
    match text
        .chars()
        .find(|c| c.is_control() && !allowed.contains(c))
    {
        Some(found) => Err(InvalidText::ControlCharacter { found }),
        None => Ok(()),
    }
}

/// Why a text or a name may not be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// There is nothing in it.
    #[error("must not be empty")]
    Empty,
    /// It has more characters than allowed.
    #[error("must have at most {limit} characters")]
    TooLong {
        /// The most that is allowed.
        limit: usize,
    },
    /// It has a control character that is not allowed.
    #[error("must not have the control character U+{:04X}", u32::from(*found))]
    ControlCharacter {
        /// The first such character.
        found: char,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_count_characters_not_bytes() {
        assert!(Text::new("😀".repeat(MAX_TEXT_CHARS)).is_ok());
        assert_eq!(
            Text::new("😀".repeat(MAX_TEXT_CHARS + 1)),
            Err(InvalidText::TooLong { limit: 2_000 })
        );
        assert!(Text::within("😀😀", 2).is_ok() && Text::within("abc", 2).is_err());
        assert!(Text::within("a".repeat(MAX_TEXT_CHARS + 1), usize::MAX).is_err());
        assert!(Name::new("ж".repeat(MAX_NAME_CHARS)).is_ok());
        assert!(Name::new("ж".repeat(MAX_NAME_CHARS + 1)).is_err());
    }

    #[test]
    fn control_characters_are_refused_but_line_feed_and_tab_in_a_text() {
        assert!(Text::new("a\n\tb").is_ok());
        for text in ["a\0", "\r\n", "\u{7f}", "\u{85}", "\u{1b}[31m"] {
            let refused = matches!(Text::new(text), Err(InvalidText::ControlCharacter { .. }));
            assert!(refused, "{text:?}");
        }
        assert!(Name::new("a\nb").is_err());
        assert_eq!(
            Name::new("\u{7f}").unwrap_err().to_string(),
            "must not have the control character U+007F"
        );
    }

    #[test]
    fn an_empty_text_is_refused_and_an_empty_name_is_none() {
        assert_eq!(Text::new(""), Err(InvalidText::Empty));
        assert_eq!(Name::new(""), Ok(None));
    }
}
