//! Postroad: a self-hosted MTA. Mail flows through these modules from top to bottom; a module
//! uses only modules of a lower rank, which `tests/layers.rs` enforces.

// Rank 0: words and time.
pub mod clock; // now, sleep, dice
pub mod model; // ids, addresses, envelopes, replies, outcomes, states, events

// Rank 1: pure bytes and declarations.
pub mod classify; // reply text to class, rules as data
pub mod config; // each setting declared once
pub mod telemetry; // logs and metric declarations
pub mod token; // signed links and return paths
pub mod wire; // commands, replies, dot-stuffing, headers, delivery status notifications

// Rank 2: what keeps.
pub mod dkim; // keys and signatures
pub mod spool; // bodies, append-only
pub mod store; // rows; the only place with SQL

// Rank 3: what looks up.
pub mod auth; // passwords, keys, who is it
pub mod contacts; // who: fields, lists, tags
pub mod dns; // MX hosts of a domain
pub mod events; // record and read

// Rank 4: the debt, the mail, the wire.
pub mod compose; // a body becomes the bytes for one transaction
pub mod deliver; // one attempt over the network
pub mod fetch; // an HTTP client that reaches only whom it may
pub mod queue; // what is owed, durable

// Rank 5: in and out.
pub mod accept; // the only door
pub mod acme; // certificates for hosts of organizations
pub mod notices; // the daemon's own mail to people
pub mod schedule; // sites, lanes, retries

// Rank 6: who comes to the door.
pub mod campaign; // fields, segments
pub mod feedback; // what comes back, and what it means
pub mod listener; // SMTP sessions
pub mod sandbox; // a receiving host for mail that shall go nowhere
pub mod webhooks; // events told to customers' servers

// Rank 7: who steers.
pub mod api; // /v1 over HTTP and the operator's socket
pub mod panel; // the built web/

// Rank 8: all together.
pub mod app; // builds, starts, drains
pub mod cli; // the operator's commands
pub mod world; // the simulated internet
