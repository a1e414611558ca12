//! The log on a simulated disk.

use super::*;
use crate::raft::types::{Encoded, Entry, LogId, Payload, Vote};
use bytes::Bytes;
use disk::sim::{Fate, Operation, SimDisk};
use openraft::RaftLogReader;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use seal::StorageKey;
use types::ByteOffset;

use crate::raft::types::TypeConfig;

const CONFIG: LogConfig = LogConfig {
    segment: ByteCount::new(48 << 10),
    cache: ByteCount::new(20 << 10),
};

fn sealing() -> Sealing {
    Sealing::new(seal::provider::default(), StorageKey::new([3; 32]))
}

/// A log that may be purged as far as one likes.
async fn open_on(disk: &SimDisk) -> Result<(LogStore, LogView, LogTask), LogOpenError> {
    let verified = Arc::new(Verified::default());
    verified.raise(u64::MAX);
    open(Arc::new(disk.clone()), CONFIG, sealing(), verified).await
}

/// What a log says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    vote: Option<Vote>,
    purged: Option<LogId>,
    entries: Vec<Entry>,
}

impl Model {
    async fn of(log: &mut LogStore) -> Self {
        let state = log.get_log_state().await.unwrap();
        let mut reader = log.get_log_reader().await;
        let entries = reader.try_get_log_entries(..).await.unwrap();
        let last = entries.last().map(|entry| entry.log_id);
        assert_eq!(state.last_log_id, last.or(state.last_purged_log_id));
        Self {
            vote: reader.read_vote().await.unwrap(),
            purged: state.last_purged_log_id,
            entries,
        }
    }

    fn next(&self) -> u64 {
        let last = self.entries.last().map(|entry| entry.log_id);
        last.or(self.purged).map_or(0, |id| id.index + 1)
    }
}

/// One thing that Raft asks of a log.
#[derive(Clone, Debug)]
enum Step {
    Vote(Vote),
    Append(Vec<Entry>),
    Truncate(Option<LogId>),
    Purge(LogId),
    Committed(LogId),
}

/// Steps that a seed chooses, each as it fits the state before it.
struct Steps {
    random: u64,
    model: Model,
    term: u64,
}

