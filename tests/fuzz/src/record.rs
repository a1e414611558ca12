//! Records of shards: a header that is sealed means what the format says, or is refused; one whose checksum does not
//! match, or that belongs elsewhere, is refused; and of a record on a disk no byte is shown that is not proved.

use crate::disks::{self, DISK, goes_on, header, holding, read, run, serve, shard};
use crate::plain::{
    FRAMED, crc, field, flip, frame, lay_over, offset_at, place, u16_at, u32_at, u64_at, verifies,
};
use std::collections::HashMap;
use std::sync::LazyLock;
use storage_node::record::{self, Header, HeaderError};
use storage_node::volume::VolumeId;
use types::profile::{Code, DiskClass};
use types::shard::{ChunkDescription, ShardDigest};
use types::wire::ShardStore;
use types::wire::storage::{DiskState, PutShard, ReadError};
use types::{BlobId, ByteOffset, ChunkId, DiskId, Epoch, GroupId, Profile, ShardKey};

const HEADER: usize = 1024;
const SEALED_AT: usize = HEADER - 8;
const VOLUME: VolumeId = VolumeId::FIRST;

/// The first, the one between, the last; and a longer one to lie between.
static PUTS: LazyLock<[PutShard; 4]> = LazyLock::new(|| {
    [(1, 100), (2, 100), (3, 5000), (2, 70_000)].map(|(n, length)| shard(n, length))
});

/// The first byte says what becomes of the others: laid over a header that is sealed then, flips of one that is not
/// sealed again, laid over one that is sealed for elsewhere, a record on a disk.
pub(crate) fn try_one(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else {
        return;
    };
    match how % 4 {
        0 => sealed(rest),
        1 => changed(rest),
        2 => elsewhere(rest),
        _ => run(judge(stored(how / 4, rest))),
    }
}

/// A header to lay bytes over.
pub(crate) fn valid() -> Vec<u8> {
    header(&PUTS[1], VOLUME, 2).encode(DISK).to_vec()
}

fn sealed(over: &[u8]) {
    let mut bytes = valid();
    lay_over(&mut bytes, over);
    seal(&mut bytes, DISK, VOLUME);
    let decoded = Header::decode(&bytes, DISK, VOLUME);
    assert_eq!(decoded, plain(&bytes));
    if let Ok(header) = decoded {
        let (k, shards) = (header.chunk.profile.data(), header.chunk.profile.shards());
        for later in [33..40, 96 + 4 * k..192, 192 + 32 * shards..960, 968..1016] {
            bytes[later].fill(0);
        }
        seal(&mut bytes, DISK, VOLUME);
        assert!(header.encode(DISK)[..] == bytes, "{header:?}");
    }
}

fn changed(flips: &[u8]) {
    let mut bytes = valid();
    if flip(&mut bytes, flips) {
        let decoded = Header::decode(&bytes, DISK, VOLUME);
        assert_eq!(decoded, Err(HeaderError::Invalid));
    }
}

fn elsewhere(over: &[u8]) {
    let mut bytes = valid();
    lay_over(&mut bytes, over);
    for (disk, volume) in [(DiskId::new(8), VOLUME), (DISK, VOLUME.next())] {
        seal(&mut bytes, disk, volume);
        let decoded = Header::decode(&bytes, DISK, VOLUME);
        assert_eq!(decoded, Err(HeaderError::Invalid));
    }
}

/// The last record's sequence number.
const LAST: u64 = 1 << 40;
/// Where the record between begins.
const MIDDLE: usize = 4096;

/// A volume of three records.
struct Volume {
    bytes: Vec<u8>,
    /// What the header of the one between says.
    told: Result<Header, HeaderError>,
    /// Where the last one begins.
    last: usize,
    /// The last one says that the one between was durable.
    durable: bool,
}

