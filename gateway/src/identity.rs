//! Who may call, and how a request proves it.
//!
//! An access key acts for a user, who has a tenant, and works at one label. Requests prove their secret by
//! Signature Version 4 (s3s compares the computed HMAC in constant time); version 2 is refused, and nothing
//! is ever done for a request without a signature.
//!
//! Above all policy: a key reads its tenant's buckets whose label its own dominates, and writes those of the
//! same label. What it may not read does not exist for it. Below that: a bucket is its owner's alone, and
//! another user of the same tenant is told that it may not.

use crate::known::Known;
use s3s::auth::{S3Auth, SecretKey};
use s3s::dto::Owner;
use s3s::{S3ErrorCode, S3Result};
use std::fmt;
use std::sync::Arc;
use types::wire::accounts::{Accounts, Credential, KeyState};
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

/// Whose request it is: an access key that may be used, and its user.
pub(crate) struct Caller {
    key: String,
    secret: SecretKey,
    label: Label,
    user: String,
    name: String,
    tenant: TenantId,
}

/// The access keys of the cluster, as [`Accounts`] tells of them.
#[derive(Clone)]
pub struct Identity(Arc<Known>);

impl Caller {
    /// The caller behind a key. None when the key is disabled: it is then told apart from no other
    /// unknown key.
    pub(crate) fn of(credential: &Credential) -> Option<Self> {
        let Credential { key, user, secret } = credential;
        (key.state == KeyState::Active).then(|| Self {
            key: key.id.clone(),
            secret: SecretKey::from(secret.expose().to_owned()),
            label: key.label.clone(),
            user: user.id.clone(),
            name: user.name.clone(),
            tenant: user.tenant,
        })
    }

    /// The user's id: the owner of what it makes.
    pub(crate) fn id(&self) -> &str {
        &self.user
    }

    /// The user as S3 shows it.
    pub(crate) fn owner(&self) -> Owner {
        Owner {
            id: Some(self.user.clone()),
            display_name: Some(self.name.clone()),
        }
    }

    /// The user of that id as S3 shows it. Nobody is told others' names.
    pub(crate) fn shown(&self, id: &str) -> Owner {
        match self.user == id {
            true => self.owner(),
            false => Owner {
                id: Some(id.to_owned()),
                display_name: Some(id.to_owned()),
            },
        }
    }

    /// Whose user it is.
    pub(crate) fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// The label it works at.
    pub(crate) fn label(&self) -> &Label {
        &self.label
    }

    /// Whether a bucket exists as far as this caller is told.
    pub(crate) fn sees(&self, bucket: &Bucket) -> bool {
        bucket.tenant == self.tenant && self.label.dominates(&bucket.label)
    }

    /// Whether a bucket is this caller's user's.
    pub(crate) fn owns(&self, bucket: &Bucket) -> bool {
        bucket.tenant == self.tenant && bucket.owner == self.user
    }

    /// Whether this caller may do `access` to a bucket.
    ///
    /// # Errors
    /// There is no such bucket; or it is another user's, or may be read only.
    pub(crate) fn allows(&self, bucket: &Bucket, access: Access) -> S3Result<()> {
        if !self.sees(bucket) {
            return Err(S3ErrorCode::NoSuchBucket.into());
        }
        let written_down = access == Access::Write && bucket.label != self.label;
        if written_down || !self.owns(bucket) {
            return Err(S3ErrorCode::AccessDenied.into());
        }
        Ok(())
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Caller({})", self.key)
    }
}

impl Identity {
    /// Those that `accounts` tells of, asked again for each key after half a second.
    pub fn new(accounts: Arc<dyn Accounts>) -> Self {
        Self(Arc::new(Known::new(accounts)))
    }

    /// Who acts with the access key of this id.
    ///
    /// # Errors
    /// `InvalidAccessKeyId` when there is no such key or it is disabled; `SlowDown` when nobody can say.
    pub(crate) async fn caller(&self, id: &str) -> S3Result<Arc<Caller>> {
        self.0.caller(id).await
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

#[async_trait::async_trait]
impl S3Auth for Identity {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        Ok(self.caller(access_key).await?.secret.clone())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use types::profile::{DiskClass, Profile};
    use types::wire::accounts::{KeyInfo, KeySecret, User};
    use types::wire::metadata::WallTime;
    use types::{BucketId, BucketName};

    pub(crate) fn credential(id: &str, state: KeyState) -> Credential {
        Credential {
            key: KeyInfo {
                id: id.to_owned(),
                user: "name".to_owned(),
                label: Label::default(),
                state,
                created: WallTime(0),
            },
            user: User {
                name: "name".to_owned(),
                id: "user".to_owned(),
                tenant: TenantId::new(1),
                created: WallTime(0),
            },
            secret: KeySecret::new(format!("secret of {id}")),
        }
    }

    fn level(level: u16) -> Label {
        Label {
            level,
            ..Label::default()
        }
    }

    /// What may not be seen does not exist; what may be seen and is another's, or lies below, is denied.
    /// Method: a table of buckets for a caller of level 1.
    #[test]
    fn buckets_are_their_owners() {
        use Access::{Read, Write};
        let mut credential = credential("key", KeyState::Active);
        credential.key.label = level(1);
        let caller = Caller::of(&credential).expect("active");
        let denied = Some("AccessDenied");
        let absent = Some("NoSuchBucket");
        for (tenant, owner, at, access, answer) in [
            (1, "user", 1, Read, None),
            (1, "user", 1, Write, None),
            (1, "user", 0, Read, None),
            (1, "user", 0, Write, denied),
            (1, "user", 2, Read, absent),
            (1, "user", 2, Write, absent),
            (1, "other", 1, Read, denied),
            (1, "other", 1, Write, denied),
            (1, "other", 0, Read, denied),
            (1, "other", 2, Read, absent),
            (2, "user", 1, Read, absent),
            (2, "other", 0, Write, absent),
        ] {
            let bucket = Bucket {
                id: BucketId::new(1),
                tenant: TenantId::new(tenant),
                owner: owner.to_owned(),
                name: BucketName::try_from("bucket".to_owned()).expect("a name"),
                label: level(at),
                profile: Profile::new(4, 2, DiskClass::Flash).expect("a profile"),
                created: WallTime(0),
            };
            let told = caller.allows(&bucket, access).err();
            let told = told.as_ref().map(|error| error.code().as_str());
            assert_eq!(told, answer, "{tenant} {owner} {at} {access:?}");
        }
    }

    /// A disabled key is nobody's; an active one prints no secret.
    #[test]
    fn callers_are_active_and_print_nothing() {
        assert!(Caller::of(&credential("key", KeyState::Disabled)).is_none());
        let caller = Caller::of(&credential("key", KeyState::Active)).expect("active");
        assert!(!format!("{caller:?}").contains("secret of"));
    }
}
