//! What an operator, or `dev`, does to a fresh cluster: admit servers and disks, lay out groups.

use super::{Server, unexpected};
use crate::command::{ClusterCommand, Command, LearntGroup, NamespaceCommand};
use crate::log::Log;
use crate::plan::{self, PlanError};
use crate::reply::Reply;
use crate::store::StoreError;
use crate::tables::{DISKS, GROUP_EPOCHS, GROUPS};
use types::id::{DiskId, GroupId, NodeId};
use types::placement::{Disk, Group};
use types::profile::Profile;
use types::wire::metadata::MetadataError;

/// Groups that one command makes.
const GROUPS_PER_COMMAND: usize = 500;

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

impl<L: Log> Server<L> {
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

    /// Makes the groups of a profile over all admitted disks of its class, unless it has groups
    /// already; and lets commits know of them. Run again, it does what a failure left undone.
    ///
    /// # Errors
    /// When there are too few disks, or the service does not answer.
    pub async fn create_groups(&self, profile: Profile) -> Result<(), BootstrapError> {
        let existing = self.groups_of(profile).await?;
        if existing.is_empty() {
            self.lay_out(profile).await?;
        }
        self.teach(profile).await?;
        Ok(())
    }

    async fn lay_out(&self, profile: Profile) -> Result<(), BootstrapError> {
        let disks = self
            .inner
            .read(|store| {
                let disks = DISKS.scan(store, &[]).map(|row| row.map(|(_, disk)| disk));
                disks.collect::<Result<Vec<Disk>, StoreError>>()
            })
            .await?;
        let planned = plan::plan(&disks, profile)?;
        for part in planned.chunks(GROUPS_PER_COMMAND) {
            let count = u32::try_from(part.len()).expect("a command makes few groups");
            let reserve = Command::Cluster(ClusterCommand::ReserveGroupIds { count });
            let first = match self.inner.propose(reserve).await? {
                Reply::Ids { first, .. } => first,
                _ => return Err(unexpected().into()),
            };
            let groups = (first..)
                .zip(part)
                .map(|(id, members)| plan::group(GroupId::new(id), profile, members.clone()))
                .collect();
            let create = Command::Cluster(ClusterCommand::CreateGroups { groups });
            self.inner.propose(create).await?;
        }
        Ok(())
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
