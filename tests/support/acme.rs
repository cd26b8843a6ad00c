//! An authority that gives certificates (RFC 8555), as far as a client of it can tell.
//!
//! Owns:       accounts, orders and a root of its own; a listening socket on loopback.
//! Promises:   a nonce is taken once; a certificate is given only for a host that answered with the
//!             account's own key at the port where questions are asked.
//! Knows not:  who asks. Signatures of requests are not checked.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub struct FakeAuthority {
    /// In PEM.
    pub root: String,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    base: String,
    issuer: Issuer<'static, rcgen::KeyPair>,
    questions: SocketAddr,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    nonces: HashSet<String>,
    given: u64,
    thumbprint: String,
    orders: Vec<Order>,
    /// So many certificates have little left of their time when they are given.
    nearly_over: usize,
    /// Id and key of the only account elsewhere that an account here may be bound to.
    bound_to: Option<(String, Vec<u8>)>,
}

#[derive(Clone)]
struct Order {
    host: String,
    status: &'static str,
    chain: String,
}

impl Drop for FakeAuthority {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Status, further header lines, body.
type Reply = (u16, String, String);

impl FakeAuthority {
    /// It asks hosts at this address.
    pub async fn asking(questions: SocketAddr) -> FakeAuthority {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let mut root = CertificateParams::new(Vec::new()).expect("parameters");
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().expect("a key");
        let pem = root.self_signed(&key).expect("a root").pem();
        let issuer = Issuer::new(root, key);
        let (base, state) = (format!("http://{address}"), Mutex::default());
        let shared = Arc::new(Shared { base, issuer, questions, state });
        let own = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = own.clone();
                tokio::spawn(async move { shared.talk(stream).await });
            }
        });
        FakeAuthority { root: pem, shared, task }
    }

    pub fn directory(&self) -> String {
        format!("{}/directory", self.shared.base)
    }

    /// The next certificates that it gives have more than two thirds of their time behind them.
    pub fn give_nearly_over(&self, count: usize) {
        self.shared.state.lock().nearly_over = count;
    }

    /// From now on an account is made only for who signs with this key.
    pub fn ask_for_binding(&self, id: &str, key: &[u8]) {
        self.shared.state.lock().bound_to = Some((id.to_owned(), key.to_vec()));
    }

    pub fn orders(&self) -> usize {
        self.shared.state.lock().orders.len()
    }
}