/// Bytes are laid over the header of the record between, which is sealed then; what is behind them flips bits of its
/// blocks. Of `how`: whether it has two blocks; whether they are framed anew; whether it was durable.
fn stored(how: u8, rest: &[u8]) -> Volume {
    let [long, framed, durable] = [1, 2, 4].map(|bit| how & bit != 0);
    let (over, flips) = rest.split_at(rest.len().min(SEALED_AT));
    let [first, short, last, two_blocks] = &*PUTS;
    let put = if long { two_blocks } else { short };
    let mut bytes = disks::record(first, VOLUME, 1);
    let mut middle = disks::record(put, VOLUME, 2);
    lay_over(&mut middle[..SEALED_AT], over);
    seal(&mut middle, DISK, VOLUME);
    let (head, blocks) = middle.split_at_mut(HEADER);
    flip(&mut blocks[..put.payload.len()], flips);
    let told = plain(head);
    if let (true, Ok(header)) = (framed, &told) {
        let length = blocks.len().min(header.payload().as_usize());
        frame(header.key, &mut blocks[..length]);
    }
    bytes.extend(middle);
    let mut header = header(last, VOLUME, LAST);
    header.durable = ByteOffset::new(if durable { 2 * MIDDLE as u64 } else { 0 });
    let (at, last) = (bytes.len(), record::encode(DISK, &header, &last.payload));
    bytes.extend_from_slice(&last);
    Volume {
        bytes,
        told,
        last: at,
        durable,
    }
}

impl Volume {
    /// The header between, if what it says may lie there.
    fn fitting(&self) -> Option<&Header> {
        let at = MIDDLE as u64;
        self.told.as_ref().ok().filter(|header| {
            let (opened, durable) = (header.opened.get(), header.durable.get());
            (2..1 << 48).contains(&header.sequence)
                && opened <= durable
                && durable <= at
                && at + header.length().get() <= self.bytes.len() as u64
        })
    }

    /// Whether the last record is found: not when the one between reaches over it, or says that it is behind it.
    fn finds_last(&self) -> bool {
        self.fitting()
            .is_none_or(|header| header.sequence < LAST && end(header) <= self.last)
    }

    /// The header between, if its record counts: it was durable, or its blocks are whole.
    fn middle(&self) -> Option<&Header> {
        let trusted = self.durable && self.finds_last();
        let whole = |header: &Header| verifies(header.key, self.blocks(MIDDLE, header));
        self.fitting().filter(|header| trusted || whole(header))
    }

    /// Whether something is missing before the last record.
    fn has_gap(&self) -> bool {
        self.finds_last() && self.middle().is_none_or(|header| end(header) < self.last)
    }

    /// What lives, and its blocks.
    fn live(&self) -> HashMap<ShardKey, (Header, &[u8])> {
        let first = (0, header(&PUTS[0], VOLUME, 1));
        let middle = self.middle().map(|header| (MIDDLE, header.clone()));
        let last = (self.last, header(&PUTS[2], VOLUME, LAST));
        let last = self.finds_last().then_some(last);
        let records = [Some(first), middle, last].into_iter().flatten();
        records
            .map(|(at, header)| {
                let blocks = self.blocks(at, &header);
                (header.key, (header, blocks))
            })
            .collect()
    }

    fn blocks(&self, at: usize, header: &Header) -> &[u8] {
        &self.bytes[at + HEADER..][..header.payload().as_usize()]
    }
}

/// Where the record between ends, by its header.
fn end(header: &Header) -> usize {
    MIDDLE + header.length().as_usize()
}

