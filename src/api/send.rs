//! /v1/messages: sending. A letter, many letters, or a whole mail; on disk before the answer.

use axum::http::{HeaderMap, HeaderValue, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::access::{Call, needs};
use super::body::{Json, of_value};
use super::caller::Caller;
use super::problem::Problem;
use crate::accept::letter::{Built, FieldError, Letter};
use crate::accept::{Acceptance, Arrival, Refusal, Request, Submission};
use crate::auth::{Auth, Identity, new_token};
use crate::clock::Clock;
use crate::model::limits::RECIPIENTS_MAX;
use crate::model::*;

/// JSON of a mail of 35 MiB, its octets as base64.
pub(super) const SEND_BYTES_MAX: usize = 52 << 20;
const BATCH_MAX: usize = 1000;
/// A letter that is larger is built beside the async threads: some milliseconds each.
const BUILT_ASIDE_BYTES: usize = 256 * 1024;
/// A mail that is to be sent in a year is a mistake.
const SCHEDULED_DAYS_MAX: u64 = 366;

/// A mail that is on disk.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Accepted {
    pub id: MessageId,
    /// How many it goes to.
    pub recipients: usize,
}

/// What a sender's request works with; cheap to hand to a task.
#[derive(Clone)]
pub(super) struct Desk {
    door: Acceptance,
    auth: Auth,
    clock: Clock,
    identity: Identity,
    arrival: Arrival,
}

impl Desk {
    pub(super) async fn of(call: &Call<needs::Send>) -> Result<Desk, Problem> {
        let stopped = || Problem::conflict("no daemon is running");
        let door = call.door.clone().ok_or_else(stopped)?;
        let auth = call.auth.clone().ok_or_else(stopped)?;
        let arrival = Arrival {
            peer: call.origin().address,
            ehlo: "api".to_owned(),
            protocol: "HTTP",
            tls: None,
        };
        let identity = identity(call).await?;
        Ok(Desk { door, auth, clock: call.clock.clone(), identity, arrival })
    }

    pub(super) fn organization(&self) -> OrganizationId {
        self.identity.organization
    }

    pub(super) async fn send(&self, letter: Letter) -> Result<Accepted, Problem> {
        let built = self.build(letter).await?;
        self.submit(built).await
    }

    pub(super) async fn build(&self, letter: Letter) -> Result<Built, Problem> {
        let message_id = format!("{}@{}", new_token(), domain_of(&letter.from.email));
        let now = self.clock.wall();
        let size = letter.attachments.iter().map(|one| one.content.len()).sum::<usize>()
            + letter.text.as_ref().map_or(0, String::len)
            + letter.html.as_ref().map_or(0, String::len);
        let built = match size > BUILT_ASIDE_BYTES {
            false => letter.build(&message_id, now),
            true => {
                let building = tokio::task::spawn_blocking(move || letter.build(&message_id, now));
                building.await.map_err(Problem::ours)?
            }
        };
        built.map_err(wrong)
    }

    async fn submit(&self, built: Built) -> Result<Accepted, Problem> {
        let Built { from, recipients, request, mail } = built;
        self.check_sender(&from)?;
        self.check_time(&request)?;
        if let Some(name) = &request.stream
            && self.auth.stream(self.identity.organization, name).is_none()
        {
            return Err(Problem::of_field("stream", "the organization has no such stream"));
        }
        let count = recipients.len();
        let handed_in = self.hand_in(ReversePath(Some(from)), recipients, request, mail).await;
        Ok(Accepted { id: handed_in.map_err(refused)?, recipients: count })
    }

    pub(super) async fn hand_in(
        &self,
        sender: ReversePath,
        recipients: Vec<Address>,
        request: Request,
        mail: Bytes,
    ) -> Result<MessageId, Refusal> {
        let smtputf8 = recipients.iter().chain(&sender.0).any(Address::needs_smtputf8);
        let envelope = Envelope {
            sender,
            recipients: recipients.into_iter().map(Recipient::new).collect(),
            eight_bit: !mail.is_ascii(),
            smtputf8,
            dsn_return: None,
            dsn_envelope_id: None,
        };
        let (identity, arrival) = (self.identity.clone(), self.arrival.clone());
        let submission = Submission { identity, envelope, mail, arrival };
        self.door.submit_with(submission, request).await
    }

    /// The door would find it too; here the field has its name.
    pub(super) fn check_sender(&self, from: &Address) -> Result<(), Problem> {
        if !self.identity.rules.may_send_as(from) {
            return Err(Problem::of_field("from", "this credential may not send as this address"));
        }
        let domain = from.domain();
        if self.auth.sending_domain(self.identity.organization, domain).is_none() {
            let detail = format!("{domain} is not a sending domain of the organization");
            return Err(Problem::of_field("from", detail));
        }
        Ok(())
    }

