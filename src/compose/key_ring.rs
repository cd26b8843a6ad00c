//! Which keys sign for which domain.
//!
//! Owns:       the choice among several keys, and of a parent's keys for a domain without any.
//! Promises:   a key that cannot be read is told, never silently left out.
//! Knows not:  mail.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::dkim::keys::{Algorithm, NewKey, PrivateKey, read};
use crate::model::*;
use crate::store::{DkimKeyRow, DomainRow, MessageRow};

/// What signs for a domain.
#[derive(Clone, Debug)]
pub enum Keys {
    /// At most one for each algorithm, RSA first.
    Ready(Arc<[PrivateKey]>),
    /// It has keys, but they cannot be used.
    Broken { domain: Domain, why: String },
}

/// The keys of all domains; replaced as a whole.
#[derive(Debug, Default)]
pub struct KeyRing {
    by_id: HashMap<DomainId, Keys>,
    by_name: HashMap<(OrganizationId, Domain), Keys>,
}

impl KeyRing {
    /// Reads the newest proved key of each algorithm for each domain that the rows name: until DNS
    /// has a new key, the one before it signs. A domain without
    /// keys of its own uses those of its nearest parent in the same organization, which DMARC's
    /// relaxed alignment (RFC 7489 §3.1.1) counts as the same.
    pub fn read(directory: &Path, domains: &[DomainRow], rows: &[DkimKeyRow]) -> KeyRing {
        let proved = rows.iter().filter(|row| row.proved_at.is_some());
        let rows: Vec<DkimKeyRow> = proved.cloned().collect();
        let mut own: HashMap<&Domain, Keys> = HashMap::new();
        for row in &rows {
            if !own.contains_key(&row.domain) {
                own.insert(&row.domain, keys_of_domain(directory, &row.domain, &rows));
            }
        }
        let mut ring = KeyRing::default();
        for row in domains {
            if let Some(keys) = nearest(row, domains, &own) {
                ring.add(row.organization, row.id, &row.name, keys.clone());
            }
        }
        ring
    }

    /// For tests and the simulated internet; `read` does it for files.
    pub fn add(&mut self, organization: OrganizationId, id: DomainId, name: &Domain, keys: Keys) {
        self.by_id.insert(id, keys.clone());
        self.by_name.insert((organization, name.clone()), keys);
    }

    /// By the domain of From; of mail without one, such as the daemon's own, by that of the
    /// envelope sender; of the daemon's own, which has none, by what `own` says of its stream.
    pub fn keys_of(&self, message: &MessageRow, own: Option<&(StreamId, Domain)>) -> Option<Keys> {
        if let Some(id) = message.domain {
            return self.by_id.get(&id).cloned();
        }
        let sender = message.sender.0.as_ref().map(Address::domain);
        let own = own.filter(|(stream, _)| *stream == message.stream).map(|(_, domain)| domain);
        let mut name = sender.or(own)?.clone();
        loop {
            if let Some(keys) = self.by_name.get(&(message.organization, name.clone())) {
                return Some(keys.clone());
            }
            let (_, parent) = name.as_str().split_once('.')?;
            name = Domain::parse(parent).ok()?;
        }
    }
}

/// The keys of the domain, or of the longest of its parents that has some.
fn nearest<'a>(
    row: &DomainRow,
    domains: &[DomainRow],
    own: &'a HashMap<&Domain, Keys>,
) -> Option<&'a Keys> {
    domains
        .iter()
        .filter(|other| other.organization == row.organization && row.name.is_within(&other.name))
        .filter_map(|other| own.get(&other.name).map(|keys| (other.name.as_str().len(), keys)))
        .max_by_key(|(length, _)| *length)
        .map(|(_, keys)| keys)
}

