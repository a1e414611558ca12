//! What is to be done next for a slot of a lost disk, so that another can take it over.
//!
//! ```text
//! learn -> raise -> record, to the last run -> swap
//! ```
//!
//! Pure. The slot's epoch is raised in the namespace first: what was acknowledged before, and is committed
//! after, is recorded as missing by the commit. Then every run that there is is recorded. Only then the
//! member is swapped, by a compare-and-set on the group's epoch: whatever else changed the group in
//! between, this begins anew (docs/decisions/0014). Each step may be taken twice, and by two servers.

use crate::command::{LearntGroup, MemberSwap};
use crate::tables::GroupEpochRow;
use types::id::DiskId;
use types::placement::{Epoch, Group, Slot};

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The namespace does not know the group: it learns of it.
    Learn(LearntGroup),
    /// The slot is closed in the namespace, under this epoch.
    Raise {
        /// The slot.
        slot: Slot,
        /// Above all that the group had.
        epoch: Epoch,
    },
    /// Every run of the group is recorded as missing on the slot.
    Record(MemberSwap),
    /// The member is swapped.
    Swap(MemberSwap),
}

/// The next step for the lost disk's slot in a group; none when it has none there. `seen` is the group as
/// commits see it; `recorded` the swap for which all runs were recorded in this very attempt.
pub fn next(
    lost: DiskId,
    group: &Group,
    seen: Option<&GroupEpochRow>,
    recorded: Option<MemberSwap>,
) -> Option<Step> {
    let mut members = (0..).map(Slot).zip(&group.members);
    let (slot, _) = members.find(|(_, member)| member.disk == lost)?;
    let Some(seen) = seen else {
        return Some(Step::Learn(LearntGroup {
            group: group.id,
            epoch: group.epoch,
            profile: group.profile,
        }));
    };
    let changed = seen.changed.get(usize::from(slot.0)).copied();
    let changed = changed.unwrap_or_default();
    if changed <= group.epoch {
        // Closed under an epoch that the group has come to, or never: commits of now are not caught.
        let epoch = Epoch(seen.epoch.max(group.epoch).0.saturating_add(1));
        return Some(Step::Raise { slot, epoch });
    }
    let swap = MemberSwap {
        group: group.id,
        slot,
        expects: group.epoch,
        epoch: changed,
    };
    Some(if recorded == Some(swap) {
        Step::Swap(swap)
    } else {
        Step::Record(swap)
    })
}
