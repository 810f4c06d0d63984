//! What stands in the table for something else: names of what was kept, and values too long to write down.
//!
//! | in the table | stands for |
//! | --- | --- |
//! | `"$name"`, `"… ${name} …"` | what was kept under the name; within a text, its text |
//! | `{ "<bytes>" = n }` | a blob of `n` bytes |
//! | `{ "<text>" = n }` | a text of `n` letters |
//! | `{ "<repeat>" = n, of = v }` | a list of `n` times `v`, in which `${i}` is the place in the list |
//! | `{ "<unique>" = t }` | the text and something that was never there before |
//! | `{ "<tags>" = n }` | an object of `n` tags |
//! | `{ "<plus>" = [a, b] }` | the sum of two numbers, as a number if `a` is one, else as a decimal text |

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use uuid::Uuid;

pub(super) type Kept = BTreeMap<String, Value>;

/// The value with everything in it that stands for something else replaced.
pub(super) fn resolve(value: &Value, kept: &Kept) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => resolve_text(text, kept)?,
        Value::Array(values) => values
            .iter()
            .map(|value| resolve(value, kept))
            .collect::<Result<_, _>>()?,
        Value::Object(members) => match made(members, kept)? {
            Some(value) => value,
            None => Value::Object(resolve_members(members, kept)?),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    })
}

pub(super) fn resolve_members(
    members: &Map<String, Value>,
    kept: &Kept,
) -> Result<Map<String, Value>, String> {
    members
        .iter()
        .map(|(name, value)| Ok((name.clone(), resolve(value, kept)?)))
        .collect()
}

fn look_up<'a>(name: &str, kept: &'a Kept) -> Result<&'a Value, String> {
    kept.get(name)
        .ok_or_else(|| format!("the table uses ${name}, which nothing has kept"))
}

fn resolve_text(text: &str, kept: &Kept) -> Result<Value, String> {
    if let Some(name) = text.strip_prefix('$').filter(|name| !name.starts_with('{')) {
        return look_up(name, kept).cloned();
    }
    let mut parts = text.split("${");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}').ok_or("${ without }")?;
        match look_up(name, kept)? {
            Value::String(text) => whole.push_str(text),
            other => whole.push_str(&other.to_string()),
        }
        whole.push_str(rest);
    }
    Ok(whole.into())
}

/// What an object makes, if it is one of those that make something.
fn made(members: &Map<String, Value>, kept: &Kept) -> Result<Option<Value>, String> {
    let count = |key: &str| {
        members
            .get(key)
            .map(|value| value.as_u64().and_then(|count| usize::try_from(count).ok()))
            .map(|count| count.ok_or_else(|| format!("{key} wants a count")))
            .transpose()
    };
    if let Some(count) = count("<bytes>")? {
        return Ok(Some(STANDARD.encode(vec![b'.'; count]).into()));
    }
    if let Some(count) = count("<text>")? {
        return Ok(Some("t".repeat(count).into()));
    }
    if let Some(count) = count("<tags>")? {
        let tags = (0..count).map(|number| (format!("key-{number:03}"), "value".into()));
        return Ok(Some(Value::Object(tags.collect())));
    }
    if let Some(count) = count("<repeat>")? {
        let of = members.get("of").ok_or("<repeat> without of")?;
        let mut kept = kept.clone();
        let values = (0..count).map(|place| {
            kept.insert("i".to_owned(), place.into());
            resolve(of, &kept)
        });
        return Ok(Some(values.collect::<Result<_, _>>()?));
    }
    if let Some(text) = members.get("<unique>") {
        let text = text.as_str().ok_or("<unique> wants a text")?;
        return Ok(Some(format!("{text}-{}", Uuid::new_v4().simple()).into()));
    }
    let Some(sum) = members.get("<plus>") else {
        return Ok(None);
    };
    let sum = resolve(sum, kept)?;
    let [first, second] = sum.as_array().map_or(&[][..], Vec::as_slice) else {
        return Err("<plus> wants two".to_owned());
    };
    if let (Some(first), Some(second)) = (first.as_f64(), second.as_f64()) {
        return Ok(Some(json!(first + second)));
    }
    let first = first.as_str().and_then(|text| text.parse::<u128>().ok());
    let sum = first
        .zip(second.as_i64())
        .and_then(|(first, second)| first.checked_add_signed(second.into()));
    sum.map(|sum| Some(sum.to_string().into()))
        .ok_or_else(|| "<plus> cannot add these".to_owned())
}
