//! Who owns what, in memory: a picture of the tables, replaced as a whole.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::Identity;
use crate::model::*;
use crate::store::{CredentialRow, DomainRow, StreamRow};
use crate::wire::network::Network;

/// What the directory is made of.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    pub credentials: Vec<CredentialRow>,
    pub domains: Vec<DomainRow>,
    pub streams: Vec<StreamRow>,
    pub stream_tracking: Vec<(StreamId, Tracking)>,
    pub domain_tracking: Vec<(DomainId, Tracking)>,
}

pub(super) struct Entry {
    pub identity: Identity,
    pub hash: Arc<str>,
    /// The secret before the last rotation.
    pub hash_before: Option<Arc<str>>,
    /// Where it may be used from; empty: everywhere.
    pub networks: Vec<Network>,
    pub used_at: Option<Timestamp>,
}

impl Entry {
    pub fn is_hash(&self, hash: &Arc<str>) -> bool {
        self.hash == *hash || self.hash_before.as_ref() == Some(hash)
    }

    pub fn may_be_used(&self, peer: IpAddr, now: Timestamp) -> bool {
        let near = self.identity.rules.networks.is_empty()
            || self.networks.iter().any(|network| network.contains(peer));
        near && !self.identity.rules.is_expired(now)
    }
}

/// One that cannot be read is left out and holds nobody: it was meant to keep others away.
fn networks(row: &CredentialRow) -> Vec<Network> {
    let mut networks = Vec::new();
    for text in &row.rules.networks {
        match Network::parse(text) {
            Ok(network) => networks.push(network),
            Err(why) => tracing::error!(credential = %row.name, %why, "a network cannot be read"),
        }
    }
    networks
}

#[derive(Default)]
pub(super) struct Directory {
    /// By name; revoked ones are not here.
    credentials: HashMap<String, Entry>,
    trusted: Vec<(Network, Identity)>,
    domains: HashMap<OrganizationId, HashMap<Box<str>, DomainId>>,
    streams: HashMap<OrganizationId, HashMap<String, StreamId>>,
    ranks: HashMap<StreamId, i64>,
    stream_tracking: HashMap<StreamId, Tracking>,
    domain_tracking: HashMap<DomainId, Tracking>,
}

impl Directory {
    pub fn of(rows: Rows, trusted: &[(Network, String)]) -> Directory {
        let mut directory = Directory::default();
        for row in rows.credentials.into_iter().filter(|row| row.revoked_at.is_none()) {
            let networks = networks(&row);
            let identity = Identity {
                credential: Some(row.id),
                name: row.name.clone(),
                organization: row.organization,
                stream: row.stream,
                rules: Arc::new(row.rules),
            };
            let entry = Entry {
                identity,
                hash: row.secret_hash.into(),
                hash_before: row.secret_hash_before.map(Into::into),
                networks,
                used_at: row.used_at,
            };
            directory.credentials.insert(row.name, entry);
        }
        for row in rows.domains.into_iter().filter(|row| row.verified_at.is_some()) {
            let names = directory.domains.entry(row.organization).or_default();
            names.insert(row.name.as_str().into(), row.id);
        }
        for row in rows.streams {
            directory.ranks.insert(row.id, i64::from(row.class == "marketing"));
            directory.streams.entry(row.organization).or_default().insert(row.name, row.id);
        }
        directory.stream_tracking = rows.stream_tracking.into_iter().collect();
        directory.domain_tracking = rows.domain_tracking.into_iter().collect();
        for (network, name) in trusted {
            match directory.credentials.get(name) {
                Some(entry) => directory.trusted.push((*network, entry.identity.clone())),
                None => tracing::warn!(
                    %network, credential = %name,
                    "a trusted network stands for a credential that there is not: nobody in it is \
                     trusted; add the credential or change [[trusted]]"
                ),
            }
        }
        directory
    }

    pub fn credential(&self, name: &str) -> Option<&Entry> {
        self.credentials.get(name)
    }

    pub fn trusted(&self, peer: IpAddr) -> Option<&Identity> {
        let found = self.trusted.iter().find(|(network, _)| network.contains(peer));
        found.map(|(_, identity)| identity)
    }

    pub fn sending_domain(
        &self,
        organization: OrganizationId,
        domain: &Domain,
    ) -> Option<DomainId> {
        let names = self.domains.get(&organization)?;
        let mut rest = domain.as_str();
        loop {
            if let Some(id) = names.get(rest) {
                return Some(*id);
            }
            rest = rest.split_once('.')?.1;
        }
    }

    pub fn stream(&self, organization: OrganizationId, name: &str) -> Option<StreamId> {
        self.streams.get(&organization)?.get(name).copied()
    }

    pub fn rank(&self, stream: StreamId) -> i64 {
        self.ranks.get(&stream).copied().unwrap_or(0)
    }

    /// The stream is nearer to the mail than its domain.
    pub fn tracking(&self, stream: StreamId, domain: DomainId) -> Tracking {
        let own = self.stream_tracking.get(&stream);
        own.or_else(|| self.domain_tracking.get(&domain)).copied().unwrap_or(Tracking::None)
    }
}
