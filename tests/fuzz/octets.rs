//! Readers of octets: commands, addresses, bodies, replies, PROXY, headers, reports.

use bytes::{Bytes, BytesMut};
use postroad::model::{Address, Domain, ReversePath};
use postroad::wire::command::Command;
use postroad::wire::data::{BodyFault, ChunkDecoder, DataDecoder};
use postroad::wire::header::HeaderSection;
use postroad::wire::reply::ReplyReader;
use postroad::wire::stuffing::WireBody;
use postroad::wire::{decode, mailbox, mime, proxy, report};

use super::{Dice, Ground, MANY, SOME, hash_of, storm};

const COMMAND_WORDS: &[&[u8]] = &[
    b"MAIL FROM:",
    b"RCPT TO:",
    b"<a@b.example>",
    b"<>",
    b"<@x.example:a@b.example>",
    b"\"a\\\"b\"@b.example",
    b"@",
    b"\\",
    b"\"",
    b" ",
    b" SIZE=99999999999999999999",
    b" BODY=",
    b" NOTIFY=NEVER,SUCCESS",
    b" ORCPT=rfc822;a+40b",
    b" ENVID=",
    b" RET=FULL",
    b"[IPv6:::1]",
    b"xn--bcher-kva.example",
    b"\xc3\xbc",
    b"\xff",
    b"%",
    b"..",
];

const COMMANDS: &[&str] = &[
    "MAIL FROM:<a@b.example> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=QQ314159",
    "RCPT TO:<\"quoted one\"@b.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob+40b.example",
    "MAIL FROM:<> SMTPUTF8",
    "EHLO [192.0.2.1]",
    "AUTH PLAIN AGFwcAByaWdodA==",
    "BDAT 123 LAST",
    "VRFY a",
];

#[test]
fn what_is_read_as_a_command_or_an_address_reads_the_same_when_it_is_written_again() {
    storm("commands", MANY, Ground::new(COMMANDS, COMMAND_WORDS), |octets, _| {
        let seen = match Command::parse(octets) {
            Ok(Command::Mail(mail)) => {
                let again = ReversePath::parse(&mail.sender.to_string());
                assert_eq!(again.as_ref(), Ok(&mail.sender));
                hash_of((1, mail.eight_bit, mail.smtputf8, mail.size.is_some(), again.is_ok()))
            }
            Ok(Command::Rcpt(rcpt)) => {
                is_one_address(&rcpt.address);
                hash_of((2, rcpt.utf8, rcpt.original.is_some(), rcpt.address.local().len() / 8))
            }
            Ok(command) => hash_of(format!("{command:?}").get(..5)),
            Err(error) => hash_of(error.reply()),
        };
        let text = String::from_utf8_lossy(octets);
        let address = Address::parse(&text);
        if let Ok(address) = &address {
            is_one_address(address);
        }
        let listed = mailbox::addresses(octets);
        for address in listed.iter().flatten() {
            is_one_address(address);
        }
        hash_of((seen, address.is_ok(), listed.map(|all| all.len()).ok()))
    });
}

/// Its domain is what stands behind the last `@`, for us and for whoever reads what we write.
fn is_one_address(address: &Address) {
    let written = address.to_string();
    assert_eq!(Address::parse(&written).as_ref(), Ok(address), "{written}");
    let (_, domain) = written.rsplit_once('@').expect("an at sign");
    assert_eq!(Domain::parse(domain).as_ref(), Ok(address.domain()), "{written}");
    assert!(!written.contains(char::is_control), "{written:?}");
}

const BODY_WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\r\n.\r\n",
    b"\r\n.",
    b".\r\n",
    b"\n.\n",
    b"\r.\r",
    b"\n.\r\n",
    b"\r\n.\n",
    b".",
    b"\r",
    b"\n",
    b"\0",
    b"\xe4",
];

const BODIES: &[&str] = &[
    "A: b\r\n\r\nbody\r\n.\r\n",
    "A: b\r\n\r\n..dots\r\n...\r\n.\r\nNOOP\r\n",
    ".\r\n",
    "A: b\r\n\r\nbare\nline\r\n.\r\n",
];

const BODY_MAX: u64 = 300;

