//! What is measured. A row is measured over each of its schemes and from each of its caches: a case.

use serde_json::{Value, json};

pub(crate) const MIB: u64 = 1 << 20;
/// What parallel clients ask for and send at once: boto3's default.
const PART: u64 = 8 * MIB;
/// Requests on connections of their own, for the time to the first byte.
const FIRSTS: u64 = 40;
/// GETs side by side, for the memory of one.
pub(crate) const STREAMS: u64 = 4;

/// How much of it.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// In bytes.
    pub(crate) large: u64,
    pub(crate) small: u64,
    /// How many small ones.
    pub(crate) objects: u64,
}

pub(crate) const FULL: Sizes = Sizes {
    large: 1 << 30,
    small: 100_000,
    objects: 4000,
};
/// For a run of two minutes.
pub(crate) const SHORT: Sizes = Sizes {
    large: 256 * MIB,
    small: 100_000,
    objects: 1000,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Get,
    Ranges,
    /// Several whole objects side by side, of a server that has done nothing before.
    Streams,
    /// Two of six disks are away.
    Degraded,
    GetSmall,
    HeadSmall,
    FirstLarge,
    FirstSmall,
    Put,
    Parts,
    PutSmall,
}

pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// For people.
    pub(crate) title: &'static str,
    pub(crate) kind: Kind,
    clients: u64,
    /// Uploads framed as boto3 does.
    boto: bool,
    schemes: &'static [&'static str],
    caches: &'static [&'static str],
}

const BOTH: &[&str] = &["http", "https"];
const HTTP: &[&str] = &["http"];
const CACHES: &[&str] = &["cold", "warm"];
const COLD: &[&str] = &["cold"];
const WARM: &[&str] = &["warm"];
const NONE: &[&str] = &[""];

#[rustfmt::skip]
pub(crate) const ROWS: [Row; 14] = [
    row("get-large", "GET of 1 GiB, one stream", Kind::Get, 1, false, BOTH, CACHES),
    row("get-large-ranges", "GET of 1 GiB, 8 MiB ranges × 4", Kind::Ranges, 4, false, BOTH, CACHES),
    row("get-small", "GET of 100 KB × 8", Kind::GetSmall, 8, false, BOTH, CACHES),
    row("put-large", "PUT of 1 GiB, one stream", Kind::Put, 1, false, BOTH, NONE),
    row("put-large-parts", "PUT of 1 GiB, 8 MiB parts × 4", Kind::Parts, 4, false, BOTH, NONE),
    row("put-large-boto", "the same, framed as boto3 does", Kind::Parts, 4, true, BOTH, NONE),
    row("put-small", "PUT of 100 KB × 8", Kind::PutSmall, 8, false, BOTH, NONE),
    row("degraded-large", "GET of 1 GiB, 2 of 6 disks lost", Kind::Degraded, 1, false, HTTP, COLD),
    row("degraded-small", "GET of 100 KB × 8, 2 of 6 disks lost", Kind::Degraded, 8, false, HTTP, COLD),
    row("lookup", "HEAD of 100 KB × 1", Kind::HeadSmall, 1, false, HTTP, WARM),
    row("get-single", "GET of 100 KB × 1", Kind::GetSmall, 1, false, HTTP, WARM),
    row("first-large", "first byte of 1 GiB", Kind::FirstLarge, 1, false, HTTP, COLD),
    row("first-small", "first byte of 100 KB", Kind::FirstSmall, 1, false, HTTP, COLD),
    row("streams", "GET of 1 GiB × 4, after a start", Kind::Streams, STREAMS, false, HTTP, WARM),
];

/// What a short run takes: one of each kind that a change is likely to slow down.
pub(crate) const IN_SHORT: [&str; 5] = [
    "get-large.http.warm",
    "get-large.https.warm",
    "get-small.http.warm",
    "put-large.http",
    "put-small.http",
];

const fn row(
    name: &'static str,
    title: &'static str,
    kind: Kind,
    clients: u64,
    boto: bool,
    schemes: &'static [&'static str],
    caches: &'static [&'static str],
) -> Row {
    Row {
        name,
        title,
        kind,
        clients,
        boto,
        schemes,
        caches,
    }
}

/// A row over one scheme and from one cache.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) row: &'static Row,
    pub(crate) scheme: &'static str,
    /// `cold`, `warm`, or nothing where it does not matter.
    pub(crate) cache: &'static str,
}

