//! What people write as values, and what it means.
//!
//! A parser's error is the end of a sentence that begins with the value: `"lots" is not …`.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;

use super::{Consumer, Kinesis, Start};
use crate::embedded::Limits;
use crate::http::{Network, Origin, Rate};
use crate::telemetry::{LogFilter, LogFormat};

/// The problem with a value, as the rest of a sentence.
pub(super) type Problem = String;
pub(super) type Parsed<T> = Result<T, Problem>;

pub(super) fn address(text: &str) -> Parsed<SocketAddr> {
    text.parse()
        .map_err(|_| "is not an address such as 127.0.0.1:8080 or [::]:8080".into())
}

/// An address, or `off`.
pub(super) fn address_or_off(text: &str) -> Parsed<Option<SocketAddr>> {
    match text {
        "off" => Ok(None),
        _ => address(text).map(Some),
    }
}

/// A file, or `off`.
pub(super) fn file_or_off(text: &str) -> Parsed<Option<PathBuf>> {
    path_or_off(text, "is not the name of a file")
}

/// A folder, or `off`.
pub(super) fn folder_or_off(text: &str) -> Parsed<Option<PathBuf>> {
    path_or_off(text, "is not the name of a folder")
}

fn path_or_off(text: &str, problem: &str) -> Parsed<Option<PathBuf>> {
    match text {
        "off" => Ok(None),
        _ if text.is_empty() || text.chars().any(char::is_control) => Err(problem.into()),
        _ => Ok(Some(text.into())),
    }
}

pub(super) fn count(range: RangeInclusive<usize>) -> impl Fn(&str) -> Parsed<usize> {
    move |text| {
        // `+5` parses too, but nobody means it.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = if digits { text.parse().ok() } else { None };
        within(
            number.ok_or_else(|| Problem::from("is not a whole number"))?,
            &range,
            usize::to_string,
        )
    }
}

/// A number, or `off`.
pub(super) fn count_or_off(range: RangeInclusive<usize>) -> impl Fn(&str) -> Parsed<Option<usize>> {
    let count = count(range);
    move |text| match text {
        "off" => Ok(None),
        _ => count(text).map(Some),
    }
}

/// A rate, or `off`.
pub(super) fn rate_or_off(text: &str) -> Parsed<Option<Rate>> {
    match text {
        "off" => Ok(None),
        _ => text
            .parse()
            .map(Some)
            .map_err(|_| "is not a rate such as 5/s, 30/m or 30/10s".into()),
    }
}

pub(super) fn size(range: RangeInclusive<u64>) -> impl Fn(&str) -> Parsed<usize> {
    move |text| {
        let size: ByteSize = text
            .parse()
            .map_err(|_| Problem::from("is not a size such as 16KiB or 256MiB"))?;
        let size = within(size.as_u64(), &range, |bytes| {
            ByteSize(*bytes).display().iec().to_string()
        })?;
        usize::try_from(size).map_err(|_| "is more than this machine can address".into())
    }
}

pub(super) fn duration(range: RangeInclusive<Duration>) -> impl Fn(&str) -> Parsed<Duration> {
    move |text| {
        let duration = humantime::parse_duration(text)
            .map_err(|_| Problem::from("is not a duration such as 500ms, 5s or 2m"))?;
        within(duration, &range, |duration| {
            humantime::format_duration(*duration).to_string()
        })
    }
}

/// A duration, or `off`, which nothing is too.
pub(super) fn duration_or_off(
    range: RangeInclusive<Duration>,
) -> impl Fn(&str) -> Parsed<Option<Duration>> {
    let duration = duration(range);
    move |text| match text {
        "off" | "0" | "0s" | "0ms" => Ok(None),
        _ => duration(text).map(Some),
    }
}

fn within<T: PartialOrd>(
    value: T,
    range: &RangeInclusive<T>,
    show: impl Fn(&T) -> String,
) -> Parsed<T> {
    if range.contains(&value) {
        return Ok(value);
    }
    let (least, most) = (show(range.start()), show(range.end()));
    Err(format!("is not between {least} and {most}"))
}

/// A name of a stream or consumer, as the Kinesis API's reference has it:
/// `[a-zA-Z0-9_.-]+`, at most 128 characters.
pub(super) fn kinesis_name(text: &str) -> Parsed<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if (1..=128).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err("is not 1 to 128 characters of A-Z, a-z, 0-9, '_', '.' and '-'".into())
}

pub(super) fn region(text: &str) -> Parsed<String> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !text.is_empty() && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err("is not a region such as eu-central-1".into())
}

pub(super) fn url(text: &str) -> Parsed<String> {
    let uri = http::Uri::from_str(text).ok();
    let web = |uri: &http::Uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()
    };
    if uri.as_ref().is_some_and(web) {
        return Ok(text.to_owned());
    }
    Err("is not a URL such as http://127.0.0.1:4567".into())
}

