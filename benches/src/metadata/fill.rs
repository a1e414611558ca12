//! Names by the million: each a commit of one chunk with its sealed attributes and its wrap, as a gateway's would be,
//! applied to the store in batches as the state machine does.
//!
//! Only the log is left out. The store's mark stays at the entry that it is at: a server that starts over it later
//! finds the rows as that entry left them, and does not see that they are more.

use crate::world::{GATEWAY, name, scatter, slot};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use metadata::apply::{self, LEASE_CHUNKS};
use metadata::command::{Commit, CommittedPlace, NamespaceCommand};
use metadata::keys::BucketKey;
use metadata::tables::{BUCKET_NAMES, BUCKETS, BucketRow, GROUPS, HEADS, KEKS};
use metadata::{Command, Keyring, Proposal, Reply, Store, StoreError};
use seal::wrap::ReferenceContext;
use std::ops::Range;
use std::sync::{Arc, mpsc};
use std::thread;
use types::attributes::{Attributes, Checksum, ChecksumAlgorithm, ChecksumKind, ContentHeaders};
use types::placement::Epoch;
use types::wire::metadata::{WallTime, WriteLease, WrittenRun};
use types::{BlobId, ByteCount, GroupId, RequestId, SessionId, VersionId};

/// Length of each object: one chunk of 4+2 holds it.
const LENGTH: ByteCount = ByteCount::new(1 << 20);
/// Batches that are made ahead of those that are applied.
const AHEAD: usize = 4;

/// Fills one bucket.
pub(crate) struct Filler {
    store: Store,
    mark: Vec<u8>,
    session: SessionId,
    sequence: u64,
    bucket: BucketRow,
    key: Arc<BucketKey>,
    groups: Vec<GroupId>,
}

impl Filler {
    /// Over a store that holds what `Running::begin` has made.
    pub(crate) fn new(store: Store) -> Result<Self> {
        let mark = store.mark().context("the store has a mark")?;
        let (_, id) = BUCKET_NAMES
            .scan(&store, &[])
            .next()
            .context("a bucket")??;
        let bucket = BUCKETS.get(&store, &id)?.context("its row")?;
        let kek = KEKS.get(&store, &(id, 1))?.context("its key")?;
        let keys = Keyring::new(seal::provider::default(), slot().rings);
        let key = keys.unseal(id, 1, &kek.wrapped)?;
        let groups = GROUPS.scan(&store, &[]);
        let groups = groups.map(|row| row.map(|(_, group)| group.id));
        let groups = groups.collect::<Result<Vec<_>, StoreError>>()?;
        let mut filler = Self {
            store,
            mark,
            session: SessionId::new(0),
            sequence: 1,
            bucket,
            key,
            groups,
        };
        let gateway = GATEWAY;
        match filler.one(NamespaceCommand::OpenSession { gateway })? {
            Reply::Session(session) => filler.session = session.id,
            other => bail!("{other:?}"),
        }
        Ok(filler)
    }

    /// The first number of `below` whose name is not there yet: they come in order.
    pub(crate) fn next(&self, below: u64) -> Result<u64> {
        let (mut there, mut end) = (0, below);
        while there < end {
            let middle = u64::midpoint(there, end);
            if HEADS.contains(&self.store, &(self.bucket.bucket.id, name(middle)))? {
                there = middle + 1;
            } else {
                end = middle;
            }
        }
        Ok(there)
    }

    /// Commits the names of these numbers, so many in a batch.
    pub(crate) fn fill(&mut self, numbers: Range<u64>, batch: usize) -> Result<()> {
        let mut from = numbers.start;
        while from < numbers.end {
            let to = numbers.end.min(from + LEASE_CHUNKS);
            self.fill_lease(from..to, batch)?;
            from = to;
        }
        Ok(())
    }

