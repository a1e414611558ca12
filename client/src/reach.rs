//! Is what a download will need known to be out of reach? Asked before its first byte, while there is
//! still a status to answer with.
//!
//! This gateway remembers for a few seconds which disks did not serve. Where these leave fewer than k
//! shards of a chunk, one block of it is read, however it can be had: memory is no proof, the disks may
//! be back. While every disk serves, and as long as enough do, this costs no I/O.

use crate::error::GetError;
use crate::extent::{Chunk, Extent};
use crate::fetch::{Way, fetch};
use crate::groups::Purpose;
use crate::inner::Inner;
use crate::plan::ShardRead;
use std::collections::HashSet;
use std::sync::Arc;
use types::placement::Group;

/// Fails with what reading `extents` would end with, if that is known already.
pub(crate) async fn in_reach<'a>(
    inner: &Inner,
    extents: impl Iterator<Item = &'a Arc<Extent>>,
) -> Result<(), GetError> {
    if !inner.groups.any_unwell(Purpose::Read) {
        return Ok(());
    }
    let table = inner.groups.table();
    let mut tried = HashSet::new();
    for extent in extents {
        for read in extent.samples() {
            let chunk = extent.chunk(read.chunk)?;
            let Some(group) = table.group(chunk.run.group) else {
                continue;
            };
            if doubtful(inner, group, &chunk, read.shard) && tried.insert(group.id) {
                let read = ShardRead { blocks: 1, ..read };
                fetch(inner, extent, &read, Way::Any).await?;
            }
        }
    }
    Ok(())
}

/// Whether neither the shard itself nor k others are on disks that served lately. An empty shard is
/// on no disk.
fn doubtful(inner: &Inner, group: &Group, chunk: &Chunk<'_>, shard: usize) -> bool {
    let away = |shard: usize| {
        let member = group.members.get(shard);
        member.is_none_or(|member| inner.groups.unwell(member.disk, Purpose::Read))
    };
    let profile = chunk.layout.profile();
    let at_hand = |shard: &usize| chunk.layout.blocks(*shard) == 0 || !away(*shard);
    away(shard) && (0..profile.shards()).filter(at_hand).count() < profile.data()
}
