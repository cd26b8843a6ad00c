//! Every metric in one table: name, unit, what it means, and what to alert on.

use std::sync::OnceLock;

use metrics::{Label, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// What is now.
    Gauge,
    /// How often which value.
    Histogram,
}

/// A metric as it is declared.
#[derive(Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub unit: Unit,
    /// What it counts, and its labels.
    pub help: &'static str,
    /// When somebody should look; empty where nobody need.
    pub alert: &'static str,
}

impl Metric {
    fn labels(labels: &[(&'static str, &'static str)]) -> Vec<Label> {
        labels.iter().map(|(name, value)| Label::from_static_parts(name, value)).collect()
    }

    /// A counter grows.
    pub fn add(&self, count: u64) {
        metrics::counter!(self.name).increment(count);
    }

    pub fn add_with(&self, labels: &[(&'static str, &'static str)], count: u64) {
        metrics::counter!(self.name, Metric::labels(labels)).increment(count);
    }

    /// The handle of a counter for a place that counts each mail: it costs one atomic addition.
    pub fn counter(&self, labels: &[(&'static str, &'static str)]) -> metrics::Counter {
        metrics::counter!(self.name, Metric::labels(labels))
    }

    /// A gauge stands at.
    pub fn set(&self, value: f64) {
        metrics::gauge!(self.name).set(value);
    }

    pub fn set_with(&self, labels: &[(&'static str, &'static str)], value: f64) {
        metrics::gauge!(self.name, Metric::labels(labels)).set(value);
    }

    /// The handle of a gauge that goes up and down.
    pub fn gauge(&self, labels: &[(&'static str, &'static str)]) -> metrics::Gauge {
        metrics::gauge!(self.name, Metric::labels(labels))
    }

    /// A histogram takes a value.
    pub fn record(&self, value: f64) {
        metrics::histogram!(self.name).record(value);
    }

    pub fn histogram(&self, labels: &[(&'static str, &'static str)]) -> metrics::Histogram {
        metrics::histogram!(self.name, Metric::labels(labels))
    }
}

macro_rules! declare_metrics {
    ($($constant:ident: $kind:ident, $unit:ident, $name:literal, $help:literal, $alert:literal;)*) => {
        /// One constant a metric.
        pub mod names {
            use super::{Kind, Metric, Unit};
            $(
                #[doc = $help]
                pub const $constant: Metric = Metric {
                    name: $name, kind: Kind::$kind, unit: Unit::$unit, help: $help, alert: $alert,
                };
            )*
        }

        /// All of them, in the order of a mail's way.
        pub const METRICS: &[Metric] = &[$(names::$constant,)*];
    };
}

declare_metrics! {
    SESSIONS: Gauge, Count, "postroad_smtp_sessions",
        "SMTP sessions that are open.",
        "Close to smtp.connections_max: clients are about to be turned away.";
    SESSIONS_REFUSED: Counter, Count, "postroad_smtp_sessions_refused_total",
        "SMTP connections turned away, by reason.",
        "Grows steadily: a client opens too many connections, or a flood.";
    SIGN_IN_FAILURES: Counter, Count, "postroad_sign_in_failures_total",
        "Sign-ins that failed, by SMTP or HTTP.",
        "A jump: somebody guesses passwords.";
    MESSAGES_ACCEPTED: Counter, Count, "postroad_messages_accepted_total",
        "Messages answered with 250: they are on disk.",
        "Stops while clients send.";
    MESSAGES_REFUSED: Counter, Count, "postroad_messages_refused_total",
        "Messages answered with 4xx or 5xx, by class.",
        "class=\"4xx\" grows: no room, no database, or overload; the log says which.";
    ACCEPT_SECONDS: Histogram, Seconds, "postroad_accept_seconds",
        "From the end of a mail's data to its 250, seconds.",
        "p99 above 0.1: the disk is slow to sync.";
    DELIVERIES: Gauge, Count, "postroad_deliveries",
        "Deliveries in the ledger, by state; counted when metrics are asked for.",
        "state=\"waiting\" grows for an hour: mail is stuck; `postroad queue list` tells why.";
    ATTEMPTS: Counter, Count, "postroad_attempts_total",
        "Attempts, by outcome: delivered, deferred, failed, answer_not_seen.",
        "outcome=\"failed\" above a twentieth of all: a bad list or a block.";
    ATTEMPT_SECONDS: Histogram, Seconds, "postroad_attempt_seconds",
        "From opening or taking a connection to the last reply, seconds.",
        "";
    CONNECTIONS_OUT: Gauge, Count, "postroad_delivery_connections",
        "Connections to receiving hosts that are open.",
        "Close to delivery.connections_max for long: raise it or look for slow hosts.";
    PANICS: Counter, Count, "postroad_panics_total",
        "Sessions or attempts that ended in a fault of ours.",
        "Above zero: report it, with the log line.";
    SPOOL_FREE_BYTES: Gauge, Bytes, "postroad_spool_free_bytes",
        "Free room on the spool's disk.",
        "Near spool.free_bytes_min: mail will be answered with 452.";
    STORE_FAILURES: Counter, Count, "postroad_store_failures_total",
        "Batches the database did not take at once.",
        "Grows: the database is away, locked or full.";
    HTTP_REQUESTS: Counter, Count, "postroad_http_requests_total",
        "HTTP requests, by class of status.",
        "class=\"5xx\" grows.";
    LOG_LINES_LOST: Counter, Count, "postroad_log_lines_lost_total",
        "Log lines that could not be written.",
        "Above zero: standard error leads nowhere.";
}

/// From a millisecond to five minutes; seconds.
const BUCKETS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0, 300.0];

/// Renders what was measured.
#[derive(Clone)]
pub struct Exposition(PrometheusHandle);

impl Exposition {
    /// In Prometheus's text form, version 0.0.4.
    pub fn render(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }

    /// Folds recorded values into their buckets. Without it they pile up in memory while nobody
    /// asks for metrics; every few seconds is enough.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

/// The one recorder of the process, installed by the first who asks: the `metrics` facade knows
/// only one, and several daemons in one test process share it.
pub fn metrics() -> &'static Exposition {
    static EXPOSITION: OnceLock<Exposition> = OnceLock::new();
    EXPOSITION.get_or_init(|| {
        let builder = PrometheusBuilder::new().set_buckets(&BUCKETS);
        let recorder = builder.expect("the list of buckets is not empty").build_recorder();
        let exposition = Exposition(recorder.handle());
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another recorder of metrics was installed first: /metrics stays empty");
        }
        describe();
        exposition
    })
}

fn describe() {
    for metric in METRICS {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.unit, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.unit, metric.help),
            Kind::Histogram => metrics::describe_histogram!(metric.name, metric.unit, metric.help),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_rendered_with_its_help() {
        metrics();
        names::MESSAGES_REFUSED.add_with(&[("class", "4xx")], 2);
        names::ACCEPT_SECONDS.record(0.003);
        let text = metrics().render();
        assert!(text.contains("# HELP postroad_messages_refused_total "), "{text}");
        assert!(text.contains("postroad_messages_refused_total{class=\"4xx\"} 2"), "{text}");
        assert!(text.contains("postroad_accept_seconds_bucket{le=\"0.005\"} 1"), "{text}");
    }

    #[test]
    fn names_tell_their_kind() {
        for metric in METRICS {
            let counts = metric.name.ends_with("_total");
            assert_eq!(counts, metric.kind == Kind::Counter, "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }
}
