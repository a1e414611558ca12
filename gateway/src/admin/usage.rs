//! Buckets and tenants, for operators: what is in them, and how much may be.
//!
//! ```text
//! GET /buckets[?name=NAME]    [BucketUsage], by name; of one name there is one at each label
//! PUT /buckets/ID/quota       QuotaChange -> Quota
//! GET /tenants                [TenantUsage]
//! PUT /tenants/ID/quota       QuotaChange -> Quota
//! ```
//!
//! As `types::wire::usage` has them. What cannot be done is answered with a
//! [`Complaint`](super::accounts::Complaint). Answers name buckets of every label: they are not to be cached, and no
//! name is logged.

use super::accounts::{BODY, Failure, uncached};
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::response::Json;
use axum::routing::{get, put};
use axum::{Router, middleware};
use serde::Deserialize;
use std::sync::Arc;
use types::wire::Usages;
use types::wire::usage::{BucketUsage, Holder, Quota, QuotaChange, TenantUsage};
use types::{BucketId, BucketName, TenantId};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: Option<BucketName>,
}

type Shared = State<Arc<dyn Usages>>;
type Told<T> = Result<Json<T>, Failure>;

pub(super) fn router(usages: Arc<dyn Usages>) -> Router {
    Router::new()
        .route("/buckets", get(buckets))
        .route("/buckets/{id}/quota", put(bucket_quota))
        .route("/tenants", get(tenants))
        .route("/tenants/{id}/quota", put(tenant_quota))
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::map_response(uncached))
        .with_state(usages)
}

async fn buckets(
    State(usages): Shared,
    query: Result<Query<Named>, QueryRejection>,
) -> Told<Vec<BucketUsage>> {
    let Query(Named { name }) = query?;
    Ok(Json(usages.bucket_usages(name).await?))
}

async fn tenants(State(usages): Shared) -> Told<Vec<TenantUsage>> {
    Ok(Json(usages.tenant_usages().await?))
}

async fn bucket_quota(
    State(usages): Shared,
    Path(id): Path<u64>,
    body: Result<Json<QuotaChange>, JsonRejection>,
) -> Told<Quota> {
    let Json(change) = body?;
    let bucket = BucketId::new(id);
    let quota = usages.set_quota(Holder::Bucket(bucket), change).await?;
    tracing::info!(%bucket, ?quota, "a bucket's quota was set");
    Ok(Json(quota))
}

async fn tenant_quota(
    State(usages): Shared,
    Path(id): Path<u64>,
    body: Result<Json<QuotaChange>, JsonRejection>,
) -> Told<Quota> {
    let Json(change) = body?;
    let tenant = TenantId::new(id);
    let quota = usages.set_quota(Holder::Tenant(tenant), change).await?;
    tracing::info!(%tenant, ?quota, "a tenant's quota was set");
    Ok(Json(quota))
}
