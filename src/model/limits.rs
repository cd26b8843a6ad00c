//! Numbers that several modules share. What an admin may change stands in `config` instead.

use std::time::Duration;

/// RFC 5321 §4.5.3.1.8 asks for 100 at least.
pub const RECIPIENTS_MAX: usize = 1000;
pub const BODY_BYTES_MAX: u64 = 35 * 1024 * 1024;
/// Command lines with AUTH and long DSN parameters fit; anything longer is an attack.
pub const COMMAND_LINE_BYTES_MAX: usize = 4096;
/// Of one reply line of a remote host; RFC 5321 §4.5.3.1.5 says 512.
pub const REPLY_LINE_BYTES_MAX: usize = 8192;
pub const REPLY_LINES_MAX: usize = 100;
/// A reply's text as it is kept in rows and shown.
pub const REPLY_TEXT_BYTES_MAX: usize = 1024;
pub const RECEIVED_FIELDS_MAX: usize = 50;
/// Whole header section; beyond it a mail is refused at submission.
pub const HEADER_BYTES_MAX: usize = 256 * 1024;

/// The longest an attempt may take, all phases together.
pub const ATTEMPT_DEADLINE: Duration = Duration::from_secs(20 * 60);
/// How long a claim on PostgreSQL lasts before another node may take it.
pub const LEASE_DURATION: Duration = Duration::from_secs(30 * 60);
const _: () = assert!(ATTEMPT_DEADLINE.as_secs() < LEASE_DURATION.as_secs());

/// Deliveries of one site that may be in memory ahead of their turn.
pub const READY_PER_SITE_MAX: usize = 64;
/// And of all sites together.
pub const READY_MAX: usize = 50_000;
/// A mail that kills its task this often is held.
pub const PANICS_MAX: u32 = 3;
