//! /v1 over HTTP and over the operator's socket: one file a resource.
//!
//! Owns:       paths, what is read from requests and written in answers, who may ask what.
//! Promises:   a handler translates and nothing more; unknown fields are refused and named; every
//!             error is `application/problem+json` (RFC 9457); lists run by cursors.
//! Knows not:  SQL, SMTP, how anything is decided.

pub mod access;
mod audience;
pub mod automation_runs;
pub mod automations;
mod body;
mod caller;
pub mod campaign_links;
pub mod campaign_looks;
mod campaign_mails;
mod campaign_outlook;
mod campaign_progress;
mod campaign_reports;
pub mod campaigns;
pub mod classification;
mod contact_bulk;
mod contact_domains;
mod contact_fields;
mod contact_story;
mod contacts;
pub mod credentials;
mod daemon;
pub mod decisions;
pub mod deliveries;
mod dkim;
pub mod domain_check;
pub mod domain_hosts;
pub mod domain_upkeep;
mod domains;
mod events;
mod extract;
pub mod forecast;
mod health;
pub mod health_windows;
pub mod hold_rules;
mod host_names;
mod imports;
mod inbound;
pub mod inbound_routes;
mod limits;
mod list_forms;
mod lists;
mod log;
mod media;
mod messages;
mod narrow;
mod openapi;
mod organizations;
mod passwords;
pub mod pools;
mod postal;
mod problem;
mod public;
mod public_archive;
mod public_form;
pub mod public_host;
mod public_leaving;
mod public_lists;
mod public_mail;
mod public_person;
mod public_words;
mod relay_news;
mod saved_blocks;
pub mod sealing;
mod segments;
mod send;
mod send_template;
mod serve;
mod session;
mod setup;
mod source_kind;
pub mod sources;
mod stream_policies;
mod streamed;
pub mod suppressions;
mod templates;
pub mod tenants;
mod themes;
pub mod timeline;
pub mod traces;
pub mod tracking;
mod trail;
pub mod users;
pub mod warmups;
pub mod webhooks;
mod why;

use std::sync::Arc;
use std::time::Duration;
use std::{path::PathBuf, pin::Pin};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use caller::Peer;
pub use limits::LimitView;
pub use problem::Problem;
pub use serve::{OperatorSocket, ServeError, TcpOptions, serve_tcp, serve_unix};
pub use why::{LaneView, Why};

use crate::accept::Acceptance;
use crate::auth::Auth;
use crate::campaign::{feeder::Feeder, import::Imports};
use crate::classify::LiveClassifier;
use crate::clock::Clock;
use crate::compose::Composer;
use crate::config::{Mistakes, Reload};
use crate::feedback::inbound::Inbound;
use crate::feedback::return_domains::ReturnDomains;
use crate::feedback::sns::Sns;
use crate::fetch::Fetcher;
use crate::notices::Notices;
use crate::queue::{Queue, check::Audit};
use crate::schedule::{Schedule, checks::Checker};
use crate::store::Store;
use crate::telemetry::names;
use crate::webhooks::Webhooks;
use access::Shared;

/// No request to /v1 carries more.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Of bodies of requests that send mail, all together.
const SEND_ROOM_KIB: usize = 256 * 1024;
const _: () = assert!(SEND_ROOM_KIB * 1024 > send::SEND_BYTES_MAX);
/// How long an answer may take, the reading of its request included.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// Where every body of the spool is read, or a large file comes in.
const CHECK_WAIT: Duration = Duration::from_secs(3600);

/// Reads the settings again and takes up what can change live.
pub type Reloading =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Reload, Mistakes>> + Send>> + Send + Sync>;

/// What the handlers work with. The operator's commands run the same handlers on a stopped store,
/// where nobody signs in, composes or reloads: there these parts are missing.
pub struct ApiState {
    pub store: Store,
    pub auth: Option<Auth>,
    pub composer: Option<Composer>,
    pub queue: Option<Queue>,
    /// The only door for mail.
    pub door: Option<Acceptance>,
    pub audit: Option<Audit>,
    /// Looks at the records of sending domains.
    pub looker: Option<domain_check::Looker>,
    pub imports: Option<Imports>,
    /// Whom mail from outside may be for.
    pub inbound: Option<Inbound>,
    /// Looks whether mail to return domains comes here.
    pub return_domains: Option<ReturnDomains>,
    /// What Amazon SES tells.
    pub sns: Option<Sns>,
    /// Asks for what links lead to.
    pub fetcher: Option<Fetcher>,
    pub schedule: Option<Schedule>,
    pub reload: Option<Reloading>,
    pub classifier: Option<LiveClassifier>,
    pub checker: Option<Checker>,
    pub webhooks: Option<Webhooks>,
    /// Writes to people.
    pub notices: Option<Notices>,
    pub clock: Clock,
    /// Where new DKIM keys are written.
    pub dkim_dir: PathBuf,
    /// Puts in force what campaigns ask for.
    pub feeder: Option<Feeder>,
    /// Wakes the scheduler after deliveries were steered; it carries no data.
    pub nudge: Arc<dyn Fn() + Send + Sync>,
}

