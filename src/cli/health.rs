//! `postroad health`.

use clap::Args;
use hyper::Method;

use super::client::Desk;
use super::{CliError, on_one_thread, screen};
use crate::api::Page;
use crate::api::health_windows::{HealthWindow, RateView};
use crate::config::Settings;
use crate::model::{WindowKind, WindowStanding};

#[derive(Args)]
pub struct Health {
    /// Only of source, domain, organization, campaign or credential.
    #[arg(long)]
    kind: Option<WindowKind>,
    /// Only this one of the kind.
    #[arg(long, requires = "kind")]
    id: Option<i64>,
    /// A row for each operator.
    #[arg(long)]
    operators: bool,
    /// How far back.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=2160))]
    hours: u32,
    #[arg(long)]
    json: bool,
}

pub fn run(asked: Health, settings: Settings) -> Result<(), CliError> {
    on_one_thread(async {
        let desk = Desk::daemon_or_store(&settings).await?;
        let done = show(&asked, &desk).await;
        desk.close().await;
        done
    })
}

async fn show(asked: &Health, desk: &Desk) -> Result<(), CliError> {
    let mut path = format!(
        "/v1/health-windows?limit=500&hours={}&by_operator={}",
        asked.hours, asked.operators
    );
    if let Some(kind) = asked.kind {
        path.push_str(&format!("&kind={kind}"));
    }
    if let Some(id) = asked.id {
        path.push_str(&format!("&id={id}"));
    }
    let page: Page<HealthWindow> = desk.ask(Method::GET, &path, None).await?;
    if asked.json {
        return screen::print_json(&page.items);
    }
    let row = |one: &HealthWindow| {
        vec![
            one.kind.to_string(),
            one.name.clone().unwrap_or_else(|| one.id.to_string()),
            one.operator.clone().unwrap_or_else(|| "all".to_owned()),
            one.counts.answered.to_string(),
            rate(&one.bounce),
            rate(&one.complaint),
            rate(&one.deferral),
            rate(&one.block),
        ]
    };
    let heads =
        ["kind", "name", "operator", "answers", "bounces", "complaints", "deferrals", "blocks"];
    screen::print(&screen::table(&heads, &page.items.iter().map(row).collect::<Vec<_>>()))?;
    match page.next {
        Some(_) => screen::print("there are more: name a --kind or an --id\n"),
        None => Ok(()),
    }
}

/// `1.20 % (0.62–2.31) warn`
fn rate(of: &RateView) -> String {
    if of.of == 0 {
        return "–".to_owned();
    }
    let percent = |share: f64| share * 100.0;
    let (rate, low, high) = (percent(of.rate), percent(of.low), percent(of.high));
    let told = match of.standing {
        WindowStanding::Good => String::new(),
        standing => format!(" {standing}"),
    };
    format!("{rate:.2} % ({low:.2}–{high:.2}){told}")
}
