//! Where people read: the country of an address, by a database that the operator has.
//!
//! Owns:       the database in MaxMind's format, read whole at the start.
//! Promises:   an address that it does not know, or that is none, has no country.
//! Knows not:  who reads, what is counted.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use maxminddb::{Reader, geoip2};

/// A cheap handle.
#[derive(Clone)]
pub struct Geography(Arc<Reader<Vec<u8>>>);

impl Geography {
    /// # Errors
    /// The file cannot be read, or is no such database.
    pub fn open(path: &Path) -> io::Result<Geography> {
        Geography::of(std::fs::read(path)?)
    }

    fn of(octets: Vec<u8>) -> io::Result<Geography> {
        let reader = Reader::from_source(octets);
        let reader = reader.map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
        Ok(Geography(Arc::new(reader)))
    }

    /// Two letters (ISO 3166-1).
    pub fn country(&self, address: &str) -> Option<String> {
        let address: IpAddr = address.parse().ok()?;
        let found = self.0.lookup(address.to_canonical()).ok()?;
        let found: geoip2::Country<'_> = found.decode().ok()??;
        let code = found.country.iso_code?;
        let is_code = code.len() == 2 && code.bytes().all(|letter| letter.is_ascii_uppercase());
        is_code.then(|| code.to_owned())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const RECORDS: u32 = 8;

    /// A database in which 81.0.0.0/8 is German and nothing else is known.
    pub fn small() -> Geography {
        Geography::of(database()).expect("a database")
    }

    fn text(out: &mut Vec<u8>, text: &str) {
        out.push(0x40 | u8::try_from(text.len()).expect("short"));
        out.extend_from_slice(text.as_bytes());
    }

    fn number(out: &mut Vec<u8>, name: &str, kind: u8, value: u32) {
        text(out, name);
        let octets = value.to_be_bytes();
        let octets = if kind == 5 { &octets[2..] } else { &octets[..] };
        out.push(kind << 5 | u8::try_from(octets.len()).expect("short"));
        out.extend_from_slice(octets);
    }

    /// By the specification of the format, version 2.0.
    fn database() -> Vec<u8> {
        let mut out = Vec::new();
        let nothing = RECORDS;
        let data = RECORDS + 16;
        for bit in 0..RECORDS {
            let next = if bit + 1 == RECORDS { data } else { bit + 1 };
            let is_right = 81u32 >> (RECORDS - 1 - bit) & 1 == 1;
            let pair = if is_right { [nothing, next] } else { [next, nothing] };
            for record in pair {
                out.extend_from_slice(&record.to_be_bytes()[1..]);
            }
        }
        out.extend_from_slice(&[0; 16]);
        out.push(0xe1);
        text(&mut out, "country");
        out.push(0xe1);
        text(&mut out, "iso_code");
        text(&mut out, "DE");
        out.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
        out.push(0xe9);
        number(&mut out, "node_count", 6, RECORDS);
        number(&mut out, "record_size", 5, 24);
        number(&mut out, "ip_version", 5, 4);
        text(&mut out, "database_type");
        text(&mut out, "Test-Country");
        text(&mut out, "languages");
        out.extend_from_slice(&[0, 4]);
        number(&mut out, "binary_format_major_version", 5, 2);
        number(&mut out, "binary_format_minor_version", 5, 0);
        text(&mut out, "build_epoch");
        out.extend_from_slice(&[8, 2, 0, 0, 0, 0, 0, 0, 0, 1]);
        text(&mut out, "description");
        out.push(0xe0);
        out
    }

    #[test]
    fn an_address_has_the_country_that_the_database_says() {
        let geography = small();
        assert_eq!(geography.country("81.2.69.142").as_deref(), Some("DE"));
        assert_eq!(geography.country("::ffff:81.2.69.142").as_deref(), Some("DE"));
        for unknown in ["80.2.69.142", "10.0.0.1", "nobody", ""] {
            assert_eq!(geography.country(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_file_that_is_no_database_is_refused() {
        assert!(Geography::of(b"<html>not found</html>".to_vec()).is_err());
    }
}
