//! A lost disk is replaced: by steps that may be broken off anywhere.

use crate::fixture::profile;
use crate::service::Gateway;
use crate::upkeep::{gateway, member};
use std::collections::BTreeSet;
use strongroom_metadata::command::{ClusterCommand, Command, LearntGroup, MemberSwap};
use strongroom_metadata::replace::{Step, next};
use strongroom_metadata::tables::*;
use strongroom_metadata::{Refusal, Reply, plan};
use types::id::{DiskId, GroupId, NodeId};
use types::placement::{Disk, Epoch, GroupTable, Member, Slot};
use types::profile::DiskClass;
use types::wire::metadata::MetadataError;
use types::wire::upkeep::Repaired;
use types::wire::{Metadata, Upkeep};

/// What is done next follows from the group, what commits know of it, and what was recorded.
#[test]
fn each_step_follows_from_what_is_there() {
    let members = |count: u64| {
        (1..=count).map(|disk| Member {
            disk: DiskId::new(disk),
            joined: Epoch(1),
        })
    };
    let mut group = plan::group(GroupId::new(11), profile(), members(6).collect());
    let lost = DiskId::new(3);
    let swap = |expects, epoch| MemberSwap {
        group: group.id,
        slot: Slot(2),
        expects: Epoch(expects),
        epoch: Epoch(epoch),
    };
    let (first, second) = (swap(1, 2), swap(3, 5));
    let mut seen = GroupEpochRow {
        epoch: Epoch(1),
        profile: profile(),
        changed: vec![Epoch(1); 6],
    };
    assert_eq!(next(DiskId::new(9), &group, Some(&seen), None), None);
    let learn = Step::Learn(LearntGroup {
        group: group.id,
        epoch: Epoch(1),
        profile: profile(),
    });
    assert_eq!(next(lost, &group, None, None), Some(learn));
    let raise = |epoch| {
        let (slot, epoch) = (Slot(2), Epoch(epoch));
        Some(Step::Raise { slot, epoch })
    };
    assert_eq!(next(lost, &group, Some(&seen), None), raise(2));
    (seen.epoch, seen.changed[2]) = (Epoch(2), Epoch(2));
    let record = next(lost, &group, Some(&seen), None);
    assert_eq!(record, Some(Step::Record(first)));
    let swapped = next(lost, &group, Some(&seen), Some(first));
    assert_eq!(swapped, Some(Step::Swap(first)));
    // Another slot was swapped meanwhile, under an epoch that is no lower: commits of now are not caught.
    (seen.epoch, seen.changed[4]) = (Epoch(3), Epoch(3));
    group.epoch = Epoch(3);
    assert_eq!(next(lost, &group, Some(&seen), Some(first)), raise(4));
    (seen.epoch, seen.changed[2]) = (Epoch(5), Epoch(5));
    let again = next(lost, &group, Some(&seen), Some(first));
    assert_eq!(again, Some(Step::Record(second)));
}

impl Gateway {
    async fn new_disk(&self) -> Disk {
        Disk {
            id: Upkeep::reserve_disk_id(&*self.server).await.unwrap(),
            node: NodeId::new(1),
            class: DiskClass::Flash,
        }
    }

    /// Every run lacks what its slot's disk was never given.
    fn no_hole(&self, table: &GroupTable, written_before: &BTreeSet<u64>, new: DiskId) {
        for row in GROUP_RUNS.scan(self.store(), &[]) {
            let (row_key, row) = row.unwrap();
            let id = GroupId::new(u64::from_be_bytes(row_key[..8].try_into().unwrap()));
            let group = table.group(id).unwrap();
            let mut slots = (0..).map(Slot).zip(&group.members);
            let Some((slot, _)) = slots.find(|(_, member)| member.disk == new) else {
                continue;
            };
            let recorded = REPAIRS
                .contains(self.store(), &(id, row.first, slot))
                .unwrap();
            assert!(recorded || !written_before.contains(&row.first.get()));
        }
    }
}

/// Broken off after any of its proposals, and asked again, a replacement comes to the same end; in between
/// no slot is believed to hold what its new disk was never given.
#[tokio::test(start_paused = true)]
async fn a_lost_disk_is_replaced_wherever_it_is_broken_off() {
    let mut gateway = gateway().await;
    let mut written = BTreeSet::new();
    for number in 0..5 {
        let (_, first) = gateway.write(&format!("object-{number}"), 2, &[]).await;
        written.insert(first.get());
    }
    let before = gateway.table().await;
    let lost = member(&before.groups[0], 3);
    let slots = before
        .groups
        .iter()
        .filter(|group| group.members.iter().any(|member| member.disk == lost))
        .count();
    assert!(slots > 90);
    let new = gateway.new_disk().await;
    let mut proposals = 0;
    loop {
        // One more each time, and from some time on larger steps.
        let step = if proposals < 60 { 1 } else { 25 };
        proposals += step;
        gateway.server.log().1.after(step);
        let replaced = gateway.server.replace_disk(lost, new.clone()).await;
        gateway.server.log().1.ends();
        let table = gateway.table().await;
        gateway.no_hole(&table, &written, new.id);
        if replaced.is_ok() {
            break;
        }
        assert!(matches!(replaced, Err(MetadataError::Unavailable(_))));
        assert!(proposals < 100_000);
        if proposals > 100 {
            gateway.server.log().1.ends();
            gateway
                .server
                .replace_disk(lost, new.clone())
                .await
                .unwrap();
            break;
        }
    }
    let after = gateway.table().await;
    assert!(!after.disks.iter().any(|disk| disk.id == lost));
    assert!(after.disks.contains(&new));
    for (old, group) in before.groups.iter().zip(&after.groups) {
        for (was, member) in old.members.iter().zip(&group.members) {
            if was.disk == lost {
                let disk = new.id;
                let joined = group.epoch;
                assert_eq!(*member, Member { disk, joined });
                assert!(group.epoch > old.epoch);
            } else {
                assert_eq!(member, was);
            }
        }
        let seen = GROUP_EPOCHS.get(gateway.store(), &group.id).unwrap();
        assert!(seen.unwrap().epoch >= group.epoch);
    }
    let tasks = gateway.all_repairs().await.remove(&new.id).unwrap();
    let made: BTreeSet<_> = tasks.iter().map(|task| task.at.first_chunk.get()).collect();
    assert_eq!(made, written);
    let told = gateway.server.health(vec![]).await.unwrap();
    assert_eq!(told.tolerates, Some(1));
    let done = tasks.iter().map(|task| Repaired {
        at: task.at,
        epoch: task.epoch,
    });
    gateway
        .server
        .repaired(new.id, done.collect())
        .await
        .unwrap();
    assert!(gateway.all_repairs().await.values().all(Vec::is_empty));

    // Asked again it is done; its id is never another's.
    let mark = gateway.table().await.version;
    gateway
        .server
        .replace_disk(lost, new.clone())
        .await
        .unwrap();
    assert_eq!(gateway.table().await.version, mark);
    let back = Disk {
        id: lost,
        ..new.clone()
    };
    assert!(gateway.server.admit_disk(back).await.is_err());
}

