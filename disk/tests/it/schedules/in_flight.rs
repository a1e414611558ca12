//! The table of what is in flight, before a kernel that completes in any order, tells some completions twice,
//! and may fall silent: every operation is answered once, and with its own outcome.

use super::slots::{Slots, Tag};
use super::{SCHEDULES, is_found};
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::{Arc, Mutex};
use shuttle::thread;
use std::collections::VecDeque;

const DEPTH: u32 = 2;
const OPERATIONS: u32 = 6;

#[test]
fn every_operation_is_answered_once_with_its_own_outcome() {
    shuttle::check_random(drive::<Slots<u32>>, SCHEDULES);
}

/// A table that lets a slot again without a new generation takes a late completion for the new tenant's.
#[test]
fn a_slot_without_generations_is_found() {
    assert!(is_found(drive::<Plain>));
}

trait Table {
    fn empty() -> Self;
    fn is_full(&self) -> bool;
    fn put(&mut self, operation: u32) -> u64;
    fn take(&mut self, tag: u64) -> Option<u32>;
    fn clear(&mut self) -> Vec<u32>;
}

/// What is submitted: a tag, and which operation it is really for.
type Entry = (u64, u32);

#[derive(Default)]
struct Ring {
    submitted: Mutex<Vec<Entry>>,
    completed: Mutex<VecDeque<Entry>>,
    /// The driver has left.
    closed: Mutex<bool>,
}

fn kernel(ring: &Ring) {
    while !*ring.closed.lock().unwrap() {
        let taken = {
            let mut submitted = ring.submitted.lock().unwrap();
            let any = !submitted.is_empty();
            any.then(|| {
                let one = thread_rng().gen_range(0..submitted.len());
                submitted.swap_remove(one)
            })
        };
        let Some(entry) = taken else {
            thread::yield_now();
            continue;
        };
        ring.completed.lock().unwrap().push_back(entry);
        if thread_rng().gen_bool(0.3) {
            thread::yield_now();
            ring.completed.lock().unwrap().push_back(entry);
        }
    }
}

fn drive<T: Table>() {
    let ring = Arc::new(Ring::default());
    let side = {
        let ring = ring.clone();
        thread::spawn(move || kernel(&ring))
    };
    // After so many turns the ring breaks off; what it leaves is done again.
    let mut turns = thread_rng().gen_range(4..60);
    let mut table = T::empty();
    let mut waiting: VecDeque<u32> = (0..OPERATIONS).collect();
    let mut answers = vec![0; OPERATIONS as usize];
    while answers.contains(&0) && turns > 0 {
        turns -= 1;
        while !table.is_full()
            && let Some(operation) = waiting.pop_front()
        {
            let tag = table.put(operation);
            ring.submitted.lock().unwrap().push((tag, operation));
        }
        let completion = ring.completed.lock().unwrap().pop_front();
        let Some((tag, outcome)) = completion else {
            thread::yield_now();
            continue;
        };
        if let Some(operation) = table.take(tag) {
            assert_eq!(operation, outcome, "an outcome of another operation");
            answers[operation as usize] += 1;
        }
    }
    let left = table.clear().into_iter().chain(waiting);
    left.for_each(|operation| answers[operation as usize] += 1);
    assert_eq!(answers, vec![1; OPERATIONS as usize]);
    *ring.closed.lock().unwrap() = true;
    side.join().unwrap();
}

impl Table for Slots<u32> {
    fn empty() -> Self {
        Self::new(DEPTH)
    }

    fn is_full(&self) -> bool {
        Self::is_full(self)
    }

    fn put(&mut self, operation: u32) -> u64 {
        Self::put(self, operation).to_bits()
    }

    fn take(&mut self, tag: u64) -> Option<u32> {
        Self::take(self, Tag::from_bits(tag))
    }

    fn clear(&mut self) -> Vec<u32> {
        Self::clear(self)
    }
}

struct Plain([Option<u32>; DEPTH as usize]);

impl Table for Plain {
    fn empty() -> Self {
        Self([None; DEPTH as usize])
    }

    fn is_full(&self) -> bool {
        self.0.iter().all(Option::is_some)
    }

    fn put(&mut self, operation: u32) -> u64 {
        let free = self.0.iter().position(Option::is_none).unwrap();
        self.0[free] = Some(operation);
        free as u64
    }

    fn take(&mut self, tag: u64) -> Option<u32> {
        self.0[usize::try_from(tag).unwrap()].take()
    }

    fn clear(&mut self) -> Vec<u32> {
        self.0.iter_mut().filter_map(Option::take).collect()
    }
}
