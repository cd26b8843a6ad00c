//! The audit log of what handlers change.
//!
//! Owns:       which operations change nothing, and how the others are told.
//! Promises:   every change stands in the audit log, in one transaction with the first row that it
//!             changes: with what there was at the path before and what was asked for, and once
//!             the operation has succeeded with what was answered, or with the handler's own words.
//!             What changes no row is told when it has succeeded.
//! Knows not:  what any operation does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::Value;
use tower::ServiceExt;

use super::access::Shared;
use super::caller::Peer;
use crate::model::OrganizationId;
use crate::store::{AuditEntry, AuditLine};

/// Operations that leave no line, and why not, in README's words: tests hold that each exists and
/// that README says so.
pub(super) const UNTOLD: [(&str, &str); 22] = [
    ("campaigns_preview", LOOKS),
    ("campaigns_test", IS_MAIL),
    ("classification_try_out", LOOKS),
    ("daemon_check", LOOKS),
    ("domains_check", ASKS),
    ("forecast_ask", LOOKS),
    ("hold_rules_preview", LOOKS),
    ("imports_upload", "a file before its import is started"),
    ("inbound_check_domain", ASKS),
    ("inbound_ses", ASKS),
    ("messages_send", IS_MAIL),
    ("messages_send_batch", IS_MAIL),
    ("messages_send_raw", IS_MAIL),
    ("messages_send_template", IS_MAIL),
    ("account_ask_reset", IS_MAIL),
    ("account_begin_totp", IS_OWN),
    ("account_end_session", IS_OWN),
    ("segments_count", LOOKS),
    ("session_sign_in", IS_OWN),
    ("session_sign_out", IS_OWN),
    ("sources_test", ASKS),
    ("templates_preview", LOOKS),
];
const LOOKS: &str = "what only looks";
const IS_MAIL: &str = "mail that is sent";
const IS_OWN: &str = "one's own sessions";
const ASKS: &str = "what name servers, hosts and relays say";
/// Of an answer or of what was before; what is longer is told by its length.
const TOLD_BYTES_MAX: usize = 32 * 1024;
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Never in a log.
const SECRETS: [&str; 7] =
    ["secret", "password", "token", "code", "recovery_codes", "current", "new"];

/// What a call is told by; in the request's extensions.
#[derive(Clone, Default)]
pub(super) struct Trail(Arc<Beginning>);

/// What is known before anybody looks at the request.
#[derive(Default)]
struct Beginning {
    /// None: it is not told.
    entry: Option<AuditEntry>,
    /// From the moment on that the caller is let in.
    line: OnceLock<AuditLine>,
    /// The handler has found words of its own.
    has_said: AtomicBool,
}

impl Trail {
    fn of(action: String, target: String, before: Option<Value>) -> Trail {
        let entry = Some(AuditEntry { action, target, before, ..AuditEntry::default() });
        Trail(Arc::new(Beginning { entry, ..Beginning::default() }))
    }

    /// The line that goes with what this caller changes.
    pub fn came(&self, actor: String, organization: Option<OrganizationId>) -> Option<AuditLine> {
        let entry = AuditEntry { actor, organization, ..self.0.entry.clone()? };
        Some(self.0.line.get_or_init(|| AuditLine::new(entry)).clone())
    }

    /// What the line says until it is known what came of it.
    pub fn asked(&self, body: &Value) {
        if let (Some(line), Some(entry)) = (self.0.line.get(), &self.0.entry) {
            line.say(|said| said.after = told(&entry.action, body.clone()));
        }
    }

    /// The handler's words for what it is about to change. None: it needs a line of its own for
    /// it, since an earlier change has taken this one along, or nothing is told.
    pub fn say(&self, entry: AuditEntry) -> Option<AuditLine> {
        let line = self.0.line.get().filter(|line| !line.is_written())?;
        self.put(line, entry)
    }

