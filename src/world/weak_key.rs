//! An RSA key of 1024 bits for the host with the weak certificate.
//!
//! Owns:       one key pair that everybody may know, and the arithmetic to use it.
//! Promises:   signatures that are right by RFC 8017, under a key that no verifier of today takes.
//! Knows not:  secrecy. The libraries we sign with rightly refuse so short a key, so the few lines
//!             of arithmetic stand here; they are not of constant time and must guard nothing.

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{PKCS_RSA_SHA256, PublicKeyData};
use rustls::sign::{Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};

const LIMBS: usize = 16;
const BYTES: usize = LIMBS * 8;
const HASH_BYTES: usize = 32;

/// Least significant limb first.
type Number = [u64; LIMBS];

#[rustfmt::skip]
const MODULUS: Number = [
    0xb19d07071553d2b7, 0x1f6c2bce04526078, 0xbd281a20bbc929cc,
    0xf54d182fcd140d2f, 0x4589c144b7dc3cdd, 0x4d6998ba062164bc,
    0xd4711db89dd397e5, 0xc377b4db6a53e601, 0x6d177461d0531221,
    0x80770c56828a2fe3, 0x1df8fff9f70b77c3, 0x950f49e7b6b636a6,
    0x50d44587c94cd0c3, 0xef022b35458afadc, 0xa91bc6e5fe9221c4,
    0xa7cf708c2412c4e1,
];
#[rustfmt::skip]
const PRIVATE_EXPONENT: Number = [
    0x223e76a44adc0079, 0xbceb9d98cac330f3, 0xdcf7b1a416d1356f,
    0xaf6ffdbf813d2880, 0x6e9d3e1996592fd4, 0xefd62fb029cde10a,
    0x2a6d2592bcfd74f8, 0xfe7c9498fee9331c, 0xc21d121f5b10486b,
    0xadc826dcd0bfcc6c, 0x08d5fa7b74cc2c93, 0x4b7a3dc20b39f86d,
    0x44e532b27664d00c, 0x9a18a0e816ce7547, 0xdfe8ce073fee9ace,
    0x6322f4ad85fe249b,
];
/// `RSAPublicKey` of RFC 8017 §A.1.1 around the modulus: a sequence of two integers …
const DER_HEAD: [u8; 7] = [0x30, 0x81, 0x89, 0x02, 0x81, 0x81, 0x00];
/// … of which the second is 65537.
const DER_TAIL: [u8; 5] = [0x02, 0x03, 0x01, 0x00, 0x01];
const DER_BYTES: usize = DER_HEAD.len() + BYTES + DER_TAIL.len();

static PUBLIC_KEY: [u8; DER_BYTES] = public_key();

const fn public_key() -> [u8; DER_BYTES] {
    let mut der = [0u8; DER_BYTES];
    let mut at = 0;
    while at < DER_BYTES {
        der[at] = if at < DER_HEAD.len() {
            DER_HEAD[at]
        } else if at < DER_HEAD.len() + BYTES {
            let from_end = BYTES - 1 - (at - DER_HEAD.len());
            (MODULUS[from_end / 8] >> (8 * (from_end % 8))) as u8
        } else {
            DER_TAIL[at - DER_HEAD.len() - BYTES]
        };
        at += 1;
    }
    der
}

#[derive(Clone, Copy, Debug)]
pub(super) struct WeakKey;

impl PublicKeyData for WeakKey {
    fn der_bytes(&self) -> &[u8] {
        &PUBLIC_KEY
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_RSA_SHA256
    }
}

impl SigningKey for WeakKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SignatureScheme::RSA_PSS_SHA256).then(|| Box::new(WeakKey) as _)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::RSA
    }
}

impl Signer for WeakKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let mut salt = [0u8; HASH_BYTES];
        aws_lc_rs::rand::fill(&mut salt).map_err(|_| rustls::Error::FailedToGetRandomBytes)?;
        Ok(to_bytes(&power(&from_bytes(&padded(message, &salt)), &PRIVATE_EXPONENT)).to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::RSA_PSS_SHA256
    }
}

/// EMSA-PSS (RFC 8017 §9.1.1) with SHA-256 and a salt as long as the hash.
fn padded(message: &[u8], salt: &[u8; HASH_BYTES]) -> [u8; BYTES] {
    const MASKED_BYTES: usize = BYTES - HASH_BYTES - 1;
    let mut hashed = vec![0u8; 8];
    hashed.extend_from_slice(digest(&SHA256, message).as_ref());
    hashed.extend_from_slice(salt);
    let hash = digest(&SHA256, &hashed);

    let mut block = [0u8; BYTES];
    block[MASKED_BYTES - HASH_BYTES - 1] = 1;
    block[MASKED_BYTES - HASH_BYTES..MASKED_BYTES].copy_from_slice(salt);
    for (counter, piece) in (0u32..).zip(block[..MASKED_BYTES].chunks_mut(HASH_BYTES)) {
        let mut seed = hash.as_ref().to_vec();
        seed.extend_from_slice(&counter.to_be_bytes());
        let mask = digest(&SHA256, &seed);
        piece.iter_mut().zip(mask.as_ref()).for_each(|(octet, mask)| *octet ^= mask);
    }
    // The encoded message has one bit less than the modulus.
    block[0] &= 0x7f;
    block[MASKED_BYTES..MASKED_BYTES + HASH_BYTES].copy_from_slice(hash.as_ref());
    block[BYTES - 1] = 0xbc;
    block
}

