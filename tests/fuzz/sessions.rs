//! Whole sessions: what one client says, in whatever pieces it comes.

use std::sync::Arc;

use postroad::auth::Identity;
use postroad::listener::session::{Role, Rules, Session, Step, Verdict};
use postroad::model::*;

use super::{Ground, MANY, hash_of, storm};

const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b".\r\n",
    b"\r\n.\r\n",
    b"EHLO a\r\n",
    b"MAIL FROM:<a@b.example>\r\n",
    b"MAIL FROM:<>",
    b" SIZE=50",
    b" BODY=8BITMIME",
    b" SMTPUTF8",
    b" RET=HDRS ENVID=a+2B",
    b"RCPT TO:<c@d.example>\r\n",
    b" NOTIFY=NEVER ORCPT=rfc822;a",
    b"DATA\r\n",
    b"BDAT 5 LAST\r\nxxxxx",
    b"BDAT 18446744073709551615\r\n",
    b"BDAT 0\r\n",
    b"AUTH PLAIN AGFwcAByaWdodA==\r\n",
    b"AUTH LOGIN\r\n",
    b"*\r\n",
    b"STARTTLS\r\n",
    b"RSET\r\n",
    b"NOOP\r\n",
    b"VRFY a\r\n",
    b"QUIT\r\n",
    b"\xc3\xbc",
    b"\xff",
    b"<@x,@y:\"a b\"@[127.0.0.1]>",
];

const SAMPLES: &[&str] = &[
    "EHLO a\r\nMAIL FROM:<a@b.example> SIZE=20 BODY=8BITMIME\r\nRCPT TO:<c@d.example>\r\nDATA\r\n\
     A: b\r\n\r\n..c\r\n.\r\nQUIT\r\n",
    "EHLO a\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example> NOTIFY=SUCCESS,DELAY\r\nBDAT 6\r\n\
     A: b\r\nBDAT 5 LAST\r\n\r\nc\r\nRSET\r\n",
    "EHLO a\r\nAUTH LOGIN\r\nYXBw\r\ncmlnaHQ=\r\nMAIL FROM:<\u{fc}@b.example> SMTPUTF8\r\n",
    "HELO a\r\nSTARTTLS\r\n",
    "EHLO a\r\nAUTH PLAIN\r\nAGFwcAByaWdodA==\r\nNOOP\r\nVRFY x\r\nHELP\r\nRSET\r\nQUIT\r\n",
];

const MESSAGE_BYTES_MAX: u64 = 200;
/// A command line, what is read at once beside it, and a body; far below what would be a leak.
const HELD_BYTES_MAX: usize = 64 * 1024;

struct World {
    session: Session,
    story: Vec<String>,
    mails: i64,
    is_ended: bool,
}

impl World {
    fn new(is_trusted: bool, tls: Option<String>) -> World {
        let rules = Rules {
            host_name: "mx.example".into(),
            message_bytes_max: MESSAGE_BYTES_MAX,
            recipients_max: 3,
            errors_max: 20,
            commands_per_minute_max: 1000,
        };
        let peer = "192.0.2.1".parse().expect("an address");
        let trusted = is_trusted.then(somebody);
        let session = Session::new(Role::SUBMISSION, Arc::new(rules), peer, trusted, tls);
        let mut world = World { session, story: Vec::new(), mails: 0, is_ended: false };
        world.run();
        world
    }

    fn say(&mut self, octets: &[u8]) {
        if self.is_ended {
            return;
        }
        self.session.feed(octets);
        self.run();
        assert!(self.session.room().capacity() < HELD_BYTES_MAX, "it keeps what it was told");
    }

    fn run(&mut self) {
        loop {
            let step = self.session.step();
            let output = self.session.output().split();
            let text = String::from_utf8(output.to_vec()).expect("replies are text");
            for line in text.split_terminator("\r\n") {
                assert!(line.len() <= 510 && !line.contains(char::is_control), "{line:?}");
                self.story.push(line.to_owned());
            }
            match step {
                Step::Write => {}
                Step::Read => return,
                Step::CheckSender => self.session.sender_checked(Ok(())),
                Step::Verify { user, password } => {
                    let right = user == "app" && password.expose() == "right";
                    let known = if right { Verdict::Known(somebody()) } else { Verdict::Refused };
                    self.session.verified(known);
                }
                Step::Submit(submission) => {
                    let mail = submission.mail.to_vec();
                    assert!(mail.len() as u64 <= MESSAGE_BYTES_MAX + 2, "{}", mail.len());
                    assert!(lines_are_whole(&mail), "{}", mail.escape_ascii());
                    assert!((1..=3).contains(&submission.envelope.recipients.len()));
                    self.story.push(format!("{:?} {mail:?}", submission.envelope));
                    self.mails += 1;
                    self.session.submitted(Ok(MessageId(self.mails)));
                }
                Step::CheckRecipient | Step::Receive(_) => {
                    panic!("no mail from outside comes here")
                }
                // What comes behind it in the same piece is not carried out, so a split there
                // does make a difference; both end here.
                Step::StartTls | Step::Close => {
                    self.is_ended = true;
                    return;
                }
            }
        }
    }
}

fn somebody() -> Identity {
    Identity {
        credential: Some(CredentialId(1)),
        name: "app".into(),
        organization: OrganizationId(1),
        stream: StreamId(1),
        rules: Arc::default(),
    }
}

/// CR and LF stand in pairs, and no NUL is there.
fn lines_are_whole(mail: &[u8]) -> bool {
    let text = String::from_utf8_lossy(mail).replace("\r\n", "");
    !text.contains(['\r', '\n', '\0'])
}

/// The code of each line, without what differs from round to round.
fn codes(story: &[String]) -> Vec<&str> {
    let mut codes: Vec<&str> = story.iter().map(|line| line.get(..3).unwrap_or("")).collect();
    codes.dedup();
    codes
}

#[test]
fn no_session_panics_or_keeps_memory_or_depends_on_how_its_octets_were_split() {
    storm("sessions", MANY, Ground::new(SAMPLES, WORDS), |octets, dice| {
        let is_trusted = dice.below(4) > 0;
        let tls = (dice.below(2) == 0).then(|| "TLSv1.3".to_owned());
        let mut whole = World::new(is_trusted, tls.clone());
        whole.say(octets);
        let mut split = World::new(is_trusted, tls);
        for piece in dice.split(octets) {
            split.say(piece);
        }
        let starts_tls = whole.story.iter().any(|line| line.starts_with("220 2."))
            || whole.story.iter().any(|line| line.starts_with("554 5.5.1"));
        if !starts_tls {
            assert_eq!(whole.story, split.story);
        }
        assert!(whole.mails == 0 || is_trusted || whole.story.iter().any(|l| l.starts_with("235")));
        hash_of(codes(&whole.story))
    });
}
