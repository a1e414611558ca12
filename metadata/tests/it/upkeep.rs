//! What storage nodes pull and report, over a log in memory.

use crate::fixture::{key, profile};
use crate::service::Gateway;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use strongroom_metadata::ServerConfig;
use strongroom_metadata::command::{Command, NamespaceCommand};
use strongroom_metadata::tables::*;
use types::id::{ChunkId, DiskId, GroupId, VersionId};
use types::placement::{Epoch, Group, GroupTable, Slot};
use types::shard::ShardKey;
use types::wire::metadata::{Lookup, MetadataError, Wanted, WrittenPlace};
use types::wire::upkeep::{
    ChunkRange, DeleteTask, Health, MAX_COVERED, MAX_TASKS, RepairTask, Repaired, RunSlot,
};
use types::wire::{Metadata, Upkeep};

pub(crate) const DELAY: Duration = Duration::from_secs(20);

pub(crate) async fn gateway() -> Gateway {
    let config = ServerConfig {
        reclaim_after: DELAY,
        ..ServerConfig::new(profile())
    };
    Gateway::with(config).await
}

impl Gateway {
    pub(crate) async fn table(&self) -> GroupTable {
        self.server.group_table(0).await.unwrap().unwrap()
    }

    /// Writes an object of so many chunks into the first group; its version, and its run's first chunk.
    pub(crate) async fn write(
        &mut self,
        name: &str,
        chunks: u64,
        missing: &[u8],
    ) -> (VersionId, ChunkId) {
        let length = chunks * crate::fixture::chunk_bytes();
        let (mut commit, _) = self.chunked(name, length).await;
        let WrittenPlace::Runs { runs, .. } = &mut commit.place else {
            panic!()
        };
        runs[0].missing = missing.iter().copied().map(Slot).collect();
        let written = (commit.version, runs[0].first_chunk);
        self.server.commit_object(commit).await.unwrap();
        written
    }

    pub(crate) async fn pinned(
        &self,
        name: &str,
        version: VersionId,
    ) -> Result<u64, MetadataError> {
        let lookup = Lookup {
            bucket: self.bucket.id,
            key: key(name),
            wanted: Wanted::All,
            version: Some(version),
        };
        let located = self.server.lookup(lookup).await?;
        assert_eq!(located.extents.len(), 1);
        Ok(located.valid_for_ms)
    }

    async fn all_deletes(&self) -> BTreeMap<DiskId, Vec<DeleteTask>> {
        let page = async |disk, after| self.server.deletes(disk, after).await.unwrap();
        self.all(page, |task| task.at).await
    }

    pub(crate) async fn all_repairs(&self) -> BTreeMap<DiskId, Vec<RepairTask>> {
        let page = async |disk, after| self.server.repairs(disk, after).await.unwrap();
        self.all(page, |task| task.at).await
    }

    /// Every disk's tasks, page by page.
    async fn all<T>(
        &self,
        page: impl AsyncFn(DiskId, Option<RunSlot>) -> Vec<T>,
        at: fn(&T) -> RunSlot,
    ) -> BTreeMap<DiskId, Vec<T>> {
        let mut all = BTreeMap::new();
        for disk in self.table().await.disks {
            let mut tasks: Vec<T> = Vec::new();
            loop {
                let page = page(disk.id, tasks.last().map(at)).await;
                assert!(page.len() <= MAX_TASKS as usize);
                if page.is_empty() {
                    break;
                }
                tasks.extend(page);
            }
            assert!(tasks.is_sorted_by_key(at));
            all.insert(disk.id, tasks);
        }
        all
    }

    fn applied(&self) -> Option<Vec<u8>> {
        self.store().mark()
    }

    async fn propose(&self, command: NamespaceCommand) {
        let reply = self.server.log().0.apply(Command::Namespace(command));
        assert!(reply.granted().is_ok());
    }
}

pub(crate) fn member(group: &Group, slot: u8) -> DiskId {
    group.members[usize::from(slot)].disk
}

