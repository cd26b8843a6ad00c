//! Bodies just accepted, kept in memory for their first attempt within a budget of octets.
//!
//! Owns:       the count of octets kept.
//! Promises:   never more than the budget; octets come back when the last holder lets go.
//! Knows not:  whose bodies they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

pub struct Budget {
    kept: Arc<AtomicU64>,
    bytes_max: u64,
}

impl Budget {
    pub fn new(bytes_max: u64) -> Budget {
        Budget { kept: Arc::default(), bytes_max }
    }

    /// None when the budget is spent: the attempt reads the body from the spool then.
    pub fn keep(&self, body: Bytes) -> Option<Kept> {
        let length = body.len() as u64;
        let before = self.kept.fetch_add(length, Ordering::Relaxed);
        let place = Place { kept: self.kept.clone(), length };
        // On refusal the place is dropped here and gives its octets back.
        (before + length <= self.bytes_max).then(|| Kept(Arc::new((body, place))))
    }
}

/// A body in memory; clones share it.
#[derive(Clone, Debug)]
pub struct Kept(Arc<(Bytes, Place)>);

impl Kept {
    pub fn bytes(&self) -> Bytes {
        self.0.0.clone()
    }
}

#[derive(Debug)]
struct Place {
    kept: Arc<AtomicU64>,
    length: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.kept.fetch_sub(self.length, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_come_back_when_the_last_holder_lets_go() {
        let budget = Budget::new(10);
        let one = budget.keep(Bytes::from_static(b"12345678")).expect("room");
        let two = one.clone();
        assert!(budget.keep(Bytes::from_static(b"123")).is_none());
        drop(one);
        assert!(budget.keep(Bytes::from_static(b"123")).is_none());
        drop(two);
        assert!(budget.keep(Bytes::from_static(b"123")).is_some());
    }
}
