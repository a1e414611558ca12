//! Where a disk's space is.

use super::Store;
use types::ByteCount;

/// Where a disk's space is, in bytes. All but `free` and `reserved` is in volumes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Records of shards that live.
    pub live: ByteCount,
    /// Records of shards that were removed, moved or written anew, as far as the file system has not got their
    /// place back.
    pub dead: ByteCount,
    /// What keeps the dead dead, and says where what lies: tombstones, footers, gaps.
    pub overhead: ByteCount,
    /// Reserved in the open volume for what comes next.
    pub ahead: ByteCount,
    /// May be given out.
    pub free: ByteCount,
    /// Left, and kept back for what removes shards.
    pub reserved: ByteCount,
}

impl Store {
    /// Where the disk's space is.
    pub fn space(&self) -> Space {
        let (mut live, mut dead) = (ByteCount::ZERO, ByteCount::ZERO);
        for (_, account) in self.volumes.iter() {
            live = live + account.living;
            dead = dead + minus(account.dead, account.punched);
        }
        let ahead = self.tail.as_ref().map_or(ByteCount::ZERO, |tail| {
            ByteCount::new(tail.allocated.get().saturating_sub(tail.end.get()))
        });
        Space {
            live,
            dead,
            overhead: minus(self.used(), live + dead + ahead),
            ahead,
            free: self.free(),
            reserved: minus(self.free, self.free()),
        }
    }
}

fn minus(whole: ByteCount, part: ByteCount) -> ByteCount {
    ByteCount::new(whole.get().saturating_sub(part.get()))
}
