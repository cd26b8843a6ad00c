//! Who is it, and what may he send as; for SMTP and HTTP alike.
//!
//! Owns:       password hashing, the cache of checked secrets, the directory of who owns what.
//! Promises:   one answer and one duration for unknown user, wrong password and revoked (A11).
//! Knows not:  SMTP, HTTP.

mod directory;
mod patience;
pub mod people;
mod rate;
mod secrets;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::{hmac, rand::SystemRandom};
use moka::sync::Cache;
use tokio::sync::{Semaphore, SemaphorePermit, watch};

use self::directory::Directory;
use self::patience::{Patience, Visitor};
use crate::clock::Clock;
use crate::model::*;
use crate::store::{Store, StoreError};
use crate::wire::network::Network;

pub use directory::Rows;
pub use patience::prefix;
pub use secrets::{hash_secret, new_secret, new_token, random_octets};

/// Somebody who may submit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// None for a person who sends in the panel.
    pub credential: Option<CredentialId>,
    /// The credential's name, for logs.
    pub name: String,
    pub organization: OrganizationId,
    pub stream: StreamId,
    pub rules: Arc<CredentialRules>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    #[error("unknown user or wrong password")]
    Refused,
    /// Too many failures of this account or address prefix; asked again too early.
    #[error("too many failures; wait")]
    Locked,
    #[error("credentials cannot be checked now")]
    Unavailable,
}

/// 19 MiB and a core each while they run.
const HASHERS: usize = 2;
/// Who comes when so many wait already is sent away.
const HASHERS_WAITING_MAX: usize = 200;
const HASH_WAIT_MAX: Duration = Duration::from_secs(20);
/// A secret that was right is not hashed again for so long; a change in the directory counts at
/// once all the same.
const CHECKED_FOR: Duration = Duration::from_secs(15 * 60);
const CHECKED_MAX: u64 = 10_000;
/// The last use of a credential is written down no more often.
const USE_NOTED_EVERY: Duration = Duration::from_secs(10 * 60);

/// A cheap handle. Holds domains, streams and credentials in memory; `reload` after a change.
#[derive(Clone)]
pub struct Auth(Arc<Inner>);

struct Inner {
    /// None when the rows were handed in.
    store: Option<Store>,
    trusted: Vec<(Network, String)>,
    directory: ArcSwap<Directory>,
    changed: watch::Sender<()>,
    /// By a digest of user and secret under a key of this process: the hash it was right for.
    checked: Cache<[u8; 32], Arc<str>>,
    digest_key: hmac::Key,
    patience: Patience,
    rates: rate::Rates,
    /// When the use of a credential was last written down.
    used: Cache<CredentialId, Timestamp>,
    clock: Clock,
    hashers: Semaphore,
    waiting: Semaphore,
}

impl Auth {
    /// `trusted`: networks that need no AUTH, each standing for a credential by name; of several
    /// that hold an address the first counts.
    pub async fn open(
        store: Store,
        trusted: Vec<(Network, String)>,
        clock: Clock,
    ) -> Result<Auth, StoreError> {
        let rows = read(&store).await?;
        Auth::build(Some(store), rows, trusted, clock)
    }

    /// From rows that come from elsewhere; `reload` does nothing.
    pub fn of_rows(
        rows: Rows,
        trusted: Vec<(Network, String)>,
        clock: Clock,
    ) -> Result<Auth, StoreError> {
        Auth::build(None, rows, trusted, clock)
    }

