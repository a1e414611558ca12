//! Bugs that are planted, to see whether the simulation finds them: not in what is shipped, but in what lies
//! between its parts. Most remove a fence: what one part refuses, or is told so that it can refuse it.

use crate::bay::lock;
use crate::invariant::Told;
use crate::way::Way;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;
use strongroom_tests::Dice;
use types::placement::GroupTable;
use types::wire::calls::{Call, Carrier, METADATA, Repeat};
use types::wire::metadata::{
    CommitObject, DeleteObject, Located, MetadataError, WriteLease, WrittenPlace,
};
use types::wire::upkeep::{ChunkRange, Covered, RepairTask, Repaired};
use types::{ChunkId, DiskId, RequestId, SessionId, codec};

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// Storage nodes' disks answer syncs and do not do them.
    SkippedSyncs,
    /// A lookup gets an earlier answer now and then.
    StaleLookups,
    /// Commits do not say on which slots shards are missing: what falls short is never made whole.
    UnrecordedMissing,
    /// Commits say that their shards were acknowledged under the newest epoch: slots that moved since are
    /// not recorded as missing.
    ForgedEpochs,
    /// Who collects orphans is not told of leases.
    ForgottenLeases,
    /// Who collects orphans is told of the runs of one moment and of the leases of a later one (decision
    /// 0006).
    TornJudgement,
    /// A deletion that is sent again has another number: it may be carried out twice.
    FreshNumbers,
    /// Readers are not told for how long they may read what they have looked up.
    EndlessReads,
    /// What was found damaged is never told: as if the scrub, and everybody else, had skipped it.
    SkippedDamage,
    /// Repairs write what was not proved (`forged`).
    UnprovedRepairs,
    /// A metadata server's disk comes back from a power cut as it was at the one before.
    RolledBackDisks,
    /// A gateway that gets no answer to a deletion is told that it is done.
    MadeUpAnswers,
    /// A metadata server's cache does not remove rows (`flaky`).
    LossyRows,
    /// What a metadata server's cache is loaded with lacks a row (`flaky`).
    LossyLoads,
    /// Every lease begins with the first chunk id, and disks take a second chunk under one id.
    ReusedChunks,
    /// The metadata servers keep what is dead for a shorter time than the cluster was told.
    ShortDelay,
    /// The upkeep says that shards are made again that it is only told to make.
    HastyRepairs,
    /// Readers are given bytes whose tag nobody checked.
    UncheckedPlaintext,
    /// Deletions are released as soon as a backup is restored: nobody has looked.
    ReleasedAtOnce,
}

/// The way of one end to the metadata service, with a bug in it or none.
pub(crate) struct Planted {
    way: Way,
    plant: Option<Plant>,
    dice: Mutex<Dice>,
    /// Answers to lookups.
    answers: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    /// Runs that were told of.
    runs: Mutex<BTreeMap<Vec<u8>, Vec<ChunkRange>>>,
    /// How often a number was sent.
    sent: Mutex<BTreeMap<(SessionId, u64), u64>>,
}

#[derive(Serialize, Deserialize)]
struct Request<T> {
    request: T,
}

impl Planted {
    pub(crate) fn new(way: Way, plant: Option<Plant>, dice: Dice) -> Self {
        Self {
            way,
            plant,
            dice: Mutex::new(dice),
            answers: Mutex::default(),
            runs: Mutex::default(),
            sent: Mutex::default(),
        }
    }

    /// Now and then a storage node acts on what it was told to delete earlier, and once more.
    async fn late_deletes(&self, call: Call) -> Result<Vec<u8>, MetadataError> {
        let body = call.body.clone();
        let answer = self.way.carry(call).await?;
        let earlier = lock(&self.answers).insert(body, answer.clone());
        match earlier {
            Some(earlier) if earlier != answer && self.way.fleet.wires.is_late() => Ok(earlier),
            _ => Ok(answer),
        }
    }