/// As RFC 5321 §4.5.2 tells it, octet by octet: the mail, what is wrong with it, what is left.
fn slow_data(octets: &[u8]) -> Option<(Vec<u8>, bool, &[u8])> {
    let end = match octets.strip_prefix(b".\r\n") {
        Some(_) => 0,
        None => octets.windows(5).position(|part| part == b"\r\n.\r\n")? + 2,
    };
    let mut mail = Vec::new();
    for (at, octet) in octets[..end].iter().enumerate() {
        let is_stuffed = *octet == b'.' && (at == 0 || octets[..at].ends_with(b"\r\n"));
        if !is_stuffed {
            mail.push(*octet);
        }
    }
    let bare = |at: usize| match mail[at] {
        b'\r' => mail.get(at + 1) != Some(&b'\n'),
        b'\n' => at == 0 || mail[at - 1] != b'\r',
        octet => octet == 0,
    };
    let is_faulty = (0..mail.len()).any(bare) || mail.len() as u64 > BODY_MAX;
    Some((mail, is_faulty, &octets[end + 3..]))
}

fn quick_data(pieces: &[&[u8]]) -> Option<(Vec<u8>, Option<BodyFault>, Vec<u8>)> {
    let mut decoder = DataDecoder::new(BODY_MAX);
    let mut buffer = BytesMut::new();
    let mut pieces = pieces.iter();
    loop {
        buffer.extend_from_slice(pieces.next()?);
        if let Some(end) = decoder.decode(&mut buffer) {
            let mail = end.split(&mut buffer);
            buffer.extend_from_slice(&pieces.copied().collect::<Vec<_>>().concat());
            return Some((mail.to_vec(), end.fault, buffer.to_vec()));
        }
    }
}

#[test]
fn bodies_end_where_the_slow_reader_ends_them_and_come_out_as_they_went_in() {
    storm("bodies", MANY, Ground::new(BODIES, BODY_WORDS), |octets, dice| {
        let found = quick_data(&dice.split(octets));
        let Some((mail, is_faulty, rest)) = slow_data(octets) else {
            assert_eq!(found, None);
            return hash_of(0);
        };
        let (read, fault, left) = found.expect("the slow reader found an end");
        assert_eq!((fault.is_some(), &left[..]), (is_faulty, rest));
        if is_faulty {
            return hash_of((1, format!("{fault:?}"), left.len() / 4));
        }
        assert_eq!(read, mail);
        travels(&mail, dice);
        hash_of((2, mail.len() / 2, mail.iter().filter(|octet| **octet == b'.').count()))
    });
}

/// Out by DATA or BDAT, and in again at the next host.
fn travels(mail: &[u8], dice: &mut Dice) {
    let pieces: Vec<Bytes> = dice.split(mail).into_iter().map(Bytes::copy_from_slice).collect();
    let body = WireBody::new(&pieces);
    let wire = body.stuffed().concat();
    let (arrived, fault, rest) = quick_data(&[&wire]).expect("the end is there");
    assert_eq!((fault, rest.len()), (None, 0));
    let ends_line = mail.is_empty() || mail.ends_with(b"\r\n");
    let expected = if ends_line { mail.to_vec() } else { [mail, b"\r\n"].concat() };
    assert_eq!(arrived, expected);
    assert_eq!(body.plain().concat(), expected);
}

#[test]
fn chunks_are_taken_whole_and_nothing_behind_them_is() {
    storm("chunks", MANY, Ground::new(BODIES, BODY_WORDS), |octets, dice| {
        let mut decoder = ChunkDecoder::new(BODY_MAX);
        let (mut rest, mut taken) = (octets, Vec::new());
        while !rest.is_empty() {
            let (chunk, behind) = rest.split_at((1 + dice.below(90)).min(rest.len()));
            decoder.start(chunk.len() as u64);
            let mut buffer = BytesMut::new();
            let mut is_whole = false;
            for piece in dice.split(chunk) {
                buffer.extend_from_slice(piece);
                is_whole = decoder.decode(&mut buffer);
            }
            assert!(is_whole && buffer.is_empty());
            taken.extend_from_slice(chunk);
            rest = behind;
        }
        let (mail, end) = decoder.finish();
        let bare = String::from_utf8_lossy(&taken).replace("\r\n", "");
        let is_faulty = bare.contains(['\r', '\n', '\0']) || taken.len() as u64 > BODY_MAX;
        assert_eq!(end.fault.is_some(), is_faulty);
        if end.fault.is_none() {
            assert!(mail.starts_with(&taken) && mail.len() <= taken.len() + 2);
        }
        hash_of((format!("{:?}", end.fault), mail.len() / 4))
    });
}

const REPLY_WORDS: &[&[u8]] = &[
    b"250-",
    b"250 ",
    b"550 5.1.1 ",
    b"421",
    b"\r\n",
    b"\n",
    b"\r",
    b"\x1b[2J",
    b"\xe2\x80\xae",
    b"\0",
    b"\xff",
    b"999 ",
    b"25",
];

