//! Secrets: how they are made, hashed and compared.
//!
//! argon2id with the least parameters that OWASP's password storage cheat sheet names first:
//! 19 MiB, two passes, one lane. A hash costs some 20 ms, so no caller does it on an async thread.

use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordVerifier, Version};
use aws_lc_rs::rand;

const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Five bits each.
const SECRET_LETTERS: usize = 32;
const SALT_BYTES: usize = 16;

/// A hash that no secret has, in which an unknown user's secret is looked for, so that it takes
/// as long as a known one's (A11).
pub(super) const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$cG9zdHJvYWQtbm9ib2R5IQ$\
                                 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Letters and digits without l, o, 0 and 1. A secret that began with `-` was an option to the
/// clients that take it as an argument, and one of signs is hard to read out.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// 160 bits in letters and digits.
pub fn new_token() -> String {
    let octets = random::<SECRET_LETTERS>();
    octets.iter().map(|octet| char::from(LETTERS[usize::from(octet % 32)])).collect()
}

/// A new secret (160 bits in letters and digits) and its argon2 hash as a PHC string.
pub fn new_secret() -> (String, String) {
    let secret = new_token();
    let hash = hash_secret(&secret);
    (secret, hash)
}

/// The argon2 hash of a secret somebody chose, with a salt of its own, as a PHC string.
pub fn hash_secret(secret: &str) -> String {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("constants within bounds");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let salt = random::<SALT_BYTES>();
    let hash: PasswordHash = argon2
        .hash_password_with_salt(secret.as_bytes(), &salt)
        .expect("a secret is shorter than 4 GiB and the salt has its right length");
    hash.to_string()
}

/// Octets for a secret that is not a person's to type.
pub fn random_octets() -> [u8; 32] {
    random::<32>()
}

/// Work of some 20 ms, whatever the answer.
pub(super) fn matches(secret: &str, hash: &str) -> bool {
    Argon2::default().verify_password(secret.as_bytes(), hash).is_ok()
}

/// # Panics
/// When the system has no randomness to give: then no secret can be made, and none should be.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the kernel gives random octets once it has booted");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_secret_matches_its_own_hash_and_no_other() {
        let (secret, hash) = new_secret();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(secret.len() == 32 && matches(&secret, &hash));
        assert!(secret.bytes().all(|letter| letter.is_ascii_alphanumeric()));
        assert!(!matches("", &hash) && !matches(&secret, &hash_secret("other")));
    }

    #[test]
    fn the_hash_of_nobody_can_be_read_and_costs_the_same() {
        let nobody = PasswordHash::new(NOBODY).expect("a PHC string");
        let params = Params::try_from(&nobody).expect("parameters");
        assert_eq!(
            (params.m_cost(), params.t_cost(), params.p_cost()),
            (MEMORY_KIB, PASSES, LANES)
        );
        assert!(!matches("", NOBODY) && nobody.hash.is_some());
    }
}
