//! Accounts of a disk's volumes: what lives in each, what is dead, and whom its records keep dead.
//!
//! A dead record stays readable for as long as its file is there. What made it dead, a tombstone or a
//! later record under its key, must not go before it: else it would be back at the next start. So
//! each volume has a list of the earlier ones that hold something it made dead, its *victims*.
//!
//! Where dead records lay in a sealed volume, and tombstones without victims, is given back to the file
//! system (`reclaim`). A sealed volume of which little lives is *thin*: what lives in it is moved to the open
//! one, once nothing is dead by its word alone, that is, it has no victims.

use crate::index::Location;
use crate::ranges::Ranges;
use crate::tombstone;
use crate::volume::VolumeId;
use std::collections::{BTreeMap, BTreeSet};
use types::{ByteCount, ByteOffset};

/// A volume is thin when what lives in it, so many times, is no longer than the file. To move that little
/// costs a third of what comes back.
const THIN: u64 = 4;
/// A file with many holes may take more than its records do, by one in so many bytes.
const BOOKKEEPING: u64 = 64;
/// Where the file system cannot give back a part of a file, moving is all there is.
const THIN_UNPUNCHED: u64 = 2;

/// Where in a volume, and how much.
pub(crate) type Range = (ByteOffset, ByteCount);

/// One volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Shards that live in it.
    pub live: u64,
    /// Bytes of their records.
    pub living: ByteCount,
    /// Bytes of its records that are dead.
    pub dead: ByteCount,
    /// Of these, what the file system has back.
    pub punched: ByteCount,
    /// Where it has not.
    waste: Ranges,
    /// Its records of tombstones, until nothing is dead by their word alone.
    tombstones: BTreeSet<ByteOffset>,
    /// Bytes of all of them.
    burying: ByteCount,
    /// The file's length once it is sealed.
    pub sealed: Option<ByteCount>,
    /// Volumes before it that hold records which this one made dead.
    victims: BTreeSet<VolumeId>,
}

impl Account {
    /// Once a sealed volume has no victims its tombstones are waste, too: it gets no new ones, and what they named is
    /// gone.
    fn lay_off_tombstones(&mut self) {
        if self.victims.is_empty() {
            for at in std::mem::take(&mut self.tombstones) {
                self.waste.insert(at, tombstone::LENGTH);
            }
        }
    }
}

/// All volumes of a disk that are there.
#[derive(Clone, Debug, Default)]
pub struct Volumes {
    accounts: BTreeMap<VolumeId, Account>,
    sealed_bytes: ByteCount,
    /// Whether one may have come to be disposable since that was asked last.
    dying: bool,
    /// The file system cannot give back a part of a file.
    unpunched: bool,
}

impl Volumes {
    /// A volume is there.
    pub(crate) fn created(&mut self, volume: VolumeId) {
        self.accounts.entry(volume).or_default();
    }

    /// A shard lives there.
    pub(crate) fn lives(&mut self, at: Location) {
        let account = self.account(at.volume);
        account.live += 1;
        account.living = account.living + at.length();
    }

    /// The record there, live so far, was made dead by one in `by`.
    pub(crate) fn died(&mut self, at: Location, by: VolumeId) {
        let (volume, length) = (at.volume, at.length());
        let account = self.account(volume);
        account.live -= 1;
        account.living = account.living - length;
        account.dead = account.dead + length;
        account.waste.insert(at.at(), length);
        let wholly = account.live == 0;
        self.dying |= wholly;
        if by != volume {
            self.account(by).victims.insert(volume);
        }
    }

    /// A record of tombstones lies there.
    pub(crate) fn buries(&mut self, volume: VolumeId, at: ByteOffset) {
        let account = self.account(volume);
        if account.tombstones.insert(at) {
            account.burying = account.burying + tombstone::LENGTH;
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
            self.sealed_bytes = self.sealed_bytes - (length - account.punched);
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

    /// A sealed volume that is thin, the first one that `may` be moved.
    pub(crate) fn thin(&self, may: impl Fn(VolumeId, &Account) -> bool) -> Option<VolumeId> {
        let mut thin = self.iter().filter(|(_, account)| {
            let sealed = account.sealed.is_some() && account.victims.is_empty();
            sealed && account.live > 0 && self.is_thin(account.living, account.sealed)
        });
        thin.find(|(volume, account)| may(*volume, account))
            .map(|(volume, _)| volume)
    }

    /// Whether a volume of that length would be thin.
    pub(crate) fn is_thin(&self, living: ByteCount, length: Option<ByteCount>) -> bool {
        let times = if self.unpunched { THIN_UNPUNCHED } else { THIN };
        living.get() * times <= length.unwrap_or_default().get()
    }

    /// Takes out at most so many dead ranges of a sealed volume, to be given back.
    pub(crate) fn take_waste(&mut self, most: usize) -> Option<(VolumeId, Vec<Range>)> {
        if self.unpunched {
            return None;
        }
        let sealed = self.accounts.iter_mut();
        let mut sealed = sealed.filter(|(_, account)| account.sealed.is_some());
        let (volume, account) = sealed.find_map(|(volume, account)| {
            account.lay_off_tombstones();
            (!account.waste.is_empty()).then_some((volume, account))
        })?;
        Some((*volume, account.waste.take(most)))
    }

    /// These were taken out, and not given back.
    pub(crate) fn not_punched(&mut self, volume: VolumeId, ranges: &[Range]) {
        if let Some(account) = self.accounts.get_mut(&volume) {
            for (at, length) in ranges {
                account.waste.insert(*at, *length);
            }
        }
    }

    /// The file system has a dead range back.
    pub(crate) fn punched(&mut self, volume: VolumeId, length: ByteCount) {
        if let Some(account) = self.accounts.get_mut(&volume) {
            // What was a hole already is punched once more after a start.
            let most = account.dead + account.burying;
            let punched = most.min(account.punched + length);
            self.sealed_bytes = self.sealed_bytes - (punched - account.punched);
            account.punched = punched;
        }
    }

    /// At start: a sealed volume's file takes so much. Where that says that all its dead records are holes, they are
    /// not punched again.
    pub(crate) fn takes(&mut self, volume: VolumeId, allocated: ByteCount) {
        let Some(account) = self.accounts.get_mut(&volume) else {
            return;
        };
        let holes = account
            .sealed
            .unwrap_or_default()
            .get()
            .saturating_sub(allocated.get());
        let punched = (account.dead + account.burying).min(ByteCount::new(holes));
        self.sealed_bytes = self.sealed_bytes - punched;
        account.punched = punched;
        if punched.get() >= account.dead.get() - account.dead.get() / BOOKKEEPING {
            account.waste = Ranges::default();
        }
    }

    /// The file system cannot give back a part of a file.
    pub(crate) fn cannot_punch(&mut self) {
        self.unpunched = true;
    }

    /// Bytes that all sealed ones take.
    pub(crate) fn sealed_bytes(&self) -> ByteCount {
        self.sealed_bytes
    }

    fn account(&mut self, volume: VolumeId) -> &mut Account {
        self.accounts
            .get_mut(&volume)
            .expect("volumes in the index are there")
    }
}
