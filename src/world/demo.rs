//! `postroad demo`: the daemon in the midst of the simulated internet, with nothing to set up.
//!
//! Owns:       the demo's directory, its settings, and what it tells people and scripts.
//! Promises:   nothing leaves this machine; the ready file appears whole once all is up; SIGTERM
//!             and SIGINT end it cleanly; with `data_dir` the next run goes on where this one
//!             stopped.
//! Knows not:  how mail is accepted or delivered.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

use super::dns::Data;
use super::narrator::narrate;
use super::operators::{
    ACCEPTING_DOMAIN, GREYLISTING_DOMAIN, OWN_DOMAIN, Operator, REFUSED_RECIPIENT, RETURN_DOMAIN,
    operators, zones,
};
use super::registrar::publish_keys;
use super::seed::{Secrets, Seed, nothing, seed, write_private};
use super::sink::Keep;
use super::traffic::{TRICKLE_ADDRESS, trickle};
use super::{World, WorldError, WorldPlan};
use crate::app::{Addresses, App, AppError};
use crate::clock::Clock;
use crate::config::{Settings, SourceSettings, Trusted};
use crate::dkim::DkimError;
use crate::model::Domain;
use crate::store::StoreError;
use crate::wire::network::{Network, NetworkError};

const HOST_NAME: &str = "mail.shop.test";
const FROM: &str = "hello@shop.test";
/// The daemon's own address in the simulated internet.
/// The first is the default pool's, the others carry marketing (`seed.rs`).
const SOURCES: [(&str, Ipv4Addr); 3] = [
    ("demo", Ipv4Addr::new(127, 0, 1, 1)),
    ("news-1", Ipv4Addr::new(127, 0, 1, 2)),
    ("news-2", Ipv4Addr::new(127, 0, 1, 3)),
];
/// Sample mails a minute when nobody said how many and no script is watching.
const TRAFFIC_DEFAULT: u32 = 6;
const SEGMENT_BYTES: u64 = 16 << 20;
const FREE_BYTES_MIN: u64 = 64 << 20;

#[derive(Clone, Debug, Default)]
pub struct DemoOptions {
    /// JSON for scripts, written once all is up.
    pub ready_file: Option<PathBuf>,
    /// How many times as fast as the wall clock retry, warm-up and day boundary run; 0 is 1.
    pub speed: u32,
    /// Keeps the state between runs. None: a new directory under the system's temporary one,
    /// removed at the end unless a ready file told a script where it is.
    pub data_dir: Option<PathBuf>,
    /// Submission, submissions, inbound, HTTP, DNS and MX hosts from this port on, in this order.
    /// None: free ones.
    pub port_base: Option<u16>,
    /// Begins as a new installation does: nobody can sign in, and nothing is set up.
    pub first_run: bool,
    /// Sample mails a minute. None: a few, and none when there is a ready file.
    pub traffic: Option<u32>,
}

