//! Events that people must hear of, told by mail.
//!
//! Owns:       which events are alarms, for whom, and in which words.
//! Promises:   what happened while nobody looked is told later; the same thing is not told again
//!             within six hours; what is found in one look is one mail for each audience.
//! Knows not:  who records events.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use super::{NoticeError, Notices, Whom};
use crate::model::*;
use crate::store::{EventRow, SourceTables};

const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Events of one read, and reads of one look: at most 33,000 events a second are looked at.
const EVENTS_MAX: u32 = 1000;
const READS_MAX: usize = 1000;
const AGAIN_AFTER: Duration = Duration::from_secs(6 * 3600);
/// Things told of lately; beyond it all may be told again.
const TOLD_MAX: usize = 10_000;
/// Lines of one mail; of more only the number is told.
const LINES_MAX: usize = 50;

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Alarm {
    whom: Whom,
    /// What it is about: the same again is no news.
    about: String,
    line: String,
}

/// Until `stop` turns true.
pub async fn run(notices: Notices, mut stop: watch::Receiver<bool>) {
    let mut told = Told::default();
    loop {
        tokio::select! {
            () = notices.0.clock.sleep(LOOK_EVERY) => {}
            // An error says that the daemon is gone: then this ends too.
            _ = stop.wait_for(|stop| *stop) => return,
        }
        if let Err(error) = look(&notices, &mut told).await {
            tracing::warn!(%error, "alarms cannot be told now; they are in half a minute");
        }
    }
}

async fn look(notices: &Notices, told: &mut Told) -> Result<(), NoticeError> {
    let store = notices.store();
    let begin = store.alarm_feed().await?;
    let (mut after, mut found) = (begin, Vec::new());
    for _ in 0..READS_MAX {
        let (events, last) = store.events_after(after, EVENTS_MAX).await?;
        if last == after {
            break;
        }
        found.extend(events.into_iter().filter(|event| is_alarm(event.kind)));
        after = last;
    }
    if after == begin {
        return Ok(());
    }
    if !found.is_empty() {
        let sources = store.source_tables().await?;
        let alarms = found.iter().filter_map(|event| alarm_of(event, &sources));
        let news = told.news(alarms, notices.0.clock.now());
        for (whom, lines) in by_whom(&news) {
            let (subject, text) = written(&lines);
            let count = notices.tell(whom, &subject, &text).await?;
            tracing::info!(?whom, count, alarms = lines.len(), "alarms were told by mail");
        }
        told.note(&news, notices.0.clock.now());
    }
    Ok(store.move_alarm_feed(after).await?)
}

const fn is_alarm(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::Alarm
            | EventKind::SourceRed
            | EventKind::DomainChecked
            | EventKind::LimitReached
    )
}

fn alarm_of(event: &EventRow, sources: &SourceTables) -> Option<Alarm> {
    let text = |name: &str| event.fields.get(name).and_then(Value::as_str);
    let whom = match event.organization {
        OrganizationId::NOBODY => Whom::Admins,
        organization => Whom::Owners(organization),
    };
    let (about, line) = match event.kind {
        EventKind::Alarm => {
            let text = text("text").unwrap_or("a rule has acted").to_owned();
            (text.clone(), text)
        }
        EventKind::SourceRed => {
            let id = event.fields.get("source").and_then(Value::as_i64);
            let named = sources.sources.iter().find(|row| Some(row.id.0) == id);
            let name = named.map_or_else(|| id.unwrap_or(0).to_string(), |row| row.name.clone());
            let line = format!("The source {name} must not send: {}", findings(&event.fields));
            (format!("source {name}"), line)
        }
        EventKind::DomainChecked => {
            let domain = text("domain")?;
            let broken = broken(&event.fields);
            if broken.is_empty() {
                return None;
            }
            let line = format!("Records of the sending domain {domain} broke: {broken}");
            (format!("domain {domain} {broken}"), line)
        }
        EventKind::LimitReached => {
            let limit = text("reason").unwrap_or("a limit");
            let line = format!("Mail waits, it is over a limit: {limit}");
            (format!("limit {limit}"), line)
        }
        _ => return None,
    };
    Some(Alarm { whom, about, line: format!("{}  {line}", event.at) })
}

fn findings(fields: &Value) -> String {
    let all = fields.get("findings").and_then(Value::as_array).into_iter().flatten();
    let bad = all.filter(|one| one["verdict"] == Verdict::Bad.word());
    let texts: Vec<&str> = bad.filter_map(|one| one["text"].as_str()).collect();
    texts.join("; ")
}

