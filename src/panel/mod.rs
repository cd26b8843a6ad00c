//! The panel: the built `web/`, as `build.rs` has embedded it, and the policy it is shown under.
//!
//! Owns:       which path is which file, how long a browser may keep it, the content policy.
//! Promises:   no inline script runs and no other host is asked; a name with a hash in it may be
//!             kept for ever, the page itself is asked for anew each time.
//! Knows not:  the API that the panel's script asks, nor who is signed in.

pub mod recipients; // pages of those who get mail
#[cfg(test)]
mod tests;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// One file of the panel, and what of it is packed already.
pub struct File {
    name: &'static str,
    plain: &'static [u8],
    gzip: Option<&'static [u8]>,
    brotli: Option<&'static [u8]>,
}

mod embedded {
    use super::File;
    include!(concat!(env!("OUT_DIR"), "/panel_files.rs"));
}

const INDEX: &str = "index.html";
/// Beneath it each name holds a hash of what is in the file.
const HASHED: &str = "assets/";
/// Browsers and crawlers ask for these of themselves.
const ASKED_UNBIDDEN: [&str; 2] = ["favicon.ico", "robots.txt"];
/// These belong to others; what they do not know is not a page of the panel.
const FOREIGN: [&str; 4] = ["v1", "api", "health", "metrics"];

/// Styles may stand inline: a mail that is looked at has them, and its frame, which runs no
/// script, inherits this policy. Pictures of mail that lie elsewhere are not asked for.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' data:; font-src 'self' data:; connect-src 'self'; \
                      frame-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

const UNBUILT: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width\"><title>Postroad</title>\
<body style=\"font:16px/1.5 system-ui;max-width:40rem;margin:4rem auto;padding:0 1rem\">\
<h1>The panel is not in this build</h1><p>It was made without Node. Mail, the commands and the API \
under <code>/v1</code> work all the same.</p><p>With Node 20 or newer: <code>make build</code>, or \
<code>make panel</code> and then <code>cargo build --release --locked</code>. A panel that was \
built elsewhere is embedded with <code>PANEL_DIST=FOLDER cargo build --release --locked</code>.";

/// Whether this binary holds a panel, or only the page that says how to build one.
pub fn is_embedded() -> bool {
    !embedded::FILES.is_empty()
}

/// What the panel has at this path. None: it is not the panel's.
pub fn answer(request: &Request) -> Option<Response> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return None;
    }
    let path = request.uri().path().trim_start_matches('/');
    let first = path.split('/').next().unwrap_or_default();
    if FOREIGN.contains(&first) {
        return None;
    }
    if let Some(file) = find(path).filter(|file| file.name != INDEX) {
        return Some(served(file, request.headers()));
    }
    // A page of the panel is known to its script alone, and may end like a file: a domain does.
    let is_file = path.starts_with(HASHED) || ASKED_UNBIDDEN.contains(&path);
    match (!is_file, find(INDEX)) {
        (false, _) => {
            let headers = guarded("text/plain");
            Some((StatusCode::NOT_FOUND, headers, "no such file").into_response())
        }
        (true, Some(index)) => Some(served(index, request.headers())),
        (true, None) => {
            let mut headers = guarded("text/html; charset=utf-8");
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            Some((headers, UNBUILT).into_response())
        }
    }
}

fn find(name: &str) -> Option<&'static File> {
    embedded::FILES.iter().find(|file| file.name == name)
}

fn served(file: &'static File, asked: &HeaderMap) -> Response {
    let mut headers = guarded(kind_of(file.name));
    let keep = match file.name.starts_with(HASHED) {
        true => "public, max-age=31536000, immutable",
        false => "no-cache",
    };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    let (coding, octets) = packed(file, asked);
    if let Some(coding) = coding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    (headers, Body::from(octets)).into_response()
}

/// The smallest form that the browser reads.
fn packed(file: &'static File, asked: &HeaderMap) -> (Option<&'static str>, &'static [u8]) {
    let accepted = asked.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let accepts = |coding: &str| {
        let all = accepted.unwrap_or_default().split(',');
        all.map(str::trim).any(|one| {
            let (name, weight) = one.split_once(';').unwrap_or((one, "q=1"));
            let is_refused = weight.trim() == "q=0" || weight.trim().starts_with("q=0.000");
            name.trim().eq_ignore_ascii_case(coding) && !is_refused
        })
    };
    match (file.brotli, file.gzip) {
        (Some(octets), _) if accepts("br") => (Some("br"), octets),
        (_, Some(octets)) if accepts("gzip") => (Some("gzip"), octets),
        _ => (None, file.plain),
    }
}

/// What every answer of the panel is shown under.
fn guarded(kind: &'static str) -> HeaderMap {
    let own = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        ),
    ];
    own.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect()
}

fn kind_of(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "woff2" => "font/woff2",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        _ => "application/octet-stream",
    }
}
