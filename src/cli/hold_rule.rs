//! `postroad hold-rule list | add | remove`.

use clap::Subcommand;
use hyper::Method;
use serde_json::json;

use super::client::Desk;
use super::{CliError, on_one_thread, screen};
use crate::api::Page;
use crate::api::hold_rules::Removed;
use crate::config::Settings;
use crate::model::{HoldMatch, HoldRule};

#[derive(Subcommand)]
pub enum Rule {
    /// List the rules that hold mail.
    List {
        #[arg(long)]
        json: bool,
    },
    /// Hold all mail that fits, what waits and what comes, until the rule is removed. What is named
    /// must all hold.
    Add(Box<Add>),
    /// Remove a rule: what it held goes on by itself.
    Remove { id: i64 },
}

#[derive(clap::Args)]
pub struct Add {
    /// Who looks at the mail reads it.
    #[arg(long)]
    reason: String,
    #[arg(long, value_name = "ID")]
    organization: Option<u64>,
    #[arg(long, value_name = "ID")]
    stream: Option<u64>,
    #[arg(long, value_name = "ID")]
    campaign: Option<u64>,
    #[arg(long, value_name = "ID")]
    credential: Option<u64>,
    #[arg(long)]
    tag: Option<String>,
    /// Of the envelope: an address, or a domain.
    #[arg(long)]
    sender: Option<String>,
    #[arg(long, value_name = "DOMAIN")]
    recipient_domain: Option<String>,
    #[arg(long)]
    json: bool,
}

pub fn run(command: Rule, settings: Settings) -> Result<(), CliError> {
    on_one_thread(async {
        let desk = Desk::daemon_or_store(&settings).await?;
        let done = act(command, &desk).await;
        desk.close().await;
        done
    })
}

async fn act(command: Rule, desk: &Desk) -> Result<(), CliError> {
    match command {
        Rule::List { json } => {
            let page: Page<HoldRule> = desk.ask(Method::GET, "/v1/hold-rules", None).await?;
            if json {
                return screen::print_json(&page.items);
            }
            let row = |rule: &HoldRule| {
                let (id, at) = (rule.id.to_string(), rule.created_at.to_string());
                vec![id, told(&rule.matches), at, rule.reason.clone()]
            };
            let rows: Vec<_> = page.items.iter().map(row).collect();
            screen::print(&screen::table(&["id", "holds", "since", "reason"], &rows))
        }
        Rule::Add(add) => {
            let order = json!({
                "reason": add.reason, "organization": add.organization, "stream": add.stream,
                "campaign": add.campaign, "credential": add.credential, "tag": add.tag,
                "sender": add.sender, "recipient_domain": add.recipient_domain,
            });
            let rule: HoldRule = desk.ask(Method::POST, "/v1/hold-rules", Some(order)).await?;
            if add.json {
                return screen::print_json(&rule);
            }
            let text = format!("rule {} holds {}\n", rule.id, told(&rule.matches));
            screen::print(&screen::lines(&text))
        }
        Rule::Remove { id } => {
            let path = format!("/v1/hold-rules/{id}");
            let removed: Removed = desk.ask(Method::DELETE, &path, None).await?;
            screen::print(&format!("rule {} was removed, its mail goes on\n", removed.removed))
        }
    }
}

/// What must all hold, as `name:value`.
fn told(matches: &HoldMatch) -> String {
    let HoldMatch { organization, stream, campaign, credential, tag, sender, recipient_domain } =
        matches;
    let parts = [
        organization.map(|id| format!("organization:{id}")),
        stream.map(|id| format!("stream:{id}")),
        campaign.map(|id| format!("campaign:{id}")),
        credential.map(|id| format!("credential:{id}")),
        tag.as_ref().map(|tag| format!("tag:{tag}")),
        sender.as_ref().map(|sender| format!("sender:{}", sender.as_str())),
        recipient_domain.as_ref().map(|domain| format!("recipient_domain:{}", domain.as_str())),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::StreamId;

    #[test]
    fn a_rule_is_told_by_all_that_it_asks_for() {
        let matches = HoldMatch {
            stream: Some(StreamId(2)),
            sender: Some("shop.example".parse().expect("a pattern")),
            ..HoldMatch::default()
        };
        assert_eq!(told(&matches), "stream:2 sender:@shop.example");
    }
}
