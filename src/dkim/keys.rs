//! Private keys: files `<directory>/<domain>/<selector>.<algorithm>.pem`, and nowhere else.
//!
//! Owns:       making, storing and reading them; the TXT record that names the public half.
//! Promises:   a new file has mode 0600, never replaces another and is on disk, name and all, when
//!             `create` returns; a file that others can reach is refused.
//! Knows not:  which keys are in use.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::Digest;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::DkimError;
use crate::model::{Domain, Timestamp};

/// Leaves room for the letter that tells the two keys apart within a DNS label.
const SELECTOR_BYTES_MAX: usize = 60;
/// RSA-4096 takes 3.3 KiB; anything longer is no key.
const PEM_BYTES_MAX: u64 = 16 * 1024;
/// RFC 1035 §3.3: one character-string of a TXT record.
const TXT_STRING_BYTES_MAX: usize = 255;
/// RFC 8301 §3.2: shorter keys are not verified by careful receivers (A17).
const RSA_BYTES_MIN: usize = 256;

const PEM_HEAD: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_TAIL: &str = "-----END PRIVATE KEY-----";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    RsaSha256,
    Ed25519Sha256,
}

impl Algorithm {
    pub const ALL: [Algorithm; 2] = [Algorithm::RsaSha256, Algorithm::Ed25519Sha256];

    /// As in the `a=` tag, in file names and in the store.
    pub const fn word(self) -> &'static str {
        match self {
            Algorithm::RsaSha256 => "rsa-sha256",
            Algorithm::Ed25519Sha256 => "ed25519-sha256",
        }
    }

    /// RFC 8463 §3: two algorithms need two selectors, since a record holds one key.
    const fn selector_letter(self) -> char {
        match self {
            Algorithm::RsaSha256 => 'r',
            Algorithm::Ed25519Sha256 => 'e',
        }
    }
}

impl std::fmt::Display for Algorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}

impl std::str::FromStr for Algorithm {
    type Err = DkimError;
    fn from_str(text: &str) -> Result<Algorithm, DkimError> {
        let known = Algorithm::ALL.into_iter().find(|algorithm| algorithm.word() == text);
        known.ok_or_else(|| DkimError::Algorithm(text.to_owned()))
    }
}

/// A private key in memory. Its `Debug` shows none of it.
pub struct PrivateKey {
    pub domain: Domain,
    pub selector: String,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateKey({} of {}, {})", self.selector, self.domain, self.algorithm())
    }
}

impl PrivateKey {
    pub const fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::Rsa(_) => Algorithm::RsaSha256,
            Pair::Ed25519(_) => Algorithm::Ed25519Sha256,
        }
    }

    /// The signature over a SHA-256 digest. RFC 8463 §3: Ed25519 signs the digest as a message.
    ///
    /// # Errors
    /// `Sign` when the library refuses.
    pub fn sign(&self, digest: &Digest) -> Result<Vec<u8>, DkimError> {
        let failed = |_| DkimError::Sign(self.selector.clone());
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign_digest(&RSA_PKCS1_SHA256, digest, &mut signature).map_err(failed)?;
                Ok(signature)
            }
            Pair::Ed25519(pair) => {
                pair.try_sign(digest.as_ref()).map(|s| s.as_ref().to_vec()).map_err(failed)
            }
        }
    }

    /// The text of the TXT record (RFC 6376 §3.6.1, RFC 8463 §4).
    ///
    /// # Errors
    /// `Generate` when the public half cannot be written.
    pub fn record(&self) -> Result<String, DkimError> {
        Ok(match &self.pair {
            Pair::Rsa(pair) => {
                let public = pair.public_key().as_der().map_err(|_| DkimError::Generate)?;
                format!("v=DKIM1; k=rsa; p={}", STANDARD.encode(public.as_ref()))
            }
            Pair::Ed25519(pair) => {
                format!("v=DKIM1; k=ed25519; p={}", STANDARD.encode(pair.public_key().as_ref()))
            }
        })
    }

    /// A key that is in no file: for tests and the simulated internet.
    ///
    /// # Errors
    /// `Generate` when the library has no randomness to give.
    pub fn generate(
        domain: &Domain,
        selector: &str,
        algorithm: Algorithm,
    ) -> Result<PrivateKey, DkimError> {
        let made = match algorithm {
            Algorithm::RsaSha256 => RsaKeyPair::generate(KeySize::Rsa2048).map(Pair::Rsa),
            Algorithm::Ed25519Sha256 => Ed25519KeyPair::generate().map(Pair::Ed25519),
        };
        let pair = made.map_err(|_| DkimError::Generate)?;
        Ok(PrivateKey { domain: domain.clone(), selector: selector.to_owned(), pair })
    }

    /// From the 32 octets of an Ed25519 seed: for the examples of RFC 8463.
    #[cfg(test)]
    pub fn of_seed(domain: &Domain, selector: &str, seed: &[u8]) -> PrivateKey {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("32 octets");
        let pair = Pair::Ed25519(pair);
        PrivateKey { domain: domain.clone(), selector: selector.to_owned(), pair }
    }

    fn pem(&self) -> Result<String, DkimError> {
        let der = match &self.pair {
            Pair::Rsa(pair) => pair.as_der(),
            Pair::Ed25519(pair) => pair.as_der(),
        };
        let text = STANDARD.encode(der.map_err(|_| DkimError::Generate)?.as_ref());
        let mut pem = format!("{PEM_HEAD}\n");
        for at in (0..text.len()).step_by(64) {
            pem.push_str(&text[at..text.len().min(at + 64)]);
            pem.push('\n');
        }
        pem.push_str(PEM_TAIL);
        pem.push('\n');
        Ok(pem)
    }
}