/// Until the reclaim delay is over, a deleted object is readable by its version and no disk is told; then
/// each disk is told of its own slots, until it has said that they are removed.
#[tokio::test(start_paused = true)]
async fn disks_are_told_of_the_dead_after_the_delay() {
    let mut gateway = gateway().await;
    let (version, first_chunk) = gateway.write("object", 3, &[]).await;
    let (kept, _) = gateway.write("kept", 1, &[]).await;
    let delay_ms = u64::try_from(DELAY.as_millis()).unwrap();
    assert_eq!(gateway.pinned("object", version).await, Ok(delay_ms / 2));
    gateway.delete(gateway.bucket.id, "object").await;
    tokio::time::sleep(DELAY / 2).await;
    let left_ms = gateway.pinned("object", version).await.unwrap();
    assert!((delay_ms / 4..delay_ms / 3).contains(&left_ms), "{left_ms}");
    assert!(gateway.all_deletes().await.values().all(Vec::is_empty));
    assert_eq!(gateway.server.health(vec![]).await.unwrap().waiting, 1);
    tokio::time::sleep(DELAY).await;
    let gone = Err(MetadataError::NoSuchObject);
    assert_eq!(gateway.pinned("object", version).await, gone);
    assert_eq!(gateway.pinned("kept", kept).await, Ok(delay_ms / 2));

    let group = gateway.table().await.groups.remove(0);
    let told = gateway.all_deletes().await;
    for (slot, member) in (0..).zip(&group.members) {
        let at = RunSlot {
            group: group.id,
            first_chunk,
            slot: Slot(slot),
        };
        let (chunks, epoch) = (3, Epoch(1));
        assert_eq!(told[&member.disk], [DeleteTask { at, chunks, epoch }]);
    }
    let task = told[&member(&group, 2)][0];
    // Another disk's word is worth nothing, nor is one about what was not asked.
    let before = gateway.applied();
    let other = gateway.server.deleted(member(&group, 3), vec![task.at]);
    assert_eq!(other.await, Ok(()));
    let done = gateway
        .server
        .deleted(member(&group, 2), vec![task.at; 300]);
    assert!(matches!(done.await, Err(MetadataError::Malformed(_))));
    assert_eq!(gateway.applied(), before);
    for _ in 0..2 {
        let done = gateway.server.deleted(member(&group, 2), vec![task.at]);
        assert_eq!(done.await, Ok(()));
        let once = gateway.applied();
        let again = gateway.server.deleted(member(&group, 2), vec![task.at]);
        assert_eq!(again.await, Ok(()));
        assert_eq!(gateway.applied(), once);
    }
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(gateway.server.health(vec![]).await.unwrap().deletes, 5);
    for (disk, tasks) in gateway.all_deletes().await {
        let done = tasks.iter().map(|task| task.at).collect();
        gateway.server.deleted(disk, done).await.unwrap();
    }
    assert!(gateway.all_deletes().await.values().all(Vec::is_empty));
    let runs = |gateway: &Gateway| GROUP_RUNS.scan(gateway.store(), &[]).count();
    assert_eq!(runs(&gateway), 2);
    // The session, and with it the lease, is not renewed.
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert_eq!(runs(&gateway), 1);
}

/// More tasks than one answer holds come in pages, in order, each once.
#[tokio::test(start_paused = true)]
async fn tasks_come_in_pages() {
    let mut gateway = gateway().await;
    let mut firsts = BTreeSet::new();
    for number in 0..300 {
        let (_, first) = gateway.write(&format!("object-{number}"), 1, &[1, 4]).await;
        firsts.insert(first);
    }
    let group = gateway.table().await.groups.remove(0);
    let repairs = gateway.all_repairs().await;
    for slot in 0..6 {
        let tasks = &repairs[&member(&group, slot)];
        let chunks: BTreeSet<_> = tasks.iter().map(|task| task.at.first_chunk).collect();
        let lacks = slot == 1 || slot == 4;
        assert_eq!(chunks == firsts && tasks.len() == 300, lacks, "{slot}");
        assert_eq!(tasks.is_empty(), !lacks);
    }
    for number in 0..300 {
        gateway
            .delete(gateway.bucket.id, &format!("object-{number}"))
            .await;
    }
    tokio::time::sleep(DELAY * 2).await;
    assert!(gateway.all_repairs().await.values().all(Vec::is_empty));
    for tasks in gateway.all_deletes().await.values() {
        assert_eq!(tasks.len(), 300);
    }
}

