//! Does the store keep its promise: accepted is the sum over all states (P6), and every body that
//! is still owed is present and whole.

use std::time::Duration;

use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::Api;
use super::caller::Operator;
use super::problem::Problem;
use crate::model::{BodyRef, MessageId, SegmentId};
use crate::spool::Spool;
use crate::store::{Census, Store, StoreError};

/// Beside a running daemon two reads may straddle a commit; what is really wrong stays wrong.
const LOOKS: u32 = 4;
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// A store that is broken throughout does not need a longer list.
const WRONG_MAX: usize = 1000;

/// What was counted, and what is wrong; nothing is wrong when the list is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    pub census: Census,
    pub segments: u64,
    /// Bodies still owed, each of them read.
    pub bodies: u64,
    pub body_bytes: u64,
    pub wrong: Vec<String>,
}

/// Reads everything once; may run beside the daemon.
pub async fn check(store: &Store, spool: &Spool) -> Result<Findings, StoreError> {
    let mut findings = Findings::default();
    count_deliveries(store, &mut findings).await?;
    for segment in store.segments().await? {
        findings.segments += 1;
        read_segment(store, spool, segment.id, &mut findings).await?;
        if findings.wrong.len() >= WRONG_MAX {
            findings.wrong.push("and more; only the first were listed".to_owned());
            break;
        }
    }
    Ok(findings)
}

async fn count_deliveries(store: &Store, findings: &mut Findings) -> Result<(), StoreError> {
    for look in 1..=LOOKS {
        let census = store.census().await?;
        let verdict = sums_up(&census);
        findings.census = census;
        match verdict {
            Ok(()) => return Ok(()),
            Err(why) if look == LOOKS => findings.wrong.push(why),
            Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
    Ok(())
}

fn sums_up(census: &Census) -> Result<(), String> {
    let sum: u64 = census.by_state.values().sum();
    if sum == census.accepted {
        return Ok(());
    }
    let parts: Vec<String> =
        census.by_state.iter().map(|(state, count)| format!("{count} {state}")).collect();
    Err(format!(
        "{} deliveries were accepted but {sum} are there: {}",
        census.accepted,
        parts.join(" + ")
    ))
}

async fn read_segment(
    store: &Store,
    spool: &Spool,
    segment: SegmentId,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let owed = store.owed_bodies(segment).await?;
    let mut unread = Vec::new();
    for (message, body) in &owed {
        findings.bodies += 1;
        findings.body_bytes += body.length;
        if let Some(why) = damage(spool, *body).await {
            unread.push((*message, *body, why));
        }
    }
    count_live(store, segment, findings).await?;
    if unread.is_empty() {
        return Ok(());
    }
    // A body may have been settled and removed since the list was made: look again.
    tokio::time::sleep(LOOK_AGAIN).await;
    let still_owed = store.owed_bodies(segment).await?;
    for (message, body, why) in unread {
        if is_owed(&still_owed, message, body) && damage(spool, body).await.is_some() {
            findings.wrong.push(format!("the body of message {message} cannot be sent: {why}"));
        }
    }
    Ok(())
}

fn is_owed(owed: &[(MessageId, BodyRef)], message: MessageId, body: BodyRef) -> bool {
    owed.contains(&(message, body))
}

async fn damage(spool: &Spool, body: BodyRef) -> Option<String> {
    match spool.read(body).await {
        Ok(bytes) if bytes.len() as u64 == body.length => None,
        Ok(bytes) => Some(format!("{} octets of {}", bytes.len(), body.length)),
        Err(why) => Some(why.to_string()),
    }
}

/// The counter by which a segment is known to be free must say what the deliveries say: too low,
/// and bodies still owed would be removed.
async fn count_live(
    store: &Store,
    segment: SegmentId,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    for look in 1..=LOOKS {
        let rows = store.segments().await?;
        let Some(row) = rows.iter().find(|row| row.id == segment) else { return Ok(()) };
        let owed = store.owed_bodies(segment).await?.len() as u64;
        if row.live_bodies == owed {
            return Ok(());
        }
        if look == LOOKS {
            let counted = row.live_bodies;
            findings.wrong.push(format!(
                "segment {segment} counts {counted} bodies still owed, but {owed} are"
            ));
            return Ok(());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    Ok(())
}

pub async fn show(State(api): Api, _: Operator) -> Result<axum::Json<Findings>, Problem> {
    let spool = api.spool.as_ref().ok_or_else(|| Problem::conflict("no spool is open here"))?;
    Ok(axum::Json(check(&api.store, spool).await?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::State;

    #[test]
    fn a_lost_row_shows_in_the_sum() {
        let by_state = [(State::Waiting, 2), (State::Delivered, 5)].into_iter().collect();
        let mut census = Census { accepted: 7, by_state };
        assert_eq!(sums_up(&census), Ok(()));
        census.accepted = 8;
        let why = sums_up(&census).expect_err("one is missing");
        assert_eq!(why, "8 deliveries were accepted but 7 are there: 2 waiting + 5 delivered");
    }
}
