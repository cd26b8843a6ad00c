//! A declared source as `deliver` wants it, and what of it is wrong.
//!
//! Owns:       how its addresses, its relay and its secret are read.
//! Promises:   a source that could not send from this host is told with the field.
//! Knows not:  pools, health, mail.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use crate::deliver::{Relay, RelayAuth, Source, SourceFault};
use crate::model::*;

/// Of a relay's password.
const SECRET_BYTES_MAX: usize = 16 * 1024;

/// A source as `deliver` wants it, and what keeps it from being one.
pub(super) fn built(
    row: &SourceRow,
    secrets: &HashMap<String, String>,
) -> (Source, Option<String>) {
    let mut source =
        Source { id: row.id, name: row.name.clone(), ehlo: row.ehlo.clone(), ..Source::default() };
    let mut fault = None;
    match &row.kind {
        SourceKind::Address { bind, .. } => {
            source.bind_v4 = bind.iter().find_map(|address| match address {
                IpAddr::V4(address) => Some(*address),
                IpAddr::V6(_) => None,
            });
            source.bind_v6 = bind.iter().find_map(|address| match address {
                IpAddr::V6(address) => Some(*address),
                IpAddr::V4(_) => None,
            });
        }
        SourceKind::Relay(relay) => {
            let auth = auth_of(relay, secrets.get(&row.name)).unwrap_or_else(|why| {
                fault = Some(why);
                None
            });
            let (host, port, tls) = (relay.host.clone(), relay.port, relay.tls);
            source.relay = Some(Arc::new(Relay { host, port, tls, auth }));
        }
    }
    (source, fault)
}

/// How to sign in at a relay; `given`: the secret that stands in the settings.
fn auth_of(relay: &RelayKind, given: Option<&String>) -> Result<Option<Arc<RelayAuth>>, String> {
    let Some(mechanism) = relay.mechanism else { return Ok(None) };
    let secret = match (&relay.secret_file, given) {
        (Some(file), _) => secret_of(file)?,
        (None, Some(secret)) => secret.clone(),
        (None, None) => return Err("no secret is given for the relay".to_owned()),
    };
    Ok(Some(Arc::new(RelayAuth { mechanism, user: relay.user.clone(), secret })))
}

/// What of a source that is to be declared is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub field: &'static str,
    pub why: String,
}

/// Whether it could send from this host, as far as nobody else has to be asked.
pub fn validate(ehlo: &str, kind: &SourceKind) -> Result<(), Fault> {
    let row = SourceRow {
        id: SourceId::SYSTEM,
        name: String::new(),
        origin: SourceOrigin::Admin,
        state: SourceState::Active,
        ehlo: ehlo.to_owned(),
        kind: kind.clone(),
        is_overridden: false,
        created_at: Timestamp(0),
    };
    let (source, _) = built(&row, &HashMap::new());
    source.validate().map_err(|fault| Fault {
        field: match fault {
            SourceFault::NotPlumbed(..) => "address",
            SourceFault::NoName(_) => "ehlo",
            SourceFault::NoHost => "relay.host",
        },
        why: fault.to_string(),
    })
}

/// One line of a file.
pub fn secret_of(file: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(file).map_err(|why| format!("{}: {why}", file.display()))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() || secret.len() > SECRET_BYTES_MAX || secret.contains(['\r', '\n', '\0']) {
        return Err(format!("{}: holds no secret of one line", file.display()));
    }
    Ok(secret.to_owned())
}
