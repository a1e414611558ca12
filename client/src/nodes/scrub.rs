//! The scrub of all disks of a cluster, as a gateway's operator asks for it: every storage node is asked, all at
//! once and each for so long only, and who does not answer is named.

use super::{Nodes, REPORT_WITHIN};
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use types::wire::scrub::{DiskScrub, NotScrubbed};
use types::{DiskId, NodeId};

/// How far the scrub of all disks is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScrubReport {
    /// The disks of all nodes that answered, by their ids.
    pub disks: Vec<DiskScrub>,
    /// The other nodes.
    pub silent: Vec<SilentNode>,
}

/// A node that did not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilentNode {
    /// Which.
    pub node: NodeId,
    /// Its disks, of whose scrub nothing is known.
    pub disks: Vec<DiskId>,
}

/// Why a scrub was not begun, or not everywhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotBegun {
    /// The disk's node refuses.
    #[error(transparent)]
    Refused(#[from] NotScrubbed),
    /// These did not answer; wherever else it was asked for, it has begun.
    #[error("no answer from {}; ask again once there is one. Wherever else it was asked for, the scrub has begun", list(.0))]
    Silent(Vec<NodeId>),
}

fn list(nodes: &[NodeId]) -> String {
    let nodes = nodes.iter().map(|node| format!("node {}", node.get()));
    nodes.collect::<Vec<_>>().join(", ")
}

impl Nodes {
    /// Begins a round of a disk, or of all that serve, in whichever nodes they are. For gateways: nodes refuse each
    /// other.
    ///
    /// # Errors
    /// When there is no such disk, it does not serve, or a node does not answer.
    pub async fn begin_scrub(&self, disk: Option<DiskId>) -> Result<(), NotBegun> {
        let mut asked = self.expected().await;
        if let Some(disk) = disk {
            asked.retain(|_, disks| disks.contains(&disk));
            if asked.is_empty() {
                return Err(NotScrubbed::Unknown(disk).into());
            }
        }
        let begun = asked
            .into_keys()
            .map(async |node| (node, self.begin_at(node, disk).await));
        let mut silent = Vec::new();
        for (node, begun) in join_all(begun).await {
            match begun {
                Some(begun) => begun?,
                None => silent.push(node),
            }
        }
        if silent.is_empty() {
            return Ok(());
        }
        Err(NotBegun::Silent(silent))
    }

    async fn begin_at(
        &self,
        node: NodeId,
        disk: Option<DiskId>,
    ) -> Option<Result<(), NotScrubbed>> {
        let remote = self.other(node)?;
        timeout(REPORT_WITHIN, remote.begin_scrub(disk))
            .await
            .ok()?
    }

    /// How far the scrub of all disks is. For gateways, as [`Nodes::begin_scrub`].
    pub async fn scrubbed(&self) -> ScrubReport {
        let asked = self.expected().await.into_iter();
        let asked = asked.map(async |(node, disks)| {
            let said = self.scrubbed_by(node).await;
            self.tell(node, said.is_some());
            (node, disks, said)
        });
        let mut report = ScrubReport::default();
        for (node, disks, said) in join_all(asked).await {
            match said {
                Some(said) => {
                    let own = |scrub: &DiskScrub| scrub.disk;
                    let told = self.complete(node, &disks, said, own, DiskScrub::away);
                    report.disks.extend(told);
                }
                None => report.silent.push(SilentNode { node, disks }),
            }
        }
        report.disks.sort_by_key(|scrub| scrub.disk);
        report
    }

    async fn scrubbed_by(&self, node: NodeId) -> Option<Vec<DiskScrub>> {
        let remote = self.other(node)?;
        timeout(REPORT_WITHIN, remote.scrubbed()).await.ok()?
    }
}