    fn build(
        store: Option<Store>,
        rows: Rows,
        trusted: Vec<(Network, String)>,
        clock: Clock,
    ) -> Result<Auth, StoreError> {
        let digest_key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| StoreError::Unavailable("the system gives no random octets".into()))?;
        let directory = ArcSwap::from_pointee(Directory::of(rows, &trusted));
        Ok(Auth(Arc::new(Inner {
            store,
            trusted,
            directory,
            changed: watch::Sender::new(()),
            checked: Cache::builder().max_capacity(CHECKED_MAX).time_to_live(CHECKED_FOR).build(),
            digest_key,
            patience: Patience::new(clock.clone()),
            rates: rate::Rates::new(clock.clone()),
            used: Cache::new(CHECKED_MAX),
            clock,
            hashers: Semaphore::new(HASHERS),
            waiting: Semaphore::new(HASHERS_WAITING_MAX),
        })))
    }

    pub async fn reload(&self) -> Result<(), StoreError> {
        let Some(store) = &self.0.store else { return Ok(()) };
        let rows = read(store).await?;
        self.replace(rows);
        Ok(())
    }

    /// Takes these rows instead of those held; revocations and new secrets count at once.
    pub fn replace(&self, rows: Rows) {
        self.0.directory.store(Arc::new(Directory::of(rows, &self.0.trusted)));
        self.0.changed.send_replace(());
    }

    /// Told after each change of the directory.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.0.changed.subscribe()
    }

    /// The credential has not been revoked since.
    pub fn is_current(&self, who: &Identity) -> bool {
        let directory = self.0.directory.load();
        let entry = directory.credential(&who.name);
        entry.is_some_and(|entry| entry.identity.credential == who.credential)
    }

    /// Constant work whoever asks; argon2 runs off the async threads, once for each secret. The
    /// answer to a wrong secret is delayed, the longer the more often somebody was wrong.
    pub async fn verify(
        &self,
        user: &str,
        password: &str,
        peer: IpAddr,
    ) -> Result<Identity, AuthError> {
        let inner = &*self.0;
        let asked = inner.clock.now();
        let visitor = inner.patience.visitor(user, peer);
        let answer = inner.judge(user, password, visitor).await;
        let answer = answer.and_then(|identity| inner.used_from(identity, peer));
        if matches!(answer, Err(AuthError::Refused | AuthError::Locked)) {
            inner.clock.sleep_until(asked + inner.patience.delay(visitor)).await;
        }
        answer
    }

    /// By one text alone, `NAME:SECRET`: what Postal's clients call a key.
    pub async fn verify_key(&self, key: &str, peer: IpAddr) -> Result<Identity, AuthError> {
        let (user, secret) = key.split_once(':').unwrap_or(("", key));
        self.verify(user, secret, peer).await
    }

    /// Postal's clients sign in to SMTP with any user name: then the password is such a key.
    pub async fn verify_login(
        &self,
        user: &str,
        password: &str,
        peer: IpAddr,
    ) -> Result<Identity, AuthError> {
        let directory = self.0.directory.load_full();
        let is_known = |name: &str| directory.credential(name).is_some();
        match password.split_once(':') {
            Some((name, _)) if !is_known(user) && is_known(name) => {
                self.verify_key(password, peer).await
            }
            _ => self.verify(user, password, peer).await,
        }
    }

    /// What is left of the rate of a credential, if it has one.
    pub fn allowance(&self, identity: &Identity) -> Option<rate::Allowance> {
        Some(self.0.rates.allowance(identity.credential?, identity.rules.rate_hour?))
    }

    pub fn trusted(&self, peer: IpAddr) -> Option<Identity> {
        let identity = self.0.directory.load().trusted(peer).cloned()?;
        self.0.used_from(identity, peer).ok()
    }

    /// Counts mails against the rate of a credential; else how long to wait.
    pub fn take(&self, identity: &Identity, mails: u32) -> Result<(), Duration> {
        match (identity.rules.rate_hour, identity.credential) {
            (Some(rate), Some(credential)) => self.0.rates.take(credential, rate, mails),
            _ => Ok(()),
        }
    }

    /// The organization's own domain that covers `domain` (itself or a parent), if any.
    pub fn sending_domain(
        &self,
        organization: OrganizationId,
        domain: &Domain,
    ) -> Option<DomainId> {
        self.0.directory.load().sending_domain(organization, domain)
    }

    /// A stream of the organization by name: `X-Postroad-Stream`.
    pub fn stream(&self, organization: OrganizationId, name: &str) -> Option<StreamId> {
        self.0.directory.load().stream(organization, name)
    }

    /// 0 transactional, 1 marketing.
    pub fn rank(&self, stream: StreamId) -> i64 {
        self.0.directory.load().rank(stream)
    }

    /// What mail of this stream and sending domain tells of its readers, unless it says so itself.
    pub fn tracking(&self, stream: StreamId, domain: DomainId) -> Tracking {
        self.0.directory.load().tracking(stream, domain)
    }
}

async fn read(store: &Store) -> Result<Rows, StoreError> {
    Ok(Rows {
        credentials: store.credentials().await?,
        domains: store.domains().await?,
        streams: store.streams().await?,
        stream_tracking: store.stream_tracking().await?,
        domain_tracking: store.domain_tracking().await?,
    })
}

impl Inner {
    async fn judge(
        &self,
        user: &str,
        password: &str,
        visitor: Visitor,
    ) -> Result<Identity, AuthError> {
        let digest = self.digest(user, password);
        if let Some(answer) = self.known(user, &digest, visitor) {
            return answer;
        }
        let _turn = self.turn().await?;
        // Of many sessions that came with one secret, the first has answered for all; and of many
        // that guess at once, no more than the hashers hold get past the lock.
        if let Some(answer) = self.known(user, &digest, visitor) {
            return answer;
        }
        let hashes = self.directory.load().credential(user).map(|entry| {
            let before = entry.hash_before.clone();
            [Some(entry.hash.clone()), before].into_iter().flatten().collect::<Vec<_>>()
        });
        let (found, hashes) =
            (hashes.is_some(), hashes.unwrap_or_else(|| vec![secrets::NOBODY.into()]));
        let secret = password.to_owned();
        let matching = move || hashes.into_iter().find(|hash| secrets::matches(&secret, hash));
        let right = tokio::task::spawn_blocking(matching).await;
        let right = right.map_err(|_| AuthError::Unavailable)?.filter(|_| found);
        if let Some(hash) = right {
            self.checked.insert(digest, hash);
            if let Some(Ok(identity)) = self.known(user, &digest, visitor) {
                self.patience.welcome(visitor);
                return Ok(identity);
            }
        }
        self.patience.wrong(visitor);
        Err(AuthError::Refused)
    }

