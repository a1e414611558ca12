//! Runs a ring to its end. If it breaks off, threads serve what it leaves and what comes.
//!
//! The queue outlives the ring, so no caller notices more than a pause:
//!
//! ```text
//! ring breaks off --drain--> answered, as the kernel told
//!                    \--> unknown --thread has ended--> read:  into fresh memory
//!                                                       write: file settled? --> written again
//! queue ------------------------------------------------> threads
//! ```
//!
//! Why what is unknown may be done again is told in `unknown`.

use super::driver::{Bell, Broken, Driver};
use super::fault::Fault;
use super::operation::Operation;
use super::unknown::Unknown;
use crate::buffer::Buffer;
use crate::engine::folder::RawFile;
use crate::engine::threads::{self, Pool};
use std::io;
use std::sync::{Arc, OnceLock, mpsc as channel};
use std::thread;
use tokio::sync::mpsc;

/// What a ring is started with.
pub(super) struct Keeper {
    pub(super) bell: Arc<Bell>,
    pub(super) operations: mpsc::Receiver<Operation>,
    /// Why the ring broke off.
    pub(super) broken: Arc<OnceLock<String>>,
    pub(super) fault: Fault,
}

impl Keeper {
    /// Starts a ring and says in which mode, or why there is none; then keeps it for as long as the queue is
    /// open.
    pub(super) fn keep(
        mut self,
        probe: RawFile,
        content: &Buffer,
        ready: channel::Sender<io::Result<&'static str>>,
    ) {
        let (bell, fault, operations) = (self.bell, self.fault, &mut self.operations);
        // A ring of a single issuer belongs to the thread that makes it.
        let ring = move || {
            let driver = Driver::new(bell, fault).and_then(|(mut driver, mode)| {
                driver.probe(Arc::new(probe), content)?;
                Ok((driver, mode))
            });
            match driver {
                Err(error) => {
                    drop(ready.send(Err(error)));
                    Ok(())
                }
                Ok((driver, mode)) => {
                    drop(ready.send(Ok(mode)));
                    driver.run(operations)
                }
            }
        };
        let ended = thread::scope(|scope| {
            let thread = thread::Builder::new().name("disk-ring".to_owned());
            // `join` returns when the thread is gone in the kernel, too.
            thread.spawn_scoped(scope, ring).map(|ring| ring.join())
        });
        let broken = match ended {
            Ok(Ok(Ok(()))) => return,
            Ok(Ok(Err(broken))) => broken,
            Ok(Err(_panic)) => Broken {
                why: io::Error::other("its thread panicked"),
                unknown: Vec::new(),
            },
            // The sender of `ready` went with the closure: whoever starts it hears that.
            Err(_no_thread) => return,
        };
        tracing::warn!(
            unknown = broken.unknown.len(),
            "a disk's ring broke off ({}); threads serve the disk from now on, slower, until it is opened anew",
            broken.why
        );
        self.broken.get_or_init(|| broken.why.to_string());
        serve(broken.unknown, &mut self.operations);
    }
}

/// Serves by threads: first what the ring left, then what comes.
fn serve(unknown: Vec<Unknown>, operations: &mut mpsc::Receiver<Operation>) {
    // Without threads this one does it all.
    let pool = Pool::start(threads::THREADS).ok();
    let run = |job: threads::Job| match &pool {
        Some(pool) => pool.push(job),
        None => job(),
    };
    for operation in unknown {
        run(Box::new(move || operation.again()));
    }
    while let Some(operation) = operations.blocking_recv() {
        run(Box::new(move || operation.perform()));
    }
}
