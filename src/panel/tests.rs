use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;

fn asked(method: &str, path: &str, accepts: &str) -> Option<Response> {
    let request = Request::builder().method(method).uri(path).header("accept-encoding", accepts);
    answer(&request.body(Body::empty()).expect("a request"))
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().expect("text"))
}

#[test]
fn what_belongs_to_others_is_not_answered_and_nothing_is_changed_here() {
    for path in ["/v1", "/v1/nothing", "/api/v1/send/message", "/health/x", "/metrics"] {
        assert!(asked("GET", path, "").is_none(), "{path}");
    }
    assert!(asked("POST", "/", "").is_none());
}

#[test]
fn every_page_of_the_panel_is_the_one_document_which_is_asked_for_anew() {
    for path in ["/", "/index.html", "/messages", "/messages/12", "/domains/example.com"] {
        let page = asked("GET", path, "").expect("a page");
        assert_eq!(page.status(), 200, "{path}");
        assert_eq!(header(&page, "content-type"), "text/html; charset=utf-8");
        assert_eq!(header(&page, "cache-control"), "no-cache");
        let policy = header(&page, "content-security-policy");
        let scripts = policy.split("; ").find(|part| part.starts_with("script-src"));
        assert_eq!(scripts, Some("script-src 'self'"), "no inline script and no other host");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
        assert!(!policy.contains("http"), "no other host: {policy}");
    }
    let missing = asked("GET", "/assets/none.js", "").expect("an answer");
    assert_eq!(missing.status(), 404);
}

#[test]
fn a_file_goes_out_in_the_smallest_form_that_the_browser_reads() {
    static FILE: File =
        File { name: "assets/a.js", plain: b"plain", gzip: Some(b"gzip"), brotli: Some(b"br") };
    let form = |accepts: &str| {
        let value = HeaderValue::from_str(accepts).expect("a header");
        packed(&FILE, &HeaderMap::from_iter([(header::ACCEPT_ENCODING, value)])).1
    };
    assert_eq!(form("gzip, deflate, br"), b"br");
    assert_eq!(form("gzip;q=0.5, br;q=0"), b"gzip");
    assert_eq!(form("deflate"), b"plain");
    let kept = served(&FILE, &HeaderMap::new());
    assert_eq!(header(&kept, "cache-control"), "public, max-age=31536000, immutable");
}

/// The panel that is embedded, if one is, was made of what lies in `web/` now.
#[test]
fn the_embedded_panel_is_made_of_the_sources_beside_it() {
    if !is_embedded() {
        return;
    }
    let made_of: BTreeMap<String, String> =
        serde_json::from_str(embedded::SOURCES).expect("a list of sources");
    let web = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("web");
    for (name, hash) in &made_of {
        let octets = std::fs::read(web.join(name)).unwrap_or_default();
        assert_eq!(&digest(&octets), hash, "{name} has changed: run `make panel`");
    }
    let mut beside = Vec::new();
    list(&web.join("src"), &mut beside);
    // Types alone, made of `openapi.json`: the bundle has none.
    beside.retain(|path| !path.ends_with("api/schema.d.ts"));
    for path in beside {
        let name = path.strip_prefix(&web).expect("inside").to_string_lossy().into_owned();
        assert!(made_of.contains_key(&name), "{name} is new: run `make panel`");
    }
}

fn digest(octets: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, octets);
    digest.as_ref().iter().map(|octet| format!("{octet:02x}")).collect()
}

fn list(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a folder").flatten() {
        match entry.path().is_dir() {
            true => list(&entry.path(), found),
            false => found.push(entry.path()),
        }
    }
}
