//! The parameters behind the `?` of a URL.

use std::borrow::Cow;

/// A parameter that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub(super) struct BadParameter {
    /// Which.
    pub(super) name: &'static str,
    problem: &'static str,
}

/// The values of these parameters, each at most once; others are passed over.
pub(super) fn parameters<const N: usize>(
    query: &str,
    names: [&'static str; N],
) -> Result<[Option<String>; N], BadParameter> {
    let mut values = [const { None }; N];
    for pair in query.split('&') {
        let (name, text) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(name) = decode(name) else { continue };
        for (known, value) in names.iter().copied().zip(&mut values) {
            let bad = |problem| BadParameter {
                name: known,
                problem,
            };
            if known == name {
                let text = decode(text).ok_or_else(|| bad("is not percent-encoded UTF-8"))?;
                if value.replace(text.into_owned()).is_some() {
                    return Err(bad("must be given once only"));
                }
            }
        }
    }
    Ok(values)
}

/// Undoes what `URLSearchParams` does: `%xx` for bytes of UTF-8, `+` for a space.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_and_values_are_decoded() {
        let [a, b] = parameters("x=1&%61=%C3%A4+%2b&b", ["a", "b"]).unwrap();
        assert_eq!(a.as_deref(), Some("ä +"));
        assert_eq!(b.as_deref(), Some(""));
        assert_eq!(parameters("", ["a"]).unwrap(), [None]);
    }

    #[test]
    fn what_cannot_be_decoded_is_refused_where_it_is_asked_for() {
        for query in ["a=%", "a=%1", "a=%zz", "a=%ff", "a=%+1", "a=1&a=1"] {
            assert_eq!(parameters(query, ["a"]).unwrap_err().name, "a", "{query}");
            assert_eq!(parameters(query, ["b"]).unwrap(), [None], "{query}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(text in "(?s).{0,30}") {
            let encoded: String = text.bytes().fold(String::new(), |all, byte| format!("{all}%{byte:02X}"));
            let [value] = parameters(&format!("a={encoded}"), ["a"]).unwrap();
            prop_assert_eq!(value, Some(text));
        }

        #[test]
        fn no_text_panics(text in "[%a-f0-9=&+ä]{0,40}") {
            let _ = parameters(&text, ["a", "b"]);
        }
    }
}
