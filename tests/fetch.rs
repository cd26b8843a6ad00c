//! Whom the HTTP client calls, and whom it never does.

use std::time::Duration;

use postroad::clock::Clock;
use postroad::dns::{DnsOptions, Resolver};
use postroad::fetch::{Call, FetchError, FetchOptions, Fetcher, Url};

use crate::support::http::{HttpSink, status};

fn fetcher(allowed: &[&str], roots: Option<std::path::PathBuf>) -> Fetcher {
    let options = DnsOptions {
        servers: vec!["127.0.0.1:9".parse().expect("an address")],
        allowed_networks: Vec::new(),
        own_names: Vec::new(),
        own_addresses: Vec::new(),
    };
    let resolver = Resolver::new(options, Clock::standing(1)).expect("a resolver");
    let allowed_networks = allowed.iter().map(|text| text.parse().expect("a network")).collect();
    Fetcher::new(resolver, FetchOptions { allowed_networks, extra_roots: roots })
}

fn url(text: &str) -> Url {
    Url::parse(text).expect("a lawful URL")
}

#[tokio::test]
async fn an_address_that_is_not_of_the_internet_is_never_called() {
    let sink = HttpSink::taking().await;
    let port = sink.address.port();
    let strict = fetcher(&[], None);
    let hosts = [
        "127.0.0.1",
        "127.1.2.3",
        "localhost",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::a00:1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
        "[fc00::1]",
        "[ff02::1]",
        "[2001:db8::1]",
    ];
    for host in hosts {
        let call = Call::post(url(&format!("http://{host}:{port}/")), "text/plain", "x");
        let error = strict.call(&call).await.expect_err(host);
        let refused = matches!(error, FetchError::AddressRefused { .. } | FetchError::Dns(_));
        assert!(refused, "{host}: {error}");
    }
    assert!(sink.requests().is_empty());
}

#[tokio::test]
async fn an_allowed_network_is_called_and_the_request_is_what_was_meant() {
    let sink = HttpSink::taking().await;
    let mut call = Call::post(url(&sink.url("/hook?a=b")), "application/json", "{\"a\":1}");
    call.headers.push(("webhook-id".into(), "7".into()));
    let answer = fetcher(&["127.0.0.0/8"], None).call(&call).await.expect("an answer");
    assert!(answer.is_success());
    assert_eq!(answer.text(), "ok");
    let request = &sink.requests()[0];
    assert_eq!(request.line, "POST /hook?a=b HTTP/1.1");
    assert_eq!(request.header("host"), Some(sink.address.to_string().as_str()));
    assert_eq!(request.header("webhook-id"), Some("7"));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.body, b"{\"a\":1}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_nobody_follows_it() {
    let other = HttpSink::taking().await;
    let target = other.url("/secret");
    let answer = format!("HTTP/1.1 302 Found\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n");
    let sink = HttpSink::answering(move |_| Some(answer.clone())).await;
    let call = Call::get(url(&sink.url("/")));
    let answer = fetcher(&["127.0.0.0/8"], None).call(&call).await.expect("an answer");
    assert_eq!((answer.status, answer.is_success()), (302, false));
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn a_server_that_does_not_end_is_left() {
    let sink = HttpSink::answering(|_| None).await;
    let mut call = Call::get(url(&sink.url("/")));
    call.wait = Duration::from_millis(300);
    let error = fetcher(&["127.0.0.0/8"], None).call(&call).await.expect_err("no answer");
    assert!(matches!(error, FetchError::TimedOut { .. }), "{error}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn a_long_answer_is_cut_and_rubbish_is_an_error() {
    let long = format!("HTTP/1.1 200 OK\r\ncontent-length: 900000\r\n\r\n{}", "x".repeat(900_000));
    let sink = HttpSink::answering(move |_| Some(long.clone())).await;
    let mut call = Call::get(url(&sink.url("/")));
    call.answer_bytes_max = 1000;
    let answer = fetcher(&["127.0.0.0/8"], None).call(&call).await.expect("an answer");
    assert_eq!((answer.body.len(), answer.is_cut), (1000, true));
    for rubbish in ["", "HTTP", "220 mail.example ESMTP\r\n", "HTTP/1.1 200 OK\r\nx"] {
        let sink = HttpSink::answering(move |_| Some(rubbish.to_owned())).await;
        let call = Call::get(url(&sink.url("/")));
        let error = fetcher(&["127.0.0.0/8"], None).call(&call).await.expect_err(rubbish);
        assert!(matches!(error, FetchError::Protocol { .. }), "{rubbish:?}: {error}");
    }
}

#[tokio::test]
async fn a_header_that_would_break_out_is_our_own_error() {
    let sink = HttpSink::answering(|_| Some(status(200))).await;
    for (name, value) in [("x", "a\r\nb: c"), ("x y", "a"), ("x", "a\0")] {
        let mut call = Call::get(url(&sink.url("/")));
        call.headers.push((name.into(), value.into()));
        let error = fetcher(&["127.0.0.0/8"], None).call(&call).await.expect_err("unlawful");
        assert!(matches!(error, FetchError::Unlawful(_)), "{error}");
    }
    assert!(sink.requests().is_empty());
}

#[tokio::test]
async fn over_https_the_certificate_must_name_the_host() {
    let good = HttpSink::secure("127.0.0.1").await;
    let call = Call::get(url(&good.url("/")));
    let trusting = fetcher(&["127.0.0.0/8"], good.roots.clone());
    assert!(trusting.call(&call).await.expect("an answer").is_success());
    let error = fetcher(&["127.0.0.0/8"], None).call(&call).await.expect_err("no such root");
    assert!(matches!(error, FetchError::Tls { .. }), "{error}");
    let other = HttpSink::secure("another.example").await;
    let trusting = fetcher(&["127.0.0.0/8"], other.roots.clone());
    let error = trusting.call(&Call::get(url(&other.url("/")))).await.expect_err("another name");
    assert!(matches!(error, FetchError::Tls { .. }), "{error}");
    assert!(other.requests().is_empty());
}
