//! The operator's socket, asked as `postroad` itself does.

use std::path::Path;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Status and JSON body of one request; `Value::Null` sends no body.
pub async fn ask(socket: &Path, method: &str, path: &str, body: Value) -> (u16, Value) {
    let (head, body) = answer(socket, method, path, body).await;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    (status, serde_json::from_str(&body).unwrap_or(Value::Null))
}

/// The cookie that an answer sets.
pub async fn cookie(socket: &Path, path: &str, body: Value) -> String {
    let (head, body) = answer(socket, "POST", path, body).await;
    let (_, cookie) = head.split_once("set-cookie: ").unwrap_or_else(|| panic!("{head}: {body}"));
    cookie.split(';').next().expect("a pair").to_owned()
}

async fn answer(socket: &Path, method: &str, path: &str, body: Value) -> (String, String) {
    let mut stream = UnixStream::connect(socket).await.expect("the daemon listens");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: postroad\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("read");
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    (head.to_owned(), body.to_owned())
}
