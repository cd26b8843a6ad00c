//! The task that writes imports, one after the other.

use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::records::{Record, Records};
use super::rows::{Reader, Refused};
use super::{ImportError, Imports, Plan, Schema, files};
use crate::campaign::export;
use crate::model::*;
use crate::store::{
    Consent, ContactBatch, ContactChange, ContactWrite, ImportChange, ImportProgress, ImportRow,
    StoreError, UpsertMode,
};

/// Rows of one transaction: it stays below ten milliseconds.
const BATCH_ROWS: usize = 250;
const BATCH_BYTES: u64 = 256 * 1024;
/// Batches read ahead of the one that is written.
const AHEAD: usize = 2;
/// Rows that failed are told up to here; beyond it they are only counted.
const FAILED_TOLD_MAX: u64 = 100_000;
const TAGS_MAX: usize = 5000;
const POLL: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(2);

/// Records that follow each other.
struct Piece {
    records: Vec<Record>,
    /// Where the file goes on behind them.
    position: u64,
}

enum Ended {
    Whole,
    /// Somebody cancelled it, or the daemon stops.
    Left,
}

impl Imports {
    /// Runs what is to be run until `stop` turns true. What was under way goes on at the next
    /// start with the row that comes next.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        if let Err(error) = self.sweep().await {
            tracing::warn!(%error, "uploads that were cut off could not be removed");
        }
        while !*stop.borrow() {
            let pause = match self.0.store.next_import().await {
                Ok(Some(row)) => self.attempt(&row, &stop).await,
                Ok(None) => POLL,
                Err(error) => {
                    tracing::warn!(%error, "the imports could not be read");
                    PAUSE
                }
            };
            if pause.is_zero() {
                continue;
            }
            tokio::select! {
                () = self.0.wake.notified() => {}
                () = self.0.clock.sleep(pause) => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// How long to wait before the next.
    async fn attempt(&self, row: &ImportRow, stop: &watch::Receiver<bool>) -> Duration {
        let (state, trouble) = match self.one(row, stop).await {
            Ok(Ended::Whole) => (ImportState::Done, None),
            Ok(Ended::Left) => return Duration::ZERO,
            Err(ImportError::Store(error)) if error.is_transient() => {
                tracing::warn!(%error, import = %row.id, "an import waits for the database");
                return PAUSE;
            }
            Err(error) => {
                tracing::error!(%error, import = %row.id, "an import failed");
                (ImportState::Failed, Some(error.to_string()))
            }
        };
        let change = ImportChange::End { id: row.id, state, trouble, at: self.0.clock.now() };
        match self.0.store.change_import(change).await {
            Ok(_) => {
                files::remove(&self.of(row.id, "file"));
                Duration::ZERO
            }
            Err(error) => {
                tracing::warn!(%error, import = %row.id, "the end of an import waits");
                PAUSE
            }
        }
    }

    async fn one(
        &self,
        row: &ImportRow,
        stop: &watch::Receiver<bool>,
    ) -> Result<Ended, ImportError> {
        let plan: Plan = serde_json::from_str(&row.options).map_err(std::io::Error::other)?;
        let schema = Schema::read(&self.0.store, row.organization).await?;
        let mut reader = Reader::new(&schema, &plan.options)?;
        let mut failed = Failed::open(&self.of(row.id, "failed"), row.error_bytes)?;
        let mut pieces = self.read(row, &plan)?;
        let mut run = Run {
            imports: self,
            plan: &plan,
            row,
            read: row.read_count,
            failed_count: row.failed_count,
            tags: schema.tags.len(),
        };
        while let Some(piece) = pieces.recv().await {
            if *stop.borrow() {
                return Ok(Ended::Left);
            }
            let piece = piece?;
            match run.write(&mut reader, &mut failed, piece).await {
                Ok(()) => {}
                // It was cancelled between two batches.
                Err(ImportError::Store(StoreError::Refused(_))) if self.is_over(row).await? => {
                    return Ok(Ended::Left);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Ended::Whole)
    }

    async fn is_over(&self, row: &ImportRow) -> Result<bool, ImportError> {
        let now = self.0.store.import(row.organization, row.id).await?;
        Ok(now.is_none_or(|now| now.state != ImportState::Running))
    }

    /// Reads ahead in a thread of its own, which ends when nobody takes its pieces.
    fn read(
        &self,
        row: &ImportRow,
        plan: &Plan,
    ) -> Result<mpsc::Receiver<std::io::Result<Piece>>, ImportError> {
        let path = self.of(row.id, "file");
        let delimiter = match plan.options.delimiter.and_then(|sign| u8::try_from(sign).ok()) {
            Some(delimiter) => delimiter,
            None => files::delimiter_of(&path)?,
        };
        let (from, heads) = (row.done_bytes, plan.options.heads && row.done_bytes == 0);
        let (pieces, receiver) = mpsc::channel(AHEAD);
        tokio::task::spawn_blocking(move || {
            if let Err(why) = read_pieces(path, delimiter, (from, heads), &pieces)
                && pieces.blocking_send(Err(why)).is_err()
            {
                tracing::debug!("nobody waits for the import's file any more");
            }
        });
        Ok(receiver)
    }
}

fn read_pieces(
    path: PathBuf,
    delimiter: u8,
    (from, heads): (u64, bool),
    pieces: &mpsc::Sender<std::io::Result<Piece>>,
) -> std::io::Result<()> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut records = Records::new(BufReader::new(file), delimiter, from);
    if heads {
        records.next()?;
    }
    loop {
        let start = records.position();
        let mut piece = Piece { records: Vec::with_capacity(BATCH_ROWS), position: start };
        while piece.records.len() < BATCH_ROWS && piece.position - start < BATCH_BYTES {
            let Some(record) = records.next()? else { break };
            piece.records.push(record);
            piece.position = records.position();
        }
        if piece.records.is_empty() || pieces.blocking_send(Ok(piece)).is_err() {
            return Ok(());
        }
    }
}

/// An import under way.
struct Run<'a> {
    imports: &'a Imports,
    plan: &'a Plan,
    row: &'a ImportRow,
    read: u64,
    failed_count: u64,
    tags: usize,
}

impl Run<'_> {
    async fn write(
        &mut self,
        reader: &mut Reader,
        failed: &mut Failed,
        piece: Piece,
    ) -> Result<(), ImportError> {
        self.make_tags(reader, &piece).await?;
        let store = &self.imports.0.store;
        let first = store.contact_ids(piece.records.len()).await?;
        let mut rows = Vec::with_capacity(piece.records.len());
        let mut refused_count = 0;
        let mut told = Vec::new();
        for (place, record) in piece.records.iter().enumerate() {
            let id = ContactId(first.0 + i64::try_from(place).unwrap_or(0));
            match read_row(reader, id, record) {
                Ok(row) => rows.push(row),
                Err(refused) => {
                    refused_count += 1;
                    if self.failed_count + refused_count <= FAILED_TOLD_MAX {
                        let heads = u64::from(self.plan.options.heads);
                        let number = self.read + place as u64 + 1 + heads;
                        told.extend(failed_line(number, record, &refused));
                    }
                }
            }
        }
        failed.append(&told)?;
        let read = piece.records.len() as u64;
        let progress = ImportProgress {
            import: self.row.id,
            done_bytes: piece.position,
            error_bytes: failed.length,
            read,
            failed: refused_count,
        };
        store.write_contacts(self.batch(rows, progress)).await?;
        self.read += read;
        self.failed_count += refused_count;
        Ok(())
    }

    fn batch(&self, rows: Vec<ContactWrite>, progress: ImportProgress) -> ContactBatch {
        ContactBatch {
            organization: self.row.organization,
            at: self.imports.0.clock.now(),
            mode: match self.plan.options.mode {
                ImportMode::Add => UpsertMode::Add,
                ImportMode::Update | ImportMode::Unsubscribe => UpsertMode::Update,
                ImportMode::Subscribe | ImportMode::Suppress => UpsertMode::AddOrUpdate,
            },
            consent: Consent::Shared(self.plan.consent),
            resubscribe: false,
            rows,
            progress: Some(progress),
        }
    }

    /// Those that cells name and that there are not yet, while there may be more.
    async fn make_tags(&mut self, reader: &mut Reader, piece: &Piece) -> Result<(), ImportError> {
        for record in &piece.records {
            let Record::Cells(cells) = record else { continue };
            for name in reader.unknown_tags(cells) {
                if self.tags >= TAGS_MAX {
                    return Ok(());
                }
                let organization = self.row.organization;
                let change = ContactChange::Tag { organization, name: name.clone() };
                let tag = TagId(self.imports.0.store.change_contacts(change).await?);
                reader.learn_tag(name, tag);
                self.tags += 1;
            }
        }
        Ok(())
    }
}

