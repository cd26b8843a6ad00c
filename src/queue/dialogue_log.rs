//! What was said in attempts that did not succeed, and in those that are traced.
//!
//! Owns:       `<data>/dialogues/`: append-only files of JSON lines, the oldest removed first.
//! Promises:   bounded room on disk; nothing is read that is older than it may be; losing it loses
//!             no mail.
//! Knows not:  what a line means.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;

use crate::model::Timestamp;

const FILE_BYTES_MAX: u64 = 64 << 20;
const BYTES_MAX: u64 = 1 << 30;
/// What is old goes by whole files.
const FILE_SPAN: Duration = Duration::from_secs(24 * 3600);
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
    keep: Duration,
    files: Mutex<Files>,
}

struct Files {
    current: File,
    /// Oldest first; the last is `current`.
    all: VecDeque<Known>,
}

struct Known {
    number: u64,
    length: u64,
    /// Of its first dialogue; None while it has none.
    begins: Option<Timestamp>,
}

impl DialogueLog {
    /// What is older than `keep` is not read any more, and goes with its file.
    pub fn open(directory: &Path, keep: Duration) -> std::io::Result<DialogueLog> {
        std::fs::create_dir_all(directory)?;
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let name = entry?.file_name();
            let stem = name.to_str().and_then(|name| name.strip_suffix(".jsonl"));
            numbers.extend(stem.and_then(|stem| stem.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        let number = numbers.last().copied().unwrap_or(1);
        let current = open_file(directory, number)?;
        if numbers.is_empty() {
            numbers.push(number);
        }
        let known = |number: u64| {
            let file = File::open(path_of(directory, number))?;
            let length = file.metadata()?.len();
            Ok(Known { number, length, begins: first_moment(&file) })
        };
        let all = numbers.into_iter().map(known).collect::<std::io::Result<_>>()?;
        let files = Mutex::new(Files { current, all });
        Ok(DialogueLog { directory: directory.to_owned(), keep, files })
    }

    /// Appends one dialogue: `at` and `lines`, as a JSON line.
    pub fn append(&self, at: Timestamp, lines: &[String]) -> std::io::Result<DialogueRef> {
        let mut line = serde_json::to_vec(&serde_json::json!({ "at": at.0, "lines": lines }))?;
        line.push(b'\n');
        let mut files = self.files.lock();
        if files.all.back().is_none_or(|last| last.is_full(at)) {
            self.begin_another(&mut files, at)?;
        }
        files.current.write_all(&line)?;
        let Some(last) = files.all.back_mut() else {
            return Err(std::io::Error::other("there is no file of dialogues"));
        };
        let place = DialogueRef {
            file: last.number,
            offset: last.length,
            length: u32::try_from(line.len()).unwrap_or(u32::MAX),
        };
        last.length += line.len() as u64;
        last.begins.get_or_insert(at);
        Ok(place)
    }

    /// None when it was removed for its age.
    pub fn read(&self, place: DialogueRef, now: Timestamp) -> std::io::Result<Option<Dialogue>> {
        let file = match File::open(path_of(&self.directory, place.file)) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut line = vec![0; place.length.min(DIALOGUE_BYTES_MAX) as usize];
        file.read_exact_at(&mut line, place.offset)?;
        let dialogue: Dialogue = serde_json::from_slice(&line)?;
        Ok((now.since(dialogue.at) <= self.keep).then_some(dialogue))
    }

    fn begin_another(&self, files: &mut Files, now: Timestamp) -> std::io::Result<()> {
        let number = files.all.back().map_or(1, |last| last.number + 1);
        files.current = open_file(&self.directory, number)?;
        files.all.push_back(Known { number, length: 0, begins: None });
        while files.is_over(now, self.keep) {
            let Some(oldest) = files.all.pop_front() else { break };
            if let Err(error) = std::fs::remove_file(path_of(&self.directory, oldest.number))
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(%error, "an old file of dialogues cannot be removed");
            }
        }
        Ok(())
    }
}

impl Known {
    fn is_full(&self, now: Timestamp) -> bool {
        let is_old = self.begins.is_some_and(|begins| now.since(begins) >= FILE_SPAN);
        self.length >= FILE_BYTES_MAX || is_old
    }
}

impl Files {
    /// The oldest is to go: there is no room for it, or all in it is too old.
    fn is_over(&self, now: Timestamp, keep: Duration) -> bool {
        let together: u64 = self.all.iter().map(|file| file.length).sum();
        let next = self.all.get(1).and_then(|file| file.begins);
        let is_old = next.is_some_and(|begins| now.since(begins) > keep);
        self.all.len() > 1 && (together > BYTES_MAX || is_old)
    }
}

/// The keys of a dialogue are in order: its line begins with the moment.
fn first_moment(file: &File) -> Option<Timestamp> {
    let mut head = [0; 40];
    let read = file.read_at(&mut head, 0).ok()?;
    let head = std::str::from_utf8(&head[..read]).ok()?;
    let digits = head.strip_prefix("{\"at\":")?.split(',').next()?;
    digits.parse().ok().map(Timestamp)
}

fn path_of(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:08}.jsonl"))
}

fn open_file(directory: &Path, number: u64) -> std::io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path_of(directory, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn a_dialogue_is_read_back_by_its_place_also_after_a_restart() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = DialogueLog::open(directory.path(), DAY).expect("opens");
        let first = log.append(Timestamp(1), &["> EHLO a".into()]).expect("written");
        let log = DialogueLog::open(directory.path(), DAY).expect("opens");
        let second = log.append(Timestamp(2), &["< 550 no".into()]).expect("written");
        let place = second.to_string().parse().expect("a place");
        let lines = |place| log.read(place, Timestamp(3)).expect("readable").expect("there").lines;
        assert_eq!(lines(first), ["> EHLO a"]);
        assert_eq!(lines(place), ["< 550 no"]);
        let gone = DialogueRef { file: 99, ..place };
        assert_eq!(log.read(gone, Timestamp(3)).expect("no error"), None);
    }

    #[test]
    fn a_dialogue_is_gone_for_its_age_and_its_file_goes_after_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let keep = DAY * 2;
        let log = DialogueLog::open(directory.path(), keep).expect("opens");
        let at = |days: u32| Timestamp(1) + DAY * days;
        let say = |days| log.append(at(days), &["x".into()]).expect("written");
        let first = say(0);
        assert!(log.read(first, at(2)).expect("readable").is_some());
        assert!(log.read(first, at(3)).expect("readable").is_none());
        for days in 1..6 {
            say(days);
        }
        let log = DialogueLog::open(directory.path(), keep).expect("opens");
        log.append(at(6), &["x".into()]).expect("written");
        let files = std::fs::read_dir(directory.path()).expect("listed").count();
        assert_eq!(files, 4, "of the last days, and one whose next begins in time");
    }
}
