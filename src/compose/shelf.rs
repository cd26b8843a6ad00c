//! Files of organizations, on disk: images that mails show, attachments.
//!
//! Owns:       the folder `media` of the data directory.
//! Promises:   a file that was put is whole and synced; a key never leads out of the folder.
//! Knows not:  rows, who may see what.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::AsyncWriteExt;

use super::{ComposeError, Composer};
use crate::model::*;
use crate::store::Store;

/// RFC 2045 §6.8.
const LINE_LETTERS: usize = 76;

#[derive(Clone, Debug)]
pub struct Shelf(PathBuf);

impl Shelf {
    pub fn open(data_dir: &Path) -> io::Result<Shelf> {
        let folder = data_dir.join("media");
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Shelf(folder))
    }

    /// Keys are letters and digits, made by us.
    fn place(&self, key: &str) -> io::Result<PathBuf> {
        let is_key =
            (16..=64).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_alphanumeric());
        match is_key {
            true => Ok(self.0.join(key)),
            false => Err(io::Error::new(io::ErrorKind::NotFound, "this is no key")),
        }
    }

    pub async fn put(&self, key: &str, octets: &[u8]) -> io::Result<()> {
        let place = self.place(key)?;
        let part = self.0.join(format!("{key}.part"));
        let mut options = tokio::fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = file.open(&part).await?;
        file.write_all(octets).await?;
        file.sync_all().await?;
        tokio::fs::rename(&part, &place).await?;
        tokio::fs::File::open(&self.0).await?.sync_all().await
    }

    pub async fn read(&self, key: &str) -> io::Result<Vec<u8>> {
        tokio::fs::read(self.place(key)?).await
    }

    pub async fn remove(&self, key: &str) -> io::Result<()> {
        tokio::fs::remove_file(self.place(key)?).await
    }
}

/// A file as it stands in a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    pub name: String,
    pub content_type: String,
    /// Base64 in lines.
    pub lines: String,
}

impl Attached {
    pub fn of(name: &str, content_type: &str, octets: &[u8]) -> Attached {
        let text = STANDARD.encode(octets);
        let mut lines = String::with_capacity(text.len() + text.len() / LINE_LETTERS * 2 + 2);
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at(rest.len().min(LINE_LETTERS));
            lines.push_str(line);
            lines.push_str("\r\n");
            rest = more;
        }
        Attached { name: name.to_owned(), content_type: content_type.to_owned(), lines }
    }
}

impl Composer {
    /// Where files lie; the first call wins.
    pub fn keep_in(&self, shelf: Shelf) {
        if self.0.shelf.set(shelf).is_err() {
            tracing::warn!("the composer knows where files lie already");
        }
    }

    pub fn shelf(&self) -> Option<&Shelf> {
        self.0.shelf.get()
    }

    /// The files that a mail carries, in their order.
    ///
    /// # Errors
    /// One of them is gone, or cannot be read now.
    pub async fn attached(
        &self,
        store: &Store,
        organization: OrganizationId,
        ids: &[MediaId],
    ) -> Result<Vec<Attached>, ComposeError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let gone = |id: &MediaId| ComposeError::Unsigned(format!("file {id} is not there"));
        let rows = store.media_by_ids(organization, ids).await?;
        let mut attached = Vec::with_capacity(ids.len());
        for id in ids {
            let row = rows.iter().find(|row| row.id == *id).ok_or_else(|| gone(id))?;
            let shelf = self.shelf().ok_or_else(|| gone(id))?;
            let octets = shelf.read(&row.key).await;
            let octets = octets.map_err(|error| {
                ComposeError::Unsigned(format!("file {id} cannot be read: {error}"))
            })?;
            attached.push(Attached::of(&row.name, &row.content_type, &octets));
        }
        Ok(attached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_put_is_read_and_no_key_leads_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let shelf = Shelf::open(folder.path()).expect("opened");
        let key = "abcdefghijklmnop";
        shelf.put(key, b"octets").await.expect("put");
        assert_eq!(shelf.read(key).await.expect("read"), b"octets");
        for wrong in ["../../etc/passwd", "", "abcdefghijklmno/", "a.b.c.d.e.f.g.h.i"] {
            assert!(shelf.read(wrong).await.is_err(), "{wrong}");
        }
        shelf.remove(key).await.expect("removed");
        assert!(shelf.read(key).await.is_err());
    }

    #[test]
    fn lines_are_short() {
        let attached = Attached::of("a", "b/c", &[7; 200]);
        assert!(attached.lines.lines().all(|line| line.len() <= LINE_LETTERS));
        let text: String = attached.lines.split("\r\n").collect();
        assert_eq!(STANDARD.decode(text).expect("base64"), [7; 200]);
    }
}
