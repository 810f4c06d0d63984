//! Values of the database that are not records: a version, a checksum, JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::disk::DiskError;

const VERSION: u8 = 1;

/// One byte of version, four of CRC-32, JSON.
pub(super) fn seal(value: &impl Serialize) -> Result<Vec<u8>, DiskError> {
    let json = serde_json::to_vec(value).map_err(|error| DiskError::Damaged {
        what: "what is to be written".to_owned(),
        problem: error.to_string(),
    })?;
    let mut sealed = Vec::with_capacity(json.len() + 5);
    sealed.push(VERSION);
    sealed.extend_from_slice(&crc32fast::hash(&json).to_be_bytes());
    sealed.extend_from_slice(&json);
    Ok(sealed)
}

/// `what` says whose value it is, if something is wrong with it.
pub(super) fn open<T: DeserializeOwned>(
    sealed: &[u8],
    what: impl FnOnce() -> String,
) -> Result<T, DiskError> {
    let problem = match sealed {
        [VERSION, a, b, c, d, json @ ..]
            if crc32fast::hash(json).to_be_bytes() == [*a, *b, *c, *d] =>
        {
            match serde_json::from_slice(json) {
                Ok(value) => return Ok(value),
                Err(error) => error.to_string(),
            }
        }
        [VERSION, ..] => "a checksum is wrong".to_owned(),
        [version, ..] => format!("it was written by a newer version (format {version})"),
        [] => "it is empty".to_owned(),
    };
    Err(DiskError::Damaged {
        what: what(),
        problem,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_is_opened_and_what_was_not_says_why() {
        let sealed = seal(&vec![1, 2, 3]).unwrap();
        let read = |bytes: &[u8]| {
            open::<Vec<u8>>(bytes, || "stream 7".into()).map_err(|error| error.to_string())
        };
        assert_eq!(read(&sealed), Ok(vec![1, 2, 3]));
        let mut newer = sealed.clone();
        newer[0] = 9;
        assert_eq!(
            read(&newer),
            Err("stream 7: it was written by a newer version (format 9)".into())
        );
        for at in 1..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1;
            assert_eq!(read(&flipped), Err("stream 7: a checksum is wrong".into()));
        }
        assert_eq!(read(&[]), Err("stream 7: it is empty".into()));
    }
}
