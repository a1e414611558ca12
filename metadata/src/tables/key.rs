//! Under which key a row is: so that byte order is the order that scans want.

use serde::{Deserialize, Serialize};
use types::id::{
    BlobId, BucketId, ChunkId, DiskId, GroupId, LeaseId, NodeId, SessionId, TenantId, VersionId,
};
use types::name::{BucketName, ObjectKey};
use types::placement::Slot;
use types::profile::Profile;

/// Ids that the cluster half allocates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ClusterId {
    /// Servers.
    Node = 1,
    /// Disks.
    Disk = 2,
    /// Placement groups.
    Group = 3,
    /// Tokens.
    Token = 4,
}

/// Ids that the namespace half allocates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum NamespaceId {
    /// Sessions.
    Session = 1,
    /// Leases.
    Lease = 2,
    /// Chunks: all groups share one counter.
    Chunk = 3,
    /// Blobs.
    Blob = 4,
    /// Buckets.
    Bucket = 5,
}

/// Why parts are dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum SweepKind {
    /// Nobody can read them: of an upload that was given up, or not chosen when it was completed.
    Abandoned = 1,
    /// Of a version that was replaced or deleted: whoever reads it may go on for a while.
    Superseded = 2,
}

/// What comes behind a table's byte in a key.
pub trait TableKey {
    /// Appends it.
    fn write(&self, out: &mut Vec<u8>);

    /// It alone.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes
    }
}

impl TableKey for () {
    fn write(&self, _: &mut Vec<u8>) {}
}

macro_rules! integer_keys {
    ($($type:ty),*) => {$(
        impl TableKey for $type {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
        }
    )*};
}

integer_keys!(
    u32, u64, BlobId, BucketId, ChunkId, DiskId, GroupId, LeaseId, NodeId, SessionId, TenantId
);

impl TableKey for ClusterId {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }
}

impl TableKey for NamespaceId {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }
}

impl TableKey for SweepKind {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }
}

impl TableKey for Slot {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.0);
    }
}

impl TableKey for VersionId {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

impl TableKey for [u8; 32] {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

/// Code 1, k 1, m 1, S 2, disk class 1.
impl TableKey for Profile {
    fn write(&self, out: &mut Vec<u8>) {
        let count = |shards| u8::try_from(shards).expect("a profile has few shards");
        let segments = u16::try_from(self.segments_per_shard()).expect("it is kept in 16 bits");
        out.extend([self.code().into(), count(self.data()), count(self.parity())]);
        out.extend(segments.to_be_bytes());
        out.push(self.class().into());
    }
}

/// A bucket's name has no zero byte, and ends with one here.
impl TableKey for BucketName {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_str().as_bytes());
        out.push(0);
    }
}

impl TableKey for ObjectKey {
    fn write(&self, out: &mut Vec<u8>) {
        escape(self.as_str(), out);
        out.extend_from_slice(&KEY_END);
    }
}

/// A user's name, or an access key's id: escaped and ended as an object's key is.
impl TableKey for String {
    fn write(&self, out: &mut Vec<u8>) {
        escape(self, out);
        out.extend_from_slice(&KEY_END);
    }
}

impl<A: TableKey, B: TableKey> TableKey for (A, B) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }
}

impl<A: TableKey, B: TableKey, C: TableKey> TableKey for (A, B, C) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
        self.2.write(out);
    }
}

/// Ends an object's key.
pub const KEY_END: [u8; 2] = [0x00, 0x01];

/// Appends the beginning of an object's key: 00 becomes 00 FF. What begins with the text, and nothing
/// else, begins with these bytes.
pub fn escape(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        out.push(byte);
        if byte == 0 {
            out.push(0xff);
        }
    }
}

/// The object key that `escaped`, ending included, holds. `None` when it is none.
pub fn unescape(escaped: &[u8]) -> Option<ObjectKey> {
    let body = escaped.strip_suffix(&KEY_END)?;
    let mut text = Vec::with_capacity(body.len());
    let mut bytes = body.iter();
    while let Some(byte) = bytes.next() {
        if *byte == 0 && bytes.next() != Some(&0xff) {
            return None;
        }
        text.push(*byte);
    }
    String::from_utf8(text).ok()?.try_into().ok()
}

/// The least key above all that begin with `prefix`. `None` when it is nothing but FF.
pub fn after_all(prefix: &[u8]) -> Option<Vec<u8>> {
    let end = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut after = prefix[..=end].to_vec();
    after[end] += 1;
    Some(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(key: &str) -> Vec<u8> {
        ObjectKey::try_from(key.to_owned()).unwrap().bytes()
    }

    /// Byte order of table keys is byte order of object keys, whatever they hold.
    #[test]
    fn escaped_keys_keep_their_order_and_come_back() {
        let keys = [
            "\0",
            "\0\0",
            "\0\u{1}",
            "\u{1}",
            "a",
            "a\0",
            "a\0b",
            "a\u{1}",
            "ab",
            "ÿ",
            "\u{10ffff}",
        ];
        let mut sorted = keys.to_vec();
        sorted.sort_by_key(|key| key.as_bytes().to_vec());
        let mut by_row = keys.to_vec();
        by_row.sort_by_key(|key| head(key));
        assert_eq!(sorted, by_row);
        for key in keys {
            assert_eq!(unescape(&head(key)).unwrap().as_str(), key);
        }
        for bad in [&b"a"[..], b"\0\x01", b"a\0b\0\x01", b"\xff\0\x01"] {
            assert_eq!(unescape(bad), None);
        }
    }

    #[test]
    fn after_all_carries_over_ff() {
        assert_eq!(after_all(&[1, 2]), Some(vec![1, 3]));
        assert_eq!(after_all(&[1, 0xff, 0xff]), Some(vec![2]));
        assert_eq!(after_all(&[0xff, 0xff]), None);
    }
}