const REPLIES: &[&str] = &[
    "220 host.example ESMTP\r\n250-host.example\r\n250-SIZE 1000\r\n250 PIPELINING\r\n",
    "550-5.1.1 no such\r\n550 5.1.1 user\r\n421 4.3.2 bye\r\n",
    "354\r\n250 ok\n",
];

fn replies(pieces: &[&[u8]]) -> (Vec<(u16, Vec<String>)>, Option<String>) {
    let mut reader = ReplyReader::default();
    let mut found = Vec::new();
    for piece in pieces {
        reader.space().extend_from_slice(piece);
        loop {
            match reader.next_reply() {
                Ok(Some(reply)) => found.push((reply.code, reply.lines)),
                Ok(None) => break,
                Err(error) => return (found, Some(error.to_string())),
            }
        }
    }
    (found, None)
}

#[test]
fn replies_are_the_same_in_any_pieces_and_harmless_to_show() {
    storm("replies", MANY, Ground::new(REPLIES, REPLY_WORDS), |octets, dice| {
        let (whole, split) = (replies(&[octets]), replies(&dice.split(octets)));
        assert_eq!(whole, split);
        for (code, lines) in &whole.0 {
            assert!((200..600).contains(code), "{code}");
            let text: usize = lines.iter().map(String::len).sum();
            assert!(text < 64 * 1024, "{text} octets are kept of one reply");
            for line in lines {
                assert!(!line.contains(|c: char| c.is_control() || c == '\u{202e}'), "{line:?}");
            }
        }
        let codes: Vec<u16> = whole.0.iter().map(|(code, _)| *code).collect();
        hash_of((codes, whole.1.map(|error| error.get(..12).map(str::to_owned))))
    });
}

const MAIL_WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\r\n ",
    b"\r\n\r\n",
    b"--b\r\n",
    b"--b--\r\n",
    b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n",
    b"Content-Type: message/rfc822\r\n",
    b"Content-Type: message/delivery-status\r\n",
    b"Content-Transfer-Encoding: base64\r\n",
    b"Content-Transfer-Encoding: quoted-printable\r\n",
    b"=?utf-8?b?4oCu?=",
    b"=?x?q?=3D?=",
    b"Final-Recipient: rfc822; a@b.example\r\n",
    b"Action: failed\r\n",
    b"Status: 5.1.1\r\n",
    b"Feedback-Type: abuse\r\n",
    b"From: ",
    b": ",
    b";",
    b"\"",
    b"=0",
    b"&#x;",
    b"<!--",
    b"\xff",
    b"\0",
    b"550 5.1.1 user unknown",
];

const MAILS: &[&str] = &[
    "From: Mailer <mailer-daemon@x.example>\r\nSubject: Undelivered\r\nContent-Type: \
     multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\nIt failed.\r\n\
     --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x.example\r\n\r\n\
     Final-Recipient: rfc822; a@b.example\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: \
     smtp; 550 5.1.1 user unknown\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nFrom: \
     c@d.example\r\n\r\nx\r\n--b--\r\n",
    "From: a@b.example\r\nSubject: =?utf-8?q?Abwesend?=\r\nAuto-Submitted: auto-replied\r\n\
     Content-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: base64\r\n\r\n\
     PHA+SWNoIGJpbiB3ZWc8L3A+\r\n",
    "From: \"a, b\" (c) <a@b.example>, d@e.example\r\n\tfolded: x\r\nTo: f@g.example\r\n\
     \r\nbody\r\n",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1000 25\r\n",
];

#[test]
fn no_mail_makes_a_reader_panic_or_grow() {
    storm("mails", SOME, Ground::new(MAILS, MAIL_WORDS), |octets, _| {
        let header = HeaderSection::scan(octets).map(|header| {
            let raw: usize = header.fields().map(|field| field.unfolded().len()).sum();
            assert!(raw <= octets.len());
            assert!(header.raw().len() + header.body().len() <= octets.len());
            header.fields().count()
        });
        let read = mime::Mime::read(octets);
        for part in &read.parts {
            assert!(part.text().len() <= 4 * octets.len() + 64);
        }
        let report = report::read(octets);
        let text = String::from_utf8_lossy(octets);
        decode::words(&text);
        decode::html(&text);
        assert!(decode::base64(octets).len() <= octets.len());
        assert!(decode::quoted_printable(octets).len() <= octets.len());
        let proxy = proxy::read(octets).is_ok();
        let kind = format!("{report:?}");
        hash_of((header.ok(), read.parts.len(), kind.get(..24).map(str::to_owned), proxy))
    });
}
