//! Networks in CIDR notation, and which addresses are global.

use std::net::IpAddr;

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
}
