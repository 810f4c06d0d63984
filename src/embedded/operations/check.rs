//! What is looked at beyond the constraints of the service model.

use crate::embedded::store::Sequence;
use crate::embedded::{Error, ErrorKind};

/// A hash key: a decimal number below 2^128.
pub(crate) fn hash_key(member: &str, value: &str) -> Result<u128, Error> {
    value.parse().map_err(|_| {
        Error::invalid_argument(format!(
            "Invalid {member}. {member} must be in the range: [0, 2^128-1]. Specified value was {value}"
        ))
    })
}

/// A sequence number that a shard can have given.
pub(crate) fn sequence(member: &str, value: &str) -> Result<Sequence, Error> {
    value
        .parse()
        .map_err(|_| Error::invalid_argument(format!("{member} {value} is invalid.")))
}

/// Answers a dry run, which by now would have been allowed. Nothing has been changed.
pub(crate) fn dry_run(asked: Option<bool>) -> Result<(), Error> {
    if asked == Some(true) {
        return Err(Error::new(
            ErrorKind::DryRunOperation,
            "The request would have succeeded, but the DryRun flag is set.",
        ));
    }
    Ok(())
}

/// How many a page has: so many as are asked for, and never more than `most`, which is also the default.
pub(crate) fn page(asked: Option<i64>, most: usize) -> usize {
    let asked = asked.map(|asked| usize::try_from(asked).unwrap_or(usize::MAX));
    asked.unwrap_or(most).min(most)
}
