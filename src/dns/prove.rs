//! Would a receiver verify this signature, with what DNS says now?
//!
//! Owns:       the library that verifies, and the one record it is given.
//! Promises:   nothing is asked of DNS here: the record is what its own name servers said.
//! Knows not:  who signed.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::hickory_resolver::config::{ResolverConfig, ResolverOpts};
use mail_auth::{
    AuthenticatedMessage, DkimResult, MessageAuthenticator, Parameters, ResolverCache, Txt,
};
use parking_lot::Mutex;

struct Given<K, V>(Mutex<HashMap<K, V>>);

impl<K: Hash + Eq, V: Clone> ResolverCache<K, V> for Given<K, V> {
    fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.lock().get(key).cloned()
    }

    fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.lock().remove(key)
    }

    fn insert(&self, key: K, value: V, _: Instant) {
        self.0.lock().insert(key, value);
    }
}

/// Whether all signatures of the mail pass, when `text` stands at `name`.
///
/// # Errors
/// Why not.
pub async fn signatures(mail: &[u8], name: &str, text: &str) -> Result<(), String> {
    let record = DomainKey::parse(text.as_bytes());
    let record = record.map_err(|why| format!("the record cannot be read: {why}"))?;
    let texts = Given(Mutex::new(HashMap::new()));
    let later = Instant::now() + Duration::from_secs(60);
    texts.insert(format!("{name}.").into_boxed_str(), Txt::from(record), later);
    let nobody = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
    let verifier = MessageAuthenticator::new(nobody, ResolverOpts::default());
    let verifier = verifier.map_err(|why| why.to_string())?;
    let message = AuthenticatedMessage::parse(mail).ok_or("the probe is no mail")?;
    let parameters = Parameters::new(&message).with_txt_cache(&texts);
    let outputs = verifier.verify_dkim(parameters).await;
    match outputs.iter().find(|output| *output.result() != DkimResult::Pass) {
        Some(failed) => Err(format!("{:?}", failed.result())),
        None if outputs.is_empty() => Err("it has no signature".to_owned()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dkim::{Algorithm, PrivateKey, probe};
    use crate::model::Domain;

    #[tokio::test]
    async fn a_key_is_proved_by_its_own_record_alone() {
        let domain = Domain::parse("a.example").expect("lawful");
        for algorithm in Algorithm::ALL {
            let key = PrivateKey::generate(&domain, "s", algorithm).expect("a key");
            let other = PrivateKey::generate(&domain, "s", algorithm).expect("a key");
            let mail = probe::signed(&key).expect("signed");
            let name = "s._domainkey.a.example";
            let record = key.record().expect("a record");
            assert_eq!(signatures(&mail, name, &record).await, Ok(()));
            let wrong = other.record().expect("a record");
            assert!(signatures(&mail, name, &wrong).await.is_err());
            assert!(signatures(&mail, name, "v=DKIM1; p=").await.is_err());
        }
    }
}
