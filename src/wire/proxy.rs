//! The PROXY protocol, versions 1 and 2, as a load balancer speaks it before the client.
//!
//! Owns:       the header's octets (haproxy's proxy-protocol.txt, 2020).
//! Promises:   never panics; never takes an octet that follows the header; at most 4 KiB.
//! Knows not:  who may speak it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// With its TLVs a header of version 2 is rarely above 300 octets.
pub const PROXY_BYTES_MAX: usize = 4096;
const LINE_BYTES_MAX: usize = 107;
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const HEAD_BYTES: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a PROXY header")]
pub struct ProxyError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// This many octets at least must be read before more can be said.
    Incomplete(usize),
    /// The header's length, and whom it names; None is the balancer itself (a health check).
    Complete(usize, Option<IpAddr>),
}

/// Reads the header at the start of `octets`.
pub fn read(octets: &[u8]) -> Result<ProxyHeader, ProxyError> {
    match octets.first() {
        None => Ok(ProxyHeader::Incomplete(1)),
        Some(b'\r') => version_2(octets),
        Some(_) => version_1(octets),
    }
}

fn version_1(octets: &[u8]) -> Result<ProxyHeader, ProxyError> {
    const START: &[u8] = b"PROXY ";
    let known = octets.len().min(START.len());
    if octets[..known] != START[..known] {
        return Err(ProxyError);
    }
    let window = &octets[..octets.len().min(LINE_BYTES_MAX)];
    let Some(end) = memchr::memmem::find(window, b"\r\n") else {
        return if window.len() == LINE_BYTES_MAX {
            Err(ProxyError)
        } else {
            Ok(ProxyHeader::Incomplete(octets.len() + 1))
        };
    };
    let line = std::str::from_utf8(&window[START.len()..end]).map_err(|_| ProxyError)?;
    let mut words = line.split(' ');
    let family = words.next().unwrap_or_default();
    if family == "UNKNOWN" {
        return Ok(ProxyHeader::Complete(end + 2, None));
    }
    let [Some(client), Some(own), Some(client_port), Some(own_port), None] =
        [words.next(), words.next(), words.next(), words.next(), words.next()]
    else {
        return Err(ProxyError);
    };
    let (client, own) = (address(client)?, address(own)?);
    let lawful = client.is_ipv4() == own.is_ipv4()
        && family == if client.is_ipv4() { "TCP4" } else { "TCP6" }
        && client_port.parse::<u16>().is_ok()
        && own_port.parse::<u16>().is_ok();
    if lawful { Ok(ProxyHeader::Complete(end + 2, Some(client))) } else { Err(ProxyError) }
}

fn address(text: &str) -> Result<IpAddr, ProxyError> {
    text.parse().map_err(|_| ProxyError)
}

fn version_2(octets: &[u8]) -> Result<ProxyHeader, ProxyError> {
    let known = octets.len().min(SIGNATURE.len());
    if octets[..known] != SIGNATURE[..known] {
        return Err(ProxyError);
    }
    let Some(head) = octets.get(..HEAD_BYTES) else {
        return Ok(ProxyHeader::Incomplete(HEAD_BYTES));
    };
    let length = HEAD_BYTES + usize::from(u16::from_be_bytes([head[14], head[15]]));
    if length > PROXY_BYTES_MAX {
        return Err(ProxyError);
    }
    let Some(body) = octets.get(HEAD_BYTES..length) else {
        return Ok(ProxyHeader::Incomplete(length));
    };
    // The high half of octet 12 is the version; LOCAL is command 0, PROXY is 1.
    let client = match (head[12], head[13]) {
        (0x20, _) => None,
        (0x21, 0x11) => Some(IpAddr::V4(Ipv4Addr::from(first::<4>(body, 12)?))),
        (0x21, 0x21) => Some(IpAddr::V6(Ipv6Addr::from(first::<16>(body, 36)?))),
        (0x21, _) => None,
        _ => return Err(ProxyError),
    };
    Ok(ProxyHeader::Complete(length, client))
}

/// The client's address stands first; the whole address block takes `block` octets.
fn first<const N: usize>(body: &[u8], block: usize) -> Result<[u8; N], ProxyError> {
    let block = body.get(..block).ok_or(ProxyError)?;
    block.first_chunk::<N>().copied().ok_or(ProxyError)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn binary(family: u8, command: u8, body: &[u8]) -> Vec<u8> {
        let mut header = SIGNATURE.to_vec();
        header.extend_from_slice(&[command, family, 0, u8::try_from(body.len()).expect("short")]);
        header.extend_from_slice(body);
        header
    }

    #[test]
    fn both_versions_name_the_client() {
        let line = b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 587\r\nEHLO x\r\n";
        let client = Some("192.0.2.7".parse().expect("an address"));
        assert_eq!(read(line), Ok(ProxyHeader::Complete(45, client)));
        let header = binary(0x11, 0x21, &[192, 0, 2, 7, 198, 51, 100, 1, 1, 2, 3, 4, 0xff]);
        assert_eq!(read(&header), Ok(ProxyHeader::Complete(header.len(), client)));
        let header = binary(0, 0x20, &[]);
        assert_eq!(read(&header), Ok(ProxyHeader::Complete(16, None)));
        assert_eq!(read(b"PROXY UNKNOWN\r\n"), Ok(ProxyHeader::Complete(15, None)));
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for text in [
            "EHLO x\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.7 192.0.2.8 1 2\r\n",
            "PROXY TCP4 192.0.2.7 192.0.2.8 1 99999\r\n",
            "PROXY TCP4 192.0.2.7 192.0.2.8 1\r\n",
            "PROXY TCP4 192.0.2.7 192.0.2.8 1 2 3\r\n",
            "\r\n\r\nx",
        ] {
            assert_eq!(read(text.as_bytes()), Err(ProxyError), "{text:?}");
        }
        assert_eq!(read(&[&b"PROXY "[..], &[b'x'; 200]].concat()), Err(ProxyError));
        assert_eq!(read(&binary(0x11, 0x31, &[0; 12])), Err(ProxyError));
        assert_eq!(read(&binary(0x11, 0x21, &[0; 4])), Err(ProxyError));
    }

    proptest! {
        #[test]
        fn a_header_is_read_the_same_however_little_was_known_before(cut in 0usize..46) {
            let line = b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 587\r\n";
            let cut = cut.min(line.len());
            match read(&line[..cut]) {
                Ok(ProxyHeader::Incomplete(wanted)) => prop_assert!(cut < wanted && wanted <= 45),
                Ok(ProxyHeader::Complete(length, _)) => prop_assert_eq!(length, cut),
                Err(_) => prop_assert!(false, "refused at {}", cut),
            }
        }

        #[test]
        fn rubbish_never_panics(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            for octets in [&octets, &[SIGNATURE.as_slice(), &octets].concat()] {
                if let Ok(ProxyHeader::Complete(length, _)) = read(octets) {
                    prop_assert!(length <= octets.len());
                }
            }
        }
    }
}
