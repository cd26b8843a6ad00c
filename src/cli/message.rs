//! `postroad message timeline`.

use clap::Subcommand;
use hyper::Method;

use super::client::Desk;
use super::{CliError, on_one_thread, screen};
use crate::api::timeline::{AttemptView, Moment, Timeline};
use crate::config::Settings;

/// Pages of a timeline that are read; a message has few entries for each recipient.
const PAGES_MAX: usize = 1000;

#[derive(Subcommand)]
pub enum Message {
    /// Tell what happened to a message: its acceptance, each attempt with what was said, events.
    Timeline {
        #[arg(value_name = "ID")]
        message: u64,
        /// Only what concerns this recipient.
        #[arg(long, value_name = "ID")]
        delivery: Option<u64>,
        #[arg(long)]
        json: bool,
    },
}

pub fn run(command: Message, settings: Settings) -> Result<(), CliError> {
    on_one_thread(async {
        let desk = Desk::daemon_or_store(&settings).await?;
        let done = act(command, &desk).await;
        desk.close().await;
        done
    })
}

async fn act(command: Message, desk: &Desk) -> Result<(), CliError> {
    let Message::Timeline { message, delivery, json } = command;
    let mut path = format!("/v1/messages/{message}/timeline?limit=1000");
    if let Some(delivery) = delivery {
        path.push_str(&format!("&delivery={delivery}"));
    }
    let mut timeline: Timeline = desk.ask(Method::GET, &path, None).await?;
    for _ in 1..PAGES_MAX {
        let Some(next) = timeline.next.take() else { break };
        let page: Timeline = desk.ask(Method::GET, &format!("{path}&cursor={next}"), None).await?;
        timeline.items.extend(page.items);
        timeline.next = page.next;
    }
    if json {
        return screen::print_json(&timeline);
    }
    let mut text = String::new();
    for moment in &timeline.items {
        text.push_str(&told(moment));
    }
    screen::print(&screen::lines(&text))
}

/// A line, with what was said below it.
fn told(moment: &Moment) -> String {
    let mut text = format!("{} {}", moment.at, moment.kind);
    if let Some(recipient) = &moment.recipient {
        text.push_str(&format!(" {recipient}"));
    }
    match &moment.attempt {
        Some(attempt) => text.push_str(&spoken(attempt)),
        None => {
            let fields = moment.fields.as_object().into_iter().flatten();
            for (name, value) in fields.filter(|(_, value)| !value.is_null()) {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                text.push_str(&format!(" {name}={value}"));
            }
        }
    }
    text.push('\n');
    for line in moment.dialogue.iter().flat_map(|dialogue| &dialogue.lines) {
        text.push_str(&format!("    {}\n", line.replace('\n', " ")));
    }
    text
}

fn spoken(attempt: &AttemptView) -> String {
    let mut text = format!(" try={}", attempt.number);
    let code = attempt.code.map(|code| code.to_string());
    let next = attempt.next.map(|at| at.to_string());
    let parts = [
        ("source", attempt.source.as_ref()),
        ("host", attempt.host.as_ref()),
        ("address", attempt.address.as_ref()),
        ("tls", attempt.tls.as_ref()),
        ("class", attempt.class.as_ref()),
        ("code", code.as_ref()),
        ("enhanced", attempt.enhanced.as_ref()),
        ("reply", attempt.reply.as_ref()),
        ("reason", attempt.reason.as_ref()),
        ("next", next.as_ref()),
    ];
    for (name, value) in parts {
        if let Some(value) = value {
            text.push_str(&format!(" {name}={}", value.replace('\n', " ")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_attempt_is_a_line_with_what_was_said_below_it() {
        let moment = json!({"event": 7, "at": 0, "kind": "deferred", "delivery": 3,
            "recipient": "ann@a.example", "fields": {},
            "attempt": {"try": 1, "host": "mx.a.example", "code": 451, "reply": "451 later",
                "class": "greylist", "next": 60_000_000},
            "dialogue": {"at": 0, "lines": ["> RCPT TO:<ann@a.example>", "< 451 later"]}});
        let moment: Moment = serde_json::from_value(moment).expect("a moment");
        let expected = "1970-01-01T00:00:00Z deferred ann@a.example try=1 host=mx.a.example \
             class=greylist code=451 reply=451 later next=1970-01-01T00:01:00Z\n    \
             > RCPT TO:<ann@a.example>\n    < 451 later\n";
        assert_eq!(told(&moment), expected);
    }
}
