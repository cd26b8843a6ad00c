//! Mail that came back, read by `postroad report parse`: shapes of many systems, invented names.
//!
//! Owns:       the mails of `tests/report/*.txt`, each with what must be said about it.
//! Promises:   every mail's line is compared whole: kind, recipient, hardness, status, category.
//! Knows not:  how reports are parsed.

use postroad::feedback::Judge;
use postroad::wire::report::{Report, read};

const FILES: [(&str, &str); 6] = [
    ("dsn", include_str!("report/dsn.txt")),
    ("words", include_str!("report/words.txt")),
    ("more", include_str!("report/more.txt")),
    ("shapes", include_str!("report/shapes.txt")),
    ("answers", include_str!("report/answers.txt")),
    ("complaints", include_str!("report/complaints.txt")),
];

struct Case<'a> {
    name: &'a str,
    expected: Vec<&'a str>,
    mail: &'a str,
}

fn cases() -> Vec<Case<'static>> {
    let mut cases = Vec::new();
    for (_, file) in FILES {
        for case in file.split("=== ").skip(1) {
            let (head, mail) = case.split_once("\n---\n").expect("a line of three dashes");
            let mut lines = head.lines();
            let name = lines.next().expect("a name");
            let expected = lines.filter_map(|line| line.strip_prefix("expect ")).collect();
            cases.push(Case { name, expected, mail });
        }
    }
    cases
}

/// What was read, in the words of an `expect` line; optional words only where asked for.
fn told(judge: &Judge, report: &Report, expected: &[&str]) -> Vec<String> {
    let lines = report.findings.iter().enumerate().map(|(index, finding)| {
        let verdict = judge.judge(None, finding);
        let none = || "null".to_owned();
        let mut words = vec![
            finding.kind.to_string(),
            finding.recipient.clone().unwrap_or_else(none),
            verdict.is_hard().to_string(),
            finding.status.map_or_else(none, |status| status.to_string()),
            verdict.category().map_or_else(none, |category| category.to_string()),
        ];
        // A category of a delay and optional words are compared where they are told.
        let asked = expected.get(index).copied().unwrap_or_default();
        for word in asked.split(' ').skip(5) {
            let (name, _) = word.split_once('=').expect("name=value");
            let value = match name {
                "id" => report.original_message_id.clone().unwrap_or_default(),
                "type" => report.feedback_type.map(|t| t.word().to_owned()).unwrap_or_default(),
                _ => (report.feedback_type == Some(postroad::model::FeedbackType::OptOut))
                    .to_string(),
            };
            words.push(format!("{name}={value}"));
        }
        words.join(" ")
    });
    lines.collect()
}

