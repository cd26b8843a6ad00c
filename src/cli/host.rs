//! `postroad host show | set | unset`.

use clap::Subcommand;
use hyper::Method;
use serde_json::json;

use super::client::Desk;
use super::{CliError, on_one_thread, screen};
use crate::api::public_host::PublicHostView;
use crate::config::Settings;
use crate::model::{CertificateOrigin, Timestamp};
use crate::store::HostCertificate;

#[derive(Subcommand)]
pub enum Host {
    /// Show where links in mail lead, and how that host's certificate stands.
    Show {
        #[arg(long)]
        json: bool,
    },
    /// Let links in mail lead to a host within a verified sending domain; its certificate is asked
    /// for at once where an authority is named.
    Set { host: String },
    /// Let links in mail lead to the installation's host again.
    Unset,
}

pub fn run(command: Host, settings: Settings) -> Result<(), CliError> {
    on_one_thread(async {
        let desk = Desk::daemon_or_store(&settings).await?;
        let done = act(command, &desk).await;
        desk.close().await;
        done
    })
}

async fn act(command: Host, desk: &Desk) -> Result<(), CliError> {
    const PATH: &str = "/v1/public-host";
    let (view, json): (PublicHostView, bool) = match command {
        Host::Show { json } => (desk.ask(Method::GET, PATH, None).await?, json),
        Host::Set { host } => {
            (desk.ask(Method::PUT, PATH, Some(json!({ "host": host }))).await?, false)
        }
        Host::Unset => (desk.ask(Method::PUT, PATH, Some(json!({ "host": null }))).await?, false),
    };
    match json {
        true => screen::print_json(&view),
        false => screen::print(&screen::lines(&told(&view))),
    }
}

fn told(view: &PublicHostView) -> String {
    let Some(host) = &view.host else {
        return "links lead to the host of the installation\n".to_owned();
    };
    let mut text = format!("links lead to {host}\n");
    match &view.certificate {
        Some(certificate) => text += &about(certificate),
        None => text += "its certificate is looked at within a minute\n",
    }
    text
}

fn about(certificate: &HostCertificate) -> String {
    let moment = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    let mut text = match certificate.origin {
        CertificateOrigin::Settings => "its certificate is one of the settings".to_owned(),
        CertificateOrigin::Authority => "its certificate is asked of the authority".to_owned(),
        CertificateOrigin::None => "nobody asks for its certificate here".to_owned(),
    };
    if certificate.valid_until.is_some() {
        text += &format!(", and holds until {}", moment(certificate.valid_until));
    }
    text.push('\n');
    if let Some(why) = &certificate.last_error {
        text += &format!("the last of {} tries failed: {why}\n", certificate.failures);
    }
    if certificate.again_at.is_some() {
        text += &format!("it is asked for again at {}\n", moment(certificate.again_at));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_told_with_what_went_wrong_and_when_it_is_tried_again() {
        let certificate = HostCertificate {
            origin: CertificateOrigin::Authority,
            valid_from: Some(Timestamp::from_seconds(0)),
            valid_until: Some(Timestamp::from_seconds(90 * 86_400)),
            failures: 2,
            last_error: Some("it does not lead here: nobody is there".to_owned()),
            tried_at: Some(Timestamp::from_seconds(86_400)),
            again_at: Some(Timestamp::from_seconds(2 * 86_400)),
        };
        let text = about(&certificate);
        for part in ["holds until 1970-04-01", "the last of 2 tries failed: it does not lead here"]
        {
            assert!(text.contains(part), "{text}");
        }
        assert!(text.ends_with("again at 1970-01-03T00:00:00Z\n"), "{text}");
        let none = HostCertificate {
            origin: CertificateOrigin::None,
            valid_until: None,
            last_error: None,
            again_at: None,
            ..certificate
        };
        assert_eq!(about(&none), "nobody asks for its certificate here\n");
    }
}
