//! Addresses that are not written to: mail for them ends here, and what hosts say adds to them.
//!
//! Owns:       what becomes of a delivery to a suppressed address; which answers suppress one.
//! Promises:   a suppressed address is not offered to any host; an answer that could mean anything
//!             but a lost mailbox suppresses nobody.
//! Knows not:  where entries are kept.

use std::sync::Arc;

use serde_json::json;

use super::Shared;
use super::meaning::classified_in;
use super::report::Told;
use super::settler::Settlement;
use super::site::Site;
use super::verdict::{self, Notice};
use crate::classify::is_unknown_text;
use crate::model::*;
use crate::queue::Claimed;
use crate::queue::outcome_log::Record;
use crate::store::{
    AddressHash, ClaimedDelivery, NewSuppression, Settle, SoftBounce, SoftBounceRule, Stop,
    StoreError,
};

impl Shared {
    /// Those of one message that may be written to; the others are settled and their sender told.
    ///
    /// # Errors
    /// The ledger does not say, so none may be tried.
    pub(super) async fn without_suppressed(
        &self,
        site: &Arc<Site>,
        claimed: Vec<Claimed>,
    ) -> Result<Vec<Claimed>, (StoreError, Vec<Claimed>)> {
        let Some(first) = claimed.first() else { return Ok(claimed) };
        let (organization, stream) =
            (first.delivery.message.organization, first.delivery.message.stream);
        let addresses: Vec<&Address> =
            claimed.iter().map(|one| &one.delivery.recipient.address).collect();
        let mut stops = match self.suppressions.stops(organization, stream, &addresses).await {
            Ok(stops) => stops,
            Err(error) => return Err((error, claimed)),
        };
        if first.delivery.campaign.is_some() {
            for (one, stop) in claimed.iter().zip(&mut stops).filter(|(_, stop)| stop.is_none()) {
                match self.suppressions.stops_list(&one.delivery).await {
                    Ok(found) => *stop = found,
                    Err(error) => return Err((error, claimed)),
                }
            }
        }
        let (mut allowed, mut stopped) = (Vec::new(), Vec::new());
        for (one, stop) in claimed.into_iter().zip(stops) {
            match stop {
                Some(stop) => stopped.push((one, stop)),
                None => allowed.push(one),
            }
        }
        if !stopped.is_empty() {
            let settlement = self.suppressed(site, &stopped).await;
            self.settle(settlement).await;
        }
        Ok(allowed)
    }

    async fn suppressed(&self, site: &Arc<Site>, stopped: &[(Claimed, Stop)]) -> Settlement {
        let now = self.clock.now();
        let stream = stopped.first().map(|(one, _)| one.delivery.message.stream);
        let policy = stream.map(|stream| self.suppressions.policy(stream)).unwrap_or_default();
        let policy = policy.suppressed;
        let outcomes: Vec<Outcome> = stopped.iter().map(|(_, stop)| outcome(*stop)).collect();
        let mut settles = Vec::with_capacity(stopped.len());
        let mut notices = Vec::new();
        for ((one, stop), outcome) in stopped.iter().zip(&outcomes) {
            let is_held = policy == SuppressedPolicy::Hold;
            settles.push(settle(&one.delivery, *stop, is_held, now));
            let is_told = one.delivery.message.sender.0.is_some() && !is_held;
            if is_told && one.delivery.recipient.notify.failure {
                let (notice, host) = (Notice::Failed, String::new());
                notices.push(Told { notice, claimed: one, outcome, host, at: now });
            }
        }
        let report = self.report_on(&notices).await;
        let claimed: Vec<Claimed> = stopped.iter().map(|(one, _)| one.clone()).collect();
        Settlement::new(site.clone(), &claimed, settles, None, report)
    }
}

fn reason(stop: Stop) -> String {
    let (reason, scope) = (stop.reason, stop.scope);
    format!("5.7.1 this {scope} does not write to the address any more: {reason}")
}

fn outcome(stop: Stop) -> Outcome {
    Outcome::Failed { reply: None, blame: Blame::Recipient, reason: reason(stop) }
}