pub(super) fn origin(text: &str) -> Parsed<Origin> {
    text.parse()
        .map_err(|_| "is not an origin such as https://event.example".into())
}

pub(super) fn network(text: &str) -> Parsed<Network> {
    text.parse()
        .map_err(|_| "is not an address or network such as 10.0.0.7 or 10.0.0.0/8".into())
}

pub(super) fn kinesis(text: &str) -> Parsed<Kinesis> {
    match text {
        "embedded" => Ok(Kinesis::Embedded),
        "aws" => Ok(Kinesis::Aws),
        _ => Err("is neither embedded nor aws".into()),
    }
}

pub(super) fn switch(text: &str) -> Parsed<bool> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("is neither on nor off".into()),
    }
}

pub(super) fn limits(text: &str) -> Parsed<Limits> {
    match text {
        "off" => Ok(Limits::Off),
        "aws" => Ok(Limits::Aws),
        _ => Err("is neither off nor aws".into()),
    }
}

pub(super) fn consumer(text: &str) -> Parsed<Consumer> {
    match text {
        "auto" => Ok(Consumer::Auto),
        "enhanced" => Ok(Consumer::Enhanced),
        "polling" => Ok(Consumer::Polling),
        _ => Err("is none of auto, enhanced and polling".into()),
    }
}

pub(super) fn start(text: &str) -> Parsed<Start> {
    match text {
        "trim-horizon" => Ok(Start::TrimHorizon),
        "latest" => Ok(Start::Latest),
        _ => humantime::parse_duration(text)
            .map(Start::Ago)
            .map_err(|_| "is none of trim-horizon, latest and a duration such as 15m".into()),
    }
}

pub(super) fn log_format(text: &str) -> Parsed<LogFormat> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("is neither text nor json".into()),
    }
}

pub(super) fn log_filter(text: &str) -> Parsed<LogFilter> {
    text.parse()
        .map_err(|problem| format!("is not a log filter: {problem}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_whole_and_within_their_range() {
        let parse = count(1..=100);
        assert_eq!(parse("100"), Ok(100));
        for text in [
            "",
            "lots",
            "1.5",
            "-1",
            "+1",
            "1 ",
            "99999999999999999999999",
        ] {
            assert_eq!(parse(text), Err("is not a whole number".into()), "{text:?}");
        }
        assert_eq!(parse("0"), Err("is not between 1 and 100".into()));
    }

    #[test]
    fn sizes_and_durations_have_units() {
        let parse = size(1_024..=1 << 20);
        assert_eq!(parse("16KiB"), Ok(16_384));
        assert_eq!(parse("1 MiB"), Ok(1 << 20));
        assert_eq!(parse("2048"), Ok(2_048));
        assert_eq!(
            parse("1GiB"),
            Err("is not between 1.0 KiB and 1.0 MiB".into())
        );
        assert!(parse("big").is_err());

        let parse = duration(Duration::ZERO..=Duration::from_mins(1));
        assert_eq!(parse("0s"), Ok(Duration::ZERO));
        assert_eq!(parse("1s 500ms"), Ok(Duration::from_millis(1_500)));
        assert_eq!(parse("2m"), Err("is not between 0s and 1m".into()));
        assert!(parse("5").is_err());
    }

    #[test]
    fn a_start_is_a_point_or_a_look_back() {
        assert_eq!(start("trim-horizon"), Ok(Start::TrimHorizon));
        assert_eq!(start("latest"), Ok(Start::Latest));
        assert_eq!(start("15m"), Ok(Start::Ago(Duration::from_mins(15))));
        assert!(start("LATEST").is_err());
    }

    #[test]
    fn names_and_urls_are_checked() {
        assert!(kinesis_name("chat.messages_1-x").is_ok());
        assert!(kinesis_name("").is_err() && kinesis_name("a b").is_err());
        assert!(url("http://127.0.0.1:4567").is_ok() && url("https://x/y").is_ok());
        assert!(url("127.0.0.1:4567").is_err() && url("ftp://x").is_err() && url("/x").is_err());
        assert!(log_filter("info,chat_room::http=debug").is_ok());
        assert!(log_filter("chat_room=loud").is_err() && log_filter("").is_err());
        assert_eq!(address_or_off("off"), Ok(None));
        assert!(address("localhost:1").is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = count(0..=9)(&text);
            let _ = size(0..=u64::MAX)(&text);
            let _ = duration(Duration::ZERO..=Duration::MAX)(&text);
            let _ = (start(&text), url(&text), origin(&text), log_filter(&text));
            let _ = (network(&text), rate_or_off(&text), count_or_off(0..=9)(&text));
        }
    }
}
