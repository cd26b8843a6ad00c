//! Where the mail goes that a simulated host accepts.
//!
//! Owns:       `sink_dir` with `<n>.eml` and `<n>.json`, or the list in memory.
//! Promises:   a mail is kept exactly as on the wire after dot-unstuffing; no reader of the
//!             directory sees half a file, and where `<n>.json` is, `<n>.eml` is whole; it is kept
//!             before the host answers `250`.
//! Knows not:  who accepted it and why.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use serde::Serialize;

/// A sink in memory forgets nothing, so it must not be fed without end.
const MEMORY_MAILS_MAX: usize = 200_000;

/// What becomes of accepted mail.
#[derive(Clone, Debug)]
pub enum Keep {
    Directory(PathBuf),
    Memory,
    /// Only counted: for load.
    Nothing,
}

/// The envelope as the client said it, parameters in upper case: `("BODY", "8BITMIME")`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SaidEnvelope {
    /// Empty: the null sender.
    pub sender: String,
    pub sender_parameters: Vec<(String, String)>,
    pub recipients: Vec<String>,
    /// One list for each recipient.
    pub recipient_parameters: Vec<Vec<(String, String)>>,
}

/// One accepted mail; the sidecar holds all of it but the body.
#[derive(Clone, Debug, Serialize)]
pub struct Received {
    pub number: u64,
    pub envelope: SaidEnvelope,
    pub peer: String,
    pub ehlo: String,
    /// `TLSv1.3 TLS13_AES_256_GCM_SHA384`, or null.
    pub tls: Option<String>,
    /// RFC 3339 in UTC with microseconds, of the wall clock.
    pub time: String,
    /// The host that accepted it, and where it listens.
    pub host: String,
    pub address: String,
    /// Which mail of its connection it was, from 1.
    pub of_connection: u64,
    #[serde(skip)]
    pub body: Bytes,
}

pub struct Sink {
    keep: Keep,
    /// The number of the latest mail.
    latest: AtomicU64,
    accepted: AtomicU64,
    memory: Mutex<Vec<Arc<Received>>>,
}

impl Sink {
    /// Makes the directory; numbers go on after what lies in it.
    pub fn open(keep: Keep) -> io::Result<Sink> {
        let latest = match &keep {
            Keep::Directory(directory) => {
                std::fs::create_dir_all(directory)?;
                latest_number(directory)?
            }
            Keep::Memory | Keep::Nothing => 0,
        };
        Ok(Sink {
            keep,
            latest: AtomicU64::new(latest),
            accepted: AtomicU64::new(0),
            memory: Mutex::new(Vec::new()),
        })
    }

    /// Mails accepted since the start.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Everything kept in memory, in the order of acceptance.
    pub fn received(&self) -> Vec<Arc<Received>> {
        self.memory.lock().clone()
    }

    /// Numbers the mail and keeps it; the number is returned.
    pub async fn keep(&self, mut mail: Received) -> io::Result<u64> {
        mail.number = self.latest.fetch_add(1, Ordering::Relaxed) + 1;
        let number = mail.number;
        match &self.keep {
            Keep::Nothing => {}
            Keep::Memory => {
                let mut memory = self.memory.lock();
                if memory.len() == MEMORY_MAILS_MAX {
                    return Err(io::Error::other("the sink's memory is full"));
                }
                memory.push(Arc::new(mail));
            }
            Keep::Directory(directory) => {
                let directory = directory.clone();
                tokio::task::spawn_blocking(move || write(&directory, &mail))
                    .await
                    .map_err(io::Error::other)??;
            }
        }
        self.accepted.fetch_add(1, Ordering::Relaxed);
        Ok(number)
    }
}

fn write(directory: &Path, mail: &Received) -> io::Result<()> {
    let place = |ending: &str| directory.join(format!("{}.{ending}", mail.number));
    let mut sidecar = serde_json::to_vec(mail).map_err(io::Error::other)?;
    sidecar.push(b'\n');
    std::fs::write(place("eml.part"), &mail.body)?;
    std::fs::write(place("json.part"), &sidecar)?;
    // Both are whole before either gets its name, so the names follow at once upon each other.
    std::fs::rename(place("eml.part"), place("eml"))?;
    std::fs::rename(place("json.part"), place("json"))
}

fn latest_number(directory: &Path) -> io::Result<u64> {
    let mut latest = 0;
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.split('.').next()?.parse().ok());
        latest = latest.max(number.unwrap_or(0));
    }
    Ok(latest)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn mail(body: &'static [u8]) -> Received {
        Received {
            number: 0,
            envelope: SaidEnvelope { sender: "a@b.test".into(), ..SaidEnvelope::default() },
            peer: "127.0.0.1:1".into(),
            ehlo: "client.test".into(),
            tls: None,
            time: "2026-01-01T00:00:00Z".into(),
            host: "mx.test".into(),
            address: "127.0.0.2:25".into(),
            of_connection: 1,
            body: Bytes::from_static(body),
        }
    }

    #[tokio::test]
    async fn numbers_go_on_after_a_restart_and_no_part_is_left() {
        let directory = tempfile::tempdir().expect("a directory");
        let keep = || Keep::Directory(directory.path().to_owned());
        let sink = Sink::open(keep()).expect("opens");
        assert_eq!(sink.keep(mail(b"one\r\n")).await.expect("kept"), 1);
        let sink = Sink::open(keep()).expect("opens again");
        assert_eq!(sink.keep(mail(b"two\r\n.\xff")).await.expect("kept"), 2);
        let body = std::fs::read(directory.path().join("2.eml")).expect("a mail");
        assert_eq!(body, b"two\r\n.\xff");
        let sidecar = std::fs::read(directory.path().join("2.json")).expect("a sidecar");
        let sidecar: serde_json::Value = serde_json::from_slice(&sidecar).expect("JSON");
        assert_eq!(sidecar["envelope"]["sender"], "a@b.test");
        assert_eq!(sidecar["tls"], serde_json::Value::Null);
        assert_eq!(std::fs::read_dir(directory.path()).expect("listed").count(), 4);
    }
}
