//! A person answers a campaign: his mail names the one that it answers.
//!
//! Owns:       how an answer is known.
//! Promises:   it counts only when it comes from whom the mail went to; what a machine answers is
//!             no answer.
//! Knows not:  what an answer is worth.

use serde_json::json;

use crate::model::*;
use crate::store::{Store, StoreError, Tracked};
use crate::wire::mailbox;
use crate::wire::mime::Fields;

/// The campaign's mail that is answered, as the Message-ID of it says; the newest of a thread
/// stands last among References.
fn answered(fields: &Fields) -> Option<(CampaignId, DeliveryId)> {
    let named = ["in-reply-to", "references"].into_iter().filter_map(|name| fields.get(name));
    named.flat_map(|ids| ids.split_ascii_whitespace().rev()).find_map(of_id)
}

/// `<campaign.delivery.moment@domain>`.
fn of_id(id: &str) -> Option<(CampaignId, DeliveryId)> {
    let (local, _) = id.trim_start_matches('<').trim_end_matches('>').split_once('@')?;
    let numbers: Vec<i64> = local.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [campaign, delivery, moment] = numbers[..] else { return None };
    let is_one = campaign > 0 && delivery > 0 && moment > 0;
    is_one.then_some((CampaignId(campaign), DeliveryId(delivery)))
}

/// Writes down that a mail that came in for an organization answers one of its campaigns; false
/// when it does not.
///
/// # Errors
/// The ledger cannot be asked or written.
pub(super) async fn note(
    store: &Store,
    organization: OrganizationId,
    mail: &[u8],
    at: Timestamp,
) -> Result<bool, StoreError> {
    let (fields, _) = Fields::read(mail);
    let Some((campaign, delivery)) = answered(&fields) else { return Ok(false) };
    let from = fields.get("from").unwrap_or_default();
    let Ok(authors) = mailbox::addresses(from.as_bytes()) else { return Ok(false) };
    let found = store.deliveries_by_id(&[delivery]).await?;
    let Some((_, found)) = found.into_iter().next() else { return Ok(false) };
    let recipient = found.recipient.address.to_string().to_lowercase();
    let is_his = authors.iter().any(|author| author.to_string().to_lowercase() == recipient);
    let is_ours = found.message.organization == organization && found.campaign == Some(campaign);
    if !is_his || !is_ours {
        return Ok(false);
    }
    let (message, kind) = (found.message.id, EventKind::Replied);
    let fields = json!({ "campaign": campaign });
    store.track(vec![Tracked { message, delivery, kind, fields, at }]).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_the_mail_of_a_campaign_and_other_mail_does_not() {
        let of = |text: &str| answered(&Fields::read(text.as_bytes()).0);
        let found = Some((CampaignId(3), DeliveryId(41)));
        assert_eq!(of("In-Reply-To: <3.41.1795000000@shop.test>\r\n\r\n"), found);
        let thread = "References: <1.2.3@x.test>\r\n <3.41.1795000000@shop.test>\r\n\r\n";
        assert_eq!(of(thread), found);
        for other in [
            "In-Reply-To: <77.61b@shop.test>\r\n\r\n",
            "In-Reply-To: <a.b.c@shop.test>\r\n\r\n",
            "In-Reply-To: <3.41@shop.test>\r\n\r\n",
            "In-Reply-To: <-3.41.1@shop.test>\r\n\r\n",
            "Subject: <3.41.1@shop.test>\r\n\r\n",
            "In-Reply-To: \r\n\r\n",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