    /// The answer, where it needs no hash: a secret that was right before and still is, or a lock.
    fn known(
        &self,
        user: &str,
        digest: &[u8; 32],
        visitor: Visitor,
    ) -> Option<Result<Identity, AuthError>> {
        if self.patience.is_locked(visitor) {
            return Some(Err(AuthError::Locked));
        }
        let checked = self.checked.get(digest)?;
        let directory = self.directory.load();
        let entry = directory.credential(user).filter(|entry| entry.is_hash(&checked))?;
        Some(Ok(entry.identity.clone()))
    }

    /// The secret is right; may it be used from there, and has it not run out?
    fn used_from(&self, identity: Identity, peer: IpAddr) -> Result<Identity, AuthError> {
        let now = self.clock.now();
        let directory = self.directory.load();
        let entry = directory.credential(&identity.name).ok_or(AuthError::Refused)?;
        if !entry.may_be_used(peer, now) {
            return Err(AuthError::Refused);
        }
        self.note_use(&identity, entry.used_at, peer, now);
        Ok(identity)
    }

    /// Now and then, and beside what is asked: nobody waits for it.
    fn note_use(
        &self,
        identity: &Identity,
        noted: Option<Timestamp>,
        peer: IpAddr,
        now: Timestamp,
    ) {
        let Some(id) = identity.credential else { return };
        let noted = self.used.get(&id).or(noted);
        if noted.is_some_and(|at| now.since(at) < USE_NOTED_EVERY) {
            return;
        }
        self.used.insert(id, now);
        let organization = identity.organization;
        let (Some(store), name) = (self.store.clone(), identity.name.clone()) else { return };
        tokio::spawn(async move {
            let noted = match noted {
                Some(_) => store.use_credential(id).await,
                None => {
                    let fields = serde_json::json!({ "credential": name, "address": peer });
                    store.use_credential_first(id, organization, fields).await.map(|_| ())
                }
            };
            if let Err(error) = noted {
                tracing::warn!(credential = %name, reason = %error, "its use was not noted");
            }
        });
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, AuthError> {
        let _place = self.waiting.try_acquire().map_err(|_| AuthError::Unavailable)?;
        tokio::select! {
            biased;
            turn = self.hashers.acquire() => turn.map_err(|_| AuthError::Unavailable),
            () = self.clock.sleep(HASH_WAIT_MAX) => Err(AuthError::Unavailable),
        }
    }

    fn digest(&self, user: &str, password: &str) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.digest_key);
        context.update(&(user.len() as u64).to_le_bytes());
        context.update(user.as_bytes());
        context.update(password.as_bytes());
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{CredentialRow, DomainRow, StreamRow};

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn credential(name: &str, secret: &str) -> CredentialRow {
        CredentialRow {
            id: CredentialId(7),
            organization: OrganizationId(1),
            name: name.into(),
            secret_hash: hash_secret(secret),
            secret_hash_before: None,
            stream: StreamId(1),
            rules: CredentialRules::default(),
            created_at: Timestamp(0),
            revoked_at: None,
            used_at: None,
        }
    }

    fn domain(id: i64, name: &str) -> DomainRow {
        DomainRow {
            id: DomainId(id),
            organization: OrganizationId(1),
            name: Domain::parse(name).expect("a domain"),
            created_at: Timestamp(0),
            verified_at: Some(Timestamp(0)),
            checked_at: None,
            checked: Default::default(),
        }
    }

    fn rows() -> Rows {
        let stream = |id, name: &str, class: &str| StreamRow {
            id: StreamId(id),
            organization: OrganizationId(1),
            name: name.into(),
            class: class.into(),
            held_at: None,
            held_reason: None,
        };
        Rows {
            credentials: vec![credential("app", "right")],
            domains: vec![domain(1, "a.example"), domain(2, "mail.a.example")],
            streams: vec![stream(1, "t", "transactional"), stream(2, "m", "marketing")],
            stream_tracking: vec![(StreamId(2), Tracking::Both)],
            domain_tracking: vec![(DomainId(1), Tracking::Opens)],
        }
    }