    /// The handler's words for what it has changed. None: there are some already, or nothing is
    /// told.
    pub fn say_at_last(&self, entry: AuditEntry) -> Option<AuditLine> {
        let line = self.0.line.get()?;
        match line.is_written() && self.0.has_said.load(Ordering::Relaxed) {
            true => None,
            false => self.put(line, entry),
        }
    }

    fn put(&self, line: &AuditLine, entry: AuditEntry) -> Option<AuditLine> {
        self.0.has_said.store(true, Ordering::Relaxed);
        line.say(|said| *said = entry);
        Some(line.clone())
    }

    /// The line of what has succeeded, where there is still something to say.
    fn left(&self) -> Option<(&AuditLine, bool)> {
        let (line, has_said) = (self.0.line.get()?, self.0.has_said.load(Ordering::Relaxed));
        // In words of its own it tells of changes, and there was none.
        (!has_said || line.is_written()).then_some((line, has_said))
    }
}

/// `inner` answers what there was before.
pub(super) async fn follow(
    shared: Arc<Shared>,
    inner: Router,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(action) = action_of(&shared, &request) else { return next.run(request).await };
    let target = target_of(&request);
    let before = before(&action, &inner, &Asking::of(&request)).await;
    let trail = Trail::of(action.clone(), target, before);
    request.extensions_mut().insert(trail.clone());
    let mut response = next.run(request).await;
    if !response.status().is_success() {
        return response;
    }
    let Some((line, has_said)) = trail.left() else { return response };
    if !line.is_written() {
        tracing::debug!(action, "what was done has changed no row that its line could go with");
    }
    if !has_said {
        let (same, after) = answered(response).await;
        response = same;
        let after = after.and_then(|after| told(&action, after));
        line.say(|said| said.after = after);
    }
    if let Err(error) = shared.store().tell(line).await {
        tracing::error!(%error, "what came of a change is missing in the audit log");
    }
    response
}

/// None for what is not told.
fn action_of(shared: &Shared, request: &Request) -> Option<String> {
    let method = request.method();
    if !matches!(*method, Method::POST | Method::PUT | Method::PATCH | Method::DELETE) {
        return None;
    }
    let path = request.extensions().get::<MatchedPath>()?;
    let name = shared.operation(method, path.as_str())?;
    let is_told = UNTOLD.iter().all(|(untold, _)| *untold != name);
    is_told.then(|| name.to_owned())
}

fn target_of(request: &Request) -> String {
    request.uri().path().trim_start_matches("/v1/").to_owned()
}

/// Of a request, what it takes to ask for the thing that it is about.
struct Asking {
    /// None where it is about no thing in particular.
    path: Option<String>,
    headers: HeaderMap,
    peer: Option<Peer>,
}

impl Asking {
    fn of(request: &Request) -> Asking {
        let pattern = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        let pattern = pattern.filter(|pattern| pattern.contains('{'));
        let path = request.uri().path();
        let path = pattern.and_then(|pattern| match pattern.ends_with('}') {
            true => Some(path),
            // A verb stands behind the thing.
            false => path.rsplit_once('/').map(|(thing, _)| thing),
        });
        let mut headers = request.headers().clone();
        headers.remove(header::CONTENT_LENGTH);
        headers.remove(header::CONTENT_TYPE);
        let peer = request.extensions().get::<Peer>().copied();
        Asking { path: path.map(str::to_owned), headers, peer }
    }
}

/// What a GET says of the thing that is about to change: at its own path, or in the list that it
/// stands in.
async fn before(action: &str, inner: &Router, asking: &Asking) -> Option<Value> {
    let path = asking.path.as_deref()?;
    if let Some(thing) = seen(inner, asking, path).await {
        return told(action, thing);
    }
    let (list, name) = path.rsplit_once('/')?;
    let page = seen(inner, asking, list).await?;
    let is_it = |item: &&Value| {
        let id = item["id"].to_string();
        id == name || item["name"] == name
    };
    told(action, page["items"].as_array()?.iter().find(is_it)?.clone())
}

