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
    let recipient = asked.delivery.recipient.address.domain();
    rule.organization.is_none_or(|id| id == message.organization)
        && rule.stream.is_none_or(|id| id == message.stream)
        && rule.credential.is_none_or(|id| Some(id) == message.credential)
        && rule.operator.is_none_or(|id| id == asked.operator)
        && rule.tag.as_ref().is_none_or(|tag| Some(tag) == message.tag.as_ref())
        && rule.recipient_domain.as_ref().is_none_or(|domain| domain == recipient)
        && rule.sender.as_ref().is_none_or(|sender| is_from(&message.sender, sender))
}

/// By address or by domain; in any case, as people write them.
fn is_from(sender: &ReversePath, wanted: &str) -> bool {
    let Some(address) = &sender.0 else { return false };
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
    fn a_sender_is_meant_by_his_address_or_his_domain_in_any_case() {
        let sender = ReversePath::parse("a@sender.example").expect("lawful");
        assert!(is_from(&sender, "sender.example") && is_from(&sender, "A@Sender.Example"));
        assert!(!is_from(&sender, "b@sender.example") && !is_from(&ReversePath::NULL, ""));
    }
}
