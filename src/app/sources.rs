//! The sources of the settings, as rows of the ledger.
//!
//! Owns:       what a start makes of `[[source]]`.
//! Promises:   a declared source keeps its id, its pools and its state; one that is declared no
//!             longer is removed; secrets stay out of the ledger.
//! Knows not:  which source carries what.

use std::collections::HashMap;

use tokio::sync::watch;

use super::Watched;
use crate::config::{Settings, SourceSettings};
use crate::model::*;
use crate::schedule::checks::Checker;
use crate::schedule::sources::Sources;
use crate::store::{SourceChange, SourceGiven, SourceTables, Store, StoreError};

/// Brings the declared ones up to date, then reads all of them.
pub async fn open(settings: &Settings, store: &Store) -> Result<Sources, StoreError> {
    let host_name = &settings.node.host_name;
    let known = store.source_tables().await?;
    for row in &known.sources {
        let is_gone = settings.source.iter().all(|setting| setting.name != row.name);
        if row.origin == SourceOrigin::Config && is_gone {
            store.change_sources(SourceChange::Remove(row.id)).await?;
            tracing::info!(source = row.name, "a source is declared no longer");
        }
    }
    for setting in &settings.source {
        let given = given(setting, host_name);
        if !is_known(&known, &given) {
            store.change_sources(SourceChange::Put(Box::new(given))).await?;
        }
    }
    let tables = store.source_tables().await?;
    Ok(Sources::new(tables, host_name, secrets(settings), true))
}

/// Every hour, until the end.
pub fn watch(checker: &Checker, stop: &watch::Receiver<bool>) -> Watched {
    let (checker, mut stop) = (checker.clone(), stop.clone());
    let checks = tokio::spawn(async move {
        tokio::select! {
            () = checker.run() => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    });
    ("the checks of sources", checks)
}

fn is_known(known: &SourceTables, given: &SourceGiven) -> bool {
    known.sources.iter().any(|row| {
        row.name == given.name
            && row.origin == given.origin
            && row.ehlo == given.ehlo
            && row.kind == given.kind
    })
}

fn given(setting: &SourceSettings, host_name: &str) -> SourceGiven {
    let kind = match &setting.relay {
        None => SourceKind::Address {
            bind: setting.address.clone(),
            public: setting.public_address.clone(),
        },
        Some(relay) => SourceKind::Relay(RelayKind {
            host: relay.host.clone(),
            port: relay.port,
            tls: relay.tls,
            mechanism: relay.auth.as_ref().map(|auth| auth.mechanism),
            user: relay.auth.as_ref().map(|auth| auth.user.clone()).unwrap_or_default(),
            secret_file: None,
        }),
    };
    SourceGiven {
        name: setting.name.clone(),
        origin: SourceOrigin::Config,
        ehlo: setting.ehlo.clone().unwrap_or_else(|| host_name.to_owned()),
        kind,
        pool: Some(PoolId::DEFAULT),
    }
}

fn secrets(settings: &Settings) -> HashMap<String, String> {
    let secret = |setting: &SourceSettings| {
        let auth = setting.relay.as_ref()?.auth.as_ref()?;
        Some((setting.name.clone(), auth.secret.clone()))
    };
    settings.source.iter().filter_map(secret).collect()
}
