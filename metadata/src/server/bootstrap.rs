//! What an operator, or `dev`, does to a fresh cluster: admit servers and disks, lay out groups.

use super::{Inner, Server, unexpected};
use crate::apply::MAX_GROUPS;
use crate::command::{
    ClusterCommand, Command, LearntGroup, MAX_COMMAND_BYTES, NamespaceCommand, Raise,
};
use crate::level;
use crate::log::Log;
use crate::plan::{self, PlanError};
use crate::reply::Reply;
use crate::store::StoreError;
use crate::tables::{DISKS, GROUP_EPOCHS, GROUPS, LAYOUTS};
use types::id::{DiskId, GroupId, NodeId};
use types::placement::{Disk, Group, Member};
use types::profile::Profile;
use types::wire::metadata::MetadataError;

/// Groups that one command teaches.
const GROUPS_PER_COMMAND: usize = MAX_GROUPS;
/// A group encodes to at most this, and so much for each member.
const GROUP_BYTES: usize = 160;
const MEMBER_BYTES: usize = 32;

/// Groups of a profile that one command makes.
fn groups_per_command(profile: Profile) -> usize {
    let group = GROUP_BYTES + profile.shards() * MEMBER_BYTES;
    (MAX_COMMAND_BYTES / group - 1).min(MAX_GROUPS)
}

/// Why no groups were made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootstrapError {
    /// There is no layout over the admitted disks.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The service refused, or did not answer.
    #[error(transparent)]
    Service(#[from] MetadataError),
}

impl Inner {
    /// Raises the feature level (`level.rs`), for good; one that is reached stays.
    pub(super) async fn raise_level(&self, level: u32) -> Result<(), MetadataError> {
        let raise = Command::Raise(Raise { level });
        self.propose(raise).await.map(drop)
    }
}

impl<L: Log> Server<L> {
    /// Raises the feature level to this build's, for good. Every server must be of this build.
    ///
    /// # Errors
    /// When the service does not answer.
    pub async fn raise_level(&self) -> Result<(), MetadataError> {
        self.inner.raise_level(level::KNOWN).await
    }

    /// Allocates an id for a server of any role. Never given out again.
    ///
    /// # Errors
    /// When the service does not answer.
    pub async fn admit_node(&self) -> Result<NodeId, MetadataError> {
        let command = Command::Cluster(ClusterCommand::AdmitNode);
        match self.inner.propose(command).await? {
            Reply::Node(node) => Ok(node),
            _ => Err(unexpected()),
        }
    }

    /// Allocates an id for a disk, to be stamped on it before it is admitted.
    ///
    /// # Errors
    /// When the service does not answer.
    pub async fn reserve_disk_id(&self) -> Result<DiskId, MetadataError> {
        let command = Command::Cluster(ClusterCommand::ReserveDiskId);
        match self.inner.propose(command).await? {
            Reply::Disk(disk) => Ok(disk),
            _ => Err(unexpected()),
        }
    }

    /// Admits a disk under the id that is stamped on it. Admitting it again changes nothing.
    ///
    /// # Errors
    /// When the id was not reserved, or is another disk's, or the service does not answer.
    pub async fn admit_disk(&self, disk: Disk) -> Result<(), MetadataError> {
        let command = Command::Cluster(ClusterCommand::AdmitDisk { disk });
        self.inner.propose(command).await.map(drop)
    }

    /// The server that a disk was admitted in.
    ///
    /// # Errors
    /// When the service does not answer.
    pub async fn node_of(&self, disk: DiskId) -> Result<Option<NodeId>, MetadataError> {
        let row = self.inner.read(move |store| DISKS.get(store, &disk));
        Ok(row.await?.map(|disk| disk.node))
    }

    /// Makes the groups of a profile over the admitted disks of its class, unless all were made before;
    /// and lets commits know of them. Run again, it does what a failure left undone.
    ///
    /// # Errors
    /// When there are too few disks, or the service does not answer.
    pub async fn create_groups(&self, profile: Profile) -> Result<(), BootstrapError> {
        let complete = self
            .inner
            .read(move |store| LAYOUTS.contains(store, &profile))
            .await?;
        if !complete {
            self.lay_out(profile).await?;
        }
        self.teach(profile).await?;
        Ok(())
    }