    fn check_time(&self, request: &Request) -> Result<(), Problem> {
        let now = self.clock.now();
        let latest = now + std::time::Duration::from_secs(SCHEDULED_DAYS_MAX * 24 * 3600);
        if request.not_before.is_some_and(|at| at > latest) {
            let detail = format!("lies more than {SCHEDULED_DAYS_MAX} days ahead");
            return Err(Problem::of_field("scheduled_at", detail));
        }
        let start = request.not_before.unwrap_or(now).max(now);
        match request.not_after {
            Some(end) if end <= start => {
                Err(Problem::of_field("expires_at", "must lie ahead, and after scheduled_at"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(left) = self.auth.allowance(&self.identity) {
            let mut put = |name: &'static str, number: u64| {
                headers.insert(name, HeaderValue::from(number));
            };
            put("ratelimit-limit", u64::from(left.limit));
            put("ratelimit-remaining", u64::from(left.remaining));
            put("ratelimit-reset", left.whole_after.as_secs());
        }
        headers
    }
}

fn domain_of(email: &str) -> String {
    let domain = email.rsplit('@').next().unwrap_or_default();
    // A wrong one is refused by its field; until then it stands nowhere.
    Domain::parse(domain).map_or_else(|_| "localhost".to_owned(), |domain| domain.to_string())
}

/// A credential sends as itself. A person, or the operator, sends in the organization's first
/// transactional stream.
async fn identity(call: &Call<needs::Send>) -> Result<Identity, Problem> {
    if let Some(Caller::Credential(identity)) = call.caller() {
        return Ok(identity.clone());
    }
    let organization = call.organization();
    let streams = call.store.streams().await?;
    let mut own = streams.iter().filter(|stream| stream.organization == organization);
    let stream = own
        .clone()
        .find(|stream| stream.class == StreamClass::Transactional.word())
        .or_else(|| own.next())
        .ok_or_else(|| Problem::conflict("the organization has no stream"))?;
    Ok(Identity {
        credential: None,
        name: call.caller().map(Caller::name).unwrap_or_default(),
        organization,
        stream: stream.id,
        rules: Default::default(),
    })
}

fn wrong(error: FieldError) -> Problem {
    Problem::of_field(error.field, error.text)
}

/// The door speaks as SMTP does.
pub(super) fn refused(refusal: Refusal) -> Problem {
    let Refusal { code, text, retry_after, .. } = refusal;
    match (code, retry_after) {
        (_, Some(wait)) => {
            let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, text);
            Problem { retry_after: Some(seconds), ..problem }
        }
        (552, _) => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, text),
        (500.., _) => Problem::unprocessable(text),
        _ => Problem::unavailable(text),
    }
}

pub(super) type Answer<T> = Result<(StatusCode, HeaderMap, axum::Json<T>), Problem>;

/// Send one mail; it is on disk when this answers.
#[utoipa::path(post, path = "/v1/messages", tag = "messages",
    responses((status = 202, body = Accepted)), security(("key" = ["send"])))]
pub(super) async fn send(call: Call<needs::Send>, Json(letter): Json<Letter>) -> Answer<Accepted> {
    let desk = Desk::of(&call).await?;
    let accepted = desk.send(letter).await?;
    Ok((StatusCode::ACCEPTED, desk.headers(), axum::Json(accepted)))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Batch {
    /// At most 1,000, each taken or refused for itself.
    #[schema(value_type = Vec<Letter>, max_items = 1000, min_items = 1)]
    messages: Vec<serde_json::Value>,
}

/// One of the two, as the letter was taken or refused.
#[derive(Serialize, utoipa::ToSchema)]
pub struct BatchResult {
    accepted: Option<Accepted>,
    problem: Option<Problem>,
}

/// In the order of the letters.
#[derive(Serialize, utoipa::ToSchema)]
pub struct BatchResults {
    results: Vec<BatchResult>,
}

/// Send up to 1,000 mails; each has its own result, and what was taken is on disk.
#[utoipa::path(post, path = "/v1/messages/batch", tag = "messages",
    responses((status = 202, body = BatchResults)), security(("key" = ["send"])))]
