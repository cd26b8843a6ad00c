//! Tells the person at the demo's terminal what becomes of each mail.
//!
//! Owns:       the lines below the demo's greeting.
//! Promises:   it only reads; it remembers no more than the newest deliveries.
//! Knows not:  who delivers.

use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use crate::model::{DeliveryId, State};
use crate::store::{DeliveryFilter, DeliveryView, Store};

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A trickle moves fewer deliveries than this between two looks; a flood is told in part.
const ROWS_MAX: u32 = 200;
const TEXT_LETTERS_MAX: usize = 90;

type Known = HashMap<DeliveryId, (State, u32)>;

/// Goes on until its task is dropped, or nobody listens any more. What an earlier run left behind
/// is not told again.
pub(super) async fn narrate(store: Store) {
    let mut known: Option<Known> = None;
    loop {
        match store.list_deliveries(&DeliveryFilter::default(), ROWS_MAX).await {
            Ok(rows) => {
                let lines = known.as_ref().map_or(Vec::new(), |known| news(known, &rows));
                if lines.iter().any(|line| writeln!(std::io::stdout(), "{line}").is_err()) {
                    return;
                }
                known = Some(rows.iter().map(|row| (row.id, (row.state, row.tries))).collect());
            }
            Err(error) => tracing::debug!(reason = %error, "the demo's deliveries are not read"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A line for each delivery that was tried or has ended since, oldest first.
fn news(known: &Known, rows: &[DeliveryView]) -> Vec<String> {
    let is_news = |row: &&DeliveryView| {
        let was_tried = row.tries > 0 || row.state != State::Waiting;
        was_tried && known.get(&row.id) != Some(&(row.state, row.tries))
    };
    rows.iter().rev().filter(is_news).map(line).collect()
}

fn line(row: &DeliveryView) -> String {
    let what = match row.state {
        State::Waiting | State::Leased => "deferred",
        state => state.word(),
    };
    let text: String =
        row.text.chars().filter(|letter| !letter.is_control()).take(TEXT_LETTERS_MAX).collect();
    format!("  {what:<10} {:<28} {text}", row.recipient.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Address, MessageId, OrganizationId, ReversePath, SiteId, Timestamp};

    fn row(id: i64, state: State, tries: u32) -> DeliveryView {
        DeliveryView {
            id: DeliveryId(id),
            message: MessageId(1),
            organization: OrganizationId::FIRST,
            sender: ReversePath::NULL,
            recipient: Address::parse("bob@b.test").expect("lawful"),
            state,
            tries,
            accepted_at: Timestamp(0),
            due_at: Timestamp(0),
            expires_at: Timestamp(0),
            text: "451 4.7.1\x1b[2J later".to_owned(),
            blame: None,
            subject: String::new(),
            bytes: 0,
            site: SiteId(1),
        }
    }

    #[test]
    fn only_what_was_tried_since_is_told_and_without_control_characters() {
        let known: Known = [(DeliveryId(1), (State::Waiting, 1))].into();
        let rows =
            [row(3, State::Waiting, 0), row(2, State::Waiting, 1), row(1, State::Delivered, 2)];
        let told = news(&known, &rows);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("delivered") && told[1].contains("deferred"));
        assert!(!told.concat().contains('\x1b'));
        assert!(news(&rows.iter().map(|r| (r.id, (r.state, r.tries))).collect(), &rows).is_empty());
    }
}
