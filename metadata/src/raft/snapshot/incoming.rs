//! A snapshot that is sent by another server, and goes on where it broke off.
//!
//! ```text
//! place --begin, go on--> incoming --part by part--> finished: verified from this disk, as every snapshot
//!   `---- kept: what has come so far ----' the sender broke off
//! ```
//!
//! What always holds: one is received at a time, so that who asks how much has come is told what stays so; parts are
//! known by the id of the file that they are sent from, in which part n is always the same bytes; what was kept is
//! used for nothing but going on, and dropped once a snapshot as new has come otherwise. It does not outlive the
//! process.

use crate::raft::snapshot::{SnapshotError, SnapshotFile, SnapshotWriter, Snapshots, label_of};
use crate::raft::types::Mark;
use seal::frame::FileId;
use std::sync::Arc;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// What the first part begins with of a snapshot that goes on where another call broke off.
const GOES_ON: u8 = b'G';
const GOES_ON_LENGTH: usize = 1 + 16 + 8;

/// Where a sender goes on: with which part, of which of its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GoesOn {
    pub(crate) of: FileId,
    pub(crate) with: u64,
}

impl GoesOn {
    /// As a part, which is sent in front of all others: `G ‖ file id (16) ‖ u64 number of the next part`.
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut part = vec![GOES_ON];
        part.extend_from_slice(&self.of.0);
        part.extend_from_slice(&self.with.to_be_bytes());
        part
    }

    /// None: it is another part.
    pub(crate) fn decode(part: &[u8]) -> Option<Self> {
        let part: &[u8; GOES_ON_LENGTH] = part.try_into().ok()?;
        let (kind, rest) = part.split_first()?;
        let (of, with) = rest.split_first_chunk::<16>()?;
        let with: [u8; 8] = with.try_into().ok()?;
        (*kind == GOES_ON).then_some(Self {
            of: FileId(*of),
            with: u64::from_be_bytes(with),
        })
    }
}

/// A snapshot of which some parts have come.
pub(crate) struct Incoming {
    of: Option<FileId>,
    label: Mark,
    writer: SnapshotWriter,
}

impl Incoming {
    /// Takes the next part.
    pub(crate) async fn add(&mut self, part: &[u8]) -> Result<(), SnapshotError> {
        self.writer.add_received(part).await
    }
}

/// What is kept of one that broke off.
#[derive(Clone, Default)]
pub(super) struct Kept(Arc<Mutex<Option<Incoming>>>);

impl Kept {
    /// Drops what is no newer than a snapshot that is there now.
    pub(super) fn outdated_by(&self, label: &Mark) {
        // Whoever is just receiving finds out by itself.
        if let Ok(mut kept) = self.0.try_lock()
            && kept
                .as_ref()
                .is_some_and(|kept| kept.label.applied <= label.applied)
        {
            *kept = None;
        }
    }
}

/// The place where snapshots are received, one at a time.
pub(crate) struct Place {
    snapshots: Arc<Snapshots>,
    kept: OwnedMutexGuard<Option<Incoming>>,
}

impl Place {
    /// Waits until nothing is received there.
    pub(crate) async fn of(snapshots: &Arc<Snapshots>) -> Self {
        let kept = Arc::clone(&snapshots.kept.0).lock_owned().await;
        Self {
            snapshots: Arc::clone(snapshots),
            kept,
        }
    }

    /// How many parts have come of the snapshot in that file.
    pub(crate) fn has(&self, of: FileId) -> u64 {
        let kept = self.kept.as_ref().filter(|kept| kept.of == Some(of));
        kept.map_or(0, |kept| kept.writer.next)
    }

    /// Begins one with its first part. What is kept of another stays until this one has an id, too.
    pub(crate) async fn begin(
        &mut self,
        of: Option<FileId>,
        label: &[u8],
    ) -> Result<Incoming, SnapshotError> {
        if of.is_some() {
            *self.kept = None;
        }
        let label = label_of(label)?;
        let writer = self.snapshots.begin(&label).await?;
        Ok(Incoming { of, label, writer })
    }

    /// Goes on with the one that is kept.
    pub(crate) fn go_on(&mut self, from: GoesOn) -> Result<Incoming, SnapshotError> {
        if self.has(from.of) != from.with {
            return Err(SnapshotError::Damaged("it goes on where nothing ends"));
        }
        self.kept
            .take()
            .ok_or(SnapshotError::Damaged("it goes on where nothing ends"))
    }

    /// Keeps what has come of one that broke off; of a file that is not known, nothing.
    pub(crate) fn keep(&mut self, incoming: Incoming) {
        if incoming.of.is_some() {
            tracing::info!(
                parts = incoming.writer.next,
                bytes = incoming.writer.bytes().get(),
                "a snapshot broke off while it was received"
            );
            *self.kept = Some(incoming);
        }
    }

    /// Ends one of which all has come.
    pub(crate) async fn finish(
        self,
        incoming: Incoming,
    ) -> Result<Arc<SnapshotFile>, SnapshotError> {
        self.snapshots.finish(incoming.writer).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What goes in front of the parts is as it was drawn, and no other part is taken for it.
    #[test]
    fn goes_on_is_told_from_parts() {
        let from = GoesOn {
            of: FileId([0xa7; 16]),
            with: 0x0102_0304,
        };
        let part = from.encode();
        let drawn = [&b"G"[..], &[0xa7; 16], &[0, 0, 0, 0, 1, 2, 3, 4]].concat();
        assert_eq!(part, drawn);
        assert_eq!(GoesOn::decode(&part), Some(from));
        for kind in [b'L', b'R', b'M', b'T'] {
            let mut other = part.clone();
            other[0] = kind;
            assert_eq!(GoesOn::decode(&other), None);
        }
        assert_eq!(GoesOn::decode(&part[..24]), None);
        assert_eq!(GoesOn::decode(&[&part[..], &[0]].concat()), None);
    }
}
