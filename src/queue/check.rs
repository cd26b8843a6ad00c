//! Does the store keep its promise: accepted is the sum over all states (P6), and every body that
//! is still owed is present and whole.

use serde::{Deserialize, Serialize};

use crate::model::{BodyRef, MessageId, SegmentId};
use crate::spool::Spool;
use crate::store::{Census, Store, StoreError};

/// Beside a running daemon readings may straddle a commit; what is really wrong stays wrong.
const LOOKS: u32 = 4;
/// A store that is broken throughout does not need a longer list.
const WRONG_MAX: usize = 1000;

/// What was counted, and what is wrong; nothing is wrong when the list is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Findings {
    pub census: Census,
    pub segments: u64,
    /// Bodies still owed, each of them read.
    pub bodies: u64,
    pub body_bytes: u64,
    pub wrong: Vec<String>,
}

/// Compares ledger and spool. A cheap handle.
#[derive(Clone)]
pub struct Audit {
    store: Store,
    /// None where no mail has ever been taken, so that there is no spool yet.
    spool: Option<Spool>,
}

impl Audit {
    pub fn new(store: Store, spool: Spool) -> Audit {
        Audit { store, spool: Some(spool) }
    }

    /// Every body that is owed nevertheless counts as lost.
    pub fn without_spool(store: Store) -> Audit {
        Audit { store, spool: None }
    }

    /// Reads everything once; may run beside the daemon, even in another process.
    pub async fn run(&self) -> Result<Findings, StoreError> {
        let mut findings = Findings::default();
        count_deliveries(&self.store, &mut findings).await?;
        for row in self.store.unreadable().await?.into_iter().take(WRONG_MAX) {
            let wrong = format!("delivery {} cannot be sent: {}", row.delivery, row.why);
            findings.wrong.push(wrong);
        }
        for segment in self.store.segments().await? {
            findings.segments += 1;
            read_segment(&self.store, self.spool.as_ref(), segment.id, &mut findings).await?;
            if findings.wrong.len() >= WRONG_MAX {
                findings.wrong.push("and more; only the first were listed".to_owned());
                break;
            }
        }
        Ok(findings)
    }
}

/// One statement counts both sides, so it need not be looked at twice.
async fn count_deliveries(store: &Store, findings: &mut Findings) -> Result<(), StoreError> {
    findings.census = store.census().await?;
    if let Err(why) = sums_up(&findings.census) {
        findings.wrong.push(why);
    }
    Ok(())
}

fn sums_up(census: &Census) -> Result<(), String> {
    let sum = census.by_state.values().sum::<u64>() + census.damaged;
    if sum == census.accepted {
        return Ok(());
    }
    let mut parts: Vec<String> =
        census.by_state.iter().map(|(state, count)| format!("{count} {state}")).collect();
    if census.damaged > 0 {
        parts.push(format!("{} in no state that there is", census.damaged));
    }
    Err(format!(
        "{} deliveries were accepted but {sum} are there: {}",
        census.accepted,
        parts.join(" + ")
    ))
}

async fn read_segment(
    store: &Store,
    spool: Option<&Spool>,
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

async fn damage(spool: Option<&Spool>, body: BodyRef) -> Option<String> {
    let Some(spool) = spool else { return Some("there is no spool".to_owned()) };
    match spool.read(body).await {
        Ok(bytes) if bytes.len() as u64 == body.length => None,
        Ok(bytes) => Some(format!("{} octets of {}", bytes.len(), body.length)),
        Err(why) => Some(why.to_string()),
    }
}

/// The counter by which a segment is known to be free must say what the deliveries say: too low,
/// and bodies still owed would be removed. Where mail comes and goes between the readings, there
/// is nothing to compare.
async fn count_live(
    store: &Store,
    segment: SegmentId,
    findings: &mut Findings,
) -> Result<(), StoreError> {
    let mut wrong = None;
    for _ in 0..LOOKS {
        let before = live_bodies(store, segment).await?;
        let owed = store.owed_bodies(segment).await?.len() as u64;
        let after = live_bodies(store, segment).await?;
        match before {
            Some(counted) if before == after && counted != owed => wrong = Some((counted, owed)),
            _ => return Ok(()),
        }
    }
    if let Some((counted, owed)) = wrong {
        let text = format!("segment {segment} counts {counted} bodies still owed, but {owed} are");
        findings.wrong.push(text);
    }
    Ok(())
}

async fn live_bodies(store: &Store, segment: SegmentId) -> Result<Option<u64>, StoreError> {
    let rows = store.segments().await?;
    Ok(rows.iter().find(|row| row.id == segment).map(|row| row.live_bodies))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::State;

    #[test]
    fn a_lost_row_shows_in_the_sum() {
        let by_state = [(State::Waiting, 2), (State::Delivered, 5)].into_iter().collect();
        let mut census = Census { accepted: 7, damaged: 0, by_state };
        assert_eq!(sums_up(&census), Ok(()));
        census.accepted = 8;
        let why = sums_up(&census).expect_err("one is missing");
        assert_eq!(why, "8 deliveries were accepted but 7 are there: 2 waiting + 5 delivered");
    }
}