#[test]
fn mails_that_came_back_are_read_as_a_postmaster_would() {
    let judge = Judge::shipped().expect("the rules load");
    let mut wrong = Vec::new();
    let cases = cases();
    for case in &cases {
        // As files have them and as the wire has them.
        for mail in [case.mail.to_owned(), case.mail.replace('\n', "\r\n")] {
            let told = told(&judge, &read(mail.as_bytes()), &case.expected);
            if told != case.expected {
                wrong.push(format!("{}:\n  want {:?}\n  told {told:?}", case.name, case.expected));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn no_delay_and_no_auto_reply_is_ever_hard() {
    let judge = Judge::shipped().expect("the rules load");
    for case in cases() {
        for finding in read(case.mail.as_bytes()).findings {
            let kind = finding.kind.word();
            assert!(kind == "bounce" || !judge.judge(None, &finding).is_hard(), "{}", case.name);
        }
    }
}

#[test]
fn a_mail_made_to_cost_much_is_read_to_a_maximum() {
    let head = "From: MAILER-DAEMON@b.example\nSubject: Undelivered\n";
    let parts = format!(
        "{head}Content-Type: multipart/report; boundary=x\n\n{}",
        "--x\nContent-Type: message/delivery-status\n\nFinal-Recipient: rfc822; a@b.example\n\
         Action: failed\n\n"
            .repeat(10_000)
    );
    let lines = format!(
        "{head}\n{}",
        "<a@b.example>: unknown user, could not be delivered\n".repeat(50_000)
    );
    let many: String = (0..50_000).map(|n| format!("<a{n}@b.example>: unknown user\n")).collect();
    let many = format!("{head}\ncould not be delivered\n{many}");
    let mut nested = String::new();
    for _ in 0..2000 {
        nested += &format!("{head}Content-Type: message/rfc822\n\n");
    }
    let wide = format!("{head}Content-Type: text/plain\n\n{}", "user@".repeat(400_000));
    assert!(read(parts.as_bytes()).is_cut);
    for mail in [parts, lines, many, nested, wide] {
        assert!(read(mail.as_bytes()).findings.len() <= 500);
    }
}

#[test]
fn a_mail_cut_anywhere_is_read_without_harm() {
    for case in cases() {
        let octets = case.mail.as_bytes();
        for end in (0..octets.len()).step_by(97) {
            assert!(!read(&octets[..end]).findings.is_empty());
        }
    }
}

/// The lines of the command, as JSON.
fn parsed(desk: &crate::cli::Desk, arguments: &[&str]) -> Vec<serde_json::Value> {
    let output = desk.run(&[&["report", "parse"], arguments].concat());
    assert!(output.status.success(), "{}", crate::cli::told(&output));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn the_command_prints_a_line_for_each_mail_and_recipient_and_tells_an_opt_out() {
    use serde_json::json;
    let desk = crate::cli::Desk::new();
    let dsn = "From: MAILER-DAEMON@b.example\nSubject: Undelivered\nMIME-Version: 1.0\n\
        Content-Type: multipart/report; report-type=delivery-status; boundary=x\n\n\
        --x\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; b.example\n\n\
        Final-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 5.1.1\n\
        Diagnostic-Code: smtp; 550 5.1.1 no such user\n\n\
        Final-Recipient: rfc822; c@b.example\nAction: delayed\nStatus: 4.4.1\n\n\
        --x\nContent-Type: text/rfc822-headers\n\nMessage-ID: <1@shop.example>\n\n--x--\n";
    let arf = "From: fbl@b.example\nSubject: FW: news\nMIME-Version: 1.0\n\
        Content-Type: multipart/report; report-type=feedback-report; boundary=x\n\n\
        --x\nContent-Type: message/feedback-report\n\nFeedback-Type: opt-out\nVersion: 1\n\
        Original-Rcpt-To: d@b.example\n\n\
        --x\nContent-Type: message/rfc822\n\nMessage-ID: <2@shop.example>\nSubject: news\n\n\
        x\n--x--\n";
    desk.write("dsn.eml", dsn);
    desk.write("arf.eml", arf);
    let lines = parsed(&desk, &["dsn.eml", "arf.eml"]);
    let told = |line: &serde_json::Value| {
        let names = ["file", "recipient", "kind", "hard", "status", "category"];
        let mut told: Vec<_> = names.iter().map(|name| line[name].clone()).collect();
        told.extend(["original_message_id", "unsubscribe"].map(|name| line[name].clone()));
        json!(told)
    };
    assert_eq!(
        lines.iter().map(told).collect::<Vec<_>>(),
        [
            json!([
                "dsn.eml",
                "a@b.example",
                "bounce",
                true,
                "5.1.1",
                "bad_mailbox",
                "1@shop.example",
                null
            ]),
            json!([
                "dsn.eml",
                "c@b.example",
                "delay",
                false,
                "4.4.1",
                "network",
                "1@shop.example",
                null
            ]),
            json!([
                "arf.eml",
                "d@b.example",
                "complaint",
                false,
                null,
                null,
                "2@shop.example",
                true
            ]),
        ]
    );
    assert!(lines[0].get("unsubscribe").is_none(), "only where it is one");
    let missing = desk.run(&["report", "parse", "nowhere.eml", "dsn.eml"]);
    assert!(!missing.status.success());
    assert_eq!(String::from_utf8_lossy(&missing.stdout).lines().count(), 2, "the others are read");
}
