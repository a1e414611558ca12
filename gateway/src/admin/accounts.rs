//! Users and access keys, for stewards.
//!
//! ```text
//! GET    /users              [User]
//! POST   /users              {"name"} -> User
//! DELETE /users/NAME         who has no keys and no buckets
//! GET    /keys[?user=NAME]   [KeyInfo]
//! POST   /keys               {"user", "label"?} -> KeyInfo with "secret": told here and never again
//! PUT    /keys/ID/state      "Active" or "Disabled"
//! DELETE /keys/ID            for good
//! ```
//!
//! Bodies are JSON of at most 16 KiB, as `types::wire::accounts` has it. What cannot be done is answered
//! with a [`Complaint`], which says what to do. Answers are not to be cached, and none is logged.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{delete, get, put};
use axum::{Router, middleware};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use types::wire::Accounts;
use types::wire::accounts::{Credential, KeyInfo, KeySecret, KeyState, NewKey, User};
use types::wire::metadata::MetadataError;
use types::{Label, TenantId};

/// Longest body.
pub(super) const BODY: usize = 16 << 10;

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complaint {
    /// One word, for programs.
    pub error: String,
    /// What is wrong and what to do about it, for people.
    pub message: String,
}

/// An access key that was just made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeKey {
    /// As it is shown from now on.
    #[serde(flatten)]
    pub key: KeyInfo,
    /// Shown this once.
    pub secret: KeySecret,
}

#[derive(Clone)]
struct Shared {
    accounts: Arc<dyn Accounts>,
    tenant: TenantId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewUser {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedKey {
    user: String,
    #[serde(default)]
    label: Label,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whose {
    user: Option<String>,
}

pub(super) fn router(accounts: Arc<dyn Accounts>, tenant: TenantId) -> Router {
    Router::new()
        .route("/users", get(users).post(add_user))
        .route("/users/{name}", delete(remove_user))
        .route("/keys", get(keys).post(add_key))
        .route("/keys/{id}", delete(remove_key))
        .route("/keys/{id}/state", put(set_state))
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::map_response(uncached))
        .with_state(Shared { accounts, tenant })
}

pub(super) async fn uncached(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

type Told<T> = Result<T, Failure>;

async fn users(State(shared): State<Shared>) -> Told<Json<Vec<User>>> {
    Ok(Json(shared.accounts.users().await?))
}

async fn add_user(
    State(shared): State<Shared>,
    body: Result<Json<NewUser>, JsonRejection>,
) -> Told<Json<User>> {
    let Json(new) = body?;
    let user = shared.accounts.add_user(new.name, shared.tenant).await?;
    tracing::info!(user = user.name, "a user was added");
    Ok(Json(user))
}

async fn remove_user(State(shared): State<Shared>, Path(name): Path<String>) -> Told<StatusCode> {
    shared.accounts.remove_user(name.clone()).await?;
    tracing::info!(user = name, "a user was removed");
    Ok(StatusCode::NO_CONTENT)
}

async fn keys(
    State(shared): State<Shared>,
    query: Result<Query<Whose>, QueryRejection>,
) -> Told<Json<Vec<KeyInfo>>> {
    let Query(whose) = query?;
    Ok(Json(shared.accounts.keys(whose.user).await?))
}

async fn add_key(
    State(shared): State<Shared>,
    body: Result<Json<AskedKey>, JsonRejection>,
) -> Told<Json<MadeKey>> {
    let Json(asked) = body?;
    let new = NewKey {
        user: asked.user,
        label: asked.label,
        given: None,
    };
    let Credential { key, secret, .. } = shared.accounts.add_key(new).await?;
    tracing::info!(key = key.id, user = key.user, "an access key was added");
    Ok(Json(MadeKey { key, secret }))
}

async fn set_state(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    body: Result<Json<KeyState>, JsonRejection>,
) -> Told<StatusCode> {
    let Json(state) = body?;
    shared.accounts.set_key_state(id.clone(), state).await?;
    tracing::info!(key = id, ?state, "an access key has a new state");
    Ok(StatusCode::NO_CONTENT)
}

async fn remove_key(State(shared): State<Shared>, Path(id): Path<String>) -> Told<StatusCode> {
    shared.accounts.remove_key(id.clone()).await?;
    tracing::info!(key = id, "an access key was removed");
    Ok(StatusCode::NO_CONTENT)
}

/// A request that was not well-formed, or what the service said no with.
pub(super) enum Failure {
    Request(StatusCode, String),
    Service(MetadataError),
}

impl From<MetadataError> for Failure {
    fn from(error: MetadataError) -> Self {
        Self::Service(error)
    }
}

impl From<JsonRejection> for Failure {
    fn from(rejection: JsonRejection) -> Self {
        Self::Request(rejection.status(), rejection.body_text())
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejection: QueryRejection) -> Self {
        Self::Request(rejection.status(), rejection.body_text())
    }
}

impl Failure {
    fn told(self) -> (StatusCode, &'static str, String) {
        use MetadataError as E;
        let conflict = StatusCode::CONFLICT;
        let (status, error, message) = match self {
            Self::Request(status, text) => return (status, "Malformed", text),
            Self::Service(E::UserExists) => (
                conflict,
                "UserExists",
                "there is a user of that name: choose another",
            ),
            Self::Service(E::NoSuchUser) => (
                StatusCode::NOT_FOUND,
                "NoSuchUser",
                "there is no user of that name: list them with `strongroom user ls`",
            ),
            Self::Service(E::UserInUse) => (
                conflict,
                "UserInUse",
                "the user has access keys or owns buckets: remove the keys with `strongroom key rm`, and \
                 the buckets over S3 before the last key",
            ),
            Self::Service(E::KeyExists) => (
                conflict,
                "KeyExists",
                "the access key's id is in use, or was: ids are not used again",
            ),
            Self::Service(E::NoSuchKey) => (
                StatusCode::NOT_FOUND,
                "NoSuchKey",
                "there is no access key of that id: list them with `strongroom key ls`",
            ),
            Self::Service(E::NoSuchBucket) => (
                StatusCode::NOT_FOUND,
                "NoSuchBucket",
                "there is no such bucket: list them with `strongroom bucket ls`",
            ),
            Self::Service(E::NoSuchTenant) => (
                StatusCode::NOT_FOUND,
                "NoSuchTenant",
                "there is no such tenant: list them with `strongroom tenant ls`",
            ),
            Self::Service(E::Malformed(text)) => {
                return (StatusCode::BAD_REQUEST, "Malformed", text);
            }
            Self::Service(error @ E::Unavailable(_)) => {
                let text = format!(
                    "{error}; whether anything was done is not known: look, then try again"
                );
                return (StatusCode::SERVICE_UNAVAILABLE, "Unavailable", text);
            }
            Self::Service(error) => {
                tracing::error!(%error, "the admin API: an unexpected answer");
                let text = format!("{error}; the server's log says more");
                return (StatusCode::INTERNAL_SERVER_ERROR, "Internal", text);
            }
        };
        (status, error, message.to_owned())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, error, message) = self.told();
        let complaint = Complaint {
            error: error.to_owned(),
            message,
        };
        (status, Json(complaint)).into_response()
    }
}
