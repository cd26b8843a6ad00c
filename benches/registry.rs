//! Which map should hold the sites and their lanes: dashmap beside mutexes over shards of a
//! HashMap, at the use they get: nearly all look-ups, now and then an insert or a removal.
//!
//! `cargo bench --bench registry`. Prints nanoseconds of wall time for each operation and thread,
//! both in turn, seven rounds.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Instant;

use dashmap::DashMap;
use parking_lot::Mutex;

const OPERATIONS: u64 = 2_000_000;
const SHARDS: usize = 64;

trait Registry: Send + Sync + 'static {
    fn get(&self, key: i64) -> Option<Arc<u64>>;
    fn insert(&self, key: i64, value: Arc<u64>);
    fn remove(&self, key: i64);
}

impl Registry for DashMap<i64, Arc<u64>> {
    fn get(&self, key: i64) -> Option<Arc<u64>> {
        DashMap::get(self, &key).map(|value| value.clone())
    }
    fn insert(&self, key: i64, value: Arc<u64>) {
        DashMap::insert(self, key, value);
    }
    fn remove(&self, key: i64) {
        DashMap::remove(self, &key);
    }
}

struct Sharded {
    shards: Vec<Mutex<HashMap<i64, Arc<u64>>>>,
    hasher: RandomState,
}

impl Sharded {
    fn new() -> Sharded {
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        Sharded { shards, hasher: RandomState::new() }
    }

    fn shard(&self, key: i64) -> &Mutex<HashMap<i64, Arc<u64>>> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }
}

impl Registry for Sharded {
    fn get(&self, key: i64) -> Option<Arc<u64>> {
        self.shard(key).lock().get(&key).cloned()
    }
    fn insert(&self, key: i64, value: Arc<u64>) {
        self.shard(key).lock().insert(key, value);
    }
    fn remove(&self, key: i64) {
        self.shard(key).lock().remove(&key);
    }
}

/// Nanoseconds an operation: 98 % look-ups over `keys` keys, 1 % inserts, 1 % removals.
fn time(registry: &Arc<impl Registry>, threads: u64, keys: i64) -> f64 {
    for key in 0..keys {
        registry.insert(key, Arc::new(0));
    }
    let begun = Instant::now();
    let workers: Vec<_> = (0..threads)
        .map(|seed| {
            let registry = registry.clone();
            std::thread::spawn(move || {
                let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) + 1;
                let mut found = 0u64;
                for _ in 0..OPERATIONS {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let key = i64::try_from(state >> 33).unwrap_or(0) % keys;
                    match state >> 20 & 127 {
                        0 => registry.insert(key, Arc::new(seed)),
                        1 => registry.remove(key),
                        _ => found += u64::from(registry.get(key).is_some()),
                    }
                }
                std::hint::black_box(found)
            })
        })
        .collect();
    for worker in workers {
        worker.join().expect("a worker ends");
    }
    begun.elapsed().as_nanos() as f64 / OPERATIONS as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let heads = ["threads", "keys", "dashmap ns", "mutex shards ns", "ratio"];
    let [threads, keys, ours, theirs, ratio] = heads;
    println!("{threads:>8} {keys:>8} {ours:>12} {theirs:>16} {ratio:>7}");
    for threads in [1, 2, 8] {
        for keys in [100, 10_000] {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..7 {
                ours.push(time(&Arc::new(DashMap::new()), threads, keys));
                theirs.push(time(&Arc::new(Sharded::new()), threads, keys));
            }
            let (ours, theirs) = (median(ours), median(theirs));
            println!("{threads:>8} {keys:>8} {ours:>12.0} {theirs:>16.0} {:>7.2}", ours / theirs);
        }
    }
}
