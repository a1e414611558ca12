//! Usage and quotas: shown, set, and looked at before a body is taken.
//!
//! What an operator is told is read from the rows that `apply` keeps; nothing is added up here but how many
//! buckets a tenant has.

use super::read::buckets_named;
use super::{Inner, Server, unexpected};
use crate::apply;
use crate::command::{Command, NamespaceCommand};
use crate::log::Log;
use crate::reply::{Refusal, Reply};
use crate::store::{Store, StoreError};
use crate::tables::{
    BUCKET_USAGE, BUCKETS, CountRow, TENANT_USAGE, TableKey, TenantUsageRow, USAGE_COUNT, USERS,
};
use std::collections::BTreeMap;
use types::id::TenantId;
use types::name::BucketName;
use types::wire::Usages;
use types::wire::metadata::{Answer, Bucket, MetadataError};
use types::wire::usage::{BucketUsage, Count, Fits, Holder, Quota, QuotaChange, TenantUsage};

impl<L: Log> Usages for Server<L> {
    fn bucket_usages(&self, name: Option<BucketName>) -> Answer<'_, Vec<BucketUsage>> {
        let prefix = name.map(|name| name.bytes()).unwrap_or_default();
        Box::pin(self.inner.read(move |store| bucket_usages(store, &prefix)))
    }

    fn tenant_usages(&self) -> Answer<'_, Vec<TenantUsage>> {
        Box::pin(self.inner.read(tenant_usages))
    }

    fn set_quota(&self, holder: Holder, change: QuotaChange) -> Answer<'_, Quota> {
        Box::pin(self.inner.set_quota(holder, change))
    }
}

impl Inner {
    /// Whether a body would be admitted now.
    pub(super) async fn fits(&self, asked: Fits) -> Result<(), MetadataError> {
        let exceeded = self.read(move |store| apply::fits(store, &asked)).await?;
        exceeded.map_or(Ok(()), |exceeded| {
            Err(MetadataError::QuotaExceeded(exceeded))
        })
    }

    async fn set_quota(&self, holder: Holder, change: QuotaChange) -> Result<Quota, MetadataError> {
        // A server that does not know usage could not read the command.
        if !self.read(|store| USAGE_COUNT.contains(store, &())).await? {
            return Err(Refusal::UsageNotKept.into());
        }
        if let Holder::Tenant(tenant) = holder {
            // Users are the cluster half's, and a tenant is who has any: so it is looked at here.
            let known = self.read(tenant_usages).await?;
            if !known.iter().any(|known| known.tenant == tenant) {
                return Err(MetadataError::NoSuchTenant);
            }
        }
        let set = NamespaceCommand::SetQuota { holder, change };
        match self.propose(Command::Namespace(set)).await? {
            Reply::Quota(quota) => Ok(quota),
            _ => Err(unexpected()),
        }
    }
}

fn bucket_usages(store: &Store, prefix: &[u8]) -> Result<Vec<BucketUsage>, StoreError> {
    let buckets = buckets_named(store, prefix)?.into_iter();
    buckets.map(|bucket| bucket_usage(store, bucket)).collect()
}

fn bucket_usage(store: &Store, bucket: Bucket) -> Result<BucketUsage, StoreError> {
    let row = BUCKET_USAGE.get(store, &bucket.id)?;
    let counted = row.as_ref().filter(|row| row.counted.is_none());
    Ok(BucketUsage {
        usage: counted.map_or(Count::Counting, |row| Count::Counted(row.used)),
        quota: row.map(|row| row.quota).unwrap_or_default(),
        bucket,
    })
}

/// By number.
fn tenant_usages(store: &Store) -> Result<Vec<TenantUsage>, StoreError> {
    let mut buckets: BTreeMap<TenantId, u64> = BTreeMap::new();
    for row in BUCKETS.scan(store, &[]) {
        *buckets.entry(row?.1.bucket.tenant).or_default() += 1;
    }
    for row in USERS.scan(store, &[]) {
        buckets.entry(row?.1.user.tenant).or_default();
    }
    for row in TENANT_USAGE.scan(store, &[]) {
        let (row_key, row) = row?;
        if row != TenantUsageRow::default() {
            let id = row_key.first_chunk().ok_or(StoreError::Damaged)?;
            let tenant = TenantId::new(u64::from_be_bytes(*id));
            buckets.entry(tenant).or_default();
        }
    }
    let counted = USAGE_COUNT.get(store, &())? == Some(CountRow::Counted);
    let told = |(tenant, buckets)| {
        let row = TENANT_USAGE.get(store, &tenant)?.unwrap_or_default();
        Ok(TenantUsage {
            tenant,
            buckets,
            usage: match counted {
                true => Count::Counted(row.used),
                false => Count::Counting,
            },
            quota: row.quota,
        })
    };
    buckets.into_iter().map(told).collect()
}
