//! One HTTP/1.1 exchange over a connection that stands.
//!
//! Owns:       what is written as request and read as answer.
//! Promises:   header values carry no control characters; the answer's body is read up to a
//!             maximum; the connection ends with the exchange.
//! Knows not:  where the connection leads, how long all of it may take.

use std::net::IpAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use super::connect::Wire;
use super::{Call, FetchError, Method};

const AGENT: &str = concat!("Postroad/", env!("CARGO_PKG_VERSION"));
/// Header lines of an answer.
const HEADERS_MAX: usize = 100;

/// What the server said.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// As much of it as may be kept.
    pub body: Bytes,
    /// The body was longer.
    pub is_cut: bool,
    pub address: IpAddr,
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body as text, for people.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

pub async fn exchange(wire: Wire, call: &Call, address: IpAddr) -> Result<Answer, FetchError> {
    let protocol = |error: hyper::Error| FetchError::Protocol {
        host: call.url.host().to_owned(),
        why: error.to_string(),
    };
    let request = request(call)?;
    let mut builder = hyper::client::conn::http1::Builder::new();
    builder.max_headers(HEADERS_MAX);
    let (mut sender, connection) = builder.handshake(TokioIo::new(wire)).await.map_err(protocol)?;
    // The connection moves only while it is polled, and ends with this call.
    let mut connection = std::pin::pin!(connection);
    let talk = async {
        let response = sender.send_request(request).await.map_err(protocol)?;
        let head = head(&response);
        let (body, is_cut) = read(response, call.answer_bytes_max).await.map_err(protocol)?;
        let (status, headers) = head;
        Ok(Answer { status, headers, body, is_cut, address })
    };
    let mut talk = std::pin::pin!(talk);
    tokio::select! {
        biased;
        answer = &mut talk => answer,
        // The peer may close with its last octet: what it said before counts.
        _ = &mut connection => talk.await,
    }
}

fn request(call: &Call) -> Result<Request<Full<Bytes>>, FetchError> {
    let method = match call.method {
        Method::Get => hyper::Method::GET,
        Method::Head => hyper::Method::HEAD,
        Method::Post => hyper::Method::POST,
    };
    let unlawful = |name: &str| FetchError::Unlawful(format!("the header '{name}' is not lawful"));
    let mut request = Request::new(Full::new(call.body.clone()));
    *request.method_mut() = method;
    let path = call.url.path_and_query().parse();
    *request.uri_mut() = path.map_err(|_| FetchError::Unlawful("the path is not lawful".into()))?;
    let headers = request.headers_mut();
    let host = HeaderValue::from_str(call.url.authority()).map_err(|_| unlawful("host"))?;
    headers.insert(HOST, host);
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    for (name, value) in &call.headers {
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| unlawful(name))?;
        let value = HeaderValue::from_str(value).map_err(|_| unlawful(name))?;
        headers.insert(key, value);
    }
    Ok(request)
}

fn head<B>(response: &Response<B>) -> (u16, Vec<(String, String)>) {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = response.headers().iter();
    let headers = headers.map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    (response.status().as_u16(), headers)
}

async fn read(
    response: Response<hyper::body::Incoming>,
    bytes_max: usize,
) -> Result<(Bytes, bool), hyper::Error> {
    let mut body = response.into_body();
    let mut kept = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame?;
        let Some(data) = frame.data_ref() else { continue };
        let room = bytes_max - kept.len();
        kept.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            return Ok((kept.into(), true));
        }
    }
    Ok((kept.into(), false))
}
