//! A body becomes the bytes for one transaction: stamped and signed just before it is sent.
//!
//! Owns:       the signing pool and the signatures remembered for retries.
//! Promises:   the same message is sent with the same content at every try while it is remembered;
//!             whoever asks for a message that is being signed waits for that signature.
//! Knows not:  sockets.

pub mod feedback_id; // whose mail it is, for operators' statistics
pub mod key_ring; // which keys sign for which domain
mod letter; // header and parts of what we write ourselves
mod links; // what leads from a mail back to us
mod pool; // the threads that sign
mod recipe; // a campaign's mail, made for one contact
pub mod returns; // what it carries to be known again
mod shelf; // files that mails show or carry
mod submitted; // a submitted mail that tells of its readers
pub mod template; // what a person wrote, rendered for one contact
mod text_links; // where links stand in plain text
mod track; // links that tell of readers

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::OnceCell;

use crate::clock::Clock;
use crate::contacts::Contact;
use crate::dkim::DkimError;
use crate::model::*;
use crate::store::{MessageRow, Store, StoreError};
use key_ring::{KeyRing, Keys};
pub use letter::Letter;
pub use links::{Confirmation, Links, Person};
use pool::{Job, SigningPool};
pub use recipe::{RecipeError, source};
use returns::Returns;
pub use shelf::{Attached, Shelf};

/// Signatures kept, at some 1.2 KiB each; the newest stay. A retry that comes later signs anew.
const REMEMBERED_MAX: u64 = 4096;
/// Longer than a full queue before the pool takes.
const SIGN_WAIT: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// A key that should sign cannot be read or used: deferred, blame ourselves.
    #[error("the DKIM key of {domain} cannot be used: {why}")]
    Key { domain: String, why: String },
    /// The mail itself cannot be signed, or the pool did not answer: deferred, blame ourselves.
    #[error("the mail was not signed: {0}")]
    Unsigned(String),
    /// Domains and keys could not be listed; what was known before is used on.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A cheap handle; all clones share keys and pool.
#[derive(Clone)]
pub struct Composer(Arc<Inner>);

struct Inner {
    /// None: the keys never change.
    origin: Option<(Store, PathBuf)>,
    ring: ArcSwap<KeyRing>,
    returns: OnceLock<Returns>,
    pool: SigningPool,
    /// Of a mail, or of one delivery's own.
    signatures: Cache<(MessageId, Option<DeliveryId>), Arc<OnceCell<Bytes>>>,
    recipes: recipe::Recipes,
    links: OnceLock<Links>,
    /// The stream of the daemon's own mail, and the domain that it is from.
    own: OnceLock<(StreamId, Domain)>,
    shelf: OnceLock<Shelf>,
    clock: Clock,
}

impl Composer {
    /// Reads the private keys in `dkim_directory` of every key the store knows. A key that cannot
    /// be read stops only the mail of its domain; it is logged here and named in `compose`.
    pub async fn open(
        store: Store,
        dkim_directory: &Path,
        clock: Clock,
    ) -> Result<Composer, ComposeError> {
        let ring = read_ring(&store, dkim_directory).await?;
        Ok(Composer::build(Some((store, dkim_directory.to_owned())), ring, clock))
    }

    /// With keys that never change: for tests and the simulated internet.
    pub fn with_keys(ring: KeyRing, clock: Clock) -> Composer {
        Composer::build(None, ring, clock)
    }

    fn build(origin: Option<(Store, PathBuf)>, ring: KeyRing, clock: Clock) -> Composer {
        let signatures = Cache::builder()
            .max_capacity(REMEMBERED_MAX)
            .eviction_policy(EvictionPolicy::lru())
            .build();
        let ring = ArcSwap::from_pointee(ring);
        let (pool, recipes, links) = (SigningPool::start(), Default::default(), OnceLock::new());
        let (returns, own, shelf) = Default::default();
        let inner =
            Inner { origin, ring, returns, pool, signatures, recipes, links, own, shelf, clock };
        Composer(Arc::new(inner))
    }

    /// From now on mail has return paths of ours; the first call wins.
    pub fn return_to(&self, returns: Returns) {
        if self.0.returns.set(returns).is_err() {
            tracing::warn!("mail has return paths already; the second are left out");
        }
    }

    /// Mail of this stream that has no sender is signed for this domain; the first call wins.
    pub fn own(&self, stream: StreamId, domain: Domain) {
        if self.0.own.set((stream, domain)).is_err() {
            tracing::warn!("the daemon's own stream is known already");
        }
    }

