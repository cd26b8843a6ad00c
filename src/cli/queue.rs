//! `postroad queue list | show | hold | release | retry | cancel | reroute`.

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Map, Value, json};

use super::client::{Desk, percent_encode};
use super::{CliError, on_one_thread, screen};
use crate::api::Page;
use crate::api::deliveries::{Count, Steered, Story};
use crate::config::{Settings, show_size};
use crate::events;
use crate::model::{State, Timestamp};
use crate::store::{DeliveryView, EventRow};
use crate::telemetry::harmless;

/// A bulk change runs in bounded parts; so many parts are enough for any queue.
const PARTS_MAX: u32 = 10_000;

#[derive(Subcommand)]
pub enum Queue {
    /// List deliveries, newest first.
    List {
        #[command(flatten)]
        filter: Filter,
        /// At most so many.
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: u32,
        /// Go on where an earlier list ended.
        #[arg(long, value_name = "CURSOR")]
        cursor: Option<String>,
        /// Only count them.
        #[arg(long)]
        count: bool,
        #[arg(long)]
        json: bool,
    },
    /// Tell the story of a delivery.
    Show {
        delivery: String,
        #[arg(long)]
        json: bool,
    },
    /// Keep waiting deliveries from being tried.
    Hold(Order),
    /// Let held deliveries go on.
    Release(Order),
    /// Try waiting deliveries now.
    Retry(Order),
    /// Never deliver what is not delivered yet.
    Cancel(Order),
    /// Send what is not delivered yet by another pool.
    Reroute {
        #[command(flatten)]
        order: Order,
        /// By its name; without it the rules say the pool again.
        #[arg(long)]
        pool: Option<String>,
    },
}

/// All that is given must hold.
#[derive(Args)]
pub struct Filter {
    /// Of this recipient domain.
    #[arg(long)]
    domain: Option<String>,
    /// From this sender: an address, or a domain.
    #[arg(long)]
    sender: Option<String>,
    /// In this state.
    #[arg(long)]
    state: Option<State>,
    /// Of this message.
    #[arg(long, value_name = "ID")]
    message: Option<i64>,
    /// This delivery alone.
    #[arg(long, value_name = "ID")]
    delivery: Option<i64>,
}

impl Filter {
    fn fields(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                fields.insert(name.to_owned(), value);
            }
        };
        put("domain", self.domain.clone().map(Value::from));
        put("sender", self.sender.clone().map(Value::from));
        put("state", self.state.map(|state| state.word().into()));
        put("message", self.message.map(Value::from));
        put("delivery", self.delivery.map(Value::from));
        fields
    }

    fn query(&self) -> String {
        let pair = |(name, value): (&String, &Value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!("&{name}={}", percent_encode(&text))
        };
        self.fields().iter().map(pair).collect()
    }
}

#[derive(Args)]
pub struct Order {
    #[command(flatten)]
    filter: Filter,
    /// Every delivery there is.
    #[arg(long)]
    all: bool,
    /// Why; it stands in the story of each delivery.
    #[arg(long, default_value = "")]
    reason: String,
    /// Of a release: let so many begin in an hour.
    #[arg(long, value_name = "N")]
    per_hour: Option<u32>,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    #[arg(long)]
    json: bool,
}

pub fn run(command: Queue, settings: Settings) -> Result<(), CliError> {
    on_one_thread(async {
        let desk = Desk::daemon(&settings).await?;
        match command {
            Queue::List { filter, limit: _, cursor: _, count: true, json } => {
                count(&desk, &filter, json).await
            }
            Queue::List { filter, limit, cursor, json, .. } => {
                list(&desk, &filter, limit, cursor, json).await
            }
            Queue::Show { delivery, json } => show(&desk, &delivery, json).await,
            Queue::Hold(order) => steer(&desk, ("hold", None), order).await,
            Queue::Release(order) => steer(&desk, ("release", None), order).await,
            Queue::Retry(order) => steer(&desk, ("retry", None), order).await,
            Queue::Cancel(order) => steer(&desk, ("cancel", None), order).await,
            Queue::Reroute { order, pool } => steer(&desk, ("reroute", pool), order).await,
        }
    })
}

async fn count(desk: &Desk, filter: &Filter, json: bool) -> Result<(), CliError> {
    let path = format!("/v1/deliveries/count?{}", filter.query().trim_start_matches('&'));
    let counted: Count = desk.ask(Method::GET, &path, None).await?;
    match json {
        true => screen::print_json(&counted),
        false => screen::print(&format!("{}\n", counted.count)),
    }
}

async fn list(
    desk: &Desk,
    filter: &Filter,
    limit: u32,
    cursor: Option<String>,
    json: bool,
) -> Result<(), CliError> {
    let mut path = format!("/v1/deliveries?limit={limit}{}", filter.query());
    if let Some(cursor) = cursor {
        path.push_str(&format!("&cursor={}", percent_encode(&cursor)));
    }
    let page: Page<DeliveryView> = desk.ask(Method::GET, &path, None).await?;
    if json {
        return screen::print_json(&page);
    }
    screen::print(&table(&page.items))?;
    match page.next {
        Some(next) => screen::print(&format!("there may be more: --cursor {}\n", harmless(&next))),
        None => Ok(()),
    }
}

