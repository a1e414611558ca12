//! The doorbell: no work is slept through.

use super::doorbell::Doorbell;
use super::sync::{AtomicBool, Ordering};
use super::{SCHEDULES, is_found};
use shuttle::sync::{Arc, Condvar, Mutex};
use shuttle::thread;
use std::collections::VecDeque;

const CALLERS: u32 = 3;
const EACH: u32 = 2;

/// Work is queued by several callers while the driver, who has nothing in flight, keeps falling asleep.
#[test]
fn no_work_is_slept_through() {
    shuttle::check_random(serve::<Doorbell>, SCHEDULES);
}

/// A driver that looks at the queue first, and then says that it sleeps, is found out.
#[test]
fn a_driver_that_looks_too_early_is_found() {
    assert!(is_found(serve::<Hasty>));
}

/// A caller that looks whether the driver sleeps before it queues its work is found out.
#[test]
fn a_caller_that_rings_too_early_is_found() {
    assert!(is_found(serve::<Early>));
}

trait Bell: Default + Send + Sync + 'static {
    fn announce(&self, queue: impl FnOnce(), wake: impl FnOnce());
    fn may_sleep(&self, nothing_to_do: impl FnOnce() -> bool) -> bool;
    fn awake(&self);
}

/// The eventfd: set until it is read.
#[derive(Default)]
struct Event(Mutex<bool>, Condvar);

impl Event {
    fn wake(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_one();
    }

    fn wait(&self) {
        let mut rung = self.0.lock().unwrap();
        while !std::mem::take(&mut *rung) {
            rung = self.1.wait(rung).unwrap();
        }
    }
}

fn serve<B: Bell>() {
    let bell = Arc::new(B::default());
    let event = Arc::new(Event::default());
    let queue = Arc::new(Mutex::new(VecDeque::new()));
    let callers = (0..CALLERS).map(|caller| {
        let (bell, event, queue) = (bell.clone(), event.clone(), queue.clone());
        thread::spawn(move || {
            for number in 0..EACH {
                let add = || queue.lock().unwrap().push_back((caller, number));
                bell.announce(add, || event.wake());
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    let mut served = 0;
    while served < CALLERS * EACH {
        // One at a time, so that the lock is let go between them.
        while queue.lock().unwrap().pop_front().is_some() {
            served += 1;
        }
        if served < CALLERS * EACH && bell.may_sleep(|| queue.lock().unwrap().is_empty()) {
            event.wait();
        }
        bell.awake();
    }
    callers
        .into_iter()
        .for_each(|caller| caller.join().unwrap());
}

impl Default for Doorbell {
    fn default() -> Self {
        Self::new()
    }
}

impl Bell for Doorbell {
    fn announce(&self, queue: impl FnOnce(), wake: impl FnOnce()) {
        queue();
        self.ring(wake);
    }

    fn may_sleep(&self, nothing_to_do: impl FnOnce() -> bool) -> bool {
        Self::may_sleep(self, nothing_to_do)
    }

    fn awake(&self) {
        Self::awake(self);
    }
}

struct Hasty(AtomicBool);

impl Default for Hasty {
    fn default() -> Self {
        Self(AtomicBool::new(false))
    }
}

impl Bell for Hasty {
    fn announce(&self, queue: impl FnOnce(), wake: impl FnOnce()) {
        queue();
        if self.0.swap(false, Ordering::SeqCst) {
            wake();
        }
    }

    fn may_sleep(&self, nothing_to_do: impl FnOnce() -> bool) -> bool {
        let nothing = nothing_to_do();
        self.0.store(true, Ordering::SeqCst);
        nothing
    }

    fn awake(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

#[derive(Default)]
struct Early(Doorbell);

impl Bell for Early {
    fn announce(&self, queue: impl FnOnce(), wake: impl FnOnce()) {
        self.0.ring(wake);
        queue();
    }

    fn may_sleep(&self, nothing_to_do: impl FnOnce() -> bool) -> bool {
        self.0.may_sleep(nothing_to_do)
    }

    fn awake(&self) {
        self.0.awake();
    }
}
