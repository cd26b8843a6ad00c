//! Where machines asked from: what else comes from there for the same mail is theirs, too.
//!
//! Owns:       requests that were a machine's by themselves, by mail and network.
//! Promises:   a network that says nothing (this host, a private one) makes nobody a machine, nor
//!             does a machine that asked for another mail.
//! Knows not:  by which signs a request is a machine's.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use super::subscribe::network;
use crate::model::*;

/// A filter asks for the head first and then for the whole, link by link, and not always from the
/// same of its machines.
const BESIDE: Duration = Duration::from_secs(30);

/// When machines have asked, by mail and network.
#[derive(Default)]
pub(super) struct Machines(HashMap<(DeliveryId, IpAddr), Vec<Timestamp>>);

impl Machines {
    /// A machine has asked for the mail from this address.
    pub fn note(&mut self, delivery: DeliveryId, address: &str, at: Timestamp) {
        if let Some(network) = telling(address).filter(|_| delivery.0 != 0) {
            self.0.entry((delivery, network)).or_default().push(at);
        }
    }

    /// Whether one has asked for the same mail, from the same network, at about the same time.
    pub fn are_beside(&self, delivery: DeliveryId, address: &str, at: Timestamp) -> bool {
        let Some(network) = telling(address) else { return false };
        let Some(asked) = self.0.get(&(delivery, network)) else { return false };
        asked.iter().any(|other| at.since(*other) <= BESIDE && other.since(at) <= BESIDE)
    }
}

/// The network of an address out in the world. All that comes through a proxy that is not among
/// the settings' has its address.
fn telling(address: &str) -> Option<IpAddr> {
    let address = address.parse::<IpAddr>().ok()?.to_canonical();
    let is_own = match address {
        IpAddr::V4(own) => own.is_loopback() || own.is_private() || own.is_link_local(),
        IpAddr::V6(own) => own.is_loopback() || own.is_unique_local(),
    };
    (!is_own && !address.is_unspecified()).then(|| network(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_speaks_for_its_network_its_mail_and_half_a_minute() {
        let at = Timestamp::from_seconds;
        let mut machines = Machines::default();
        machines.note(DeliveryId(7), "81.2.69.142", at(100));
        machines.note(DeliveryId(7), "2001:db8:1:2::1", at(100));
        machines.note(DeliveryId(7), "10.0.0.1", at(100));
        machines.note(DeliveryId(7), "::ffff:127.0.0.1", at(100));
        machines.note(DeliveryId(0), "81.2.69.142", at(100));
        for (delivery, address, seconds, beside) in [
            (7, "81.2.69.142", 100, true),
            (7, "81.2.69.9", 130, true),
            (7, "81.2.69.9", 70, true),
            (7, "81.2.69.9", 131, false),
            (7, "81.2.70.142", 100, false),
            (8, "81.2.69.142", 100, false),
            (0, "81.2.69.142", 100, false),
            (7, "2001:db8:1:ffff::9", 110, true),
            (7, "2001:db8:2::1", 110, false),
            (7, "10.0.0.1", 100, false),
            (7, "127.0.0.1", 100, false),
            (7, "", 100, false),
        ] {
            let found = machines.are_beside(DeliveryId(delivery), address, at(seconds));
            assert_eq!(found, beside, "{delivery} {address} {seconds}");
        }
    }
}
