//! What was said in attempts that did not succeed.
//!
//! Owns:       `<data>/dialogues/`: append-only files of JSON lines, the oldest removed first.
//! Promises:   bounded room on disk; losing it loses no mail.
//! Knows not:  what a line means.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::model::Timestamp;

/// Together at most 1 GiB.
const FILE_BYTES_MAX: u64 = 64 << 20;
const FILES_MAX: u64 = 16;
/// Of one dialogue, when read back.
const DIALOGUE_BYTES_MAX: u32 = 1 << 20;

/// Where a dialogue stands; kept in the event of its attempt as `file:offset:length`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DialogueRef {
    file: u64,
    offset: u64,
    length: u32,
}

impl std::fmt::Display for DialogueRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.offset, self.length)
    }
}

impl std::str::FromStr for DialogueRef {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<DialogueRef, Self::Err> {
        let mut parts = text.splitn(3, ':');
        let mut part = || parts.next().unwrap_or_default();
        Ok(DialogueRef { file: part().parse()?, offset: part().parse()?, length: part().parse()? })
    }
}

/// What was said in one attempt.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Dialogue {
    pub at: Timestamp,
    /// `>` ours, `<` theirs, `!` what happened between. Theirs hold whatever octets a host sent.
    pub lines: Vec<String>,
}

pub struct DialogueLog {
    directory: PathBuf,
    current: Mutex<Current>,
}

struct Current {
    number: u64,
    file: File,
    length: u64,
}

impl DialogueLog {
    pub fn open(directory: &Path) -> std::io::Result<DialogueLog> {
        std::fs::create_dir_all(directory)?;
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let name = entry?.file_name();
            let stem = name.to_str().and_then(|name| name.strip_suffix(".jsonl"));
            numbers.extend(stem.and_then(|stem| stem.parse::<u64>().ok()));
        }
        let number = numbers.into_iter().max().unwrap_or(1);
        let current = Mutex::new(open_file(directory, number)?);
        Ok(DialogueLog { directory: directory.to_owned(), current })
    }

    /// Appends one dialogue: `at` and `lines`, as a JSON line.
    pub fn append(&self, at: i64, lines: &[String]) -> std::io::Result<DialogueRef> {
        let mut line = serde_json::to_vec(&serde_json::json!({ "at": at, "lines": lines }))?;
        line.push(b'\n');
        let mut current = self.current.lock();
        if current.length >= FILE_BYTES_MAX {
            let next = open_file(&self.directory, current.number + 1)?;
            *current = next;
            self.forget_before(current.number.saturating_sub(FILES_MAX - 1));
        }
        let place = DialogueRef {
            file: current.number,
            offset: current.length,
            length: u32::try_from(line.len()).unwrap_or(u32::MAX),
        };
        current.file.write_all(&line)?;
        current.length += line.len() as u64;
        Ok(place)
    }

    /// None when it was removed for its age.
    pub fn read(&self, place: DialogueRef) -> std::io::Result<Option<Dialogue>> {
        let file = match File::open(path_of(&self.directory, place.file)) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut line = vec![0; place.length.min(DIALOGUE_BYTES_MAX) as usize];
        file.read_exact_at(&mut line, place.offset)?;
        Ok(Some(serde_json::from_slice(&line)?))
    }

    fn forget_before(&self, number: u64) {
        let Some(old) = number.checked_sub(1) else { return };
        if let Err(error) = std::fs::remove_file(path_of(&self.directory, old))
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "an old file of dialogues cannot be removed");
        }
    }
}

fn path_of(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:08}.jsonl"))
}

fn open_file(directory: &Path, number: u64) -> std::io::Result<Current> {
    let file = OpenOptions::new().append(true).create(true).open(path_of(directory, number))?;
    let length = file.metadata()?.len();
    Ok(Current { number, file, length })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dialogue_is_read_back_by_its_place_also_after_a_restart() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = DialogueLog::open(directory.path()).expect("opens");
        let first = log.append(1, &["> EHLO a".into()]).expect("written");
        let log = DialogueLog::open(directory.path()).expect("opens");
        let second = log.append(2, &["< 550 no".into()]).expect("written");
        let place = second.to_string().parse().expect("a place");
        let lines = |place| log.read(place).expect("readable").expect("there").lines;
        assert_eq!(lines(first), ["> EHLO a"]);
        assert_eq!(lines(place), ["< 550 no"]);
        let gone = DialogueRef { file: 99, ..place };
        assert_eq!(log.read(gone).expect("no error"), None);
    }
}
