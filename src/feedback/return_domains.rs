//! Does mail to an organization's return domain come here?
//!
//! Owns:       the hourly look at every return domain, and what its answer means.
//! Promises:   an alarm when bounces of an organization go astray, once until they come again; name
//!             servers that do not answer change nothing.
//! Knows not:  who may have which domain.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::{Mutex, watch};

use crate::clock::Clock;
use crate::dns::{MailHosts, Resolver};
use crate::model::*;
use crate::store::{ReturnDomainRow, Store, StoreError};

/// How often it is seen whether a domain is due.
const PAUSE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// A cheap handle.
#[derive(Clone)]
pub struct ReturnDomains(Arc<Inner>);

struct Inner {
    store: Store,
    resolver: Resolver,
    /// The installation's own: a CNAME to it leads here too.
    common: Option<Domain>,
    clock: Clock,
    looking: Mutex<()>,
}

impl ReturnDomains {
    pub fn new(
        store: Store,
        resolver: Resolver,
        common: Option<Domain>,
        clock: Clock,
    ) -> ReturnDomains {
        ReturnDomains(Arc::new(Inner { store, resolver, common, clock, looking: Mutex::default() }))
    }

    /// Until `stop` turns true.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = self.0.clock.sleep(PAUSE) => {}
                // An error says that the daemon is gone: then this ends too.
                _ = stop.wait_for(|stop| *stop) => return,
            }
            if let Err(error) = self.look_at_all().await {
                tracing::warn!(%error, "return domains could not be looked at");
            }
        }
    }

    async fn look_at_all(&self) -> Result<(), StoreError> {
        for row in self.0.store.return_domains().await? {
            let now = self.0.clock.now();
            if row.checked_at.is_none_or(|at| now.since(at) >= LOOK_EVERY) {
                self.look(&row).await?;
            }
        }
        Ok(())
    }

    /// Looks now; the row as it stands then.
    ///
    /// # Errors
    /// The ledger does not take what was found.
    pub async fn look(&self, row: &ReturnDomainRow) -> Result<ReturnDomainRow, StoreError> {
        let inner = &self.0;
        // A person may ask while the hourly look goes: who comes second has nothing new to tell.
        let _alone = inner.looking.lock().await;
        let known = inner.store.return_domains().await?.into_iter().find(|one| one.id == row.id);
        let row = &known.unwrap_or_else(|| row.clone());
        let common = match &inner.common {
            Some(common) => inner.resolver.mail_hosts(common).await.ok(),
            None => None,
        };
        let (standing, found) = match inner.resolver.mail_hosts(&row.name).await {
            Ok(hosts) => judged(&hosts, common.as_ref()),
            Err(error) => (ReturnStanding::Unknown, error.to_string()),
        };
        // Silence says nothing about what stands there.
        let standing = match (standing, row.standing) {
            (ReturnStanding::Unknown, Some(before)) => before,
            (now, _) => now,
        };
        let is_lost = matches!(standing, ReturnStanding::Missing | ReturnStanding::Different);
        let alarm = (is_lost && row.standing != Some(standing)).then(|| {
            let text = format!("bounces to {} do not come back: {found}", row.name);
            tracing::error!(alarm = text, "a return domain does not lead here");
            json!({ "text": text, "domain": row.name, "standing": standing })
        });
        let checked_at = Some(inner.clock.now());
        let row = ReturnDomainRow { checked_at, standing: Some(standing), found, ..row.clone() };
        inner.store.note_return_domain(&row, alarm).await?;
        Ok(row)
    }
}

/// What DNS says, and in words what is to be done about it.
fn judged(hosts: &MailHosts, common: Option<&MailHosts>) -> (ReturnStanding, String) {
    let names = |hosts: &MailHosts| -> Vec<String> {
        match hosts {
            MailHosts::Hosts(hosts) => {
                hosts.iter().map(|host| host.name.to_ascii_lowercase()).collect()
            }
            _ => Vec::new(),
        }
    };
    match hosts {
        MailHosts::Ourselves => (ReturnStanding::Right, "its mail comes here".to_owned()),
        MailHosts::Hosts(_) => {
            let (own, ours) = (names(hosts), common.map(names).unwrap_or_default());
            match own.iter().any(|name| ours.contains(name)) {
                true => (ReturnStanding::Right, "its mail comes here".to_owned()),
                false => {
                    (ReturnStanding::Different, format!("its mail goes to {}", own.join(", ")))
                }
            }
        }
        MailHosts::NullMx => (ReturnStanding::Missing, "it takes no mail (null MX)".to_owned()),
        MailHosts::NoSuchDomain => {
            (ReturnStanding::Missing, "there is no such name; it wants a CNAME or an MX".to_owned())
        }
        MailHosts::NoUsableAddress { why } => (ReturnStanding::Missing, why.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::MxHost;

    #[test]
    fn a_domain_is_right_when_its_mail_comes_here_by_whichever_record() {
        let host = |name: &str| MxHost { name: name.into(), preference: 10, addresses: vec![] };
        let hosts =
            |names: &[&str]| MailHosts::Hosts(names.iter().map(|name| host(name)).collect());
        let common = hosts(&["in.mail.example"]);
        let told = |hosts: MailHosts| judged(&hosts, Some(&common)).0;
        assert_eq!(told(MailHosts::Ourselves), ReturnStanding::Right);
        assert_eq!(told(hosts(&["IN.mail.example"])), ReturnStanding::Right);
        assert_eq!(told(hosts(&["mx.elsewhere.example"])), ReturnStanding::Different);
        assert_eq!(told(MailHosts::NoSuchDomain), ReturnStanding::Missing);
        assert_eq!(told(MailHosts::NullMx), ReturnStanding::Missing);
        assert_eq!(judged(&hosts(&["in.mail.example"]), None).0, ReturnStanding::Different);
    }
}
