//! Relays that many people use, by name.
//!
//! Owns:       host, port, TLS and AUTH of each.
//! Promises:   a preset asks for nothing but what is the customer's own: user, secret, region.
//! Knows not:  quotas: these are limits like any other.

use crate::model::{RelayKind, RelayMechanism, TlsMode};

struct Preset {
    name: &'static str,
    /// `{}` stands for the region.
    host: &'static str,
    port: u16,
    /// Where the user name is the same for everybody.
    user: Option<&'static str>,
    region: Option<&'static str>,
}

/// As each service documents its SMTP endpoint; all of them offer STARTTLS with a valid
/// certificate at this port, and AUTH PLAIN.
const PRESETS: [Preset; 7] = [
    preset("ses", "email-smtp.{}.amazonaws.com", 587, None, Some("us-east-1")),
    preset("sendgrid", "smtp.sendgrid.net", 587, Some("apikey"), None),
    preset("mailgun", "smtp{}.mailgun.org", 587, None, Some("")),
    preset("sparkpost", "smtp{}.sparkpostmail.com", 587, Some("SMTP_Injection"), Some("")),
    preset("postmark", "smtp.postmarkapp.com", 587, None, None),
    preset("elastic_email", "smtp.elasticemail.com", 2525, None, None),
    preset("gmail", "smtp.gmail.com", 587, None, None),
];

const fn preset(
    name: &'static str,
    host: &'static str,
    port: u16,
    user: Option<&'static str>,
    region: Option<&'static str>,
) -> Preset {
    Preset { name, host, port, user, region }
}

/// The relay of a name; the error says which names there are.
pub fn relay(name: &str, region: Option<&str>) -> Result<RelayKind, String> {
    let Some(preset) = PRESETS.iter().find(|preset| preset.name == name) else {
        let names: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
        return Err(format!("there is no preset '{name}'; there are {}", names.join(", ")));
    };
    let region = match (preset.region, region) {
        (None, Some(_)) => return Err(format!("{name} has no regions")),
        (usual, given) => given.or(usual).unwrap_or_default(),
    };
    let lawful = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if !region.bytes().all(lawful) {
        return Err(format!("'{region}' is no region"));
    }
    // Mailgun and SparkPost name theirs in the host's first label: smtp.eu.…
    let dotted = match (preset.region, region) {
        (Some(""), region) if !region.is_empty() => format!(".{region}"),
        (_, region) => region.to_owned(),
    };
    Ok(RelayKind {
        host: preset.host.replace("{}", &dotted),
        port: preset.port,
        tls: TlsMode::Verified,
        mechanism: Some(RelayMechanism::Plain),
        user: preset.user.unwrap_or_default().to_owned(),
        secret_file: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preset_fills_in_what_is_the_same_for_all_customers() {
        let host = |name, region| relay(name, region).map(|relay| relay.host);
        assert_eq!(host("ses", None).as_deref(), Ok("email-smtp.us-east-1.amazonaws.com"));
        assert_eq!(
            host("ses", Some("eu-west-1")).as_deref(),
            Ok("email-smtp.eu-west-1.amazonaws.com")
        );
        assert_eq!(host("mailgun", None).as_deref(), Ok("smtp.mailgun.org"));
        assert_eq!(host("mailgun", Some("eu")).as_deref(), Ok("smtp.eu.mailgun.org"));
        assert_eq!(relay("sendgrid", None).map(|relay| relay.user).as_deref(), Ok("apikey"));
        assert!(host("postmark", Some("eu")).is_err() && host("ses", Some("a/b")).is_err());
        assert!(host("nobody", None).expect_err("unknown").contains("ses, sendgrid"));
        for preset in &PRESETS {
            let relay = relay(preset.name, None).expect("a preset");
            assert!(crate::model::Domain::parse(&relay.host).is_ok(), "{}", relay.host);
        }
    }
}
