//! What must hold of an object's current version for a write to happen.

use super::WallTime;
use crate::size::ByteCount;
use serde::{Deserialize, Serialize};
use std::fmt;

/// All of these must hold of the current version at the moment of the write: of racing writers that ask
/// for the same version exactly one succeeds. The default asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// If-Match: there is a version, with such an ETag. Without a version the answer is `NoSuchObject`.
    pub matches: Option<EtagMatch>,
    /// If-None-Match: there is no version with such an ETag.
    pub differs: Option<EtagMatch>,
    /// It was committed in this second (milliseconds are not compared).
    pub modified: Option<WallTime>,
    /// It has this length.
    pub length: Option<ByteCount>,
}

/// Which ETags a condition means.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EtagMatch {
    /// `*`
    Any,
    /// One of these, without quotes.
    OneOf(Vec<String>),
}

impl Condition {
    /// Whether it asks for nothing.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl EtagMatch {
    /// Whether an ETag, without quotes, is meant.
    pub fn includes(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(tags) => tags.iter().any(|tag| tag == etag),
        }
    }
}

/// An ETag is kept sealed: it never prints by accident.
impl fmt::Debug for EtagMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "Any",
            Self::OneOf(_) => "OneOf(..)",
        })
    }
}