fn read_row(reader: &Reader, id: ContactId, record: &Record) -> Result<ContactWrite, Refused> {
    match record {
        Record::Cells(cells) => reader.read(id, cells),
        Record::Broken(why) => Err(Refused { column: None, why: (*why).to_owned() }),
    }
}

/// Row, column and reason, and then the row itself, so that it can be mended and come again.
fn failed_line(number: u64, record: &Record, refused: &Refused) -> Vec<u8> {
    let number = number.to_string();
    let column = refused.column.map_or_else(String::new, |column| (column + 1).to_string());
    let own = [number.as_str(), column.as_str(), refused.why.as_str()];
    match record {
        Record::Cells(cells) => {
            export::line(own.into_iter().chain(cells.iter().map(String::as_str)))
        }
        Record::Broken(_) => export::line(own),
    }
}

/// The file of rows that failed.
struct Failed {
    path: PathBuf,
    file: Option<File>,
    length: u64,
}

impl Failed {
    /// What was written after the last commit is cut off: those rows are read again.
    fn open(path: &Path, length: u64) -> std::io::Result<Failed> {
        let mut failed = Failed { path: path.to_owned(), file: None, length };
        if length > 0 {
            failed.file()?;
        }
        Ok(failed)
    }

    fn file(&mut self) -> std::io::Result<&mut File> {
        use std::os::unix::fs::OpenOptionsExt;

        if self.file.is_none() {
            let mut options = File::options();
            let mut file =
                options.write(true).create(true).truncate(false).mode(0o600).open(&self.path)?;
            file.set_len(self.length)?;
            file.seek(SeekFrom::End(0))?;
            self.file = Some(file);
        }
        self.file.as_mut().ok_or_else(|| std::io::Error::other("the file was just opened"))
    }

    /// On disk before the batch that counts it is committed.
    fn append(&mut self, lines: &[u8]) -> std::io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let heads = export::line(["row", "column", "why"]);
        let is_first = self.length == 0;
        let file = self.file()?;
        if is_first {
            file.write_all(&heads)?;
        }
        file.write_all(lines)?;
        file.sync_data()?;
        self.length += lines.len() as u64 + if is_first { heads.len() as u64 } else { 0 };
        Ok(())
    }
}
