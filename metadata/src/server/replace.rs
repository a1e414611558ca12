//! A lost disk's slots go to another disk.
//!
//! Whoever is asked does it; broken off, it is asked again. Nothing is kept here: what is left to do is
//! read from the rows, and two servers that do it at once only do some of it twice.

use super::{Inner, unexpected};
use crate::apply::MAX_SWAPS;
use crate::command::{ClusterCommand, Command, MemberSwap, NamespaceCommand};
use crate::replace::{self, Step};
use crate::reply::{Refusal, Reply};
use crate::tables::{GROUP_EPOCHS, GroupEpochRow};
use std::collections::BTreeMap;
use types::id::{ChunkId, DiskId, GroupId};
use types::placement::{Disk, Group};
use types::wire::metadata::MetadataError;

/// Groups that are swapped by one command: few, so that the new disk soon takes writes; not one, since
/// clients fetch the group table for each.
const GROUPS_AT_ONCE: usize = 16;
/// Rounds after which somebody else keeps changing the groups.
const ROUNDS: usize = 10_000;

impl Inner {
    pub(super) async fn replace_disk(&self, lost: DiskId, new: Disk) -> Result<(), MetadataError> {
        const { assert!(GROUPS_AT_ONCE <= MAX_SWAPS) };
        self.cluster(ClusterCommand::BeginReplacement { lost, new })
            .await?;
        let mut recorded: BTreeMap<GroupId, MemberSwap> = BTreeMap::new();
        for _ in 0..ROUNDS {
            let held = self.held_by(lost).await?;
            if held.is_empty() {
                let end = ClusterCommand::EndReplacement { lost };
                self.cluster(end).await?;
                self.count_anew().await;
                return Ok(());
            }
            let mut swaps = Vec::new();
            for (group, seen) in &held {
                let before = recorded.get(&group.id).copied();
                match replace::next(lost, group, seen.as_ref(), before) {
                    None => {}
                    Some(Step::Swap(swap)) => swaps.push(swap),
                    Some(step) => recorded.extend(self.take(group, step).await?),
                }
            }
            if swaps.len() == held.len() {
                self.swap(lost, swaps).await?;
            }
        }
        let text = format!("the groups of {lost} keep changing");
        Err(MetadataError::Unavailable(text))
    }

    async fn cluster(&self, command: ClusterCommand) -> Result<(), MetadataError> {
        self.propose(Command::Cluster(command)).await.map(drop)
    }

    /// The first groups in which the disk has a slot, and what commits know of them.
    async fn held_by(
        &self,
        disk: DiskId,
    ) -> Result<Vec<(Group, Option<GroupEpochRow>)>, MetadataError> {
        self.read_placed(move |store, placement| {
            let slots = placement.slots_of(disk).iter().take(GROUPS_AT_ONCE);
            let with_epochs = slots.map(|(group, _)| {
                let seen = GROUP_EPOCHS.get(store, group)?;
                Ok((placement.groups[group].clone(), seen))
            });
            with_epochs.collect()
        })
        .await
    }

    /// Takes a step that is not a swap; the swap for which all runs of the group are recorded now.
    async fn take(
        &self,
        group: &Group,
        step: Step,
    ) -> Result<Option<(GroupId, MemberSwap)>, MetadataError> {
        match step {
            Step::Learn(learnt) => {
                let groups = vec![learnt];
                let learn = NamespaceCommand::LearnGroups { groups };
                self.propose(Command::Namespace(learn)).await?;
            }
            Step::Raise { slot, epoch } => {
                let raise = Command::Namespace(NamespaceCommand::RaiseEpoch {
                    group: group.id,
                    epoch,
                    slots: vec![slot],
                });
                match self.ask(raise).await? {
                    // Somebody else has raised it: what for is read again.
                    Reply::Refused(Refusal::EpochNotRaised { .. }) => {}
                    reply => drop(reply.granted()?),
                }
            }
            Step::Record(swap) => {
                self.record(swap).await?;
                return Ok(Some((group.id, swap)));
            }
            Step::Swap(_) => {}
        }
        Ok(None)
    }

    /// Records every run of the group as missing on the slot.
    async fn record(&self, swap: MemberSwap) -> Result<(), MetadataError> {
        let mut next = Some(ChunkId::new(0));
        while let Some(from) = next {
            let record = Command::Namespace(NamespaceCommand::RecordSlot {
                group: swap.group,
                slot: swap.slot,
                from,
            });
            next = match self.propose(record).await? {
                Reply::Walked { next } => next,
                _ => return Err(unexpected()),
            };
        }
        Ok(())
    }

    async fn swap(&self, lost: DiskId, swaps: Vec<MemberSwap>) -> Result<(), MetadataError> {
        let swap = Command::Cluster(ClusterCommand::SwapMembers { lost, swaps });
        match self.ask(swap).await? {
            // Somebody else was faster, or changed a group otherwise: it is read again.
            Reply::Refused(Refusal::GroupChanged | Refusal::NoSuchDisk) => Ok(()),
            reply => reply.granted().map(drop),
        }
    }
}