/// The public half of a key just made; what the store keeps of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    pub domain: Domain,
    pub selector: String,
    pub algorithm: Algorithm,
    /// The TXT record to publish at `selector._domainkey.domain`.
    pub record: String,
    pub created_at: Timestamp,
}

impl NewKey {
    pub fn zone_line(&self) -> String {
        zone_line(&self.domain, &self.selector, &self.record)
    }
}

/// A line for a zone file, its strings no longer than DNS allows.
pub fn zone_line(domain: &Domain, selector: &str, record: &str) -> String {
    let mut strings = String::new();
    let mut rest = record;
    while !rest.is_empty() {
        let (head, tail) = rest.split_at(rest.len().min(TXT_STRING_BYTES_MAX));
        strings.push_str(&format!(" \"{head}\""));
        rest = tail;
    }
    format!("{selector}._domainkey.{domain}. 3600 IN TXT ({strings} )")
}

/// The selector of a day: `p20261122`.
pub fn selector_of_day(at: Timestamp) -> String {
    let day: String = at.to_string().chars().take(10).filter(char::is_ascii_digit).collect();
    format!("p{day}")
}

/// Makes an RSA-2048 key with selector `<selector>r` and an Ed25519 key with `<selector>e`; the
/// selector of the day when none is given.
///
/// # Errors
/// `Exists` when a file of that name is there; nothing is left behind then.
pub fn create(
    directory: &Path,
    domain: &Domain,
    selector: Option<&str>,
    at: Timestamp,
) -> Result<[NewKey; 2], DkimError> {
    let selector = selector.map_or_else(|| selector_of_day(at), str::to_ascii_lowercase);
    if !is_selector(&selector) {
        return Err(DkimError::Selector(selector));
    }
    let folder = directory.join(domain.as_str());
    make_folder(directory)?;
    make_folder(&folder)?;
    let first = create_one(&folder, domain, &selector, Algorithm::RsaSha256, at)?;
    let second = match create_one(&folder, domain, &selector, Algorithm::Ed25519Sha256, at) {
        Ok(second) => second,
        Err(error) => {
            let path = path_of(directory, domain, &first.selector, Algorithm::RsaSha256);
            fs::remove_file(&path).map_err(file_error(&path))?;
            return Err(error);
        }
    };
    sync(&folder)?;
    sync(directory)?;
    Ok([first, second])
}

