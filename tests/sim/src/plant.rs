//! Bugs that are planted, to see whether the simulation finds them: not in what is shipped, but in what lies
//! between its parts.

use crate::bay::lock;
use crate::fleet::Way;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Mutex;
use strongroom_tests::Dice;
use types::codec;
use types::wire::calls::{Call, Carrier};
use types::wire::metadata::{CommitObject, MetadataError, WrittenPlace};

/// A bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// Storage nodes' disks answer syncs and do not do them.
    SkippedSyncs,
    /// A lookup gets an earlier answer now and then.
    StaleLookups,
    /// Commits do not say on which slots shards are missing: what falls short is never made whole.
    UnrecordedMissing,
}

/// The way of one gateway to the metadata service, with a bug in it or none.
pub(crate) struct Planted {
    way: Way,
    plant: Option<Plant>,
    dice: Mutex<Dice>,
    answers: Mutex<HashMap<Vec<u8>, Vec<u8>>>,
}

#[derive(Serialize, Deserialize)]
struct CommitArguments {
    request: CommitObject,
}

impl Planted {
    pub(crate) fn new(way: Way, plant: Option<Plant>, dice: Dice) -> Self {
        Self {
            way,
            plant,
            dice: Mutex::new(dice),
            answers: Mutex::default(),
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
}

impl Carrier for Planted {
    fn carry(&self, mut call: Call) -> BoxFuture<'_, Result<Vec<u8>, MetadataError>> {
        match (self.plant, call.path) {
            (Some(Plant::StaleLookups), "/metadata/lookup") => self.stale_lookup(call).boxed(),
            (Some(Plant::UnrecordedMissing), "/metadata/commit_object") => {
                call.body = without_missing(&call.body);
                self.way.carry(call)
            }
            _ => self.way.carry(call),
        }
    }
}

fn without_missing(body: &[u8]) -> Vec<u8> {
    let mut commit: CommitArguments = codec::decode(body).expect("a commit");
    if let WrittenPlace::Runs { runs, .. } = &mut commit.request.place {
        for run in runs {
            run.missing.clear();
        }
    }
    codec::encode(&commit)
}
