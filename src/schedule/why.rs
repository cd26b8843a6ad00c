//! Why mail is still here: which limit, host or wait, who set it, and when it opens.
//!
//! Owns:       the reasons, for a delivery, a lane, an organization, a campaign.
//! Promises:   whatever waits has a reason; nothing is changed by asking.
//! Knows not:  who asks.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use super::load;
use super::park::Park;
use super::pick::Refusal;
use super::ready::line_of;
use super::site::Site;
use super::{Schedule, Shared};
use crate::model::state::words;
use crate::model::*;
use crate::queue::{Claimed, QueueError};
use crate::store::{ClaimedDelivery, DeliveryFilter};

words! {
    /// What a mail waits for.
    ReasonKind {
        /// A limit is used up, or stops it.
        Limit = "limit",
        /// It was tried, and is tried again later.
        Retry = "retry",
        /// It is not to be sent before.
        NotBefore = "not_before",
        /// Its domain's hosts are being looked up.
        Routing = "routing",
        /// Its hosts gave no connection.
        Host = "host",
        /// No source of its pool may send it.
        Source = "source",
        /// A person, a suspension or a rule holds it.
        Held = "held",
        /// The daemon itself is at its limits.
        Full = "full",
        /// An attempt is being made.
        UnderWay = "under_way",
        /// Nothing is in its way but the mail before it.
        Turn = "turn",
    }
}

/// One of the reasons; all of them stand in the way.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
pub struct Reason {
    pub kind: ReasonKind,
    /// A sentence for people.
    pub text: String,
    pub limit: Option<LimitId>,
    /// Who set the limit.
    pub origin: Option<Origin>,
    /// The source that it is about, when others may be free.
    pub source: Option<String>,
    /// When it opens; None when nothing but a release or a person opens it.
    pub until: Option<Timestamp>,
}

/// How many of the mails that were looked at wait for the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReasonCount {
    pub deliveries: u64,
    pub reason: Reason,
}

/// In the place of a source: a site whose mail waits without a lane.
const NO_SOURCE: &str = "-";
/// Mails of an organization, or of a campaign, that are looked at; the newest.
const LOOKED_AT_MAX: u32 = 1000;

impl Reason {
    fn new(kind: ReasonKind, text: impl Into<String>, until: Option<Timestamp>) -> Reason {
        Reason { kind, text: text.into(), limit: None, origin: None, source: None, until }
    }

    fn of_limit(denial: &Denial, source: &str, operator: &str) -> Reason {
        let Denial { scope, metric, value, .. } = denial;
        let to = match &scope.to {
            ToScope::Operator(_) => format!("operator:{operator}"),
            to => to.to_string(),
        };
        let class = scope.class.map_or(String::new(), |class| format!(", {class} mail"));
        let text = format!(
            "limit {}: {value} {metric} from {} to {} for {}{class} ({}: {})",
            denial.limit, scope.from, to, scope.who, denial.origin, denial.reason
        );
        let of_source = matches!(scope.from, FromScope::Source(_) | FromScope::EachSource);
        Reason {
            limit: Some(denial.limit),
            origin: Some(denial.origin),
            source: of_source.then(|| source.to_owned()),
            ..Reason::new(ReasonKind::Limit, text, denial.until)
        }
    }
}

impl Schedule {
    /// Its organization and the reasons: none when nothing is owed any more. None when there is no
    /// such delivery.
    pub async fn why(
        &self,
        id: DeliveryId,
    ) -> Result<Option<(OrganizationId, Vec<Reason>)>, QueueError> {
        let shared = &self.0;
        let found = shared.queue.store().deliveries_by_id(&[id]).await?;
        match found.into_iter().next() {
            Some((state, delivery)) => {
                let organization = delivery.message.organization;
                Ok(Some((organization, shared.reasons_of(state, delivery).await?)))
            }
            None => Ok(None),
        }
    }

    /// What the waiting mail of an organization waits for, the commonest first.
    pub async fn why_organization(
        &self,
        organization: OrganizationId,
    ) -> Result<Vec<ReasonCount>, QueueError> {
        let shared = &self.0;
        let filter = DeliveryFilter {
            organization: Some(organization),
            state: Some(State::Waiting),
            ..DeliveryFilter::default()
        };
        let waiting = shared.queue.store().list_deliveries(&filter, LOOKED_AT_MAX).await?;
        let ids: Vec<DeliveryId> = waiting.iter().map(|delivery| delivery.id).collect();
        self.why_of(&ids).await
    }

    /// The organization of a campaign, and what its waiting mail waits for, the commonest first.
    /// None when nothing of it waits.
    pub async fn why_campaign(
        &self,
        campaign: CampaignId,
    ) -> Result<Option<(OrganizationId, Vec<ReasonCount>)>, QueueError> {
        let store = self.0.queue.store();
        let ids = store.waiting_of_campaign(campaign, LOOKED_AT_MAX).await?;
        let newest = store.deliveries_by_id(&ids[..ids.len().min(1)]).await?;
        let Some((_, newest)) = newest.into_iter().next() else { return Ok(None) };
        Ok(Some((newest.message.organization, self.why_of(&ids).await?)))
    }