/// A list and where it goes on.
#[derive(serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// To be given as `cursor` for what follows; null at the end.
    pub next: Option<String>,
}

impl<T> Page<T> {
    fn whole(items: Vec<T>) -> axum::Json<Page<T>> {
        axum::Json(Page { items, next: None })
    }
}

/// People, tenants, and what happened.
fn control() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(session::sign_in, session::who, session::sign_out))
        .routes(routes!(setup::show, setup::begin))
        .routes(routes!(session::sessions))
        .routes(routes!(session::end_session))
        .routes(routes!(session::set_password))
        .routes(routes!(session::begin_totp))
        .routes(routes!(session::confirm_totp))
        .routes(routes!(session::remove_totp))
        .routes(routes!(users::list))
        .routes(routes!(users::everybody, users::add))
        .routes(routes!(users::disable))
        .routes(routes!(users::change, users::remove))
        .routes(routes!(users::invites, users::invite))
        .routes(routes!(users::withdraw))
        .routes(routes!(users::accept))
        .routes(routes!(passwords::ask_reset))
        .routes(routes!(passwords::take_reset))
        .routes(routes!(organizations::list, organizations::add))
        .routes(routes!(tenants::show, tenants::change))
        .routes(routes!(tenants::set_send_limits))
        .routes(routes!(tenants::set_pool))
        .routes(routes!(organizations::suspend))
        .routes(routes!(organizations::resume))
        .routes(routes!(organizations::streams, organizations::add_stream))
        .routes(routes!(organizations::hold_stream))
        .routes(routes!(organizations::release_stream))
        .routes(routes!(organizations::audit))
        .routes(routes!(dkim::list, dkim::create))
        .routes(routes!(dkim::remove))
        .routes(routes!(events::list))
        .routes(routes!(events::kinds))
        .routes(routes!(events::stream))
}

/// What comes back, and mail from outside.
fn returning() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(inbound::domains, inbound::add_domain))
        .routes(routes!(inbound::remove_domain))
        .routes(routes!(inbound::check_domain))
        .routes(routes!(inbound::mails))
        .routes(routes!(health_windows::list))
        .routes(routes!(relay_news::ses))
        .routes(routes!(stream_policies::show, stream_policies::set))
        .routes(routes!(tracking::of_stream, tracking::set_of_stream))
        .routes(routes!(public_host::show, public_host::set))
        .routes(routes!(tracking::of_domain, tracking::set_of_domain))
        .routes(routes!(inbound_routes::list, inbound_routes::add))
        .routes(routes!(inbound_routes::remove))
        .routes(routes!(inbound_routes::calls))
        .routes(routes!(inbound_routes::one, inbound_routes::remove_call))
        .routes(routes!(inbound_routes::release))
}

/// Every route there is; the document is made of the same rows.
fn routes() -> OpenApiRouter<Arc<Shared>> {
    let quick = OpenApiRouter::with_openapi(openapi::head())
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
        .routes(routes!(openapi::show))
        .routes(routes!(credentials::list, credentials::add))
        .routes(routes!(credentials::revoke, credentials::change))
        .routes(routes!(credentials::rotate))
        .routes(routes!(credentials::finish_rotation))
        .routes(routes!(domains::list, domains::add))
        .routes(routes!(domain_check::check))
        .routes(routes!(host_names::list))
        .routes(routes!(domains::remove))
        .routes(routes!(limits::list, limits::add))
        .routes(routes!(limits::remove))
        .routes(routes!(limits::pin))
        .routes(routes!(why::show))
        .routes(routes!(why::lanes))
        .routes(routes!(webhooks::list, webhooks::add))
        .routes(routes!(webhooks::show, webhooks::update, webhooks::remove))
        .routes(routes!(webhooks::rotate))
        .routes(routes!(webhooks::test))
        .routes(routes!(webhooks::calls))
        .routes(routes!(webhooks::replay))
        .routes(routes!(suppressions::list, suppressions::add))
        .routes(routes!(suppressions::remove))
        .routes(routes!(suppressions::test))
        .routes(routes!(daemon::reload))
        .routes(routes!(classification::unclassified))
        .routes(routes!(classification::rules, classification::add))
        .routes(routes!(classification::try_out))
        .routes(routes!(classification::remove))
        .merge(control())
        .merge(steering_routes())
        .merge(returning())
        .merge(audience::routes())
        .merge(source_routes())
        .layer(from_fn(|request, next| answered_within(ANSWER_WAIT, request, next)));
    let slow = OpenApiRouter::new()
        .routes(routes!(daemon::check))
        .routes(routes!(imports::upload))
        .layer(from_fn(|request, next| answered_within(CHECK_WAIT, request, next)));
    let room = Arc::new(Semaphore::new(SEND_ROOM_KIB));
    let sending = OpenApiRouter::new()
        .routes(routes!(send::send, log::search))
        .routes(routes!(send::send_batch))
        .routes(routes!(send::send_raw))
        .routes(routes!(send_template::send_template))
        .layer(DefaultBodyLimit::max(send::SEND_BYTES_MAX))
        .layer(from_fn(move |request, next| within_room(room.clone(), request, next)))
        .layer(from_fn(|request, next| answered_within(ANSWER_WAIT, request, next)));
    quick.merge(slow).merge(sending).merge(media_routes())
}

