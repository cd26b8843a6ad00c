//! AUTH PLAIN and LOGIN (RFC 4616, and what every client means by LOGIN).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::wire::command::Mechanism;

/// A password that neither logs nor prints.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// Which line of an exchange the client says next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sasl {
    Plain,
    LoginUser,
    LoginPassword { user: String },
}

#[derive(Debug, PartialEq, Eq)]
pub enum SaslStep {
    /// The challenge, as it stands after `334 `.
    Ask(&'static str, Sasl),
    Verify {
        user: String,
        password: Secret,
    },
    Cancelled,
    Malformed,
}

impl Sasl {
    pub fn begin(mechanism: Mechanism, initial: Option<&str>) -> SaslStep {
        let (challenge, sasl) = match mechanism {
            Mechanism::Plain => ("", Sasl::Plain),
            Mechanism::Login => ("VXNlcm5hbWU6", Sasl::LoginUser),
        };
        match initial {
            // RFC 4954 §4: a lone `=` is an initial response of no octets.
            Some("=") => sasl.read(b""),
            Some(text) => sasl.read(text.as_bytes()),
            None => SaslStep::Ask(challenge, sasl),
        }
    }

    /// The client's next line, without its CRLF.
    pub fn read(self, line: &[u8]) -> SaslStep {
        if line == b"*" {
            return SaslStep::Cancelled;
        }
        let Some(text) = STANDARD.decode(line).ok().and_then(|raw| String::from_utf8(raw).ok())
        else {
            return SaslStep::Malformed;
        };
        match self {
            Sasl::Plain => plain(&text),
            Sasl::LoginUser => SaslStep::Ask("UGFzc3dvcmQ6", Sasl::LoginPassword { user: text }),
            Sasl::LoginPassword { user } => SaslStep::Verify { user, password: Secret(text) },
        }
    }
}

/// `[authzid] NUL authcid NUL password`. Nobody acts for another here.
fn plain(text: &str) -> SaslStep {
    let mut parts = text.split('\0');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(acting_for), Some(user), Some(password), None)
            if acting_for.is_empty() || acting_for == user =>
        {
            SaslStep::Verify { user: user.to_owned(), password: Secret(password.to_owned()) }
        }
        _ => SaslStep::Malformed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verify(user: &str, password: &str) -> SaslStep {
        SaslStep::Verify { user: user.into(), password: Secret(password.into()) }
    }

    #[test]
    fn plain_and_login_name_user_and_password() {
        let initial = STANDARD.encode("\0app\0s3cret");
        assert_eq!(Sasl::begin(Mechanism::Plain, Some(&initial)), verify("app", "s3cret"));
        let SaslStep::Ask("", plain) = Sasl::begin(Mechanism::Plain, None) else { panic!() };
        assert_eq!(plain.read(initial.as_bytes()), verify("app", "s3cret"));
        let SaslStep::Ask("VXNlcm5hbWU6", login) = Sasl::begin(Mechanism::Login, None) else {
            panic!()
        };
        let SaslStep::Ask("UGFzc3dvcmQ6", login) = login.read(b"YXBw") else { panic!() };
        assert_eq!(login.read(b"czNjcmV0"), verify("app", "s3cret"));
    }

    #[test]
    fn rubbish_and_acting_for_another_are_malformed() {
        for text in ["", "app", "\0app", "\0app\0a\0b", "other\0app\0x"] {
            let step = Sasl::Plain.read(STANDARD.encode(text).as_bytes());
            assert_eq!(step, SaslStep::Malformed, "{text:?}");
        }
        assert_eq!(Sasl::Plain.read(b"!!"), SaslStep::Malformed);
        assert_eq!(Sasl::Plain.read(b"*"), SaslStep::Cancelled);
        assert!(!format!("{:?}", verify("app", "hush")).contains("hush"));
    }
}