pub(super) async fn send_batch(
    call: Call<needs::Send>,
    Json(batch): Json<Batch>,
) -> Answer<BatchResults> {
    if !(1..=BATCH_MAX).contains(&batch.messages.len()) {
        return Err(Problem::of_field("messages", format!("must be 1 to {BATCH_MAX}")));
    }
    let desk = Desk::of(&call).await?;
    // All at once: the disk and the ledger take what comes together in one breath.
    let mut sending = JoinSet::new();
    let count = batch.messages.len();
    for (place, value) in batch.messages.into_iter().enumerate() {
        let desk = desk.clone();
        sending.spawn(async move {
            let sent = match of_value::<Letter>(value) {
                Ok(letter) => desk.send(letter).await,
                Err(problem) => Err(problem),
            };
            (place, sent)
        });
    }
    let mut results: Vec<Option<BatchResult>> = (0..count).map(|_| None).collect();
    while let Some(sent) = sending.join_next().await {
        let (place, sent) = sent.map_err(Problem::ours)?;
        let (accepted, problem) = match sent {
            Ok(accepted) => (Some(accepted), None),
            Err(problem) => (None, Some(problem)),
        };
        results[place] = Some(BatchResult { accepted, problem });
    }
    let results = BatchResults { results: results.into_iter().flatten().collect() };
    Ok((StatusCode::ACCEPTED, desk.headers(), axum::Json(results)))
}

/// A mail that is complete (RFC 5322, MIME), and its envelope.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMail {
    /// The envelope's sender, to whom what fails is reported.
    from: String,
    to: Vec<String>,
    /// The mail, in base64.
    raw: String,
    #[serde(default)]
    stream: Option<String>,
    #[serde(default)]
    tag: Option<String>,
    #[serde(default)]
    metadata: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(default)]
    scheduled_at: Option<Timestamp>,
    #[serde(default)]
    expires_at: Option<Timestamp>,
    #[serde(default)]
    idempotency_key: Option<String>,
    /// What it tells of its readers; else as its stream, or else its domain, says.
    #[serde(default)]
    track: Option<Tracking>,
}

impl RawMail {
    fn build(self) -> Result<Built, FieldError> {
        let request = Request::of_fields(
            self.stream.as_deref(),
            self.tag.as_deref(),
            self.metadata.as_ref(),
            (self.scheduled_at, self.expires_at),
            self.idempotency_key.as_deref(),
        )?;
        let request = Request { track: self.track, ..request };
        let address = |field: &str, text: &String| {
            Address::parse(text.trim()).map_err(|why| FieldError::new(field, why.to_string()))
        };
        let from = address("from", &self.from)?;
        if !(1..=RECIPIENTS_MAX).contains(&self.to.len()) {
            return Err(FieldError::new("to", format!("must be 1 to {RECIPIENTS_MAX}")));
        }
        let recipients: Result<Vec<_>, _> = self.to.iter().map(|one| address("to", one)).collect();
        let octets = STANDARD
            .decode(&self.raw)
            .map_err(|why| FieldError::new("raw", format!("is not base64: {why}")))?;
        Ok(Built { from, recipients: recipients?, request, mail: with_crlf(octets) })
    }
}

/// Files often end their lines by LF alone, and the door takes no such line.
pub(super) fn with_crlf(octets: Vec<u8>) -> Bytes {
    let bare = |place: usize| octets[place] == b'\n' && (place == 0 || octets[place - 1] != b'\r');
    if !memchr::memchr_iter(b'\n', &octets).any(bare) {
        return octets.into();
    }
    let mut lines = Vec::with_capacity(octets.len() + octets.len() / 32);
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(text) => {
                lines.extend_from_slice(text.strip_suffix(b"\r").unwrap_or(text));
                lines.extend_from_slice(b"\r\n");
            }
            None => lines.extend_from_slice(line),
        }
    }
    lines.into()
}

/// Send a mail that is complete already; it is on disk when this answers.
#[utoipa::path(post, path = "/v1/messages/raw", tag = "messages",
    responses((status = 202, body = Accepted)), security(("key" = ["send"])))]
pub(super) async fn send_raw(
    call: Call<needs::Send>,
    Json(mail): Json<RawMail>,
) -> Answer<Accepted> {
    let desk = Desk::of(&call).await?;
    let built = mail.build().map_err(wrong)?;
    let accepted = desk.submit(built).await?;
    Ok((StatusCode::ACCEPTED, desk.headers(), axum::Json(accepted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_a_raw_mail_ends_by_crlf() {
        for (given, expected) in [
            ("A: b\n\nhi\n", "A: b\r\n\r\nhi\r\n"),
            ("A: b\r\n\r\nhi", "A: b\r\n\r\nhi"),
            ("A: b\r\n\nhi\n", "A: b\r\n\r\nhi\r\n"),
            ("\n", "\r\n"),
        ] {
            assert_eq!(with_crlf(given.into()), expected.as_bytes(), "{given:?}");
        }
    }
}
