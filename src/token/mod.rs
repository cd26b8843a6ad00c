//! Signed, expiring tokens: what we give away and want to know again when it comes back. And values
//! that are sealed while they are kept.
//!
//! Owns:       the keys that sign, their file and their rotation; the form of a token.
//! Promises:   a token that was changed, has expired or is for another use is no token; letters
//!             of any case are the same token, so it survives hosts that fold local parts.
//! Knows not:  what a token is for, beyond the name of its use.
//!
//! A token is base32 (RFC 4648, lower case, no padding) of: use, key, day of expiry, ids, and 80
//! bits of HMAC-SHA256 over them: 45 letters, so that a local part has room for a prefix.

pub(crate) mod base32;
pub(crate) mod file; // secrets on disk
mod keys;
mod link; // links that hold where they lead
mod seal; // values that are sealed at rest

pub use keys::{KeyError, Keys};
pub use seal::{SealError, SealedFor, Sealer, sealed_by};

use crate::model::{DeliveryId, MessageId, Timestamp};

/// What a token may be used for; one use is never taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    ReturnPath,
    Unsubscribe,
    /// The pixel of a mail.
    Open,
    /// A link of a mail.
    Click,
    /// The owner of a mailbox says yes.
    Confirm,
    /// He has all that is kept of him erased.
    Erase,
    /// He looks at the mail in a browser.
    Browse,
}

impl Use {
    const fn octet(self) -> u8 {
        match self {
            Use::ReturnPath => 1,
            Use::Unsubscribe => 2,
            Use::Open => 3,
            Use::Click => 4,
            Use::Confirm => 5,
            Use::Erase => 6,
            Use::Browse => 7,
        }
    }
}

/// What a token says: this delivery of this message, until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub message: MessageId,
    /// The delivery, or the first of the group that shared a transaction.
    pub delivery: DeliveryId,
}

/// Why a text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("it has not the form of a token")]
    Form,
    #[error("it is not signed by us, or for another use")]
    Signature,
    #[error("it has expired")]
    Expired,
}

const DAY: i64 = 86_400_000_000;
/// Seven octets hold every id below 2^56; ours are below 2^53.
const ID_BYTES: usize = 7;
const BODY_BYTES: usize = 4 + 2 * ID_BYTES;
const SIGNATURE_BYTES: usize = 10;
const TOKEN_BYTES: usize = BODY_BYTES + SIGNATURE_BYTES;
/// The letters of every token.
pub const TOKEN_LETTERS: usize = (TOKEN_BYTES * 8).div_ceil(5);

impl Keys {
    /// A token that is good until the end of the day of `expires`.
    pub fn token(&self, purpose: Use, claim: Claim, expires: Timestamp) -> String {
        let (key, id) = self.newest();
        let mut octets = [0u8; TOKEN_BYTES];
        octets[0] = purpose.octet();
        octets[1] = id;
        octets[2..4].copy_from_slice(&day(expires).to_be_bytes());
        put_id(&mut octets[4..4 + ID_BYTES], claim.message.0);
        put_id(&mut octets[4 + ID_BYTES..BODY_BYTES], claim.delivery.0);
        let signature = aws_lc_rs::hmac::sign(key, &octets[..BODY_BYTES]);
        octets[BODY_BYTES..].copy_from_slice(&signature.as_ref()[..SIGNATURE_BYTES]);
        base32::encode(&octets)
    }

    /// # Errors
    /// The text is no token of ours for this use, or no longer.
    pub fn read(&self, purpose: Use, text: &str, now: Timestamp) -> Result<Claim, TokenError> {
        let octets = base32::decode(text).ok_or(TokenError::Form)?;
        let octets: [u8; TOKEN_BYTES] = octets.try_into().map_err(|_| TokenError::Form)?;
        let (body, signature) = octets.split_at(BODY_BYTES);
        let key = self.find(body[1]).ok_or(TokenError::Signature)?;
        let expected = aws_lc_rs::hmac::sign(key, body);
        let is_same = aws_lc_rs::constant_time::verify_slices_are_equal(
            &expected.as_ref()[..SIGNATURE_BYTES],
            signature,
        );
        if is_same.is_err() || body[0] != purpose.octet() {
            return Err(TokenError::Signature);
        }
        if u16::from_be_bytes([body[2], body[3]]) < day(now) {
            return Err(TokenError::Expired);
        }
        Ok(Claim {
            message: MessageId(id(&body[4..4 + ID_BYTES])),
            delivery: DeliveryId(id(&body[4 + ID_BYTES..])),
        })
    }
}

/// Days since 1970; two octets reach to 2149.
fn day(at: Timestamp) -> u16 {
    u16::try_from(at.0.div_euclid(DAY)).unwrap_or(if at.0 < 0 { 0 } else { u16::MAX })
}

fn put_id(out: &mut [u8], id: i64) {
    out.copy_from_slice(&id.to_be_bytes()[8 - ID_BYTES..]);
}

fn id(octets: &[u8]) -> i64 {
    octets.iter().fold(0, |value, octet| value << 8 | i64::from(*octet))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLAIM: Claim = Claim { message: MessageId(77), delivery: DeliveryId((1 << 53) - 1) };
    const TODAY: Timestamp = Timestamp(20_000 * DAY + 5);

    fn token(keys: &Keys) -> String {
        keys.token(Use::ReturnPath, CLAIM, Timestamp(TODAY.0 + 3 * DAY))
    }

    #[test]
    fn a_token_says_what_it_was_given_in_letters_of_any_case() {
        let keys = Keys::standing(1);
        let text = token(&keys);
        assert_eq!(text.len(), TOKEN_LETTERS);
        assert!(text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
        assert_eq!(keys.read(Use::ReturnPath, &text, TODAY), Ok(CLAIM));
        assert_eq!(keys.read(Use::ReturnPath, &text.to_uppercase(), TODAY), Ok(CLAIM));
    }

    #[test]
    fn a_token_serves_one_use_until_its_day() {
        let keys = Keys::standing(1);
        let text = token(&keys);
        assert_eq!(keys.read(Use::Unsubscribe, &text, TODAY), Err(TokenError::Signature));
        let last = Timestamp(TODAY.0 + 3 * DAY);
        assert_eq!(keys.read(Use::ReturnPath, &text, last), Ok(CLAIM));
        let after = Timestamp(TODAY.0 + 4 * DAY);
        assert_eq!(keys.read(Use::ReturnPath, &text, after), Err(TokenError::Expired));
    }

    #[test]
    fn a_token_of_other_keys_is_none() {
        let text = token(&Keys::standing(1));
        let answer = Keys::standing(2).read(Use::ReturnPath, &text, TODAY);
        assert_eq!(answer, Err(TokenError::Signature));
    }

    proptest! {
        #[test]
        fn a_changed_token_is_none(place in 0usize..TOKEN_LETTERS, letter in "[a-z2-7]") {
            let keys = Keys::standing(1);
            let mut text = token(&keys);
            let is_other = !text[place..].starts_with(&letter);
            text.replace_range(place..=place, &letter);
            if is_other {
                prop_assert!(keys.read(Use::ReturnPath, &text, TODAY).is_err());
            }
        }

        #[test]
        fn no_text_panics(text in ".{0,60}") {
            prop_assert!(Keys::standing(1).read(Use::ReturnPath, &text, TODAY).is_err());
        }
    }
}
