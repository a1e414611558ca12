//! Lookups of many requests that share calls.
//!
//! A call over HTTP/2 and TLS costs more than the lookup in it. So no more than [`CALLS`] are under way at a time:
//!
//! ```text
//! lookup --fewer are under way--> a call of its own, at once
//!    `--- waits; whichever call ends next is followed by one for all that wait, up to MAX_LOOKUPS
//! ```
//!
//! A gateway with little to do asks as quickly as if this were not here; a busy one sends fewer and longer calls, the busier
//! the longer. What always holds: a lookup is sent after it was asked for, so that its answer is as linearizable as in
//! a call of its own; it waits only while calls are under way, each of which ends by itself. As many wait as there
//! are requests that the gateway has admitted.

use crate::session::lock;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;
use types::wire::Metadata;
use types::wire::metadata::{Located, Lookup, MAX_LOOKUPS, MetadataError};

/// Calls under way at a time.
const CALLS: usize = 4;
/// A server that did not know calls for many lookups is asked again after this: it may be of a newer build by then.
const ASKED_AGAIN: Duration = Duration::from_secs(60);

type Answer = Result<Located, MetadataError>;
type Waiting = (Lookup, oneshot::Sender<Answer>);

/// All lookups of a client.
pub(crate) struct Lookups {
    shared: Arc<Shared>,
    /// Those that send calls for many. They end with this.
    senders: Mutex<JoinSet<()>>,
    /// Calls may be given up outside of it.
    runtime: Handle,
}

struct Shared {
    metadata: Arc<dyn Metadata>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    under_way: usize,
    waiting: VecDeque<Waiting>,
    /// Until then each is sent by itself.
    apart_until: Option<Instant>,
}

/// How a lookup is to be asked for.
enum Turn {
    /// By itself, since the server knows no other way.
    Apart(Lookup),
    /// In a call of its own, which is one of those under way.
    Own(Lookup),
    /// Together with others.
    Waits(oneshot::Receiver<Answer>),
}

impl State {
    fn apart(&self) -> bool {
        self.apart_until.is_some_and(|until| Instant::now() < until)
    }
}

/// A call under way. Whoever waits is next when it ends, however it ends.
struct UnderWay<'l>(&'l Lookups);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.shared.state);
        if state.waiting.is_empty() {
            state.under_way -= 1;
            return;
        }
        drop(state);
        let mut senders = lock(&self.0.senders);
        while senders.try_join_next().is_some() {}
        senders.spawn_on(send(Arc::clone(&self.0.shared)), &self.0.runtime);
    }
}

impl Lookups {
    /// For a client, within the runtime of its tasks.
    pub(crate) fn new(metadata: Arc<dyn Metadata>) -> Self {
        let state = Mutex::default();
        Self {
            shared: Arc::new(Shared { metadata, state }),
            senders: Mutex::default(),
            runtime: Handle::current(),
        }
    }

    /// Looks one up.
    pub(crate) async fn ask(&self, lookup: Lookup) -> Answer {
        match self.shared.turn(lookup) {
            Turn::Apart(lookup) => self.shared.metadata.lookup(lookup).await,
            Turn::Own(lookup) => {
                let _under_way = UnderWay(self);
                self.shared.metadata.lookup(lookup).await
            }
            Turn::Waits(answered) => answered.await.unwrap_or_else(|_| {
                let text = "the call that it was to be part of ended".to_owned();
                Err(MetadataError::Unavailable(text))
            }),
        }
    }
}

/// Sends calls for those that wait, one call after the other, until nobody does.
async fn send(shared: Arc<Shared>) {
    loop {
        let (lookups, askers): (Vec<Lookup>, Vec<_>) = {
            let mut state = lock(&shared.state);
            // Who gave up meanwhile is not asked for.
            state.waiting.retain(|(_, asker)| !asker.is_closed());
            let most = if state.apart() { 1 } else { MAX_LOOKUPS };
            let many = state.waiting.len().min(most);
            if many == 0 {
                state.under_way -= 1;
                return;
            }
            state.waiting.drain(..many).unzip()
        };
        let answers = shared.ask(lookups).await;
        for (asker, answer) in askers.into_iter().zip(answers) {
            drop(asker.send(answer));
        }
    }
}

impl Shared {
    fn turn(&self, lookup: Lookup) -> Turn {
        let mut state = lock(&self.state);
        if state.apart() {
            return Turn::Apart(lookup);
        }
        if state.under_way < CALLS {
            state.under_way += 1;
            return Turn::Own(lookup);
        }
        let (answer, answered) = oneshot::channel();
        state.waiting.push_back((lookup, answer));
        Turn::Waits(answered)
    }

    /// One answer for each.
    async fn ask(&self, mut lookups: Vec<Lookup>) -> Vec<Answer> {
        let many = lookups.len();
        if many == 1 {
            let only = lookups.pop().expect("one");
            return vec![self.metadata.lookup(only).await];
        }
        let why = match self.metadata.lookups(lookups).await {
            Ok(answers) if answers.len() == many => return answers,
            Ok(answers) => {
                let text = format!("{} answers to {many} lookups", answers.len());
                MetadataError::Unavailable(text)
            }
            Err(MetadataError::NoSuchCall) => {
                lock(&self.state).apart_until = Some(Instant::now() + ASKED_AGAIN);
                // They ask again, each by itself.
                MetadataError::Unavailable("lookups are asked for one by one".to_owned())
            }
            Err(error) => error,
        };
        vec![Err(why); many]
    }
}