    fn auth(rows: Rows) -> Auth {
        let trusted = ["10.0.0.0/8 app", "11.0.0.0/8 nobody"].map(|line| {
            let (network, name) = line.split_once(' ').expect("two words");
            (Network::parse(network).expect("a network"), name.to_owned())
        });
        Auth::of_rows(rows, trusted.into(), Clock::system()).expect("randomness")
    }

    #[tokio::test]
    async fn the_right_secret_is_known_and_hashed_once() {
        let auth = auth(rows());
        let identity = auth.verify("app", "right", PEER).await.expect("known");
        assert_eq!(identity.credential, Some(CredentialId(7)));
        // With no hasher to be had, only a remembered secret can be told.
        let _all = auth.0.hashers.acquire_many(2).await.expect("open");
        assert_eq!(auth.verify("app", "right", PEER).await, Ok(identity));
    }

    #[tokio::test]
    async fn a_key_that_names_its_credential_signs_in_under_any_user_name() {
        let auth = auth(rows());
        let known = auth.verify_key("app:right", PEER).await.expect("known");
        for (user, password) in [("org/server", "app:right"), ("", "app:right"), ("app", "right")] {
            assert_eq!(auth.verify_login(user, password, PEER).await, Ok(known.clone()), "{user}");
        }
        for (user, password) in [("app", "app:right"), ("x", "right"), ("x", "app:wrong")] {
            let answer = auth.verify_login(user, password, PEER).await;
            assert_eq!(answer, Err(AuthError::Refused), "{user} {password}");
        }
        assert_eq!(auth.verify_key("right", PEER).await, Err(AuthError::Refused));
    }

    #[tokio::test]
    async fn a_revoked_credential_or_a_new_secret_counts_at_once() {
        let auth = auth(rows());
        auth.verify("app", "right", PEER).await.expect("known");
        auth.replace(Rows { credentials: vec![credential("app", "new")], ..rows() });
        assert_eq!(auth.verify("app", "right", PEER).await, Err(AuthError::Refused));
        auth.verify("app", "new", PEER).await.expect("known");
        let revoked = CredentialRow { revoked_at: Some(Timestamp(1)), ..credential("app", "new") };
        auth.replace(Rows { credentials: vec![revoked], ..rows() });
        assert_eq!(auth.verify("app", "new", PEER).await, Err(AuthError::Refused));
        assert_eq!(auth.trusted("10.1.2.3".parse().expect("an address")), None);
    }

    #[tokio::test]
    async fn unknown_users_and_wrong_passwords_take_the_same_time() {
        let auth = auth(rows());
        for (user, password) in [("app", "wrong"), ("nobody", "right"), ("", "")] {
            let peer = if user == "app" { PEER } else { "192.0.2.9".parse().expect("address") };
            let began = Clock::system().now();
            let answer = auth.verify(user, password, peer).await;
            assert_eq!(answer, Err(AuthError::Refused));
            let took = Clock::system().now().since(began);
            assert!(took >= Duration::from_millis(250), "{user}");
        }
    }

    #[tokio::test]
    async fn trusted_networks_stand_for_their_credential() {
        let auth = auth(rows());
        let peer = |text: &str| text.parse().expect("an address");
        assert_eq!(auth.trusted(peer("10.9.9.9")).map(|who| who.name), Some("app".into()));
        assert_eq!(auth.trusted(peer("::ffff:10.9.9.9")).map(|who| who.name), Some("app".into()));
        assert_eq!(auth.trusted(peer("11.0.0.1")), None);
        assert_eq!(auth.trusted(peer("192.0.2.1")), None);
    }

    #[tokio::test]
    async fn a_domain_that_is_not_verified_is_nobodys() {
        let mut rows = rows();
        rows.domains[0].verified_at = None;
        let name = Domain::parse("a.example").expect("a domain");
        assert_eq!(auth(rows).sending_domain(OrganizationId(1), &name), None);
    }

    #[tokio::test]
    async fn the_nearest_own_domain_covers_what_lies_below_it() {
        let auth = auth(rows());
        let covered = |organization, name: &str| {
            let name = Domain::parse(name).expect("a domain");
            auth.sending_domain(OrganizationId(organization), &name).map(|id| id.0)
        };
        assert_eq!(covered(1, "a.example"), Some(1));
        assert_eq!(covered(1, "x.mail.a.example"), Some(2));
        assert_eq!(covered(1, "xa.example"), None);
        assert_eq!(covered(1, "example"), None);
        assert_eq!(covered(2, "a.example"), None);
        assert_eq!(auth.stream(OrganizationId(1), "m").map(|id| auth.rank(id)), Some(1));
        assert_eq!(auth.rank(StreamId(1)), 0);
    }
}
