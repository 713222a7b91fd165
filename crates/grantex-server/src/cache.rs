//! Memory of rows, kept true by the commits that change them.

use std::collections::HashMap;
use std::hash::Hash;

use parking_lot::RwLock;

/// A bounded map from keys to copies of rows.
///
/// A reader that misses notes the [`generation`](Self::generation), loads the row, and offers it
/// to [`insert`](Self::insert) with that generation. A commit that changes a row calls
/// [`invalidate`](Self::invalidate), which begins a new generation: a row that was loaded before
/// the change and offered after it is turned away.
pub(crate) struct CommitCache<K, V> {
    capacity: usize,
    state: RwLock<State<K, V>>,
}

struct State<K, V> {
    rows: HashMap<K, V>,
    generation: u64,
}

impl<K: Eq + Hash + Clone, V: Clone> CommitCache<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, state: RwLock::new(State { rows: HashMap::new(), generation: 0 }) }
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        self.state.read().rows.get(key).cloned()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.state.read().generation
    }

    pub(crate) fn insert(&self, generation: u64, key: K, row: V) {
        let mut state = self.state.write();
        if state.generation != generation {
            return;
        }
        if state.rows.len() >= self.capacity {
            // Any row may go: it is loaded again when it is needed.
            if let Some(victim) = state.rows.keys().next().cloned() {
                state.rows.remove(&victim);
            }
        }
        state.rows.insert(key, row);
    }

    pub(crate) fn invalidate(&self, key: &K) {
        let mut state = self.state.write();
        state.generation = state.generation.wrapping_add(1);
        state.rows.remove(key);
    }

    /// As [`invalidate`](Self::invalidate), for all rows that `is_stale` names.
    pub(crate) fn invalidate_all(&self, is_stale: impl Fn(&V) -> bool) {
        let mut state = self.state.write();
        state.generation = state.generation.wrapping_add(1);
        state.rows.retain(|_, row| !is_stale(row));
    }

    pub(crate) fn clear(&self) {
        let mut state = self.state.write();
        state.generation = state.generation.wrapping_add(1);
        state.rows.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_loaded_before_a_change_is_not_kept_after_it() {
        let cache = CommitCache::new(8);
        let generation = cache.generation();
        cache.invalidate(&"key");
        cache.insert(generation, "key", "old");
        assert_eq!(cache.get(&"key"), None);
        cache.insert(cache.generation(), "key", "new");
        assert_eq!(cache.get(&"key"), Some("new"));
    }

    #[test]
    fn it_never_exceeds_its_capacity() {
        let cache = CommitCache::new(2);
        for key in 0..10 {
            cache.insert(0, key, key);
        }
        assert_eq!((0..10).filter(|key| cache.get(key).is_some()).count(), 2);
        assert_eq!(cache.get(&9), Some(9));
    }
}