impl Shared {
    async fn talk(&self, mut stream: TcpStream) {
        let mut request = Vec::new();
        let mut piece = [0; 4096];
        let (head, mut body) = loop {
            let count = stream.read(&mut piece).await.unwrap_or(0);
            if count == 0 {
                return;
            }
            request.extend_from_slice(&piece[..count]);
            let text = String::from_utf8_lossy(&request).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                break (head.to_owned(), body.to_owned());
            }
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>().ok())?
        });
        while body.len() < length.unwrap_or(0) {
            let count = stream.read(&mut piece).await.unwrap_or(0);
            if count == 0 {
                return;
            }
            body.push_str(&String::from_utf8_lossy(&piece[..count]));
        }
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let (status, more, body) = self.reply(&path, &body).await;
        let nonce = self.nonce();
        let answer = format!(
            "HTTP/1.1 {status} X\r\nReplay-Nonce: {nonce}\r\n{more}Content-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        stream.shutdown().await.unwrap_or_default();
    }

    fn nonce(&self) -> String {
        let mut state = self.state.lock();
        state.given += 1;
        let nonce = format!("nonce{}", state.given);
        state.nonces.insert(nonce.clone());
        nonce
    }

    async fn reply(&self, path: &str, body: &str) -> Reply {
        let base = &self.base;
        if path == "/directory" {
            let directory = json!({"newNonce": format!("{base}/nonce"),
                "newAccount": format!("{base}/account"), "newOrder": format!("{base}/order")});
            return (200, String::new(), directory.to_string());
        }
        if path == "/nonce" {
            return (200, String::new(), String::new());
        }
        let decoded = |text: &Value| {
            let octets = URL_SAFE_NO_PAD.decode(text.as_str().unwrap_or_default());
            serde_json::from_slice::<Value>(&octets.unwrap_or_default()).unwrap_or_default()
        };
        let signed: Value = serde_json::from_str(body).unwrap_or_default();
        let (protected, payload) = (decoded(&signed["protected"]), decoded(&signed["payload"]));
        let nonce = protected["nonce"].as_str().unwrap_or_default().to_owned();
        if !self.state.lock().nonces.remove(&nonce) {
            return problem(400, "badNonce", "the nonce was used before");
        }
        let (kind, number) = path.trim_start_matches('/').split_once('/').unwrap_or((path, "0"));
        let number: usize = number.parse().unwrap_or(0);
        match kind {
            "/account" => self.account(&protected, &payload),
            "/order" => self.new_order(&payload),
            "order" => (200, String::new(), self.order(number)),
            "authz" => (200, String::new(), self.authorization(number)),
            "challenge" => {
                self.ask(number).await;
                (200, String::new(), self.challenge(number).to_string())
            }
            "finalize" => self.finalize(number, &payload),
            "certificate" => {
                let chain = self.state.lock().orders[number].chain.clone();
                (200, "Content-Type: application/pem-certificate-chain\r\n".to_owned(), chain)
            }
            _ => problem(404, "malformed", "there is nothing here"),
        }
    }

    fn account(&self, protected: &Value, payload: &Value) -> Reply {
        if !self.is_bound(protected, &payload["externalAccountBinding"]) {
            return problem(403, "externalAccountRequired", "an account elsewhere is needed");
        }
        let jwk = &protected["jwk"];
        let canonical = format!(
            "{{\"crv\":{},\"kty\":{},\"x\":{},\"y\":{}}}",
            jwk["crv"], jwk["kty"], jwk["x"], jwk["y"]
        );
        let hash = digest(&SHA256, canonical.as_bytes());
        self.state.lock().thumbprint = URL_SAFE_NO_PAD.encode(hash.as_ref());
        let location = format!("Location: {}/account/1\r\n", self.base);
        (201, location, json!({"status": "valid"}).to_string())
    }

    /// RFC 8555 §7.3.4: the account's own key, signed with the key of the account elsewhere.
    fn is_bound(&self, protected: &Value, binding: &Value) -> bool {
        let Some((id, key)) = self.state.lock().bound_to.clone() else { return true };
        let text = |name: &str| binding[name].as_str().unwrap_or_default().to_owned();
        let json = |name: &str| {
            let octets = URL_SAFE_NO_PAD.decode(text(name)).unwrap_or_default();
            serde_json::from_slice::<Value>(&octets).unwrap_or_default()
        };
        let (head, signed) =
            (json("protected"), format!("{}.{}", text("protected"), text("payload")));
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let signature = URL_SAFE_NO_PAD.decode(text("signature")).unwrap_or_default();
        hmac::verify(&key, signed.as_bytes(), &signature).is_ok()
            && (&head["alg"], &head["kid"], &head["url"])
                == (&json!("HS256"), &json!(id), &protected["url"])
            && json("payload") == protected["jwk"]
    }

    fn new_order(&self, payload: &Value) -> Reply {
        let host = payload["identifiers"][0]["value"].as_str().unwrap_or_default().to_owned();
        let mut state = self.state.lock();
        let number = state.orders.len();
        state.orders.push(Order { host, status: "pending", chain: String::new() });
        drop(state);
        (201, format!("Location: {}/order/{number}\r\n", self.base), self.order(number))
    }

    fn order(&self, number: usize) -> String {
        let (base, order) = (&self.base, self.state.lock().orders[number].clone());
        let certificate = format!("{base}/certificate/{number}");
        json!({"status": order.status,
            "identifiers": [{"type": "dns", "value": order.host}],
            "authorizations": [format!("{base}/authz/{number}")],
            "finalize": format!("{base}/finalize/{number}"),
            "certificate": (order.status == "valid").then_some(certificate)})
        .to_string()
    }

    fn authorization(&self, number: usize) -> String {
        let order = self.state.lock().orders[number].clone();
        let status = match order.status {
            "ready" => "valid",
            other => other,
        };
        json!({"status": status, "identifier": {"type": "dns", "value": order.host},
            "challenges": [self.challenge(number)]})
        .to_string()
    }

    fn challenge(&self, number: usize) -> Value {
        let order = self.state.lock().orders[number].clone();
        let error = json!({"type": "urn:ietf:params:acme:error:unauthorized",
            "detail": "the host did not answer with the key", "status": 403});
        let is_wrong = order.status == "invalid";
        json!({"type": "http-01", "url": format!("{}/challenge/{number}", self.base),
            "status": if is_wrong { "invalid" } else { "pending" }, "token": format!("t{number}"),
            "error": is_wrong.then_some(error)})
    }

    /// The host itself, over plain HTTP.
    async fn ask(&self, number: usize) {
        let (order, expected) = {
            let state = self.state.lock();
            (state.orders[number].clone(), format!("t{number}.{}", state.thumbprint))
        };
        let request = format!(
            "GET /.well-known/acme-challenge/t{number} HTTP/1.1\r\nHost: {}\r\n\r\n",
            order.host
        );
        let mut answer = String::new();
        if let Ok(mut stream) = TcpStream::connect(self.questions).await {
            stream.write_all(request.as_bytes()).await.unwrap_or_default();
            stream.read_to_string(&mut answer).await.unwrap_or_default();
        }
        let is_right = answer.ends_with(&format!("\r\n\r\n{expected}"));
        self.state.lock().orders[number].status = if is_right { "ready" } else { "invalid" };
    }

    fn finalize(&self, number: usize, payload: &Value) -> Reply {
        let csr = URL_SAFE_NO_PAD.decode(payload["csr"].as_str().unwrap_or_default());
        let csr = csr.expect("a request").into();
        let mut csr = CertificateSigningRequestParams::from_der(&csr).expect("a request");
        let mut state = self.state.lock();
        if state.nearly_over > 0 {
            state.nearly_over -= 1;
            csr.params.not_before = rcgen::date_time_ymd(1980, 1, 1);
            csr.params.not_after = rcgen::date_time_ymd(2045, 1, 1);
        }
        let given = csr.signed_by(&self.issuer).expect("signed");
        state.orders[number].chain = given.pem();
        state.orders[number].status = "valid";
        drop(state);
        (200, String::new(), self.order(number))
    }
}

fn problem(status: u16, kind: &str, detail: &str) -> Reply {
    let kind = format!("urn:ietf:params:acme:error:{kind}");
    let body = json!({"type": kind, "detail": detail, "status": status});
    (status, "Content-Type: application/problem+json\r\n".to_owned(), body.to_string())
}