/// Files are larger than other requests.
fn media_routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(media::list, media::upload))
        .routes(routes!(media::remove))
        .layer(DefaultBodyLimit::max(media::FILE_BYTES_MAX))
        .layer(from_fn(|request, next| answered_within(ANSWER_WAIT, request, next)))
}

/// What becomes of mail that waits, and its story.
fn steering_routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(deliveries::list))
        .routes(routes!(deliveries::count))
        .routes(routes!(deliveries::steer))
        .routes(routes!(deliveries::show))
        .routes(routes!(messages::show))
        .routes(routes!(timeline::timeline))
        .routes(routes!(log::raw))
        .routes(routes!(log::resend))
        .routes(routes!(hold_rules::list, hold_rules::add))
        .routes(routes!(hold_rules::remove))
        .routes(routes!(hold_rules::preview))
        .routes(routes!(traces::list, traces::add))
        .routes(routes!(traces::remove))
}

/// The names of all operations, as the document has them.
pub fn operation_names() -> Vec<String> {
    openapi::names(routes().into_openapi())
}

fn source_routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(sources::list, sources::add))
        .routes(routes!(sources::show, sources::change, sources::remove))
        .routes(routes!(sources::set_state))
        .routes(routes!(sources::set_override))
        .routes(routes!(sources::test))
        .routes(routes!(pools::list, pools::add))
        .routes(routes!(pools::remove))
        .routes(routes!(pools::put_member))
        .routes(routes!(pools::remove_member))
        .routes(routes!(pools::rules, pools::put_rule))
        .routes(routes!(pools::remove_rule))
        .routes(routes!(warmups::list, warmups::start))
        .routes(routes!(warmups::plans))
        .routes(routes!(warmups::show))
        .routes(routes!(warmups::steer))
        .routes(routes!(decisions::list))
        .routes(routes!(decisions::undo))
        .routes(routes!(decisions::pin))
        .routes(routes!(forecast::show, forecast::ask))
}

pub fn router(state: ApiState) -> Router {
    let (router, document) = routes().split_for_parts();
    let operations = openapi::by_path(document.clone());
    let shared = Arc::new(Shared::new(state, openapi::finish(document), operations));
    let (inner, told) = (router.clone().with_state(shared.clone()), shared.clone());
    router
        .layer(from_fn(move |request, next| {
            trail::follow(told.clone(), inner.clone(), request, next)
        }))
        .merge(postal_routes())
        .merge(public::routes())
        .merge(public_leaving::routes())
        .merge(public_archive::routes())
        .merge(media::routes())
        .merge(public_lists::routes())
        .merge(public_person::routes())
        .fallback(|| async { nothing_here() })
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path knows other methods")
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(counted))
        .with_state(shared)
}

/// What is answered where neither the API nor anybody else has something.
pub fn nothing_here() -> Problem {
    Problem::not_found("nothing is served at this path")
}

/// Not in the document: they are described by who made them.
fn postal_routes() -> Router<Arc<Shared>> {
    let room = Arc::new(Semaphore::new(SEND_ROOM_KIB));
    postal::router()
        .layer(from_fn(move |request, next| within_room(room.clone(), request, next)))
        .layer(from_fn(|request, next| answered_within(ANSWER_WAIT, request, next)))
}

/// Mails that are read and built at the same time share this memory; who finds none waits.
async fn within_room(room: Arc<Semaphore>, request: Request, next: Next) -> Response {
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    // A body whose length is not told may be as long as any.
    let told = !request.headers().contains_key(header::TRANSFER_ENCODING);
    let length = length.unwrap_or(if told { 0 } else { send::SEND_BYTES_MAX });
    let kib = length.min(send::SEND_BYTES_MAX) / 1024 + 1;
    match room.acquire_many(u32::try_from(kib).unwrap_or(u32::MAX)).await {
        Ok(_room) => next.run(request).await,
        Err(_) => Problem::unavailable("the daemon is about to stop").into_response(),
    }
}

async fn answered_within(wait: Duration, request: Request, next: Next) -> Response {
    match tokio::time::timeout(wait, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::unavailable("this took too long; try again").into_response(),
    }
}

async fn counted(request: Request, next: Next) -> Response {
    let is_browser = request.headers().contains_key("sec-fetch-site");
    let mut response = next.run(request).await;
    // An answer may hold a secret, and none is a page to be guessed at by a browser.
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_browser && headers.contains_key(header::WWW_AUTHENTICATE) {
        // Asked for Basic, a browser would put a dialog of its own before the panel's.
        let scheme = HeaderValue::from_static("Bearer realm=\"postroad\"");
        headers.insert(header::WWW_AUTHENTICATE, scheme);
    }
    let class = match response.status().as_u16() {
        100..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    };
    names::HTTP_REQUESTS.add_with(&[("class", class)], 1);
    response
}
