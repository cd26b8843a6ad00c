//! Certificates of organizations' hosts.

use serde::{Deserialize, Serialize};

use super::state::words;

words! {
    /// Where the certificate of an organization's host comes from.
    CertificateOrigin {
        /// It is among those of the settings.
        Settings = "settings",
        /// It is asked of the authority.
        Authority = "authority",
        /// Nobody asks for one: this daemon speaks for the host only behind a proxy.
        None = "none",
    }
}

words! {
    /// Whether it is looked if a host leads here before an authority is asked for its certificate.
    HostLook {
        First = "first",
        /// Where this machine cannot reach its own public address.
        Never = "never",
    }
}
