//! What the listeners count, under names that start with `postroad_smtp_`.

use metrics::{Counter, Gauge, counter, gauge};

use super::session::Tally;

/// Handles that are looked up once.
pub(super) struct Meters {
    pub sessions: Counter,
    pub sessions_open: Gauge,
    pub sessions_refused: Counter,
    pub sessions_timed_out: Counter,
    pub handshakes_failed: Counter,
    pub auth_refused: Counter,
    commands: Counter,
    commands_refused: Counter,
    accepted: Counter,
    accepted_bytes: Counter,
}

impl Meters {
    pub fn new() -> Meters {
        Meters {
            sessions: counter!("postroad_smtp_sessions_total"),
            sessions_open: gauge!("postroad_smtp_sessions_open"),
            sessions_refused: counter!("postroad_smtp_sessions_refused_total"),
            sessions_timed_out: counter!("postroad_smtp_sessions_timed_out_total"),
            handshakes_failed: counter!("postroad_smtp_tls_handshakes_failed_total"),
            auth_refused: counter!("postroad_smtp_auth_refused_total"),
            commands: counter!("postroad_smtp_commands_total"),
            commands_refused: counter!("postroad_smtp_commands_refused_total"),
            accepted: counter!("postroad_smtp_accepted_total"),
            accepted_bytes: counter!("postroad_smtp_accepted_bytes_total"),
        }
    }

    pub fn add(&self, tally: Tally) {
        let pairs = [
            (&self.commands, tally.commands),
            (&self.commands_refused, tally.refused),
            (&self.accepted, tally.accepted),
            (&self.accepted_bytes, tally.accepted_bytes),
        ];
        for (counter, count) in pairs.into_iter().filter(|(_, count)| *count > 0) {
            counter.increment(count);
        }
    }
}
