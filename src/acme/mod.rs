//! Certificates for the hosts of organizations, asked of an authority (RFC 8555).
//!
//! Owns:       the folder of these certificates and the accounts; when one is asked for, and when
//!             again after a failure; what is told of it to the organization.
//! Promises:   a certificate is renewed once two thirds of its time are over; a failure is an
//!             alarm, and is tried again after ten minutes, then later and later, once a day at
//!             the least, also after a restart; the old certificate stays until there is a new
//!             one; an authority is asked only for a host of a verified domain that leads here,
//!             and so many times a day. Keys are files of mode 0600 in a folder of mode 0700.
//! Knows not:  who listens with them, what links lead to.

mod order; // one certificate
mod questions; // what the authority asks over plain HTTP
mod validity; // from when to when a certificate holds

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use serde_json::json;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::fetch::Fetcher;
use crate::model::*;
use crate::store::{HostCertificate, NewEvent, Store, StoreError};
use crate::token::file;

pub use order::AcmeError;
use order::Authority;
pub use questions::{Questions, serve};

/// How often hosts and certificates are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(30);
const WAIT_FIRST: Duration = Duration::from_secs(600);
const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);
/// While the authority was not asked, which costs nobody anything.
const WAIT_UNASKED_MAX: Duration = Duration::from_secs(3600);
/// Between a certificate and the next, however short its life.
const RENEWAL_WAIT_MIN: Duration = Duration::from_secs(3600);
/// Asked for in one look, so that hosts that fail do not keep the others waiting.
const ORDERS_AT_ONCE_MAX: usize = 10;
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Of one organization, whatever becomes of them.
const ORDERS_OF_ONE_MAX: u64 = 20;

#[derive(Clone, Debug)]
pub struct AcmeOptions {
    pub directory_url: String,
    /// As in `mailto:admin@example.com`.
    pub contact: Option<String>,
    /// The account that one has with the authority already, where it asks for one.
    pub binding: Option<Binding>,
    /// Where certificates stand, a file for each host, and accounts, a file for each directory.
    pub folder: PathBuf,
    /// Of the hosts, where the authority asks.
    pub port: u16,
    pub look: HostLook,
    /// Orders of all organizations in a day.
    pub orders_per_day_max: u64,
}

/// An account elsewhere that ours is bound to (RFC 8555 §7.3.4).
#[derive(Clone)]
pub struct Binding {
    pub id: String,
    pub key: Vec<u8>,
}

impl std::fmt::Debug for Binding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Binding {{ id: {:?}, .. }}", self.id)
    }
}

/// The certificate of the settings that holds for a host.
pub type Named = Box<dyn Fn(&Domain) -> Option<CertificateDer<'static>> + Send + Sync>;

/// What moves it on.
pub struct Acme {
    store: Store,
    named: Named,
    clock: Clock,
    /// None: nobody is asked.
    asked: Option<Asked>,
}

struct Asked {
    options: AcmeOptions,
    authority: Authority,
}

/// The file of a host's chain and key.
fn file_of(folder: &Path, host: &Domain) -> PathBuf {
    folder.join(format!("{host}.pem"))
}

impl Acme {
    /// Makes the folder. Without options it only tells what the settings have.
    pub fn open(
        store: Store,
        named: Named,
        fetcher: Fetcher,
        (options, questions): (Option<AcmeOptions>, Questions),
        clock: Clock,
    ) -> io::Result<Acme> {
        let asked = match options {
            None => None,
            Some(options) => {
                let mut folder = std::fs::DirBuilder::new();
                folder.recursive(true).mode(0o700).create(&options.folder)?;
                let authority = Authority::new(fetcher, questions, options.clone(), clock.clone());
                Some(Asked { options, authority })
            }
        };
        Ok(Acme { store, named, clock, asked })
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
        let known = self.store.host_certificates().await?;
        let known: HashMap<Domain, HostCertificate> = known.into_iter().collect();
        let own: HashSet<&Domain> = hosts.iter().map(|(_, host)| host).collect();
        if known.keys().any(|host| !own.contains(host)) {
            self.store.forget_host_certificates().await?;
        }
        self.forget_strays(own.into_iter().cloned().collect()).await;
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let mut due = Vec::new();
        for (organization, host) in hosts {
            let before = known.get(&host);
            let standing = self.standing(&host, before).await;
            if before != Some(&standing) {
                self.store.set_host_certificate(organization, &host, &standing).await?;
            }
            if is_due(&standing, now, wall) {
                due.push((organization, host, standing));
            }
        }
        for (organization, host, standing) in due.into_iter().take(ORDERS_AT_ONCE_MAX) {
            self.ask(organization, &host, standing).await?;
        }
        Ok(())
    }

    /// Files of hosts that are nobody's any more go when their certificates are over: until then
    /// links of mail that went out before lead there.
    async fn forget_strays(&self, own: HashSet<Domain>) {
        let Some(asked) = &self.asked else { return };
        let (folder, wall) = (asked.options.folder.clone(), self.clock.wall());
        let going = tokio::task::spawn_blocking(move || forget_strays(&folder, &own, wall)).await;
        if let Err(error) = going.map_err(io::Error::other).flatten() {
            tracing::warn!(%error, "old certificates of hosts stay");
        }
    }