/// Labels of letters, digits and hyphens (RFC 6376 §3.1); so it is safe in a file's name, too.
fn is_selector(text: &str) -> bool {
    text.len() <= SELECTOR_BYTES_MAX
        && text.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

/// Where a key lies.
pub fn path_of(directory: &Path, domain: &Domain, selector: &str, algorithm: Algorithm) -> PathBuf {
    directory.join(domain.as_str()).join(format!("{selector}.{algorithm}.pem"))
}

/// Removes the file of a key that is not used any more.
///
/// # Errors
/// `File` when it cannot be removed.
pub fn remove(
    directory: &Path,
    domain: &Domain,
    selector: &str,
    algorithm: Algorithm,
) -> Result<(), DkimError> {
    let path = path_of(directory, domain, selector, algorithm);
    fs::remove_file(&path).map_err(file_error(&path))
}

fn create_one(
    folder: &Path,
    domain: &Domain,
    selector: &str,
    algorithm: Algorithm,
    at: Timestamp,
) -> Result<NewKey, DkimError> {
    let selector = format!("{selector}{}", algorithm.selector_letter());
    let key = PrivateKey::generate(domain, &selector, algorithm)?;
    let path = folder.join(format!("{selector}.{algorithm}.pem"));
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let mut file = match opened {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(DkimError::Exists(path));
        }
        opened => opened.map_err(file_error(&path))?,
    };
    // The process may run with a umask that takes even the owner's bits.
    file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(file_error(&path))?;
    file.write_all(key.pem()?.as_bytes()).map_err(file_error(&path))?;
    file.sync_all().map_err(file_error(&path))?;
    Ok(NewKey {
        domain: domain.clone(),
        record: key.record()?,
        selector,
        algorithm,
        created_at: at,
    })
}

/// Mode 0700, also when it was there already, as in a checkout, where git keeps no modes.
fn make_folder(folder: &Path) -> Result<(), DkimError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(file_error(folder))?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(file_error(folder))
}

fn sync(folder: &Path) -> Result<(), DkimError> {
    File::open(folder).and_then(|opened| opened.sync_all()).map_err(file_error(folder))
}

fn file_error(path: &Path) -> impl FnOnce(std::io::Error) -> DkimError + '_ {
    |source| DkimError::File { path: path.to_owned(), source }
}

/// Reads a key.
///
/// # Errors
/// `Mode` when others than its owner can read the file or write to its directory; `Unreadable`
/// when it holds no key of this algorithm, or an RSA key below 2048 bits.
pub fn read(
    directory: &Path,
    domain: &Domain,
    selector: &str,
    algorithm: Algorithm,
) -> Result<PrivateKey, DkimError> {
    let path = path_of(directory, domain, selector, algorithm);
    let unreadable =
        |why: &str| DkimError::Unreadable { path: path.clone(), algorithm, why: why.to_owned() };
    let file = File::open(&path).map_err(file_error(&path))?;
    let facts = file.metadata().map_err(file_error(&path))?;
    if !facts.is_file() || facts.len() > PEM_BYTES_MAX {
        return Err(unreadable("it is not a file of the size of a key"));
    }
    refuse_mode(&path, facts.permissions().mode(), 0o077, 0o600)?;
    for folder in path.ancestors().skip(1).take(2) {
        let facts = fs::metadata(folder).map_err(file_error(folder))?;
        refuse_mode(folder, facts.permissions().mode(), 0o022, 0o700)?;
    }
    let text = std::io::read_to_string(file).map_err(file_error(&path))?;
    let der = decode_pem(&text).ok_or_else(|| unreadable("it is not PEM of a PKCS#8 key"))?;
    let rejected = |why: aws_lc_rs::error::KeyRejected| unreadable(&why.to_string());
    let pair = match algorithm {
        Algorithm::RsaSha256 => Pair::Rsa(RsaKeyPair::from_pkcs8(&der).map_err(rejected)?),
        Algorithm::Ed25519Sha256 => {
            Pair::Ed25519(Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(rejected)?)
        }
    };
    match &pair {
        Pair::Rsa(pair) if pair.public_modulus_len() < RSA_BYTES_MIN => {
            Err(unreadable("it is shorter than 2048 bits"))
        }
        _ => Ok(PrivateKey { domain: domain.clone(), selector: selector.to_owned(), pair }),
    }
}

fn refuse_mode(path: &Path, mode: u32, bits: u32, wanted: u32) -> Result<(), DkimError> {
    let mode = mode & 0o7777;
    if mode & bits == 0 {
        return Ok(());
    }
    Err(DkimError::Mode { path: path.to_owned(), mode, wanted })
}

