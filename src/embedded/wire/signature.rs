//! Who a request says it is from: the credential in its signature, from the Authorization header or a presigned URL.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>
//!
//! The signature itself is not verified, for there is no secret to verify it with. What is malformed is refused as AWS
//! refuses it, so that a client that signs wrongly is found here and not only there.

use std::borrow::Cow;

use super::Head;
use crate::embedded::operations::Caller;
use crate::embedded::{Config, Error, ErrorKind};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SERVICE: &str = "kinesis";
const TERMINATOR: &str = "aws4_request";
const PARTS: [&str; 3] = ["Credential", "Signature", "SignedHeaders"];
const QUERY_PARTS: [&str; 5] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
    "X-Amz-Date",
];
/// Longest piece of a client's input that is put into a message.
const SHOWN: usize = 256;

/// Whoever signed the request. One without a signature is taken, too: it comes from the configured account and region.
pub(super) fn caller(config: &Config, head: &Head<'_>) -> Result<Caller, Error> {
    let query = Query(head.query.unwrap_or_default());
    let is_presigned = query.get("X-Amz-Algorithm").is_some();
    match head.authorization {
        Some(_) if is_presigned => Err(Error::new(
            ErrorKind::InvalidSignature,
            "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.",
        )),
        Some("") => Err(Error::new(
            ErrorKind::MissingAuthenticationToken,
            "Missing Authentication Token",
        )),
        Some(header) => of_header(config, header, head.has_date),
        None if is_presigned => of_query(config, &query),
        None => Ok(Caller::unnamed(config)),
    }
}

fn of_header(config: &Config, header: &str, has_date: bool) -> Result<Caller, Error> {
    let (algorithm, parts) = header.split_once(' ').unwrap_or((header, ""));
    let part = |name: &str| {
        let mut parts = parts
            .split([',', ' '])
            .filter_map(|part| part.split_once('='));
        let found = parts.find(|(key, _)| *key == name);
        found
            .map(|(_, value)| value)
            .filter(|value| !value.is_empty())
    };
    let lacking = PARTS.iter().filter(|name| part(name).is_none());
    let mut wrong: Vec<_> = lacking
        .map(|name| format!("Authorization header requires '{name}' parameter. "))
        .collect();
    if !has_date {
        wrong.push(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
                .to_owned(),
        );
    }
    if let (true, Some(credential)) = (wrong.is_empty(), part("Credential")) {
        check_algorithm(algorithm)?;
        return of_credential(config, credential);
    }
    // The header holds no secret beside the signature, which is good for this request only.
    let (wrong, header) = (wrong.concat(), shown(header));
    Err(incomplete(format!("{wrong}Authorization={header}")))
}

fn of_query(config: &Config, query: &Query<'_>) -> Result<Caller, Error> {
    let part = |name: &str| query.get(name).filter(|value| !value.is_empty());
    let lacking = QUERY_PARTS.iter().filter(|name| part(name).is_none());
    let wrong: Vec<_> = lacking
        .map(|name| format!("AWS query-string parameters must include '{name}'. "))
        .collect();
    let credential = part("X-Amz-Credential").filter(|_| wrong.is_empty());
    let Some(credential) = credential else {
        return Err(incomplete(format!(
            "{}Re-examine the query-string parameters.",
            wrong.concat()
        )));
    };
    check_algorithm(&part("X-Amz-Algorithm").unwrap_or_default())?;
    of_credential(config, &credential)
}

fn check_algorithm(algorithm: &str) -> Result<(), Error> {
    if algorithm == ALGORITHM {
        return Ok(());
    }
    let algorithm = shown(algorithm);
    Err(incomplete(format!(
        "Unsupported AWS 'algorithm': '{algorithm}'"
    )))
}

/// `KEY/DATE/REGION/kinesis/aws4_request`. A key of twelve digits is the account.
fn of_credential(config: &Config, credential: &str) -> Result<Caller, Error> {
    let parts: Vec<_> = credential.split('/').collect();
    let [key, date, region, service, terminator] = parts.as_slice() else {
        let credential = shown(credential);
        return Err(incomplete(format!(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got \
             '{credential}'"
        )));
    };
    let digits =
        |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_region = (1..=64).contains(&region.len())
        && region
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let invalid = |text: String| Error::new(ErrorKind::InvalidSignature, text);
    if key.is_empty() {
        return Err(incomplete("The credential has no access key id."));
    }
    if !digits(date, 8) {
        return Err(invalid(format!(
            "Date in Credential scope does not match YYYYMMDD, got '{}'",
            shown(date)
        )));
    }
    if !is_region {
        return Err(invalid(format!(
            "Credential should be scoped to a valid region, not '{}'.",
            shown(region)
        )));
    }
    if *service != SERVICE {
        return Err(invalid(format!(
            "Credential should be scoped to correct service: '{SERVICE}'."
        )));
    }
    if *terminator != TERMINATOR {
        return Err(invalid(format!(
            "Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{}'.",
            shown(terminator)
        )));
    }
    let account = if digits(key, 12) {
        (*key).to_owned()
    } else {
        config.account.clone()
    };
    Ok(Caller {
        account,
        region: (*region).to_owned(),
    })
}

fn incomplete(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::IncompleteSignature, message)
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