/// As the same caller.
async fn seen(inner: &Router, asking: &Asking, path: &str) -> Option<Value> {
    let mut request = Request::builder().method(Method::GET).uri(path).body(Body::empty()).ok()?;
    request.headers_mut().clone_from(&asking.headers);
    if let Some(peer) = asking.peer {
        request.extensions_mut().insert(peer);
    }
    let answer = match inner.clone().oneshot(request).await {
        Ok(answer) if answer.status() == StatusCode::OK => answer,
        _ => return None,
    };
    let bytes = to_bytes(answer.into_body(), ANSWER_BYTES_MAX).await.ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// The response as it was, and what it says.
async fn answered(response: Response) -> (Response, Option<Value>) {
    let kind = response.headers().get(header::CONTENT_TYPE);
    if kind.is_none_or(|kind| kind != "application/json") {
        return (response, None);
    }
    let (head, body) = response.into_parts();
    match to_bytes(body, ANSWER_BYTES_MAX).await {
        Ok(bytes) => {
            let after = serde_json::from_slice(&bytes).ok();
            (Response::from_parts(head, Body::from(bytes)), after)
        }
        Err(error) => {
            tracing::error!(%error, "an answer could not be read again for the audit log");
            (Response::from_parts(head, Body::empty()), None)
        }
    }
}

/// Without its secrets, and not at any length. Of a contact's own fields the names are enough:
/// their values may be sealed everywhere else.
fn told(action: &str, mut value: Value) -> Option<Value> {
    mask(&mut value);
    if action.starts_with("contact") {
        name_fields(&mut value);
    }
    let bytes = value.to_string().len();
    Some(if bytes > TOLD_BYTES_MAX { serde_json::json!({ "bytes": bytes }) } else { value })
}

fn name_fields(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| match value {
            Value::Object(values) if name == "fields" => {
                *value = values.keys().cloned().collect();
            }
            value => name_fields(value),
        }),
        Value::Array(items) => items.iter_mut().for_each(name_fields),
        _ => {}
    }
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| {
            let is_text = value.is_string() || value.is_array();
            match SECRETS.contains(&name.as_str()) && is_text {
                true => *value = "…".into(),
                false => mask(value),
            }
        }),
        Value::Array(items) => items.iter_mut().for_each(mask),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_told_and_what_is_long_is_told_by_its_length() {
        let value = serde_json::json!({"name": "a", "secret": "s", "recovery_codes": ["x"],
            "inner": [{"token": "t", "code": 7}]});
        let masked = told("things_add", value).expect("told");
        assert_eq!((&masked["secret"], &masked["recovery_codes"]), (&"…".into(), &"…".into()));
        assert_eq!(masked["inner"][0]["token"], "…");
        assert_eq!((&masked["name"], &masked["inner"][0]["code"]), (&"a".into(), &7.into()));
        let long = told("things_add", "x".repeat(TOLD_BYTES_MAX).into()).expect("told");
        assert_eq!(long["bytes"], TOLD_BYTES_MAX + 2);
    }

    #[test]
    fn of_a_contacts_own_fields_only_the_names_are_told() {
        let value = serde_json::json!({"name": "Ann", "fields": {"iban": "DE1", "size": 3}});
        let shown = told("contacts_change", value.clone()).expect("told");
        assert_eq!(shown, serde_json::json!({"name": "Ann", "fields": ["iban", "size"]}));
        assert_eq!(told("templates_change", value.clone()), Some(value));
    }

    #[test]
    fn what_is_not_told_is_an_operation_that_there_is_and_readme_says_why() {
        let operations = super::super::operation_names();
        let readme = include_str!("../../README.md");
        let readme = readme.split_whitespace().collect::<Vec<_>>().join(" ");
        for (name, why) in UNTOLD {
            assert!(operations.iter().any(|known| known == name), "{name}");
            assert!(readme.contains(why), "README does not say: {why}");
        }
    }
}