fn decode_pem(text: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(PEM_HEAD)?;
    let (body, _) = rest.split_once(PEM_TAIL)?;
    let body: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain() -> Domain {
        Domain::parse("shop.example").expect("lawful")
    }

    fn digest() -> Digest {
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"mail")
    }

    #[test]
    fn keys_are_made_as_private_files_that_read_back_and_sign() {
        let place = tempfile::tempdir().expect("a directory");
        let directory = place.path().join("dkim-keys");
        let made = create(&directory, &domain(), None, Timestamp::from_seconds(1_795_417_762));
        let made = made.expect("two keys");
        assert_eq!(made[0].selector, "p20261123r");
        assert_eq!(made[1].selector, "p20261123e");
        for key in &made {
            let path = path_of(&directory, &domain(), &key.selector, key.algorithm);
            let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode();
            assert_eq!(mode(&path) & 0o777, 0o600);
            assert_eq!(mode(&directory) & 0o777, 0o700);
            let read = read(&directory, &domain(), &key.selector, key.algorithm).expect("a key");
            assert_eq!(read.record().expect("a record"), key.record);
            assert!(!read.sign(&digest()).expect("a signature").is_empty());
            let pem = fs::read_to_string(&path).expect("text");
            assert!(!format!("{read:?}").contains(&pem[40..60]));
        }
    }

    #[test]
    fn a_key_is_never_overwritten_and_half_a_pair_never_left() {
        let place = tempfile::tempdir().expect("a directory");
        let at = Timestamp(0);
        create(place.path(), &domain(), Some("one"), at).expect("two keys");
        let path = path_of(place.path(), &domain(), "oner", Algorithm::RsaSha256);
        let before = fs::read(&path).expect("there");
        let again = create(place.path(), &domain(), Some("one"), at);
        assert!(matches!(again, Err(DkimError::Exists(_))));
        assert_eq!(fs::read(&path).expect("there"), before);
        let other = path_of(place.path(), &domain(), "twoe", Algorithm::Ed25519Sha256);
        fs::write(&other, "taken").expect("written");
        assert!(create(place.path(), &domain(), Some("two"), at).is_err());
        assert!(!path_of(place.path(), &domain(), "twor", Algorithm::RsaSha256).exists());
    }

    #[test]
    fn a_key_that_others_can_reach_is_refused() {
        let place = tempfile::tempdir().expect("a directory");
        create(place.path(), &domain(), Some("one"), Timestamp(0)).expect("two keys");
        let path = path_of(place.path(), &domain(), "oner", Algorithm::RsaSha256);
        let set = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("changed");
        };
        let read_it = || read(place.path(), &domain(), "oner", Algorithm::RsaSha256);
        set(&path, 0o640);
        let error = read_it().expect_err("refused");
        assert!(error.to_string().contains("chmod 600"), "{error}");
        set(&path, 0o600);
        assert!(read_it().is_ok());
        set(place.path(), 0o777);
        assert!(matches!(read_it(), Err(DkimError::Mode { .. })));
    }

    #[test]
    fn a_selector_cannot_leave_its_directory() {
        let place = tempfile::tempdir().expect("a directory");
        for selector in ["", "..", "../x", "a/b", "a b", "-a", "a.", &"a".repeat(61), "ü"] {
            let answer = create(place.path(), &domain(), Some(selector), Timestamp(0));
            assert!(matches!(answer, Err(DkimError::Selector(_))), "{selector}");
        }
        assert_eq!(fs::read_dir(place.path()).expect("there").count(), 0);
    }

    #[test]
    fn a_record_stands_in_strings_that_dns_can_hold() {
        let key = PrivateKey::generate(&domain(), "one", Algorithm::RsaSha256).expect("a key");
        let record = key.record().expect("a record");
        let line = zone_line(&domain(), "one", &record);
        assert!(
            line.starts_with("one._domainkey.shop.example. 3600 IN TXT ( \"v=DKIM1; k=rsa; p=")
        );
        let strings: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
        assert_eq!(strings.concat(), record);
        assert!(strings.iter().all(|text| text.len() <= TXT_STRING_BYTES_MAX));
    }

    #[test]
    fn rubbish_in_a_key_file_is_named() {
        let place = tempfile::tempdir().expect("a directory");
        make_folder(&place.path().join("shop.example")).expect("made");
        let path = path_of(place.path(), &domain(), "one", Algorithm::RsaSha256);
        fs::write(&path, "rubbish").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("changed");
        let error = read(place.path(), &domain(), "one", Algorithm::RsaSha256).expect_err("bad");
        assert!(error.to_string().contains("one.rsa-sha256.pem"), "{error}");
    }
}
