//! Multipart uploads as the rows have them: one of them, a page of them, a page of parts.

use crate::list::{Scope, beginning, behind_key};
use crate::manifest::{FoundRow, Manifest, ManifestError};
use crate::store::StoreError;
use crate::tables::{
    HEADS, HeadRow, PARTS, PartRow, TableKey, UPLOADS, UploadKey, UploadRow, VERSIONS, unupload,
};
use crate::txn::Rows;
use std::fmt;
use types::id::{BucketId, VersionId};
use types::name::ObjectKey;
use types::wire::metadata::{ListParts, ListUploads};

/// No part has a higher number.
pub const MAX_PART_NUMBER: u32 = 10_000;

/// An upload under way, with its key.
///
/// # Errors
/// When the store is broken.
pub fn find(
    rows: &impl Rows,
    bucket: BucketId,
    key: &ObjectKey,
    upload: VersionId,
) -> Result<Option<(UploadKey, UploadRow)>, StoreError> {
    let version = VERSIONS.get(rows, &upload)?;
    let Some(began) = version.and_then(|version| version.began) else {
        return Ok(None);
    };
    let key = (bucket, key.clone(), began);
    let row = UPLOADS.get(rows, &key)?;
    Ok(row.filter(|row| row.upload == upload).map(|row| (key, row)))
}

/// One page of parts as the rows have it: what is sealed still is.
#[derive(Debug)]
pub struct PartsPage {
    /// The upload; none when it has become an object.
    pub upload: Option<UploadRow>,
    /// The object that it has become.
    pub head: Option<HeadRow>,
    /// Numbers and rows, in order.
    pub parts: Vec<(u32, PartRow)>,
    /// Whether more follow.
    pub truncated: bool,
    /// The rows of the object's manifest that say so: to be verified.
    pub looked_at: Vec<FoundRow>,
}

/// Reads one page of parts; none when there is neither such an upload nor such an object.
///
/// # Errors
/// When rows are damaged, or the store is broken.
pub fn parts(rows: &impl Rows, list: &ListParts) -> Result<Option<PartsPage>, ManifestError> {
    let limit = list.limit as usize;
    let mut page = PartsPage {
        upload: None,
        head: None,
        parts: Vec::new(),
        truncated: false,
        looked_at: Vec::new(),
    };
    if let Some((_, upload)) = find(rows, list.bucket, &list.key, list.upload)? {
        page.upload = Some(upload);
        let from = (list.upload, list.after.saturating_add(1)).bytes();
        let to = (list.upload, u32::MAX).bytes();
        for row in PARTS.range(rows, &from, &to).take(limit.saturating_add(1)) {
            let (row_key, part) = row?;
            page.parts.push((part_number(&row_key)?, part));
        }
    } else {
        let head = HEADS.get(rows, &(list.bucket, list.key.clone()))?;
        let Some(head) = head.filter(|head| head.version == list.upload) else {
            return Ok(None);
        };
        if head.manifest.is_some() {
            let mut manifest = Manifest::new(rows, head.version, head.length);
            for number in manifest.numbers(list.after, limit.saturating_add(1))? {
                let part = PARTS.get(rows, &(head.version, number))?;
                page.parts
                    .push((number, part.ok_or(ManifestError::Damaged)?));
            }
            page.looked_at = manifest.into_looked_at();
        }
        page.head = Some(head);
    }
    page.truncated = page.parts.len() > limit && limit > 0;
    page.parts.truncate(limit);
    Ok(Some(page))
}

/// The number in the key of a part's row.
pub fn part_number(row_key: &[u8]) -> Result<u32, StoreError> {
    let number = row_key.last_chunk().ok_or(StoreError::Damaged)?;
    Ok(u32::from_be_bytes(*number))
}

/// One page of uploads as the rows have it: what is sealed still is.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// In order of key, those of one key by when they began.
    pub entries: Vec<Entry>,
    /// Whether more follow.
    pub truncated: bool,
}

/// One entry.
#[derive(PartialEq, Eq)]
pub enum Entry {
    /// An upload.
    Upload(ObjectKey, Box<UploadRow>),
    /// All keys that begin so.
    CommonPrefix(String),
}

/// Names never print by accident.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upload(_, row) => write!(f, "Upload({})", row.upload),
            Self::CommonPrefix(_) => f.write_str("CommonPrefix(..)"),
        }
    }
}

/// Reads one page of uploads.
///
/// # Errors
/// When the store is broken.
pub fn page(rows: &impl Rows, list: &ListUploads) -> Result<Page, StoreError> {
    let mut page = Page {
        entries: Vec::new(),
        truncated: false,
    };
    let scope = Scope::new(list.bucket, &list.prefix, list.delimiter.as_deref());
    if list.limit == 0 {
        return Ok(page);
    }
    let (Some(end), Some(mut from)) = (scope.end(), start(rows, list, &scope)?) else {
        return Ok(page);
    };
    'seek: while from < end {
        for row in UPLOADS.range(rows, &from, &end) {
            let (row_key, upload) = row?;
            if page.entries.len() == list.limit as usize {
                page.truncated = true;
                return Ok(page);
            }
            let (_, key, _) = unupload(&row_key).ok_or(StoreError::Damaged)?;
            match scope.common_prefix(key.as_str()) {
                Some(prefix) => {
                    let behind = scope.behind(prefix);
                    page.entries.push(Entry::CommonPrefix(prefix.to_owned()));
                    let Some(behind) = behind else { break 'seek };
                    from = behind;
                    continue 'seek;
                }
                None => page.entries.push(Entry::Upload(key, Box::new(upload))),
            }
        }
        break;
    }
    Ok(page)
}

/// Where the page begins. An upload that is not known any more was never in the bucket: then all uploads
/// of its key are behind it.
fn start(
    rows: &impl Rows,
    list: &ListUploads,
    scope: &Scope<'_>,
) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(after) = list.after.as_deref().filter(|after| !after.is_empty()) else {
        return Ok(Some(scope.beginning()));
    };
    if scope.common_prefix(after).is_some() {
        return Ok(scope.start(Some(after)));
    }
    let Some(upload) = list.after_upload else {
        return Ok(scope.start(Some(after)));
    };
    let began = VERSIONS.get(rows, &upload)?.and_then(|row| row.began);
    let mut from = beginning(list.bucket, after);
    behind_key(&mut from, began.map_or(0, |began| began.saturating_add(1)));
    Ok(Some(from.max(scope.beginning())))
}
