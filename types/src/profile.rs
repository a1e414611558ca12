//! Coding profiles: how many shards, how long, on which class of disk.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// k + m never exceeds this: the header of a shard record holds a BLAKE3 of each shard in 1 KiB.
pub const MAX_SHARDS: usize = 24;

/// How k data shards become k + m. A code id never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
#[non_exhaustive]
pub enum Code {
    /// Systematic Reed-Solomon over GF(2^8), polynomial 0x11d, Vandermonde made systematic, as
    /// `reed-solomon-erasure` builds it.
    ReedSolomon,
}

/// The kind of disk that a profile is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
#[non_exhaustive]
pub enum DiskClass {
    /// 16 segments a shard.
    Flash,
    /// 64 segments a shard: fewer, longer seeks.
    Spinning,
}

/// Code, k, m, S and disk class. Chosen per bucket; written in each blob's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "RawProfile", try_from = "RawProfile")]
pub struct Profile {
    code: Code,
    data: u8,
    parity: u8,
    segments_per_shard: u16,
    class: DiskClass,
}

/// Why a profile cannot be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// The text is not `k+m`.
    #[error("profile {0:?} is not of the form k+m, such as 4+2")]
    Form(String),
    /// k and m are at least 1, k + m at most [`MAX_SHARDS`], S at least 1.
    #[error(
        "{data}+{parity} with {segments_per_shard} segments a shard: k, m and S are at least 1, k + m at most {MAX_SHARDS}"
    )]
    Range {
        /// k.
        data: u8,
        /// m.
        parity: u8,
        /// S.
        segments_per_shard: u16,
    },
    /// A code or class of a later build.
    #[error("id {0} of a code or disk class is not known to this build")]
    Unknown(u8),
}

impl Profile {
    /// A Reed-Solomon profile with S as its disk class has it.
    ///
    /// # Errors
    /// When k, m are out of range.
    pub fn new(data: u8, parity: u8, class: DiskClass) -> Result<Self, ProfileError> {
        let segments_per_shard = match class {
            DiskClass::Flash => 16,
            DiskClass::Spinning => 64,
        };
        let raw = RawProfile {
            code: Code::ReedSolomon,
            data,
            parity,
            segments_per_shard,
            class,
        };
        raw.try_into()
    }

    /// A profile as a record's header holds it.
    ///
    /// # Errors
    /// When k, m or S are out of range.
    pub fn from_parts(
        code: Code,
        data: u8,
        parity: u8,
        segments_per_shard: u16,
        class: DiskClass,
    ) -> Result<Self, ProfileError> {
        let raw = RawProfile {
            code,
            data,
            parity,
            segments_per_shard,
            class,
        };
        raw.try_into()
    }

    /// The code.
    pub fn code(self) -> Code {
        self.code
    }

    /// k: data shards a chunk.
    pub fn data(self) -> usize {
        usize::from(self.data)
    }

    /// m: parity shards a chunk.
    pub fn parity(self) -> usize {
        usize::from(self.parity)
    }

    /// k + m.
    pub fn shards(self) -> usize {
        self.data() + self.parity()
    }

    /// S: segments a full shard.
    pub fn segments_per_shard(self) -> usize {
        usize::from(self.segments_per_shard)
    }

    /// k × S: segments a full chunk.
    pub fn segments_per_chunk(self) -> usize {
        self.data() * self.segments_per_shard()
    }

    /// Which disks it is for.
    pub fn class(self) -> DiskClass {
        self.class
    }

    /// How many shards must be durable before a chunk counts as written: max(k+1, k+m-1), and never
    /// more than there are.
    pub fn durable_before_ack(self) -> usize {
        self.least_durable().max(self.shards() - 1)
    }

    /// What remains of that when no group can do better: k + 1.
    pub fn least_durable(self) -> usize {
        self.data() + 1
    }
}

impl FromStr for Profile {
    type Err = ProfileError;

    /// Parses `k+m` for flash.
    fn from_str(text: &str) -> Result<Self, ProfileError> {
        let form = || ProfileError::Form(text.to_owned());
        let (data, parity) = text.split_once('+').ok_or_else(form)?;
        let data = data.parse().map_err(|_| form())?;
        let parity = parity.parse().map_err(|_| form())?;
        Self::new(data, parity, DiskClass::Flash)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.data, self.parity)
    }
}

#[derive(Serialize, Deserialize)]
struct RawProfile {
    code: Code,
    #[serde(rename = "k")]
    data: u8,
    #[serde(rename = "m")]
    parity: u8,
    #[serde(rename = "s")]
    segments_per_shard: u16,
    class: DiskClass,
}

impl From<Profile> for RawProfile {
    fn from(p: Profile) -> Self {
        let Profile {
            code,
            data,
            parity,
            segments_per_shard,
            class,
        } = p;
        Self {
            code,
            data,
            parity,
            segments_per_shard,
            class,
        }
    }
}

impl TryFrom<RawProfile> for Profile {
    type Error = ProfileError;

    fn try_from(raw: RawProfile) -> Result<Self, ProfileError> {
        let RawProfile {
            code,
            data,
            parity,
            segments_per_shard,
            class,
        } = raw;
        let shards = usize::from(data) + usize::from(parity);
        if data == 0 || parity == 0 || segments_per_shard == 0 || shards > MAX_SHARDS {
            return Err(ProfileError::Range {
                data,
                parity,
                segments_per_shard,
            });
        }
        Ok(Self {
            code,
            data,
            parity,
            segments_per_shard,
            class,
        })
    }
}

impl From<Code> for u8 {
    fn from(code: Code) -> u8 {
        match code {
            Code::ReedSolomon => 1,
        }
    }
}

impl TryFrom<u8> for Code {
    type Error = ProfileError;
    fn try_from(id: u8) -> Result<Self, ProfileError> {
        match id {
            1 => Ok(Self::ReedSolomon),
            other => Err(ProfileError::Unknown(other)),
        }
    }
}

impl From<DiskClass> for u8 {
    fn from(class: DiskClass) -> u8 {
        match class {
            DiskClass::Flash => 1,
            DiskClass::Spinning => 2,
        }
    }
}

impl TryFrom<u8> for DiskClass {
    type Error = ProfileError;
    fn try_from(id: u8) -> Result<Self, ProfileError> {
        match id {
            1 => Ok(Self::Flash),
            2 => Ok(Self::Spinning),
            other => Err(ProfileError::Unknown(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ack_rule_of_each_common_profile() {
        // profile, shards durable before an acknowledgement, floor
        for (text, ack, floor) in [
            ("4+2", 5, 5),
            ("8+3", 10, 9),
            ("10+4", 13, 11),
            ("2+1", 3, 3),
            ("1+2", 2, 2),
        ] {
            let profile: Profile = text.parse().unwrap();
            assert_eq!(
                (profile.durable_before_ack(), profile.least_durable()),
                (ack, floor),
                "{text}"
            );
            assert_eq!(profile.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_profile_is_refused() {
        for text in ["", "4", "4+", "+2", "0+2", "4+0", "20+5", "4+2+1", "-1+2"] {
            assert!(text.parse::<Profile>().is_err(), "{text}");
        }
    }
}
