//! The API over a store of its own, without a daemon and without sockets.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use postroad::api::{self, ApiState, Peer};
use postroad::auth::{self, Auth};
use postroad::campaign::import::Imports;
use postroad::clock::Clock;
use postroad::model::*;
use postroad::store::{Enqueue, Location, MessageRow, NewDelivery, Store};
use serde_json::Value;
use tower::ServiceExt;

use super::mail;
use super::relay::Database;

/// Somebody else's address: nothing is open to him.
const AFAR: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9));
const ANSWER_BYTES_MAX: usize = 8 << 20;

pub struct TestApi {
    pub store: Store,
    pub auth: Auth,
    pub clock: Clock,
    pub imports: Imports,
    router: Router,
    _directory: tempfile::TempDir,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: axum::http::HeaderMap,
    pub body: Value,
}

/// As whom one asks.
#[derive(Clone, Debug)]
pub enum As {
    Operator,
    Nobody,
    /// What follows `Bearer`.
    Key(String),
    /// The token of a session, in a browser that asks from one of our own pages.
    Session(String),
}

impl Answer {
    /// The session that this answer began.
    pub fn session(&self) -> As {
        let cookie = self.headers[header::SET_COOKIE].to_str().expect("text");
        let (_, rest) = cookie.split_once('=').expect("a cookie");
        As::Session(rest.split(';').next().expect("a token").to_owned())
    }
}

impl TestApi {
    pub async fn new() -> TestApi {
        TestApi::on(&Database::Sqlite).await
    }

    pub async fn on(database: &Database) -> TestApi {
        let directory = tempfile::tempdir().expect("a directory");
        let clock = Clock::standing(1_800_000_000);
        let location = match database {
            Database::Sqlite => Location::Sqlite(directory.path().to_owned()),
            Database::Postgres(url) => Location::Postgres(url.clone()),
        };
        let store = Store::open(&location, 1, clock.clone()).await.expect("opens");
        let auth = Auth::open(store.clone(), vec![], clock.clone()).await.expect("reads");
        let imports = Imports::open(store.clone(), directory.path(), clock.clone()).expect("opens");
        let state = ApiState {
            store: store.clone(),
            auth: Some(auth.clone()),
            composer: None,
            queue: None,
            door: None,
            audit: None,
            looker: None,
            imports: Some(imports.clone()),
            inbound: None,
            return_domains: None,
            sns: None,
            schedule: None,
            reload: None,
            classifier: None,
            checker: None,
            clock: clock.clone(),
            webhooks: None,
            notices: None,
            dkim_dir: directory.path().join("dkim-keys"),
            nudge: Arc::new(|| {}),
        };
        TestApi { store, auth, clock, imports, router: api::router(state), _directory: directory }
    }

    /// A credential of the first organization, as `Bearer` takes it.
    pub async fn key(&self, name: &str) -> As {
        let stream = self.store.streams().await.expect("streams")[0].id;
        let hash = auth::hash_secret("secret");
        let added = self.store.add_credential(OrganizationId::FIRST, name, &hash, stream).await;
        added.expect("a credential");
        self.auth.reload().await.expect("reloads");
        As::Key(format!("{name}:secret"))
    }

    pub async fn ask(&self, who: &As, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.ask_with(who, method, path, &[], body).await
    }

    pub async fn ask_with(
        &self,
        who: &As,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let method: Method = method.to_uppercase().parse().expect("a method");
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = match who {
            As::Operator => request.extension(Peer::Operator),
            As::Nobody => request.extension(Peer::Network { address: AFAR, proxy: false }),
            As::Key(key) => request
                .extension(Peer::Network { address: AFAR, proxy: false })
                .header(header::AUTHORIZATION, format!("Bearer {key}")),
            As::Session(token) => {
                let asked_by = headers.iter().any(|(name, _)| *name == "sec-fetch-site");
                let request = request
                    .extension(Peer::Network { address: AFAR, proxy: false })
                    .header(header::COOKIE, format!("postroad_session={token}"));
                match asked_by {
                    true => request,
                    false => request.header("sec-fetch-site", "same-origin"),
                }
            }
        };
        let request = match body {
            Some(body) => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        self.answer(request.expect("a request")).await
    }

    /// As the operator, with a body that is no JSON.
    pub async fn upload(&self, path: &str, body: Vec<u8>) -> Answer {
        let request = Request::builder().method(Method::POST).uri(path);
        let request = request.extension(Peer::Operator).header(header::CONTENT_TYPE, "text/csv");
        self.answer(request.body(Body::from(body)).expect("a request")).await
    }

    /// The pieces in which the operator is answered, as they were sent.
    pub async fn pieces(&self, path: &str) -> Vec<String> {
        let request = Request::builder().uri(path).extension(Peer::Operator);
        let request = request.body(Body::empty()).expect("a request");
        let answered = self.router.clone().oneshot(request).await;
        let answered = answered.unwrap_or_else(|never| match never {});
        assert_eq!(answered.status(), StatusCode::OK);
        let (mut body, mut pieces) = (answered.into_body(), Vec::new());
        while let Some(frame) = http_body_util::BodyExt::frame(&mut body).await {
            let octets = frame.expect("whole").into_data().expect("data");
            pieces.push(String::from_utf8_lossy(&octets).into_owned());
        }
        pieces
    }

    async fn answer(&self, request: Request<Body>) -> Answer {
        let answered = self.router.clone().oneshot(request).await;
        let (head, body) = answered.unwrap_or_else(|never| match never {}).into_parts();
        // A stream of events does not end.
        let body = match head.headers.get(header::CONTENT_TYPE) {
            Some(kind) if kind == "text/event-stream" => Body::empty(),
            _ => body,
        };
        let bytes = axum::body::to_bytes(body, ANSWER_BYTES_MAX).await.expect("read");
        let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
        let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| text());
        Answer { status: head.status, headers: head.headers, body }
    }

