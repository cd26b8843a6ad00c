//! What a rule about pools can ask of a mail. Pure.

use crate::model::*;
use crate::store::ClaimedDelivery;

/// What a rule can ask of a mail.
pub struct Asked<'a> {
    pub delivery: &'a ClaimedDelivery,
    pub operator: OperatorId,
}

/// A part that is missing matches all.
pub fn matches(rule: &PoolMatch, asked: &Asked<'_>) -> bool {
    let message = &asked.delivery.message;
    let recipient = &asked.delivery.recipient.address;
    rule.organization.is_none_or(|id| id == message.organization)
        && rule.stream.is_none_or(|id| id == message.stream)
        && rule.credential.is_none_or(|id| Some(id) == message.credential)
        && rule.operator.is_none_or(|id| id == asked.operator)
        && rule.tag.as_ref().is_none_or(|tag| Some(tag) == message.tag.as_ref())
        && rule.recipient.as_ref().is_none_or(|wanted| is_meant(Some(recipient), wanted))
        && rule.sender.as_ref().is_none_or(|wanted| is_meant(message.sender.0.as_ref(), wanted))
}

/// Mail that is only planned: to whom in particular, with which tag and by which credential nobody
/// knows.
#[derive(Clone, Copy, Debug)]
pub struct Planned<'a> {
    pub organization: OrganizationId,
    pub stream: StreamId,
    pub sender: Option<&'a Address>,
    pub operator: OperatorId,
}

/// Whether a rule would lead all of it: one that asks for more than is planned leads none.
pub fn would_match(rule: &PoolMatch, planned: &Planned<'_>) -> bool {
    rule.organization.is_none_or(|id| id == planned.organization)
        && rule.stream.is_none_or(|id| id == planned.stream)
        && rule.operator.is_none_or(|id| id == planned.operator)
        && rule.sender.as_ref().is_none_or(|wanted| is_meant(planned.sender, wanted))
        && rule.credential.is_none()
        && rule.tag.is_none()
        && rule.recipient.is_none()
}

/// By address or by domain; in any case, as people write them.
fn is_meant(address: Option<&Address>, wanted: &str) -> bool {
    let Some(address) = address else { return false };
    let wanted = wanted.strip_prefix('@').unwrap_or(wanted);
    if wanted.contains('@') {
        address.to_string().eq_ignore_ascii_case(wanted)
    } else {
        address.domain().as_str().eq_ignore_ascii_case(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_leads_what_is_planned_when_it_asks_for_nothing_that_is_not_known() {
        let sender = Address::parse("news@sender.example").expect("lawful");
        let (organization, stream) = (OrganizationId(3), StreamId(4));
        let sender = Some(&sender);
        let planned = Planned { organization, stream, sender, operator: OperatorId(5) };
        let any = PoolMatch::default;
        for (rule, leads) in [
            (any(), true),
            (PoolMatch { organization: Some(OrganizationId(3)), ..any() }, true),
            (PoolMatch { organization: Some(OrganizationId(4)), ..any() }, false),
            (PoolMatch { operator: Some(OperatorId(6)), ..any() }, false),
            (PoolMatch { sender: Some("sender.example".into()), ..any() }, true),
            (PoolMatch { tag: Some("a".into()), ..any() }, false),
            (PoolMatch { recipient: Some("a.example".into()), ..any() }, false),
        ] {
            assert_eq!(would_match(&rule, &planned), leads, "{rule:?}");
        }
    }

    #[test]
    fn somebody_is_meant_by_his_address_or_his_domain_in_any_case() {
        let sender = Address::parse("a@sender.example").expect("lawful");
        let is_meant = |wanted: &str| is_meant(Some(&sender), wanted);
        assert!(is_meant("sender.example") && is_meant("A@Sender.Example"));
        assert!(!is_meant("b@sender.example") && !super::is_meant(None, ""));
    }
}
