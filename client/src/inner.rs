//! What every upload and download of a client shares.

use crate::ClientConfig;
use crate::budget::Budget;
use crate::error::PutError;
use crate::groups::Groups;
use crate::lease::Ids;
use crate::session::{Session, Sessions, lock, patiently};
use crate::shared::Lookups;
use crate::speed::Speed;
use erasure::Coder;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use types::id::{BucketId, RequestId, VersionId};
use types::profile::Profile;
use types::wire::metadata::{Answer, IssuedBlob, Located, Lookup, MetadataError};
use types::wire::{Metadata, ShardStore};

pub(crate) struct Inner {
    pub(crate) config: ClientConfig,
    pub(crate) metadata: Arc<dyn Metadata>,
    lookups: Lookups,
    pub(crate) shards: Arc<dyn ShardStore>,
    pub(crate) sessions: Sessions,
    pub(crate) groups: Groups,
    pub(crate) budget: Budget,
    pub(crate) speed: Speed,
    coders: Mutex<HashMap<Profile, Arc<Coder>>>,
}

impl Inner {
    pub(crate) fn new(
        config: ClientConfig,
        metadata: Arc<dyn Metadata>,
        shards: Arc<dyn ShardStore>,
    ) -> Self {
        let patience = config.metadata_patience;
        Self {
            sessions: Sessions::new(Arc::clone(&metadata), config.node, patience),
            groups: Groups::new(Arc::clone(&metadata), patience),
            budget: Budget::new(config.memory, config.memory_patience),
            speed: Speed::default(),
            coders: Mutex::default(),
            lookups: Lookups::new(Arc::clone(&metadata)),
            config,
            metadata,
            shards,
        }
    }

    /// The coder of a profile, made once.
    pub(crate) fn coder(&self, profile: Profile) -> Arc<Coder> {
        let mut coders = lock(&self.coders);
        let coder = coders
            .entry(profile)
            .or_insert_with(|| Arc::new(Coder::new(profile)));
        Arc::clone(coder)
    }

    /// 64 bits, for a choice.
    pub(crate) fn draw(&self) -> u64 {
        self.config.chance.draw()
    }

    /// An id for a version, or an upload, that is to be.
    pub(crate) fn draw_version(&self) -> VersionId {
        let words = [self.draw(), self.draw()];
        let bytes: Vec<u8> = words.into_iter().flat_map(u64::to_be_bytes).collect();
        VersionId::new(bytes.try_into().expect("twice eight bytes"))
    }

    /// 1 to `most` consecutive chunk ids.
    pub(crate) async fn chunk_ids(
        &self,
        session: &Session,
        most: u32,
    ) -> Result<Ids, MetadataError> {
        let patience = self.config.metadata_patience;
        session
            .leases
            .take(&self.sessions, &*self.metadata, session, most, patience)
            .await
    }

    /// A blob id with its key, for one upload into `bucket`, and the session that it belongs to.
    pub(crate) async fn issue(
        &self,
        bucket: BucketId,
    ) -> Result<(Arc<Session>, IssuedBlob), MetadataError> {
        let patience = self.config.metadata_patience;
        let mut session = self.sessions.current().await?;
        loop {
            let taken = session
                .issued
                .take(&self.sessions, &*self.metadata, &session, bucket, patience)
                .await;
            match taken {
                // It ended while nothing was at stake: another one is as good.
                Err(MetadataError::SessionExpired) => {
                    let fresh = self.sessions.current().await?;
                    if fresh.id == session.id {
                        return Err(MetadataError::SessionExpired);
                    }
                    session = fresh;
                }
                other => return other.map(|blob| (session, blob)),
            }
        }
    }

    /// Looks an object up, patiently: in a call of its own, or together with others that are looked up now.
    pub(crate) async fn look_up(&self, lookup: Lookup) -> Result<Located, MetadataError> {
        let ask = || self.lookups.ask(lookup.clone());
        patiently(self.config.metadata_patience, ask).await
    }

    /// Asks what changes nothing, patiently.
    pub(crate) async fn ask<'a, T>(
        &self,
        ask: impl FnMut() -> Answer<'a, T>,
    ) -> Result<T, MetadataError> {
        patiently(self.config.metadata_patience, ask).await
    }

    /// Sends a numbered request, again under the same number while the service is unavailable. When the
    /// session turns out to have ended before the request had any chance, it is sent under another.
    pub(crate) async fn change<'a, T>(
        &self,
        send: impl Fn(RequestId) -> Answer<'a, T>,
    ) -> Result<T, MetadataError> {
        self.attempt(send).await?.answer
    }

    /// Sends what makes something visible, as [`Self::change`] does.
    pub(crate) async fn commit<'a, T>(
        &self,
        send: impl Fn(RequestId) -> Answer<'a, T>,
    ) -> Result<T, PutError> {
        self.attempt(send).await?.outcome()
    }

    async fn attempt<'a, T>(
        &self,
        send: impl Fn(RequestId) -> Answer<'a, T>,
    ) -> Result<Attempt<T>, MetadataError> {
        let mut fresh = false;
        loop {
            let session = self.sessions.current().await?;
            let attempt = self.send_under(&session, &send).await;
            let expired = matches!(attempt.answer, Err(MetadataError::SessionExpired));
            if attempt.sent > 1 || fresh || !expired {
                return Ok(attempt);
            }
            fresh = true;
        }
    }

    /// Sends a numbered request of this very session, again under the same number while the service is
    /// unavailable.
    pub(crate) async fn send_under<'a, T>(
        &self,
        session: &Session,
        send: impl Fn(RequestId) -> Answer<'a, T>,
    ) -> Attempt<T> {
        let numbered = session.number().await;
        let mut sent = 0;
        let answer = self
            .ask(|| {
                sent += 1;
                send(numbered.request)
            })
            .await;
        self.sessions.note(session, &answer);
        Attempt { sent, answer }
    }
}

/// A numbered request that will not be sent again.
pub(crate) struct Attempt<T> {
    /// How often it was sent; at least once.
    sent: u32,
    /// The last answer.
    pub(crate) answer: Result<T, MetadataError>,
}

impl<T> Attempt<T> {
    /// What its caller may be told: that it was not done only where that is certain.
    pub(crate) fn outcome(self) -> Result<T, PutError> {
        match self.answer {
            Err(MetadataError::Unavailable(why)) => Err(PutError::OutcomeUnknown(why)),
            // The service's memory of an attempt that was not answered went with the session.
            Err(error @ MetadataError::SessionExpired) if self.sent > 1 => {
                Err(PutError::OutcomeUnknown(error.to_string()))
            }
            answer => Ok(answer?),
        }
    }
}
