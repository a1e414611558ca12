//! Accounts of a disk's volumes: what lives in each, what is dead, and whom its records keep dead.
//!
//! A dead record stays readable for as long as its file is there. What made it dead, a tombstone or a
//! later record under its key, must not go before it: else it would be back at the next start. So
//! each volume has a list of the earlier ones that hold something it made dead, its *victims*.

use crate::volume::VolumeId;
use std::collections::{BTreeMap, BTreeSet};
use types::ByteCount;

/// One volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Shards that live in it.
    pub live: u64,
    /// Bytes of its records that are dead.
    pub dead: ByteCount,
    /// The file's length once it is sealed.
    pub sealed: Option<ByteCount>,
    /// Volumes before it that hold records which this one made dead.
    victims: BTreeSet<VolumeId>,
}

/// All volumes of a disk that are there.
#[derive(Clone, Debug, Default)]
pub struct Volumes {
    accounts: BTreeMap<VolumeId, Account>,
}

impl Volumes {
    /// A volume is there.
    pub(crate) fn created(&mut self, volume: VolumeId) {
        self.accounts.entry(volume).or_default();
    }

    /// A shard lives in it.
    pub(crate) fn lives(&mut self, volume: VolumeId) {
        self.account(volume).live += 1;
    }

    /// A record of that length, live so far, was made dead by one in `by`.
    pub(crate) fn died(&mut self, volume: VolumeId, length: ByteCount, by: VolumeId) {
        let account = self.account(volume);
        account.live -= 1;
        account.dead = account.dead + length;
        if by != volume {
            self.account(by).victims.insert(volume);
        }
    }

    /// A volume is sealed and has that length.
    pub(crate) fn sealed(&mut self, volume: VolumeId, length: ByteCount) {
        self.account(volume).sealed = Some(length);
    }

    /// A volume's account.
    pub fn get(&self, volume: VolumeId) -> Option<&Account> {
        self.accounts.get(&volume)
    }

    /// Bytes of all sealed ones.
    pub(crate) fn sealed_bytes(&self) -> ByteCount {
        self.accounts
            .values()
            .filter_map(|account| account.sealed)
            .sum()
    }

    fn account(&mut self, volume: VolumeId) -> &mut Account {
        self.accounts
            .get_mut(&volume)
            .expect("volumes in the index are there")
    }
}