impl Steps {
    fn new(seed: u64) -> Self {
        Self {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            model: Model::default(),
            term: 1,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % bound
    }

    fn id(&self, index: u64) -> LogId {
        Position {
            term: self.term,
            leader: 1,
            index,
        }
        .into()
    }

    fn next(&mut self) -> Step {
        let count = self.model.entries.len() as u64;
        match self.below(10) {
            0 => {
                self.term += 1;
                Step::Vote(Vote::new_committed(self.term, 1))
            }
            1 if count > 0 => {
                let keep = self.below(count);
                let last = keep.checked_sub(1).and_then(|at| self.at(at));
                Step::Truncate(last.or(self.model.purged))
            }
            2 if count > 0 => {
                let at = self.below(count);
                Step::Purge(self.at(at).expect("it is among them"))
            }
            3 if self.below(4) == 0 => Step::Purge(self.id(self.model.next() + 5)),
            4 if count > 0 => Step::Committed(self.at(0).expect("there is one")),
            _ => {
                let entries = 1 + self.below(5);
                let first = self.model.next();
                Step::Append(
                    (first..first + entries)
                        .map(|index| self.entry(index))
                        .collect(),
                )
            }
        }
    }

    fn at(&self, at: u64) -> Option<LogId> {
        let at = usize::try_from(at).unwrap();
        self.model.entries.get(at).map(|entry| entry.log_id)
    }

    fn entry(&mut self, index: u64) -> Entry {
        let size = match self.below(8) {
            0 => 9000,
            1 => 0,
            _ => self.below(700),
        };
        let fill = u8::try_from(self.below(256)).unwrap();
        let payload = vec![fill; usize::try_from(size).unwrap()];
        Entry {
            log_id: self.id(index),
            payload: Payload::Normal(Encoded(Bytes::from(payload))),
        }
    }

    /// The state after a step.
    fn take(&mut self, step: &Step) {
        let model = &mut self.model;
        match step.clone() {
            Step::Vote(vote) => model.vote = Some(vote),
            Step::Append(entries) => model.entries.extend(entries),
            Step::Truncate(last) => model.entries.retain(|entry| Some(entry.log_id) <= last),
            Step::Purge(upto) => {
                model.purged = Some(upto);
                model
                    .entries
                    .retain(|entry| entry.log_id.index > upto.index);
            }
            Step::Committed(_) => {}
        }
    }
}

fn flushed() -> (IOFlushed<TypeConfig>, impl Future<Output = bool>) {
    let (done, flushed) = TypeConfig::oneshot::<std::io::Result<()>>();
    (IOFlushed::signal(done), async {
        matches!(flushed.await, Ok(Ok(())))
    })
}

/// Does a step, and says whether it was acknowledged.
async fn perform(log: &mut LogStore, step: Step) -> bool {
    match step {
        Step::Vote(vote) => log.save_vote(&vote).await.is_ok(),
        Step::Truncate(last) => log.truncate_after(last).await.is_ok(),
        Step::Purge(upto) => log.purge(upto).await.is_ok(),
        Step::Committed(id) => log.save_committed(Some(id)).await.is_ok(),
        Step::Append(entries) => {
            let (done, flushed) = flushed();
            log.append(entries, done).await.is_ok() && flushed.await
        }
    }
}

/// Power may go at any write, sync, create or remove: what is found is the state after some step that
/// is not before the last acknowledged one; and what was found is found again.
/// Method: steps that a seed chooses, cut at each change in turn; open what is left, twice.
#[tokio::test(start_paused = true)]
async fn power_loss_keeps_what_was_acknowledged() {
    for seed in 0..6 {
        for cut in 0.. {
            let disk = SimDisk::new(seed);
            disk.cut_at_change(cut);
            let mut steps = Steps::new(seed);
            let mut states = vec![steps.model.clone()];
            let mut acknowledged = 0;
            if let Ok((mut log, _, _)) = open_on(&disk).await {
                for number in 1..=60 {
                    let step = steps.next();
                    steps.take(&step);
                    states.push(steps.model.clone());
                    if !perform(&mut log, step).await {
                        break;
                    }
                    acknowledged = number;
                }
            }
            let whole = !disk.is_cut();
            let disk = disk.crash(cut.wrapping_mul(31) + seed);
            let opened = open_on(&disk).await;
            let (mut log, _, task) =
                opened.unwrap_or_else(|error| panic!("seed {seed}, cut {cut}: {error}"));
            let found = Model::of(&mut log).await;
            assert!(
                states[acknowledged..].contains(&found),
                "seed {seed}, cut {cut}: {acknowledged} steps were acknowledged; found {found:?}"
            );
            // It can be written to, and what was found is still there.
            let next = Steps {
                model: found.clone(),
                ..Steps::new(cut)
            };
            let more = Step::Append(vec![Entry {
                log_id: Position {
                    term: 99,
                    leader: 1,
                    index: next.model.next(),
                }
                .into(),
                payload: Payload::Blank,
            }]);
            assert!(perform(&mut log, more.clone()).await);
            drop(log);
            task.ended().await;
            let (mut log, _, _) = open_on(&disk.crash(seed)).await.unwrap();
            let mut expected = Steps {
                model: found,
                ..Steps::new(0)
            };
            expected.take(&more);
            assert_eq!(Model::of(&mut log).await, expected.model);
            if whole {
                break;
            }
        }
    }
}

/// Appends that are queued together are durable in order: what is found holds each that was
/// acknowledged, and nothing behind a gap.
#[tokio::test(start_paused = true)]
async fn queued_appends_are_durable_in_order() {
    for cut in 0.. {
        let disk = SimDisk::new(cut);
        let (mut log, _, _) = open_on(&disk).await.unwrap();
        disk.cut_at_change(disk.changes() + cut);
        let mut steps = Steps::new(cut);
        let mut waiting = Vec::new();
        for _ in 0..40 {
            let index = steps.model.next();
            let step = Step::Append(vec![steps.entry(index)]);
            steps.take(&step);
            let Step::Append(entries) = step else {
                unreachable!()
            };
            let (done, flushed) = flushed();
            if log.append(entries, done).await.is_err() {
                break;
            }
            waiting.push(flushed);
            if index.is_multiple_of(7) {
                tokio::task::yield_now().await;
            }
        }
        let answers = futures::future::join_all(waiting).await;
        let acknowledged = answers.iter().take_while(|done| **done).count();
        assert!(answers[acknowledged..].iter().all(|done| !done));
        let whole = !disk.is_cut();
        let (mut log, _, _) = open_on(&disk.crash(cut)).await.unwrap();
        let found = Model::of(&mut log).await.entries;
        assert!(found.len() >= acknowledged, "cut {cut}");
        assert_eq!(found[..], steps.model.entries[..found.len()], "cut {cut}");
        if whole {
            return;
        }
    }
}

/// A log with a few entries in several files.
async fn filled(disk: &SimDisk) -> Model {
    let (mut log, _, task) = open_on(disk).await.unwrap();
    let mut steps = Steps::new(1);
    for _ in 0..30 {
        let index = steps.model.next();
        let step = Step::Append(vec![steps.entry(index)]);
        steps.take(&step);
        assert!(perform(&mut log, step).await);
    }
    drop(log);
    task.ended().await;
    steps.model
}

/// Damage of anything that a closed log acknowledged is refused, the last frame too: nothing is cut off
/// with it. Only the frame that closed it may be lost, which holds nothing.
#[tokio::test(start_paused = true)]
async fn damage_of_a_closed_log_is_refused() {
    let disk = SimDisk::new(1);
    let model = filled(&disk).await;
    let mut refused = 0;
    let mut names = Vec::new();
    for entry in disk.list().await.unwrap() {
        names.push(entry.name);
    }
    assert!(names.len() > 1, "{names:?}");
    for name in &names {
        let content = disk.content(name).unwrap();
        let used = content
            .rchunks(BLOCK)
            .skip_while(|block| block.iter().all(|byte| *byte == 0));
        let blocks = used.count();
        // The last block of the newest file is the frame that closed the log.
        let newest = Some(name) == names.last();
        let last = if newest { blocks - 1 } else { blocks };
        for block in 0..last {
            let frame = &content[block * BLOCK..];
            if block > 0 && !frame.starts_with(b"SRfr") {
                continue;
            }
            let at = ByteOffset::new((block * BLOCK + 40) as u64);
            disk.flip(name, at, 4);
            let error = open_on(&disk.restart()).await.err();
            assert!(error.is_some(), "{name}, block {block}");
            refused += 1;
            disk.flip(name, at, 4);
        }
        if newest {
            disk.flip(name, ByteOffset::new((last * BLOCK + 40) as u64), 4);
        }
    }
    assert!(refused > 10, "{refused}");
    let (mut log, _, _) = open_on(&disk.restart()).await.unwrap();
    assert_eq!(Model::of(&mut log).await, model);
}

/// A file that is missing between others is noticed, and one that is another's under its name.
#[tokio::test(start_paused = true)]
async fn a_missing_or_swapped_file_is_refused() {
    let disk = SimDisk::new(1);
    filled(&disk).await;
    let swapped = disk.restart();
    swapped.rename("log-00000001", "spare").await.unwrap();
    swapped
        .rename("log-00000002", "log-00000001")
        .await
        .unwrap();
    swapped.rename("spare", "log-00000002").await.unwrap();
    let error = open_on(&swapped).await.err().unwrap();
    assert!(matches!(error, LogOpenError::Header { .. }), "{error}");

    let disk = swapped.restart();
    disk.snatch("log-00000001");
    let error = open_on(&disk).await.err().unwrap();
    assert!(
        matches!(
            error,
            LogOpenError::Hole { .. } | LogOpenError::Header { .. }
        ),
        "{error}"
    );
}

/// Without a snapshot of its own that covers it, no entry is purged, even when Raft asks.
#[tokio::test(start_paused = true)]
async fn nothing_is_purged_before_a_verified_snapshot_covers_it() {
    let disk = SimDisk::new(1);
    let model = filled(&disk).await;
    let verified = Arc::new(Verified::default());
    verified.raise(9);
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let (mut log, _, _) = open(disk, CONFIG, sealing(), verified).await.unwrap();
    assert!(log.purge(model.entries[10].log_id).await.is_err());
    assert!(log.purge(model.entries[9].log_id).await.is_ok());
    assert_eq!(Model::of(&mut log).await.entries.len(), 20);
}

/// An entry that would leave a hole is refused.
#[tokio::test(start_paused = true)]
async fn a_hole_is_refused() {
    let disk = SimDisk::new(1);
    let model = filled(&disk).await;
    let (mut log, _, _) = open_on(&disk.restart()).await.unwrap();
    let steps = Steps {
        model,
        ..Steps::new(1)
    };
    let far = Entry {
        log_id: steps.id(steps.model.next() + 1),
        payload: Payload::Blank,
    };
    let (done, _flushed) = flushed();
    assert!(log.append([far], done).await.is_err());
}

/// After one failed sync nothing is acknowledged any more, though later syncs would succeed.
#[tokio::test(start_paused = true)]
async fn a_failed_sync_ends_the_log() {
    let disk = SimDisk::new(1);
    let (mut log, view, _) = open_on(&disk).await.unwrap();
    disk.script(|call| match call.operation {
        Operation::Sync => Fate::Fail(5),
        _ => Fate::Proceed,
    });
    assert!(log.save_vote(&Vote::new(1, 1)).await.is_err());
    disk.script(|_| Fate::Proceed);
    assert!(log.save_vote(&Vote::new(2, 1)).await.is_err());
    assert!(view.progress().borrow().failed.is_some());
    assert_eq!(log.get_log_reader().await.read_vote().await.unwrap(), None);
}

/// A full disk is an error, and after it is no longer full the log opens with all it acknowledged.
#[tokio::test(start_paused = true)]
async fn a_full_disk_loses_nothing() {
    let disk = SimDisk::new(1);
    let (mut log, _, task) = open_on(&disk).await.unwrap();
    disk.set_capacity(ByteCount::new(60 << 10));
    let mut steps = Steps::new(1);
    let mut acknowledged = 0;
    loop {
        let index = steps.model.next();
        let step = Step::Append(vec![steps.entry(index)]);
        steps.take(&step);
        if !perform(&mut log, step).await {
            break;
        }
        acknowledged += 1;
    }
    assert!(acknowledged > 3);
    drop(log);
    task.ended().await;
    let disk = disk.restart();
    disk.set_capacity(ByteCount::new(1 << 20));
    let (mut log, _, _) = open_on(&disk).await.unwrap();
    let found = Model::of(&mut log).await.entries;
    assert_eq!(found[..acknowledged], steps.model.entries[..acknowledged]);
}
