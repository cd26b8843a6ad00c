//! Parsers of what strangers send, fed with damaged forms of what they are made for.
//!
//! Owns:       how inputs are damaged.
//! Promises:   the same rounds give the same inputs; a short run belongs to every test, a long one
//!             is started by hand: `POSTROAD_FUZZ_ROUNDS=1000000 cargo test --release --test
//!             scenarios fuzz::`.
//! Knows not:  what a parser should answer: only that it does, and that nothing grows without end.

use bytes::BytesMut;
use postroad::feedback::Judge;
use postroad::model::{Address, Enhanced, Reply, ReversePath};
use postroad::wire::command::Command;
use postroad::wire::data::DataDecoder;
use postroad::wire::mime::Mime;
use postroad::wire::report;

const ROUNDS: usize = 400;

fn rounds() -> usize {
    let given = std::env::var("POSTROAD_FUZZ_ROUNDS").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(ROUNDS)
}

/// Xorshift: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % end.max(1) as u64).unwrap_or(0)
    }
}

/// What parsers stumble over.
const PIECES: [&[u8]; 22] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"--",
    b"\xff\xfe",
    b":",
    b";",
    b"<",
    b">",
    b"@",
    b"=?utf-8?b?",
    b"?=",
    b"=\r\n",
    b"boundary=",
    b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n",
    b"550-5.1.1 ",
    b"\x1b$B",
    b"\"",
    b"\\",
    b"xn--",
    b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
];

/// The seed with some damage: octets changed, cut out, doubled, put in, or another seed's tail.
fn damaged(seed: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut text = seed.to_vec();
    for _ in 0..=dice.below(6) {
        let at = dice.below(text.len());
        let end = (at + 1 + dice.below(64)).min(text.len());
        match dice.below(7) {
            0 if !text.is_empty() => text[at] = (dice.roll() & 0xff) as u8,
            1 => drop(text.drain(at..end)),
            2 => text.truncate(at),
            3 => {
                let part = text[at..end].to_vec();
                for _ in 0..dice.below(50) {
                    text.splice(at..at, part.iter().copied());
                }
            }
            4 => {
                text.truncate(at);
                text.extend_from_slice(&other[dice.below(other.len()).min(other.len())..]);
            }
            _ => {
                let piece = PIECES[dice.below(PIECES.len())];
                text.splice(at..at, piece.iter().copied());
            }
        }
    }
    text
}

/// Each seed damaged in turn, as often as the rounds say.
fn feed(seeds: &[&[u8]], mut parser: impl FnMut(&[u8])) {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for round in 0..rounds() {
        let other = seeds[dice.below(seeds.len())];
        let input = damaged(seeds[round % seeds.len()], other, &mut dice);
        parser(&input);
    }
}

fn mails() -> Vec<&'static [u8]> {
    let files = [
        include_str!("report/dsn.txt"),
        include_str!("report/words.txt"),
        include_str!("report/more.txt"),
        include_str!("report/answers.txt"),
        include_str!("report/complaints.txt"),
    ];
    let cases = files.iter().flat_map(|file| file.split("=== ").skip(1));
    cases.filter_map(|case| Some(case.split_once("\n---\n")?.1.as_bytes())).collect()
}

#[test]
fn no_damaged_report_stops_its_reader_and_no_finding_grows_without_end() {
    let judge = Judge::shipped().expect("the rules load");
    feed(&mails(), |mail| {
        let report = report::read(mail);
        assert!(!report.findings.is_empty() && report.findings.len() <= 10_000);
        for finding in &report.findings {
            let verdict = judge.judge(finding);
            let words: usize = finding.texts.iter().map(String::len).sum();
            assert!(words <= 16 * mail.len() + 65_536, "{words} octets of {}", mail.len());
            assert!(!verdict.hard || finding.kind == postroad::model::ReportKind::Bounce);
        }
    });
}

#[test]
fn parts_of_a_damaged_mail_hold_no_more_than_the_mail() {
    feed(&mails(), |mail| {
        let mime = Mime::read(mail);
        assert!(mime.parts.len() <= 1000);
        for part in &mime.parts {
            assert!(part.content().len() <= mail.len());
        }
    });
}

#[test]
fn no_damaged_reply_command_or_address_stops_its_reader() {
    let replies: Vec<&[u8]> =
        include_str!("classify/replies.tsv").lines().map(str::as_bytes).collect();
    feed(&replies, |line| {
        let text = String::from_utf8_lossy(line);
        if let Some(reply) = Reply::read(&text) {
            assert!(reply.to_string().len() <= 4 * text.len() + 16);
        }
        assert!(Enhanced::read(&text).is_none_or(|code| code.to_string().len() <= 16));
    });
    let commands: [&[u8]; 6] = [
        b"MAIL FROM:<a@b.example> SIZE=10 BODY=8BITMIME RET=HDRS ENVID=x+2By",
        b"RCPT TO:<\"a b\"@[IPv6:2001:db8::1]> NOTIFY=FAILURE,DELAY ORCPT=rfc822;a@b.example",
        b"EHLO [192.0.2.1]",
        b"BDAT 100 LAST",
        b"AUTH PLAIN AGFwcAByaWdodA==",
        "RCPT TO:<ü@xn--nxasmq6b.example>".as_bytes(),
    ];
    feed(&commands, |line| {
        if let Ok(Command::Rcpt(rcpt)) = Command::parse(line) {
            let again = Address::parse(&rcpt.address.to_string());
            assert_eq!(again.as_ref(), Ok(&rcpt.address), "it reads as it is written");
        }
        let text = String::from_utf8_lossy(line);
        if let Ok(path) = ReversePath::parse(&text) {
            assert_eq!(ReversePath::parse(&path.to_string()), Ok(path));
        }
    });
}

#[test]
fn a_damaged_body_is_cut_where_its_limit_is() {
    feed(&mails(), |mail| {
        let mut buffer = BytesMut::from(mail);
        buffer.extend_from_slice(b"\r\n.\r\n");
        let mut decoder = DataDecoder::new(4096);
        if let Some(end) = decoder.decode(&mut buffer) {
            assert!(end.fault.is_some() || end.split(&mut buffer).len() <= 4096);
        }
    });
}
