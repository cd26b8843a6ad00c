//! What can be asked of a source, be it an address of ours or a relay.
//!
//! Owns:       the one contract of both: validate, connect, capabilities, send, status.
//! Promises:   whoever uses a source need not know which of the two it is.
//! Knows not:  which source is the right one.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use super::{Connection, ConnectionFacts, Dialer, Relay, Source, Target, TargetHost};
use crate::model::*;

/// Why a source cannot send at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceFault {
    #[error("{0} is not an address of this host ({1})")]
    NotPlumbed(IpAddr, String),
    #[error("'{0}' is no name for EHLO")]
    NoName(String),
    #[error("the relay has no host")]
    NoHost,
}

/// What one try of a source saw.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Trial {
    pub facts: ConnectionFacts,
    /// What the host announced; empty without a connection.
    pub capabilities: Vec<String>,
    /// Why there is no connection.
    pub failure: Option<String>,
    pub dialogue: Vec<String>,
}

impl Default for Source {
    fn default() -> Source {
        Source {
            id: SourceId::SYSTEM,
            name: "default".to_owned(),
            bind_v4: None,
            bind_v6: None,
            ehlo: "localhost".to_owned(),
            relay: None,
        }
    }
}

impl Source {
    /// Whether it can send, as far as this host alone can tell. Asks nobody.
    pub fn validate(&self) -> Result<(), SourceFault> {
        if Domain::parse(&self.ehlo).is_err() {
            return Err(SourceFault::NoName(self.ehlo.clone()));
        }
        if self.relay.as_ref().is_some_and(|relay| relay.host.is_empty()) {
            return Err(SourceFault::NoHost);
        }
        let (v4, v6) = (self.bind_v4.map(IpAddr::V4), self.bind_v6.map(IpAddr::V6));
        for address in [v4, v6].into_iter().flatten() {
            // A socket that is bound and never used: the system knows its addresses best.
            UdpSocket::bind(SocketAddr::new(address, 0))
                .map_err(|why| SourceFault::NotPlumbed(address, why.to_string()))?;
        }
        Ok(())
    }

    /// Where a connection goes: to the hosts of the recipient's domain, or to the relay.
    pub fn target(&self, hosts: Target, relay_addresses: &[IpAddr]) -> Target {
        let Some(relay) = &self.relay else { return hosts };
        relay.target(relay_addresses, hosts.preference)
    }
}

impl Relay {
    pub fn target(&self, addresses: &[IpAddr], preference: IpPreference) -> Target {
        let addresses = addresses.iter().map(|ip| SocketAddr::new(*ip, self.port)).collect();
        Target {
            hosts: vec![TargetHost { name: self.host.clone(), addresses }],
            tls: self.tls,
            preference,
            auth: self.auth.clone(),
        }
    }
}

impl Connection {
    /// What the host announced, in its own words.
    pub fn capabilities(&self) -> Vec<String> {
        self.capabilities.words()
    }
}

impl Dialer {
    /// Connects, notes what is seen, and goes again: no mail is sent.
    pub async fn status(&self, target: &Target, source: &Arc<Source>) -> Trial {
        match self.open(target, source).await {
            Ok(connection) => {
                let trial = Trial {
                    facts: connection.facts().clone(),
                    capabilities: connection.capabilities(),
                    failure: None,
                    dialogue: connection.opening.lines.clone(),
                };
                connection.quit().await;
                trial
            }
            Err(failure) => Trial {
                facts: failure.facts,
                capabilities: Vec::new(),
                failure: Some(failure.outcome.text()),
                dialogue: failure.dialogue.lines,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_of_another_host_and_one_without_a_name_are_found_out_at_once() {
        let own = Source { bind_v4: Some([127, 0, 0, 9].into()), ..Source::default() };
        assert_eq!(own.validate(), Ok(()));
        let foreign = Source { bind_v4: Some([192, 0, 2, 1].into()), ..Source::default() };
        assert!(matches!(foreign.validate(), Err(SourceFault::NotPlumbed(..))));
        let nameless = Source { ehlo: "not a name".into(), ..Source::default() };
        assert!(matches!(nameless.validate(), Err(SourceFault::NoName(_))));
    }

    #[test]
    fn a_relay_takes_what_the_domains_own_hosts_would_have_got() {
        let hosts = Target {
            hosts: vec![TargetHost { name: "mx.example".into(), addresses: Vec::new() }],
            tls: TlsMode::Opportunistic,
            preference: IpPreference::Ipv4First,
            auth: None,
        };
        let direct = Source::default().target(hosts.clone(), &[]);
        assert_eq!(direct.hosts[0].name, "mx.example");
        let relay =
            Relay { host: "relay.example".into(), port: 587, tls: TlsMode::Verified, auth: None };
        let source = Source { relay: Some(Arc::new(relay)), ..Source::default() };
        let target = source.target(hosts, &[[192, 0, 2, 7].into()]);
        assert_eq!(
            (target.hosts[0].name.as_str(), target.tls),
            ("relay.example", TlsMode::Verified)
        );
        assert_eq!(target.hosts[0].addresses, [SocketAddr::from(([192, 0, 2, 7], 587))]);
    }
}
