//! How a connection to a receiving host is made: its TLS, address family and AUTH.

use serde::{Deserialize, Serialize};

use super::state::words;

words! {
    TlsMode {
        /// Never, even when offered.
        None = "none",
        /// STARTTLS when offered, any certificate; clear text when the handshake fails.
        Opportunistic = "opportunistic",
        /// STARTTLS or a deferral; any certificate.
        Required = "required",
        /// STARTTLS with a certificate that names the host, or a deferral.
        Verified = "verified",
        /// TLS from the first octet (port 465) with a certificate that names the host.
        Implicit = "implicit",
    }
}

words! {
    IpPreference {
        Ipv4Only = "ipv4_only",
        Ipv6Only = "ipv6_only",
        Ipv4First = "ipv4_first",
        Ipv6First = "ipv6_first",
    }
}

words! {
    /// How we sign in at a relay (RFC 4954).
    RelayMechanism { Plain = "plain", Login = "login", Xoauth2 = "xoauth2", }
}