/// What was acknowledged before, and is committed while the disk is being replaced, is recorded as missing.
#[tokio::test(start_paused = true)]
async fn commits_in_flight_are_recorded() {
    let mut gateway = gateway().await;
    let table = gateway.table().await;
    let (lost, new) = (member(&table.groups[0], 1), gateway.new_disk().await);
    let length = crate::fixture::chunk_bytes();
    let (in_flight, _) = gateway.chunked("in-flight", length).await;
    gateway
        .server
        .replace_disk(lost, new.clone())
        .await
        .unwrap();
    gateway.server.commit_object(in_flight).await.unwrap();
    let tasks = gateway.all_repairs().await.remove(&new.id).unwrap();
    assert_eq!(tasks.len(), 1);
    assert_eq!(tasks[0].epoch, gateway.table().await.groups[0].epoch);
}

/// A disk that is not there, in use, of another class or lost before is refused, and nothing is changed.
#[tokio::test(start_paused = true)]
async fn what_cannot_replace_a_disk_is_refused() {
    let gateway = gateway().await;
    let table = gateway.table().await;
    let new = gateway.new_disk().await;
    let (lost, other) = (table.disks[0].id, table.disks[1].clone());
    let class = DiskClass::Spinning;
    let unknown = DiskId::new(999_999);
    let unreserved = Disk {
        id: unknown,
        ..new.clone()
    };
    for (lost, new) in [
        (unknown, new.clone()),
        (lost, other),
        (lost, table.disks[0].clone()),
        (
            lost,
            Disk {
                class,
                ..new.clone()
            },
        ),
        (lost, unreserved),
    ] {
        let refused = gateway.server.replace_disk(lost, new).await;
        assert!(
            matches!(refused, Err(MetadataError::Malformed(_))),
            "{refused:?}"
        );
    }
    assert_eq!(gateway.table().await, table);
    let another = gateway.new_disk().await;
    gateway
        .server
        .replace_disk(lost, new.clone())
        .await
        .unwrap();
    let refused = gateway.server.replace_disk(lost, another).await;
    assert!(matches!(refused, Err(MetadataError::Malformed(_))));
}

/// A swap is compared with the epoch of its walk and the slot's disk; a group is never given a disk twice,
/// nor a new one the disk that is being replaced.
#[tokio::test(start_paused = true)]
async fn a_swap_compares() {
    let gateway = gateway().await;
    let table = gateway.table().await;
    let group = &table.groups[0];
    let (lost, new) = (member(group, 0), gateway.new_disk().await);
    let cluster = |command| gateway.server.log().0.apply(Command::Cluster(command));
    let begin = ClusterCommand::BeginReplacement {
        lost,
        new: new.clone(),
    };
    let swap = |slot, expects, epoch| ClusterCommand::SwapMembers {
        lost,
        swaps: vec![MemberSwap {
            group: group.id,
            slot: Slot(slot),
            expects: Epoch(expects),
            epoch: Epoch(epoch),
        }],
    };
    let refused = |refusal| Reply::Refused(refusal);
    assert_eq!(cluster(swap(0, 1, 2)), refused(Refusal::NoSuchDisk));
    assert_eq!(cluster(begin), Reply::Done);
    for (slot, expects, epoch) in [(0, 2, 3), (0, 1, 1), (1, 1, 2), (9, 1, 2)] {
        let changed = refused(Refusal::GroupChanged);
        assert_eq!(cluster(swap(slot, expects, epoch)), changed);
    }
    let end = ClusterCommand::EndReplacement { lost };
    assert_eq!(cluster(end), refused(Refusal::DiskInUse));
    assert_eq!(cluster(swap(0, 1, 3)), Reply::Done);
    assert_eq!(cluster(swap(0, 1, 3)), refused(Refusal::GroupChanged));
    let Reply::Ids { first, .. } = cluster(ClusterCommand::ReserveGroupIds { count: 1 }) else {
        panic!()
    };
    let members = table.groups[0].members.clone();
    let groups = vec![plan::group(GroupId::new(first), profile(), members)];
    let create = ClusterCommand::CreateGroups {
        groups,
        completes: None,
    };
    assert_eq!(cluster(create), refused(Refusal::BadGroup));
}
