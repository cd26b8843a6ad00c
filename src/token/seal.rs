//! Values that are sealed at rest, and the file of the keys that seal them.
//!
//! Owns:       keys of encrypted fields, their file and rotation; the form of a sealed value.
//! Promises:   a value opens only as the field's whose it is; the newest key seals, every key that
//!             is known opens; equal values can be found without being opened, and nothing else
//!             can be told of them. A file that is damaged is told by its line and left alone.
//! Knows not:  who may see a value.
//!
//! A sealed value is `index.key.octets`: a blind index (128 bits of HMAC-SHA256 over the value,
//! in hexadecimal digits), the number of its key, and nonce, ciphertext and tag of AES-256-GCM in
//! base64. The keys of the two are derived from one secret.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::file;
use super::keys::KeyError;
use crate::model::{FieldId, OrganizationId, Timestamp};

const SECRET_BYTES: usize = 32;
const INDEX_BYTES: usize = 16;
const KEYS_MAX: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("there is no key of encrypted fields")]
    NoKey,
    #[error("the value cannot be sealed")]
    Cipher,
    #[error(transparent)]
    File(#[from] KeyError),
    #[error("there are {KEYS_MAX} keys already; remove lines of old ones from the file")]
    TooMany,
}

/// Whose values they are; a value is nobody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedFor {
    pub organization: OrganizationId,
    pub field: FieldId,
}

impl SealedFor {
    fn octets(self) -> [u8; 16] {
        let mut octets = [0; 16];
        octets[..8].copy_from_slice(&self.organization.0.to_be_bytes());
        octets[8..].copy_from_slice(&self.field.0.to_be_bytes());
        octets
    }
}

/// A cheap handle; clones see keys that are made later. The default has none.
#[derive(Clone, Default)]
pub struct Sealer(Arc<Inner>);

#[derive(Default)]
struct Inner {
    path: Option<PathBuf>,
    /// The newest first.
    keys: ArcSwap<Vec<Arc<SealKey>>>,
}

struct SealKey {
    number: u32,
    made: Timestamp,
    secret: [u8; SECRET_BYTES],
    cipher: LessSafeKey,
    index: hmac::Key,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealer({})", self.0.keys.load().len())
    }
}

impl SealKey {
    fn new(number: u32, made: Timestamp, secret: [u8; SECRET_BYTES]) -> Option<SealKey> {
        let root = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let cipher = hmac::sign(&root, b"postroad: value");
        let index = hmac::sign(&root, b"postroad: index");
        let cipher = UnboundKey::new(&AES_256_GCM, cipher.as_ref()).ok()?;
        let index = hmac::Key::new(hmac::HMAC_SHA256, index.as_ref());
        Some(SealKey { number, made, secret, cipher: LessSafeKey::new(cipher), index })
    }

    /// `number made-in-microseconds secret-in-base64`.
    fn read(line: &str) -> Option<SealKey> {
        let mut words = line.split_ascii_whitespace();
        let number = words.next()?.parse().ok()?;
        let made = Timestamp(words.next()?.parse().ok()?);
        let secret = URL_SAFE_NO_PAD.decode(words.next()?).ok()?.try_into().ok()?;
        words.next().is_none().then(|| SealKey::new(number, made, secret))?
    }

    fn line(&self) -> String {
        let secret = URL_SAFE_NO_PAD.encode(self.secret);
        format!("{} {} {secret}\n", self.number, self.made.0)
    }

    /// Letters of any case are the same, as segments compare texts.
    fn index(&self, whose: SealedFor, value: &str) -> String {
        let mut context = hmac::Context::with_key(&self.index);
        context.update(&whose.octets());
        context.update(value.to_lowercase().as_bytes());
        let octets = context.sign();
        octets.as_ref()[..INDEX_BYTES].iter().map(|octet| format!("{octet:02x}")).collect()
    }
}