#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("the demo cannot use its files: {0}")]
    Files(#[from] io::Error),
    #[error("port {0} leaves no room for the demo's six ports; choose one up to 65530")]
    PortBase(u16),
    #[error("the demo lacks {0}")]
    Seed(&'static str),
    #[error(transparent)]
    World(#[from] WorldError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Keys(#[from] DkimError),
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    App(#[from] AppError),
}

/// What a script reads. The keys are a promise; what is not built yet is null.
#[derive(Serialize)]
struct Ready<'a> {
    submission: Option<String>,
    submissions: Option<String>,
    inbound: Option<String>,
    http: Option<String>,
    smtp_user: Option<&'a str>,
    smtp_password: Option<&'a str>,
    /// What follows `Bearer`.
    api_key: Option<String>,
    admin_email: Option<String>,
    admin_password: Option<String>,
    from: &'a str,
    accepting_domain: &'a str,
    refused_recipient: &'a str,
    greylisting_domain: &'a str,
    dns: String,
    sink_dir: &'a Path,
    data_dir: &'a Path,
    pid: u32,
}

/// The demo's ports, in the order of `--port-base`; 0 takes a free one.
#[derive(Default)]
struct Ports {
    submission: u16,
    submissions: u16,
    inbound: u16,
    http: u16,
    dns: u16,
    mx: u16,
}

impl Ports {
    fn from(base: Option<u16>) -> Result<Ports, DemoError> {
        let Some(base) = base else { return Ok(Ports::default()) };
        base.checked_add(5).ok_or(DemoError::PortBase(base))?;
        Ok(Ports {
            submission: base,
            submissions: base + 1,
            inbound: base + 2,
            http: base + 3,
            dns: base + 4,
            mx: base + 5,
        })
    }
}

/// Where the demo keeps its files.
struct Place {
    data_dir: PathBuf,
    sink_dir: PathBuf,
    /// Nobody asked for it and nobody was told of it, so it goes at the end.
    is_ours: bool,
}

impl Place {
    fn prepare(options: &DemoOptions) -> io::Result<Place> {
        let named = options.data_dir.clone();
        let is_ours = named.is_none() && options.ready_file.is_none();
        let data_dir = match named {
            Some(directory) => directory,
            None => std::env::temp_dir().join(format!("postroad-demo-{}", std::process::id())),
        };
        if options.data_dir.is_some() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&data_dir)?;
        } else {
            // Not recursive: in a directory that all may write to, it must not be there yet.
            fs::DirBuilder::new().mode(0o700).create(&data_dir)?;
        }
        // Settings are read from other directories as well, so they name this one in full.
        let data_dir = data_dir.canonicalize()?;
        Ok(Place { sink_dir: data_dir.join("sink"), data_dir, is_ours })
    }

    fn settings_file(&self) -> PathBuf {
        self.data_dir.join("postroad.toml")
    }
}

