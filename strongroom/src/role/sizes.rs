//! How large a metadata server's log is, and its cache, as its configuration says it.

use anyhow::{Result, bail, ensure};
use metadata::raft::NodeConfig;
use metadata::store::Sled;
use types::size::MIB;
use types::{ByteCount, NodeId};

/// Rows in memory, unless it is said: those of a million objects, about.
const ROW_CACHE_MIB: u64 = 1024;

/// Fewer would have every follower that pauses wait for a snapshot.
const FEWEST_ENTRIES: u64 = 100;

/// How large the log is, and the cache of its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    file: ByteCount,
    snapshot_after: ByteCount,
    keep_entries: u64,
    cache: Sled,
}

impl Default for Sizes {
    fn default() -> Self {
        let usual = NodeConfig::new(NodeId::new(0));
        Self {
            file: usual.log_file,
            snapshot_after: usual.snapshot_after,
            keep_entries: usual.keep_entries,
            cache: Sled {
                cache: ByteCount::new(ROW_CACHE_MIB * MIB),
            },
        }
    }
}

impl Sizes {
    /// As these keys say, or by default.
    pub(super) fn new(
        file_mib: Option<u64>,
        snapshot_after_mib: Option<u64>,
        keep_entries: Option<u64>,
        row_cache_mib: Option<u64>,
    ) -> Result<Self> {
        let usual = Self::default();
        let mib = |key: &str, said: Option<u64>, usual: ByteCount| match said {
            None => Ok(usual),
            Some(said) if (1..=1024).contains(&said) => Ok(ByteCount::new(said * MIB)),
            Some(said) => bail!("{key} is {said}; it must be 1 to 1024"),
        };
        let keep_entries = keep_entries.unwrap_or(usual.keep_entries);
        ensure!(
            keep_entries >= FEWEST_ENTRIES,
            "keep_entries is {keep_entries}; it must be at least {FEWEST_ENTRIES}"
        );
        Ok(Self {
            file: mib("log_file_mib", file_mib, usual.file)?,
            snapshot_after: mib(
                "snapshot_after_mib",
                snapshot_after_mib,
                usual.snapshot_after,
            )?,
            keep_entries,
            cache: row_cache(row_cache_mib.unwrap_or(ROW_CACHE_MIB))?,
        })
    }

    /// How much is kept of the rows in memory.
    pub(super) fn cache(self) -> Sled {
        self.cache
    }

    pub(super) fn on(self, node: NodeId) -> NodeConfig {
        NodeConfig {
            log_file: self.file,
            snapshot_after: self.snapshot_after,
            keep_entries: self.keep_entries,
            ..NodeConfig::new(node)
        }
    }
}

fn row_cache(mib: u64) -> Result<Sled> {
    ensure!(
        (16..=1 << 20).contains(&mib),
        "row_cache_mib is {mib}; it must be 16 to 1048576"
    );
    let cache = ByteCount::new(mib * MIB);
    Ok(Sled { cache })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is not said is as production needs it; what is out of bounds is refused by its name.
    #[test]
    fn sizes_are_bounded() {
        let usual = Sizes::new(None, None, None, None).unwrap();
        assert_eq!(usual, Sizes::default());
        let said = Sizes::new(Some(1), Some(1024), Some(100), Some(16)).unwrap();
        assert_eq!(said.cache().cache, ByteCount::new(16 * MIB));
        let on = said.on(NodeId::new(3));
        assert_eq!(on.node, NodeId::new(3));
        assert_eq!(on.log_file, ByteCount::new(MIB));
        assert_eq!(on.snapshot_after, ByteCount::new(1024 * MIB));
        assert_eq!(on.keep_entries, 100);
        for (file, after, keep, told) in [
            (
                Some(0),
                None,
                None,
                "log_file_mib is 0; it must be 1 to 1024",
            ),
            (None, Some(1025), None, "snapshot_after_mib is 1025"),
            (
                None,
                None,
                Some(99),
                "keep_entries is 99; it must be at least 100",
            ),
        ] {
            let refused = Sizes::new(file, after, keep, None).unwrap_err().to_string();
            assert!(refused.contains(told), "{refused}");
        }
        for wrong in [0, 15, (1 << 20) + 1, u64::MAX] {
            let refused = Sizes::new(None, None, None, Some(wrong)).unwrap_err();
            let told = format!("row_cache_mib is {wrong}; it must be 16 to 1048576");
            assert_eq!(refused.to_string(), told);
        }
    }
}