impl Case {
    /// All, in the order of the table.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().flat_map(|row| {
            let cases = row.schemes.iter().flat_map(move |scheme| {
                let with = move |cache: &&'static str| (*scheme, *cache);
                row.caches.iter().map(with)
            });
            cases.map(move |(scheme, cache)| Self { row, scheme, cache })
        })
    }

    /// As in `get-large.http.cold`.
    pub(crate) fn id(&self) -> String {
        let parts = [self.row.name, self.scheme, self.cache];
        parts.join(".").trim_end_matches('.').to_owned()
    }

    pub(crate) fn clients(&self) -> u64 {
        self.row.clients
    }

    /// Of small objects there are so many a second; of large ones GB.
    pub(crate) fn is_small(&self) -> bool {
        is_small(self.row)
    }

    /// Whether the disk is what bounds it.
    pub(crate) fn is_large_and_cold(&self) -> bool {
        self.cache == "cold" && matches!(self.row.kind, Kind::Get | Kind::Ranges)
    }

    /// Makes new objects, which are removed behind it.
    pub(crate) fn uploads(&self) -> bool {
        matches!(self.row.kind, Kind::Put | Kind::Parts | Kind::PutSmall)
    }

    /// What the load program is to do in one repetition.
    pub(crate) fn work(&self, sizes: Sizes, repetition: u64) -> Value {
        let Sizes {
            large,
            small,
            objects,
        } = sizes;
        let framing = if self.row.boto { "boto" } else { "plain" };
        let get = |requests: u64| json!({"get": {"length": large, "from": 0, "objects": 1, "requests": requests}});
        let get_small =
            json!({"get": {"length": small, "from": 0, "objects": objects, "requests": objects}});
        let first = |length| json!({"first": {"length": length, "requests": FIRSTS}});
        let (from, count) = self.made(sizes, repetition);
        match self.row.kind {
            Kind::Get => get(1),
            Kind::Streams => get(STREAMS),
            Kind::Degraded if self.is_small() => get_small,
            Kind::Degraded => get(1),
            Kind::Ranges => json!({"ranges": {"length": large, "part": PART}}),
            Kind::GetSmall => get_small,
            Kind::HeadSmall => {
                json!({"head": {"length": small, "objects": objects, "requests": objects}})
            }
            Kind::FirstLarge => first(large),
            Kind::FirstSmall => first(small),
            Kind::Put => {
                json!({"put": {"length": large, "from": from, "objects": 1, "framing": framing}})
            }
            Kind::Parts => {
                json!({"parts": {"length": large, "from": from, "part": PART, "framing": framing}})
            }
            Kind::PutSmall => {
                json!({"put": {"length": small, "from": from, "objects": count, "framing": framing}})
            }
        }
    }

    /// Reads all that a repetition uploaded.
    pub(crate) fn proof(&self, sizes: Sizes, repetition: u64) -> Value {
        let (from, count) = self.made(sizes, repetition);
        let length = self.length(sizes);
        json!({"get": {"length": length, "from": from, "objects": count, "requests": count}})
    }

    /// Removes it.
    pub(crate) fn removal(&self, sizes: Sizes, repetition: u64) -> Value {
        let (from, count) = self.made(sizes, repetition);
        json!({"delete": {"length": self.length(sizes), "from": from, "objects": count}})
    }

    fn length(&self, sizes: Sizes) -> u64 {
        if self.is_small() {
            sizes.small
        } else {
            sizes.large
        }
    }

    /// The first of the objects that a repetition makes, and how many. Those before are what GETs read.
    fn made(&self, sizes: Sizes, repetition: u64) -> (u64, u64) {
        if self.is_small() {
            (sizes.objects * (repetition + 1), sizes.objects / 2)
        } else {
            (repetition + 1, 1)
        }
    }
}

/// What a row of this name counts.
fn is_small(row: &Row) -> bool {
    row.name.contains("small") || matches!(row.kind, Kind::HeadSmall | Kind::GetSmall)
}

/// Loads what GETs read: one large object, many small ones.
pub(crate) fn filling(sizes: Sizes) -> [(u64, Value); 2] {
    let Sizes {
        large,
        small,
        objects,
    } = sizes;
    let put = |length, objects| json!({"put": {"length": length, "from": 0, "objects": objects, "framing": "plain"}});
    [(1, put(large, 1)), (8, put(small, objects))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Each case has a name of its own, and those of a short run exist.
    #[test]
    fn cases_are_told_apart() {
        let ids: Vec<String> = Case::all().map(|case| case.id()).collect();
        let distinct: BTreeSet<&String> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        for id in IN_SHORT {
            assert!(ids.iter().any(|known| known == id), "{id}");
        }
    }
}
