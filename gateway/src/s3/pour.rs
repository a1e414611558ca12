//! A copy by value: the bytes are read, and written again under a key of their own.
//!
//! ```text
//! download --> sums --> upload
//! ```
//!
//! One piece at a time, so that what is held is what the download reads ahead and the upload has not sent,
//! both paid for out of the data path's budget. What is read is held against the checksum it was stored
//! with: a copy never launders damage.

use crate::digest::{Lane, Sums};
use crate::error::ToS3;
use client::{Download, Upload};
use futures::StreamExt;
use s3s::{S3ErrorCode, S3Result};
use types::attributes::{Checksum, ChecksumAlgorithm, ChecksumKind};

/// Moves all of `download` into `upload`, and computes its MD5 and the checksum `wanted`. What is copied
/// whole is held against the checksums `known` of it.
///
/// # Errors
/// Either fails, or the bytes are not those of `known`. Dropping the upload abandons it.
pub(super) async fn pour(
    mut download: Download,
    mut upload: Upload,
    wanted: ChecksumAlgorithm,
    known: &[Checksum],
) -> S3Result<(Upload, Sums)> {
    let whole = |sum: &&Checksum| sum.kind == ChecksumKind::FullObject;
    let known: Vec<&Checksum> = known.iter().filter(whole).collect();
    let mut algorithms = vec![wanted];
    algorithms.extend(known.iter().map(|sum| sum.algorithm));
    let mut lane = Lane::new(&algorithms);
    while let Some(bytes) = download.body.next().await {
        let bytes = bytes.map_err(ToS3::to_s3)?;
        lane.update(bytes.clone()).await;
        upload.write(bytes).await.map_err(ToS3::to_s3)?;
    }
    let mut sums = lane.finish().await;
    if known.iter().any(|known| sums.of(known.algorithm) != *known) {
        tracing::error!(version = %download.located.version, "an object that was copied is not what its checksum says");
        return Err(S3ErrorCode::InternalError.into());
    }
    sums.checksums.retain(|sum| sum.algorithm == wanted);
    Ok((upload, sums))
}
