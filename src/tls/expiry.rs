//! When a certificate runs out, which rustls keeps to itself: as much of X.509 (RFC 5280, 4.1) as that takes.

use std::time::SystemTime;

/// Tags of DER (X.690) as they stand in a certificate.
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The last moment at which `certificate`, as DER, is valid; `None` for what is none.
pub(super) fn of(certificate: &[u8]) -> Option<SystemTime> {
    let signed = Elements(certificate).next()?.content;
    let fields = Elements(signed).next()?.content;
    // The version may be left out; then come number, algorithm and issuer.
    let mut fields = Elements(fields).skip_while(|field| field.tag == VERSION);
    let validity = fields.nth(3)?.content;
    let mut validity = Elements(validity);
    let (_from, until) = (validity.next()?, validity.next()?);
    time(&until)
}

/// A tag and what it is of.
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
}

/// What stands one after the other; it ends before what is no element, or not whole.
struct Elements<'a>(&'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let (&[tag, first], mut rest) = self.0.split_first_chunk()?;
        let mut length = usize::from(first);
        if first >= 0x80 {
            // So many bytes have the length.
            let (long, after) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let number = long
                .iter()
                .fold(0, |number, byte| number << 8 | usize::from(*byte));
            // Nobody's certificate has more than four gigabytes.
            length = (long.len() <= 4).then_some(number)?;
            rest = after;
        }
        let (content, after) = rest.split_at_checked(length)?;
        self.0 = after;
        Some(Element { tag, content })
    }
}

/// A time in the form that certificates have: to the second, in UTC.
fn time(element: &Element) -> Option<SystemTime> {
    let text = str::from_utf8(element.content).ok()?;
    let (year, rest) = match element.tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let century = if year < "50" { "20" } else { "19" };
            (format!("{century}{year}"), rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.to_owned(), rest)
        }
        _ => return None,
    };
    let mut parts = [""; 5];
    let mut rest = rest;
    for part in &mut parts {
        (*part, rest) = rest.split_at_checked(2)?;
    }
    let [month, day, hour, minute, second] = parts;
    let written = format!("{year}-{month}-{day}T{hour}:{minute}:{second}{rest}");
    humantime::parse_rfc3339(&written).ok()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(year: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 3, 7);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_of_a_certificate_is_read_in_either_form_of_a_time() {
        // Years before 2050 have two digits. Seconds by `date -u -d 2049-03-07 +%s`.
        for (year, seconds) in [
            (1999, 920_764_800),
            (2027, 1_804_377_600),
            (2049, 2_498_688_000),
            (2050, 2_530_224_000),
            (4096, 67_095_820_800),
        ] {
            let end = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(of(&certificate(year)), Some(end), "{year}");
        }
    }

    #[test]
    fn what_is_cut_short_or_changed_is_none_or_another_time() {
        let whole = certificate(2027);
        for length in 0..whole.len() {
            assert_eq!(of(&whole[..length]), None, "{length} bytes");
        }
        for place in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0x80, 0x84, 0x85, 0xff] {
                let mut changed = whole.clone();
                changed[place] = byte;
                // It ends, whatever it finds.
                let _ = of(&changed);
            }
        }
    }
}
