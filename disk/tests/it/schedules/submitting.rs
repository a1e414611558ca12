//! Reads are queued by many and submitted by whoever is at it: none stays behind, and none is submitted twice.

use super::turns::take_turns;
use super::{SCHEDULES, is_found};
use shuttle::sync::{Arc, Mutex};
use shuttle::thread;

const THREADS: u32 = 3;
const EACH: u32 = 2;

#[test]
fn what_is_queued_is_submitted_once() {
    shuttle::check_random(|| drive(submit), SCHEDULES);
}

/// Who looks only before it is at it leaves behind what is queued meanwhile.
#[test]
fn one_who_does_not_look_again_is_found() {
    assert!(is_found(|| drive(submit_without_a_second_look)));
}

#[derive(Default)]
struct Ring {
    queued: Mutex<Vec<u32>>,
    submitted: Mutex<Vec<u32>>,
}

type Submit = fn(&Ring);

fn submit(ring: &Ring) {
    take_turns(
        &ring.submitted,
        || !ring.queued.lock().unwrap().is_empty(),
        |submitted| submitted.append(&mut ring.queued.lock().unwrap()),
    );
}

fn submit_without_a_second_look(ring: &Ring) {
    if let Ok(mut submitted) = ring.submitted.try_lock() {
        submitted.append(&mut ring.queued.lock().unwrap());
    }
}

fn drive(submit: Submit) {
    let ring = Arc::new(Ring::default());
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let ring = ring.clone();
            thread::spawn(move || {
                for n in 0..EACH {
                    ring.queued.lock().unwrap().push(thread * EACH + n);
                    submit(&ring);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let mut submitted = ring.submitted.lock().unwrap().clone();
    submitted.sort_unstable();
    assert_eq!(submitted, Vec::from_iter(0..THREADS * EACH));
}
