//! Reading what a drive holds: blocks, descriptions, whole records.

use crate::drive::Drive;
use crate::index::Location;
use crate::record::{self, Header};
use crate::upkeep::Pace;
use crate::writer;
use bytes::Bytes;
use disk::{BLOCK, File};
use std::io;
use std::sync::Arc;
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;
use types::block::{self, CorruptBlock};
use types::shard::{ChunkDescription, ShardKey};
use types::wire::storage::{PutError, PutShard, ReadError, ReadShard};
use types::{ByteCount, ByteOffset};

/// A record that is about to be read. Its file stays open for as long as this is there.
struct Found<'a> {
    location: Location,
    file: Arc<dyn File>,
    _permit: SemaphorePermit<'a>,
}

/// How a stored record compares with what is sent under its key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Compared {
    /// It is the same.
    Same,
    /// It is whole, and another.
    Other,
    /// It does not verify, or cannot be read.
    Damaged,
    /// It is there no more.
    Gone,
}

impl Drive {
    /// Reads blocks of a shard.
    pub(crate) async fn read(&self, request: ReadShard) -> Result<Bytes, ReadError> {
        loop {
            let found = self.find(request.key)?;
            let framed = self.read_found(&found, request).await;
            if self.stands(request.key, &found, &framed) {
                return framed;
            }
        }
    }

    /// What a shard's record says of its chunk.
    pub(crate) async fn describe(&self, key: ShardKey) -> Result<ChunkDescription, ReadError> {
        loop {
            let found = self.find(key)?;
            let described = self.describe_found(key, &found).await;
            if self.stands(key, &found, &described) {
                return described;
            }
        }
    }

    /// Reads a shard's whole record, and proves all of it, in pieces.
    pub(crate) async fn verify(&self, key: ShardKey, pace: &Pace) -> Result<(), ReadError> {
        loop {
            let found = self.find(key)?;
            let proved = self.prove_found(key, &found, pace).await;
            if self.stands(key, &found, &proved) {
                return proved;
            }
        }
    }

    /// Whether an answer is about the shard as it is now. What was found bad says nothing of one that was removed,
    /// moved or written anew meanwhile: it is to be looked for again.
    fn stands<T>(&self, key: ShardKey, found: &Found<'_>, answer: &Result<T, ReadError>) -> bool {
        let Err(error) = answer else { return true };
        let stands = self.state().store.get(key) == Some(found.location);
        if stands {
            tracing::warn!(disk = %self.id, "a stored shard is not as it was: {error}");
        }
        stands
    }

    async fn read_found(&self, found: &Found<'_>, request: ReadShard) -> Result<Bytes, ReadError> {
        let key = request.key;
        let range = found.location.blocks(request.first_block, request.blocks);
        let (at, length) = range.ok_or(ReadError::OutOfRange { key })?;
        let began = Instant::now();
        let framed = read_range(&*found.file, at, length).await;
        self.latency.note(began.elapsed());
        let framed = framed.map_err(|error| self.unreadable(key, &error))?;
        let proved = block::check(key, request.first_block, &framed);
        proved.map_err(|CorruptBlock { key, block }| ReadError::Corrupt { key, block })?;
        Ok(framed)
    }

    async fn describe_found(
        &self,
        key: ShardKey,
        found: &Found<'_>,
    ) -> Result<ChunkDescription, ReadError> {
        let header = ByteCount::new(BLOCK as u64);
        let bytes = found.file.read(found.location.at(), header).await;
        let bytes = bytes.map_err(|error| self.unreadable(key, &error))?;
        Ok(self.header(key, found.location, &bytes)?.chunk)
    }

    /// The whole record at a location, proved, as one that is sent.
    pub(crate) async fn read_record(
        &self,
        key: ShardKey,
        at: Location,
    ) -> Result<PutShard, ReadError> {
        let disk = self.id;
        self.answering()?;
        let _permit = self.permit()?;
        let file = self.file_of(at.volume).ok_or(ReadError::Missing { key })?;
        self.unread.read();
        let bytes = file.read(at.at(), at.length()).await;
        let bytes = bytes.map_err(|error| self.unreadable(key, &error))?;
        let header = self.prove(key, at, &bytes)?;
        let payload = record::HEADER..record::HEADER + header.payload().as_usize();
        Ok(PutShard {
            disk,
            key,
            epoch: header.epoch,
            chunk: header.chunk,
            payload: bytes.slice(payload),
        })
    }

    async fn prove_found(
        &self,
        key: ShardKey,
        found: &Found<'_>,
        pace: &Pace,
    ) -> Result<(), ReadError> {
        let Found { location, file, .. } = found;
        let length = ByteCount::new(BLOCK as u64);
        let head = pace.piece(file.read(location.at(), length)).await;
        let head = head.map_err(|error| self.unreadable(key, &error))?;
        let header = self.whole_header(key, *location, &head)?;
        let blocks = block::count(header.chunk.sealed_length(key.index));
        let mut digest = blake3::Hasher::new();
        let mut first = 0;
        while first < blocks {
            let count = pace
                .blocks(header.chunk.profile.class())
                .min(blocks - first);
            let range = location.blocks(first, count);
            let (at, length) = range.ok_or(ReadError::Corrupt { key, block: first })?;
            let piece = async {
                let framed = read_range(&**file, at, length).await;
                let framed = framed.map_err(|error| self.unreadable(key, &error))?;
                prove_blocks(key, first, &framed, &mut digest)
            };
            pace.piece(piece).await?;
            first += count;
        }
        prove_digest(key, &header, &digest)
    }

