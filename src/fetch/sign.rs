//! Secrets and signatures of calls, by the Standard Webhooks specification (version 1.0).
//!
//! `webhook-signature: v1,BASE64` holds HMAC-SHA256 over `ID.TIMESTAMP.BODY`, keyed with the
//! octets that follow `whsec_`; while a secret is being replaced, one signature for each.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::model::Timestamp;
use crate::store::Secret;

const PREFIX: &str = "whsec_";

/// A new secret, made of `octets` that come from the system.
pub fn secret_of(octets: [u8; 32]) -> Secret {
    Secret(format!("{PREFIX}{}", BASE64.encode(octets)))
}

/// The three headers of a call.
pub fn headers(id: &str, at: Timestamp, body: &[u8], secrets: &[&Secret]) -> [(String, String); 3] {
    let seconds = at.0.div_euclid(1_000_000);
    let signatures: Vec<String> =
        secrets.iter().map(|secret| signature(id, seconds, body, secret)).collect();
    [
        ("webhook-id".into(), id.to_owned()),
        ("webhook-timestamp".into(), seconds.to_string()),
        ("webhook-signature".into(), signatures.join(" ")),
    ]
}

fn signature(id: &str, seconds: i64, body: &[u8], secret: &Secret) -> String {
    let text = secret.0.strip_prefix(PREFIX).unwrap_or(&secret.0);
    let octets = BASE64.decode(text).unwrap_or_else(|_| text.as_bytes().to_vec());
    let key = hmac::Key::new(hmac::HMAC_SHA256, &octets);
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{id}.{seconds}.").as_bytes());
    context.update(body);
    format!("v1,{}", BASE64.encode(context.sign()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn the_known_example_gives_the_known_signature() {
        let secret = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into());
        let body = br#"{"test": 2432232314}"#;
        let made = signature("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body, &secret);
        assert_eq!(made, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_valid_secret_signs() {
        let (one, two) = (secret_of([1; 32]), secret_of([2; 32]));
        let at = Timestamp::from_seconds(7);
        let [id, time, signatures] = headers("call_5", at, b"{}", &[&one, &two]);
        assert_eq!((id.1.as_str(), time.1.as_str()), ("call_5", "7"));
        assert_eq!(signatures.1.split(' ').count(), 2);
    }

    #[test]
    fn a_secret_does_not_show_in_a_log() {
        assert_eq!(format!("{:?}", secret_of([7; 32])), "Secret(…)");
    }
}
