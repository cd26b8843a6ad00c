//! SPF, DKIM and DMARC of mail that came in.
//!
//! Owns:       what is looked up for it, how long that may take.
//! Promises:   an end after `WAIT_MAX`; at most `SIGNATURES_MAX` signatures are looked at.
//! Knows not:  what follows from a failure.

use std::net::IpAddr;
use std::time::Duration;

use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{AuthenticatedMessage, DkimResult, DmarcResult, MessageAuthenticator, SpfResult};

use super::Resolver;

const WAIT_MAX: Duration = Duration::from_secs(20);
const SIGNATURES_MAX: usize = 10;

/// How a mail came in.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a> {
    pub peer: IpAddr,
    pub ehlo: &'a str,
    /// The envelope sender; empty for a report.
    pub sender: &'a str,
    pub host_name: &'a str,
    pub mail: &'a [u8],
}

/// The results, in the words of RFC 8601.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticity {
    pub spf: &'static str,
    pub dkim: &'static str,
    pub dmarc: &'static str,
    /// Of the From field; empty where there is none.
    pub from_domain: String,
}

const UNKNOWN: Authenticity = Authenticity {
    spf: "temperror",
    dkim: "temperror",
    dmarc: "temperror",
    from_domain: String::new(),
};

impl Resolver {
    /// Looks at a mail; name servers that fail are a `temperror`.
    pub async fn authenticate(&self, arrived: Arrived<'_>) -> Authenticity {
        let looking = self.looked_at(arrived);
        tokio::time::timeout(WAIT_MAX, Box::pin(looking)).await.unwrap_or(UNKNOWN)
    }

    async fn looked_at(&self, arrived: Arrived<'_>) -> Authenticity {
        let authenticator = MessageAuthenticator(self.inner.asker.library().clone());
        let Arrived { peer, ehlo, sender, host_name, mail } = arrived;
        let parameters = match sender {
            "" => SpfParameters::verify_ehlo(peer, ehlo, host_name),
            sender => SpfParameters::verify_mail_from(peer, ehlo, host_name, sender),
        };
        let spf = authenticator.verify_spf(parameters).await;
        let Some(mut message) = AuthenticatedMessage::parse(mail) else {
            return Authenticity {
                spf: spf_word(spf.result()),
                dkim: "none",
                dmarc: "none",
                from_domain: String::new(),
            };
        };
        message.dkim_headers.truncate(SIGNATURES_MAX);
        let dkim = authenticator.verify_dkim(&message).await;
        let domain = sender.rsplit_once('@').map_or(ehlo, |(_, domain)| domain);
        let parameters = DmarcParameters::new(&message, &dkim, domain, &spf);
        let dmarc = authenticator.verify_dmarc(parameters).await;
        let results: Vec<&DkimResult> = dkim.iter().map(|output| output.result()).collect();
        let from = message.from();
        Authenticity {
            spf: spf_word(spf.result()),
            dkim: dkim_word(&results),
            dmarc: dmarc_word(&dmarc.result()),
            from_domain: from.rsplit_once('@').map_or("", |(_, domain)| domain).to_owned(),
        }
    }
}

fn spf_word(result: SpfResult) -> &'static str {
    match result {
        SpfResult::Pass => "pass",
        SpfResult::Fail => "fail",
        SpfResult::SoftFail => "softfail",
        SpfResult::Neutral => "neutral",
        SpfResult::TempError => "temperror",
        SpfResult::PermError => "permerror",
        SpfResult::None => "none",
    }
}

/// The best of them: one signature that holds is enough.
fn dkim_word(results: &[&DkimResult]) -> &'static str {
    let word = |result: &DkimResult| match result {
        DkimResult::Pass => (0, "pass"),
        DkimResult::TempError(_) => (1, "temperror"),
        DkimResult::Fail(_) => (2, "fail"),
        DkimResult::Neutral(_) => (3, "neutral"),
        DkimResult::PermError(_) => (4, "permerror"),
        DkimResult::None => (5, "none"),
    };
    let best = results.iter().map(|result| word(result)).min();
    best.map_or("none", |(_, word)| word)
}

fn dmarc_word(result: &DmarcResult) -> &'static str {
    match result {
        DmarcResult::Pass => "pass",
        DmarcResult::Fail(_) => "fail",
        DmarcResult::TempError(_) => "temperror",
        DmarcResult::PermError(_) => "permerror",
        DmarcResult::None => "none",
    }
}