    async fn why_of(&self, ids: &[DeliveryId]) -> Result<Vec<ReasonCount>, QueueError> {
        let shared = &self.0;
        let mut counts: BTreeMap<Reason, u64> = BTreeMap::new();
        for (state, delivery) in shared.queue.store().deliveries_by_id(ids).await? {
            for mut reason in shared.reasons_of(state, delivery).await? {
                if matches!(reason.kind, ReasonKind::Retry | ReasonKind::NotBefore) {
                    // Each has its own moment and its own answer.
                    reason = Reason::new(reason.kind, "waits for its next try", None);
                }
                *counts.entry(reason).or_default() += 1;
            }
        }
        let count = |(reason, deliveries)| ReasonCount { deliveries, reason };
        let mut counts: Vec<ReasonCount> = counts.into_iter().map(count).collect();
        counts.sort_by_key(|one| std::cmp::Reverse(one.deliveries));
        Ok(counts)
    }

    /// What stands in the way of any mail from a source to a site, or of all mail to the site where
    /// the source is `-`. None when there is no such source.
    pub async fn why_lane(
        &self,
        source: &str,
        site: SiteId,
    ) -> Result<Option<Vec<Reason>>, QueueError> {
        let shared = &self.0;
        let mut reasons = shared.reasons_at(site, StreamClass::Marketing);
        reasons.extend(shared.parks_at(site));
        if source == NO_SOURCE {
            return Ok(Some(reasons));
        }
        let Some(origin) = shared.sources.by_name_or_system(source) else {
            return Ok(None);
        };
        reasons.extend(shared.bar_of(origin, source, site).await?);
        // A name that is nobody's (RFC 2606): limits of one domain are no limits of the lane.
        let Ok(nobodys) = Domain::parse("lane.invalid") else { return Ok(None) };
        let operator = shared.router.operator(site).await.map_err(QueueError::from)?;
        let name = shared.name_of_operator(operator).await?;
        for class in StreamClass::ALL {
            let attempt = Attempt {
                source: origin,
                operator,
                site,
                domain: nobodys.clone(),
                organization: OrganizationId(0),
                stream: StreamId(0),
                class: *class,
                campaign: None,
                sending_domain: None,
            };
            for denial in shared.limits.explain(&attempt, shared.clock.now()) {
                reasons.push(Reason::of_limit(&denial, source, &name));
            }
        }
        reasons.sort();
        reasons.dedup();
        Ok(Some(reasons))
    }
}

impl Shared {
    async fn reasons_of(
        &self,
        state: State,
        delivery: ClaimedDelivery,
    ) -> Result<Vec<Reason>, QueueError> {
        if state == State::Held {
            return Ok(vec![Reason::new(ReasonKind::Held, delivery.last_text, None)]);
        }
        if state.is_final() {
            return Ok(Vec::new());
        }
        let mut reasons = Vec::new();
        if let Some(text) = self.queue.held_by(&delivery) {
            reasons.push(Reason::new(ReasonKind::Held, text, None));
        }
        if delivery.due_at > self.clock.now() {
            reasons.push(of_due_time(&delivery));
        }
        let domain = delivery.recipient.address.domain();
        let known = self.router.known_site(domain).filter(|_| delivery.site == SiteId::UNROUTED);
        let site = known.unwrap_or(delivery.site);
        if site == SiteId::UNROUTED {
            if reasons.is_empty() {
                let text = format!("the mail hosts of {domain} are being looked up");
                reasons.push(Reason::new(ReasonKind::Routing, text, None));
            }
            return Ok(reasons);
        }
        let handle = self.sites.get(&site).map(|site| site.clone());
        let claimed = Claimed { delivery, body: None };
        let line = line_of(&claimed);
        reasons.extend(self.reasons_at(site, line.flow.class()));
        let operator = self.router.operator(site).await.map_err(QueueError::from)?;
        let parks = handle.as_ref().map(|handle| handle.parks()).unwrap_or_default();
        let again = parks.iter().filter(|park| park.covers(&line)).map(|park| park.until).min();
        reasons.extend(self.sources_say(&claimed, (site, operator), again).await?);
        // Asked last: a limit may be used up by the very attempt that is being made.
        let id = claimed.delivery.id;
        if handle.as_ref().is_some_and(|handle| handle.is_under_way(id)) {
            return Ok(vec![Reason::new(ReasonKind::UnderWay, "it is being tried now", None)]);
        }
        if reasons.is_empty() {
            let now = self.clock.now();
            let park = parks.iter().find(|park| park.covers(&line) && park.until > now);
            reasons.push(park.map_or_else(|| of_turn(handle.as_deref()), of_park));
        }
        Ok(reasons)
    }

