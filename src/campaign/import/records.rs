//! The records of a file of separated values, in memory that does not grow with the file.

use std::io::Read;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

/// Longer records are told and passed over, …
const RECORD_BYTES_MAX: usize = 1024 * 1024;
/// … and so are broader ones.
pub const CELLS_MAX: usize = 500;
const CHUNK_BYTES: usize = 64 * 1024;

#[derive(Debug, PartialEq, Eq)]
pub enum Record {
    Cells(Vec<String>),
    /// Why it cannot be read, for people.
    Broken(&'static str),
}

pub struct Records<R> {
    source: R,
    reader: Reader,
    chunk: Vec<u8>,
    chunk_at: usize,
    chunk_end: usize,
    text: Vec<u8>,
    ends: Vec<usize>,
    /// Octets of the source that the records so far took.
    position: u64,
}

impl<R: Read> Records<R> {
    /// `position` is where the source stands in its file.
    pub fn new(source: R, delimiter: u8, position: u64) -> Records<R> {
        Records {
            source,
            reader: ReaderBuilder::new().delimiter(delimiter).build(),
            chunk: vec![0; CHUNK_BYTES],
            chunk_at: 0,
            chunk_end: 0,
            text: vec![0; 8192],
            ends: vec![0; CELLS_MAX + 1],
            position,
        }
    }

    pub fn position(&self) -> u64 {
        self.position
    }

    /// None at the end.
    pub fn next(&mut self) -> std::io::Result<Option<Record>> {
        let (mut length, mut cells) = (0, 0);
        let mut broken = None;
        loop {
            if self.chunk_at == self.chunk_end {
                self.chunk_end = self.source.read(&mut self.chunk)?;
                self.chunk_at = 0;
            }
            let input = &self.chunk[self.chunk_at..self.chunk_end];
            let (result, taken, written, ended) =
                self.reader.read_record(input, &mut self.text[length..], &mut self.ends[cells..]);
            self.chunk_at += taken;
            self.position += taken as u64;
            length += written;
            cells += ended;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if self.text.len() < RECORD_BYTES_MAX => {
                    self.text.resize(self.text.len() * 2, 0);
                }
                // What is too much is read over what was read before.
                ReadRecordResult::OutputFull => {
                    broken = Some("the row is longer than a mebibyte; is a quote not closed?");
                    length = 0;
                }
                ReadRecordResult::OutputEndsFull => {
                    broken = Some("the row has more than 500 cells");
                    cells = 0;
                }
                ReadRecordResult::End => return Ok(None),
                ReadRecordResult::Record => {
                    let record = match broken {
                        Some(why) => Record::Broken(why),
                        None => self.record(cells),
                    };
                    return Ok(Some(record));
                }
            }
        }
    }

    fn record(&self, cells: usize) -> Record {
        let mut texts = Vec::with_capacity(cells);
        let mut start = 0;
        for end in &self.ends[..cells] {
            // The file was written by us as UTF-8, and cells are cut at octets of ASCII.
            let Ok(text) = std::str::from_utf8(&self.text[start..*end]) else {
                return Record::Broken("the row cannot be read in this encoding");
            };
            if text.contains(char::REPLACEMENT_CHARACTER) {
                return Record::Broken("the row cannot be read in this encoding");
            }
            texts.push(text.to_owned());
            start = *end;
        }
        Record::Cells(texts)
    }
}

/// What stands between the cells: the one of these that the first line has most of.
pub fn delimiter(head: &str) -> u8 {
    let line = head.lines().next().unwrap_or_default();
    let count = |delimiter: u8| {
        let mut is_quoted = false;
        line.bytes()
            .filter(|octet| {
                is_quoted ^= *octet == b'"';
                !is_quoted && *octet == delimiter
            })
            .count()
    };
    // The first of equals wins, and the comma when there is none of any.
    let best = [b',', b';', b'\t', b'|'].into_iter().rev().max_by_key(|octet| count(*octet));
    best.unwrap_or(b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8], delimiter: u8) -> Vec<Record> {
        let mut records = Records::new(text, delimiter, 0);
        let mut all = Vec::new();
        while let Some(record) = records.next().expect("memory can be read") {
            all.push(record);
        }
        assert_eq!(records.position(), text.len() as u64);
        all
    }

    fn cells(texts: &[&str]) -> Record {
        Record::Cells(texts.iter().map(|&text| text.to_owned()).collect())
    }

    #[test]
    fn quotes_line_ends_and_delimiters_are_read_as_spreadsheets_write_them() {
        let text = b"a,\"b,\"\"c\"\"\r\nd\"\r\n\r\n1,2\nx";
        assert_eq!(
            all(text, b','),
            [cells(&["a", "b,\"c\"\r\nd"]), cells(&["1", "2"]), cells(&["x"])]
        );
        assert_eq!(all("ä\tb;c".as_bytes(), b'\t'), [cells(&["ä", "b;c"])]);
    }

    #[test]
    fn a_position_between_records_is_where_reading_can_go_on() {
        let text = b"a,b\r\n\"c\nd\",e\r\nf,g\n";
        let mut records = Records::new(text.as_slice(), b',', 0);
        records.next().expect("readable");
        let at = usize::try_from(records.position()).expect("small");
        let mut later = Records::new(&text[at..], b',', at as u64);
        assert_eq!(later.next().expect("readable"), Some(cells(&["c\nd", "e"])));
        let at = usize::try_from(later.position()).expect("small");
        let mut last = Records::new(&text[at..], b',', at as u64);
        assert_eq!(last.next().expect("readable"), Some(cells(&["f", "g"])));
    }

    #[test]
    fn a_line_of_many_megabytes_takes_no_more_memory_than_a_record_may_have() {
        let mut text = vec![b'x'; 20 << 20];
        text.extend(b"\nok\n");
        let mut records = Records::new(text.as_slice(), b',', 0);
        assert!(matches!(records.next(), Ok(Some(Record::Broken(_)))));
        assert_eq!(records.next().expect("readable"), Some(cells(&["ok"])));
        assert!(records.text.len() <= 2 * RECORD_BYTES_MAX);
        let broad = [",".repeat(10_000).as_bytes(), b"\nok\n"].concat();
        let records = all(&broad, b',');
        assert!(matches!(records[0], Record::Broken(_)) && records[1] == cells(&["ok"]));
    }

    #[test]
    fn the_delimiter_is_what_the_first_line_has_most_of() {
        assert_eq!(delimiter("email;name;\"a,b,c,d\"\n"), b';');
        assert_eq!(delimiter("email\tname"), b'\t');
        assert_eq!(delimiter("email"), b',');
        assert_eq!(delimiter("email,first|last,x"), b',');
    }
}