    /// Makes what is missing of the plan; the last command says that it is complete. Disks that are
    /// admitted later are no reason to lay out again: moving slots to them is.
    async fn lay_out(&self, profile: Profile) -> Result<(), BootstrapError> {
        let disks = self
            .inner
            .read(|store| {
                let disks = DISKS.scan(store, &[]).map(|row| row.map(|(_, disk)| disk));
                disks.collect::<Result<Vec<Disk>, StoreError>>()
            })
            .await?;
        let existing = self.groups_of(profile).await?;
        let missing = plan::missing(plan::plan(&disks, profile)?, &existing);
        let mut parts = missing.chunks(groups_per_command(profile)).peekable();
        loop {
            let part = parts.next().unwrap_or_default();
            let last = parts.peek().is_none();
            let completes = last.then_some(profile);
            self.make_groups(profile, part, completes).await?;
            if last {
                return Ok(());
            }
        }
    }

    async fn make_groups(
        &self,
        profile: Profile,
        planned: &[Vec<Member>],
        completes: Option<Profile>,
    ) -> Result<(), MetadataError> {
        let count = u32::try_from(planned.len()).expect("a command makes few groups");
        let reserve = Command::Cluster(ClusterCommand::ReserveGroupIds { count });
        let first = match self.inner.propose(reserve).await? {
            Reply::Ids { first, .. } => first,
            _ => return Err(unexpected()),
        };
        let groups = (first..)
            .zip(planned)
            .map(|(id, members)| plan::group(GroupId::new(id), profile, members.clone()))
            .collect();
        let create = Command::Cluster(ClusterCommand::CreateGroups { groups, completes });
        self.inner.propose(create).await.map(drop)
    }

    /// Lets the namespace know of the profile's groups.
    async fn teach(&self, profile: Profile) -> Result<(), MetadataError> {
        let groups = self.groups_of(profile).await?;
        let unknown = self
            .inner
            .read(move |store| {
                let mut unknown = Vec::new();
                for group in groups {
                    if !GROUP_EPOCHS.contains(store, &group.id)? {
                        unknown.push(LearntGroup {
                            group: group.id,
                            epoch: group.epoch,
                            profile: group.profile,
                        });
                    }
                }
                Ok(unknown)
            })
            .await?;
        for part in unknown.chunks(GROUPS_PER_COMMAND) {
            let groups = part.to_vec();
            let learn = Command::Namespace(NamespaceCommand::LearnGroups { groups });
            self.inner.propose(learn).await?;
        }
        Ok(())
    }

    async fn groups_of(&self, profile: Profile) -> Result<Vec<Group>, MetadataError> {
        self.inner
            .read(move |store| {
                let groups = GROUPS
                    .scan(store, &[])
                    .map(|row| row.map(|(_, group)| group));
                let groups: Result<Vec<Group>, StoreError> = groups.collect();
                Ok(groups?
                    .into_iter()
                    .filter(|group| group.profile == profile)
                    .collect())
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Proposal;
    use types::codec;
    use types::placement::Epoch;
    use types::profile::{DiskClass, MAX_SHARDS};
    use types::wire::metadata::WallTime;

    fn length(command: Command) -> usize {
        let wall = WallTime(u64::MAX);
        codec::encode(&Proposal { wall, command }).len()
    }

    /// As many groups as one command makes or teaches fit, at every width and with the largest ids.
    #[test]
    fn commands_that_make_groups_are_small() {
        for shards in 2..=MAX_SHARDS {
            let parity = u8::try_from(shards - 1).unwrap();
            let profile = Profile::new(1, parity, DiskClass::Spinning).unwrap();
            let member = Member {
                disk: DiskId::new(u64::MAX),
                joined: Epoch(u64::MAX),
            };
            let mut group = plan::group(GroupId::new(u64::MAX), profile, vec![member; shards]);
            group.epoch = Epoch(u64::MAX);
            let groups = vec![group; groups_per_command(profile)];
            let completes = Some(profile);
            let make = ClusterCommand::CreateGroups { groups, completes };
            assert!(
                length(Command::Cluster(make)) <= MAX_COMMAND_BYTES,
                "{shards}"
            );
            let learnt = LearntGroup {
                group: GroupId::new(u64::MAX),
                epoch: Epoch(u64::MAX),
                profile,
            };
            let groups = vec![learnt; GROUPS_PER_COMMAND];
            let learn = NamespaceCommand::LearnGroups { groups };
            assert!(length(Command::Namespace(learn)) <= MAX_COMMAND_BYTES);
        }
    }
}
