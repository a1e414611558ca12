//! Whether a write may happen, by the version that it would replace.
//!
//! Only a server can tell: ETags are sealed, and `apply` opens nothing. What the server found goes into the
//! command as [`Expected`], which `apply` compares; of writers that expect the same version one finds it
//! (docs/decisions/0011).

use crate::command::Expected;
use types::id::VersionId;
use types::size::ByteCount;
use types::wire::metadata::{Condition, EtagMatch, MetadataError, WallTime};

/// The version that a key shows, as far as conditions look at it.
#[derive(Clone, Copy)]
pub struct Current<'a> {
    /// Its id.
    pub version: VersionId,
    /// Its ETag, without quotes.
    pub etag: &'a str,
    /// When it was committed.
    pub modified: WallTime,
    /// Its length.
    pub length: ByteCount,
}

/// Why a condition does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// It asks something of a version, and there is none.
    NoVersion,
    /// The version is not so.
    Differs,
}

impl From<Unmet> for MetadataError {
    fn from(unmet: Unmet) -> Self {
        match unmet {
            Unmet::NoVersion => Self::NoSuchObject,
            Unmet::Differs => Self::ConditionFailed,
        }
    }
}

/// Judges a condition. What the write must still find, when it holds.
///
/// # Errors
/// When it does not hold. That there is no version comes first: S3 answers 404 to an If-Match without an
/// object, whatever else was asked.
pub fn judge(condition: &Condition, current: Option<Current<'_>>) -> Result<Expected, Unmet> {
    let Condition {
        matches,
        differs,
        modified,
        length,
    } = condition;
    let Some(current) = current else {
        let of_a_version = matches.is_some() || modified.is_some() || length.is_some();
        return if of_a_version {
            Err(Unmet::NoVersion)
        } else {
            Ok(Expected::Absent)
        };
    };
    let means_it = |etags: &EtagMatch| etags.includes(current.etag);
    let holds = matches.as_ref().is_none_or(means_it)
        && !differs.as_ref().is_some_and(means_it)
        && modified.is_none_or(|modified| seconds(modified) == seconds(current.modified))
        && length.is_none_or(|length| length == current.length);
    if holds {
        Ok(Expected::Version(current.version))
    } else {
        Err(Unmet::Differs)
    }
}

/// HTTP's dates have no milliseconds.
fn seconds(time: WallTime) -> u64 {
    time.0 / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION: VersionId = VersionId::new([7; 16]);

    fn etags(etags: &[&str]) -> Option<EtagMatch> {
        let etags = etags.iter().map(|etag| (*etag).to_owned());
        Some(EtagMatch::OneOf(etags.collect()))
    }

    /// Each condition alone and with others, with a version and without: all must hold, and a missing
    /// version comes before one that differs.
    #[test]
    fn conditions_hold_as_s3_has_it() {
        let any = || Some(EtagMatch::Any);
        let at = |ms| Some(WallTime(ms));
        let long = |bytes| Some(ByteCount::new(bytes));
        let present = Ok(Expected::Version(VERSION));
        let absent = Ok(Expected::Absent);
        let (none, differs) = (Err(Unmet::NoVersion), Err(Unmet::Differs));
        // If-Match, If-None-Match, time, length; over ETag "e", 5.999 s, 10 bytes; over nothing
        for (row, (matches, not, modified, length, with, without)) in [
            (None, None, None, None, present, absent),
            (any(), None, None, None, present, none),
            (etags(&["e"]), None, None, None, present, none),
            (etags(&["d", "e"]), None, None, None, present, none),
            (etags(&["d"]), None, None, None, differs, none),
            (etags(&[]), None, None, None, differs, none),
            (None, any(), None, None, differs, absent),
            (None, etags(&["e"]), None, None, differs, absent),
            (None, etags(&["d"]), None, None, present, absent),
            (None, etags(&[]), None, None, present, absent),
            (etags(&["e"]), etags(&["d"]), None, None, present, none),
            (etags(&["e"]), any(), None, None, differs, none),
            (etags(&["d"]), etags(&["d"]), None, None, differs, none),
            (None, None, at(5000), None, present, none),
            (None, None, at(5999), None, present, none),
            (None, None, at(6000), None, differs, none),
            (None, None, None, long(10), present, none),
            (None, None, None, long(11), differs, none),
            (any(), None, at(5001), long(10), present, none),
            (any(), None, at(5001), long(9), differs, none),
            (etags(&["d"]), None, at(5001), long(10), differs, none),
            (None, any(), at(5001), long(10), differs, none),
        ]
        .into_iter()
        .enumerate()
        {
            let condition = Condition {
                matches,
                differs: not,
                modified,
                length,
            };
            let current = Current {
                version: VERSION,
                etag: "e",
                modified: WallTime(5999),
                length: ByteCount::new(10),
            };
            assert_eq!(judge(&condition, Some(current)), with, "row {row}");
            assert_eq!(judge(&condition, None), without, "row {row}, absent");
        }
    }
}
