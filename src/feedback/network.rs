//! How much mail a network may bring in a minute.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;

use crate::model::Timestamp;

const SPAN: Duration = Duration::from_secs(60);
/// More networks than this in a minute: the oldest minute is forgotten at once.
const NETWORKS_MAX: usize = 100_000;

/// Mails of the present minute, by network: an IPv4 /24, an IPv6 /48.
pub struct Counts {
    mails_max: u32,
    minute: Mutex<(Timestamp, HashMap<u64, u32>)>,
}

impl Counts {
    pub fn new(mails_max: u32) -> Counts {
        Counts { mails_max, minute: Mutex::new((Timestamp(0), HashMap::new())) }
    }

    /// One more; false when that is too many.
    pub fn take(&self, peer: IpAddr, now: Timestamp) -> bool {
        let mut minute = self.minute.lock();
        let (begun, counts) = &mut *minute;
        if now.since(*begun) >= SPAN || now < *begun || counts.len() >= NETWORKS_MAX {
            *begun = now;
            counts.clear();
        }
        let count = counts.entry(network(peer)).or_default();
        *count = count.saturating_add(1);
        *count <= self.mails_max
    }
}

fn network(peer: IpAddr) -> u64 {
    match peer.to_canonical() {
        IpAddr::V4(v4) => u64::from(u32::from(v4) >> 8),
        IpAddr::V6(v6) => 1 << 63 | (u128::from(v6) >> 80) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_counted_by_itself_and_anew_each_minute() {
        let counts = Counts::new(2);
        let peer = |text: &str| text.parse().expect("an address");
        let take = |text: &str, second| counts.take(peer(text), Timestamp::from_seconds(second));
        assert!(take("192.0.2.1", 100) && take("192.0.2.200", 110));
        assert!(!take("192.0.2.7", 120));
        assert!(take("192.0.3.7", 120) && take("2001:db8::1", 120));
        assert!(take("192.0.2.7", 160));
    }
}
