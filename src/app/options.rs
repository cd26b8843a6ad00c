//! Settings as the parts of the daemon take them.
//!
//! Owns:       nothing; it translates.
//! Promises:   each setting goes where it acts.
//! Knows not:  what it does there.

use crate::config::Settings;
use crate::deliver::DeliverOptions;
use crate::schedule::ScheduleOptions;
use crate::schedule::retry::RetryPolicy;

pub fn of_deliver(settings: &Settings) -> DeliverOptions {
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

pub fn of_schedule(settings: &Settings) -> ScheduleOptions {
    let delivery = &settings.delivery;
    ScheduleOptions {
        host_name: settings.node.host_name.clone(),
        connections_max: delivery.connections_max,
        recipients_per_transaction_max: delivery.recipients_per_transaction_max,
        idle_wait: delivery.idle_wait,
        retry: RetryPolicy {
            wait_first: settings.retry.wait_first,
            wait_max: settings.retry.wait_max,
        },
    }
}