/// Ends at SIGTERM or SIGINT.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> io::Result<Stop> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Stop { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// What kept it from starting, or went wrong while it stopped.
pub async fn demo(options: DemoOptions) -> Result<(), DemoError> {
    // From the start, so that an early SIGTERM is not the sudden kind.
    let mut stop = Stop::new()?;
    let ports = Ports::from(options.port_base)?;
    if let Some(file) = &options.ready_file {
        forget(file)?;
    }
    let place = Place::prepare(&options)?;
    let ran = tokio::select! {
        ran = run(&options, &place, &ports) => ran.map(Some),
        () = stop.asked() => Ok(None),
    };
    let ended = match ran {
        Ok(Some(running)) => running.until(&mut stop).await,
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if place.is_ours {
        fs::remove_dir_all(&place.data_dir)?;
    }
    ended
}

/// A ready file of an earlier run would be taken for this one's.
fn forget(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// All of it, up.
struct Running {
    app: App,
    world: World,
    /// Trickle and narrator.
    company: JoinSet<()>,
}

impl Running {
    async fn until(mut self, stop: &mut Stop) -> Result<(), DemoError> {
        let died = tokio::select! {
            () = stop.asked() => None,
            error = self.app.died() => Some(error),
        };
        self.company.abort_all();
        println!("Stopping: sessions and attempts under way are finished first.");
        let stopped = self.app.stop().await;
        // The hosts end after the daemon, so that its last attempts still meet somebody.
        drop(self.world);
        match died {
            Some(error) => Err(error.into()),
            None => Ok(stopped?),
        }
    }
}

async fn run(options: &DemoOptions, place: &Place, ports: &Ports) -> Result<Running, DemoError> {
    let clock = Clock::with_speed(options.speed.max(1));
    let operators = operators();
    let world = World::start(WorldPlan {
        hosts: operators.iter().flat_map(|operator| operator.hosts.clone()).collect(),
        zones: zones(&operators),
        keep: Keep::Directory(place.sink_dir.clone()),
        mx_port: ports.mx,
        dns_port: ports.dns,
        clock: clock.clone(),
    })
    .await?;
    let mut settings = settings(place, ports, &world)?;
    write_private(&place.settings_file(), settings_text(&settings).as_bytes())?;
    let seeded = match options.first_run {
        true => nothing(),
        false => seed(&settings, &clock).await?,
    };
    if !options.first_run {
        settings.trusted = vec![Trusted {
            network: Network::parse(&TRICKLE_ADDRESS.to_string())?,
            credential: seeded.secrets.smtp_user.clone(),
        }];
    }
    publish(&world, &seeded);
    let app = App::start(settings, clock).await?;
    let addresses = app.addresses().clone();
    if let Some(inbound) = addresses.inbound.first() {
        world.send_back_to(*inbound);
    }
    let ready = ready(place, &world, &addresses, &seeded.secrets);
    tell(&ready, place, &operators, options);
    if let Some(file) = &options.ready_file {
        let mut text = serde_json::to_vec_pretty(&ready).map_err(io::Error::other)?;
        text.push(b'\n');
        write_private(file, &text)?;
    }
    let mut company = company(options, &app);
    let own = Domain::parse(OWN_DOMAIN).map_err(|_| DemoError::Seed("its own domain"))?;
    company.spawn(publish_keys(app.store().clone(), world.dns().editor(), own));
    Ok(Running { app, world, company })
}

/// Something to look at, where a person looks.
fn company(options: &DemoOptions, app: &App) -> JoinSet<()> {
    let mut company = JoinSet::new();
    let is_watched = options.ready_file.is_none();
    if is_watched {
        company.spawn(narrate(app.store().clone()));
    }
    let is_silent = options.first_run || !is_watched;
    let per_minute = options.traffic.unwrap_or(if is_silent { 0 } else { TRAFFIC_DEFAULT });
    if let (Some(submission), 1..) = (app.addresses().submission.first(), per_minute) {
        company.spawn(trickle(per_minute, *submission, FROM));
    }
    company
}

fn settings(place: &Place, ports: &Ports, world: &World) -> Result<Settings, DemoError> {
    let local = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut settings = Settings::default();
    settings.node.host_name = HOST_NAME.to_owned();
    settings.node.data_dir = place.data_dir.clone();
    settings.node.dkim_dir = place.data_dir.join("dkim-keys");
    settings.node.stop_wait = Duration::from_secs(10);
    settings.spool.segment_bytes = SEGMENT_BYTES;
    settings.spool.free_bytes_min = FREE_BYTES_MIN;
    settings.smtp.submission = vec![local(ports.submission)];
    settings.smtp.submissions = vec![local(ports.submissions)];
    settings.inbound.listen = vec![local(ports.inbound)];
    settings.inbound.return_domain = Some(RETURN_DOMAIN.to_owned());
    let http = local(match ports.http {
        0 => free_port()?,
        port => port,
    });
    settings.http.listen = vec![http];
    settings.http.public_url = Some(format!("http://{http}"));
    settings.delivery.mx_port = world.mx_port();
    settings.delivery.allowed_networks = vec![Network::parse("127.0.0.0/8")?];
    settings.dns.servers = vec![world.dns().address()];
    settings.dns.authority_port = world.dns().address().port();
    settings.source = SOURCES.iter().map(source).collect();
    Ok(settings)
}

fn source((name, address): &(&str, Ipv4Addr)) -> SourceSettings {
    SourceSettings {
        name: (*name).to_owned(),
        address: vec![(*address).into()],
        ehlo: Some(HOST_NAME.to_owned()),
        ..SourceSettings::default()
    }
}

/// Links in campaigns name the port before it is bound.
fn free_port() -> io::Result<u16> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// Enough for the operator's commands to find the daemon: `postroad --config FILE queue list`.
fn settings_text(settings: &Settings) -> String {
    // A JSON string is a TOML basic string, too.
    let quoted = |path: &Path| serde_json::Value::from(path.to_string_lossy()).to_string();
    format!(
        "# Written by `postroad demo`, for the operator's commands:\n\
         # postroad --config THIS_FILE queue list\n\
         [node]\nhost_name = \"{HOST_NAME}\"\ndata_dir = {}\ndkim_dir = {}\n",
        quoted(&settings.node.data_dir),
        quoted(&settings.node.dkim_dir),
    )
}

/// The public keys stand in the simulated DNS, where a verifier looks for them.
fn publish(world: &World, seeded: &Seed) {
    world.dns().change(|zones| {
        for key in &seeded.keys {
            let name = format!("{}._domainkey.{}", key.selector, key.domain);
            zones.add(&name, Data::Text(key.record.clone()));
        }
    });
}

fn ready<'a>(
    place: &'a Place,
    world: &World,
    addresses: &Addresses,
    secrets: &'a Secrets,
) -> Ready<'a> {
    let first = |of: &[SocketAddr]| of.first().map(ToString::to_string);
    let known = |text: &'a String| Some(text.as_str()).filter(|text| !text.is_empty());
    let (smtp_user, smtp_password) = (known(&secrets.smtp_user), known(&secrets.smtp_password));
    Ready {
        submission: first(&addresses.submission),
        submissions: first(&addresses.submissions),
        inbound: first(&addresses.inbound),
        http: first(&addresses.http).map(|address| format!("http://{address}")),
        smtp_user,
        smtp_password,
        api_key: smtp_user.zip(smtp_password).map(|(user, secret)| format!("{user}:{secret}")),
        admin_email: known(&secrets.admin_email).map(ToOwned::to_owned),
        admin_password: known(&secrets.admin_password).map(ToOwned::to_owned),
        from: FROM,
        accepting_domain: ACCEPTING_DOMAIN,
        refused_recipient: REFUSED_RECIPIENT,
        greylisting_domain: GREYLISTING_DOMAIN,
        dns: world.dns().address().to_string(),
        sink_dir: &place.sink_dir,
        data_dir: &place.data_dir,
        pid: std::process::id(),
    }
}

