//! One body as it lies in a segment: header, body, end mark.
//!
//! Owns:       the format of a record.
//! Promises:   `check` accepts exactly what `header` and `END` framed, at that very place.
//! Knows not:  files.
//!
//! | octets | content |
//! | --- | --- |
//! | 4 | magic `PRB1` |
//! | 4 | CRC-32 (IEEE) of all that follows up to the end mark, little endian as all numbers |
//! | 8 | length of the body |
//! | 8 | segment |
//! | 8 | offset of this record in the segment |
//! | length | body |
//! | 4 | end mark |
//!
//! Segment and offset stand in the record so that one which the disk wrote to the wrong place, or
//! a copy of one inside a mail, is never taken for the body that a row asks for.

use crate::model::{BodyRef, SegmentId};

pub const HEADER_BYTES: usize = 32;
pub const END: [u8; 4] = *b"\nPRE";
pub const MAGIC: [u8; 4] = *b"PRB1";
/// What a record needs beyond its body.
pub const FRAME_BYTES: u64 = (HEADER_BYTES + END.len()) as u64;
/// Far above any mail that is accepted; a length field beyond it is damage.
pub const BODY_BYTES_MAX: u64 = 256 * 1024 * 1024;
const _: () = assert!(crate::model::limits::BODY_BYTES_MAX * 2 < BODY_BYTES_MAX);

/// The whole record's octets.
pub const fn bytes_of(length: u64) -> u64 {
    length + FRAME_BYTES
}

/// The header for a body that will lie at `place`.
pub fn header(place: BodyRef, body: &[u8]) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&MAGIC);
    header[8..16].copy_from_slice(&place.length.to_le_bytes());
    header[16..24].copy_from_slice(&place.segment.0.to_le_bytes());
    header[24..].copy_from_slice(&place.offset.to_le_bytes());
    let mut sum = crc32fast::Hasher::new();
    sum.update(&header[8..]);
    sum.update(body);
    header[4..8].copy_from_slice(&sum.finalize().to_le_bytes());
    header
}

/// What a header claims; nothing of it is to be believed before `Claim::sum` has been met.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    pub place: BodyRef,
    sum: u32,
}

impl Claim {
    /// None when the octets are no header at all, or too few.
    pub fn read(octets: &[u8]) -> Option<Claim> {
        let header = octets.first_chunk::<HEADER_BYTES>()?;
        if header[..4] != MAGIC {
            return None;
        }
        let number = |at: usize| header[at..].first_chunk::<8>().map(|b| u64::from_le_bytes(*b));
        let sum = header[4..].first_chunk::<4>().map(|b| u32::from_le_bytes(*b))?;
        let place = BodyRef {
            segment: SegmentId(number(16)?.cast_signed()),
            offset: number(24)?,
            length: number(8)?,
        };
        Some(Claim { place, sum })
    }

    /// A checksum that has already taken in the header; feed it the body.
    pub fn start(&self, octets: &[u8]) -> crc32fast::Hasher {
        let mut sum = crc32fast::Hasher::new();
        sum.update(octets.get(8..HEADER_BYTES).unwrap_or_default());
        sum
    }

    pub fn is_met(&self, sum: crc32fast::Hasher) -> bool {
        sum.finalize() == self.sum
    }
}

/// Checks a whole record that was read for `place`; the error says what is wrong.
pub fn check(place: BodyRef, record: &[u8]) -> Result<(), &'static str> {
    let claim = Claim::read(record).ok_or("there is no record at this place")?;
    if claim.place != place {
        return Err("the record is of another place or length");
    }
    let (framed, end) = record.split_last_chunk::<4>().ok_or("the record is cut")?;
    let body = framed.get(HEADER_BYTES..).ok_or("the record is cut")?;
    if body.len() as u64 != place.length {
        return Err("the record is cut");
    }
    if *end != END {
        return Err("the end mark is missing");
    }
    let mut sum = claim.start(record);
    sum.update(body);
    if claim.is_met(sum) { Ok(()) } else { Err("the checksum does not fit") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(place: BodyRef, body: &[u8]) -> Vec<u8> {
        [&header(place, body)[..], body, &END].concat()
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_found(
            body in proptest::collection::vec(any::<u8>(), 0..400),
            segment in 0i64..1 << 48, offset in 0u64..1 << 48, bit in any::<prop::sample::Index>(),
        ) {
            let place = BodyRef { segment: SegmentId(segment), offset, length: body.len() as u64 };
            let mut record = record(place, &body);
            prop_assert_eq!(check(place, &record), Ok(()));
            let bit = bit.index(record.len() * 8);
            record[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(check(place, &record).is_err());
        }

        #[test]
        fn a_whole_record_is_refused_anywhere_else(
            body in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let place = BodyRef { segment: SegmentId(3), offset: 64, length: body.len() as u64 };
            let record = record(place, &body);
            let elsewhere = BodyRef { offset: 65, ..place };
            let other = BodyRef { segment: SegmentId(4), ..place };
            let longer = BodyRef { length: place.length + 1, ..place };
            for place in [elsewhere, other, longer] {
                prop_assert!(check(place, &record).is_err());
            }
            prop_assert!(check(place, &record[..record.len() - 1]).is_err());
        }

        #[test]
        fn rubbish_never_panics(
            octets in proptest::collection::vec(any::<u8>(), 0..100), length in any::<u64>(),
        ) {
            let place = BodyRef { segment: SegmentId(1), offset: 0, length };
            prop_assert!(check(place, &octets).is_err());
        }
    }
}
