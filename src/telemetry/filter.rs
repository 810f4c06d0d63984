//! Which log lines are written: a level for all, and levels of their own for modules.

use std::fmt;
use std::str::FromStr;

use tracing_subscriber::filter::{LevelFilter, Targets};

/// What holds for whatever no module's level is for, unless a filter says so.
const OTHERWISE: LevelFilter = LevelFilter::INFO;

/// A filter such as `info,chat_room::http=debug`. Of several modules that fit, the longest name
/// counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter {
    all: LevelFilter,
    modules: Vec<(String, LevelFilter)>,
}

impl LogFilter {
    pub(super) fn targets(&self) -> Targets {
        let modules = self.modules.iter().cloned();
        Targets::new().with_default(self.all).with_targets(modules)
    }
}

impl FromStr for LogFilter {
    type Err = InvalidFilter;

    fn from_str(text: &str) -> Result<Self, InvalidFilter> {
        let mut filter = Self {
            all: OTHERWISE,
            modules: Vec::new(),
        };
        for part in text.split(',').map(str::trim) {
            let refused = || InvalidFilter(part.to_owned());
            match part.split_once('=') {
                None => filter.all = level(part).ok_or_else(refused)?,
                Some((module, named)) => {
                    let level = level(named).filter(|_| is_module(module));
                    let level = level.ok_or_else(refused)?;
                    filter.modules.push((module.to_owned(), level));
                }
            }
        }
        Ok(filter)
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.all)?;
        let mut modules = self.modules.iter();
        modules.try_for_each(|(module, level)| write!(f, ",{module}={level}"))
    }
}

fn level(name: &str) -> Option<LevelFilter> {
    [
        ("off", LevelFilter::OFF),
        ("error", LevelFilter::ERROR),
        ("warn", LevelFilter::WARN),
        ("info", LevelFilter::INFO),
        ("debug", LevelFilter::DEBUG),
        ("trace", LevelFilter::TRACE),
    ]
    .into_iter()
    .find_map(|(known, level)| known.eq_ignore_ascii_case(name).then_some(level))
}

fn is_module(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_:-".contains(&byte);
    !name.is_empty() && name.bytes().all(allowed)
}

/// A part of a filter that is neither a level nor a module with one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is neither off, error, warn, info, debug or trace, nor MODULE= and one of them")]
pub struct InvalidFilter(String);

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn the_longest_name_that_fits_counts() {
        let filter: LogFilter = "warn, chat_room=info,chat_room::http=DEBUG,hyper=off"
            .parse()
            .unwrap();
        let targets = filter.targets();
        for (module, level, written) in [
            ("chat_room::http::accept", Level::DEBUG, true),
            ("chat_room::http", Level::TRACE, false),
            ("chat_room::log", Level::INFO, true),
            ("chat_room::log", Level::DEBUG, false),
            ("aws_config", Level::WARN, true),
            ("aws_config", Level::INFO, false),
            ("hyper::proto", Level::ERROR, false),
        ] {
            let would = targets.would_enable(module, &level);
            assert_eq!(would, written, "{module} {level}");
        }
    }

    #[test]
    fn a_level_for_one_module_leaves_the_others_at_info() {
        let filter: LogFilter = "chat_room::http=error".parse().unwrap();
        assert!(filter.targets().would_enable("chat_room", &Level::INFO));
        assert!(!filter.targets().would_enable("chat_room", &Level::DEBUG));
        assert_eq!(filter.to_string(), "info,chat_room::http=error");
        assert_eq!(filter.to_string().parse(), Ok(filter));
    }

    #[test]
    fn what_is_no_filter_is_named() {
        for text in [
            "",
            "inof",
            "chat_room=loud",
            "=info",
            "info,,warn",
            " ä=",
            "a b=info",
        ] {
            let error = text.parse::<LogFilter>().unwrap_err().to_string();
            assert!(error.contains("is neither"), "{text:?}: {error}");
        }
    }
}
