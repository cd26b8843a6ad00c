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
    /// How values are spread, in the buckets of `BUCKETS`.
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

    /// The handle of a histogram, for a place that measures each mail.
    pub fn histogram(&self) -> metrics::Histogram {
        metrics::histogram!(self.name)
    }

    /// The handle of a gauge that goes up and down.
    pub fn gauge(&self, labels: &[(&'static str, &'static str)]) -> metrics::Gauge {
        metrics::gauge!(self.name, Metric::labels(labels))
    }
}

macro_rules! declare_metrics {
    ($(
        $constant:ident: $kind:ident, $unit:ident, $name:literal, $help:literal, $alert:literal;
    )*) => {
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
    SESSIONS: Counter, Count, "postroad_smtp_sessions_total",
        "SMTP connections that were taken.", "";
    SESSIONS_OPEN: Gauge, Count, "postroad_smtp_sessions_open",
        "SMTP sessions that are open.",
        "Close to smtp.connections_max: clients are about to be turned away.";
    SESSIONS_REFUSED: Counter, Count, "postroad_smtp_sessions_refused_total",
        "SMTP connections turned away at a limit.",
        "Grows steadily: a client opens too many connections, or a flood.";
    SESSIONS_TIMED_OUT: Counter, Count, "postroad_smtp_sessions_timed_out_total",
        "SMTP sessions cut because the client was too slow.", "";
    HANDSHAKES_FAILED: Counter, Count, "postroad_smtp_tls_handshakes_failed_total",
        "TLS handshakes of SMTP clients that failed.",
        "A jump: a certificate ran out or does not name this host.";
    AUTH_REFUSED: Counter, Count, "postroad_smtp_auth_refused_total",
        "AUTH commands that were refused.",
        "A jump: somebody guesses passwords, or an application has an old one.";
    INBOUND: Counter, Count, "postroad_inbound_mails_total",
        "Mails that came in on port 25, by kind (of report) and fate.", "";
    INBOUND_REFUSED: Counter, Count, "postroad_inbound_recipients_refused_total",
        "RCPT commands on port 25 for recipients that are not ours.",
        "A jump: somebody tries addresses, or a return path is not known any more.";
    COMMANDS: Counter, Count, "postroad_smtp_commands_total",
        "SMTP commands that were answered.", "";
    COMMANDS_REFUSED: Counter, Count, "postroad_smtp_commands_refused_total",
        "SMTP commands answered with 4xx or 5xx.",
        "Grows with the commands: a client does not understand us; the log says which.";
    ACCEPTED: Counter, Count, "postroad_smtp_accepted_total",
        "Messages answered with 250: they are on disk.",
        "Stops while clients send.";
    ACCEPTED_BYTES: Counter, Bytes, "postroad_smtp_accepted_bytes_total",
        "Octets of the messages answered with 250.", "";
    DELIVERIES: Gauge, Count, "postroad_deliveries",
        "Deliveries in the ledger, by state; counted at most once a minute.",
        "state=\"waiting\" grows for an hour: mail is stuck; `postroad queue list` tells why.";
    DELIVERY_STEPS: Counter, Count, "postroad_deliveries_total",
        "Deliveries whose try was settled, by step: deliver, defer, fail, expire and so on.",
        "step=\"fail\" above a twentieth of all: a bad list or a block.";
    ATTEMPTS: Counter, Count, "postroad_attempts_total",
        "Attempts at a delivery, by outcome: delivered, deferred, failed, answer_not_seen.",
        "outcome=\"deferred\" far above outcome=\"delivered\" for an hour: hosts refuse us.";
    REFUSALS: Counter, Count, "postroad_refusals_total",
        "Attempts that did not deliver, by class and category of the answer.",
        "category=\"policy\" rises: an operator refuses us, not a recipient.";
    ATTEMPT_SECONDS: Histogram, Seconds, "postroad_attempt_seconds",
        "Wall time of a transaction with a host, its connection's opening included.",
        "Its median rises: hosts or our DNS have become slow.";
    CONNECTIONS_OUT: Gauge, Count, "postroad_connections_out",
        "Connections to hosts and relays that are open.",
        "Close to delivery.connections_max: mail waits for a connection.";
    PANICS: Counter, Count, "postroad_panics_total",
        "Attempts that ended in a fault of our own.",
        "Above zero: a bug; the log has its place, please report it.";
    HTTP_REQUESTS: Counter, Count, "postroad_http_requests_total",
        "HTTP requests that were answered, by class of status.",
        "class=\"5xx\" grows.";
    LOG_LINES_LOST: Counter, Count, "postroad_log_lines_lost_total",
        "Log lines that could not be written.",
        "Above zero: standard error leads nowhere.";
}

/// Renders what was measured.
#[derive(Clone)]
pub struct Exposition(PrometheusHandle);

impl Exposition {
    /// In Prometheus's text form, version 0.0.4.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds the values of histograms into their buckets; without it they pile up until somebody
    /// scrapes.
    pub fn keep_up(&self) {
        self.0.run_upkeep();
    }
}

/// The one recorder of the process, installed by the first who asks: the `metrics` facade knows
/// only one, and several daemons in one test process share it.
pub fn metrics() -> &'static Exposition {
    static EXPOSITION: OnceLock<Exposition> = OnceLock::new();
    EXPOSITION.get_or_init(|| {
        let recorder = builder().build_recorder();
        let exposition = Exposition(recorder.handle());
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another recorder of metrics was installed first: /metrics stays empty");
        }
        describe();
        exposition
    })
}

