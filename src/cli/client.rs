//! Asks the running daemon over its Unix socket, or the same handlers on a stopped store.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;
use tower::ServiceExt;

use super::CliError;
use crate::api::{self, ApiState, Peer, Problem};
use crate::app;
use crate::clock::Clock;
use crate::config::Settings;
use crate::store::Store;

const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// Longer than the daemon takes for any answer but `check`, which is not asked this way.
const ANSWER_WAIT: Duration = Duration::from_secs(60);
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Whoever answers.
pub enum Desk {
    /// The daemon, at its socket.
    Daemon(PathBuf),
    /// Nobody runs: this process has the store, and with it the directory's lock.
    Stopped { router: Router, store: Store },
}

impl Desk {
    /// The running daemon and nobody else.
    pub async fn daemon(settings: &Settings) -> Result<Desk, CliError> {
        let path = settings.control_socket();
        match is_answered(&path).await? {
            true => Ok(Desk::Daemon(path)),
            false => Err(CliError::NotRunning(path.display().to_string())),
        }
    }

    /// The running daemon, or the stopped store.
    pub async fn daemon_or_store(settings: &Settings) -> Result<Desk, CliError> {
        let path = settings.control_socket();
        if is_answered(&path).await? {
            return Ok(Desk::Daemon(path));
        }
        become_owner(&settings.node.data_dir)?;
        let clock = Clock::system();
        let store = Store::open(&app::location(settings), settings.node.id, clock.clone()).await?;
        let state = ApiState {
            store: store.clone(),
            auth: None,
            composer: None,
            queue: None,
            door: None,
            audit: None,
            looker: None,
            imports: None,
            inbound: None,
            return_domains: None,
            sns: None,
            fetcher: None,
            schedule: None,
            reload: None,
            classifier: None,
            checker: None,
            webhooks: None,
            notices: None,
            clock,
            dkim_dir: settings.node.dkim_dir.clone(),
            feeder: None,
            nudge: Arc::new(|| {}),
        };
        Ok(Desk::Stopped { router: api::router(state), store })
    }

    /// Sends a request to /v1 and reads the answer.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<T, CliError> {
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "postroad")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .map_err(|why| CliError::Refused(why.to_string()))?;
        let answered = tokio::time::timeout(ANSWER_WAIT, self.send(request)).await;
        let (status, bytes) = answered
            .map_err(|_| CliError::Answer("it did not come within a minute".to_owned()))??;
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(|why| CliError::Answer(why.to_string()));
        }
        match serde_json::from_slice::<Problem>(&bytes) {
            Ok(Problem { detail, field: Some(field), .. }) => {
                Err(CliError::Refused(format!("{field}: {detail}")))
            }
            Ok(problem) => Err(CliError::Refused(problem.detail)),
            Err(_) => Err(CliError::Answer(format!("status {status}"))),
        }
    }

    async fn send(&self, request: Request<Body>) -> Result<(StatusCode, Bytes), CliError> {
        match self {
            Desk::Daemon(path) => {
                let stream = UnixStream::connect(path).await?;
                let unread = |why: hyper::Error| CliError::Answer(why.to_string());
                let (mut sender, connection) =
                    http1::handshake(TokioIo::new(stream)).await.map_err(unread)?;
                let talking = tokio::spawn(connection);
                let answer = sender.send_request(request).await.map_err(unread)?;
                let read = collect(answer).await;
                talking.abort();
                read
            }
            Desk::Stopped { router, .. } => {
                let mut request = request;
                request.extensions_mut().insert(Peer::Operator);
                let answer = router.clone().oneshot(request).await;
                collect(answer.unwrap_or_else(|never| match never {})).await
            }
        }
    }

    /// Gives the store back, if we had it.
    pub async fn close(self) {
        if let Desk::Stopped { store, .. } = self {
            store.close().await;
        }
    }
}

async fn collect<B>(answer: Response<B>) -> Result<(StatusCode, Bytes), CliError>
where
    B: hyper::body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (head, body) = answer.into_parts();
    let read = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
    let bytes = read.map_err(|why| CliError::Answer(why.to_string()))?.to_bytes();
    Ok((head.status, bytes))
}

/// Somebody listens there. A socket file without a listener is what a killed daemon leaves.
async fn is_answered(path: &Path) -> Result<bool, CliError> {
    use std::io::ErrorKind;
    let tried = tokio::time::timeout(CONNECT_WAIT, UnixStream::connect(path)).await;
    match tried.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into())) {
        Ok(_) => Ok(true),
        Err(why) if matches!(why.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            Ok(false)
        }
        Err(why) if why.kind() == ErrorKind::PermissionDenied => {
            let path = path.display();
            Err(CliError::Refused(format!("{path} is only for root and the daemon's own user")))
        }
        Err(why) => Err(CliError::Refused(format!("{}: {why}", path.display()))),
    }
}

/// Root works on a stopped store as the user who owns it: a file made by root there would keep
/// the daemon from starting.
pub fn become_owner(data_dir: &Path) -> Result<(), CliError> {
    let Ok(found) = std::fs::metadata(data_dir) else { return Ok(()) };
    let (uid, gid) = (found.uid(), found.gid());
    // The groups go first, while it is still allowed.
    // SAFETY: the calls take numbers; setgroups is given a count of 0, so it reads no list.
    let done = unsafe {
        libc::geteuid() != 0
            || uid == 0
            || (libc::setgroups(0, std::ptr::null()) == 0
                && libc::setgid(gid) == 0
                && libc::setuid(uid) == 0)
    };
    if done { Ok(()) } else { Err(std::io::Error::last_os_error().into()) }
}

/// A value of a query or a part of a path (RFC 3986 §2.3: all but unreserved characters).
pub fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_unreserved_is_encoded() {
        assert_eq!(percent_encode("a+b@c.example/ü&"), "a%2Bb%40c.example%2F%C3%BC%26");
    }
}
