//! Submission over real sockets: honest clients, clumsy ones and hostile ones.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use postroad::accept::{Refusal, Submission};
use postroad::auth::{Auth, Identity, Rows, hash_secret};
use postroad::clock::Clock;
use postroad::config;
use postroad::listener::{Certificates, Door, Listener};
use postroad::model::*;
use postroad::store::CredentialRow;
use postroad::wire::network::Network;
use rustls_pki_types::pem::PemObject;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::support::api::{As, PASSWORD, TestApi};

const SECRET: &str = "a right secret";
const SOON: Duration = Duration::from_secs(30);

/// A door that keeps what is handed in.
#[derive(Clone, Default)]
struct FakeDoor(Arc<Mutex<Vec<Submission>>>);

impl Door for FakeDoor {
    fn check_sender(
        &self,
        _: &Identity,
        sender: &ReversePath,
        _: Option<u64>,
    ) -> Result<(), Refusal> {
        if sender.0.as_ref().is_some_and(|address| address.local() == "foreign") {
            let text = "foreign@ is not yours".into();
            return Err(Refusal {
                code: 550,
                enhanced: Enhanced(5, 7, 1),
                text,
                retry_after: None,
            });
        }
        Ok(())
    }

    async fn submit(&self, submission: Submission) -> Result<MessageId, Refusal> {
        let mut mails = self.0.lock();
        mails.push(submission);
        Ok(MessageId(mails.len() as i64))
    }
}

struct Post {
    listener: Listener,
    auth: Auth,
    door: FakeDoor,
    certificates: Certificates,
}

/// Knows one credential, and trusts 127.0.0.1 as it.
fn own_auth() -> Auth {
    let credential = CredentialRow {
        id: CredentialId(1),
        organization: OrganizationId(1),
        name: "app".into(),
        secret_hash: hash_secret(SECRET),
        secret_hash_before: None,
        stream: StreamId(1),
        rules: CredentialRules::default(),
        created_at: Timestamp(0),
        revoked_at: None,
        used_at: None,
    };
    let rows = Rows { credentials: vec![credential], ..Rows::default() };
    let trusted = ["127.0.0.1", "203.0.113.0/24"]
        .map(|network| (Network::parse(network).expect("a network"), "app".to_owned()));
    Auth::of_rows(rows, trusted.into(), Clock::system()).expect("randomness")
}

impl Post {
    /// 127.0.0.1 is trusted unless the settings say that it is a proxy; 127.0.0.9 never is.
    fn open(change: impl FnOnce(&mut config::Smtp)) -> Post {
        Post::asking(own_auth(), change)
    }

    /// Whoever signs in is looked for there.
    fn asking(auth: Auth, change: impl FnOnce(&mut config::Smtp)) -> Post {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut smtp = config::Smtp {
            submission: vec![any],
            submissions: vec![any],
            connections_per_client_max: 10_000,
            connections_max: 10_000,
            ..config::Smtp::default()
        };
        change(&mut smtp);
        let tls = config::Tls::default();
        let certificates = Certificates::open(&tls, "localhost").expect("made");
        let door = FakeDoor::default();
        let listener =
            Listener::start(&smtp, "mx.example", auth.clone(), door.clone(), &certificates);
        Post { listener: listener.expect("bound"), auth, door, certificates }
    }

    async fn connect(&self) -> Client<TcpStream> {
        let socket = TcpStream::connect(self.listener.submission()[0]).await.expect("connected");
        Client::greeted(socket).await
    }

    /// From an address that no trusted network holds.
    async fn connect_as_stranger(&self) -> Client<TcpStream> {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 9], 0).into()).expect("bound");
        let socket = socket.connect(self.listener.submission()[0]).await.expect("connected");
        Client::greeted(socket).await
    }

    fn connector(&self) -> tokio_rustls::TlsConnector {
        let pem = self.certificates.self_signed_pem().expect("self-signed");
        let mut roots = rustls::RootCertStore::empty();
        let certificate = rustls_pki_types::CertificateDer::from_pem_slice(pem.as_bytes());
        roots.add(certificate.expect("PEM")).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        tokio_rustls::TlsConnector::from(Arc::new(config))
    }

    fn mails(&self) -> Vec<Submission> {
        self.door.0.lock().clone()
    }
}

