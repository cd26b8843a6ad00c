//! Certificates for the hosts of organizations, asked of an authority (RFC 8555).
//!
//! Owns:       the folder of these certificates and the account; when one is asked for, and when
//!             again after a failure.
//! Promises:   a certificate is renewed once two thirds of its time are over; a failure is an
//!             alarm, and is tried again after ten minutes, then later and later, once a day at
//!             the least; the old certificate stays until there is a new one.
//! Knows not:  who listens with them, what links lead to.

mod order; // one certificate
mod questions; // what the authority asks over plain HTTP
mod validity; // from when to when a certificate holds

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::fetch::Fetcher;
use crate::model::*;
use crate::store::{NewEvent, Store, StoreError};
use crate::token::file;

pub use order::AcmeError;
use order::Authority;
pub use questions::{Questions, serve};

/// How often hosts and certificates are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(30);
const WAIT_FIRST: Duration = Duration::from_secs(600);
const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);
/// Asked for in one look: authorities count.
const ORDERS_MAX: usize = 10;

#[derive(Clone, Debug)]
pub struct AcmeOptions {
    pub directory_url: String,
    /// As in `mailto:admin@example.com`.
    pub contact: Option<String>,
    /// Where certificates stand, a file for each host.
    pub folder: PathBuf,
    /// The account's key, which is made where there is none.
    pub account: PathBuf,
}

/// What moves it on.
pub struct Acme {
    store: Store,
    options: AcmeOptions,
    authority: Authority,
    clock: Clock,
    failures: HashMap<Domain, Failure>,
}

/// Of a host, since it was last given a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failure {
    count: u32,
    again_at: Timestamp,
}

impl Failure {
    /// Ten minutes, and twice as long each time.
    fn after(before: Option<Failure>, now: Timestamp) -> Failure {
        let count = before.map_or(0, |failure| failure.count);
        let wait = WAIT_FIRST.saturating_mul(2u32.saturating_pow(count)).min(WAIT_MAX);
        Failure { count: count.saturating_add(1), again_at: now + wait }
    }
}

/// The file of a host's chain and key.
pub fn file_of(folder: &Path, host: &Domain) -> PathBuf {
    folder.join(format!("{host}.pem"))
}

impl Acme {
    /// Makes the folder.
    pub fn open(
        store: Store,
        fetcher: Fetcher,
        questions: Questions,
        options: AcmeOptions,
        clock: Clock,
    ) -> io::Result<Acme> {
        let mut folder = std::fs::DirBuilder::new();
        folder.recursive(true).mode(0o700).create(&options.folder)?;
        let authority = Authority::new(fetcher, questions, &options);
        Ok(Acme { store, options, authority, clock, failures: HashMap::new() })
    }

    /// Until `stop` turns true.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            tokio::select! {
                looked = self.look() => if let Err(error) = looked {
                    tracing::warn!(%error, "hosts' certificates are looked at later");
                },
                _ = stop.wait_for(|stop| *stop) => return,
            }
            tokio::select! {
                () = self.clock.sleep(LOOK_EVERY) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        let hosts = self.store.public_hosts().await?;
        self.failures.retain(|host, _| hosts.iter().any(|(_, own)| own == host));
        let now = self.clock.now();
        let mut due = Vec::new();
        for (organization, host) in hosts {
            let is_put_off = self.failures.get(&host).is_some_and(|one| one.again_at > now);
            if !is_put_off && self.is_due(&host).await {
                due.push((organization, host));
            }
        }
        for (organization, host) in due.into_iter().take(ORDERS_MAX) {
            self.ask(organization, host).await?;
        }
        Ok(())
    }

    /// By the certificate that is there.
    async fn is_due(&self, host: &Domain) -> bool {
        let Ok(pem) = tokio::fs::read(file_of(&self.options.folder, host)).await else {
            return true;
        };
        validity::of_pem(&pem).is_none_or(|(from, until)| is_old(from, until, self.clock.wall()))
    }

    async fn ask(&mut self, organization: OrganizationId, host: Domain) -> Result<(), StoreError> {
        let path = file_of(&self.options.folder, &host);
        let given = match self.authority.certificate(&host).await {
            Ok(pem) => {
                let writing = tokio::task::spawn_blocking(move || file::write(&path, &pem)).await;
                writing.map_err(io::Error::other).flatten().map_err(AcmeError::File)
            }
            Err(error) => Err(error),
        };
        match given {
            Ok(()) => {
                self.failures.remove(&host);
                tracing::info!(%host, "a host was given a certificate");
                Ok(())
            }
            Err(error) => {
                let now = self.clock.now();
                let failure = Failure::after(self.failures.get(&host).copied(), now);
                tracing::error!(%host, %error, again_at = %failure.again_at, "no certificate");
                self.failures.insert(host.clone(), failure);
                self.alarm(organization, &host, &error, now).await
            }
        }
    }

    async fn alarm(
        &self,
        organization: OrganizationId,
        host: &Domain,
        error: &AcmeError,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let text = format!("the host {host} was given no certificate: {error}");
        let text: String = text.chars().filter(|letter| !letter.is_control()).take(500).collect();
        let (kind, fields) = (EventKind::Alarm, json!({ "text": text, "domain": host }));
        self.store.record_event(NewEvent { at, kind, organization, fields }).await
    }
}

/// Two thirds of its time are over. Pure.
fn is_old(from: Timestamp, until: Timestamp, now: Timestamp) -> bool {
    let life = until.since(from);
    now >= from + life / 3 * 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    #[test]
    fn a_certificate_is_renewed_when_two_thirds_of_its_time_are_over() {
        let at = |days: i64| Timestamp::from_seconds(days * DAY);
        for (days, expected) in [(0, false), (59, false), (60, true), (89, true), (200, true)] {
            assert_eq!(is_old(at(0), at(90), at(days)), expected, "{days}");
        }
        assert!(is_old(at(5), at(5), at(5)), "one that never held");
    }

    #[test]
    fn a_host_that_fails_is_asked_for_later_and_later_and_once_a_day() {
        let now = Timestamp::from_seconds(0);
        let mut failure = None;
        let mut waits = Vec::new();
        for _ in 0..10 {
            let next = Failure::after(failure, now);
            waits.push(next.again_at.seconds() / 60);
            failure = Some(next);
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440]);
    }
}
