//! What a mail that came in names: deliveries by tokens, and else whose mail it is about.
//!
//! Owns:       where in a mail is looked for it.
//! Promises:   a bounded search; only a token of ours names a delivery.
//! Knows not:  what follows.

use super::inbound::Fate;
use crate::compose::feedback_id::FeedbackId;
use crate::compose::returns::Returns;
use crate::model::Domain;
use crate::store::{Store, StoreError};
use crate::token::Claim;
use crate::wire::mime::Mime;
use crate::wire::report::Report;

/// Deliveries that one report may name in what it returns.
const CLAIMS_MAX: usize = 20;
/// Decoded octets of one part that are searched for what it names.
const SEARCHED_BYTES_MAX: usize = 1 << 20;

/// In the mail as it stands, and in its parts decoded.
pub fn claims_of(mail: &[u8], returns: &Returns) -> Vec<Claim> {
    let mut claims = returns.named_in(&mail[..mail.len().min(SEARCHED_BYTES_MAX)], CLAIMS_MAX);
    if claims.is_empty() {
        for part in Mime::read(mail).parts {
            let content = part.content();
            let window = &content[..content.len().min(SEARCHED_BYTES_MAX)];
            claims.extend(returns.named_in(window, CLAIMS_MAX - claims.len()));
            if claims.len() >= CLAIMS_MAX {
                break;
            }
        }
    }
    claims
}

/// Whose mail a complaint is about that names no delivery: its organization sees it. Anybody can
/// write this, so nothing else follows, and the From domain must be one of the organization's.
pub async fn by_feedback_id(
    store: &Store,
    report: &Report,
    fate: &mut Fate,
) -> Result<(), StoreError> {
    let Some(id) = report.feedback_id.as_deref().and_then(FeedbackId::read) else {
        return Ok(());
    };
    let Ok(from) = Domain::parse(&id.domain) else { return Ok(()) };
    let domains = store.domains().await?;
    let is_own =
        domains.iter().any(|row| row.organization == id.organization && from.is_within(&row.name));
    if is_own {
        fate.organization = Some(id.organization);
        fate.text = format!("it names no delivery, but {} (Feedback-ID)", id.subject);
    }
    Ok(())
}