    /// The envelope sender of a transaction that begins with this delivery.
    pub fn sender(&self, message: &MessageRow, first: DeliveryId) -> ReversePath {
        match self.0.returns.get() {
            Some(returns) => returns.sender(message, first),
            None => message.sender.clone(),
        }
    }

    /// The mail with the field that names the delivery, where something may come back for it.
    pub fn marked(&self, mut mail: Mail, message: &MessageRow, first: DeliveryId) -> Mail {
        let field = self.0.returns.get().and_then(|returns| returns.field(message, first));
        if let Some(field) = field {
            mail.chunks.insert(0, field);
        }
        mail
    }

    /// Domains or keys were added, or SIGHUP: reads them again.
    ///
    /// # Errors
    /// `Store`; the keys read before stay in use then.
    pub async fn reload(&self) -> Result<(), ComposeError> {
        if let Some((store, directory)) = &self.0.origin {
            self.0.ring.store(Arc::new(read_ring(store, directory).await?));
            self.0.signatures.invalidate_all();
        }
        if let Some(returns) = self.0.returns.get() {
            returns.reload().await?;
        }
        self.reload_hosts().await?;
        Ok(())
    }

    /// Where links in mail of organizations lead was changed.
    pub async fn reload_hosts(&self) -> Result<(), StoreError> {
        if let (Some((store, _)), Some(links)) = (&self.0.origin, self.0.links.get()) {
            links.lead_to(store.public_hosts().await?);
        }
        Ok(())
    }

    fn links_of(&self, organization: OrganizationId) -> Option<Links> {
        self.0.links.get().map(|links| links.of(organization))
    }

    /// The body with its signatures in front; remembered, so that a retry or another recipient
    /// domain of the same message pays nothing. Signs on threads of its own.
    ///
    /// # Errors
    /// Each of them is our own trouble: the delivery is deferred.
    pub async fn compose(
        &self,
        message: &MessageRow,
        first: DeliveryId,
        body: Bytes,
    ) -> Result<Mail, ComposeError> {
        let (read, body) = self.with_readers(message, first, body).await?;
        let (own, body) = self.with_ways(message, first, body);
        let (own, body) = (own.or(read), feedback_id::added(message, body));
        let Some(job) = self.job(message, &body)? else {
            return Ok(Mail { chunks: vec![body] });
        };
        // The first to come signs; others of the same message wait for the same cell.
        let cell = self.0.signatures.get_with((message.id, own), Arc::default);
        let signed = cell.get_or_try_init(|| self.sign(job)).await?;
        Ok(Mail { chunks: vec![signed.clone(), body] })
    }

    /// Whether each recipient of the mail needs one of his own.
    pub fn is_personal(&self, message: &MessageRow) -> bool {
        self.tells_of_readers(message) || self.tells_how_to_leave(message)
    }

    fn tells_of_readers(&self, message: &MessageRow) -> bool {
        message.tracking.is_some() && self.0.links.get().is_some()
    }

    fn tells_how_to_leave(&self, message: &MessageRow) -> bool {
        let may_return = |returns: &Returns| returns.domain_of(message.organization).is_some();
        let has_way = self.0.links.get().is_some() || self.0.returns.get().is_some_and(may_return);
        message.rank > 0 && message.sender.0.is_some() && has_way
    }

    /// The body with links and a pixel that tell of its readers, and whose delivery it is then. The
    /// one in the spool stays as it was, for all recipients.
    async fn with_readers(
        &self,
        message: &MessageRow,
        first: DeliveryId,
        body: Bytes,
    ) -> Result<(Option<DeliveryId>, Bytes), ComposeError> {
        let links = self.links_of(message.organization);
        let (Some(tracking), Some(links)) = (message.tracking, links) else {
            return Ok((None, body));
        };
        let original = body.clone();
        let claim = crate::token::Claim { message: message.id, delivery: first };
        // Milliseconds of work for a large mail: others are not kept waiting for them.
        let rewriting =
            tokio::task::spawn_blocking(move || links.in_mail(&original, claim, tracking));
        match rewriting.await.map_err(|error| ComposeError::Unsigned(error.to_string()))? {
            Some(rewritten) => Ok((Some(first), rewritten.into())),
            None => Ok((None, body)),
        }
    }

