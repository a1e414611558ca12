//! Servers that have applied the same entries hold the same rows (DESIGN §6.7): equal applied index, equal digest.
//! And what a server keeps as its digest is that of the rows that are stored.

use super::{Digest, Holds, Invariant, Seen};
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct EqualDigests {
    /// The digest that was seen at an entry, and whose.
    seen: BTreeMap<u64, (Digest, u64)>,
}

impl Invariant for EqualDigests {
    fn name(&self) -> &'static str {
        "equal digests"
    }

    fn seen(&mut self, seen: &Seen<'_>) -> Holds {
        for server in seen.servers {
            let Some(applied) = server.applied else {
                continue;
            };
            if server.stored.is_some_and(|stored| stored != server.kept) {
                let id = server.id;
                return Err(format!(
                    "the rows of server {id} are not what it wrote, at {applied}"
                ));
            }
            let new = (server.stored.unwrap_or(server.kept), server.id);
            let (digest, whose) = *self.seen.entry(applied.index).or_insert(new);
            if digest != new.0 {
                let id = server.id;
                return Err(format!("servers {whose} and {id} differ at {applied}"));
            }
        }
        Ok(())
    }
}
