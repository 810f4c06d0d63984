//! The layers that settings come from, and where each value came from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Num, Value};
use figment::{Figment, Metadata, Profile, Provider, Source};

use super::table::{Fallback, SETTINGS, setting};
use super::{ENV_PREFIX, Error, env_name};

const DEFAULT: &str = "default";
const ENV: &str = "environment";
const FLAG: &str = "flag";

/// Texts by key, from one source other than a file.
struct Texts {
    kind: &'static str,
    values: Dict,
}

impl Texts {
    fn new(kind: &'static str, values: impl IntoIterator<Item = (String, String)>) -> Self {
        let values = values.into_iter().map(|(key, text)| (key, text.into()));
        Self {
            kind,
            values: values.collect(),
        }
    }
}

impl Provider for Texts {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.kind)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

/// Where a value came from, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Origin {
    fn file(path: &Path) -> Self {
        Self(format!("file {}", path.display()))
    }

    fn env(key: &str) -> Self {
        Self(format!("environment variable {}", env_name(key)))
    }
}

/// All layers, one over the other.
#[derive(Debug)]
pub(super) struct Layers(Figment);

impl Layers {
    pub(super) fn new() -> Self {
        let defaults = SETTINGS.iter().filter_map(|setting| match setting.default {
            Fallback::Value(text) => Some((setting.key.to_owned(), text.to_owned())),
            Fallback::Words(_) => None,
        });
        Self(Figment::from(Texts::new(DEFAULT, defaults)))
    }

    /// Lays a TOML file over what is there.
    pub(super) fn with_file(self, path: &Path) -> Result<Self, Error> {
        let unusable = |problem: String| Error::File {
            path: path.to_owned(),
            problem,
        };
        // Read first: figment takes a file that cannot be read for one that is not there.
        let text = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
        let mut data = Toml::string(&text)
            .data()
            .map_err(|error| unusable(error.kind.to_string()))?;
        let keys = data.remove(&Profile::Default).unwrap_or_default();
        if let Some(key) = keys.into_keys().find(|key| setting(key).is_none()) {
            return Err(Error::unknown(key, Origin::file(path)));
        }
        Ok(Self(self.0.merge(Toml::file_exact(path))))
    }

    /// Lays the environment over what is there: its variables that begin with `CHAT_ROOM_`.
    pub(super) fn with_env(
        self,
        env: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Error> {
        let mut values = Vec::new();
        for (name, value) in env {
            let Some(name) = name.to_str().filter(|name| name.starts_with(ENV_PREFIX)) else {
                continue;
            };
            let key = key_of(name);
            if key == "config" || is_service_link(name) {
                continue;
            }
            if setting(&key).is_none() || env_name(&key) != name {
                let origin = Origin(format!("environment variable {name}"));
                return Err(Error::unknown(key, origin));
            }
            let value = value.into_string().map_err(|value| Error::Value {
                origin: Origin::env(&key),
                value: value.to_string_lossy().into_owned(),
                problem: "is not UTF-8".into(),
                key: key.clone(),
            })?;
            values.push((key, value));
        }
        Ok(Self(self.0.merge(Texts::new(ENV, values))))
    }

    /// Lays the flags over what is there.
    pub(super) fn with_flags(self, flags: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(self.0.merge(Texts::new(FLAG, flags)))
    }

    /// Whether something else than the default set it.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.0
            .find_metadata(key)
            .is_some_and(|metadata| metadata.name != DEFAULT)
    }

    /// Where a setting's value comes from.
    pub(super) fn origin(&self, key: &str) -> Origin {
        let metadata = self.0.find_metadata(key);
        match metadata.map(|metadata| (&*metadata.name, &metadata.source)) {
            Some((ENV, _)) => Origin::env(key),
            Some((FLAG, _)) => Origin(format!("flag --{key}")),
            Some((_, Some(Source::File(path)))) => Origin::file(path),
            _ => Origin("default".into()),
        }
    }

    /// Every setting that has a value, as it is written: to tell what has changed.
    pub(super) fn texts(&self) -> BTreeMap<&'static str, String> {
        let written = |key| match self.0.find_value(key).ok()? {
            Value::Array(_, values) => {
                let values: Vec<_> = values.iter().map(shown).collect();
                Some(values.join(","))
            }
            value => Some(shown(&value)),
        };
        let keys = SETTINGS.iter().map(|setting| setting.key);
        keys.filter_map(|key| Some((key, written(key)?))).collect()
    }

    /// A setting's value as text, if it has one.
    fn text(&self, key: &str) -> Result<Option<String>, Error> {
        match self.0.find_value(key) {
            Ok(value) => match scalar(&value) {
                Some(text) => Ok(Some(text)),
                None => Err(self.bad(key, shown(&value), "is not a single value".into())),
            },
            Err(_) => Ok(None),
        }
    }

    /// Reads a setting that may be absent.
    pub(super) fn optional<T>(
        &self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Error> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        match parse(&text) {
            Ok(value) => Ok(Some(value)),
            Err(problem) => Err(self.bad(key, text, problem)),
        }
    }

    /// Reads a setting that has a default.
    pub(super) fn required<T>(
        &self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Error> {
        self.optional(key, parse)?
            .ok_or_else(|| self.bad(key, String::new(), "is missing".into()))
    }

    /// Reads a list: an array in the file, else texts separated by commas.
    pub(super) fn list<T>(
        &self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, Error> {
        let texts: Vec<String> = if let Ok(Value::Array(_, values)) = self.0.find_value(key) {
            let one = |value| {
                scalar(value)
                    .ok_or_else(|| self.bad(key, shown(value), "is not a single value".into()))
            };
            values.iter().map(one).collect::<Result<_, _>>()?
        } else {
            let text = self.text(key)?.unwrap_or_default();
            let parts = text.split(',').map(str::trim);
            parts
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let mut list = Vec::with_capacity(texts.len());
        for text in texts {
            match parse(&text) {
                Ok(value) => list.push(value),
                Err(problem) => return Err(self.bad(key, text, problem)),
            }
        }
        Ok(list)
    }

    fn bad(&self, key: &str, value: String, problem: String) -> Error {
        Error::Value {
            key: key.to_owned(),
            value,
            problem,
            origin: self.origin(key),
        }
    }
}

/// The key that an environment variable sets.
fn key_of(name: &str) -> String {
    let name = name.strip_prefix(ENV_PREFIX).unwrap_or(name);
    name.to_ascii_lowercase().replace('_', "-")
}

/// Kubernetes and Docker put the addresses of a service called `chat-room` into the environment
/// of every container beside it; they are not meant as settings.
/// Source: the Kubernetes documentation, "Accessing the Service: Environment Variables".
fn is_service_link(name: &str) -> bool {
    let rest = name.strip_prefix(ENV_PREFIX).unwrap_or(name);
    rest == "PORT"
        || rest == "SERVICE_HOST"
        || rest.starts_with("SERVICE_PORT")
        || rest.starts_with("PORT_")
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(text.clone()),
        Value::Char(_, c) => Some(c.to_string()),
        Value::Bool(_, flag) => Some(flag.to_string()),
        Value::Num(_, Num::F32(number)) => Some(number.to_string()),
        Value::Num(_, Num::F64(number)) => Some(number.to_string()),
        Value::Num(_, number) => number
            .to_i128()
            .map(|number| number.to_string())
            .or_else(|| number.to_u128().map(|number| number.to_string())),
        Value::Empty(..) | Value::Dict(..) | Value::Array(..) => None,
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Dict(..) => "{…}".into(),
        Value::Array(..) => "[…]".into(),
        other => scalar(other).unwrap_or_default(),
    }
}
