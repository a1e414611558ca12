//! The buffers' pool: no piece of memory is in two hands, and idle ones stay within the bound.

use super::pool::Pool;
use super::sync::{AtomicBool, Ordering};
use super::{SCHEDULES, is_found};
use shuttle::sync::{Arc, Mutex};
use shuttle::thread;

const SIZE: usize = 2;
/// Room for two idle pieces.
const MOST: usize = 5;
const USERS: usize = 3;

#[test]
fn no_memory_is_in_two_hands() {
    shuttle::check_random(share::<Pool<Piece>>, SCHEDULES);
}

/// A pool that looks for a piece and takes it out later is found out.
#[test]
fn a_pool_that_looks_and_then_takes_is_found() {
    assert!(is_found(share::<Peeking>));
}

/// What was needed at any time since the last look stays; what was not is given back, and makes room.
#[test]
fn what_nobody_needed_is_given_back() {
    shuttle::check_random(give_back, 1);
}

fn give_back() {
    let pool = Pool::new(100);
    for piece in 0..4 {
        assert_eq!(pool.give(10, piece), None);
    }
    assert_eq!(pool.give(60, 4), None);
    assert_eq!(pool.give(10, 5), Some(5), "it is full");
    assert_eq!(pool.unused(), [], "they are new");
    for _ in 0..3 {
        let (one, other) = (pool.take(10).unwrap(), pool.take(10).unwrap());
        pool.give(10, other);
        pool.give(10, one);
    }
    assert_eq!(pool.unused(), [0, 1, 4], "two were in use at once");
    assert_eq!(pool.give(60, 6), None, "there is room again");
    assert_eq!(pool.unused(), [2, 3]);
    assert_eq!(pool.unused(), [6]);
    assert_eq!((pool.take(10), pool.take(60)), (None, None));
    assert_eq!(pool.give(100, 7), None);
}

/// Memory that knows whether it is in use.
type Piece = Arc<AtomicBool>;

trait Shared: Send + Sync + 'static {
    fn empty() -> Self;
    fn take(&self) -> Option<Piece>;
    fn give(&self, piece: Piece);
    fn give_back(&self) {}
}

fn share<P: Shared>() {
    let pool = Arc::new(P::empty());
    let users = (0..USERS).map(|_| {
        let pool = pool.clone();
        thread::spawn(move || {
            for _ in 0..3 {
                let piece = pool
                    .take()
                    .unwrap_or_else(|| Arc::new(AtomicBool::new(false)));
                assert!(!piece.swap(true, Ordering::SeqCst), "in two hands");
                thread::yield_now();
                piece.store(false, Ordering::SeqCst);
                pool.give(piece);
            }
        })
    });
    let mut users: Vec<_> = users.collect();
    let gives_back = pool.clone();
    users.push(thread::spawn(move || gives_back.give_back()));
    users.into_iter().for_each(|user| user.join().unwrap());
    let idle = std::iter::from_fn(|| pool.take()).count();
    assert!(idle <= MOST / SIZE, "{idle} idle pieces");
}

impl Shared for Pool<Piece> {
    fn empty() -> Self {
        Self::new(MOST)
    }

    fn take(&self) -> Option<Piece> {
        Self::take(self, SIZE)
    }

    fn give(&self, piece: Piece) {
        drop(Self::give(self, SIZE, piece));
    }

    fn give_back(&self) {
        for piece in self.unused() {
            assert!(!piece.swap(true, Ordering::SeqCst), "given back in use");
        }
    }
}

struct Peeking(Mutex<Vec<Piece>>);

impl Shared for Peeking {
    fn empty() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    fn take(&self) -> Option<Piece> {
        let last = self.0.lock().unwrap().last().cloned()?;
        self.0.lock().unwrap().pop();
        Some(last)
    }

    fn give(&self, piece: Piece) {
        let mut idle = self.0.lock().unwrap();
        if (idle.len() + 1) * SIZE <= MOST {
            idle.push(piece);
        }
    }
}
