//! Send limits that are nearly used up, or used up: told once.
//!
//! Owns:       which of them were told of.
//! Promises:   each is told once when it comes near and once when it is reached, and again only
//!             after it had been well below.
//! Knows not:  how a limit counts, who reads events.

use std::collections::HashMap;

use serde_json::json;

use super::Shared;
use crate::model::*;
use crate::store::NewEvent;

/// Of a hundred: near, and below it news again.
const NEAR: u64 = 90;
const REARMED: u64 = 80;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Near,
    Reached,
}

/// What was told of each limit.
#[derive(Default)]
pub struct Quotas(HashMap<LimitId, Level>);

impl Quotas {
    /// The event that this usage is worth.
    fn news(&mut self, limit: LimitId, used: u64, value: u64) -> Option<EventKind> {
        let told = self.0.get(&limit).copied();
        let share = |percent: u64| value.saturating_mul(percent).div_ceil(100);
        let level = match used {
            used if used >= value => Level::Reached,
            used if used >= share(NEAR) => Level::Near,
            used => {
                if used < share(REARMED) {
                    self.0.remove(&limit);
                }
                return None;
            }
        };
        if told.is_some_and(|told| told >= level) {
            return None;
        }
        self.0.insert(limit, level);
        Some(match level {
            Level::Near => EventKind::LimitApproaching,
            Level::Reached => EventKind::LimitReached,
        })
    }
}

impl Shared {
    /// Looks at the send limits of organizations and campaigns.
    pub(super) async fn watch_quotas(&self, quotas: &mut Quotas) {
        let now = self.clock.now();
        let all = self.limits.all();
        quotas.0.retain(|id, _| all.iter().any(|limit| limit.id == *id));
        for limit in all.iter().filter(|limit| is_quota(limit)) {
            let used: u64 =
                self.limits.usage(limit.id, now).iter().map(|(_, usage)| usage.used).sum();
            let Some(kind) = quotas.news(limit.id, used, limit.value) else { continue };
            let organization = match limit.scope.who {
                WhoScope::Organization(organization) => organization,
                _ => OrganizationId::NOBODY,
            };
            let fields = json!({
                "limit": limit.id, "reason": limit.reason, "value": limit.value, "used": used,
                "seconds": limit.window.map(|window| window.as_secs()),
            });
            let event = NewEvent { at: now, kind, organization, fields };
            if let Err(error) = self.queue.store().record_event(event).await {
                quotas.0.remove(&limit.id);
                tracing::warn!(%error, limit = %limit.id, "an event of a limit is told later");
            }
        }
    }
}

fn is_quota(limit: &Limit) -> bool {
    limit.origin == Origin::Quota
        && limit.metric == Metric::Messages
        && limit.value > 0
        && matches!(limit.scope.who, WhoScope::Organization(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_told_when_it_comes_near_and_when_it_is_reached_and_then_not_again() {
        let mut quotas = Quotas::default();
        let mut news = |used| quotas.news(LimitId(1), used, 100);
        assert_eq!(news(50), None);
        assert_eq!(news(90), Some(EventKind::LimitApproaching));
        assert_eq!(news(95), None);
        assert_eq!(news(100), Some(EventKind::LimitReached));
        assert_eq!((news(99), news(100), news(85)), (None, None, None));
        assert_eq!(news(79), None);
        assert_eq!(news(100), Some(EventKind::LimitReached));
        assert_eq!(quotas.news(LimitId(2), 1, 1), Some(EventKind::LimitReached));
    }
}
