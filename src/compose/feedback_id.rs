//! Feedback-ID: whose mail it was, for the statistics of mailbox operators, and for complaints that
//! return nothing else that names it.
//!
//! Owns:       the forms `c7:o3:campaign:shop.example` and `s4:o3:submitted:shop.example`.
//! Promises:   a mail that brings one keeps it; what is read is no more than what somebody wrote.
//! Knows not:  tokens, who complains.

use bytes::Bytes;

use crate::model::*;
use crate::store::MessageRow;
use crate::wire::header::HeaderSection;

const NAME: &str = "Feedback-ID";
const VALUE_BYTES_MAX: usize = 300;

/// What a mail belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Campaign(CampaignId),
    Stream(StreamId),
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Subject::Campaign(id) => write!(f, "campaign {id}"),
            Subject::Stream(id) => write!(f, "stream {id}"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedbackId {
    pub subject: Subject,
    pub organization: OrganizationId,
    /// Of the author.
    pub domain: String,
}

impl FeedbackId {
    /// The field's name and value.
    pub fn field(&self) -> (&'static str, String) {
        let (subject, kind) = match self.subject {
            Subject::Campaign(id) => (format!("c{id}"), "campaign"),
            Subject::Stream(id) => (format!("s{id}"), "submitted"),
        };
        (NAME, format!("{subject}:o{}:{kind}:{}", self.organization, self.domain))
    }

    /// None for those that others make.
    pub fn read(value: &str) -> Option<FeedbackId> {
        let value = value.trim();
        let parts: Vec<&str> = value.split(':').take(5).collect();
        let [subject, organization, kind, domain] = parts[..] else { return None };
        let subject = match kind {
            "campaign" => Subject::Campaign(subject.strip_prefix('c')?.parse().ok()?),
            "submitted" => Subject::Stream(subject.strip_prefix('s')?.parse().ok()?),
            _ => return None,
        };
        let organization = organization.strip_prefix('o')?.parse().ok()?;
        let is_lawful = value.len() <= VALUE_BYTES_MAX;
        is_lawful.then(|| FeedbackId { subject, organization, domain: domain.to_owned() })
    }
}

/// The mail with the field, where it is marketing and has none.
pub(super) fn added(message: &MessageRow, body: Bytes) -> Bytes {
    let Some(mut out) = line(message, &body).map(String::into_bytes) else { return body };
    out.extend_from_slice(&body);
    out.into()
}

fn line(message: &MessageRow, body: &[u8]) -> Option<String> {
    let section = (message.rank > 0).then(|| HeaderSection::scan(body).ok()).flatten()?;
    if section.find(NAME).is_some() {
        return None;
    }
    let domain = Domain::parse(&super::returns::from_domain(&section)).ok()?.to_string();
    let (subject, organization) = (Subject::Stream(message.stream), message.organization);
    let (name, value) = FeedbackId { subject, organization, domain }.field();
    Some(format!("{name}: {value}\r\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::samples;

    #[test]
    fn what_was_written_is_read_again_and_what_others_write_is_not() {
        let (organization, domain) = (OrganizationId(3), "shop.example".to_owned());
        for subject in [Subject::Campaign(CampaignId(7)), Subject::Stream(StreamId(4))] {
            let id = FeedbackId { subject, organization, domain: domain.clone() };
            assert_eq!(FeedbackId::read(&id.field().1), Some(id));
        }
        let foreign = ["", "a:b:c:d", "c7:o3:campaign", "s7:o3:campaign:x", "c7:o3:campaign:x:y"];
        assert!(foreign.iter().all(|value| FeedbackId::read(value).is_none()));
        assert_eq!(FeedbackId::read(&format!("c7:o3:campaign:{}", "x".repeat(400))), None);
    }

    #[test]
    fn marketing_mail_gets_one_unless_it_brings_its_own() {
        let mut message = samples::message("ann@shop.example");
        let body = Bytes::from_static(b"From: Ann <ann@shop.example>\r\n\r\nx\r\n");
        assert_eq!(added(&message, body.clone()), body, "no other mail is counted");
        message.rank = 1;
        let with = added(&message, body);
        assert!(with.starts_with(b"Feedback-ID: s1:o1:submitted:shop.example\r\nFrom: "));
        assert_eq!(added(&message, with.clone()), with);
    }
}
