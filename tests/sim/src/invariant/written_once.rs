//! A chunk id is written once (DESIGN §6.2): whatever disks acknowledge under it is of one chunk, and a commit's runs
//! lie in a live lease of its own session and share no chunk with any run that there is, living or dead.

use super::shards::{run_of, trailing};
use super::{Holds, Invariant, Told};
use crate::chronicle::{Entry, number};
use metadata::tables::{GROUP_RUNS, LEASES, TableKey};
use std::collections::BTreeMap;
use types::{ChunkId, GroupId};

#[derive(Default)]
pub(super) struct WrittenOnce {
    /// What was acknowledged: a digest of what every shard says of its chunk.
    chunks: BTreeMap<(GroupId, ChunkId), [u8; 32]>,
}

impl Invariant for WrittenOnce {
    fn name(&self) -> &'static str {
        "written once"
    }

    fn told(&mut self, told: &Told) -> Holds {
        if let Told::Stored { disk, key, chunk } = told {
            let at = (key.group, key.chunk);
            if *self.chunks.entry(at).or_insert(*chunk) != *chunk {
                return Err(format!(
                    "{disk} took another chunk as {key} than was written before"
                ));
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry<'_>) -> Holds {
        for (key, row) in entry.rows_of(&GROUP_RUNS) {
            let group = GroupId::new(u64::from_be_bytes(*key.first_chunk().expect("a group")));
            let last = ChunkId::new(trailing(key));
            let Some(run) = row else { continue };
            if let Some(before) = run_of(entry.before, group, run.first) {
                if before.blob != run.blob {
                    let first = run.first;
                    return Err(format!("{group} has {first} in two runs"));
                }
                continue;
            }
            let request = number(entry.proposal).ok_or("a run without a commit")?;
            let leases = LEASES.scan(entry.before, &request.session.bytes());
            let covers = leases
                .map(|row| row.expect("a row of ours").1)
                .any(|lease| {
                    lease.first <= run.first && last.get() - lease.first.get() < lease.count
                });
            if !covers {
                let (first, session) = (run.first, request.session);
                return Err(format!(
                    "{first} to {last} were committed outside the leases of {session}"
                ));
            }
        }
        Ok(())
    }
}