    /// The body with fields that tell how to leave, and whose delivery it is then.
    fn with_ways(
        &self,
        message: &MessageRow,
        first: DeliveryId,
        body: Bytes,
    ) -> (Option<DeliveryId>, Bytes) {
        let Some(returns) = self.0.returns.get().filter(|_| self.tells_how_to_leave(message))
        else {
            return (None, body);
        };
        let claim = crate::token::Claim { message: message.id, delivery: first };
        let links = self.links_of(message.organization);
        let person = links.map(|links| links.person(claim, message.accepted_at));
        let link = person.as_ref().map(|person| person.unsubscribe_url.as_str());
        match returns.list_fields(message, first, link, &body) {
            Some(mut own) => {
                own.extend_from_slice(&body);
                (Some(first), own.into())
            }
            None => (None, body),
        }
    }

    /// As `compose`, for a body that is one delivery's alone.
    async fn signed(&self, message: &MessageRow, body: Bytes) -> Result<Mail, ComposeError> {
        match self.job(message, &body)? {
            Some(job) => Ok(Mail { chunks: vec![self.sign(job).await?, body] }),
            None => Ok(Mail { chunks: vec![body] }),
        }
    }

    /// None where no key signs.
    fn job(&self, message: &MessageRow, body: &Bytes) -> Result<Option<Job>, ComposeError> {
        let keys = match self.0.ring.load().keys_of(message, self.0.own.get()) {
            Some(Keys::Ready(keys)) => keys,
            Some(Keys::Broken { domain, why }) => {
                return Err(ComposeError::Key { domain: domain.to_string(), why });
            }
            None => {
                tracing::debug!(message = %message.id, "no DKIM key: the mail goes out unsigned");
                return Ok(None);
            }
        };
        let (at, marketing) = (self.0.clock.wall(), message.rank > 0);
        Ok(Some(Job { mail: body.clone(), keys, at, marketing }))
    }

    pub fn links(&self) -> Option<&Links> {
        self.0.links.get()
    }

    /// Where links in mails of campaigns lead; the first call wins.
    pub fn link_to(&self, links: Links) {
        if self.0.links.set(links).is_err() {
            tracing::warn!("the composer knows where links lead already");
        }
    }

    async fn sign(&self, job: Job) -> Result<Bytes, ComposeError> {
        let domain = job.keys.first().map(|key| key.domain.to_string()).unwrap_or_default();
        let answer = tokio::time::timeout(SIGN_WAIT, self.0.pool.sign(job)).await;
        match answer {
            Ok(Some(Ok(fields))) => Ok(fields),
            Ok(Some(Err(error @ DkimError::Header(_)))) => {
                Err(ComposeError::Unsigned(error.to_string()))
            }
            Ok(Some(Err(error))) => Err(ComposeError::Key { domain, why: error.to_string() }),
            Ok(None) => Err(ComposeError::Unsigned("a signing thread failed".into())),
            Err(_) => Err(ComposeError::Unsigned("the signing threads are too busy".into())),
        }
    }
}

/// What a mail may tell of a contact.
pub fn person_of(contact: Contact) -> PinnedPerson {
    let Contact { email, name, language, time_zone, tags, fields, .. } = contact;
    PinnedPerson { email, name, language, time_zone, tags, fields, ..PinnedPerson::default() }
}

/// A contact's values as templates name them.
pub fn values(contact: &PinnedPerson, person: &Person) -> serde_json::Value {
    use serde_json::{Map, Value, json};

    let mut values = contact.fields.clone();
    let own = [
        ("email", json!(contact.email)),
        ("name", json!(contact.name)),
        ("language", json!(contact.language)),
        ("time_zone", json!(contact.time_zone)),
        ("tags", json!(contact.tags)),
        ("unsubscribe_url", json!(person.unsubscribe_url)),
        ("preferences_url", json!(person.preferences_url)),
        ("browser_url", json!(person.browser_url)),
        ("confirm_url", json!(person.confirm_url)),
    ];
    let mut inner: Map<String, Value> =
        own.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    inner.insert("fields".to_owned(), Value::Object(contact.fields.clone()));
    values.extend(own.map(|(name, value)| (name.to_owned(), value)));
    values.insert("contact".to_owned(), Value::Object(inner));
    Value::Object(values)
}

