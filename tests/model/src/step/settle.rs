//! What can no longer matter is forgotten, so that worlds that differ in it alone are one.
//!
//! The shards of a refused or reclaimed upload touch no promise: its chunk id is never used again
//! and no other upload of the scene uses it, so no later step reads them but the collector's, and
//! what the collector then sends concerns that chunk alone.

use super::DataPath;
use crate::world::{Index, Phase, SLOTS, Upload, World, bit};

pub(super) fn forget(model: &DataPath, world: &mut World) {
    for upload in model.uploads() {
        let phase = world.uploads[usize::from(upload)].phase;
        let over = matches!(phase, Phase::Refused | Phase::Gone);
        if !over || world.reading == Some(upload) || shared(model, upload) {
            continue;
        }
        world.uploads[usize::from(upload)] = Upload {
            phase,
            ..Upload::default()
        };
        let chunk = model.chunk(upload);
        for disk in &mut world.disks {
            disk.records[chunk] = Default::default();
            disk.deletes[chunk] = [0; SLOTS];
        }
        if let Some(task) = &mut world.task {
            task.listed = task.listed.map(|listed| listed & !bit(upload));
            task.verified &= !bit(upload);
        }
    }
}

fn shared(model: &DataPath, upload: Index) -> bool {
    model
        .uploads()
        .any(|other| other != upload && model.chunk(other) == model.chunk(upload))
}
