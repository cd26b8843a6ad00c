//! From when to when a certificate holds (RFC 5280 §4.1.2.5), and no more of it.
//!
//! Owns:       as much of DER as leads there.
//! Promises:   any octets are read in bounded time; what is no certificate has no time.
//! Knows not:  who signed it.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::model::Timestamp;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Of the first certificate in the file.
pub(super) fn of_pem(pem: &[u8]) -> Option<(Timestamp, Timestamp)> {
    of_der(&CertificateDer::from_pem_slice(pem).ok()?)
}

/// From when to when it holds.
pub(super) fn of_der(der: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let (SEQUENCE, certificate, _) = element(der)? else { return None };
    let (SEQUENCE, mut fields, _) = element(certificate)? else { return None };
    if fields.first() == Some(&VERSION) {
        fields = element(fields)?.2;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        fields = element(fields)?.2;
    }
    let (SEQUENCE, validity, _) = element(fields)? else { return None };
    let (kind, from, rest) = element(validity)?;
    let (other, until, _) = element(rest)?;
    Some((moment(kind, from)?, moment(other, until)?))
}

/// Tag, content, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = octets.iter().fold(0usize, |sum, octet| sum << 8 | usize::from(*octet));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ`, or with four digits of the year.
fn moment(kind: u8, text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match kind {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i16 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    if rest.len() != 10 || !rest.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let part = |at: usize| rest[at..at + 2].parse::<i8>().ok();
    let (month, day, hour) = (part(0)?, part(2)?, part(4)?);
    let (minute, second) = (part(6)?, part(8)?);
    let time = jiff::civil::DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    let zoned = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(Timestamp::from_seconds(zoned.timestamp().as_second()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_forms_of_time_are_read() {
        let at = |kind, text: &str| moment(kind, text.as_bytes()).map(|at| at.seconds());
        assert_eq!(at(UTC_TIME, "261127223000Z"), Some(1_795_818_600));
        assert_eq!(at(GENERALIZED_TIME, "20261127223000Z"), Some(1_795_818_600));
        for wrong in ["261127223000", "261327223000Z", "2611272230Z", "2611272230é0Z", "Z", ""] {
            assert_eq!(at(UTC_TIME, wrong), None, "{wrong}");
        }
        assert_eq!(at(0x13, "261127223000Z"), None);
    }

    proptest! {
        #[test]
        fn no_octets_panic(der in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(of_der(&der).is_none() || der.len() > 20);
        }
    }
}
