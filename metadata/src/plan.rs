//! The placement planner: which disk holds which slot of which new group.
//!
//! Pure. Disks are shuffled into a circle, and each place on it begins a group that takes the next
//! k + m disks in turn; then they are shuffled again, until each disk has about 100 slots. So each
//! disk has each slot equally often (data and parity alike), and shares groups with all its peers, who
//! together rebuild it when it is lost.

use std::collections::{BTreeMap, BTreeSet};
use types::id::{DiskId, GroupId, NodeId};
use types::placement::{Admission, Disk, Epoch, Group, Member};
use types::profile::Profile;

/// Slots that a disk should have: enough that all its peers take part when it is rebuilt.
pub const SLOTS_PER_DISK: usize = 100;

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A group needs a disk for each shard.
    #[error("profile {profile} needs {needed} disks of its class, and there are {found}")]
    TooFewDisks {
        /// The profile.
        profile: Profile,
        /// k + m.
        needed: usize,
        /// Admitted disks of the profile's class.
        found: usize,
    },
}

/// Lays groups of `profile` over the disks of its class. Their ids are still to be given.
///
/// No two disks of a group are on one server, as soon as there are k + m servers.
///
/// # Errors
/// When there are fewer disks than a group has shards.
pub fn plan(disks: &[Disk], profile: Profile) -> Result<Vec<Vec<Member>>, PlanError> {
    let width = profile.shards();
    let mut by_node: BTreeMap<NodeId, Vec<&Disk>> = BTreeMap::new();
    let usable: Vec<&Disk> = disks
        .iter()
        .filter(|disk| disk.class == profile.class())
        .collect();
    for disk in &usable {
        by_node.entry(disk.node).or_default().push(disk);
    }
    if usable.len() < width {
        return Err(PlanError::TooFewDisks {
            profile,
            needed: width,
            found: usable.len(),
        });
    }
    let apart = by_node.len() >= width;
    let mut groups = Vec::new();
    for round in 0..SLOTS_PER_DISK.div_ceil(width) {
        let circle = circle(&by_node, round as u64);
        for start in 0..circle.len() {
            let chosen: Vec<&Disk> = circle
                .iter()
                .cycle()
                .skip(start)
                .take(width)
                .copied()
                .collect();
            let nodes: BTreeSet<NodeId> = chosen.iter().map(|disk| disk.node).collect();
            if !apart || nodes.len() == width {
                groups.push(members(&chosen));
            }
        }
    }
    Ok(groups)
}

/// What of a plan is not among the groups that there are. A plan may hold the same members twice.
pub fn missing(planned: Vec<Vec<Member>>, existing: &[Group]) -> Vec<Vec<Member>> {
    let disks = |members: &[Member]| members.iter().map(|member| member.disk).collect();
    let mut made: BTreeMap<Vec<DiskId>, usize> = BTreeMap::new();
    for group in existing {
        *made.entry(disks(&group.members)).or_default() += 1;
    }
    let mut missing = planned;
    missing.retain(|members| match made.get_mut(&disks(members)) {
        Some(left) if *left > 0 => {
            *left -= 1;
            false
        }
        _ => true,
    });
    missing
}

/// Planned members under an id, as a group at its first epoch.
pub fn group(id: GroupId, profile: Profile, members: Vec<Member>) -> Group {
    Group {
        id,
        profile,
        epoch: Epoch(1),
        admission: Admission::Open,
        members,
    }
}

fn members(disks: &[&Disk]) -> Vec<Member> {
    let joined = Epoch(1);
    let member = |disk: &&Disk| Member {
        disk: disk.id,
        joined,
    };
    disks.iter().map(member).collect()
}

/// All disks in an order of their own for each round, the servers taking turns.
fn circle<'d>(by_node: &BTreeMap<NodeId, Vec<&'d Disk>>, round: u64) -> Vec<&'d Disk> {
    let mut nodes: Vec<Vec<&Disk>> = by_node.values().cloned().collect();
    for disks in &mut nodes {
        disks.sort_by_key(|disk| shuffled(round, disk.id.get()));
    }
    nodes.sort_by_key(|disks| shuffled(round, disks[0].node.get()));
    let deepest = nodes.iter().map(Vec::len).max().unwrap_or(0);
    (0..deepest)
        .flat_map(|rank| {
            nodes
                .iter()
                .filter_map(move |disks| disks.get(rank).copied())
        })
        .collect()
}

