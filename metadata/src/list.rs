//! LIST: one page of a bucket, in byte order, at the cost of what it returns.
//!
//! A key belongs to an *entry*: the common prefix up to and including the first delimiter behind the
//! listing's prefix, or, without one, itself. Keys of one common prefix lie together, so that entries
//! are in order as keys are; having returned a common prefix, the scan goes on behind all it covers.

use crate::store::StoreError;
use crate::tables::{HEADS, HeadRow, KEY_END, TableKey, after_all, escape, unescape};
use crate::txn::Rows;
use std::fmt;
use types::id::BucketId;
use types::name::ObjectKey;
use types::wire::metadata::List;

/// Most entries of a page.
pub const MAX_ENTRIES: u32 = 1000;

/// One page as the rows have it: attributes still sealed.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// In byte order.
    pub entries: Vec<Entry>,
    /// Whether more follow.
    pub truncated: bool,
}

/// One entry.
#[derive(PartialEq, Eq)]
pub enum Entry {
    /// An object.
    Object(ObjectKey, Box<HeadRow>),
    /// All keys that begin so.
    CommonPrefix(String),
}

/// Names never print by accident.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(..) => f.write_str("Object(..)"),
            Self::CommonPrefix(_) => f.write_str("CommonPrefix(..)"),
        }
    }
}

/// Reads one page.
///
/// # Errors
/// When the store is broken.
pub fn page(rows: &impl Rows, list: &List) -> Result<Page, StoreError> {
    let mut page = Page {
        entries: Vec::new(),
        truncated: false,
    };
    let scope = Scope::new(list.bucket, &list.prefix, list.delimiter.as_deref());
    if list.limit == 0 {
        return Ok(page);
    }
    let (Some(end), Some(mut from)) = (scope.end(), scope.start(list.after.as_deref())) else {
        return Ok(page);
    };
    // Behind a common prefix the scan begins anew; else it runs on.
    'seek: while from < end {
        for row in HEADS.range(rows, &from, &end) {
            let (row_key, head) = row?;
            if page.entries.len() == list.limit as usize {
                page.truncated = true;
                return Ok(page);
            }
            let key = unescape(row_key.get(8..).unwrap_or_default()).ok_or(StoreError::Damaged)?;
            match scope.common_prefix(key.as_str()) {
                Some(prefix) => {
                    let behind = scope.behind(prefix);
                    page.entries.push(Entry::CommonPrefix(prefix.to_owned()));
                    let Some(behind) = behind else { break 'seek };
                    from = behind;
                    continue 'seek;
                }
                None => page.entries.push(Entry::Object(key, Box::new(head))),
            }
        }
        break;
    }
    Ok(page)
}

/// What a listing covers: the keys of a bucket that begin with a prefix, rolled up at a delimiter.
pub(crate) struct Scope<'a> {
    bucket: BucketId,
    prefix: &'a str,
    delimiter: Option<&'a str>,
}

impl<'a> Scope<'a> {
    /// An empty delimiter is none.
    pub(crate) fn new(bucket: BucketId, prefix: &'a str, delimiter: Option<&'a str>) -> Self {
        Self {
            bucket,
            prefix,
            delimiter: delimiter.filter(|text| !text.is_empty()),
        }
    }

    /// The common prefix that a key which begins with the listing's prefix belongs to.
    pub(crate) fn common_prefix<'k>(&self, key: &'k str) -> Option<&'k str> {
        let delimiter = self.delimiter?;
        let behind = key.strip_prefix(self.prefix)?;
        let at = behind.find(delimiter)?;
        Some(&key[..self.prefix.len() + at + delimiter.len()])
    }

    /// Where the page begins: at the prefix, or behind the entry that `after` is or belongs to. `None`
    /// when there is nothing behind that.
    pub(crate) fn start(&self, after: Option<&str>) -> Option<Vec<u8>> {
        let Some(after) = after.filter(|after| !after.is_empty()) else {
            return Some(self.beginning());
        };
        let behind = match self.common_prefix(after) {
            Some(prefix) => self.behind(prefix)?,
            // The key itself ends with 00 01; nothing lies between that and 00 02.
            None => [&beginning(self.bucket, after)[..], &[0x00, 0x02]].concat(),
        };
        Some(behind.max(self.beginning()))
    }

    /// The least row key of all.
    pub(crate) fn beginning(&self) -> Vec<u8> {
        beginning(self.bucket, self.prefix)
    }

    /// The least row key behind all.
    pub(crate) fn end(&self) -> Option<Vec<u8>> {
        self.behind(self.prefix)
    }

    /// The least row key behind those of all keys that begin with `text`. A bucket whose id is the last
    /// of all has none when `text` is empty; no such id is handed out, but it can be asked for.
    pub(crate) fn behind(&self, text: &str) -> Option<Vec<u8>> {
        after_all(&beginning(self.bucket, text))
    }
}

/// How the row keys of all keys in a bucket begin that begin with `text`.
pub(crate) fn beginning(bucket: BucketId, text: &str) -> Vec<u8> {
    let mut bytes = bucket.bytes();
    escape(text, &mut bytes);
    bytes
}

/// Ends a key that [`beginning`] began, and what comes behind it in the row's key.
pub(crate) fn behind_key(row_key: &mut Vec<u8>, number: u64) {
    row_key.extend(KEY_END);
    number.write(row_key);
}
