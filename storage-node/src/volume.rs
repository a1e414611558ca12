//! Volumes: append-only files of shard records.
//!
//! ```text
//! open: records … zeros that were allocated ahead
//! sealed: records … footer
//! ```
//!
//! Only the newest volume is open; one is sealed, and that is durable, before the next is created.
//! Volume ids count up from 1 and name the files.

use std::fmt;

/// A volume of one disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeId(pub u32);

impl VolumeId {
    /// The first of a disk.
    pub const FIRST: Self = Self(1);

    /// The one behind it.
    ///
    /// # Panics
    /// After four billion volumes.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("volume ids last"))
    }

    /// The name of its file.
    pub fn file_name(self) -> String {
        format!("volume-{:08x}", self.0)
    }

    /// Which volume a file is. `None` for any other file.
    pub fn of_file(name: &str) -> Option<Self> {
        let digits = name.strip_prefix("volume-")?;
        let id = Self(u32::from_str_radix(digits, 16).ok()?);
        (id.file_name() == name).then_some(id)
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_are_one_to_one() {
        let id = VolumeId(0xab);
        assert_eq!(id.file_name(), "volume-000000ab");
        assert_eq!(VolumeId::of_file("volume-000000ab"), Some(id));
        for other in ["stamp", "volume-ab", "volume-000000AB", "volume-+00000ab"] {
            assert_eq!(VolumeId::of_file(other), None, "{other}");
        }
    }
}
