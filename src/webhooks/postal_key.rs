//! The key that signs calls in Postal's format.
//!
//! Owns:       one RSA key in a file of the data directory, made when it is first needed.
//! Promises:   the file has mode 0600 and is whole or not there; the private half stays inside.
//! Knows not:  what is signed.
//!
//! Receivers that were written for Postal check RSA-SHA1 (X-Postal-Signature); newer ones check
//! RSA-SHA256. The library signs no SHA-1 in its safe interface, so one call goes below it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::token::file;

const PEM_HEAD: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_TAIL: &str = "-----END PRIVATE KEY-----";
/// In the public half of a 2048-bit key (RFC 3279 §2.3.1) the modulus lies here, the exponent 65537
/// behind it.
const PUBLIC_BYTES: usize = 294;
const MODULUS: std::ops::Range<usize> = 33..289;
const EXPONENT: std::ops::Range<usize> = 291..294;

#[derive(Debug, thiserror::Error)]
pub enum PostalKeyError {
    #[error("the key of Postal's webhooks in {path} cannot be used: {why}")]
    File { path: String, why: io::Error },
    #[error("{0} holds no RSA key of 2048 bits")]
    Broken(String),
    #[error("the key of Postal's webhooks cannot be made or does not sign")]
    Library,
}

/// Where the key lies; read or made once.
#[derive(Clone)]
pub struct PostalKeys {
    path: PathBuf,
    key: Arc<OnceCell<Arc<PostalKey>>>,
}

impl PostalKeys {
    pub fn at(path: PathBuf) -> PostalKeys {
        PostalKeys { path, key: Arc::default() }
    }

    pub async fn key(&self) -> Result<Arc<PostalKey>, PostalKeyError> {
        let path = self.path.clone();
        let open = || async move {
            // Making one takes a tenth of a second.
            let opened = tokio::task::spawn_blocking(move || PostalKey::open(&path)).await;
            opened.map_err(|_| PostalKeyError::Library)?.map(Arc::new)
        };
        self.key.get_or_try_init(open).await.cloned()
    }
}

pub struct PostalKey {
    pair: RsaKeyPair,
    /// PKCS#8.
    private: Vec<u8>,
    modulus: String,
    exponent: String,
}

impl PostalKey {
    fn open(path: &Path) -> Result<PostalKey, PostalKeyError> {
        let failed = |why| PostalKeyError::File { path: path.display().to_string(), why };
        match file::read(path) {
            Ok(text) => {
                let broken = || PostalKeyError::Broken(path.display().to_string());
                let der = of_pem(&text).ok_or_else(broken)?;
                PostalKey::of(der).ok_or_else(broken)
            }
            Err(why) if why.kind() == io::ErrorKind::NotFound => {
                let pair =
                    RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| PostalKeyError::Library)?;
                let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair);
                let der = der.map_err(|_| PostalKeyError::Library)?.as_ref().to_vec();
                file::write(path, &pem(&der)).map_err(failed)?;
                PostalKey::of(der).ok_or(PostalKeyError::Library)
            }
            Err(why) => Err(failed(why)),
        }
    }

    fn of(private: Vec<u8>) -> Option<PostalKey> {
        let pair = RsaKeyPair::from_pkcs8(&private).ok()?;
        let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).ok()?;
        let public = public.as_ref();
        if public.len() != PUBLIC_BYTES {
            return None;
        }
        let modulus = URL_SAFE_NO_PAD.encode(&public[MODULUS]);
        let exponent = URL_SAFE_NO_PAD.encode(&public[EXPONENT]);
        Some(PostalKey { pair, private, modulus, exponent })
    }

    /// The key's name: its thumbprint (RFC 7638).
    pub fn id(&self) -> String {
        let (e, n) = (&self.exponent, &self.modulus);
        let text = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
        URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
    }

    /// The public half (RFC 7517).
    pub fn set(&self) -> Value {
        let key = json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.id(),
            "n": self.modulus, "e": self.exponent });
        json!({ "keys": [key] })
    }

    /// The headers of a call with this body.
    pub fn headers(&self, body: &[u8]) -> Result<[(String, String); 3], PostalKeyError> {
        let failed = |_| PostalKeyError::Library;
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let hash = digest(&SHA256, body);
        self.pair.sign_digest(&RSA_PKCS1_SHA256, &hash, &mut signature).map_err(failed)?;
        let legacy = self.sign_sha1(body).ok_or(PostalKeyError::Library)?;
        Ok([
            ("x-postal-signature".into(), STANDARD.encode(legacy)),
            ("x-postal-signature-256".into(), STANDARD.encode(signature)),
            ("x-postal-signature-kid".into(), self.id()),
        ])
    }

    fn sign_sha1(&self, body: &[u8]) -> Option<Vec<u8>> {
        use aws_lc_sys::{
            CBS, CBS_init, EVP_PKEY_free, EVP_PKEY_get0_RSA, EVP_parse_private_key, NID_sha1,
            RSA_sign, RSA_size,
        };
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, body);
        let hash = hash.as_ref();
        let mut octets = CBS { data: std::ptr::null(), len: 0 };
        // SAFETY: the pointers come with the lengths of what they point to, which outlives the
        // calls; `signature` has the octets that RSA_size tells; the key is freed once, and the
        // RSA structure that lies within it is not used after.
        unsafe {
            CBS_init(&raw mut octets, self.private.as_ptr(), self.private.len());
            let key = EVP_parse_private_key(&raw mut octets);
            if key.is_null() {
                return None;
            }
            let rsa = EVP_PKEY_get0_RSA(key);
            let mut signature = vec![0; usize::try_from(RSA_size(rsa)).unwrap_or(0)];
            let mut length = 0;
            let is_signed = RSA_sign(
                NID_sha1,
                hash.as_ptr(),
                hash.len(),
                signature.as_mut_ptr(),
                &raw mut length,
                rsa,
            );
            EVP_PKEY_free(key);
            let is_whole = is_signed == 1 && length as usize == signature.len();
            is_whole.then_some(signature)
        }
    }
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("{PEM_HEAD}\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem + PEM_TAIL + "\n"
}

fn of_pem(text: &str) -> Option<Vec<u8>> {
    let inner = text.trim().strip_prefix(PEM_HEAD)?.strip_suffix(PEM_TAIL)?;
    let inner: String = inner.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(inner).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{
        RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256,
        RsaPublicKeyComponents,
    };

    #[tokio::test]
    async fn both_signatures_verify_by_the_key_set_also_after_a_restart() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("postal-webhooks.pem");
        let first = PostalKeys::at(path.clone()).key().await.expect("made");
        let again = PostalKeys::at(path).key().await.expect("read");
        assert_eq!(first.id(), again.id());
        let set = first.set();
        let octets = |name: &str| {
            URL_SAFE_NO_PAD.decode(set["keys"][0][name].as_str().expect("text")).expect("base64")
        };
        let public = RsaPublicKeyComponents { n: octets("n"), e: octets("e") };
        let [sha1, sha256, kid] = again.headers(b"{}").expect("signed");
        let signature = |text: &str| STANDARD.decode(text).expect("base64");
        let (legacy, usual) =
            (&RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, &RSA_PKCS1_2048_8192_SHA256);
        assert!(public.verify(legacy, b"{}", &signature(&sha1.1)).is_ok());
        assert!(public.verify(usual, b"{}", &signature(&sha256.1)).is_ok());
        assert!(public.verify(usual, b"{ }", &signature(&sha256.1)).is_err());
        assert_eq!(set["keys"][0]["kid"], kid.1);
    }
}
