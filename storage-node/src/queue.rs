//! What waits for a disk's writer.

use crate::plan::{Batch, Request};
use crate::record;
use crate::ticket::Ticket;
use tokio::sync::mpsc;
use types::ByteCount;

/// Requests that may wait for a disk; more are told that it is busy.
pub(crate) const QUEUE: usize = 256;

/// Tickets on their way to the writer, and in its hands.
pub(crate) struct Queue {
    tickets: mpsc::Receiver<Ticket>,
    /// To be made durable, in order.
    pub(crate) waiting: Vec<Ticket>,
    /// Answered when nothing waits.
    looks: Vec<Ticket>,
    /// What the first of those that wait are written as already.
    pub(crate) ahead: Option<Batch>,
}

impl Queue {
    pub(crate) fn of(tickets: mpsc::Receiver<Ticket>) -> Self {
        Self {
            tickets,
            waiting: Vec::with_capacity(QUEUE),
            looks: Vec::new(),
            ahead: None,
        }
    }

    /// Takes in all that is there, as soon as there is any. Whether more may come.
    pub(crate) async fn receive(&mut self) -> bool {
        let room = QUEUE.saturating_sub(self.waiting.len());
        let any = self.tickets.recv_many(&mut self.waiting, room).await > 0;
        let looks = self.waiting.extract_if(.., |ticket| ticket.is_look());
        self.looks.extend(looks);
        any
    }

    /// As [`Queue::receive`], unless what waits is to be done first: a look is not kept from its answer by those
    /// that come after it. Given up, it has taken nothing in.
    pub(crate) async fn receive_more(&mut self) -> bool {
        !self.is_looked_at() && self.waiting.len() < QUEUE && self.receive().await
    }

    /// Whether a look waits for its answer.
    pub(crate) fn is_looked_at(&self) -> bool {
        !self.looks.is_empty()
    }

    /// All that waited was done.
    pub(crate) fn looked(&mut self) {
        self.looks.drain(..).for_each(Ticket::looked);
    }

    pub(crate) fn requests(&self) -> Vec<Request<'_>> {
        self.waiting.iter().map(Ticket::request).collect()
    }

    /// Whether the shards that wait, and another one like the last, are longer than that.
    pub(crate) fn is_worth(&self, batch: ByteCount) -> bool {
        let shards = self.waiting.iter().filter_map(Ticket::shard);
        let lengths = shards.map(|put| record::length(ByteCount::of(&put.payload)).get());
        let (sum, last) = lengths.fold((0, 0), |(sum, _), length| (sum + length, length));
        sum + last > batch.get()
    }
}
