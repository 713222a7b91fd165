//! Turns: each developer with waiting work gets one item done, then the next developer.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// How much may wait, and how much may be at work at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Items that wait in all. The second half is reserved for owners with nothing waiting: however
    /// much the others queue, each can add its first item.
    pub(crate) waiting: usize,
    /// Items of one owner that wait.
    pub(crate) waiting_each: usize,
    /// Items of one owner that are [lent](FairQueue::lend) at the same time.
    pub(crate) lent_each: usize,
}

/// A queue for each owner, and a round of those whose turn it can be. An owner's items come out in
/// the order in which they went in; between two items of one owner, each other owner that had
/// something waiting gets its turn. Every operation takes the same time however much waits.
#[derive(Debug)]
pub(crate) struct FairQueue<K, T> {
    limits: Limits,
    parts: HashMap<K, Part<T>>,
    /// The owners with something waiting and less than `lent_each` lent, each once.
    round: VecDeque<K>,
    waiting: usize,
}

/// An owner's part; exists while something waits or is lent.
#[derive(Debug)]
struct Part<T> {
    waiting: VecDeque<T>,
    lent: usize,
}

impl<K: Copy + Eq + Hash, T> FairQueue<K, T> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, parts: HashMap::new(), round: VecDeque::new(), waiting: 0 }
    }

    /// How many items wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting
    }

    /// Whether an item can be taken now.
    pub(crate) fn has_turn(&self) -> bool {
        !self.round.is_empty()
    }

    /// Adds an item at the end of its owner's part; returns it when there is no room.
    pub(crate) fn push(&mut self, owner: K, item: T) -> Result<(), T> {
        let part = self.parts.get(&owner).map_or(0, |part| part.waiting.len());
        let room = if part == 0 { self.limits.waiting } else { self.limits.waiting / 2 };
        if self.waiting >= room || part >= self.limits.waiting_each {
            return Err(item);
        }
        let part =
            self.parts.entry(owner).or_insert_with(|| Part { waiting: VecDeque::new(), lent: 0 });
        part.waiting.push_back(item);
        self.waiting = self.waiting.saturating_add(1);
        if part.waiting.len() == 1 && part.lent < self.limits.lent_each {
            self.round.push_back(owner);
        }
        Ok(())
    }

    /// The item whose turn it is, for good.
    pub(crate) fn take(&mut self) -> Option<T> {
        self.next(0).map(|(_, item)| item)
    }

    /// The item whose turn it is, with its owner, until it is [returned](Self::returned).
    pub(crate) fn lend(&mut self) -> Option<(K, T)> {
        self.next(1)
    }

    /// Marks one of the owner's lent items as finished.
    pub(crate) fn returned(&mut self, owner: K) {
        let Some(part) = self.parts.get_mut(&owner) else { return };
        let was_at_limit = part.lent >= self.limits.lent_each;
        part.lent = part.lent.saturating_sub(1);
        if part.waiting.is_empty() {
            if part.lent == 0 {
                self.parts.remove(&owner);
            }
        } else if was_at_limit {
            self.round.push_back(owner);
        }
    }

    fn next(&mut self, lend: usize) -> Option<(K, T)> {
        let owner = self.round.pop_front()?;
        let part = self.parts.get_mut(&owner)?;
        let item = part.waiting.pop_front()?;
        self.waiting = self.waiting.saturating_sub(1);
        part.lent = part.lent.saturating_add(lend);
        if part.waiting.is_empty() {
            if part.lent == 0 {
                self.parts.remove(&owner);
            }
        } else if part.lent < self.limits.lent_each {
            self.round.push_back(owner);
        }
        Some((owner, item))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const WIDE: Limits = Limits { waiting: 1000, waiting_each: 1000, lent_each: usize::MAX };

    fn filled(limits: Limits, items: &[(char, u32)]) -> FairQueue<char, u32> {
        let mut queue = FairQueue::new(limits);
        for (owner, item) in items {
            queue.push(*owner, *item).unwrap();
        }
        queue
    }

    fn all(queue: &mut FairQueue<char, u32>) -> Vec<u32> {
        std::iter::from_fn(|| queue.take()).collect()
    }

    #[test]
    fn owners_take_turns_and_each_keeps_its_order() {
        let mut queue =
            filled(WIDE, &[('a', 1), ('a', 2), ('a', 3), ('b', 10), ('c', 20), ('b', 11)]);
        assert_eq!(queue.len(), 6);
        assert_eq!(all(&mut queue), [1, 10, 20, 2, 11, 3]);
        assert!(!queue.has_turn());
        assert!(queue.parts.is_empty(), "who has nothing waiting costs nothing");
    }

    #[test]
    fn whoever_comes_late_is_next_but_one_at_most() {
        let mut queue = filled(WIDE, &[('a', 1), ('a', 2), ('a', 3)]);
        assert_eq!(queue.take(), Some(1));
        queue.push('b', 10).unwrap();
        assert_eq!(all(&mut queue), [2, 10, 3]);
    }

    #[test]
    fn an_owner_holds_no_more_than_its_share() {
        let limits = Limits { lent_each: 2, ..WIDE };
        let mut queue = filled(limits, &[('a', 1), ('a', 2), ('a', 3), ('b', 10)]);
        assert_eq!(queue.lend(), Some(('a', 1)));
        assert_eq!(queue.lend(), Some(('b', 10)));
        assert_eq!(queue.lend(), Some(('a', 2)));
        assert_eq!(queue.lend(), None, "a has its share, b has nothing");
        assert_eq!(queue.len(), 1);
        queue.returned('a');
        assert_eq!(queue.lend(), Some(('a', 3)));
        for owner in ['a', 'a', 'b'] {
            queue.returned(owner);
        }
        assert!(queue.parts.is_empty());
    }

    #[test]
    fn a_full_queue_lets_everybody_in_once() {
        let limits = Limits { waiting: 8, waiting_each: 3, lent_each: 1 };
        let mut queue = filled(limits, &[('a', 1), ('a', 2), ('a', 3), ('b', 10)]);
        assert_eq!(queue.push('a', 4), Err(4), "a has three waiting");
        assert_eq!(queue.push('b', 11), Err(11), "half of the room is left for others");
        for other in ['c', 'd', 'e', 'f'] {
            queue.push(other, 20).unwrap();
        }
        assert_eq!(queue.push('g', 20), Err(20));
        assert_eq!(queue.take(), Some(1));
        queue.push('g', 20).unwrap();
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Push(u8),
        Take,
        Lend,
        Return(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..5u8).prop_map(Step::Push),
            1 => Just(Step::Take),
            2 => Just(Step::Lend),
            2 => (0..5u8).prop_map(Step::Return),
        ]
    }

    proptest! {
        /// Against a plain model: nothing is lost, doubled or out of its owner's order; bounds
        /// hold; an owner that can have a turn has one; none gets two turns while another waits.
        #[test]
        fn it_is_what_it_says(steps in prop::collection::vec(step(), 0..200)) {
            let limits = Limits { waiting: 24, waiting_each: 6, lent_each: 2 };
            let mut queue: FairQueue<u8, u32> = FairQueue::new(limits);
            let mut waiting: BTreeMap<u8, VecDeque<u32>> = BTreeMap::new();
            let mut lent: BTreeMap<u8, usize> = BTreeMap::new();
            // Turns of others since an owner could have had one.
            let mut passed: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
            for (item, step) in (0..).zip(steps) {
                match step {
                    Step::Push(owner) => {
                        let own = waiting.entry(owner).or_default();
                        let fits = own.len() < limits.waiting_each;
                        let is_first = own.is_empty();
                        let total: usize = waiting.values().map(VecDeque::len).sum();
                        let fits = fits && total <
                            if is_first { limits.waiting } else { limits.waiting / 2 };
                        prop_assert_eq!(queue.push(owner, item).is_ok(), fits);
                        if fits {
                            waiting.entry(owner).or_default().push_back(item);
                        }
                    }
                    Step::Return(owner) => {
                        let count = lent.entry(owner).or_default();
                        if *count > 0 {
                            *count = count.saturating_sub(1);
                            queue.returned(owner);
                        }
                    }
                    Step::Take | Step::Lend => {
                        let may = |owner: &u8| {
                            waiting.get(owner).is_some_and(|own| !own.is_empty())
                                && lent.get(owner).copied().unwrap_or(0) < limits.lent_each
                        };
                        let could: Vec<u8> = (0..5).filter(may).collect();
                        prop_assert_eq!(queue.has_turn(), !could.is_empty());
                        let Some((owner, item)) = (match step {
                            Step::Lend => queue.lend(),
                            _ => queue.next(0),
                        }) else {
                            prop_assert!(could.is_empty());
                            continue;
                        };
                        prop_assert!(could.contains(&owner));
                        prop_assert_eq!(waiting.get_mut(&owner).and_then(VecDeque::pop_front),
                            Some(item));
                        if matches!(step, Step::Lend) {
                            let count = lent.entry(owner).or_default();
                            *count = count.saturating_add(1);
                        }
                        passed.retain(|waits, _| could.contains(waits) && *waits != owner);
                        for waits in could.into_iter().filter(|waits| *waits != owner) {
                            let passed = passed.entry(waits).or_default();
                            prop_assert!(!passed.contains(&owner), "{owner} had two turns while {waits} waited");
                            passed.push(owner);
                        }
                    }
                }
                prop_assert_eq!(queue.len(), waiting.values().map(VecDeque::len).sum::<usize>());
                let busy = (0..5u8).filter(|owner| {
                    waiting.get(owner).is_some_and(|own| !own.is_empty())
                        || lent.get(owner).is_some_and(|n| *n > 0)
                });
                prop_assert_eq!(queue.parts.len(), busy.count());
            }
        }
    }
}
