//! What HEAD and GET say of an object besides its bytes. Stored sealed; in the clear only between a
//! gateway and the metadata server that unsealed it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// ETag, content headers, user metadata and checksums of one object version.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// Without quotes: the hex MD5 of a plain PUT.
    pub etag: String,
    /// The standard content headers, as they were sent.
    #[serde(default)]
    pub content: ContentHeaders,
    /// `x-amz-meta-*`: names in lower case without the prefix, values as sent; in order of name.
    #[serde(default)]
    pub user: Vec<(String, String)>,
    /// Checksums that the object is stored with.
    #[serde(default)]
    pub checksums: Vec<Checksum>,
}

/// The standard content headers.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContentHeaders {
    /// Cache-Control.
    pub cache_control: Option<String>,
    /// Content-Disposition.
    pub disposition: Option<String>,
    /// Content-Encoding, without `aws-chunked`.
    pub encoding: Option<String>,
    /// Content-Language.
    pub language: Option<String>,
    /// Content-Type.
    pub media_type: Option<String>,
    /// Expires, as text.
    pub expires: Option<String>,
    /// x-amz-website-redirect-location.
    pub website_redirect: Option<String>,
}

/// One checksum of an object or a part.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    /// Which.
    pub algorithm: ChecksumAlgorithm,
    /// Over what.
    #[serde(default, skip_serializing_if = "crate::codec::is_default")]
    pub kind: ChecksumKind,
    /// Its bytes, big-endian where it is a number.
    #[serde(with = "serde_bytes")]
    pub value: Vec<u8>,
}

/// Over what a checksum is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ChecksumKind {
    /// Over all bytes.
    #[default]
    FullObject,
    /// Over the checksums of the parts, one behind the other.
    Composite,
}

/// The checksums of S3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ChecksumAlgorithm {
    /// CRC-32/ISO-HDLC.
    Crc32,
    /// CRC-32/ISCSI.
    Crc32c,
    /// CRC-64/NVME.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// A checksum tells something of its bytes: it never prints.
impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checksum({:?})", self.algorithm)
    }
}

/// User metadata may be classified: it never prints.
impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attributes(..)")
    }
}
