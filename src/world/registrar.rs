//! Publishes the DKIM keys of the demo's own domain, as its owner would at his DNS provider.
//!
//! Owns:       the key records beneath that domain in the simulated DNS.
//! Promises:   a key that is made while the demo runs is published within a second or so.
//! Knows not:  who made the key.

use std::collections::BTreeSet;
use std::time::Duration;

use super::dns::{Data, ZoneEditor};
use crate::model::Domain;
use crate::store::{DkimKeyRow, Store};

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Goes on until its task is dropped.
pub(super) async fn publish_keys(store: Store, zones: ZoneEditor, own: Domain) {
    let mut published = BTreeSet::new();
    loop {
        match store.dkim_keys().await {
            Ok(keys) => {
                let of_own = keys.into_iter().filter(|key| key.domain == own);
                let new = of_own.filter(|key| published.insert(key.selector.clone()));
                new.for_each(|key| publish(&zones, &key));
            }
            Err(error) => tracing::debug!(reason = %error, "the demo's keys are not read"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn publish(zones: &ZoneEditor, key: &DkimKeyRow) {
    let name = format!("{}._domainkey.{}", key.selector, key.domain);
    zones.change(|zones| {
        zones.remove(&name);
        zones.add(&name, Data::Text(key.record.clone()));
    });
}