impl Sealer {
    /// Reads the file if there is one; a key is made when the first is wanted.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn open(path: &Path) -> Result<Sealer, KeyError> {
        let keys = match file::read(path) {
            Ok(text) => parse(path, &text)?,
            Err(why) if why.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(why) => return Err(KeyError::File { path: path.display().to_string(), why }),
        };
        let keys = ArcSwap::from_pointee(keys);
        Ok(Sealer(Arc::new(Inner { path: Some(path.to_owned()), keys })))
    }

    /// The newest key's number and since when it seals.
    pub fn newest(&self) -> Option<(u32, Timestamp)> {
        self.0.keys.load().first().map(|key| (key.number, key.made))
    }

    pub fn count(&self) -> usize {
        self.0.keys.load().len()
    }

    /// From now on a new key seals; those before go on opening. It is on disk when this returns,
    /// which blocks.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn rotate(&self, now: Timestamp) -> Result<u32, SealError> {
        let path = self.0.path.as_ref().ok_or(SealError::NoKey)?;
        let failed = |why| KeyError::File { path: path.display().to_string(), why };
        let mut keys = (**self.0.keys.load()).clone();
        if keys.len() >= KEYS_MAX {
            return Err(SealError::TooMany);
        }
        let mut secret = [0; SECRET_BYTES];
        aws_lc_rs::rand::fill(&mut secret).map_err(|_| SealError::Cipher)?;
        let number = keys.first().map_or(1, |key| key.number.saturating_add(1));
        let key = SealKey::new(number, now, secret).ok_or(SealError::Cipher)?;
        keys.insert(0, Arc::new(key));
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(failed)?;
        }
        let text: String = keys.iter().map(|key| key.line()).collect();
        file::write(path, &text).map_err(failed)?;
        self.0.keys.store(Arc::new(keys));
        Ok(number)
    }

    /// # Errors
    /// There is no key.
    pub fn seal(&self, whose: SealedFor, value: &str) -> Result<String, SealError> {
        let keys = self.0.keys.load();
        let key = keys.first().ok_or(SealError::NoKey)?;
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| SealError::Cipher)?;
        let mut sealed = value.as_bytes().to_vec();
        let aad = Aad::from(whose.octets());
        key.cipher
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed)
            .map_err(|_| SealError::Cipher)?;
        let octets = [nonce.as_slice(), sealed.as_slice()].concat();
        let index = key.index(whose, value);
        Ok(format!("{index}.{}.{}", key.number, URL_SAFE_NO_PAD.encode(octets)))
    }

    /// None for what was not sealed for this field, or by a key that is not known any more.
    pub fn opened(&self, whose: SealedFor, sealed: &str) -> Option<String> {
        let keys = self.0.keys.load();
        let number = sealed_by(sealed)?;
        let key = keys.iter().find(|key| key.number == number)?;
        let octets = URL_SAFE_NO_PAD.decode(sealed.rsplit('.').next()?).ok()?;
        let (nonce, rest) = octets.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut rest = rest.to_vec();
        let opened = key.cipher.open_in_place(nonce, Aad::from(whose.octets()), &mut rest).ok()?;
        String::from_utf8(opened.to_vec()).ok()
    }

    /// What sealed values of this one begin with, one for each key.
    pub fn indexes(&self, whose: SealedFor, value: &str) -> Vec<String> {
        let keys = self.0.keys.load();
        keys.iter().map(|key| format!("{}.", key.index(whose, value))).collect()
    }
}

/// The number of the key that sealed a value.
pub fn sealed_by(sealed: &str) -> Option<u32> {
    sealed.split('.').nth(1)?.parse().ok()
}

fn parse(path: &Path, text: &str) -> Result<Vec<Arc<SealKey>>, KeyError> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| {
            let path = || path.display().to_string();
            let wrong = || KeyError::Line { path: path(), line: index + 1 };
            SealKey::read(line).map(Arc::new).ok_or_else(wrong)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const MINE: SealedFor = SealedFor { organization: OrganizationId(1), field: FieldId(3) };

    fn sealer() -> (Sealer, tempfile::TempDir) {
        let directory = tempfile::tempdir().expect("a directory");
        let sealer = Sealer::open(&directory.path().join("keys/field-keys")).expect("none yet");
        sealer.rotate(Timestamp(5)).expect("a key");
        (sealer, directory)
    }

    #[test]
    fn a_value_opens_as_its_own_fields_alone_and_shows_nothing_of_itself() {
        let (sealer, _directory) = sealer();
        let sealed = sealer.seal(MINE, "Grüße").expect("sealed");
        assert_ne!(sealed, sealer.seal(MINE, "Grüße").expect("sealed"), "no two look alike");
        assert_eq!(sealer.opened(MINE, &sealed).as_deref(), Some("Grüße"));
        let other = SealedFor { field: FieldId(4), ..MINE };
        let stranger = SealedFor { organization: OrganizationId(2), ..MINE };
        assert_eq!((sealer.opened(other, &sealed), sealer.opened(stranger, &sealed)), (None, None));
        for wrong in ["", "a.1", "a.1.", "a.9.QUJD", "a.1.QUJD", "x.x.x", "...."] {
            assert_eq!(sealer.opened(MINE, wrong), None, "{wrong}");
        }
    }

    #[test]
    fn equal_values_are_found_under_every_key_and_no_others() {
        let (sealer, _directory) = sealer();
        let before = sealer.seal(MINE, "Ann").expect("sealed");
        assert_eq!(sealer.rotate(Timestamp(6)).expect("a key"), 2);
        let after = sealer.seal(MINE, "ANN").expect("sealed");
        assert_eq!((sealed_by(&before), sealed_by(&after)), (Some(1), Some(2)));
        let indexes = sealer.indexes(MINE, "ann");
        let is_found = |sealed: &str| indexes.iter().any(|index| sealed.starts_with(index));
        assert!(is_found(&before) && is_found(&after));
        assert!(!is_found(&sealer.seal(MINE, "bob").expect("sealed")));
        let other = SealedFor { field: FieldId(4), ..MINE };
        assert!(!is_found(&sealer.seal(other, "ann").expect("sealed")));
        assert_eq!(sealer.opened(MINE, &before).as_deref(), Some("Ann"));
    }

    #[test]
    fn keys_are_a_secret_file_that_is_read_again_and_never_guessed() {
        let (sealer, directory) = sealer();
        let path = directory.path().join("keys/field-keys");
        let mode = std::fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let sealed = sealer.seal(MINE, "x").expect("sealed");
        let again = Sealer::open(&path).expect("read");
        assert_eq!(again.opened(MINE, &sealed).as_deref(), Some("x"));
        assert_eq!(again.newest(), Some((1, Timestamp(5))));
        std::fs::write(&path, "1 5 zz\n").expect("written");
        let error = Sealer::open(&path).expect_err("damaged").to_string();
        assert!(error.contains("line 1"), "{error}");
        assert!(matches!(Sealer::default().seal(MINE, "x"), Err(SealError::NoKey)));
    }
}
