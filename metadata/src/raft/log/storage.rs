//! The log as openraft writes to it.

use crate::raft::log::record::Record;
use crate::raft::log::writer::{Answer, Effect, Item};
use crate::raft::log::{LogReader, Shared};
use crate::raft::types::{Entry, LogId, Position, StoredEntry, StoredVote, TypeConfig, Vote};
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend};
use std::io;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// The log's one owner.
pub(crate) struct LogStore {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Vec<Item>>,
    /// Number of the last append, by which the writer knows entries that were truncated meanwhile.
    appends: u32,
}

impl LogStore {
    pub(super) fn new(shared: Arc<Shared>, queue: mpsc::Sender<Vec<Item>>) -> Self {
        Self {
            shared,
            queue,
            appends: 0,
        }
    }

    async fn send(&self, items: Vec<Item>) -> io::Result<()> {
        let sent = self.queue.send(items).await;
        sent.map_err(|_| self.shared.failure())
    }

    /// Queues one record and waits until it is durable.
    async fn durably(
        &self,
        record: Record,
        effect: impl FnOnce(Answer) -> Effect,
    ) -> io::Result<()> {
        let (answer, durable) = oneshot::channel();
        let effect = effect(answer);
        self.send(vec![Item { record, effect }]).await?;
        durable.await.map_err(|_| self.shared.failure())?
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let memory = self.shared.memory();
        Ok(LogState {
            last_purged_log_id: memory.purged().map(LogId::from),
            last_log_id: memory.last().map(LogId::from),
        })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        LogReader::new(Arc::clone(&self.shared))
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let vote = StoredVote::from(vote);
        self.durably(Record::Vote(vote), |answer| Effect::Vote(vote, answer))
            .await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let committed = committed.map(Position::from);
        self.shared.memory().committed = committed;
        let item = Item {
            record: Record::Committed(committed),
            effect: Effect::Committed(committed),
        };
        self.send(vec![item]).await
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.shared.memory().committed.map(LogId::from))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        self.appends = self.appends.wrapping_add(1);
        let append = self.appends;
        let mut items = Vec::new();
        {
            let mut memory = self.shared.memory();
            for entry in entries {
                items.push(Item {
                    record: Record::Entry(StoredEntry::from(&entry)),
                    effect: Effect::Entry {
                        at: entry.log_id.into(),
                        append,
                        done: None,
                    },
                });
                memory.append(entry, append)?;
            }
        }
        match items.last_mut().map(|item| &mut item.effect) {
            Some(Effect::Entry { done, .. }) => *done = Some(callback),
            _ => {
                callback.io_completed(Ok(()));
                return Ok(());
            }
        }
        self.send(items).await
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let after = last.map(|id| id.index);
        let last = {
            let mut memory = self.shared.memory();
            memory.truncate(after);
            memory.last()
        };
        self.durably(Record::Truncated { after }, |answer| {
            Effect::Truncated(last, answer)
        })
        .await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        let upto = Position::from(upto);
        if !self.shared.verified.covers(upto.index) {
            return Err(io::Error::other(format!(
                "{upto} is not in this server's own verified snapshot: it is not purged"
            )));
        }
        self.shared.memory().purge(upto);
        self.durably(Record::Purged(upto), |answer| Effect::Purged(upto, answer))
            .await
    }
}
