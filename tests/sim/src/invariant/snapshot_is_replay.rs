//! However a server came to its rows, by a snapshot of its own or of another server and the entries behind it, or by
//! a cache that it found: they are the rows that the whole log makes, applied from its first entry on.

use super::{Holds, Invariant, Seen};

pub(super) struct SnapshotIsReplay;

impl Invariant for SnapshotIsReplay {
    fn name(&self) -> &'static str {
        "snapshot is replay"
    }

    fn seen(&mut self, seen: &Seen<'_>) -> Holds {
        for server in seen.servers {
            let Some(applied) = server.applied else {
                continue;
            };
            let Some((entry, replayed)) = seen.committed.at(applied.index) else {
                continue;
            };
            let rows = server.stored.unwrap_or(server.kept);
            if entry.at == applied && rows != *replayed {
                let id = server.id;
                return Err(format!(
                    "server {id} at {applied} has other rows than a replay makes"
                ));
            }
        }
        Ok(())
    }
}