fn settle(delivery: &ClaimedDelivery, stop: Stop, is_held: bool, now: Timestamp) -> Settle {
    Settle {
        site: None,
        step: if is_held { Step::Hold } else { Step::Suppress },
        text: reason(stop),
        blame: Some(Blame::Recipient),
        fields: json!({
            "suppression": stop.suppression, "reason": stop.reason, "scope": stop.scope,
        }),
        ..verdict::give_back(delivery, delivery.site, now)
    }
}

/// The entry that an outcome asks for: the host says for good that the mailbox is lost, or DNS that
/// the domain is.
pub fn lost(delivery: &ClaimedDelivery, record: &Record) -> Option<NewSuppression> {
    let Outcome::Failed { reply, blame: Blame::Recipient, reason } = &record.outcome else {
        return None;
    };
    let reply = reply.clone().or_else(|| said_by_dns(reason))?;
    let suppress = lost_for(&reply, &classified_in(&record.fields)?)?;
    let entry = entry(delivery, &reply, SuppressionReason::HardBounce, record.at);
    Some(entry.reaching(suppress, delivery.message.stream))
}

/// The soft bounce that an outcome is: the mailbox did not take the mail, and is not lost for it.
pub fn soft(
    delivery: &ClaimedDelivery,
    record: &Record,
    rule: SoftBounceRule,
) -> Option<(OrganizationId, SoftBounce)> {
    let Outcome::Failed { reply: Some(reply), .. } = &record.outcome else { return None };
    soft_by(delivery, reply, &classified_in(&record.fields)?, (rule, record.at))
}

/// The same of what a host has said for the last time.
pub fn soft_by(
    delivery: &ClaimedDelivery,
    reply: &Reply,
    told: &Classification,
    (rule, at): (SoftBounceRule, Timestamp),
) -> Option<(OrganizationId, SoftBounce)> {
    // A code of another subject (5.4.1, 5.7.1) may mean anything.
    let is_about = reply.enhanced().is_none_or(|code| matches!(code.1, 1 | 2));
    if !is_about || !told.class.is_of_mailbox() || lost_for(reply, told).is_some() {
        return None;
    }
    let entry = entry(delivery, reply, SuppressionReason::SoftBounces, at);
    Some((delivery.message.organization, SoftBounce { rule, entry, was_delivered: false }))
}

fn entry(
    delivery: &ClaimedDelivery,
    reply: &Reply,
    reason: SuppressionReason,
    at: Timestamp,
) -> NewSuppression {
    let recipient = &delivery.recipient.address;
    NewSuppression {
        scope: SuppressionScope::Organization,
        organization: Some(delivery.message.organization),
        stream: None,
        list: None,
        hash: AddressHash::of(recipient),
        address: Some(recipient.to_string()),
        reason,
        evidence: Some(delivery.id),
        note: reply.to_string().chars().take(200).collect(),
        expires_at: None,
        at,
    }
}

/// Our own words for a domain that does not exist or takes no mail; one whose hosts cannot be
/// reached may be mended tomorrow.
fn said_by_dns(reason: &str) -> Option<Reply> {
    let said = Reply::read(reason)?;
    matches!(said.enhanced(), Some(Enhanced(5, 1, 2 | 10))).then_some(said)
}