/// For the person at the terminal.
fn tell(ready: &Ready<'_>, place: &Place, operators: &[Operator], options: &DemoOptions) {
    let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "made by you".into());
    let user = ready.smtp_user.unwrap_or("USER");
    let password = ready.smtp_password.unwrap_or("PASSWORD");
    let submission = or_none(&ready.submission);
    let port = submission.rsplit(':').next().unwrap_or_default().to_owned();
    println!("Postroad runs in the midst of a simulated internet; nothing leaves this machine.\n");
    println!("  Submission (STARTTLS, AUTH)  {submission}");
    println!("  Submission (TLS, AUTH)       {}", or_none(&ready.submissions));
    println!("  Mail from outside            {}", or_none(&ready.inbound));
    println!("  Panel and API                {}", or_none(&ready.http));
    println!("  User, password               {user}, {password}");
    println!(
        "  Administrator, password      {}, {}",
        or_none(&ready.admin_email),
        or_none(&ready.admin_password)
    );
    println!("  You may send as              {FROM}, and all of @{OWN_DOMAIN}");
    println!("  Name server                  {}", ready.dns);
    println!("  Accepted mail is written to  {}", place.sink_dir.display());
    println!("  The clock of retries runs at {} times the wall clock\n", options.speed.max(1));
    println!("Send a mail:\n");
    println!(
        "  swaks --server 127.0.0.1 --port {port} --tls --auth-user {user} --auth-password \
         {password} \\\n    --from {FROM} --to you@{ACCEPTING_DOMAIN}\n",
    );
    println!("See what became of it:\n");
    let settings = place.settings_file();
    println!("  postroad --config {} queue list", settings.display());
    println!("  ls {}\n", place.sink_dir.display());
    println!("Who else is there to write to:\n");
    for operator in operators {
        println!("  {:<24} {}", operator.domains[0].replace('*', "any"), operator.note);
    }
    println!("\nCtrl-C ends it. What becomes of each mail:\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_base_port_without_room_is_refused() {
        assert!(matches!(Ports::from(Some(65_531)), Err(DemoError::PortBase(65_531))));
        assert_eq!(Ports::from(Some(65_530)).expect("room").mx, 65_535);
    }

    #[test]
    fn a_directory_of_the_user_is_kept_and_our_own_is_not() {
        let parent = tempfile::tempdir().expect("a directory");
        let data_dir = Some(parent.path().join("a/b"));
        let place = Place::prepare(&DemoOptions { data_dir, ..DemoOptions::default() });
        assert!(!place.expect("prepared").is_ours);
        let place = Place::prepare(&DemoOptions::default()).expect("prepared");
        assert!(place.is_ours);
        let mode = fs::metadata(&place.data_dir).expect("a directory").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        fs::remove_dir_all(&place.data_dir).expect("removed");
    }
}