/// Upper bounds in seconds: from a host on this machine to one that delays on purpose.
const BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0];

fn builder() -> PrometheusBuilder {
    match PrometheusBuilder::new().set_buckets(&BUCKETS) {
        Ok(builder) => builder,
        Err(error) => {
            tracing::error!(%error, "the buckets of histograms are left out");
            PrometheusBuilder::new()
        }
    }
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
        names::DELIVERY_STEPS.add_with(&[("step", "defer")], 2);
        let text = metrics().render();
        assert!(text.contains("# HELP postroad_deliveries_total "), "{text}");
        assert!(text.contains("postroad_deliveries_total{step=\"defer\"} 2"), "{text}");
    }

    #[test]
    fn names_tell_their_kind() {
        for metric in METRICS {
            let counts = metric.name.ends_with("_total");
            assert_eq!(counts, metric.kind == Kind::Counter, "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }

    /// The names that stand in a call such as `counter!("…")`.
    fn names_in(text: &str) -> Vec<&str> {
        let calls = ["counter!(", "gauge!("];
        let after = |call| {
            let rests = text.split(call).skip(1);
            rests.filter_map(|rest| rest.trim_start().strip_prefix('"'))
        };
        calls.into_iter().flat_map(after).filter_map(|rest| rest.split('"').next()).collect()
    }

    fn sources(directory: &std::path::Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(directory).expect("a directory of the checkout") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => sources(&path, found),
                false => found.push(std::fs::read_to_string(path).expect("a text")),
            }
        }
    }

    fn all_sources() -> Vec<String> {
        let mut texts = Vec::new();
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        sources(&root, &mut texts);
        texts
    }

    #[test]
    fn whatever_is_measured_anywhere_is_declared_here() {
        for name in all_sources().iter().flat_map(|text| names_in(text)) {
            let declared = METRICS.iter().any(|metric| metric.name == name);
            assert!(declared || !name.starts_with("postroad"), "{name} is not in the table");
        }
    }

    #[test]
    fn whatever_is_declared_is_measured_somewhere() {
        let texts = all_sources();
        let constants = [
            ("ATTEMPTS", names::ATTEMPTS.name),
            ("ATTEMPT_SECONDS", names::ATTEMPT_SECONDS.name),
            ("CONNECTIONS_OUT", names::CONNECTIONS_OUT.name),
            ("DELIVERIES", names::DELIVERIES.name),
            ("DELIVERY_STEPS", names::DELIVERY_STEPS.name),
            ("PANICS", names::PANICS.name),
            ("REFUSALS", names::REFUSALS.name),
            ("HTTP_REQUESTS", names::HTTP_REQUESTS.name),
            ("LOG_LINES_LOST", names::LOG_LINES_LOST.name),
        ];
        for metric in METRICS {
            let constant = constants.iter().find(|(_, name)| *name == metric.name);
            let used = |text: &String| match constant {
                Some((constant, _)) => text.contains(&format!("names::{constant}.")),
                None => names_in(text).contains(&metric.name),
            };
            assert!(texts.iter().any(used), "nobody measures {}", metric.name);
        }
    }
}