/// A shard that is reported bad is a task for its disk until that has made it again; readers avoid it
/// meanwhile. A report that says nothing new costs nothing.
#[tokio::test(start_paused = true)]
async fn bad_shards_are_repaired() {
    let mut gateway = gateway().await;
    let (_, first) = gateway.write("object", 3, &[]).await;
    let (_, dead) = gateway.write("dead", 1, &[]).await;
    gateway.delete(gateway.bucket.id, "dead").await;
    let group = gateway.table().await.groups.remove(0);
    let shard = |chunk: ChunkId, index| ShardKey {
        group: group.id,
        chunk,
        index,
    };
    let missing = async |gateway: &Gateway| {
        let located = gateway.lookup("object", Wanted::All).await.unwrap();
        match &located.extents[0].place {
            types::manifest::Place::Runs { runs, .. } => runs[0].missing.clone(),
            other => panic!("{other:?}"),
        }
    };
    let before = gateway.applied();
    // Of a dead run, of none, of another disk's slot, of no slot.
    for (disk, shard) in [
        (member(&group, 2), shard(dead, 2)),
        (member(&group, 2), shard(dead.plus(1), 2)),
        (member(&group, 1), shard(first, 2)),
        (member(&group, 1), shard(first, 200)),
    ] {
        gateway.server.report_bad(disk, vec![shard]).await.unwrap();
    }
    assert_eq!(gateway.applied(), before);
    for _ in 0..2 {
        let shards = vec![shard(first, 2), shard(first.plus(2), 2)];
        let reported = gateway.server.report_bad(member(&group, 2), shards).await;
        reported.unwrap();
    }
    let counted = |bytes: Option<Vec<u8>>| u64::from_be_bytes(bytes.unwrap().try_into().unwrap());
    assert_eq!(counted(gateway.applied()), counted(before) + 1);
    assert_eq!(missing(&gateway).await, [Slot(2)]);
    let tasks = gateway
        .server
        .repairs(member(&group, 2), None)
        .await
        .unwrap();
    let at = RunSlot {
        group: group.id,
        first_chunk: first,
        slot: Slot(2),
    };
    let epoch = Epoch(1);
    let task = RepairTask {
        at,
        chunks: 3,
        profile: profile(),
        epoch,
    };
    assert_eq!(tasks, [task]);

    // Its slot is closed meanwhile: the report says nothing of who has the slot then.
    let raise = NamespaceCommand::RaiseEpoch {
        group: group.id,
        epoch: Epoch(2),
        slots: vec![Slot(2)],
    };
    gateway.propose(raise).await;
    let repaired = |epoch| {
        vec![Repaired {
            at,
            epoch: Epoch(epoch),
        }]
    };
    let late = gateway
        .server
        .repaired(member(&group, 2), repaired(1))
        .await;
    assert_eq!((late, missing(&gateway).await), (Ok(()), vec![Slot(2)]));
    // A task handed out now names the table's epoch still.
    let tasks = gateway
        .server
        .repairs(member(&group, 2), None)
        .await
        .unwrap();
    assert_eq!(tasks[0].epoch, Epoch(1));
    let other = gateway
        .server
        .repaired(member(&group, 3), repaired(2))
        .await;
    assert_eq!((other, missing(&gateway).await), (Ok(()), vec![Slot(2)]));
    let done = gateway
        .server
        .repaired(member(&group, 2), repaired(2))
        .await;
    assert_eq!((done, missing(&gateway).await), (Ok(()), vec![]));
    assert!(gateway.all_repairs().await.values().all(Vec::is_empty));
}

