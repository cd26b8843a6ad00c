//! Reports of every make, damaged, and what is made of them.

use postroad::feedback::Judge;
use postroad::model::ReportKind;
use postroad::wire::mime::Mime;
use postroad::wire::report;

use super::{Ground, SOME, hash_of, storm};

const WORDS: &[&[u8]] = &[
    b"\r\n\r\n",
    b"--",
    b"boundary=",
    b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n",
    b"Content-Type: message/delivery-status\r\n\r\n",
    b"Content-Type: text/rfc822-headers\r\n\r\n",
    b"Final-Recipient: rfc822; ",
    b"Action: delayed\r\n",
    b"Action: failed\r\n",
    b"Status: 4.2.2\r\n",
    b"Diagnostic-Code: smtp; 550-5.1.1 no\r\n",
    b"Feedback-Type: opt-out\r\n",
    b"Auto-Submitted: auto-replied\r\n",
    b"=?iso-2022-jp?b?",
    b"\x1b$B",
    b"\xff\xfe",
    b"<a@b.example>: ",
    b"xn--",
    b"\0",
];

fn mails() -> Vec<&'static str> {
    let files = [
        include_str!("../report/dsn.txt"),
        include_str!("../report/words.txt"),
        include_str!("../report/more.txt"),
        include_str!("../report/answers.txt"),
        include_str!("../report/complaints.txt"),
    ];
    let cases = files.iter().flat_map(|file| file.split("=== ").skip(1));
    cases.filter_map(|case| Some(case.split_once("\n---\n")?.1)).collect()
}

#[test]
fn no_damaged_report_stops_its_reader_and_no_finding_grows_without_end() {
    let judge = Judge::shipped().expect("the rules load");
    storm("reports", SOME, Ground::new(&mails(), WORDS), |mail, _| {
        let report = report::read(mail);
        assert!(!report.findings.is_empty() && report.findings.len() <= 10_000);
        let mut told = Vec::new();
        for finding in &report.findings {
            let verdict = judge.judge(None, finding);
            let words: usize = finding.texts.iter().map(String::len).sum();
            assert!(words <= 16 * mail.len() + 65_536, "{words} octets of {}", mail.len());
            assert!(!verdict.is_hard() || finding.kind == ReportKind::Bounce);
            told.push((
                finding.kind.word(),
                verdict.is_hard(),
                finding.status.map(|one| one.to_string()),
            ));
        }
        let mime = Mime::read(mail);
        assert!(mime.parts.len() <= 1000);
        assert!(mime.parts.iter().all(|part| part.content().len() <= mail.len()));
        hash_of(told)
    });
}
