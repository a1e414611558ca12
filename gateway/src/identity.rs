//! Who may call, and how a request proves it.
//!
//! An access key has a tenant and works at one label. Requests prove their secret by Signature
//! Version 4 (s3s compares the computed HMAC in constant time); version 2 is refused, and nothing is
//! ever done for a request without a signature.
//!
//! Above all policy: a key reads its tenant's buckets whose label its own dominates, and writes those
//! of the same label. What it may not read does not exist for it.

use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3ErrorCode, S3Result};
use std::fmt;
use subtle::ConstantTimeEq;
use types::wire::metadata::Bucket;
use types::{Label, TenantId};

/// What an operation does to a bucket or to what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// It tells.
    Read,
    /// It changes or deletes.
    Write,
}

/// An access key: its secret, whose it is, and the label it works at.
#[derive(Clone)]
pub struct AccessKey {
    id: String,
    secret: SecretKey,
    tenant: TenantId,
    label: Label,
}

/// The access keys that this gateway knows.
#[derive(Clone, Debug)]
pub struct Identity {
    keys: Vec<AccessKey>,
}

impl AccessKey {
    /// An access key by its id (which may be shown) and its secret (which is wiped when dropped).
    pub fn new(id: impl Into<String>, secret: String, tenant: TenantId, label: Label) -> Self {
        Self {
            id: id.into(),
            secret: SecretKey::from(secret),
            tenant,
            label,
        }
    }

    /// Its id: the owner of what it makes.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whose it is.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The label it works at.
    pub fn label(&self) -> &Label {
        &self.label
    }

    /// Whether a bucket exists as far as this key is told.
    pub(crate) fn sees(&self, bucket: &Bucket) -> bool {
        bucket.tenant == self.tenant && self.label.dominates(&bucket.label)
    }

    /// Whether this key may do `access` to a bucket.
    ///
    /// # Errors
    /// There is no such bucket, or it may be read only.
    pub(crate) fn allows(&self, bucket: &Bucket, access: Access) -> S3Result<()> {
        if !self.sees(bucket) {
            return Err(S3ErrorCode::NoSuchBucket.into());
        }
        match access {
            Access::Write if bucket.label != self.label => Err(S3ErrorCode::AccessDenied.into()),
            Access::Read | Access::Write => Ok(()),
        }
    }
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessKey({})", self.id)
    }
}

impl Identity {
    /// Exactly these keys.
    pub fn new(keys: Vec<AccessKey>) -> Self {
        Self { keys }
    }

    /// The key of this id. Looks at all of them, so that time tells nothing of which exist.
    pub(crate) fn find(&self, id: &str) -> Option<&AccessKey> {
        let mut found = None;
        for key in &self.keys {
            if bool::from(key.id.as_bytes().ct_eq(id.as_bytes())) {
                found = Some(key);
            }
        }
        found
    }
}

#[async_trait::async_trait]
impl S3Auth for Identity {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        self.find(access_key)
            .map(|key| key.secret.clone())
            .ok_or_else(|| S3ErrorCode::InvalidAccessKeyId.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        let key = |id: &str| {
            AccessKey::new(
                id,
                format!("secret of {id}"),
                TenantId::new(1),
                Label::default(),
            )
        };
        Identity::new(vec![key("first"), key("second")])
    }

    /// Only known keys have a secret, and each has its own.
    /// Method: ask for both, and for near misses.
    #[tokio::test]
    async fn each_key_has_its_own_secret() {
        let identity = identity();
        for id in ["first", "second"] {
            let secret = identity.get_secret_key(id).await.expect("known");
            assert_eq!(secret.expose(), format!("secret of {id}"));
        }
        for id in ["", "First", "firs", "first "] {
            let error = identity.get_secret_key(id).await.expect_err("unknown");
            assert_eq!(*error.code(), S3ErrorCode::InvalidAccessKeyId);
        }
    }

    /// A secret is never printed.
    /// Method: print everything that holds one.
    #[test]
    fn secrets_do_not_print() {
        assert!(!format!("{:?}", identity()).contains("secret of"));
    }
}
