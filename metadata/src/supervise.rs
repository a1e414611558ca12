//! Keeps a replica running: one whose Raft stops for good is started again, after a pause that grows.
//!
//! ```text
//! running --Raft is fatal--> stopped (why) --pause--> starting --> running
//!                               ^-- pause, twice as long --' failed
//! ```
//!
//! What made it stop may have been its disk: then its start fails, and goes on failing, and the others go on
//! without it.

use crate::replica::{Replica, ReplicaError};
use crate::store::describe;
use futures::future::BoxFuture;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use types::NodeId;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Who ran so long is not failing again and again.
const STEADY: Duration = Duration::from_secs(60);

/// Starts a replica.
pub type Start = Box<dyn Fn() -> BoxFuture<'static, Result<Replica, ReplicaError>> + Send + Sync>;

/// Whether a replica runs.
#[derive(Clone)]
pub enum State {
    /// It does.
    Running(Arc<Replica>),
    /// It does not, and why; it is started again.
    Stopped(String),
}

/// A replica that is kept running.
pub struct Supervised {
    state: watch::Receiver<State>,
    wanted: watch::Sender<Wanted>,
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Running,
    /// For now: tests take a server away.
    Away,
    Ended,
}

impl Supervised {
    /// Starts it, and goes on trying where that fails; returns after the first attempt.
    pub async fn start(node: NodeId, start: Start) -> Self {
        let first = start().await.map(Arc::new);
        let (told, state) = watch::channel(match &first {
            Ok(replica) => State::Running(Arc::clone(replica)),
            Err(error) => State::Stopped(complain(node, error)),
        });
        let (wanted, wants) = watch::channel(Wanted::Running);
        let keeping = Keeping {
            node,
            start,
            told,
            wanted: wants,
        };
        Self {
            state,
            wanted,
            task: Mutex::new(Some(tokio::spawn(keeping.run(first.ok())))),
        }
    }

    /// Whether it runs at the moment.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// The replica, if it runs.
    pub fn running(&self) -> Option<Arc<Replica>> {
        match self.state() {
            State::Running(replica) => Some(replica),
            State::Stopped(_) => None,
        }
    }

    /// Stops it until it is wanted back.
    pub fn away(&self, away: bool) {
        self.wanted.send_if_modified(|wanted| {
            let next = if away { Wanted::Away } else { Wanted::Running };
            let changed = *wanted != Wanted::Ended && *wanted != next;
            if changed {
                *wanted = next;
            }
            changed
        });
    }

    /// Stops it for good; returns when it has.
    pub async fn stop(&self) {
        self.wanted.send_replace(Wanted::Ended);
        let task = self
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "who kept a metadata server running failed");
        }
    }
}

struct Keeping {
    node: NodeId,
    start: Start,
    told: watch::Sender<State>,
    wanted: watch::Receiver<Wanted>,
}

impl Keeping {
    async fn run(mut self, first: Option<Arc<Replica>>) {
        let mut running = first;
        let mut pause = FIRST_PAUSE;
        loop {
            if let Some(replica) = running.take() {
                let since = Instant::now();
                let why = self.until_it_stops(&replica).await;
                self.told.send_replace(State::Stopped(why));
                replica.stop().await;
                if since.elapsed() > STEADY {
                    pause = FIRST_PAUSE;
                }
            }
            if *self.wanted.borrow() == Wanted::Running {
                let wanted = self.wanted.wait_for(|wanted| *wanted != Wanted::Running);
                // Whether it is still wanted is looked at below.
                drop(tokio::time::timeout(pause, wanted).await);
                pause = LONGEST_PAUSE.min(2 * pause);
            }
            let wanted = self.wanted.wait_for(|wanted| *wanted != Wanted::Away).await;
            if !wanted.is_ok_and(|wanted| *wanted == Wanted::Running) {
                return;
            }
            match (self.start)().await {
                Ok(replica) => {
                    let replica = Arc::new(replica);
                    tracing::warn!(node = %self.node, "the metadata server runs again");
                    self.told.send_replace(State::Running(Arc::clone(&replica)));
                    running = Some(replica);
                }
                Err(error) => {
                    let why = complain(self.node, &error);
                    self.told.send_replace(State::Stopped(why));
                }
            }
        }
    }

    /// Waits until a replica stops, or is to be stopped, and says why.
    async fn until_it_stops(&mut self, replica: &Replica) -> String {
        tokio::select! {
            why = replica.node().stopped() => {
                tracing::error!(node = %self.node, why, "a metadata server has stopped; it is started again");
                why
            }
            _ = self.wanted.wait_for(|wanted| *wanted != Wanted::Running) => "it was stopped".into(),
        }
    }
}

/// Tells an operator why a replica did not start.
fn complain(node: NodeId, error: &ReplicaError) -> String {
    let text = describe(error);
    tracing::error!(%node, why = text, "a metadata server does not start; it is tried again");
    text
}
