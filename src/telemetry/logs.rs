//! The subscriber: takes events from `tracing` and writes a line for each.

use std::io::Write;
use std::sync::Arc;

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::reload;

use super::TelemetryError;
use super::line::{Fields, Line};
use super::metrics::names;
use crate::clock::Clock;

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
}

impl Format {
    /// From the setting `log.format`; what is not "json" is text.
    pub fn named(name: &str) -> Format {
        if name == "json" { Format::Json } else { Format::Text }
    }
}

/// Where lines go: one call a line, which ends with its line feed.
type Sink = Arc<dyn Fn(&str) + Send + Sync>;

/// A handle on the running subscriber.
#[derive(Clone)]
pub struct Logs {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl Logs {
    /// Takes up a changed `log.level`.
    pub fn set_level(&self, level: &str) -> Result<(), TelemetryError> {
        self.filter.reload(filter(level)?).map_err(|_| TelemetryError::Taken)
    }
}

/// Lines go to standard error from now on; once in a process.
pub fn start_logs(format: Format, level: &str, clock: Clock) -> Result<Logs, TelemetryError> {
    let (subscriber, logs) = build(format, level, clock, Arc::new(to_standard_error))?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| TelemetryError::Taken)?;
    Ok(logs)
}

fn to_standard_error(line: &str) {
    // Nowhere is left to say that the log cannot be written, but the number of lines lost.
    if std::io::stderr().lock().write_all(line.as_bytes()).is_err() {
        names::LOG_LINES_LOST.add(1);
    }
}

fn build(
    format: Format,
    level: &str,
    clock: Clock,
    sink: Sink,
) -> Result<(impl Subscriber + Send + Sync + use<>, Logs), TelemetryError> {
    let (filter, handle) = reload::Layer::new(filter(level)?);
    let lines = Lines { format, clock, sink };
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter));
    Ok((subscriber, Logs { filter: handle }))
}

fn filter(level: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::builder().parse(level).map_err(|_| TelemetryError::Level(level.to_owned()))
}

struct Lines {
    format: Format,
    clock: Clock,
    sink: Sink,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Lines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            record.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let spans = context.event_scope(event).map_or_else(Vec::new, |scope| {
            scope
                .from_root()
                .filter_map(|span| span.extensions().get::<Fields>().cloned())
                .collect()
        });
        let module = event.metadata().target();
        let line = Line {
            time: self.time(),
            level: event.metadata().level().as_str(),
            module: module.strip_prefix("postroad::").unwrap_or(module),
            spans,
            event: Fields::of_event(event),
        };
        (self.sink)(&match self.format {
            Format::Text => line.as_text(),
            Format::Json => line.as_json(),
        });
    }
}

impl Lines {
    /// RFC 3339 in UTC, to the millisecond.
    fn time(&self) -> String {
        let now = self.clock.wall();
        match jiff::Timestamp::from_millisecond(now.0.div_euclid(1000)) {
            Ok(moment) => format!("{moment:.3}"),
            Err(_) => now.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;

    fn lines_of(format: Format, level: &str, say: impl FnOnce(&Logs)) -> Vec<String> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = lines.clone();
        let sink = Arc::new(move |line: &str| kept.lock().push(line.to_owned()));
        let built = build(format, level, Clock::standing(1), sink);
        let (subscriber, logs) = built.expect("a lawful level");
        tracing::subscriber::with_default(subscriber, || say(&logs));
        lines.lock().clone()
    }

    fn say_hostile_things(_: &Logs) {
        let span = tracing::info_span!("session", peer = %"192.0.2.1");
        let _entered = span.enter();
        tracing::info!(message = 7, reason = "a\r\nFAKE\x1b[2J \"b\"", "refused");
    }

    #[test]
    fn a_line_stays_one_line_whatever_a_peer_sent() {
        let lines = lines_of(Format::Text, "info", say_hostile_things);
        assert_eq!(lines.len(), 1);
        let expected = " INFO  telemetry::logs::tests refused peer=192.0.2.1 message=7 \
                        reason=\"a\\r\\nFAKE\\x1b[2J \\\"b\\\"\"\n";
        assert!(lines[0].ends_with(expected), "{}", lines[0]);
    }

    #[test]
    fn text_and_json_have_the_same_field_names() {
        let lines = lines_of(Format::Json, "info", say_hostile_things);
        let line: serde_json::Value = serde_json::from_str(&lines[0]).expect("JSON");
        assert_eq!(line["message"], 7);
        assert_eq!(line["peer"], "192.0.2.1");
        assert_eq!(line["text"], "refused");
        assert_eq!(line["level"], "INFO");
        assert!(line["time"].as_str().is_some_and(|time| time.ends_with('Z')));
        assert_eq!(lines[0].matches(['\r', '\n', '\x1b']).count(), 1);
    }

    #[test]
    fn the_level_can_change_while_it_runs() {
        let lines = lines_of(Format::Text, "warn", |logs| {
            tracing::info!("not heard");
            logs.set_level("info").expect("a lawful level");
            tracing::info!("heard");
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(" heard"));
    }
}
