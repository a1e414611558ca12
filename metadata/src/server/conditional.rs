//! Writes that happen only under a condition: judged here, fenced in `apply`.
//!
//! ```text
//! read head -> judge -> propose "if the head is still that version" -> done, or refused: it moved
//!     ^------------------------------------------------------------------------------'
//! ```
//!
//! A refusal is not stored as the request's answer, so the same request is proposed again. Who sends a
//! request again that was done is given its answer before anything is judged: its own write must not fail
//! its own condition.

use super::Inner;
use crate::apply::foreseen;
use crate::asked::Asked;
use crate::command::{Command, Expected, NamespaceCommand};
use crate::condition::{Current, judge};
use crate::reply::{Refusal, Reply};
use crate::store::{Store, StoreError};
use crate::tables::{BUCKETS, HEADS, HeadRow};
use types::id::{BucketId, RequestId, VersionId};
use types::name::ObjectKey;
use types::wire::metadata::{Condition, MetadataError};

/// So often a head may move under a condition that goes on to hold. Each time another writer succeeded.
const ROUNDS: usize = 16;

/// The request whose write is conditional, and what it writes to.
pub(super) struct Target {
    pub(super) request: RequestId,
    pub(super) asked: Asked,
    pub(super) bucket: BucketId,
    pub(super) key: ObjectKey,
}

/// What a request finds.
pub(super) enum Seen {
    /// It was done before, and answered so.
    Answered(Reply),
    /// What the key shows.
    Head(Option<HeadRow>),
}

impl Inner {
    /// Proposes a command once the condition holds, again if the head moves meanwhile.
    pub(super) async fn propose_if(
        &self,
        target: Target,
        condition: &Condition,
        command: impl Fn(Option<Expected>) -> NamespaceCommand,
    ) -> Result<Reply, MetadataError> {
        if condition.is_none() {
            return self.propose(Command::Namespace(command(None))).await;
        }
        for _ in 0..ROUNDS {
            let head = match self.see(&target).await? {
                Seen::Answered(reply) => return reply.granted(),
                Seen::Head(head) => head,
            };
            let expected = self.judge(&target, condition, head.as_ref()).await?;
            let command = Command::Namespace(command(Some(expected)));
            match self.ask(command).await? {
                Reply::Refused(Refusal::HeadMoved) => {}
                reply => return reply.granted(),
            }
        }
        Err(moves_too_often())
    }

    /// What a request would find now, if it was not answered before.
    pub(super) async fn see(&self, target: &Target) -> Result<Seen, MetadataError> {
        let (request, asked) = (target.request, target.asked);
        let key = (target.bucket, target.key.clone());
        let see = move |store: &Store| -> Result<_, StoreError> {
            if let Some(reply) = foreseen(store, &request, asked)? {
                return Ok(Ok(Seen::Answered(reply)));
            }
            if !BUCKETS.contains(store, &key.0)? {
                return Ok(Err(MetadataError::NoSuchBucket));
            }
            Ok(Ok(Seen::Head(HEADS.get(store, &key)?)))
        };
        self.read(see).await?
    }

    async fn judge(
        &self,
        target: &Target,
        condition: &Condition,
        head: Option<&HeadRow>,
    ) -> Result<Expected, MetadataError> {
        let Some(head) = head else {
            return Ok(judge(condition, None)?);
        };
        let attributes = self.attributes(target.bucket, &target.key, head).await?;
        let current = Current {
            version: head.version,
            etag: &attributes.etag,
            modified: head.modified,
            length: head.length,
        };
        Ok(judge(condition, Some(current))?)
    }

    /// Proposes what was made for the version that a key shows, made anew when it shows another.
    pub(super) async fn propose_for_version<F>(
        &self,
        target: Target,
        command: impl Fn(VersionId) -> F,
    ) -> Result<Reply, MetadataError>
    where
        F: Future<Output = Result<NamespaceCommand, MetadataError>> + Send,
    {
        for _ in 0..ROUNDS {
            let head = match self.see(&target).await? {
                Seen::Answered(reply) => return reply.granted(),
                Seen::Head(None) => return Err(MetadataError::NoSuchObject),
                Seen::Head(Some(head)) => head,
            };
            let command = command(head.version).await?;
            match self.ask(Command::Namespace(command)).await? {
                Reply::Refused(Refusal::HeadMoved) => {}
                reply => return reply.granted(),
            }
        }
        Err(moves_too_often())
    }
}

fn moves_too_often() -> MetadataError {
    MetadataError::Unavailable(format!("the object was replaced {ROUNDS} times meanwhile"))
}
