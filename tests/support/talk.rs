//! An SMTP client that says what it is told to, lawful or not.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::PATIENCE;

pub struct Talk {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Talk {
    /// Connects and reads the greeting.
    pub async fn to(address: SocketAddr) -> Talk {
        let (talk, greeting) = Talk::greeted_by(address).await;
        assert!(greeting.starts_with("220"), "{greeting}");
        talk
    }

    pub async fn greeted_by(address: SocketAddr) -> (Talk, String) {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await.expect("in time");
        let mut talk = Talk { stream: stream.expect("connects"), input: Vec::new() };
        let greeting = talk.reply().await;
        (talk, greeting)
    }

    /// Sends octets as they are.
    pub async fn send(&mut self, octets: &[u8]) {
        let sent = timeout(PATIENCE, self.stream.write_all(octets)).await.expect("in time");
        sent.expect("sent");
    }

    /// One line, and its reply.
    pub async fn say(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n").as_bytes()).await;
        self.reply().await
    }

    /// Says it and checks how the reply starts.
    pub async fn expect(&mut self, line: &str, start: &str) -> String {
        let reply = self.say(line).await;
        assert!(reply.starts_with(start), "{line}: {reply}");
        reply
    }

    /// All lines of one reply, separated by LF; empty when the peer closed.
    pub async fn reply(&mut self) -> String {
        loop {
            if let Some(reply) = self.cut() {
                return reply;
            }
            if !self.fill().await {
                return String::new();
            }
        }
    }

    /// Until the peer closes; what it still said.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.input)
    }

    async fn fill(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.input)).await;
        read.expect("in time").is_ok_and(|length| length > 0)
    }

    fn cut(&mut self) -> Option<String> {
        let text = std::str::from_utf8(&self.input).expect("UTF-8");
        let mut length = 0;
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            length += line.len();
            if line.as_bytes().get(3) != Some(&b'-') {
                let reply = text[..length].replace("\r\n", "\n").trim_end().to_owned();
                self.input.drain(..length);
                return Some(reply);
            }
        }
        None
    }
}