    /// As many as one lease has chunks for.
    fn fill_lease(&mut self, numbers: Range<u64>, batch: usize) -> Result<()> {
        let session = self.session;
        let lease = match self.one(NamespaceCommand::OpenLease { session })? {
            Reply::Lease(lease) => lease,
            other => bail!("{other:?}"),
        };
        let count = u32::try_from(numbers.end - numbers.start)?;
        let first_blob = match self.one(NamespaceCommand::ReserveBlobIds { count })? {
            Reply::Ids { first, .. } => first,
            other => bail!("{other:?}"),
        };
        let maker = Maker {
            session,
            first_sequence: self.sequence,
            bucket: self.bucket.clone(),
            key: Arc::clone(&self.key),
            groups: self.groups.clone(),
            lease,
            first_blob,
            first: numbers.start,
        };
        let (made, batches) = mpsc::sync_channel(AHEAD);
        thread::scope(|scope| {
            scope.spawn(move || {
                let numbers: Vec<u64> = numbers.collect();
                for part in numbers.chunks(batch) {
                    let commits = part.iter().map(|number| maker.commit(*number));
                    // Who applies has failed, and says so itself.
                    if made.send(commits.collect()).is_err() {
                        return;
                    }
                }
            });
            for batch in batches {
                self.apply(batch)?;
            }
            anyhow::Ok(())
        })?;
        self.sequence += u64::from(count);
        let lease = lease.id;
        self.one(NamespaceCommand::CloseLease { session, lease })?;
        Ok(())
    }

    fn one(&mut self, command: NamespaceCommand) -> Result<Reply> {
        let proposal = proposal(0, command);
        let mut txn = self.store.begin();
        let reply = metadata::apply(&mut txn, &proposal)?;
        self.store.commit(txn.into_changes(), &self.mark)?;
        Ok(reply)
    }

    /// One batch, in one transaction.
    fn apply(&mut self, batch: Vec<Proposal>) -> Result<()> {
        let mut txn = self.store.begin();
        for proposal in &batch {
            match apply::apply(&mut txn, proposal)? {
                Reply::Committed { .. } => {}
                other => bail!("{other:?}"),
            }
        }
        self.store.commit(txn.into_changes(), &self.mark)?;
        Ok(())
    }

    /// Ends the use of the store as a server does.
    pub(crate) fn close(self) -> Result<()> {
        Ok(self.store.close_clean()?)
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The bucket's row.
    pub(crate) fn bucket(&self) -> &BucketRow {
        &self.bucket
    }
}

/// Makes commits within one lease.
struct Maker {
    session: SessionId,
    first_sequence: u64,
    bucket: BucketRow,
    key: Arc<BucketKey>,
    groups: Vec<GroupId>,
    lease: WriteLease,
    first_blob: u64,
    /// The number of the first.
    first: u64,
}

impl Maker {
    fn commit(&self, number: u64) -> Proposal {
        let nth = number - self.first;
        let sequence = self.first_sequence + nth;
        let request = RequestId {
            session: self.session,
            sequence,
            answered_below: sequence,
        };
        let (high, low) = (scatter(2 * number), scatter(2 * number + 1));
        let drawn = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
        let version = VersionId::new(drawn);
        let (key, blob) = (name(number), BlobId::new(self.first_blob + nth));
        let reference = ReferenceContext {
            blob,
            label_digest: self.bucket.bucket.label.digest(),
            bucket: self.bucket.bucket.id,
            key: &key,
            version,
            part: 0,
            length: LENGTH,
        };
        let wrap = self.key.refer(&seal::key::random_data_key(), &reference);
        let attributes = Attributes {
            etag: hex::encode(drawn),
            content: ContentHeaders {
                media_type: Some("application/x-tar".to_owned()),
                ..ContentHeaders::default()
            },
            user: Vec::new(),
            checksums: vec![Checksum {
                algorithm: ChecksumAlgorithm::Crc64Nvme,
                kind: ChecksumKind::FullObject,
                value: low.to_be_bytes().to_vec(),
            }],
        };
        let attributes: Bytes = self.key.seal_attributes(&key, version, &attributes);
        let run = WrittenRun {
            lease: self.lease.id,
            group: self.groups[usize::try_from(scatter(number)).unwrap_or(0) % self.groups.len()],
            epoch: Epoch(1),
            first_chunk: self.lease.first.plus(nth),
            chunks: 1,
            first_index: 0,
            missing: Vec::new(),
        };
        let commit = Commit {
            request,
            bucket: self.bucket.bucket.id,
            key,
            version,
            length: LENGTH,
            kek_version: 1,
            attributes,
            blob,
            wrap,
            wrap_expires_ms: u64::MAX,
            place: CommittedPlace::Runs {
                profile: self.bucket.bucket.profile,
                runs: vec![run],
            },
            tags: None,
            expected: None,
        };
        proposal(number, NamespaceCommand::Commit(commit))
    }
}

fn proposal(wall: u64, command: NamespaceCommand) -> Proposal {
    Proposal {
        wall: WallTime(wall),
        command: Command::Namespace(command),
    }
}