    /// As it is by the settings, and by the file that is there.
    async fn standing(&self, host: &Domain, before: Option<&HostCertificate>) -> HostCertificate {
        if let Some(der) = (self.named)(host) {
            return blank(CertificateOrigin::Settings, validity::of_der(&der));
        }
        let Some(asked) = &self.asked else { return blank(CertificateOrigin::None, None) };
        let pem = tokio::fs::read(file_of(&asked.options.folder, host)).await;
        let held = pem.ok().and_then(|pem| validity::of_pem(&pem));
        let fresh = blank(CertificateOrigin::Authority, held);
        match before {
            // Its file is gone: another one is not put off.
            Some(before) if held.is_none() && before.valid_until.is_some() => fresh,
            Some(before) if before.origin == CertificateOrigin::Authority => HostCertificate {
                valid_from: fresh.valid_from,
                valid_until: fresh.valid_until,
                ..before.clone()
            },
            _ => fresh,
        }
    }

    async fn ask(
        &mut self,
        organization: OrganizationId,
        host: &Domain,
        standing: HostCertificate,
    ) -> Result<(), StoreError> {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let standing = match self.given(organization, host).await? {
            Ok((from, until)) => {
                tracing::info!(%host, valid_until = %until, "a host was given a certificate");
                let wait = renewal_at(from, until).since(wall).max(RENEWAL_WAIT_MIN);
                let fresh = blank(CertificateOrigin::Authority, Some((from, until)));
                HostCertificate { tried_at: Some(now), again_at: Some(now + wait), ..fresh }
            }
            Err(error) => {
                let left = standing.valid_until.map(|until| until.since(wall));
                let again_at = now + wait_after(standing.failures, error.was_asked(), left);
                tracing::error!(%host, %error, %again_at, "no certificate");
                self.alarm(organization, host, &error, now).await?;
                HostCertificate {
                    failures: standing.failures.saturating_add(1),
                    last_error: Some(shown(&error)),
                    tried_at: Some(now),
                    again_at: Some(again_at),
                    ..standing
                }
            }
        };
        self.store.set_host_certificate(organization, host, &standing).await
    }

    /// Asks the authority, if it may be asked, and keeps what it gave.
    async fn given(
        &mut self,
        organization: OrganizationId,
        host: &Domain,
    ) -> Result<Result<(Timestamp, Timestamp), AcmeError>, StoreError> {
        let Some(asked) = &mut self.asked else { return Ok(Err(AcmeError::NoAuthority)) };
        let (store, now) = (&self.store, self.clock.now());
        let domains = store.domains().await?;
        let is_own = domains.iter().any(|row| {
            row.organization == organization
                && row.verified_at.is_some()
                && host.is_within(&row.name)
        });
        if !is_own {
            return Ok(Err(AcmeError::NotVerified));
        }
        if let Err(error) = asked.authority.leads_here(host).await {
            return Ok(Err(error));
        }
        let orders = store.certificate_orders(now - DAY).await?;
        let own = orders.iter().find(|(own, _)| *own == organization);
        let all: u64 = orders.iter().map(|(_, count)| count).sum();
        if own.is_some_and(|(_, count)| *count >= ORDERS_OF_ONE_MAX) {
            return Ok(Err(AcmeError::TooMany(ORDERS_OF_ONE_MAX)));
        }
        if all >= asked.options.orders_per_day_max {
            return Ok(Err(AcmeError::TooMany(asked.options.orders_per_day_max)));
        }
        store.note_certificate_order((organization, host), now, now - DAY).await?;
        let pem = match asked.authority.certificate(host).await {
            Ok(pem) => pem,
            Err(error) => return Ok(Err(error)),
        };
        let Some((from, until)) = validity::of_pem(pem.as_bytes()) else {
            return Ok(Err(AcmeError::Unreadable));
        };
        if until <= self.clock.wall() {
            return Ok(Err(AcmeError::Over(until)));
        }
        let path = file_of(&asked.options.folder, host);
        let writing = tokio::task::spawn_blocking(move || file::write(&path, &pem)).await;
        let written = writing.map_err(io::Error::other).flatten().map_err(AcmeError::File);
        Ok(written.map(|()| (from, until)))
    }

    async fn alarm(
        &self,
        organization: OrganizationId,
        host: &Domain,
        error: &AcmeError,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let text = format!("the host {host} was given no certificate: {}", shown(error));
        let (kind, fields) = (EventKind::Alarm, json!({ "text": text, "domain": host }));
        self.store.record_event(NewEvent { at, kind, organization, fields }).await
    }
}

/// An authority's own words may be long, or no text.
fn shown(error: &AcmeError) -> String {
    let text = error.to_string();
    text.chars().filter(|letter| !letter.is_control()).take(400).collect()
}