fn keys_of_domain(directory: &Path, domain: &Domain, rows: &[DkimKeyRow]) -> Keys {
    let newest = |algorithm: Algorithm| {
        let named = |row: &&DkimKeyRow| row.domain == *domain && row.algorithm == algorithm.word();
        rows.iter().filter(named).max_by_key(|row| row.created_at)
    };
    let mut keys = Vec::with_capacity(Algorithm::ALL.len());
    for algorithm in Algorithm::ALL {
        let Some(row) = newest(algorithm) else { continue };
        match read(directory, domain, &row.selector, algorithm) {
            Ok(key) => keys.push(key),
            Err(error) => {
                tracing::error!(%domain, reason = %error, "mail of this domain must wait");
                return Keys::Broken { domain: domain.clone(), why: error.to_string() };
            }
        }
    }
    if keys.is_empty() {
        let why = "the store names no algorithm that we sign with".to_owned();
        return Keys::Broken { domain: domain.clone(), why };
    }
    Keys::Ready(keys.into())
}

/// What `dkim::keys::create` made, as the store keeps it.
impl From<NewKey> for DkimKeyRow {
    fn from(key: NewKey) -> DkimKeyRow {
        DkimKeyRow {
            domain: key.domain,
            selector: key.selector,
            algorithm: key.algorithm.word().to_owned(),
            record: key.record,
            created_at: key.created_at,
            proved_at: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dkim::keys::create;

    fn domain(text: &str) -> Domain {
        Domain::parse(text).expect("lawful")
    }

    fn row(id: i64, organization: i64, name: &str) -> DomainRow {
        DomainRow {
            id: DomainId(id),
            organization: OrganizationId(organization),
            name: domain(name),
            created_at: Timestamp(0),
            verified_at: Some(Timestamp(0)),
            checked_at: None,
            checked: Default::default(),
        }
    }

    fn selectors(ring: &KeyRing, id: i64) -> Vec<String> {
        match ring.by_id.get(&DomainId(id)) {
            Some(Keys::Ready(keys)) => keys.iter().map(|key| key.selector.clone()).collect(),
            _ => Vec::new(),
        }
    }

    fn proved(key: NewKey) -> DkimKeyRow {
        DkimKeyRow { proved_at: Some(key.created_at), ..DkimKeyRow::from(key) }
    }

    #[test]
    fn a_key_that_was_not_proved_signs_nothing() {
        let place = tempfile::tempdir().expect("a directory");
        let made = create(place.path(), &domain("a.example"), Some("old"), Timestamp(1));
        let mut rows: Vec<DkimKeyRow> = made.expect("two keys").map(proved).into();
        let made = create(place.path(), &domain("a.example"), Some("new"), Timestamp(2));
        rows.extend(made.expect("two keys").map(DkimKeyRow::from));
        let domains = [row(1, 1, "a.example")];
        let ring = KeyRing::read(place.path(), &domains, &rows);
        assert_eq!(selectors(&ring, 1), ["oldr", "olde"]);
        let ring = KeyRing::read(place.path(), &domains, &rows[2..]);
        assert!(selectors(&ring, 1).is_empty());
    }

    #[test]
    fn the_newest_key_of_each_algorithm_signs_for_a_domain_and_those_below_it() {
        let place = tempfile::tempdir().expect("a directory");
        let mut rows: Vec<DkimKeyRow> = Vec::new();
        for (selector, at) in [("new", 2), ("old", 1)] {
            let made = create(place.path(), &domain("a.example"), Some(selector), Timestamp(at));
            rows.extend(made.expect("two keys").map(proved));
        }
        let domains = [row(1, 1, "a.example"), row(2, 1, "b.a.example"), row(3, 2, "c.a.example")];
        let ring = KeyRing::read(place.path(), &domains, &rows);
        assert_eq!(selectors(&ring, 1), ["newr", "newe"]);
        assert_eq!(selectors(&ring, 2), ["newr", "newe"]);
        assert!(selectors(&ring, 3).is_empty(), "another organization's keys");
    }

    #[test]
    fn a_missing_file_is_told() {
        let place = tempfile::tempdir().expect("a directory");
        let made = create(place.path(), &domain("a.example"), Some("s"), Timestamp(1));
        let rows = made.expect("two keys").map(proved);
        std::fs::remove_file(place.path().join("a.example/se.ed25519-sha256.pem")).expect("gone");
        let ring = KeyRing::read(place.path(), &[row(1, 1, "a.example")], &rows);
        let keys = ring.by_id.get(&DomainId(1));
        assert!(matches!(keys, Some(Keys::Broken { why, .. }) if why.contains("se.ed25519")));
    }
}