    async fn stale_lookup(&self, call: Call) -> Result<Vec<u8>, MetadataError> {
        let body = call.body.clone();
        let earlier = lock(&self.answers).get(&body).cloned();
        if let Some(earlier) = earlier
            && lock(&self.dice).below(4) == 0
        {
            return Ok(earlier);
        }
        let answer = self.way.carry(call).await?;
        lock(&self.answers).insert(body, answer.clone());
        Ok(answer)
    }

    async fn forged_epochs(&self, mut call: Call) -> Result<Vec<u8>, MetadataError> {
        // Slots move only now and then: the longer a commit is on its way, the likelier in between.
        let millis = lock(&self.dice).below(5_000);
        tokio::time::sleep(Duration::from_millis(millis)).await;
        #[derive(Serialize)]
        struct Known {
            known: u64,
        }
        let table = self.way.carry(Call {
            path: "/metadata/group_table",
            body: codec::encode(&Known { known: 0 }),
            repeat: Repeat::Harmless,
        });
        let table: Result<Option<GroupTable>, MetadataError> = decode(&table.await?);
        let table = table?.expect("there are groups");
        change(&mut call.body, |commit: &mut Request<CommitObject>| {
            if let WrittenPlace::Runs { runs, .. } = &mut commit.request.place {
                for run in runs {
                    run.epoch = table.group(run.group).expect("a group").epoch;
                }
            }
        });
        self.way.carry(call).await
    }

    /// Changes what was answered.
    async fn changed<T: Serialize + DeserializeOwned>(
        &self,
        call: Call,
        by: impl FnOnce(&mut T),
    ) -> Result<Vec<u8>, MetadataError> {
        let mut answer = self.way.carry(call).await?;
        change(&mut answer, |answer: &mut Result<T, MetadataError>| {
            if let Ok(answer) = answer {
                by(answer);
            }
        });
        Ok(answer)
    }

    /// Makes an answer up where none came.
    async fn made_up(&self, call: Call) -> Result<Vec<u8>, MetadataError> {
        let answer = self.way.carry(call).await;
        let done: Result<(), MetadataError> = Ok(());
        answer.or_else(|_| Ok(codec::encode(&done)))
    }

    /// Reports repairs as done, and hides that they are to be.
    async fn hasty_repairs(&self, call: Call) -> Result<Vec<u8>, MetadataError> {
        #[derive(Deserialize)]
        struct Asked {
            disk: DiskId,
        }
        #[derive(Serialize)]
        struct Report {
            disk: DiskId,
            done: Vec<Repaired>,
        }
        let Asked { disk } = decode(&call.body);
        let answer = self.way.carry(call).await?;
        let tasks: Result<Vec<RepairTask>, MetadataError> = decode(&answer);
        let tasks = tasks?.into_iter();
        let done = tasks.map(|task| Repaired {
            at: task.at,
            epoch: task.epoch,
        });
        let done = done.collect();
        let report = self.way.carry(Call {
            path: "/upkeep/repaired",
            body: codec::encode(&Report { disk, done }),
            repeat: Repeat::Harmless,
        });
        drop(report.await);
        let none: Result<Vec<RepairTask>, MetadataError> = Ok(Vec::new());
        Ok(codec::encode(&none))
    }

    /// Loses two of three answers.
    async fn often_lost(&self, call: Call) -> Result<Vec<u8>, MetadataError> {
        let answer = self.way.carry(call).await;
        if lock(&self.dice).below(3) > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            return Err(MetadataError::Unavailable("no answer came".to_owned()));
        }
        answer
    }

    fn number_anew(&self, delete: &mut Request<DeleteObject>) {
        let request = &mut delete.request.request;
        let mut sent = lock(&self.sent);
        let sent = sent.entry((request.session, request.sequence)).or_default();
        // Further than any other request of the session has come, and not further than a number may be.
        request.sequence += 40 * *sent;
        *sent = 100.min(*sent + 1);
    }
}