/// What a campaign gives to all its mails, where it gives anything.
pub fn with_data(
    mut values: serde_json::Value,
    data: &serde_json::Map<String, serde_json::Value>,
) -> serde_json::Value {
    if let Some(values) = values.as_object_mut().filter(|_| !data.is_empty()) {
        values.insert("data".to_owned(), serde_json::Value::Object(data.clone()));
    }
    values
}

async fn read_ring(store: &Store, directory: &Path) -> Result<KeyRing, ComposeError> {
    let (domains, rows) = (store.domains().await?, store.dkim_keys().await?);
    let directory = directory.to_owned();
    let reading = tokio::task::spawn_blocking(move || KeyRing::read(&directory, &domains, &rows));
    reading.await.map_err(|error| ComposeError::Unsigned(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dkim::{Algorithm, PrivateKey};
    use crate::store::samples;

    const MAIL: &[u8] = b"From: ann@shop.example\r\nSubject: x\r\n\r\nbody\r\n";

    fn domain(text: &str) -> Domain {
        Domain::parse(text).expect("lawful")
    }

    fn keys(name: &str) -> Keys {
        let make = |algorithm| PrivateKey::generate(&domain(name), "s", algorithm).expect("a key");
        Keys::Ready(Algorithm::ALL.map(make).into())
    }

    fn composer() -> Composer {
        let mut ring = KeyRing::default();
        let name = domain("shop.example");
        ring.add(OrganizationId::FIRST, DomainId(1), &name, keys("shop.example"));
        let broken = Keys::Broken { domain: domain("broken.example"), why: "gone".into() };
        ring.add(OrganizationId::FIRST, DomainId(2), &domain("broken.example"), broken);
        Composer::with_keys(ring, Clock::standing(1))
    }

    fn message(id: i64, domain: Option<i64>, sender: &str) -> MessageRow {
        MessageRow {
            id: MessageId(id),
            domain: domain.map(DomainId),
            body: BodyRef { segment: SegmentId(1), offset: 0, length: MAIL.len() as u64 },
            ..samples::message(sender)
        }
    }

    async fn chunks(composer: &Composer, message: &MessageRow) -> Vec<Bytes> {
        let mail = composer.compose(message, DeliveryId(1), Bytes::from_static(MAIL)).await;
        mail.expect("composed").chunks
    }

    #[tokio::test]
    async fn a_mail_gets_both_signatures_in_front_and_its_body_is_not_copied() {
        let chunks = chunks(&composer(), &message(1, Some(1), "")).await;
        let fields = String::from_utf8(chunks[0].to_vec()).expect("text");
        assert_eq!(fields.matches("DKIM-Signature: ").count(), 2);
        assert!(fields.contains("a=rsa-sha256;") && fields.contains("a=ed25519-sha256;"));
        assert_eq!(chunks[1].as_ptr(), MAIL.as_ptr());
    }

    #[tokio::test]
    async fn a_retry_carries_the_first_signature_also_when_many_ask_at_once() {
        let (composer, row) = (composer(), message(1, Some(1), ""));
        let first = tokio::join!(chunks(&composer, &row), chunks(&composer, &row));
        assert_eq!(first.0[0].as_ptr(), first.1[0].as_ptr());
        assert_eq!(chunks(&composer, &row).await[0].as_ptr(), first.0[0].as_ptr());
        let other = chunks(&composer, &message(2, Some(1), "")).await;
        assert_ne!(other[0].as_ptr(), first.0[0].as_ptr());
    }

    #[tokio::test]
    async fn without_keys_a_mail_goes_out_as_it_is() {
        let composer = composer();
        assert_eq!(chunks(&composer, &message(1, Some(7), "a@shop.example")).await.len(), 1);
        assert_eq!(chunks(&composer, &message(2, None, "")).await.len(), 1);
        assert_eq!(chunks(&composer, &message(3, None, "a@other.example")).await.len(), 1);
        assert_eq!(chunks(&composer, &message(4, None, "a@below.shop.example")).await.len(), 2);
    }

    #[tokio::test]
    async fn a_key_that_cannot_be_used_stops_its_mail_and_no_other() {
        let composer = composer();
        let answer = composer
            .compose(&message(1, Some(2), ""), DeliveryId(1), Bytes::from_static(MAIL))
            .await;
        assert!(
            matches!(answer, Err(ComposeError::Key { domain, .. }) if domain == "broken.example")
        );
        assert_eq!(chunks(&composer, &message(2, Some(1), "")).await.len(), 2);
    }
}
