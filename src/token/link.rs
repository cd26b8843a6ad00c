//! A link that holds its own destination: signed, so that nobody makes us lead elsewhere.

use aws_lc_rs::hmac;

use super::{Claim, Keys, TokenError, Use, id, put_id};
use crate::model::{DeliveryId, MessageId};

const ID_BYTES: usize = super::ID_BYTES;
const HEAD_BYTES: usize = 3 + 2 * ID_BYTES;
const SIGNATURE_BYTES: usize = 10;
/// Longer than any link of a mail that readers take.
const TARGET_BYTES_MAX: usize = 4096;

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl Keys {
    /// In letters of base64url (RFC 4648 §5). `place` counts the links of a mail; it has no end
    /// but that of its key: an old mail still leads where it led.
    pub fn link(&self, purpose: Use, claim: Claim, place: u8, target: &str) -> String {
        let (key, number) = self.newest();
        let mut octets = vec![0u8; HEAD_BYTES];
        octets[0] = purpose.octet();
        octets[1] = number;
        octets[2] = place;
        put_id(&mut octets[3..3 + ID_BYTES], claim.message.0);
        put_id(&mut octets[3 + ID_BYTES..HEAD_BYTES], claim.delivery.0);
        octets.extend_from_slice(target.as_bytes());
        let signature = hmac::sign(key, &octets);
        octets.extend_from_slice(&signature.as_ref()[..SIGNATURE_BYTES]);
        encode(&octets)
    }

    /// # Errors
    /// The text is no link of ours for this use.
    pub fn read_link(&self, purpose: Use, text: &str) -> Result<(Claim, u8, String), TokenError> {
        if text.len() > (HEAD_BYTES + TARGET_BYTES_MAX + SIGNATURE_BYTES) * 4 / 3 + 4 {
            return Err(TokenError::Form);
        }
        let octets = decode(text).ok_or(TokenError::Form)?;
        let body = octets.len().checked_sub(SIGNATURE_BYTES).ok_or(TokenError::Form)?;
        let (body, signature) = octets.split_at(body);
        if body.len() < HEAD_BYTES {
            return Err(TokenError::Form);
        }
        let key = self.find(body[1]).ok_or(TokenError::Signature)?;
        let expected = hmac::sign(key, body);
        let expected = &expected.as_ref()[..SIGNATURE_BYTES];
        let is_same = aws_lc_rs::constant_time::verify_slices_are_equal(expected, signature);
        if is_same.is_err() || body[0] != purpose.octet() {
            return Err(TokenError::Signature);
        }
        let claim = Claim {
            message: MessageId(id(&body[3..3 + ID_BYTES])),
            delivery: DeliveryId(id(&body[3 + ID_BYTES..HEAD_BYTES])),
        };
        let target = String::from_utf8(body[HEAD_BYTES..].to_vec()).map_err(|_| TokenError::Form);
        Ok((claim, body[2], target?))
    }
}

fn encode(octets: &[u8]) -> String {
    let mut out = String::with_capacity(octets.len() * 4 / 3 + 4);
    for chunk in octets.chunks(3) {
        let octet = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let value = octet(0) << 16 | octet(1) << 8 | octet(2);
        for place in 0..=chunk.len() {
            let shift = 18 - 6 * u32::try_from(place).unwrap_or(0);
            out.push(char::from(LETTERS[(value >> shift & 63) as usize]));
        }
    }
    out
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    for chunk in text.as_bytes().chunks(4) {
        if chunk.len() == 1 {
            return None;
        }
        let mut value = 0u32;
        for letter in chunk {
            let place = LETTERS.iter().position(|known| known == letter)?;
            value = value << 6 | u32::try_from(place).ok()?;
        }
        value <<= 6 * (4 - chunk.len());
        let octets = value.to_be_bytes();
        out.extend_from_slice(&octets[1..chunk.len()]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLAIM: Claim = Claim { message: MessageId(77), delivery: DeliveryId((1 << 53) - 1) };

    proptest! {
        #[test]
        fn a_link_says_where_it_leads_and_no_other_text_does(
            target in "\\PC{0,80}",
            flip in 0usize..40,
        ) {
            let keys = Keys::standing(1);
            let link = keys.link(Use::Click, CLAIM, 3, &target);
            prop_assert!(link.bytes().all(|b| LETTERS.contains(&b)));
            prop_assert_eq!(keys.read_link(Use::Click, &link), Ok((CLAIM, 3, target)));
            prop_assert_eq!(keys.read_link(Use::Open, &link), Err(TokenError::Signature));
            let place = flip % (link.len() - 1);
            let other = if link.as_bytes()[place] == b'A' { "B" } else { "A" };
            let mut changed = link.clone();
            changed.replace_range(place..=place, other);
            prop_assert!(keys.read_link(Use::Click, &changed).is_err());
        }

        #[test]
        fn no_text_panics(text in ".{0,60}") {
            prop_assert!(Keys::standing(1).read_link(Use::Click, &text).is_err());
        }
    }
}