fn blank(origin: CertificateOrigin, held: Option<(Timestamp, Timestamp)>) -> HostCertificate {
    HostCertificate {
        origin,
        valid_from: held.map(|(from, _)| from),
        valid_until: held.map(|(_, until)| until),
        failures: 0,
        last_error: None,
        tried_at: None,
        again_at: None,
    }
}

fn forget_strays(folder: &Path, own: &HashSet<Domain>, wall: Timestamp) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let host = name.strip_suffix(".pem").and_then(|host| Domain::parse(host).ok());
        if host.is_none_or(|host| own.contains(&host)) {
            continue;
        }
        let held = validity::of_pem(&std::fs::read(&path)?);
        if held.is_none_or(|(_, until)| until <= wall) {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Whether the authority is to be asked. Pure.
fn is_due(standing: &HostCertificate, now: Timestamp, wall: Timestamp) -> bool {
    let is_needed = match (standing.valid_from, standing.valid_until) {
        (Some(from), Some(until)) => renewal_at(from, until) <= wall,
        _ => true,
    };
    standing.origin == CertificateOrigin::Authority
        && is_needed
        && standing.again_at.is_none_or(|at| at <= now)
}

/// When two thirds of its time are over. Pure.
fn renewal_at(from: Timestamp, until: Timestamp) -> Timestamp {
    from + until.since(from) / 3 * 2
}

/// Ten minutes, and twice as long each time; nearer to its end a certificate that is still in use
/// is not put off beyond a quarter of what is left of it. Pure.
fn wait_after(failures: u32, was_asked: bool, left: Option<Duration>) -> Duration {
    let longest = if was_asked { WAIT_MAX } else { WAIT_UNASKED_MAX };
    let doubled = WAIT_FIRST.saturating_mul(2u32.saturating_pow(failures)).min(longest);
    match left {
        Some(left) if !left.is_zero() => doubled.min((left / 4).max(WAIT_FIRST)),
        _ => doubled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(days: i64) -> Timestamp {
        Timestamp::from_seconds(days * 86_400)
    }

    #[test]
    fn a_certificate_is_renewed_when_two_thirds_of_its_time_are_over() {
        let standing = blank(CertificateOrigin::Authority, Some((at(0), at(90))));
        for (days, expected) in [(0, false), (59, false), (60, true), (89, true), (200, true)] {
            assert_eq!(is_due(&standing, at(0), at(days)), expected, "{days}");
        }
        let put_off = HostCertificate { again_at: Some(at(2)), ..standing.clone() };
        assert!(!is_due(&put_off, at(1), at(80)) && is_due(&put_off, at(2), at(80)));
        let of_settings = HostCertificate { origin: CertificateOrigin::Settings, ..standing };
        assert!(!is_due(&of_settings, at(0), at(80)), "it is a person's");
        assert!(is_due(&blank(CertificateOrigin::Authority, None), at(0), at(0)));
    }

    #[test]
    fn a_host_that_fails_is_asked_for_later_and_later_and_once_a_day() {
        let minutes = |asked, left: Option<u64>| {
            let left = left.map(|days| DAY * u32::try_from(days).expect("few"));
            let wait = |failures| wait_after(failures, asked, left).as_secs() / 60;
            (0..10).map(wait).collect::<Vec<u64>>()
        };
        let all = [10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440];
        assert_eq!(minutes(true, None), all);
        assert_eq!(minutes(true, Some(30)), all);
        assert_eq!(minutes(true, Some(1)), [10, 20, 40, 80, 160, 320, 360, 360, 360, 360]);
        assert_eq!(minutes(false, None), [10, 20, 40, 60, 60, 60, 60, 60, 60, 60]);
        assert_eq!(wait_after(40, true, Some(Duration::ZERO)), WAIT_MAX, "it is over already");
    }

    #[test]
    fn of_hosts_that_are_nobodys_only_what_is_over_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |host: &str, year: i32| {
            let mut made = rcgen::CertificateParams::new(vec![host.to_owned()]).expect("params");
            made.not_after = rcgen::date_time_ymd(year, 1, 1);
            let key = rcgen::KeyPair::generate().expect("a key");
            let pem = made.self_signed(&key).expect("made").pem();
            std::fs::write(folder.path().join(format!("{host}.pem")), pem).expect("written");
        };
        write("own.test", 2020);
        write("left.test", 2020);
        write("links.test", 3000);
        std::fs::write(folder.path().join("account-1.json"), "{}").expect("written");
        let own = HashSet::from([Domain::parse("own.test").expect("one")]);
        forget_strays(folder.path(), &own, at(20_000)).expect("gone");
        let names = std::fs::read_dir(folder.path())
            .expect("a folder")
            .map(|entry| entry.expect("one").file_name().into_string().expect("text"));
        let names: std::collections::BTreeSet<String> = names.collect();
        assert!(names.into_iter().eq(["account-1.json", "links.test.pem", "own.test.pem"]));
    }
}
