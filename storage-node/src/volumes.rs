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
    sealed_bytes: ByteCount,
    /// Whether one may have come to be disposable since that was asked last.
    dying: bool,
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
        let wholly = account.live == 0;
        self.dying |= wholly;
        if by != volume {
            self.account(by).victims.insert(volume);
        }
    }

    /// A volume is sealed and has that length.
    pub(crate) fn sealed(&mut self, volume: VolumeId, length: ByteCount) {
        self.account(volume).sealed = Some(length);
        self.sealed_bytes = self.sealed_bytes + length;
        self.dying = true;
    }

    /// Volumes that may be unlinked, in order: sealed, or the open one when nobody writes to it; nothing in
    /// them lives; and no other volume holds what is dead only by their word.
    pub(crate) fn disposable(&mut self, open: Option<VolumeId>) -> Vec<VolumeId> {
        let mut chosen = BTreeSet::new();
        if std::mem::take(&mut self.dying) || open.is_some() {
            // Victims lie before: one look in order of ids finds all.
            for (&volume, account) in &self.accounts {
                let closed = account.sealed.is_some() || open == Some(volume);
                if closed && account.live == 0 && account.victims.is_subset(&chosen) {
                    chosen.insert(volume);
                }
            }
        }
        Vec::from_iter(chosen)
    }

    /// These are off the roster.
    pub(crate) fn gone(&mut self, volumes: &[VolumeId]) {
        for volume in volumes {
            let account = self.accounts.remove(volume).unwrap_or_default();
            let length = account.sealed.unwrap_or_default();
            self.sealed_bytes = self.sealed_bytes - length;
        }
        for account in self.accounts.values_mut() {
            account.victims.retain(|victim| !volumes.contains(victim));
        }
        self.dying = true;
    }

    /// All there are, in order.
    pub fn iter(&self) -> impl Iterator<Item = (VolumeId, &Account)> {
        let accounts = self.accounts.iter();
        accounts.map(|(volume, account)| (*volume, account))
    }

    /// A volume's account.
    pub fn get(&self, volume: VolumeId) -> Option<&Account> {
        self.accounts.get(&volume)
    }

    /// Bytes of all sealed ones.
    pub(crate) fn sealed_bytes(&self) -> ByteCount {
        self.sealed_bytes
    }

    fn account(&mut self, volume: VolumeId) -> &mut Account {
        self.accounts
            .get_mut(&volume)
            .expect("volumes in the index are there")
    }
}