    /// Compares a retry with the durable record under its key. Nobody is told that a record is stored whose
    /// file has no name any more.
    pub(crate) async fn settle(
        &self,
        location: Location,
        put: &PutShard,
    ) -> Result<Compared, PutError> {
        let disk = self.id;
        let Ok(_permit) = self.reads.try_acquire() else {
            return Err(PutError::Busy { disk });
        };
        let compared = self.compare(location, put).await;
        let Some(file) = self.file_of(location.volume) else {
            return Ok(Compared::Gone);
        };
        let named = writer::named(self, location.volume, &file).await;
        if let Err(why) = named.and_then(|()| self.serving()) {
            self.fail(why);
            return Err(PutError::DiskFailed { disk });
        }
        Ok(compared)
    }

    /// Compares the record at a location with what is sent under its key. The caller has a permit.
    async fn compare(&self, location: Location, put: &PutShard) -> Compared {
        let Some(file) = self.file_of(location.volume) else {
            return Compared::Gone;
        };
        self.unread.read();
        let read = file.read(location.at(), location.length()).await;
        let Ok(bytes) = read.map_err(|error| self.unreadable(put.key, &error)) else {
            return Compared::Damaged;
        };
        match self.prove(put.key, location, &bytes) {
            Err(_) => Compared::Damaged,
            // Equal descriptions have shards of equal lengths, so the range is inside the record.
            Ok(header)
                if header.chunk == put.chunk
                    && bytes[record::HEADER..].starts_with(&put.payload) =>
            {
                Compared::Same
            }
            Ok(_) => Compared::Other,
        }
    }

    fn find(&self, key: ShardKey) -> Result<Found<'_>, ReadError> {
        self.answering()?;
        let permit = self.permit()?;
        let state = self.state();
        let location = state.store.get(key).ok_or(ReadError::Missing { key })?;
        self.unread.read();
        Ok(Found {
            location,
            file: Arc::clone(&state.files[&location.volume]),
            _permit: permit,
        })
    }

    fn permit(&self) -> Result<SemaphorePermit<'_>, ReadError> {
        let busy = |_| ReadError::Busy { disk: self.id };
        self.reads.try_acquire().map_err(busy)
    }

    fn header(&self, key: ShardKey, at: Location, bytes: &[u8]) -> Result<Header, ReadError> {
        let header = Header::decode(bytes, self.id, at.volume).ok();
        let header = header.filter(|header| header.key == key);
        header.ok_or(ReadError::Corrupt { key, block: 0 })
    }

    /// As [`Drive::header`], of a record that is as long as its location says.
    fn whole_header(&self, key: ShardKey, at: Location, bytes: &[u8]) -> Result<Header, ReadError> {
        let header = self.header(key, at, bytes)?;
        let whole = header.length() == at.length();
        whole
            .then_some(header)
            .ok_or(ReadError::Corrupt { key, block: 0 })
    }

    /// Header, every block's checksum, and the digest of what they hold.
    fn prove(&self, key: ShardKey, at: Location, bytes: &Bytes) -> Result<Header, ReadError> {
        let header = self.whole_header(key, at, bytes)?;
        let payload = record::HEADER..record::HEADER + header.payload().as_usize();
        let mut digest = blake3::Hasher::new();
        prove_blocks(key, 0, &bytes.slice(payload), &mut digest)?;
        prove_digest(key, &header, &digest)?;
        Ok(header)
    }

    fn unreadable(&self, key: ShardKey, error: &io::Error) -> ReadError {
        let disk = self.id;
        tracing::warn!(%disk, %key, "reading a shard: {error}");
        self.unread.failed(key);
        ReadError::Io { disk, key }
    }
}

/// Every block's checksum; what they hold goes to the digest.
fn prove_blocks(
    key: ShardKey,
    first: u32,
    framed: &Bytes,
    digest: &mut blake3::Hasher,
) -> Result<(), ReadError> {
    let blocks = block::verify(key, first, framed);
    let blocks = blocks.map_err(|CorruptBlock { key, block }| ReadError::Corrupt { key, block })?;
    for block in &blocks {
        digest.update(block);
    }
    Ok(())
}

fn prove_digest(key: ShardKey, header: &Header, digest: &blake3::Hasher) -> Result<(), ReadError> {
    let expected = &header.chunk.digests[usize::from(key.index)];
    let same = *digest.finalize().as_bytes() == expected.0;
    same.then_some(())
        .ok_or(ReadError::Corrupt { key, block: 0 })
}

/// Reads any range: whole blocks around it, of which the answer is a slice.
async fn read_range(file: &dyn File, at: ByteOffset, length: ByteCount) -> io::Result<Bytes> {
    let block = BLOCK as u64;
    let start = ByteOffset::new(at.get() / block * block);
    let before = at - start;
    let whole = (before + length).get().next_multiple_of(block);
    let bytes = file.read(start, ByteCount::new(whole)).await?;
    Ok(bytes.slice(before.as_usize()..(before + length).as_usize()))
}
