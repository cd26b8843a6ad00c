//! What comes in, counted under `postroad_inbound_`.

use metrics::{Counter, counter};

use crate::model::{InboundFate, ReportKind};

pub struct Meters {
    pub refused: Counter,
}

impl Meters {
    pub fn new() -> Meters {
        Meters { refused: counter!("postroad_inbound_recipients_refused_total") }
    }

    pub fn received(&self, kind: ReportKind, fate: InboundFate) {
        let labels = [("kind", kind.word()), ("fate", fate.word())];
        counter!("postroad_inbound_mails_total", &labels).increment(1);
    }
}
