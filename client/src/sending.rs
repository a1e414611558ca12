//! An upload's chunks on their way: which group and ids the next one gets, and what has landed.
//!
//! While one chunk fills, those before it are coded and sent. What always holds: chunks are folded into
//! runs in the blob's order, whatever the order in which they land; no chunk is sent after the session
//! has ended, because no run of it could be committed any more.

use crate::chunk::Filling;
use crate::error::{Pressure, PutError};
use crate::inner::Inner;
use crate::land::{Origin, Target, land};
use crate::lease::Ids;
use crate::runs::{Landed, Runs};
use crate::task::Task;
use std::collections::VecDeque;
use std::sync::Arc;
use types::manifest::CHUNKS_PER_RUN;
use types::placement::Group;
use types::profile::Profile;
use types::wire::metadata::{MetadataError, WrittenPlace};

/// Chunks of one upload that are coded and sent while the next one fills.
const LANDING: usize = 2;

/// The chunks of one upload, from the moment that they are full.
pub(crate) struct Sending {
    origin: Arc<Origin>,
    place: Option<Place>,
    landing: VecDeque<Task<Result<Landed, PutError>>>,
    runs: Runs,
}

/// The group that takes the next chunks.
struct Place {
    group: Group,
    ids: Ids,
}

impl Sending {
    pub(crate) fn new(origin: Origin) -> Self {
        Self {
            origin: Arc::new(origin),
            place: None,
            landing: VecDeque::new(),
            runs: Runs::default(),
        }
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Sends a chunk on its way, behind at most one other. `first_segment` counts from the blob's first;
    /// `left` is how many chunks the blob still has as far as is known, this one included.
    pub(crate) async fn dispatch(
        &mut self,
        filling: Filling,
        first_segment: u64,
        left: u64,
    ) -> Result<(), PutError> {
        if self.landing.len() == LANDING {
            self.settle_first().await?;
        }
        if !self.origin.session.live() {
            return Err(MetadataError::SessionExpired.into());
        }
        let target = self.target(&filling, left).await?;
        let landing = land(Arc::clone(&self.origin), filling, first_segment, target);
        self.landing.push_back(Task::spawn(landing));
        Ok(())
    }

    /// Waits for all chunks, and tells where they are. The leases are kept until `self` is dropped.
    pub(crate) async fn settle(&mut self) -> Result<WrittenPlace, PutError> {
        while !self.landing.is_empty() {
            self.settle_first().await?;
        }
        Ok(WrittenPlace::Runs {
            profile: self.profile(),
            runs: self.runs.written(),
        })
    }

    fn profile(&self) -> Profile {
        self.origin.coder.profile()
    }

    fn inner(&self) -> &Inner {
        &self.origin.inner
    }

    /// Waits for the first of the chunks under way.
    async fn settle_first(&mut self) -> Result<(), PutError> {
        let Some(task) = self.landing.pop_front() else {
            return Ok(());
        };
        let landed = task.join().await.ok_or(Pressure::Stopping)??;
        let place = self.place.as_ref().map(|p| (p.group.id, p.group.epoch));
        if place.is_some_and(|place| landed.left.contains(&place)) {
            self.place = None;
        }
        self.runs.push(landed);
        Ok(())
    }

    /// The next id in the present group, or the first in another.
    async fn target(&mut self, filling: &Filling, left: u64) -> Result<Target, PutError> {
        loop {
            if let Some(place) = &mut self.place
                && let Some(chunk) = place.ids.next()
            {
                return Ok(Target {
                    _under_way: self.origin.inner.groups.load(place.group.id),
                    group: place.group.clone(),
                    lease: Arc::clone(&place.ids.lease),
                    chunk,
                });
            }
            let group = self.group(filling).await?;
            let most = u32::try_from(left).map_or(CHUNKS_PER_RUN, |left| left.min(CHUNKS_PER_RUN));
            let ids = self.inner().chunk_ids(&self.origin.session, most).await?;
            self.place = Some(Place { group, ids });
        }
    }

    async fn group(&self, filling: &Filling) -> Result<Group, PutError> {
        let profile = self.profile();
        let layout = filling.layout(profile);
        let inner = self.inner();
        let groups = &inner.groups;
        let uses = |slot| layout.blocks(slot) > 0;
        let choose = || groups.choose(profile, uses, &[], usize::MAX, || inner.draw());
        if let Some(group) = choose() {
            return Ok(group);
        }
        groups.refresh(groups.table().version).await?;
        choose().ok_or_else(|| Pressure::Groups(profile).into())
    }
}
