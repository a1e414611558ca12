//! LIST: one page of a bucket, in byte order, at the cost of what it returns.
//!
//! A key belongs to an *entry*: the common prefix up to and including the first delimiter behind the
//! listing's prefix, or, without one, itself. Keys of one common prefix lie together, so that entries
//! are in order as keys are; having returned a common prefix, the scan goes on behind all it covers.

use crate::store::StoreError;
use crate::tables::{HEADS, HeadRow, TableKey, after_all, escape, unescape};
use crate::txn::Rows;
use std::fmt;
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
    if list.limit == 0 {
        return Ok(page);
    }
    let bucket = list.bucket.bytes();
    let Some(end) = behind_all(&bucket, &list.prefix) else {
        return Ok(page);
    };
    let Some(mut from) = start(&bucket, list) else {
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
            let key = unescape(&row_key[bucket.len()..]).ok_or(StoreError::Damaged)?;
            match common_prefix(key.as_str(), list) {
                Some(prefix) => {
                    let behind = behind_all(&bucket, prefix);
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

/// The common prefix that a key which begins with the listing's prefix belongs to.
fn common_prefix<'k>(key: &'k str, list: &List) -> Option<&'k str> {
    let delimiter = list.delimiter.as_deref().filter(|text| !text.is_empty())?;
    let behind = key.strip_prefix(list.prefix.as_str())?;
    let at = behind.find(delimiter)?;
    Some(&key[..list.prefix.len() + at + delimiter.len()])
}

/// Where the page begins: at the prefix, or behind the entry that `after` is or belongs to. `None` when
/// there is nothing behind that.
fn start(bucket: &[u8], list: &List) -> Option<Vec<u8>> {
    let first = beginning(bucket, &list.prefix);
    let Some(after) = list.after.as_deref().filter(|after| !after.is_empty()) else {
        return Some(first);
    };
    let behind = match common_prefix(after, list) {
        Some(prefix) => behind_all(bucket, prefix)?,
        // The key itself ends with 00 01; nothing lies between that and 00 02.
        None => [&beginning(bucket, after)[..], &[0x00, 0x02]].concat(),
    };
    Some(behind.max(first))
}

/// The least row key behind those of all keys that begin with `text`. A bucket whose id is the last of
/// all has none when `text` is empty; no such id is handed out, but it can be asked for.
fn behind_all(bucket: &[u8], text: &str) -> Option<Vec<u8>> {
    after_all(&beginning(bucket, text))
}

fn beginning(bucket: &[u8], text: &str) -> Vec<u8> {
    let mut bytes = bucket.to_vec();
    escape(text, &mut bytes);
    bytes
}
