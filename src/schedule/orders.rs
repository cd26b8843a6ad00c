//! What a person changes while mail is sent: rows, routes, sources, limits.
//!
//! Owns:       what has to be read anew, and who is looked at again.
//! Promises:   what was changed holds for the next attempt.
//! Knows not:  who changes it, and how.

use std::sync::Arc;

use super::put_off::Changed;
use super::site::Site;
use super::{Schedule, Shared, route};
use crate::deliver::Trial;
use crate::model::*;
use crate::queue::QueueError;

impl Schedule {
    /// A person changed rows or routes: what is in memory ahead of its turn is read anew, and hosts
    /// that gave no connection are asked again.
    pub async fn reread(&self) {
        let sites: Vec<Arc<Site>> = self.0.sites.iter().map(|entry| entry.clone()).collect();
        for site in sites {
            site.lift_block();
            self.0.empty(&site, self.0.clock.now()).await;
        }
        if let Err(error) = self.0.poll().await {
            tracing::warn!(%error, "waiting mail cannot be read now; tried again within a minute");
        }
    }

    /// A person changed sources or pools: taken as the ledger has them now, and those set aside
    /// are tried again.
    pub async fn reread_sources(&self) -> Result<(), QueueError> {
        let tables = self.0.queue.store().source_tables().await?;
        self.0.sources.replace(tables);
        self.0.limits.set_pools(self.0.sources.pools());
        self.0.controller.set_sources(self.0.sources.senders());
        self.0.sources.forget_set_aside();
        self.0.unpark_all(Changed::Sources).await;
        Ok(())
    }

    /// Connects from a source to where mail for a domain would go, or to its relay, and says what
    /// was seen. No mail is sent.
    pub async fn try_source(&self, source: SourceId, to: Option<&Domain>) -> Result<Trial, String> {
        let source = self.0.sources.source(source).ok_or("the source is gone")?;
        let target = self.0.router.target_of(&source, to).await?;
        Ok(self.0.dialer.status(&target, &source).await)
    }

    /// Rows of limits have changed: what they stopped is asked again.
    pub async fn reload_limits(&self) -> Result<(), QueueError> {
        self.0.controller.reload_limits().await?;
        self.0.unpark_all(Changed::Limits).await;
        Ok(())
    }

    /// Takes new static routes.
    pub fn replace_routes(&self, routes: route::Routes) {
        self.0.router.replace(routes);
    }
}

impl Shared {
    /// Every site asks its limits, and for sources, again.
    pub(super) async fn unpark_all(self: &Arc<Shared>, changed: Changed) {
        self.hasten(changed).await;
        let sites: Vec<Arc<Site>> = self.sites.iter().map(|entry| entry.clone()).collect();
        for site in sites {
            site.unpark(self.clock.now());
            Shared::look(self, &site);
        }
    }
}