async fn judge(volume: Volume) {
    let disk = holding(&[&volume.bytes]).await;
    let node = serve(&disk).await;
    let report = &node.report().await[0];
    if let Err(HeaderError::Version(_)) = volume.told {
        assert_ne!(report.state, DiskState::Serving);
        return;
    }
    assert_eq!(report.state, DiskState::Serving);
    assert_eq!(node.damage().count() > 0, volume.has_gap());
    let live = volume.live();
    assert_eq!(report.shards, live.len() as u64);
    for (key, (header, blocks)) in live {
        let whole = verifies(key, blocks);
        match read(&node, key, blocks.len()).await {
            Ok(shown) => assert!(whole && shown == blocks, "{key} has other bytes"),
            Err(ReadError::Corrupt { .. }) => assert!(!whole, "{key} is whole"),
            Err(error) => panic!("{key}: {error}"),
        }
        assert_eq!(node.describe(DISK, key).await.as_ref(), Ok(&header.chunk));
        let proved = whole && digest(blocks) == header.chunk.digests[usize::from(key.index)].0;
        assert_eq!(node.verify(DISK, key).await.is_ok(), proved, "{key}");
    }
    goes_on(&node).await;
    node.shutdown().await;
}

/// BLAKE3 of what blocks hold.
fn digest(payload: &[u8]) -> [u8; 32] {
    let mut digest = blake3::Hasher::new();
    for framed in payload.chunks(FRAMED) {
        digest.update(&framed[..framed.len() - 8]);
    }
    *digest.finalize().as_bytes()
}

fn seal(header: &mut [u8], disk: DiskId, volume: VolumeId) {
    let (place, sequence) = (place(disk, volume), field::<8>(header, 80));
    let sum = crc(&[&place, &sequence, &header[..SEALED_AT]]);
    header[SEALED_AT..HEADER].copy_from_slice(&sum);
}

/// What a sealed header says.
fn plain(bytes: &[u8]) -> Result<Header, HeaderError> {
    let invalid = Err(HeaderError::Invalid);
    if !bytes.starts_with(b"STRSHARD") {
        return invalid;
    }
    let version = u16_at(bytes, 8);
    if version != 1 {
        return Err(HeaderError::Version(version));
    }
    let class = match bytes[11] {
        1 => DiskClass::Flash,
        2 => DiskClass::Spinning,
        _ => return invalid,
    };
    let (k, m, segments) = (bytes[12], bytes[13], u16_at(bytes, 14));
    let (data, shards) = (usize::from(k), usize::from(k) + usize::from(m));
    let index = bytes[32];
    if bytes[10] != 1
        || k == 0
        || m == 0
        || segments == 0
        || shards > 24
        || usize::from(index) >= shards
    {
        return invalid;
    }
    let data_lengths: Vec<u32> = (0..data).map(|n| u32_at(bytes, 96 + 4 * n)).collect();
    // Parity is as long as the first data shard.
    let sealed = u64::from(data_lengths[if index < k { usize::from(index) } else { 0 }]);
    let longest = u64::from(segments) * 65_564;
    let payload = sealed + 8 * sealed.div_ceil(65_564);
    let sound = data_lengths
        .iter()
        .all(|length| u64::from(*length) <= longest)
        && sealed > 0
        && u32::try_from(payload).is_ok()
        && payload == u64_at(bytes, 64)
        && u64::from(VOLUME.0) == u64_at(bytes, 72);
    if !sound {
        return invalid;
    }
    let profile = Profile::from_parts(Code::ReedSolomon, k, m, segments, class);
    Ok(Header {
        key: ShardKey {
            group: GroupId::new(u64_at(bytes, 16)),
            chunk: ChunkId::new(u64_at(bytes, 24)),
            index,
        },
        epoch: Epoch(u64_at(bytes, 40)),
        chunk: ChunkDescription {
            blob: BlobId::new(u64_at(bytes, 48)),
            first_segment: u64_at(bytes, 56),
            profile: profile.expect("k, m and S are in range"),
            data_lengths,
            digests: (0..shards)
                .map(|n| ShardDigest(field(bytes, 192 + 32 * n)))
                .collect(),
        },
        volume: VOLUME,
        sequence: u64_at(bytes, 80),
        durable: offset_at(bytes, 88),
        opened: offset_at(bytes, 960),
    })
}
