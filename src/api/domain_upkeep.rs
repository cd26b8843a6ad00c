//! What follows from a look at a domain's records: it is verified, its keys are proved, a change
//! is told.
//!
//! Owns:       the hourly look at every domain.
//! Promises:   a new key signs only once a mail that it signed was verified by the record that the
//!             domain's own name servers give; servers that do not answer change nothing.
//! Knows not:  what a record should say.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;

use super::ApiState;
use super::domain_check::{DomainCheck, Looker, RecordCheck, RecordState};
use super::problem::Problem;
use crate::auth::Auth;
use crate::clock::Clock;
use crate::compose::Composer;
use crate::dkim::{Algorithm, keys, probe};
use crate::dns::prove;
use crate::store::{DkimKeyRow, DomainRow, Store};

/// How often it is seen whether a domain is due.
const PAUSE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_secs(3600);
/// While somebody waits for a domain to be verified or a key to be proved.
const LOOK_OFTEN: Duration = Duration::from_secs(600);

#[derive(Clone)]
pub struct Upkeep {
    looker: Looker,
    store: Store,
    auth: Option<Auth>,
    composer: Option<Composer>,
    clock: Clock,
    dkim_dir: PathBuf,
}

impl Upkeep {
    /// None where nobody can look.
    pub fn of(api: &ApiState) -> Option<Upkeep> {
        Some(Upkeep {
            looker: api.looker.clone()?,
            store: api.store.clone(),
            auth: api.auth.clone(),
            composer: api.composer.clone(),
            clock: api.clock.clone(),
            dkim_dir: api.dkim_dir.clone(),
        })
    }

    /// Until `stop` turns true.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = self.clock.sleep(PAUSE) => {}
                // An error says that the daemon is gone: then this ends too.
                _ = stop.wait_for(|stop| *stop) => return,
            }
            if let Err(problem) = self.look_at_all(&stop).await {
                tracing::warn!(reason = problem.detail, "sending domains could not be looked at");
            }
        }
    }

    async fn look_at_all(&self, stop: &watch::Receiver<bool>) -> Result<(), Problem> {
        let keys = self.store.dkim_keys().await?;
        for row in self.store.domains().await? {
            let waits = row.verified_at.is_none()
                || keys.iter().any(|key| key.domain == row.name && key.proved_at.is_none());
            let every = if waits { LOOK_OFTEN } else { LOOK_EVERY };
            let is_due = row.checked_at.is_none_or(|at| self.clock.now().since(at) >= every);
            if is_due && !*stop.borrow() {
                self.look(&row).await?;
            }
        }
        Ok(())
    }

    /// Looks now, and acts upon what was found.
    pub async fn look(&self, row: &DomainRow) -> Result<DomainCheck, Problem> {
        let mut keys = self.store.dkim_keys().await?;
        keys.retain(|key| key.domain == row.name);
        let returns = self.store.return_domains().await?;
        let own = returns.iter().find(|one| one.organization == row.organization);
        let own = own.map(|one| &one.name);
        let hosts = self.store.public_hosts().await?;
        let links = hosts.iter().find(|(organization, _)| *organization == row.organization);
        let own = (own, links.map(|(_, host)| host));
        let mut check = self.looker.check(row, &keys, own, self.clock.now()).await;
        let is_shown = |record: &RecordCheck| {
            record.purpose == "verification" && record.state == RecordState::Right
        };
        if row.verified_at.is_none() && check.records.iter().any(is_shown) {
            self.store.verify_domain(row.id).await?;
            check.verified = true;
            tracing::info!(domain = %row.name, "a sending domain was verified");
            if let Some(auth) = &self.auth {
                auth.reload().await?;
            }
        }
        self.prove(&keys, &mut check).await?;
        check.ready =
            check.records.iter().all(|one| one.optional || one.state == RecordState::Right);
        self.note(row, &check).await?;
        Ok(check)
    }

    /// Tries the keys whose record stands there.
    async fn prove(&self, keys: &[DkimKeyRow], check: &mut DomainCheck) -> Result<(), Problem> {
        let mut is_news = false;
        for key in keys.iter().filter(|key| key.proved_at.is_none()) {
            let name = record_name(key);
            let own = |record: &&mut RecordCheck| {
                record.name == name && record.state == RecordState::Right
            };
            let Some(record) = check.records.iter_mut().find(own) else { continue };
            let text = record.found.first().cloned().unwrap_or_default();
            match self.try_key(key, &name, &text).await {
                Ok(()) => is_news |= self.store.prove_key(&key.domain, &key.selector).await?,
                Err(why) => {
                    record.state = RecordState::Different;
                    record.note = format!("a mail that it signed was not verified: {why}");
                    tracing::warn!(domain = %key.domain, selector = key.selector, why,
                        "a DKIM key is in DNS and was not proved");
                }
            }
        }
        if let (true, Some(composer)) = (is_news, &self.composer) {
            composer.reload().await.map_err(Problem::ours)?;
            tracing::info!(domain = %check.domain, "a DKIM key was proved and signs from now on");
        }
        Ok(())
    }

    async fn try_key(&self, key: &DkimKeyRow, name: &str, text: &str) -> Result<(), String> {
        let algorithm: Algorithm = key.algorithm.parse().map_err(told)?;
        let (directory, row) = (self.dkim_dir.clone(), key.clone());
        let signing = tokio::task::spawn_blocking(move || {
            let private = keys::read(&directory, &row.domain, &row.selector, algorithm)?;
            probe::signed(&private)
        });
        let mail = signing.await.map_err(told)?.map_err(told)?;
        prove::signatures(&mail, name, text).await
    }

    /// What was not answered stays as it was; the first look is no news.
    async fn note(&self, row: &DomainRow, check: &DomainCheck) -> Result<(), Problem> {
        let mut found: BTreeMap<String, String> = BTreeMap::new();
        for record in check.records.iter().filter(|record| !record.optional) {
            let name = format!("{} {}", record.purpose, record.name);
            let state = match (record.state, row.checked.get(&name)) {
                (RecordState::Unknown, Some(before)) => before.clone(),
                (state, _) => state.word().to_owned(),
            };
            found.insert(name, state);
        }
        let is_news = !row.checked.is_empty() && found != row.checked;
        let news = is_news.then(|| {
            let right = RecordState::Right.word();
            json!({
                "domain": row.name,
                "ready": found.values().all(|state| state == right),
                "verified": check.verified,
                "records": found,
                "before": row.checked,
            })
        });
        Ok(self.store.note_check(row, &found, news).await?)
    }
}

pub(super) fn record_name(key: &DkimKeyRow) -> String {
    format!("{}._domainkey.{}", key.selector, key.domain)
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}