/// An arbitrary but fixed number for an id in a round (SplitMix64, Steele et al. 2014).
fn shuffled(round: u64, id: u64) -> u64 {
    let mut z = id.wrapping_add((round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::profile::DiskClass;

    fn disks(nodes: u64, each: u64) -> Vec<Disk> {
        let disk = |node, number| Disk {
            id: DiskId::new(node * 100 + number),
            node: NodeId::new(node),
            class: DiskClass::Flash,
        };
        (1..=nodes)
            .flat_map(|node| (1..=each).map(move |number| disk(node, number)))
            .collect()
    }

    /// Each disk has each slot equally often, and no disk has two slots of one group.
    #[test]
    fn disks_and_slots_are_balanced() {
        for (nodes, each, profile) in [(1, 6, "4+2"), (1, 9, "4+2"), (1, 3, "2+1"), (12, 2, "8+3")]
        {
            let profile: Profile = profile.parse().unwrap();
            let groups = plan(&disks(nodes, each), profile).unwrap();
            let mut counts: BTreeMap<(usize, DiskId), usize> = BTreeMap::new();
            for group in &groups {
                let distinct: BTreeSet<_> = group.iter().map(|member| member.disk).collect();
                assert_eq!(distinct.len(), profile.shards());
                for (slot, member) in group.iter().enumerate() {
                    *counts.entry((slot, member.disk)).or_default() += 1;
                }
            }
            let per_slot = SLOTS_PER_DISK.div_ceil(profile.shards());
            assert!(counts.values().all(|count| *count == per_slot), "{profile}");
            assert_eq!(counts.len(), profile.shards() * disks(nodes, each).len());
        }
    }

    /// Every other disk helps to rebuild a lost one.
    #[test]
    fn a_disk_shares_groups_with_all_its_peers() {
        let groups = plan(&disks(1, 20), "4+2".parse().unwrap()).unwrap();
        let lost = DiskId::new(101);
        let peers: BTreeSet<_> = groups
            .iter()
            .filter(|group| group.iter().any(|member| member.disk == lost))
            .flat_map(|group| group.iter().map(|member| member.disk))
            .collect();
        assert_eq!(peers.len(), 20);
    }

    /// With enough servers, no server holds two shards of a chunk; also when they differ in size.
    #[test]
    fn servers_are_failure_domains_once_there_are_enough() {
        let mut uneven = disks(7, 3);
        uneven.remove(0);
        for disks in [disks(6, 4), uneven] {
            let groups = plan(&disks, "4+2".parse().unwrap()).unwrap();
            assert!(!groups.is_empty());
            for group in groups {
                let nodes: BTreeSet<_> =
                    group.iter().map(|member| member.disk.get() / 100).collect();
                assert_eq!(nodes.len(), 6);
            }
        }
    }

    /// A layout that was cut short is completed, also where members occur twice in it.
    #[test]
    fn what_is_missing_of_a_plan_is_found() {
        let profile: Profile = "2+1".parse().unwrap();
        let planned = plan(&disks(1, 3), profile).unwrap();
        let distinct: BTreeSet<_> = planned
            .iter()
            .map(|members| format!("{members:?}"))
            .collect();
        assert!(distinct.len() < planned.len(), "members occur twice");
        for made in 0..=planned.len() {
            let existing: Vec<_> = (1..)
                .zip(planned.iter().take(made).cloned())
                .map(|(id, members)| group(GroupId::new(id), profile, members))
                .collect();
            let missing = missing(planned.clone(), &existing);
            let mut all: Vec<_> = existing.into_iter().map(|group| group.members).collect();
            all.extend(missing);
            let sorted = |mut groups: Vec<Vec<Member>>| {
                groups.sort_by_key(|members| format!("{members:?}"));
                groups
            };
            assert_eq!(sorted(all), sorted(planned.clone()));
        }
    }

    #[test]
    fn too_few_disks_are_said_so() {
        let error = plan(&disks(1, 5), "4+2".parse().unwrap()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "profile 4+2 needs 6 disks of its class, and there are 5"
        );
    }
}
