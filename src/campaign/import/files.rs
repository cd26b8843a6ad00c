//! The files of imports: written as UTF-8 while they come in, or once they are unpacked; looked at,
//! removed.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use encoding_rs::{Decoder, Encoding, UTF_8};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::records::{self, Record, Records};
use super::{ImportError, Imports, Origin, Schema, Target, Unlawful, recognise, unzip};
use crate::model::*;
use crate::store::{ImportChange, ImportRow};

const FILE_BYTES_MAX: u64 = 20 << 30;
const UNPACKED: unzip::Bounds =
    unzip::Bounds { bytes_max: FILE_BYTES_MAX, ratio_max: 200, bytes_free: 64 << 20 };
/// Pieces unpacked ahead of the one that is written.
const AHEAD: usize = 2;
const NAME_BYTES_MAX: usize = 200;
const SAMPLES: usize = 20;
/// The first line, from which the delimiter is told.
const HEAD_BYTES: u64 = 64 * 1024;

/// A file on its way in. One that is dropped before `finish` is removed at the next start.
pub struct Upload {
    imports: Imports,
    organization: OrganizationId,
    id: ImportId,
    file: tokio::fs::File,
    /// The first octets, until they tell whether it is a zip.
    head: Option<Vec<u8>>,
    /// As it comes in: what is in it is known only at its end.
    zip: Option<tokio::fs::File>,
    entry: Option<String>,
    decoder: Decoder,
    text: String,
    taken: u64,
    written: u64,
}

impl Imports {
    /// `encoding` is a label as web pages have it (`windows-1252`); without one a byte order mark
    /// tells, and else it is UTF-8. `entry` is the file that is meant where it is a zip of several.
    pub async fn upload(
        &self,
        organization: OrganizationId,
        file_name: &str,
        (encoding, entry): (Option<&str>, Option<&str>),
    ) -> Result<Upload, ImportError> {
        let encoding = match encoding {
            None => UTF_8,
            Some(label) => Encoding::for_label(label.as_bytes())
                .ok_or_else(|| Unlawful::of("encoding", "is no encoding that is known"))?,
        };
        if file_name.len() > NAME_BYTES_MAX || file_name.contains(char::is_control) {
            return Err(Unlawful::of("file_name", "must be at most 200 octets").into());
        }
        let (file_name, at) = (file_name.to_owned(), self.0.clock.now());
        let change = ImportChange::Add { organization, file_name, at };
        let id = ImportId(self.0.store.change_import(change).await?);
        let file = create(&self.of(id, "file")).await?;
        Ok(Upload {
            imports: self.clone(),
            organization,
            id,
            file,
            head: Some(Vec::new()),
            zip: None,
            entry: entry.map(str::to_owned),
            decoder: encoding.new_decoder(),
            text: String::new(),
            taken: 0,
            written: 0,
        })
    }

    /// Heads, samples, and what the columns are likely to be.
    pub async fn preview(&self, row: &ImportRow) -> Result<Preview, ImportError> {
        let path = self.of(row.id, "file");
        let reading = tokio::task::spawn_blocking(move || beginning(&path));
        let (delimiter, mut rows, broken) = reading.await.map_err(std::io::Error::other)??;
        let has_heads = rows.first().is_some_and(|first| recognise::has_heads(first));
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let heads = if has_heads {
            rows.remove(0)
        } else {
            (1..=columns).map(|place| format!("column {place}")).collect()
        };
        let schema = Schema::read(&self.0.store, row.organization).await?;
        Ok(Preview {
            delimiter: char::from(delimiter),
            has_heads,
            origin: recognise::origin(&heads),
            columns: recognise::targets(&schema, &heads, &rows),
            heads,
            samples: rows,
            broken,
        })
    }

    /// The rows that failed, as CSV; None when there are none.
    pub async fn failed(&self, row: &ImportRow) -> Result<Option<tokio::fs::File>, ImportError> {
        match tokio::fs::File::open(self.of(row.id, "failed")).await {
            Ok(file) => Ok(Some(file)),
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(why) => Err(why.into()),
        }
    }

    /// Uploads that were cut off by a crash or a client.
    pub(super) async fn sweep(&self) -> Result<(), ImportError> {
        for row in self.0.store.unfinished_uploads().await? {
            remove(&self.of(row.id, "file"));
            remove(&self.of(row.id, "zip"));
            self.0.store.change_import(ImportChange::Remove { id: row.id }).await?;
        }
        Ok(())
    }
}

impl Upload {
    pub async fn write(&mut self, octets: &[u8]) -> Result<(), ImportError> {
        self.taken += octets.len() as u64;
        if self.taken > FILE_BYTES_MAX {
            return Err(Unlawful::of("file", "must be at most 20 GiB").into());
        }
        let Some(mut head) = self.head.take() else { return self.put(octets).await };
        head.extend_from_slice(octets);
        if head.len() < unzip::HEAD_BYTES {
            self.head = Some(head);
            return Ok(());
        }
        if unzip::is_zip(&head) {
            self.zip = Some(create(&self.imports.of(self.id, "zip")).await?);
        }
        self.put(&head).await
    }

