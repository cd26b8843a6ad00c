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
    fn somebody_is_meant_by_his_address_or_his_domain_in_any_case() {
        let sender = Address::parse("a@sender.example").expect("lawful");
        let is_meant = |wanted: &str| is_meant(Some(&sender), wanted);
        assert!(is_meant("sender.example") && is_meant("A@Sender.Example"));
        assert!(!is_meant("b@sender.example") && !super::is_meant(None, ""));
    }
}
