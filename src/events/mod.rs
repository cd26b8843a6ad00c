//! The story of a message: events read back in order.
//!
//! Owns:       how events are read by cursor and told to people.
//! Promises:   events of one message come in the order in which they happened.
//! Knows not:  who reacts to them.