/// Sure where a rule is, of words that the host's code (RFC 3463) does not gainsay; a code alone
/// says it only of a mailbox. For whom and how long it holds is the rule's to say.
fn lost_for(reply: &Reply, told: &Classification) -> Option<Suppress> {
    let suppress = told.suppress.filter(|_| reply.is_permanent() && told.hard)?;
    let is_known = !is_unknown_text(told);
    // Who writes more into a rule than its class says means it, whatever the code.
    let is_of_rule = is_known && told.class.suppress() != Some(suppress);
    let is_sure = match reply.enhanced() {
        Some(Enhanced(5, 1, 1 | 6 | 10) | Enhanced(5, 2, 1)) => true,
        // X.1.7 and X.1.8 are of the sender.
        Some(Enhanced(5, 1, 7 | 8)) => false,
        None | Some(Enhanced(5, 0 | 1, _) | Enhanced(5, 2, 0)) => is_known,
        Some(Enhanced(5, 4, 4)) => is_known && told.class == Class::DomainInvalid,
        Some(_) => false,
    };
    (is_of_rule || is_sure).then_some(suppress)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::{Answer, Classifier};

    #[test]
    fn a_lost_mailbox_stays_lost_and_an_inactive_one_may_wake() {
        let rules = Classifier::shipped().expect("the shipped rules load");
        let days = |text: &str| {
            let reply = Reply::read(text).expect("a reply");
            lost_for(&reply, &rules.classify(None, &Answer::read(text))).map(|stop| stop.days)
        };
        assert_eq!(days("550 5.1.1 User unknown"), Some(None));
        let inactive = "550 5.2.1 The email account that you tried to reach is disabled";
        assert_eq!(days(inactive), Some(Some(365)));
        assert_eq!(days("550 5.1.2 Host unknown: no such domain"), Some(Some(90)));
    }

    #[test]
    fn a_domain_that_dns_calls_lost_is_lost_for_its_time_and_one_without_hosts_is_not() {
        let rules = Classifier::shipped().expect("the shipped rules load");
        let days = |text: &str| {
            let told = rules.classify(None, &Answer::read(text));
            said_by_dns(text).and_then(|said| lost_for(&said, &told)).map(|stop| stop.days)
        };
        assert_eq!(days("550 5.1.2 the recipient's domain does not exist"), Some(Some(90)));
        let null = "556 5.1.10 the recipient's domain takes no mail (null MX)";
        assert_eq!(days(null), Some(Some(90)));
        assert_eq!(days("550 5.4.4 no host to send to: mx.a.example has no address"), None);
    }

    #[test]
    fn a_rule_that_says_more_than_its_class_is_followed_whatever_the_code() {
        let own = json!({
            "id": "own.left", "class": "policy", "confidence": 0.9, "phrases": ["has left zork"],
            "samples": ["550 5.7.1 she has left zork"],
            "suppress": {"scope": "stream", "days": 30},
        });
        let own = vec![serde_json::from_value(own).expect("a rule")];
        let rules = Classifier::with_own(own).expect("they load");
        let lost = |text: &str| {
            let reply = Reply::read(text).expect("a reply");
            lost_for(&reply, &rules.classify(None, &Answer::read(text)))
        };
        let suppress = Suppress { scope: SuppressScope::Stream, days: Some(30) };
        assert_eq!(lost("550 5.7.1 she has left zork"), Some(suppress));
        assert_eq!(lost("450 4.7.1 she has left zork"), None);
    }

    #[test]
    fn words_that_are_sure_and_a_code_that_does_not_gainsay_them_make_an_address_lost() {
        let rules = Classifier::shipped().expect("the shipped rules load");
        let cases = [
            ("550 5.1.1 The email account that you tried to reach does not exist", true),
            ("550 5.1.1 <a@b.example>: Recipient address rejected: User unknown", true),
            ("550 5.2.1 The email account that you tried to reach is disabled", true),
            ("550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found", true),
            ("550 No such user", true),
            ("550 5.0.0 No such user here", true),
            ("550 5.1.2 Host unknown: no such domain", true),
            ("550 no", false),
            ("553 5.1.8 Sender address rejected: Domain not found", false),
            ("450 4.1.1 User unknown in virtual alias table", false),
            ("550 5.1.1 blocked by spamhaus", false),
            ("550 5.4.1 Recipient address rejected: Access denied", false),
            ("550 5.7.1 User unknown", false),
            ("552 5.2.2 user unknown to have room", false),
        ];
        for (text, is_lost) in cases {
            let reply = Reply::read(text).expect("a reply");
            let told = rules.classify(None, &Answer::read(text));
            assert_eq!(lost_for(&reply, &told).is_some(), is_lost, "{text}");
        }
    }
}
