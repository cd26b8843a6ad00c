//! What parts of the daemon take from the settings.
//!
//! Owns:       which setting goes where.
//! Promises:   nothing is decided here.
//! Knows not:  what a part does with it.

use crate::config::Settings;
use crate::deliver::DeliverOptions;
use crate::schedule::ScheduleOptions;
use crate::schedule::profiles::RetryProfiles;

pub fn deliver_options(settings: &Settings) -> DeliverOptions {
    let delivery = &settings.delivery;
    DeliverOptions {
        connect_wait: delivery.connect_wait,
        greeting_wait: delivery.greeting_wait,
        command_wait: delivery.command_wait,
        data_start_wait: delivery.data_start_wait,
        data_block_wait: delivery.data_block_wait,
        data_end_wait: delivery.data_end_wait,
        recipients_per_transaction_max: delivery.recipients_per_transaction_max,
        chunking: true,
        extra_roots: None,
    }
}

pub fn schedule_options(settings: &Settings) -> ScheduleOptions {
    let delivery = &settings.delivery;
    ScheduleOptions {
        host_name: settings.node.host_name.clone(),
        connections_per_site_max: delivery.connections_per_site_max,
        connections_max: delivery.connections_max,
        messages_per_connection_max: delivery.messages_per_connection_max,
        recipients_per_transaction_max: delivery.recipients_per_transaction_max,
        idle_wait: delivery.idle_wait,
        retries: RetryProfiles::of(settings),
    }
}