impl Carrier for Planted {
    fn carry(&self, call: Call) -> BoxFuture<'_, Result<Vec<u8>, MetadataError>> {
        let watch = self.way.watch();
        let request = numbered(&call);
        if let Some(request) = request {
            watch.told(&Told::Asked(request));
        }
        let carried = self.planted(call);
        async move {
            let answer = carried.await;
            if let (Some(request), Ok(answer)) = (request, &answer)
                && decode::<Result<IgnoredAny, MetadataError>>(answer).is_ok()
            {
                watch.told(&Told::Done(request));
            }
            answer
        }
        .boxed()
    }
}

impl Planted {
    fn planted(&self, mut call: Call) -> BoxFuture<'_, Result<Vec<u8>, MetadataError>> {
        match (self.plant, call.path) {
            (Some(Plant::StaleLookups), "/metadata/lookup") => self.stale_lookup(call).boxed(),
            (Some(Plant::UnrecordedMissing), "/metadata/commit_object") => {
                change(&mut call.body, without_missing);
                self.way.carry(call)
            }
            (Some(Plant::ForgedEpochs), "/metadata/commit_object") => {
                self.forged_epochs(call).boxed()
            }
            (Some(Plant::ForgottenLeases), "/upkeep/covered") => {
                let forget = |covered: &mut Covered| covered.leased.clear();
                self.changed(call, forget).boxed()
            }
            (Some(Plant::TornJudgement), "/upkeep/covered") => {
                let asked = call.body.clone();
                let tear = move |covered: &mut Covered| {
                    let now = covered.runs.iter().map(|run| run.chunks).collect();
                    if let Some(before) = lock(&self.runs).insert(asked, now) {
                        covered.runs.retain(|run| before.contains(&run.chunks));
                    }
                };
                self.changed(call, tear).boxed()
            }
            (Some(Plant::FreshNumbers), "/metadata/delete_object") => {
                change(&mut call.body, |delete| self.number_anew(delete));
                self.often_lost(call).boxed()
            }
            (Some(Plant::SkippedDamage), "/upkeep/report_bad") => {
                let told: Result<(), MetadataError> = Ok(());
                std::future::ready(Ok(codec::encode(&told))).boxed()
            }
            (Some(Plant::MadeUpAnswers), "/metadata/delete_object") => self.made_up(call).boxed(),
            (Some(Plant::HastyRepairs), "/upkeep/repairs") => self.hasty_repairs(call).boxed(),
            (Some(Plant::ReusedChunks), "/metadata/open_lease") => {
                let first = |lease: &mut WriteLease| lease.first = ChunkId::new(1);
                self.changed(call, first).boxed()
            }
            (Some(Plant::EndlessReads), "/metadata/lookup") => {
                let endless = |located: &mut Located| located.valid_for_ms = 0;
                self.changed(call, endless).boxed()
            }
            (_, "/upkeep/deletes") => self.late_deletes(call).boxed(),
            _ => self.way.carry(call),
        }
    }
}

/// The number of a call that has one.
fn numbered(call: &Call) -> Option<RequestId> {
    #[derive(Deserialize)]
    struct Numbered {
        request: RequestId,
    }
    let numbered = ["commit_object", "delete_object", "copy_object"];
    let name = call.path.strip_prefix(METADATA)?;
    let asked = numbered.contains(&name);
    asked.then(|| decode::<Request<Numbered>>(&call.body).request.request)
}

fn without_missing(commit: &mut Request<CommitObject>) {
    if let WrittenPlace::Runs { runs, .. } = &mut commit.request.place {
        for run in runs {
            run.missing.clear();
        }
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> T {
    codec::decode(bytes).expect("both ends are one build")
}

/// Changes what is encoded.
fn change<T: Serialize + DeserializeOwned>(bytes: &mut Vec<u8>, by: impl FnOnce(&mut T)) {
    let mut value = decode(bytes);
    by(&mut value);
    *bytes = codec::encode(&value);
}