/// What chunk ids belong to is told in pages, with what is leased and what was never given out.
#[tokio::test(start_paused = true)]
async fn what_is_covered_is_told() {
    let mut gateway = gateway().await;
    let group = gateway.table().await.groups.remove(0).id;
    let from = ChunkId::new(0);
    let first = gateway.server.covered(group, from).await.unwrap();
    let leased = first.leased.clone();
    assert_eq!((leased.len(), first.runs.len(), first.up_to), (1, 0, None));
    assert_eq!(leased[0].last.plus(1), first.unissued);
    let mut runs = Vec::new();
    for number in 0..u64::from(MAX_COVERED) + 5 {
        let chunks = 1 + number % 2;
        let missing: &[u8] = if number % 100 == 3 { &[1, 4] } else { &[] };
        let name = format!("object-{number}");
        let (_, chunk) = gateway.write(&name, chunks, missing).await;
        runs.push((chunk, chunk.plus(chunks - 1), missing.to_vec()));
    }
    gateway.delete(gateway.bucket.id, "object-7").await;
    gateway.server.renew_session(gateway.session).await.unwrap();
    tokio::time::sleep(DELAY * 2).await;
    let mut told = Vec::new();
    let mut next = ChunkId::new(0);
    loop {
        let page = gateway.server.covered(group, next).await.unwrap();
        assert_eq!((&page.leased, page.epoch), (&leased, Epoch(1)));
        told.extend(page.runs);
        match page.up_to {
            Some(up_to) => {
                assert_eq!(up_to, told.last().unwrap().chunks.last);
                next = up_to.plus(1);
            }
            None => break,
        }
    }
    assert_eq!(told.len(), runs.len());
    for (number, (run, (first, last, missing))) in told.iter().zip(runs).enumerate() {
        assert_eq!(run.chunks, ChunkRange { first, last });
        assert_eq!(run.condemned, number == 7);
        assert!(run.missing.iter().map(|slot| slot.0).eq(missing));
    }
    // From within a run: that run, too.
    let within = told[1].chunks.last;
    let page = gateway.server.covered(group, within).await.unwrap();
    assert_eq!(page.runs[0], told[1]);
    let no_group = GroupId::new(999_999);
    assert!(gateway.server.covered(no_group, from).await.is_err());
    // A lease that has ended is not told; its ids were given out.
    tokio::time::sleep(Duration::from_secs(60)).await;
    let page = gateway.server.covered(group, from).await.unwrap();
    assert_eq!((page.leased, page.unissued), (vec![], first.unissued));
}

/// How many more disks may fail is what a look at every run would say.
#[tokio::test(start_paused = true)]
async fn health_is_what_a_look_at_every_run_says() {
    let mut gateway = gateway().await;
    let table = gateway.table().await;
    let group = table.groups[0].clone();
    let disks: Vec<_> = table.disks.iter().map(|disk| disk.id).collect();
    let health = async |gateway: &Gateway, away: &[DiskId]| -> Health {
        tokio::time::sleep(Duration::from_secs(2)).await;
        gateway.server.health(away.to_vec()).await.unwrap()
    };
    let none = health(&gateway, &disks[..2]).await;
    assert_eq!(none, Health::default());
    gateway.write("whole", 1, &[]).await;
    assert_eq!(health(&gateway, &[]).await.tolerates, Some(2));
    gateway.write("one", 2, &[3]).await;
    gateway.write("two", 1, &[0, 3]).await;
    for away in [
        vec![],
        vec![0],
        vec![3],
        vec![0, 3],
        vec![1, 2],
        vec![0, 1, 2, 4],
    ] {
        let lacks: BTreeSet<u8> = [0, 3].into_iter().chain(away.clone()).collect();
        let expected = 2 - i32::try_from(lacks.len()).unwrap();
        let away: Vec<_> = away.into_iter().map(|slot| member(&group, slot)).collect();
        let told = health(&gateway, &away).await;
        assert_eq!(told.tolerates, Some(expected), "{lacks:?}");
        let of = |slot| {
            let disk = member(&group, slot);
            let mut repairs = told.repairs.iter();
            repairs
                .find(|log| log.disk == disk)
                .map(|log| (log.runs, log.shards))
        };
        assert_eq!((of(0), of(3), of(1)), (Some((1, 1)), Some((2, 3)), None));
    }
    // What is dead does not count, what waits to be condemned is told.
    gateway.delete(gateway.bucket.id, "two").await;
    let told = health(&gateway, &[]).await;
    assert_eq!((told.tolerates, told.waiting), (Some(1), 1));
    for name in ["one", "whole"] {
        gateway.delete(gateway.bucket.id, name).await;
    }
    assert_eq!(health(&gateway, &[disks[0]]).await.tolerates, None);
}
