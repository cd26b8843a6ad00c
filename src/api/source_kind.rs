//! What a source is said to be: an address of this host, or a relay.
//!
//! Owns:       the form in which it is given, and what of it is refused.
//! Promises:   what passes could send from this host, as far as can be told without sending.
//! Knows not:  names, pools, quotas.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::ApiState;
use super::problem::Problem;
use crate::model::*;
use crate::schedule::{presets, sources};
use crate::store::SourceTables;

/// An address, or a relay.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceIs {
    /// The name it gives in EHLO; it must resolve.
    pub ehlo: Domain,
    /// At most one of each family, of this host.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub address: Vec<IpAddr>,
    /// What the world sees instead of them, behind NAT.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub public_address: Vec<IpAddr>,
    #[serde(default)]
    pub relay: Option<NewRelay>,
}

impl SourceIs {
    /// Its EHLO name and what it is to be, if nothing speaks against it; `name`: whose it is.
    pub(super) async fn kind(
        self,
        api: &ApiState,
        name: &str,
    ) -> Result<(String, SourceKind), Problem> {
        let tables = api.store.source_tables().await?;
        let kind = match self.relay {
            Some(_) if !self.address.is_empty() => {
                let why = "a source is an address or a relay, not both";
                return Err(Problem::of_field("relay", why));
            }
            Some(relay) => SourceKind::Relay(relay.kind()?),
            None => address_kind(&tables, name, self.address, self.public_address)?,
        };
        sources::validate(self.ehlo.as_str(), &kind)
            .map_err(|fault| Problem::of_field(fault.field, fault.why))?;
        if let Some(checker) = &api.checker
            && matches!(checker.resolves(self.ehlo.as_str()).await, Ok(false))
        {
            let why = format!("the name {} does not resolve", self.ehlo);
            return Err(Problem::of_field("ehlo", why));
        }
        Ok((self.ehlo.as_str().to_owned(), kind))
    }
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRelay {
    /// ses, sendgrid, mailgun, sparkpost, postmark, elastic_email or gmail.
    #[serde(default)]
    preset: Option<String>,
    #[serde(default)]
    region: Option<String>,
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    tls: Option<TlsMode>,
    #[serde(default)]
    mechanism: Option<RelayMechanism>,
    #[serde(default)]
    user: Option<String>,
    /// A file of the daemon's host with the password or token on one line.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    secret_file: Option<PathBuf>,
}

impl NewRelay {
    fn kind(self) -> Result<RelayKind, Problem> {
        let mut kind = match &self.preset {
            Some(name) => presets::relay(name, self.region.as_deref())
                .map_err(|why| Problem::of_field("relay.preset", why))?,
            None => RelayKind {
                host: String::new(),
                port: 587,
                tls: TlsMode::Verified,
                mechanism: self.user.as_ref().map(|_| RelayMechanism::Plain),
                user: String::new(),
                secret_file: None,
            },
        };
        if let Some(host) = self.host {
            kind.host = host;
        }
        kind.port = self.port.unwrap_or(kind.port);
        kind.tls = self.tls.unwrap_or(kind.tls);
        kind.mechanism = self.mechanism.or(kind.mechanism);
        kind.user = self.user.unwrap_or(kind.user);
        kind.secret_file = self.secret_file;
        if kind.host.parse::<IpAddr>().is_err() && Domain::parse(&kind.host).is_err() {
            return Err(Problem::of_field("relay.host", "must be a host name or an address"));
        }
        if kind.mechanism.is_some() && kind.tls == TlsMode::None && !is_loopback(&kind.host) {
            let why = "a password is not sent in the clear to another host";
            return Err(Problem::of_field("relay.tls", why));
        }
        match (kind.mechanism, &kind.secret_file) {
            (Some(_), None) => Err(Problem::of_field("relay.secret_file", "is missing")),
            (Some(_), Some(file)) => match sources::secret_of(file) {
                Ok(_) => Ok(kind),
                Err(why) => Err(Problem::of_field("relay.secret_file", why)),
            },
            (None, _) => Ok(kind),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// `name`: whose addresses they are.
fn address_kind(
    tables: &SourceTables,
    name: &str,
    bind: Vec<IpAddr>,
    public: Vec<IpAddr>,
) -> Result<SourceKind, Problem> {
    if bind.is_empty() {
        return Err(Problem::of_field("address", "is missing, as is a relay"));
    }
    for (field, all) in [("address", &bind), ("public_address", &public)] {
        let of_v4 = all.iter().filter(|address| address.is_ipv4()).count();
        if of_v4 > 1 || all.len() - of_v4 > 1 {
            return Err(Problem::of_field(field, "at most one address of each family"));
        }
    }
    let taken = |address: &IpAddr| {
        let has_it =
            |row: &&SourceRow| row.name != name && row.kind.own_addresses().contains(address);
        tables.sources.iter().find(has_it).map(|row| row.name.clone())
    };
    if let Some(name) = bind.iter().find_map(taken) {
        return Err(Problem::of_field("address", format!("the source {name} has it already")));
    }
    Ok(SourceKind::Address { bind, public })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay(json: serde_json::Value) -> Result<RelayKind, Problem> {
        serde_json::from_value::<NewRelay>(json).expect("its form is right").kind()
    }

    #[test]
    fn a_relay_that_could_not_sign_in_is_refused_with_the_field() {
        let field = |json| relay(json).expect_err("refused").field;
        let none = serde_json::json!({ "host": "relay.example", "user": "u" });
        assert_eq!(field(none).as_deref(), Some("relay.secret_file"));
        let absent = serde_json::json!({ "preset": "ses", "user": "u", "secret_file": "/absent" });
        assert_eq!(field(absent).as_deref(), Some("relay.secret_file"));
        let clear = serde_json::json!({ "host": "relay.example", "user": "u", "tls": "none" });
        assert_eq!(field(clear).as_deref(), Some("relay.tls"));
        let odd = serde_json::json!({ "host": "not a host" });
        assert_eq!(field(odd).as_deref(), Some("relay.host"));
        let open = relay(serde_json::json!({ "host": "10.0.0.7", "port": 25 })).expect("lawful");
        assert_eq!((open.port, open.mechanism), (25, None));
    }
}