    async fn put(&mut self, octets: &[u8]) -> Result<(), ImportError> {
        match &mut self.zip {
            Some(zip) => Ok(zip.write_all(octets).await?),
            None => self.decode(octets, false).await,
        }
    }

    async fn decode(&mut self, octets: &[u8], is_last: bool) -> Result<(), ImportError> {
        self.text.clear();
        // What cannot be read becomes U+FFFD, and its row is refused when it is read.
        let most = self.decoder.max_utf8_buffer_length(octets.len());
        self.text.reserve(most.unwrap_or(octets.len()));
        let (result, ..) = self.decoder.decode_to_string(octets, &mut self.text, is_last);
        debug_assert_eq!(result, encoding_rs::CoderResult::InputEmpty, "there was room for all");
        self.written += self.text.len() as u64;
        self.file.write_all(self.text.as_bytes()).await?;
        Ok(())
    }

    /// Returns once the file is on disk, unpacked where it was a zip. What fails is taken back.
    pub async fn finish(mut self) -> Result<ImportRow, ImportError> {
        match self.complete().await {
            Ok(()) => self.imports.show(self.organization, self.id).await,
            Err(error) => {
                self.give_up().await;
                Err(error)
            }
        }
    }

    async fn complete(&mut self) -> Result<(), ImportError> {
        if let Some(head) = self.head.take() {
            self.put(&head).await?;
        }
        if let Some(mut zip) = self.zip.take() {
            zip.flush().await?;
            drop(zip);
            self.unpack().await?;
            remove(&self.imports.of(self.id, "zip"));
        }
        self.decode(&[], true).await?;
        self.file.flush().await?;
        self.file.sync_all().await?;
        let change = ImportChange::Uploaded { id: self.id, file_bytes: self.written };
        self.imports.0.store.change_import(change).await?;
        Ok(())
    }

    /// In a thread of its own, which ends when nobody takes its pieces.
    async fn unpack(&mut self) -> Result<(), ImportError> {
        let (path, entry) = (self.imports.of(self.id, "zip"), self.entry.take());
        let (pieces, mut unpacked) = mpsc::channel(AHEAD);
        let unpacking = tokio::task::spawn_blocking(move || {
            let hand =
                |piece: &[u8]| pieces.blocking_send(piece.to_vec()).map_err(std::io::Error::other);
            unzip::unpack(&path, entry.as_deref(), UNPACKED, hand)
        });
        while let Some(piece) = unpacked.recv().await {
            self.decode(&piece, false).await?;
        }
        unpacking.await.map_err(std::io::Error::other)?
    }

    /// Takes back what came in, after a failure.
    pub async fn give_up(self) {
        remove(&self.imports.of(self.id, "file"));
        remove(&self.imports.of(self.id, "zip"));
        let removed = self.imports.0.store.change_import(ImportChange::Remove { id: self.id });
        if let Err(error) = removed.await {
            tracing::warn!(%error, "an upload that failed is removed at the next start");
        }
    }
}

/// Of mode 0600.
async fn create(path: &Path) -> std::io::Result<tokio::fs::File> {
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path).await
}

/// What a file looks like before it is imported.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Preview {
    /// Who wrote the file, as its heads tell.
    pub origin: Origin,
    #[schema(value_type = String)]
    pub delimiter: char,
    pub has_heads: bool,
    pub heads: Vec<String>,
    /// What each column is likely to be.
    pub columns: Vec<Target>,
    /// The first rows.
    pub samples: Vec<Vec<String>>,
    /// How many of the first rows cannot be read; a wrong encoding shows here.
    pub broken: usize,
}

type Beginning = (u8, Vec<Vec<String>>, usize);

fn beginning(path: &Path) -> Result<Beginning, std::io::Error> {
    let delimiter = delimiter_of(path)?;
    let mut records = Records::new(BufReader::new(File::open(path)?), delimiter, 0);
    let (mut rows, mut broken) = (Vec::new(), 0);
    while rows.len() + broken <= SAMPLES {
        match records.next()? {
            Some(Record::Cells(cells)) => rows.push(cells),
            Some(Record::Broken(_)) => broken += 1,
            None => break,
        }
    }
    Ok((delimiter, rows, broken))
}

pub(super) fn delimiter_of(path: &Path) -> Result<u8, std::io::Error> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok(records::delimiter(&String::from_utf8_lossy(&head)))
}

pub(super) fn remove(path: &Path) {
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => {}
        Err(why) => tracing::warn!(reason = %why, "a file of an import could not be removed"),
    }
}