    /// What stops mail of a class at a site, or at all of them.
    fn reasons_at(&self, site: SiteId, class: StreamClass) -> Vec<Reason> {
        let mut reasons = Vec::new();
        let now = self.clock.now();
        let block = self.sites.get(&site).and_then(|site| site.block());
        if let Some(block) = block.filter(|block| block.until > now) {
            let text = format!("no connection: {}", block.reason);
            reasons.push(Reason::new(ReasonKind::Host, text, Some(block.until)));
        }
        if self.connections.are_in_use(class) {
            let text = "all connections of delivery.connections_max are in use";
            reasons.push(Reason::new(ReasonKind::Full, text, None));
        }
        let held = self.held.load(Ordering::Relaxed);
        if load::is_full_for(class, held) {
            let text = format!("{held} mails are in memory ahead of their turn");
            reasons.push(Reason::new(ReasonKind::Full, text, None));
        }
        reasons
    }

    /// Which mail of a site is passed over for now.
    fn parks_at(&self, site: SiteId) -> Vec<Reason> {
        let now = self.clock.now();
        let parks = self.sites.get(&site).map(|site| site.parks()).unwrap_or_default();
        parks.iter().filter(|park| park.until > now).map(of_parked).collect()
    }

    /// Why a source does not send to a site, whatever limits say.
    async fn bar_of(
        &self,
        source: SourceId,
        name: &str,
        site: SiteId,
    ) -> Result<Option<Reason>, QueueError> {
        let keys = self.queue.store().site_keys(&[site]).await.map_err(QueueError::from)?;
        let is_routed = keys.get(&site).is_some_and(|key| key.starts_with("route:"));
        let bar = self.sources.barred(source, (site, is_routed, self.clock.now()));
        Ok(bar.map(|bar| {
            let refusal = Refusal::Barred(bar);
            let text = format!("{name} does not send: {refusal}");
            let reason = Reason::new(ReasonKind::Source, text, refusal.until());
            Reason { source: Some(name.to_owned()), ..reason }
        }))
    }

    /// What the sources of its pool say and what limits say of them, if none may send it; `again`:
    /// when it is looked at again.
    async fn sources_say(
        &self,
        claimed: &Claimed,
        (site, operator): (SiteId, OperatorId),
        again: Option<Timestamp>,
    ) -> Result<Vec<Reason>, QueueError> {
        let now = self.clock.now();
        let mut attempt = self.attempt_of(claimed, site, operator, SourceId::SYSTEM);
        let mut denied: Vec<(SourceId, Vec<Denial>)> = Vec::new();
        let (pool, picked) = self.would_pick(claimed, &attempt.clone(), |source| {
            attempt.source = source;
            let denials = self.limits.explain(&attempt, now);
            let Some(first) = denials.first() else { return Ok(()) };
            let first = Box::new(first.clone());
            denied.push((source, denials));
            Err(first)
        });
        let Err(none) = picked else { return Ok(Vec::new()) };
        let operator_name = self.name_of_operator(operator).await?;
        let mut reasons = Vec::new();
        for (source, denials) in &denied {
            let name = self.sources.name_of(*source);
            let told = denials.iter().map(|one| Reason::of_limit(one, &name, &operator_name));
            reasons.extend(told);
        }
        if denied.len() < none.0.len() || none.0.is_empty() {
            let text = self.reason_of(pool, &none);
            reasons.push(Reason::new(ReasonKind::Source, text, none.until().or(again)));
        }
        reasons.sort();
        reasons.dedup();
        Ok(reasons)
    }

    async fn name_of_operator(&self, id: OperatorId) -> Result<String, QueueError> {
        let rows = self.queue.store().operators().await.map_err(QueueError::from)?;
        let found = rows.into_iter().find(|row| row.id == id);
        Ok(found.map_or_else(|| id.to_string(), |row| row.name))
    }
}

fn of_due_time(delivery: &ClaimedDelivery) -> Reason {
    let until = Some(delivery.due_at);
    if delivery.tries == 0 {
        return Reason::new(ReasonKind::NotBefore, "it is not due yet", until);
    }
    let times = if delivery.tries == 1 { "once" } else { "several times" };
    let text = format!("tried {times}; the last answer: {}", delivery.last_text);
    Reason::new(ReasonKind::Retry, text, until)
}

/// The limit has opened since, and is asked again at the end of what it said.
fn of_park(park: &Park) -> Reason {
    let text = "a limit stopped it a moment ago, and is asked again";
    Reason { limit: park.limit, ..Reason::new(ReasonKind::Limit, text, Some(park.until)) }
}

/// For a lane: whose mail it is, too.
fn of_parked(park: &Park) -> Reason {
    let class = park.class.map_or(String::new(), |class| format!(" of the class {class}"));
    let why = match park.limit {
        Some(limit) => format!("limit {limit}"),
        None => "none of its sources may send".to_owned(),
    };
    let text = format!("{}{class} is passed over: {why}", park.reach);
    let kind = if park.limit.is_some() { ReasonKind::Limit } else { ReasonKind::Source };
    Reason { limit: park.limit, ..Reason::new(kind, text, Some(park.until)) }
}

fn of_turn(site: Option<&Site>) -> Reason {
    let (lanes, ready, _) = site.map_or((0, 0, 0), Site::counts);
    let text = format!("its turn comes: {ready} mails are ready at its site, {lanes} lanes send");
    Reason::new(ReasonKind::Turn, text, None)
}