fn table(deliveries: &[DeliveryView]) -> String {
    let row = |delivery: &DeliveryView| {
        let sender = match delivery.sender.to_string() {
            sender if sender.is_empty() => "<>".to_owned(),
            sender => sender,
        };
        let due = if delivery.state == State::Waiting {
            delivery.due_at.to_string()
        } else {
            "-".to_owned()
        };
        vec![
            delivery.id.to_string(),
            delivery.message.to_string(),
            delivery.state.to_string(),
            delivery.tries.to_string(),
            due,
            sender,
            delivery.recipient.to_string(),
            delivery.text.clone(),
        ]
    };
    let rows: Vec<_> = deliveries.iter().map(row).collect();
    let heads = ["delivery", "message", "state", "tries", "due", "sender", "recipient", "last"];
    screen::table(&heads, &rows)
}

async fn show(desk: &Desk, delivery: &str, json: bool) -> Result<(), CliError> {
    let path = format!("/v1/deliveries/{}", percent_encode(delivery));
    let story: Story = desk.ask(Method::GET, &path, None).await?;
    if json {
        return screen::print_json(&story);
    }
    let view = &story.delivery;
    let blame = view.blame.map_or(String::new(), |blame| format!(" (blame: {blame})"));
    let head = [
        ("delivery", view.id.to_string()),
        ("message", format!("{}, {}", view.message, show_size(view.bytes))),
        ("subject", view.subject.clone()),
        ("sender", format!("<{}>", view.sender)),
        ("recipient", format!("<{}>", view.recipient)),
        ("state", after_tries(view)),
        ("accepted", view.accepted_at.to_string()),
        ("due", view.due_at.to_string()),
        ("expires", view.expires_at.to_string()),
        ("last", format!("{}{blame}", view.text)),
        ("means", meaning(&story)),
    ];
    let mut text: String = head.iter().filter(|(_, value)| !value.is_empty()).map(tell).collect();
    text.push('\n');
    for event in &story.events {
        text.push_str(&format!("{}\n", harmless(&events::tell(event))));
    }
    for said in &story.dialogues {
        let place = harmless(&said.place);
        text.push_str(&format!("\ndialogue {place}, ended {}\n", said.dialogue.at));
        for line in &said.dialogue.lines {
            text.push_str(&format!("  {}\n", harmless(line)));
        }
    }
    screen::print(&text)
}

fn tell((name, value): &(&str, String)) -> String {
    format!("{name:10} {}\n", harmless(value))
}

fn after_tries(view: &DeliveryView) -> String {
    match view.tries {
        1 => format!("{} after 1 try", view.state),
        tries => format!("{} after {tries} tries", view.state),
    }
}

/// The class of the last answer that was one, with the rule that knew it.
fn meaning(story: &Story) -> String {
    let word = |event: &EventRow, name| {
        event.fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let last = story.events.iter().rev().find(|event| event.fields.get("class").is_some());
    last.map_or_else(String::new, |event| {
        let [class, category, rule] = ["class", "category", "rule"].map(|name| word(event, name));
        format!("{class}, {category} (rule {rule})")
    })
}

async fn steer(
    desk: &Desk,
    (action, pool): (&str, Option<String>),
    order: Order,
) -> Result<(), CliError> {
    let body = |preview: bool, from: Option<Timestamp>| {
        json!({
            "action": action, "filter": order.filter.fields(), "all": order.all,
            "reason": order.reason, "preview": preview, "per_hour": order.per_hour, "from": from,
            "pool": pool,
        })
    };
    let ask =
        |preview, from| desk.ask(Method::POST, "/v1/deliveries/steer", Some(body(preview, from)));
    if !order.yes {
        let found: Steered = ask(true, None).await?;
        if found.count == 0 {
            return screen::print("no delivery is meant; nothing was changed\n");
        }
        screen::print(&table(&found.sample))?;
        let shown = found.sample.len();
        let question = format!("{action} {} deliveries ({shown} of them above)?", found.count);
        if !screen::confirm(&question)? {
            return screen::print("nothing was changed\n");
        }
    }
    let (mut changed, mut from) = (0, None);
    for _ in 0..PARTS_MAX {
        let steered: Steered = ask(false, from).await?;
        from = steered.continues_at;
        changed += steered.changed;
        if !steered.more {
            break;
        }
    }
    match order.json {
        true => screen::print_json(&json!({"changed": changed})),
        false => screen::print(&format!("{action}: {changed} deliveries\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_the_same_in_a_query_and_in_an_order() {
        let filter = Filter {
            domain: Some("a.example".into()),
            sender: Some("x+y@b.example".into()),
            state: Some(State::Held),
            message: Some(7),
            delivery: None,
        };
        let query = "&domain=a.example&message=7&sender=x%2By%40b.example&state=held";
        assert_eq!(filter.query(), query);
        assert_eq!(filter.fields()["message"], 7);
    }
}
