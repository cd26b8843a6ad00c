//! Base32 (RFC 4648) in lower case and without padding: one form for each value.

const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

pub fn encode(octets: &[u8]) -> String {
    let mut out = String::with_capacity((octets.len() * 8).div_ceil(5));
    let (mut bits, mut held) = (0u32, 0u32);
    for octet in octets {
        bits = (bits << 8) | u32::from(*octet);
        held += 8;
        while held >= 5 {
            held -= 5;
            out.push(LETTERS[(bits >> held) as usize & 31] as char);
        }
        bits &= (1 << held) - 1;
    }
    if held > 0 {
        out.push(LETTERS[(bits << (5 - held)) as usize & 31] as char);
    }
    out
}

/// Letters of any case; nothing if one is foreign or the last bits are not zero, since a second
/// form of the same value would be a second token.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 5 / 8);
    let (mut bits, mut held) = (0u32, 0u32);
    for letter in text.bytes() {
        let value = match letter.to_ascii_lowercase() {
            letter @ b'a'..=b'z' => letter - b'a',
            digit @ b'2'..=b'7' => digit - b'2' + 26,
            _ => return None,
        };
        bits = (bits << 5) | u32::from(value);
        held += 5;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    (bits == 0 && held < 5).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_vectors_of_the_rfc_hold() {
        assert_eq!(encode(b"foobar"), "mzxw6ytboi");
        assert_eq!(encode(b"f"), "my");
        assert_eq!(decode("MZXW6ytboi"), Some(b"foobar".to_vec()));
        assert_eq!(decode("mz"), None);
        assert_eq!(decode("m1"), None);
    }

    proptest! {
        #[test]
        fn every_value_has_one_form(octets in proptest::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(decode(&encode(&octets)), Some(octets));
        }
    }
}