fn from_bytes(bytes: &[u8; BYTES]) -> Number {
    let mut number = [0; LIMBS];
    for (at, byte) in bytes.iter().rev().enumerate() {
        number[at / 8] |= u64::from(*byte) << (8 * (at % 8));
    }
    number
}

fn to_bytes(number: &Number) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    for (at, byte) in bytes.iter_mut().rev().enumerate() {
        *byte = (number[at / 8] >> (8 * (at % 8))) as u8;
    }
    bytes
}

/// `base` to the `exponent`, modulo the modulus, by squaring and multiplying.
fn power(base: &Number, exponent: &Number) -> Number {
    let mut one = [0; LIMBS];
    one[0] = 1;
    // In Montgomery's form a number stands multiplied by 2^1024.
    let factor = (0..2 * BYTES * 8).fold(one, |number, _| doubled(&number));
    let base = product(base, &factor);
    let mut result = product(&one, &factor);
    for bit in (0..BYTES * 8).rev() {
        result = product(&result, &result);
        if exponent[bit / 64] >> (bit % 64) & 1 == 1 {
            result = product(&result, &base);
        }
    }
    product(&result, &one)
}

fn doubled(number: &Number) -> Number {
    let mut double = [0; LIMBS];
    let mut carry = 0;
    for (double, limb) in double.iter_mut().zip(number) {
        *double = limb << 1 | carry;
        carry = limb >> 63;
    }
    reduced(double, carry != 0)
}

/// Less the modulus when it is not below it; `over` says that a bit was lost at the top.
fn reduced(number: Number, over: bool) -> Number {
    let mut less = [0; LIMBS];
    let mut borrow = false;
    for at in 0..LIMBS {
        let (first, under) = number[at].overflowing_sub(MODULUS[at]);
        let (second, under_too) = first.overflowing_sub(u64::from(borrow));
        less[at] = second;
        borrow = under || under_too;
    }
    if over || !borrow { less } else { number }
}

/// Montgomery's product, `a * b / 2^1024` modulo the modulus.
fn product(a: &Number, b: &Number) -> Number {
    let inverse = negative_inverse(MODULUS[0]);
    let mut sum = [0u64; LIMBS + 2];
    for digit in b {
        let carry = add_multiple(&mut sum, a, *digit);
        sum[LIMBS + 1] = carry;
        let quotient = sum[0].wrapping_mul(inverse);
        let carry = add_multiple(&mut sum, &MODULUS, quotient);
        sum[LIMBS + 1] += carry;
        sum.copy_within(1.., 0);
        sum[LIMBS + 1] = 0;
    }
    let mut low = [0; LIMBS];
    low.copy_from_slice(&sum[..LIMBS]);
    reduced(low, sum[LIMBS] != 0)
}

/// Adds `number * digit` to the lower limbs of `sum`; what runs over the limb after them is
/// returned.
fn add_multiple(sum: &mut [u64; LIMBS + 2], number: &Number, digit: u64) -> u64 {
    let mut carry = 0;
    for (limb, factor) in sum.iter_mut().zip(number) {
        let wide = u128::from(*limb) + u128::from(*factor) * u128::from(digit) + carry;
        *limb = wide as u64;
        carry = wide >> 64;
    }
    let wide = u128::from(sum[LIMBS]) + carry;
    sum[LIMBS] = wide as u64;
    (wide >> 64) as u64
}

/// `-1 / odd` modulo 2^64, by Newton's iteration, which doubles the right bits each time.
fn negative_inverse(odd: u64) -> u64 {
    let inverse = (0..6)
        .fold(1u64, |guess, _| guess.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(guess))));
    inverse.wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_exponent_undoes_a_signature() {
        let signature = WeakKey.sign(b"hello").expect("signs");
        let signature = from_bytes(&signature.try_into().expect("as long as the modulus"));
        let mut public = [0; LIMBS];
        public[0] = 65_537;
        let block = to_bytes(&power(&signature, &public));
        assert_eq!(block[BYTES - 1], 0xbc);
        assert_eq!(block[0] & 0x80, 0);
    }
}