struct Client<S>(S);

type Tls = tokio_rustls::client::TlsStream<TcpStream>;

impl Client<TcpStream> {
    async fn greeted(socket: TcpStream) -> Self {
        let mut client = Client(socket);
        assert!(client.hear(1).await.starts_with("220 mx.example ESMTP"));
        client
    }

    async fn secure(self, post: &Post) -> Client<Tls> {
        let name = rustls_pki_types::ServerName::try_from("localhost").expect("a name");
        Client(post.connector().connect(name, self.0).await.expect("a handshake"))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    async fn say(&mut self, octets: impl AsRef<[u8]>) {
        self.0.write_all(octets.as_ref()).await.expect("written");
        self.0.flush().await.expect("written");
    }

    /// Waits for so many replies (the last lines of them).
    async fn hear(&mut self, replies: usize) -> String {
        let mut heard = String::new();
        let last = |line: &&str| line.as_bytes().get(3) == Some(&b' ');
        while heard.split_terminator("\r\n").filter(last).count() < replies
            || !heard.ends_with("\r\n")
        {
            let mut window = [0; 4096];
            let read = timeout(SOON, self.0.read(&mut window)).await;
            let count = read.unwrap_or_else(|_| panic!("silence after {heard:?}")).expect("read");
            assert_ne!(count, 0, "closed after {heard:?}");
            heard += std::str::from_utf8(&window[..count]).expect("text");
        }
        heard
    }

    async fn ask(&mut self, line: &str) -> String {
        self.say(format!("{line}\r\n")).await;
        self.hear(1).await
    }

    /// All that still comes until the other side closes.
    async fn hear_to_end(&mut self) -> String {
        let mut heard = vec![];
        let mut window = [0; 4096];
        loop {
            match timeout(SOON, self.0.read(&mut window)).await.expect("an end") {
                Ok(0) | Err(_) => return String::from_utf8_lossy(&heard).into_owned(),
                Ok(count) => heard.extend_from_slice(&window[..count]),
            }
        }
    }

    async fn begin_data(&mut self) {
        self.say("EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n").await;
        let heard = self.hear(4).await;
        assert!(heard.contains("\r\n354 "), "{heard}");
    }
}

#[tokio::test]
async fn many_pipelined_mails_are_answered_in_order_and_arrive_whole() {
    let post = Post::open(|_| {});
    let mut client = post.connect().await;
    client.ask("EHLO c").await;
    for number in 0..50 {
        client.say("MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n").await;
        client.hear(3).await;
        let body = format!("Subject: {number}\r\n\r\n{}\r\n..\r\n.\r\n", "x".repeat(10_000));
        client.say(body).await;
        let heard = client.hear(1).await;
        assert_eq!(heard, format!("250 2.0.0 queued as {}\r\n", number + 1));
    }
    assert!(client.ask("QUIT").await.starts_with("221 "));
    let mails = post.mails();
    assert!(mails.iter().all(|mail| mail.mail.ends_with(b"xx\r\n.\r\n")));
    assert_eq!(mails[49].mail.len(), 10_000 + 20);
    assert_eq!((mails[7].arrival.protocol, mails[7].arrival.ehlo.as_str()), ("ESMTP", "c"));
}

#[tokio::test]
async fn a_credential_that_is_revoked_ends_its_open_sessions_and_no_others() {
    let post = Post::open(|_| {});
    let mut idle = post.connect().await;
    idle.ask("EHLO c").await;
    let mut sending = post.connect().await;
    sending.begin_data().await;
    sending.say("Subject: half of a mail\r\n").await;
    let mut stranger = post.connect_as_stranger().await;
    stranger.ask("EHLO c").await;
    post.auth.replace(Rows::default());
    for client in [&mut idle, &mut sending] {
        assert_eq!(client.hear_to_end().await, "421 4.7.0 The credential was revoked\r\n");
    }
    assert!(stranger.ask("NOOP").await.starts_with("250 "), "who has not signed in stays");
    assert!(post.mails().is_empty());
}

#[tokio::test]
async fn no_smuggling_sequence_makes_a_second_mail() {
    let post = Post::open(|smtp| smtp.errors_max = 1000);
    let ends = [
        "\n.\n",
        "\n.\r\n",
        "\r\n.\n",
        "\r.\r",
        "\r.\r\n",
        "\r\n.\r",
        "\n.\r",
        "\r.\n",
        "\r\n.\r\r\n",
        "\r\r\n.\r\r\n",
        "\r\n\0.\r\n",
        "\r\n.\0\r\n",
        "\n\n.\n\n",
        "\r\n.\n\r\n",
        "\n.\n\r\n",
        "\r\n.\r.\r\n",
        "\u{85}.\u{85}",
        "\r\n.\u{2028}\r\n",
        "\x0b\r\n.\x0b\r\n",
        "\r\n .\r\n",
        "\r\n.\t\r\n",
        "\r\n..\r\n",
    ];
    for end in ends {
        for split in [false, true] {
            let before = post.mails().len();
            let mut client = post.connect().await;
            client.begin_data().await;
            let inner = "MAIL FROM:<evil@b.example>\r\nRCPT TO:<v@d.example>\r\nDATA\r\nx\r\n.\r\n";
            client.say(format!("Subject: outer\r\n\r\nouter{end}")).await;
            if split {
                sleep(Duration::from_millis(3)).await;
            }
            client.say(format!("{inner}QUIT\r\n")).await;
            let heard = client.hear_to_end().await;
            let mails = post.mails();
            assert!(mails.len() <= before + 1, "{end:?}: {heard}");
            let smuggled = |mail: &Submission| mail.envelope.sender.to_string().contains("evil");
            assert!(!mails.iter().any(smuggled), "{end:?}");
            assert!(!heard.contains(" 354 "), "{end:?}: {heard}");
        }
    }
}

#[tokio::test]
async fn what_is_sent_along_with_starttls_is_never_carried_out() {
    let post = Post::open(|_| {});
    let mut client = post.connect_as_stranger().await;
    client.ask("EHLO c").await;
    client.say("STARTTLS\r\nEHLO injected\r\nMAIL FROM:<a@b.example>\r\n").await;
    let heard = client.hear_to_end().await;
    assert!(heard.starts_with("554 5.5.1") && heard.lines().count() == 1, "{heard}");
    // In a segment of its own it meets the handshake and ends it.
    let mut client = post.connect_as_stranger().await;
    assert!(client.ask("STARTTLS").await.starts_with("220 "));
    client.say("EHLO injected\r\nNOOP\r\n").await;
    assert!(!client.hear_to_end().await.contains("250"));
}

#[tokio::test]
async fn starttls_forgets_what_was_said_and_lets_a_stranger_sign_in() {
    let post = Post::open(|_| {});
    let mut client = post.connect_as_stranger().await;
    assert!(!client.ask("EHLO c").await.contains("AUTH"));
    assert!(client.ask("AUTH PLAIN AGFwcABh").await.starts_with("538 5.7.11"));
    assert!(client.ask("MAIL FROM:<a@b.example>").await.starts_with("530 5.7.0"));
    assert!(client.ask("STARTTLS").await.starts_with("220 "));
    let mut client = client.secure(&post).await;
    assert!(client.ask("MAIL FROM:<a@b.example>").await.starts_with("503 "));
    let hello = client.ask("EHLO c").await;
    assert!(hello.contains("AUTH PLAIN LOGIN") && !hello.contains("STARTTLS"), "{hello}");
    assert!(client.ask("AUTH PLAIN AGFwcAB3cm9uZw==").await.starts_with("535 5.7.8"));
    assert!(client.ask("AUTH PLAIN AGFwcABhIHJpZ2h0IHNlY3JldA==").await.starts_with("235 2.7.0"));
    client.begin_data().await;
    client.say("Subject: x\r\n\r\nx\r\n.\r\n").await;
    assert!(client.hear(1).await.starts_with("250 2.0.0 queued as 1"));
    let arrival = post.mails()[0].arrival.clone();
    assert_eq!(arrival.protocol, "ESMTPSA");
    assert!(arrival.tls.is_some_and(|tls| tls.starts_with("TLSv1.3 TLS13_")));
}

#[tokio::test]
async fn a_tls_close_in_the_midst_of_a_body_is_no_mail() {
    let post = Post::open(|_| {});
    let socket = TcpStream::connect(post.listener.submissions()[0]).await.expect("connected");
    let mut client = Client(socket).secure(&post).await;
    client.hear(1).await;
    client.begin_data().await;
    client.say("Subject: x\r\n\r\nhalf\r\n").await;
    // close_notify, and then the end of the mail in the clear.
    client.0.get_mut().1.send_close_notify();
    client.0.flush().await.expect("written");
    let (mut socket, _) = client.0.into_inner();
    socket.write_all(b".\r\nQUIT\r\n").await.expect("written");
    let mut rest = vec![];
    drop(timeout(SOON, socket.read_to_end(&mut rest)).await.expect("an end"));
    assert!(post.mails().is_empty());
    assert_eq!(post.listener.sessions(), 0);
}

#[tokio::test]
async fn the_tls_port_closes_on_clear_text() {
    let post = Post::open(|_| {});
    let socket = TcpStream::connect(post.listener.submissions()[0]).await.expect("connected");
    let mut client = Client(socket);
    client.say("EHLO c\r\n").await;
    assert!(!client.hear_to_end().await.contains("250"));
}

#[tokio::test]
async fn slow_and_silent_clients_are_cut() {
    let post = Post::open(|smtp| smtp.command_wait = Duration::from_secs(2));
    let began = Instant::now();
    let mut silent = post.connect().await;
    let mut dripping = post.connect().await;
    let mut in_body = post.connect().await;
    in_body.begin_data().await;
    while post.listener.sessions() > 0 {
        assert!(began.elapsed() < SOON, "they are not cut");
        if dripping.0.write_all(b"N").await.is_err() || in_body.0.write_all(b"x").await.is_err() {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    assert!(silent.hear_to_end().await.starts_with("421 4.4.2"));
    drop((dripping, in_body));
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert!(post.mails().is_empty());
}

#[tokio::test]
async fn a_session_ends_after_its_time_whether_idle_or_busy() {
    let post = Post::open(|smtp| smtp.session_max = Duration::from_millis(300));
    let (mut idle, mut busy) = (post.connect().await, post.connect().await);
    let began = Instant::now();
    while !busy.ask("NOOP").await.starts_with("421 ") {
        assert!(began.elapsed() < SOON);
    }
    assert!(idle.hear_to_end().await.starts_with("421 "));
}

#[tokio::test]
async fn too_many_connections_are_turned_away_with_a_word() {
    let post = Post::open(|smtp| smtp.connections_per_client_max = 2);
    let (_one, _two) = (post.connect().await, post.connect().await);
    let socket = TcpStream::connect(post.listener.submission()[0]).await.expect("connected");
    assert!(Client(socket).hear_to_end().await.starts_with("421 4.7.0"));
    // Another client still gets in.
    post.connect_as_stranger().await;
}

#[tokio::test]
async fn a_long_line_gets_500_and_an_end() {
    let post = Post::open(|_| {});
    let mut client = post.connect().await;
    client.say(vec![b'x'; 300_000]).await;
    assert!(client.hear_to_end().await.starts_with("500 5.5.2"));
}

#[tokio::test]
async fn only_named_proxies_may_say_who_the_client_is_and_they_must() {
    let post = Post::open(|smtp| smtp.proxies = vec![Network::parse("127.0.0.1").expect("one")]);
    let connect = || async { TcpStream::connect(post.listener.submission()[0]).await.expect("up") };
    let mut client = Client(connect().await);
    client.say("PROXY TCP4 203.0.113.5 198.51.100.1 5 587\r\nEHLO c\r\n").await;
    assert!(client.hear(2).await.starts_with("220 "));
    client.begin_data().await;
    client.say("x\r\n.\r\n").await;
    client.hear(1).await;
    assert_eq!(post.mails()[0].arrival.peer.to_string(), "203.0.113.5");
    // Split at every octet, version 2, an address that is not trusted.
    let mut client = Client(connect().await);
    let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\0\x05\x02\x4b";
    for octet in header {
        client.say([*octet]).await;
        sleep(Duration::from_millis(1)).await;
    }
    client.hear(1).await;
    client.ask("EHLO c").await;
    assert!(client.ask("MAIL FROM:<a@b.example>").await.starts_with("530 "));
    // A proxy that says nothing of the client, and a stranger who pretends to be a proxy.
    let mut client = Client(connect().await);
    client.say("EHLO c\r\n").await;
    assert_eq!(client.hear_to_end().await, "");
    let mut client = post.connect_as_stranger().await;
    assert!(client.ask("PROXY TCP4 203.0.113.5 198.51.100.1 5 587").await.starts_with("500 "));
}

/// From where `As::Nobody` asks the API, as the proxy says.
const FROM_AFAR: &str = "PROXY TCP4 192.0.2.9 198.51.100.1 5 587\r\n";

async fn signing_in(post: &Post) -> Client<Tls> {
    let socket = TcpStream::connect(post.listener.submission()[0]).await.expect("up");
    let mut client = Client(socket);
    client.say(FROM_AFAR).await;
    client.hear(1).await;
    assert!(client.ask("STARTTLS").await.starts_with("220 "));
    let mut client = client.secure(post).await;
    client.ask("EHLO c").await;
    client
}

#[tokio::test]
async fn wrong_guesses_in_smtp_lock_the_address_out_of_the_panel_and_the_api_too() {
    let api = TestApi::new().await;
    let key = api.key("app").await;
    let person = json!({"email": "ann@example.com", "password": PASSWORD});
    let made = api.ask(&As::Operator, "POST", "/v1/installation/users", Some(person.clone()));
    assert_eq!(made.await.status, 200);
    let loopback = Network::parse("127.0.0.1").expect("one");
    let post = Post::asking(api.auth.clone(), |smtp| smtp.proxies = vec![loopback]);
    let post = Arc::new(post);
    let mut guesses = tokio::task::JoinSet::new();
    for number in 0..20 {
        let post = post.clone();
        guesses.spawn(async move {
            let login = STANDARD.encode(format!("\0nobody\0wrong {number}"));
            signing_in(&post).await.ask(&format!("AUTH PLAIN {login}")).await
        });
    }
    let replies = api.waiting(guesses.join_all()).await;
    assert!(replies.iter().all(|reply| !reply.starts_with("235")), "{replies:?}");
    let panel = api.waiting(api.ask(&As::Nobody, "POST", "/v1/session", Some(person))).await;
    assert_eq!(panel.status, 429, "{panel:?}");
    let asked = api.waiting(api.ask(&key, "GET", "/v1/deliveries", None)).await;
    assert_eq!(asked.status, 429, "{asked:?}");
    let mut client = signing_in(&post).await;
    let right = STANDARD.encode("\0app\0secret");
    let reply = api.waiting(client.ask(&format!("AUTH PLAIN {right}"))).await;
    assert!(!reply.starts_with("235"), "{reply}");
}

#[tokio::test]
async fn a_shutdown_ends_idle_sessions_at_once_and_lets_a_body_finish() {
    let post = Post::open(|_| {});
    let (mut idle, mut busy) = (post.connect().await, post.connect().await);
    let secured = TcpStream::connect(post.listener.submissions()[0]).await.expect("connected");
    busy.begin_data().await;
    busy.say("Subject: x\r\n\r\n").await;
    let draining = post.listener.drain(SOON);
    let client = async {
        assert_eq!(Client(secured).hear_to_end().await, "");
        assert!(idle.hear_to_end().await.starts_with("421 4.3.2"));
        assert!(TcpStream::connect(post.listener.submission()[0]).await.is_err());
        busy.say("x\r\n.\r\n").await;
        let heard = busy.hear_to_end().await;
        assert!(heard.starts_with("250 2.0.0 queued as 1\r\n421 "), "{heard}");
    };
    tokio::join!(draining, client);
    assert_eq!((post.listener.sessions(), post.mails().len()), (0, 1));
}

#[tokio::test]
async fn a_shutdown_cuts_what_does_not_finish() {
    let post = Post::open(|_| {});
    let mut stuck = post.connect().await;
    stuck.begin_data().await;
    let began = Instant::now();
    post.listener.drain(Duration::from_millis(100)).await;
    assert_eq!(post.listener.sessions(), 0);
    assert!(began.elapsed() < SOON);
    assert!(post.mails().is_empty());
}

#[tokio::test]
async fn one_address_cannot_be_bound_twice() {
    let post = Post::open(|_| {});
    let taken = config::Smtp {
        submission: vec![post.listener.submission()[0]],
        submissions: vec![],
        ..config::Smtp::default()
    };
    let auth = Auth::of_rows(Rows::default(), vec![], Clock::system()).expect("randomness");
    let door = FakeDoor::default();
    let second = Listener::start(&taken, "mx.example", auth, door, &post.certificates);
    assert!(second.is_err_and(|error| error.to_string().contains("cannot listen on 127.0.0.1:")));
}

const PYTHON: &str = r#"
import smtplib, ssl, sys
from email.message import EmailMessage
starttls, implicit, cafile, password = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
context = ssl.create_default_context(cafile=cafile)
mail = EmailMessage()
mail["From"], mail["To"], mail["Subject"] = "a@b.example", "c@d.example", "Grüße"
mail.set_content(".dot\nlänger\n" + "x" * 70_000 + "\n")
def plain():
    client = smtplib.SMTP("localhost", starttls, source_address=("127.0.0.9", 0))
    client.starttls(context=context)
    return client
def secured():
    return smtplib.SMTP_SSL("localhost", implicit, context=context, source_address=("127.0.0.9", 0))
for make in plain, secured:
    with make() as client:
        client.set_debuglevel(0)
        client.login("app", password)
        assert client.send_message(mail) == {}
        try:
            client.sendmail("foreign@b.example", ["c@d.example"], b"x")
            raise SystemExit("a foreign sender was taken")
        except smtplib.SMTPSenderRefused as refused:
            assert refused.smtp_code == 550, refused
    with make() as client:
        try:
            client.login("app", "wrong")
            raise SystemExit("a wrong password was taken")
        except smtplib.SMTPAuthenticationError as refused:
            assert refused.smtp_code == 535, refused
"#;

#[tokio::test]
async fn pythons_smtplib_submits_by_starttls_and_by_implicit_tls() {
    let post = Post::open(|_| {});
    let directory = tempfile::tempdir().expect("a directory");
    let (script, ca) = (directory.path().join("submit.py"), directory.path().join("ca.pem"));
    std::fs::write(&script, PYTHON).expect("written");
    std::fs::write(&ca, post.certificates.self_signed_pem().expect("PEM")).expect("written");
    let python = tokio::process::Command::new("python3")
        .arg(&script)
        .arg(post.listener.submission()[0].port().to_string())
        .arg(post.listener.submissions()[0].port().to_string())
        .args([ca.as_os_str(), SECRET.as_ref()])
        .output();
    let output = timeout(Duration::from_secs(60), python).await.expect("in time").expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mails = post.mails();
    assert_eq!(mails.len(), 2);
    for mail in mails {
        assert_eq!(mail.arrival.protocol, "ESMTPSA");
        assert!(mail.mail.len() > 70_000);
        assert_eq!(mail.identity.name, "app");
    }
}

/// Run by the test below in a process of its own, under a low limit of open files.
#[tokio::test]
#[ignore = "only as a child of another test"]
async fn serves_until_its_parent_hangs_up() {
    let post = Post::open(|_| {});
    println!("\nport {}", post.listener.submission()[0].port());
    let mut nothing = vec![];
    tokio::io::stdin().read_to_end(&mut nothing).await.expect("read");
}

#[tokio::test]
async fn running_out_of_files_stops_nothing_for_good() {
    let own = std::env::current_exe().expect("a path");
    let mut child = tokio::process::Command::new("sh")
        .args(["-c", "ulimit -n 60; exec \"$0\" --ignored --nocapture --exact \"$1\""])
        .arg(own)
        .arg("listener::serves_until_its_parent_hangs_up")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("a shell");
    let mut lines = tokio::io::BufReader::new(child.stdout.take().expect("piped")).lines();
    let port = loop {
        let line = timeout(SOON, lines.next_line()).await.expect("in time").expect("read");
        if let Some(port) = line.expect("a line").strip_prefix("port ") {
            break port.parse::<u16>().expect("a number");
        }
    };
    let mut flood = vec![];
    for _ in 0..100 {
        flood.push(TcpStream::connect(("127.0.0.1", port)).await.expect("in the backlog"));
    }
    sleep(Duration::from_millis(200)).await;
    drop(flood);
    let socket = TcpStream::connect(("127.0.0.1", port)).await.expect("connected");
    let mut client = Client::greeted(socket).await;
    assert!(client.ask("EHLO c").await.starts_with("250-"));
    child.kill().await.expect("ended");
}

/// For nightly, with Postfix installed: its load generator at 10 KiB a mail.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Postfix's smtp-source"]
async fn smtp_source_is_served() {
    const MAILS: usize = 5000;
    let post = Post::open(|_| {});
    let began = Instant::now();
    let source = tokio::process::Command::new("smtp-source")
        .args(["-s", "20", "-l", "10240", "-f", "a@b.example", "-t", "c@d.example"])
        .args(["-m", &MAILS.to_string()])
        .arg(format!("inet:127.0.0.1:{}", post.listener.submission()[0].port()))
        .output();
    let output = timeout(Duration::from_secs(300), source).await.expect("in time").expect("run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let rate = MAILS as f64 / began.elapsed().as_secs_f64();
    println!("{rate:.0} mails a second, of {} octets", post.mails()[0].mail.len());
    assert_eq!(post.mails().len(), MAILS);
}

const IDLERS: &str = r#"
import smtplib, ssl, sys
port, count, tls = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "true"
context = ssl._create_unverified_context()
sessions = []
for number in range(count):
    client = smtplib.SMTP("127.0.0.1", port, local_hostname="c")
    client.ehlo()
    if tls:
        client.starttls(context=context)
        client.ehlo()
    sessions.append(client)
print("ready", flush=True)
sys.stdin.read()
"#;

/// G7's numbers, for nightly: what five thousand idle sessions cost.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "opens ten thousand sockets"]
async fn five_thousand_idle_sessions_cost_less_than_16_kib_each() {
    const SESSIONS: usize = 5000;
    const BESIDE_MAX: Duration = Duration::from_millis(200);
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/statm").expect("statm");
        let pages: usize = status.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("pages");
        pages * 4096
    };
    for tls in [true, false] {
        let post = Post::open(|_| {});
        let before = resident();
        let mut idlers = tokio::process::Command::new("python3")
            .args(["-c", IDLERS, &post.listener.submission()[0].port().to_string()])
            .args([SESSIONS.to_string(), tls.to_string()])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("python3");
        let mut ready = [0; 5];
        let output = idlers.stdout.as_mut().expect("piped");
        let opened = timeout(Duration::from_secs(120), output.read_exact(&mut ready)).await;
        opened.expect("in time").expect("ready");
        assert_eq!(post.listener.sessions(), SESSIONS);
        let each = (resident() - before) / SESSIONS;
        println!("tls: {tls}: {each} octets a session");
        assert!(each < 16 * 1024);
        let began = Instant::now();
        let mut client = post.connect().await;
        client.begin_data().await;
        client.say("x\r\n.\r\n").await;
        client.hear(1).await;
        println!("a mail beside them took {:?}", began.elapsed());
        assert!(began.elapsed() < BESIDE_MAX);
        idlers.kill().await.expect("ended");
    }
}