    /// A message of this organization that waits; its body lies nowhere.
    pub async fn mail(
        &self,
        organization: OrganizationId,
        subject: &str,
        recipient: &str,
    ) -> MessageId {
        let id = self.store.message_id().await.expect("an id");
        let first = self.store.delivery_ids(1).await.expect("ids");
        let message = MessageRow {
            organization,
            stream: StreamId(organization.0),
            message_id_header: format!("{id}@sender.test"),
            subject: subject.to_owned(),
            tag: Some(format!("tag-{subject}")),
            ..mail::message(id, "ann@sender.test", self.clock.now())
        };
        let delivery = NewDelivery {
            id: first,
            recipient: Recipient::new(recipient.parse().expect("lawful")),
            site: SiteId::UNROUTED,
            claimed: false,
            contact: None,
            score: 0,
        };
        let job = Enqueue { message, deliveries: vec![delivery], slice: None, line: None };
        self.store.enqueue(job).await.expect("accepted");
        id
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Moves the clock on while the answer to something wrong is held back: quickly for as long as
    /// one is held back at most, and no quicker than the machine checks passwords afterwards, since
    /// guesses are forgiven with time.
    pub async fn waiting<T>(&self, asking: impl Future<Output = T>) -> T {
        const HELD_BACK_MAX: Duration = Duration::from_secs(4);
        let mut asking = std::pin::pin!(asking);
        let began = self.clock.now();
        loop {
            let pause = tokio::time::sleep(Duration::from_millis(20));
            let is_quick = self.clock.now().since(began) <= HELD_BACK_MAX;
            tokio::select! {
                answer = &mut asking => return answer,
                () = pause => {
                    let step = if is_quick { 100 } else { 20 };
                    self.clock.advance(Duration::from_millis(step));
                }
            }
        }
    }

    /// The code that an authenticator shows, `ahead` seconds before its time.
    pub fn code_of(&self, secret: &str, ahead: u64) -> String {
        let secret = totp_rs::Secret::try_from_base32(secret).expect("base32");
        let totp = totp_rs::Builder::new().with_secret(secret).with_account_name("a").build();
        let now = u64::try_from(self.clock.wall().seconds()).expect("after 1970");
        totp.expect("lawful").generate(now + ahead).to_string()
    }

    /// Every operation of the document: method, path, and the permission it needs, if one.
    pub async fn operations(&self) -> Vec<(String, String, Option<String>)> {
        let document = self.ask(&As::Nobody, "GET", "/v1/openapi.json", None).await.body;
        let paths = document["paths"].as_object().expect("paths").clone();
        let mut operations = Vec::new();
        for (path, item) in paths {
            for (method, operation) in item.as_object().expect("an item") {
                let needs = operation["security"][0]["key"].as_array();
                let need = needs.map(|of| of.first().and_then(Value::as_str).unwrap_or(""));
                let need = need.map(str::to_owned);
                operations.push((method.clone(), path.clone(), need));
            }
        }
        operations
    }
}

/// A path of the document with something in the place of each parameter.
pub fn filled(path: &str, with: &str) -> String {
    let mut filled = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        filled.push_str(with);
        rest = after.split_once('}').map_or("", |(_, after)| after);
    }
    filled + rest
}

pub const PASSWORD: &str = "correct horse battery";