/// A query string.
struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut pairs = self
            .0
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let found = pairs.find(|(key, _)| *key == name);
        found.map(|(_, value)| decoded(value))
    }
}

/// Undoes percent-encoding. What is none stays as it is: it is then no part of a credential.
fn decoded(value: &str) -> Cow<'_, str> {
    if !value.contains('%') {
        return Cow::Borrowed(value);
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *first == b'%');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = after
            .get(if byte.is_some() { 2 } else { 0 }..)
            .unwrap_or_default();
    }
    String::from_utf8_lossy(&bytes).into_owned().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: &str = "AWS4-HMAC-SHA256 Credential=AKID/20261123/eu-west-1/kinesis/aws4_request, \
                          SignedHeaders=host;x-amz-date, Signature=abc";

    fn head<'a>(authorization: Option<&'a str>, query: Option<&'a str>) -> Head<'a> {
        Head {
            method: "POST",
            path: "/",
            query,
            target: None,
            content_type: None,
            authorization,
            has_date: true,
        }
    }

    fn ask(
        authorization: Option<&str>,
        query: Option<&str>,
    ) -> Result<(String, String), ErrorKind> {
        match caller(&Config::default(), &head(authorization, query)) {
            Ok(Caller { account, region }) => Ok((account, region)),
            Err(error) => Err(error.kind()),
        }
    }

    fn named(account: &str, region: &str) -> (String, String) {
        (account.to_owned(), region.to_owned())
    }

    #[test]
    fn region_and_account_are_those_of_the_credential() {
        assert_eq!(
            ask(Some(HEADER), None),
            Ok(named("000000000000", "eu-west-1"))
        );
        let account = HEADER.replace("AKID", "123456789012");
        assert_eq!(
            ask(Some(&account), None),
            Ok(named("123456789012", "eu-west-1"))
        );
        // As aws4, the Java SDK and others write it: no space, another order.
        let dense = "AWS4-HMAC-SHA256 Signature=abc,Credential=AKID/20261123/us-gov-west-1/kinesis/aws4_request,SignedHeaders=host";
        assert_eq!(
            ask(Some(dense), None),
            Ok(named("000000000000", "us-gov-west-1"))
        );
    }

    #[test]
    fn a_presigned_request_is_read_too() {
        let query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=123456789012%2F20261123%2Feu-west-1%2fkinesis%2Faws4_request\
                     &X-Amz-Date=20261123T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=abc";
        assert_eq!(
            ask(None, Some(query)),
            Ok(named("123456789012", "eu-west-1"))
        );
        assert_eq!(
            ask(Some(HEADER), Some(query)),
            Err(ErrorKind::InvalidSignature)
        );
        for part in QUERY_PARTS.iter().skip(1) {
            let lacking = query.replace(part, "X");
            assert_eq!(
                ask(None, Some(&lacking)),
                Err(ErrorKind::IncompleteSignature),
                "{part}"
            );
        }
        let other = query.replace("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1");
        assert_eq!(ask(None, Some(&other)), Err(ErrorKind::IncompleteSignature));
    }

    #[test]
    fn who_does_not_sign_is_of_the_configured_account() {
        assert_eq!(ask(None, None), Ok(named("000000000000", "us-east-1")));
        assert_eq!(
            ask(None, Some("a=b")),
            Ok(named("000000000000", "us-east-1"))
        );
    }

    #[test]
    fn what_is_malformed_is_refused_as_aws_does() {
        for (from, to, wanted) in [
            (HEADER, "", ErrorKind::MissingAuthenticationToken),
            (HEADER, "X", ErrorKind::IncompleteSignature),
            (HEADER, "AWS4-", ErrorKind::IncompleteSignature),
            (
                "Credential=",
                "Credentials=",
                ErrorKind::IncompleteSignature,
            ),
            (
                "Signature=abc",
                "Signature=",
                ErrorKind::IncompleteSignature,
            ),
            ("SignedHeaders", "Headers", ErrorKind::IncompleteSignature),
            (
                "AWS4-HMAC-SHA256",
                "AWS4-HMAC-SHA1",
                ErrorKind::IncompleteSignature,
            ),
            ("/kinesis", "", ErrorKind::IncompleteSignature),
            ("AKID/", "/", ErrorKind::IncompleteSignature),
            ("kinesis", "s3", ErrorKind::InvalidSignature),
            ("aws4_request", "aws4", ErrorKind::InvalidSignature),
            ("20261123", "today", ErrorKind::InvalidSignature),
            ("eu-west-1", "", ErrorKind::InvalidSignature),
            ("eu-west-1", "eu:west", ErrorKind::InvalidSignature),
        ] {
            let header = HEADER.replace(from, to);
            assert_eq!(ask(Some(&header), None), Err(wanted), "{header}");
        }
        let undated = Head {
            has_date: false,
            ..head(Some(HEADER), None)
        };
        let refused = caller(&Config::default(), &undated).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::IncompleteSignature);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(header in ".{0,60}", query in ".{0,60}") {
            let _ = ask(Some(&header), None);
            let _ = ask(None, Some(&query));
            let _ = ask(None, Some(&format!("X-Amz-Algorithm={query}")));
        }
    }
}
