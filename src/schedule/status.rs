//! What of the mail is in memory, for lists and metrics.
//!
//! Owns:       how a site is shown.
//! Promises:   to look changes nothing.
//! Knows not:  who looks.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Schedule;
use super::site::Site;
use crate::model::*;

#[derive(Clone, Debug, serde::Serialize)]
pub struct SiteStatus {
    pub site: SiteId,
    pub operator: Option<OperatorId>,
    /// Open connections, by the names of sources.
    pub sources: Vec<(String, usize)>,
    /// Limits that stop some of its mail.
    pub limits: Vec<LimitId>,
    pub lanes: usize,
    pub ready: usize,
    pub held: usize,
    pub blocked_until: Option<Timestamp>,
    pub reason: Option<String>,
}

impl Schedule {
    /// Lanes, ready mail and mail held of every site in memory, and why one is blocked.
    pub fn sites(&self) -> Vec<SiteStatus> {
        let status = |site: &Arc<Site>| {
            let (lanes, ready, held) = site.counts();
            let block = site.block();
            let mut limits: Vec<LimitId> =
                site.parks().iter().filter_map(|park| park.limit).collect();
            limits.sort_unstable();
            limits.dedup();
            SiteStatus {
                site: site.id,
                operator: self.0.router.known_operator(site.id),
                sources: site.sources().into_iter().map(|(id, n)| (self.name_of(id), n)).collect(),
                limits,
                lanes,
                ready,
                held,
                blocked_until: block.as_ref().map(|block| block.until),
                reason: block.map(|block| block.reason),
            }
        };
        self.0.sites.iter().map(|entry| status(&entry)).collect()
    }

    fn name_of(&self, source: SourceId) -> String {
        self.0.sources.name_of(source)
    }

    /// Nothing is in memory and nothing under way.
    pub fn is_idle(&self) -> bool {
        self.0.held.load(Ordering::Relaxed) == 0 && self.0.sites.iter().all(|site| !site.is_busy())
    }
}
