//! `Sec-WebSocket-Extensions`: whether permessage-deflate is agreed on, and on which terms.
//!
//! What is sent is compressed once for all viewers. So no context is taken over and the window is
//! the largest (RFC 7692, 7.1): an offer that cannot be met so is declined, as is one that is not
//! understood, and the next one is looked at (5.1).

use http::header::SEC_WEBSOCKET_EXTENSIONS;
use http::{HeaderMap, HeaderValue};

const NAME: &str = "permessage-deflate";

/// The answer to the first offer that can be accepted, if there is one.
pub(super) fn agree(headers: &HeaderMap) -> Option<HeaderValue> {
    let values = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| split(value, ','))
        .find_map(accept)
        .map(HeaderValue::from_static)
}

/// The answer to one offer.
fn accept(offer: &str) -> Option<&'static str> {
    let mut parts = split(offer, ';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case(NAME) {
        return None;
    }
    let mut seen = Vec::new();
    let mut names_server_window = false;
    for parameter in parts {
        let (name, value) = match parameter.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(unquote(value.trim_start())?)),
            None => (parameter, None),
        };
        let name = name.to_ascii_lowercase();
        match (&*name, value) {
            ("server_max_window_bits", Some("15")) => names_server_window = true,
            // The client's own window may have any size: nothing that it compresses is read.
            (
                "server_no_context_takeover"
                | "client_no_context_takeover"
                | "client_max_window_bits",
                None,
            ) => {}
            ("client_max_window_bits", Some(bits)) if is_window(bits) => {}
            _ => return None,
        }
        if seen.contains(&name) {
            return None;
        }
        seen.push(name);
    }
    Some(if names_server_window {
        // 7.1.2.1: accepted by naming it.
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15"
    } else {
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    })
}

/// RFC 7692, 7.1.2: 8 to 15, in decimal and without leading zeros.
fn is_window(bits: &str) -> bool {
    matches!(bits, "8" | "9" | "10" | "11" | "12" | "13" | "14" | "15")
}

/// A value, without the quotes that may stand around it (RFC 6455, 9.1).
fn unquote(value: &str) -> Option<&str> {
    match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"'),
        None => Some(value),
    }
}

/// Splits at a character, but not within quotes.
fn split(text: &str, at: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(move |character| {
        let is_escaped = std::mem::take(&mut escaped);
        match character {
            '\\' if quoted && !is_escaped => escaped = true,
            '"' if !is_escaped => quoted = !quoted,
            _ => {}
        }
        character == at && !quoted
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANSWER: &str =
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    fn answer(offers: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for offer in offers {
            headers.append(SEC_WEBSOCKET_EXTENSIONS, offer.parse().unwrap());
        }
        agree(&headers).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn what_browsers_and_libraries_offer_is_accepted() {
        for offer in [
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate",
            "Permessage-Deflate;Client_Max_Window_Bits=10",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            "permessage-deflate ; client_max_window_bits = \"15\"",
            "x-webkit-deflate-frame, permessage-deflate; client_max_window_bits",
            "bbf-usp-protocol; note=\"a, b; \\\" c\", permessage-deflate",
        ] {
            assert_eq!(answer(&[offer]).as_deref(), Some(ANSWER), "{offer}");
        }
        assert_eq!(
            answer(&["other", "permessage-deflate"]).as_deref(),
            Some(ANSWER)
        );
    }

    #[test]
    fn the_largest_window_is_agreed_on_by_name() {
        let window = format!("{ANSWER}; server_max_window_bits=15");
        assert_eq!(
            answer(&["permessage-deflate; server_max_window_bits=15"]),
            Some(window)
        );
    }

    #[test]
    fn an_offer_that_cannot_be_met_or_understood_is_declined_and_the_next_one_tried() {
        for parameters in [
            "server_max_window_bits=14",
            "server_max_window_bits=8",
            "server_max_window_bits",
            "server_max_window_bits=15; server_max_window_bits=15",
            "server_max_window_bits=16",
            "server_no_context_takeover=1",
            "server_no_context_takeover; server_no_context_takeover",
            "client_no_context_takeover=\"\"",
            "client_max_window_bits=7",
            "client_max_window_bits=08",
            "client_max_window_bits=16",
            "client_max_window_bits=",
            "client_max_window_bits=\"10",
            "client_max_window_bits; client_max_window_bits=10",
            "mux",
            "",
        ] {
            let offer = format!("permessage-deflate; {parameters}");
            assert_eq!(answer(&[&offer]), None, "{offer}");
            let is_open = offer.matches('"').count() % 2 == 1;
            let both = format!("{offer}, permessage-deflate");
            let next = (!is_open).then(|| ANSWER.to_owned());
            assert_eq!(answer(&[&both]), next, "{both}");
            assert_eq!(
                answer(&[&offer, "permessage-deflate"]).as_deref(),
                Some(ANSWER)
            );
        }
        for other in [
            "",
            ",",
            "deflate",
            "permessage-deflates",
            "\"permessage-deflate\"",
        ] {
            assert_eq!(answer(&[other]), None, "{other}");
        }
        assert_eq!(answer(&[]), None);
    }

    proptest! {
        #[test]
        fn no_header_panics(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "permessage-deflate", ";", ",", "=", "\"", "\\", " ", "15", "é",
                    "server_max_window_bits", "client_max_window_bits",
                ]),
                0..20,
            ),
        ) {
            let text = pieces.concat();
            if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
                let mut headers = HeaderMap::new();
                headers.insert(SEC_WEBSOCKET_EXTENSIONS, value);
                let _ = agree(&headers);
            }
        }
    }
}