/// Records that were right and are not any more.
fn broken(fields: &Value) -> String {
    let state = |of: &str, name: &str| fields[of][name].as_str().unwrap_or_default().to_owned();
    let names = fields.get("before").and_then(Value::as_object).into_iter().flatten();
    let was_right = names.map(|(name, _)| name).filter(|name| state("before", name) == "right");
    let broken = was_right.filter(|name| state("records", name) != "right");
    broken
        .map(|name| format!("{name} is {}", state("records", name)))
        .collect::<Vec<_>>()
        .join(", ")
}

/// What was told lately.
#[derive(Default)]
struct Told(HashMap<(Whom, String), Timestamp>);

impl Told {
    fn news(&self, alarms: impl Iterator<Item = Alarm>, now: Timestamp) -> Vec<Alarm> {
        let mut news: Vec<Alarm> = Vec::new();
        for alarm in alarms {
            let before = self.0.get(&(alarm.whom, alarm.about.clone()));
            let is_old = before.is_some_and(|at| now.since(*at) < AGAIN_AFTER);
            let same = |other: &Alarm| (other.whom, &other.about) == (alarm.whom, &alarm.about);
            if !is_old && !news.iter().any(same) {
                news.push(alarm);
            }
        }
        news
    }

    fn note(&mut self, alarms: &[Alarm], now: Timestamp) {
        self.0.retain(|_, at| now.since(*at) < AGAIN_AFTER);
        if self.0.len() + alarms.len() > TOLD_MAX {
            self.0.clear();
        }
        self.0.extend(alarms.iter().map(|one| ((one.whom, one.about.clone()), now)));
    }
}

fn by_whom(alarms: &[Alarm]) -> BTreeMap<Whom, Vec<&str>> {
    let mut lines: BTreeMap<Whom, Vec<&str>> = BTreeMap::new();
    for alarm in alarms {
        lines.entry(alarm.whom).or_default().push(&alarm.line);
    }
    lines
}

fn written(lines: &[&str]) -> (String, String) {
    let subject = match lines {
        [only] => format!("Postroad: {}", only.split_once("  ").map_or(*only, |(_, line)| line)),
        many => format!("Postroad: {} alarms", many.len()),
    };
    let shown = lines.iter().take(LINES_MAX);
    let mut text: String = shown.map(|line| format!("{line}\n")).collect();
    if lines.len() > LINES_MAX {
        text.push_str(&format!("and {} more\n", lines.len() - LINES_MAX));
    }
    text.push_str("\nThe events of Postroad tell more: GET /v1/events, or the panel.\n");
    (subject, text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(organization: i64, kind: EventKind, fields: Value) -> EventRow {
        EventRow {
            id: EventId(1),
            at: Timestamp(0),
            kind,
            organization: OrganizationId(organization),
            message: None,
            delivery: None,
            fields,
        }
    }

    fn alarm(organization: i64, kind: EventKind, fields: Value) -> Option<Alarm> {
        alarm_of(&event(organization, kind, fields), &SourceTables::default())
    }

    #[test]
    fn a_domain_is_an_alarm_when_a_record_breaks_and_not_when_one_comes() {
        let fields = |before: &str, now: &str| {
            json!({"domain": "a.example", "before": {"spf a.example": before},
                "records": {"spf a.example": now}})
        };
        let told = alarm(3, EventKind::DomainChecked, fields("right", "missing")).expect("told");
        assert_eq!(told.whom, Whom::Owners(OrganizationId(3)));
        assert!(told.line.ends_with("a.example broke: spf a.example is missing"), "{told:?}");
        assert_eq!(alarm(3, EventKind::DomainChecked, fields("missing", "right")), None);
        assert_eq!(alarm(3, EventKind::Delivered, json!({})), None);
    }

    #[test]
    fn the_same_is_told_once_in_six_hours_and_all_of_a_look_in_one_mail() {
        let one = || alarm(0, EventKind::Alarm, json!({"text": "a warm-up is frozen"}));
        let two = alarm(
            0,
            EventKind::SourceRed,
            json!({"source": 7,
            "findings": [{"check": "rdns", "verdict": "bad", "text": "no name"}]}),
        );
        let mut told = Told::default();
        let now = Timestamp::from_seconds(1_000_000);
        let news = told.news([one(), one(), two].into_iter().flatten(), now);
        assert_eq!(news.len(), 2);
        told.note(&news, now);
        let lines = by_whom(&news);
        let (subject, text) = written(&lines[&Whom::Admins]);
        assert_eq!(subject, "Postroad: 2 alarms");
        assert!(text.contains("source 7 must not send: no name"), "{text}");
        assert!(told.news(one().into_iter(), now + Duration::from_secs(3600)).is_empty());
        assert_eq!(told.news(one().into_iter(), now + AGAIN_AFTER).len(), 1);
    }
}
