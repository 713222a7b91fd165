//! Copies of rows in memory, which the commits that change the rows invalidate.

use std::collections::HashMap;
use std::hash::Hash;

use parking_lot::RwLock;

/// A bounded map from keys to copies of rows, which belong to groups: those of one developer.
///
/// A reader that misses notes the group's [`generation`](Self::generation), loads the row, and
/// offers it to [`insert`](Self::insert) with that generation. A commit that changes a row calls
/// [`invalidate`](Self::invalidate), which begins a new generation of its group: a row that was
/// loaded before the change and offered after it is not kept. A change in one group does not affect
/// the others.
///
/// A row also has a bounded age, which counts from before it was loaded: it is found in the period
/// in which it was loaded and in the next, and [`age`](Self::age) begins a period. So a change that
/// this memory never learned of is hidden for two periods at most.
pub(crate) struct CommitCache<G, K, V> {
    capacity: usize,
    state: RwLock<State<G, K, V>>,
}

/// The generation in which a row was loaded. The row is kept if nothing of its group changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Generation {
    /// How often all groups were cleared.
    epoch: u64,
    /// How often something of the group changed since.
    changes: u64,
    /// The period of time.
    period: u64,
}

struct State<G, K, V> {
    rows: HashMap<K, Row<V>>,
    groups: HashMap<G, Group>,
    epoch: u64,
    period: u64,
}

struct Row<V> {
    /// The changes of its group when it was inserted.
    changes: u64,
    /// The period in which it was loaded.
    period: u64,
    value: V,
}

#[derive(Default, Clone, Copy)]
struct Group {
    changes: u64,
    /// Rows from before this many changes are not valid.
    cleared: u64,
}

impl<G: Eq + Hash, K: Eq + Hash + Clone, V: Clone> CommitCache<G, K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        let (rows, groups) = (HashMap::new(), HashMap::new());
        Self { capacity, state: RwLock::new(State { rows, groups, epoch: 0, period: 0 }) }
    }

    pub(crate) fn get(&self, group: &G, key: &K) -> Option<V> {
        let state = self.state.read();
        let row = state.rows.get(key)?;
        let is_young = state.period.wrapping_sub(row.period) <= 1;
        (is_young && row.changes >= state.group(group).cleared).then(|| row.value.clone())
    }

    pub(crate) fn generation(&self, group: &G) -> Generation {
        let state = self.state.read();
        let (epoch, period) = (state.epoch, state.period);
        Generation { epoch, changes: state.group(group).changes, period }
    }

    pub(crate) fn insert(&self, generation: Generation, group: &G, key: K, value: V) {
        let mut state = self.state.write();
        let changes = state.group(group).changes;
        if (generation.epoch, generation.changes) != (state.epoch, changes) {
            return;
        }
        if state.rows.len() >= self.capacity && !state.rows.contains_key(&key) {
            // Any row may be removed: it is loaded again when it is needed.
            if let Some(victim) = state.rows.keys().next().cloned() {
                state.rows.remove(&victim);
            }
        }
        state.rows.insert(key, Row { changes, period: generation.period, value });
    }

    pub(crate) fn invalidate(&self, group: G, key: &K) {
        let mut state = self.state.write();
        state.rows.remove(key);
        state.change(group, self.capacity);
    }

    /// As [`invalidate`](Self::invalidate), for all rows of any group that `is_stale` names.
    pub(crate) fn invalidate_all(&self, is_stale: impl Fn(&V) -> bool) {
        let mut state = self.state.write();
        state.epoch = state.epoch.wrapping_add(1);
        state.rows.retain(|_, row| !is_stale(&row.value));
    }

    /// Begins a period, in constant time: old rows stay until they are loaded again or replaced.
    pub(crate) fn age(&self) {
        let mut state = self.state.write();
        state.period = state.period.wrapping_add(1);
    }

    /// Invalidates all rows of a group, in the time that one row takes.
    pub(crate) fn clear(&self, group: G) {
        let mut state = self.state.write();
        if let Some(group) = state.change(group, self.capacity) {
            group.cleared = group.changes;
        }
    }
}

impl<G: Eq + Hash, K, V> State<G, K, V> {
    fn group(&self, group: &G) -> Group {
        self.groups.get(group).copied().unwrap_or_default()
    }

    /// Begins a new generation of a group. If there would be more groups than rows may be, it
    /// clears all groups instead, and returns `None`.
    fn change(&mut self, group: G, most: usize) -> Option<&mut Group> {
        if self.groups.len() >= most && !self.groups.contains_key(&group) {
            self.rows.clear();
            self.groups.clear();
            self.epoch = self.epoch.wrapping_add(1);
            return None;
        }
        let group = self.groups.entry(group).or_default();
        group.changes = group.changes.wrapping_add(1);
        Some(group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_loaded_before_a_change_is_not_kept_after_it() {
        let cache = CommitCache::new(8);
        let generation = cache.generation(&1);
        cache.invalidate(1, &"key");
        cache.insert(generation, &1, "key", "old");
        assert_eq!(cache.get(&1, &"key"), None);
        cache.insert(cache.generation(&1), &1, "key", "new");
        assert_eq!(cache.get(&1, &"key"), Some("new"));
    }

    #[test]
    fn what_changes_in_one_group_is_nothing_to_the_others() {
        let cache = CommitCache::new(8);
        for group in [1, 2] {
            cache.insert(cache.generation(&group), &group, group, "row");
        }
        let (mine, others) = (cache.generation(&1), cache.generation(&2));
        cache.clear(1);
        assert_eq!((cache.get(&1, &1), cache.get(&2, &2)), (None, Some("row")));
        cache.insert(mine, &1, 10, "loaded before");
        cache.insert(others, &2, 20, "loaded before");
        assert_eq!((cache.get(&1, &10), cache.get(&2, &20)), (None, Some("loaded before")));
        cache.insert(cache.generation(&1), &1, 1, "loaded after");
        cache.invalidate(1, &10);
        assert_eq!(cache.get(&1, &1), Some("loaded after"), "only one row of the group changed");
    }

    #[test]
    fn a_row_grows_no_older_than_two_periods_whatever_is_missed() {
        let cache = CommitCache::new(8);
        let before = cache.generation(&1);
        cache.insert(cache.generation(&1), &1, "one", 1);
        cache.age();
        cache.insert(before, &1, "late", 2);
        cache.insert(cache.generation(&1), &1, "two", 3);
        let found = |key| cache.get(&1, &key);
        assert_eq!((found("one"), found("late"), found("two")), (Some(1), Some(2), Some(3)));
        cache.age();
        assert_eq!((found("one"), found("late"), found("two")), (None, None, Some(3)));
    }

    #[test]
    fn it_never_exceeds_its_capacity() {
        let cache = CommitCache::new(2);
        for key in 0..10 {
            cache.insert(cache.generation(&0), &0, key, key);
        }
        assert_eq!((0..10).filter(|key| cache.get(&0, key).is_some()).count(), 2);
        assert_eq!(cache.get(&0, &9), Some(9));
    }

    #[test]
    fn too_many_groups_forget_everything_and_nothing_stale_comes_back() {
        let cache = CommitCache::new(2);
        let generation = cache.generation(&9);
        cache.insert(generation, &9, 9, "old");
        for group in 0..3 {
            cache.invalidate(group, &group);
        }
        assert_eq!(cache.get(&9, &9), None);
        cache.insert(generation, &9, 9, "old");
        assert_eq!(cache.get(&9, &9), None, "it was loaded before something that is forgotten");
        assert!(cache.state.read().groups.len() <= 2);
    }
}
