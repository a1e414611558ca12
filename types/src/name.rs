//! Names that people give: parsed once, at the edge.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a name is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not an S3 bucket name.
    #[error(
        "a bucket name has 3 to 63 lower-case letters, digits, dots and hyphens, begins and ends with a letter or digit, and is no IP address"
    )]
    Bucket,
    /// Keys have 1 to 1024 bytes.
    #[error("an object key has 1 to 1024 bytes of UTF-8")]
    KeyLength,
}

/// A bucket's name, by S3's rules for general-purpose buckets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BucketName(String);

/// An object's key: any UTF-8 of 1 to 1024 bytes. It is never a path: `..` and `//` mean nothing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectKey(String);

impl BucketName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ObjectKey {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for BucketName {
    type Error = NameError;

    fn try_from(name: String) -> Result<Self, NameError> {
        let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = name.as_bytes();
        let well_formed = (3..=63).contains(&bytes.len())
            && bytes
                .iter()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'))
            && edge(bytes.first())
            && edge(bytes.last())
            && !name.contains("..")
            && name.parse::<std::net::Ipv4Addr>().is_err();
        if well_formed {
            Ok(Self(name))
        } else {
            Err(NameError::Bucket)
        }
    }
}

impl TryFrom<String> for ObjectKey {
    type Error = NameError;

    fn try_from(key: String) -> Result<Self, NameError> {
        if (1..=1024).contains(&key.len()) {
            Ok(Self(key))
        } else {
            Err(NameError::KeyLength)
        }
    }
}

impl From<BucketName> for String {
    fn from(name: BucketName) -> String {
        name.0
    }
}

impl From<ObjectKey> for String {
    fn from(key: ObjectKey) -> String {
        key.0
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names may be classified above whoever reads a log: neither prints by accident.
impl fmt::Debug for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BucketName(..)")
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ObjectKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names_follow_s3() {
        for good in ["abc", "a.b-c", "1bucket", &"a".repeat(63)] {
            assert!(BucketName::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in [
            "",
            "ab",
            "Abc",
            "-abc",
            "abc-",
            "a..b",
            "a_b",
            "192.168.0.1",
            "a/b",
            &"a".repeat(64),
        ] {
            assert!(BucketName::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_are_any_text_of_1_to_1024_bytes() {
        for good in ["a", "../..//\0", "ä/∞", &"x".repeat(1024)] {
            assert!(ObjectKey::try_from(good.to_owned()).is_ok());
        }
        for bad in ["", &"x".repeat(1025)] {
            assert!(ObjectKey::try_from(bad.to_owned()).is_err());
        }
    }
}
