//! Networks in CIDR notation, and which addresses are global.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `192.0.2.0/24`, `2001:db8::/32`; a bare address is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a network such as 192.0.2.0/24 or 2001:db8::/32")]
pub struct NetworkError(String);

impl Network {
    pub fn parse(text: &str) -> Result<Network, NetworkError> {
        let refused = || NetworkError(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| refused())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| refused())?,
            None => bits,
        };
        if prefix > bits || bits_of(address) & !mask(prefix, bits) != 0 {
            return Err(refused());
        }
        Ok(Network { address, prefix })
    }

    /// An IPv4-mapped IPv6 address counts as the IPv4 address in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let bits = if self.address.is_ipv4() { 32 } else { 128 };
        address.is_ipv4() == self.address.is_ipv4()
            && bits_of(address) & mask(self.prefix, bits) == bits_of(self.address)
    }
}

/// Mail may be sent there over the public internet. Private, loopback, link-local, carrier-grade
/// NAT, documentation, benchmark, multicast and reserved addresses may not (IANA special-purpose
/// registries, RFC 6890), nor may IPv6 addresses that carry such an IPv4 address inside.
pub fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_global_v4(v4),
        IpAddr::V6(v6) => is_global_v6(v6),
    }
}

fn is_global_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127, ..)                  // this network, private, loopback
            | (100, 64..=127, _)            // carrier-grade NAT, RFC 6598
            | (169, 254, _)                 // link-local, cloud metadata
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)               // protocol assignments, documentation
            | (192, 88, 99)                 // 6to4 relays, RFC 7526
            | (192, 168, _)
            | (198, 18..=19, _)             // benchmarks
            | (198, 51, 100)                // documentation
            | (203, 0, 113)                 // documentation
            | (224..=255, ..) // multicast, reserved, broadcast
    )
}

fn is_global_v6(address: Ipv6Addr) -> bool {
    if let Some(v4) = address.to_ipv4_mapped() {
        return is_global_v4(v4);
    }
    let segments = address.segments();
    let v4_of = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match segments {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_global_v4(v4_of(high, low)), // NAT64
        [0x2002, high, low, ..] => is_global_v4(v4_of(high, low)),               // 6to4
        [0x2001, 0..=0x1ff, ..] => false, // Teredo, ORCHID and other protocols, 2001::/23
        [0x2001, 0xdb8, ..] => false,     // documentation
        [0x3fff, 0..=0xfff, ..] => false, // documentation, RFC 9637
        // Nothing else than 2000::/3 is handed out for use on the internet.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn mask(prefix: u8, bits: u8) -> u128 {
    let host_bits = u32::from(bits - prefix);
    let all = if bits == 32 { u128::from(u32::MAX) } else { u128::MAX };
    all.checked_shr(host_bits).map_or(0, |kept| kept << host_bits)
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl std::str::FromStr for Network {
    type Err = NetworkError;
    fn from_str(text: &str) -> Result<Network, NetworkError> {
        Network::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_own_addresses_and_no_others() {
        let network = Network::parse("127.0.0.0/8").expect("lawful");
        assert!(network.contains("127.9.9.9".parse().expect("an address")));
        assert!(network.contains("::ffff:127.0.0.1".parse().expect("an address")));
        assert!(!network.contains("128.0.0.1".parse().expect("an address")));
        assert!(!network.contains("::1".parse().expect("an address")));
        let all = Network::parse("::/0").expect("lawful");
        assert!(all.contains("2001:db8::1".parse().expect("an address")));
    }

    #[test]
    fn host_bits_and_rubbish_are_refused() {
        for text in ["10.0.0.1/8", "10.0.0.0/33", "", "a/8", "10.0.0.0/", "::1/129"] {
            assert!(Network::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_addresses_of_the_public_internet_are_global() {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:10::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:a00:1::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_global(address(text)), "{text}");
        }
        for text in [
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "223.255.255.1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
            "2001:4860:4860::8888",
            "2a01:4f8::1",
        ] {
            assert!(is_global(address(text)), "{text}");
        }
    }
}
