//! The keys that sign tokens: one line each in a file of the data directory, the newest first.

use std::io;
use std::path::Path;

use aws_lc_rs::hmac::{HMAC_SHA256, Key};

use super::file;
use crate::model::Timestamp;

const DAY: i64 = 86_400_000_000;
/// A key signs for so long; then a new one does.
const SIGNS_DAYS: i64 = 90;
/// A key is known for so long, longer than any token of it lives.
const KNOWN_DAYS: i64 = 800;
const SECRET_BYTES: usize = 32;
/// More lines than rotation ever leaves.
const KEYS_MAX: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the keys of tokens in {path} cannot be used: {why}")]
    File { path: String, why: io::Error },
    #[error("line {line} of {path} is no key of tokens")]
    Line { path: String, line: usize },
}

/// The keys, the newest first; at least one.
pub struct Keys(Vec<Known>);

struct Known {
    id: u8,
    made: Timestamp,
    secret: Vec<u8>,
    key: Key,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

impl Known {
    fn new(id: u8, made: Timestamp, secret: Vec<u8>) -> Known {
        let key = Key::new(HMAC_SHA256, &secret);
        Known { id, made, secret, key }
    }

    /// `id made-in-microseconds secret-in-hex`.
    fn read(line: &str) -> Option<Known> {
        let mut words = line.split_ascii_whitespace();
        let id = words.next()?.parse().ok()?;
        let made = Timestamp(words.next()?.parse().ok()?);
        let digits = words.next()?;
        let pairs = digits.as_bytes().chunks(2);
        let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let secret: Vec<u8> = pairs.map(octet).collect::<Option<_>>()?;
        let is_whole = secret.len() == SECRET_BYTES && words.next().is_none();
        is_whole.then(|| Known::new(id, made, secret))
    }

    fn line(&self) -> String {
        let digits: String = self.secret.iter().map(|octet| format!("{octet:02x}")).collect();
        format!("{} {} {digits}\n", self.id, self.made.0)
    }
}

impl Keys {
    /// Reads the file; makes it where there is none, and a new key where the newest has signed
    /// for ninety days.
    ///
    /// # Errors
    /// The file cannot be read or written, or holds something else.
    pub fn open(path: &Path, now: Timestamp) -> Result<Keys, KeyError> {
        let failed = |why| KeyError::File { path: path.display().to_string(), why };
        let mut known = match file::read(path) {
            Ok(text) => parse(path, &text)?,
            Err(why) if why.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(why) => return Err(failed(why)),
        };
        let is_due = known.first().is_none_or(|key| now.0 - key.made.0 > SIGNS_DAYS * DAY);
        if is_due {
            let mut secret = vec![0; SECRET_BYTES];
            aws_lc_rs::rand::fill(&mut secret)
                .map_err(|_| failed(io::Error::other("no random octets")))?;
            let id = known.first().map_or(1, |key| key.id.wrapping_add(1));
            known.insert(0, Known::new(id, now, secret));
            known.retain(|key| now.0 - key.made.0 <= KNOWN_DAYS * DAY);
            known.truncate(KEYS_MAX);
            let text: String = known.iter().map(Known::line).collect();
            file::write(path, &text).map_err(failed)?;
        }
        Ok(Keys(known))
    }

    /// Keys that follow from a seed: for tests and the simulated internet.
    pub fn standing(seed: u8) -> Keys {
        Keys(vec![Known::new(1, Timestamp(0), vec![seed; SECRET_BYTES])])
    }

    pub(super) fn newest(&self) -> (&Key, u8) {
        let newest = self.0.first().expect("a ring is made with a key and never loses its newest");
        (&newest.key, newest.id)
    }

    pub(super) fn find(&self, id: u8) -> Option<&Key> {
        self.0.iter().find(|known| known.id == id).map(|known| &known.key)
    }
}

fn parse(path: &Path, text: &str) -> Result<Vec<Known>, KeyError> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| {
            let path = || path.display().to_string();
            Known::read(line).ok_or_else(|| KeyError::Line { path: path(), line: index + 1 })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DeliveryId, MessageId};
    use crate::token::{Claim, Use};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn keys_are_made_kept_secret_and_replaced_while_old_tokens_hold() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("token-keys");
        let start = Timestamp(20_000 * DAY);
        let claim = Claim { message: MessageId(1), delivery: DeliveryId(2) };
        let first = Keys::open(&path, start).expect("made");
        let token = first.token(Use::ReturnPath, claim, Timestamp(start.0 + 200 * DAY));
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let later = Timestamp(start.0 + 100 * DAY);
        let second = Keys::open(&path, later).expect("read");
        assert_eq!(second.0.len(), 2);
        assert_eq!(second.read(Use::ReturnPath, &token, later), Ok(claim));
        assert_eq!(Keys::open(&path, later).expect("read").0.len(), 2);
    }

    #[test]
    fn a_damaged_file_is_told_by_its_line_and_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("token-keys");
        std::fs::write(&path, "1 2 zz\n").expect("written");
        let error = Keys::open(&path, Timestamp(0)).expect_err("damaged").to_string();
        assert!(error.contains("line 1"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).expect("there"), "1 2 zz\n");
    }
}
