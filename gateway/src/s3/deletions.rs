//! DeleteObjects, over its verified [document](super::documents).

use super::documents::{self, Document};
use super::{Adapter, delete};
use crate::xml;
use futures::{StreamExt, stream};
use s3s::dto::{Delete, DeleteObjectsOutput, DeletedObject, ObjectIdentifier};
use s3s::{Body, S3ErrorCode, S3Response, S3Result};

/// Objects in one document, as on S3.
const MOST: usize = 1000;
/// Deletions under way at once for one request: they share the metadata service's batches.
const ABREAST: usize = 32;

/// Deletes what the document names, each by itself, and says what became of each.
pub(super) async fn delete(adapter: &Adapter, document: &Document) -> S3Result<S3Response<Body>> {
    let delete: Delete = document.parse()?;
    if !(1..=MOST).contains(&delete.objects.len()) {
        return Err(S3ErrorCode::MalformedXML.into());
    }
    let quiet = delete.quiet.unwrap_or(false);
    let outcomes: Vec<(ObjectIdentifier, S3Result<()>)> = stream::iter(delete.objects)
        .map(|object| async {
            let outcome = delete::each(adapter, &document.bucket, &object).await;
            (object, outcome)
        })
        .buffered(ABREAST)
        .collect()
        .await;
    answer(outcomes, quiet)
}

fn answer(
    outcomes: Vec<(ObjectIdentifier, S3Result<()>)>,
    quiet: bool,
) -> S3Result<S3Response<Body>> {
    let mut deleted = Vec::new();
    let mut errors = Vec::new();
    for (object, outcome) in outcomes {
        let key = Some(xml::hide(object.key));
        let version_id = object.version_id.map(xml::hide);
        match outcome {
            Ok(()) if quiet => {}
            Ok(()) => deleted.push(DeletedObject {
                key,
                version_id,
                ..Default::default()
            }),
            Err(error) => errors.push(s3s::dto::Error {
                code: Some(error.code().as_str().to_owned()),
                message: error.message().map(str::to_owned),
                key,
                version_id,
            }),
        }
    }
    let output = DeleteObjectsOutput {
        deleted: Some(deleted),
        errors: Some(errors),
        ..Default::default()
    };
    documents::answer(&output)
}
