//! Lookups over manifests against an object that is a list of bytes.

use crate::fixture::{Machine, key};
use bytes::Bytes;
use proptest::prelude::*;
use std::cell::Cell;
use strongroom_metadata::locate::{Found, locate};
use strongroom_metadata::manifest::{Manifest, ManifestError, lay_out};
use strongroom_metadata::tables::*;
use strongroom_metadata::uploads::parts;
use types::Label;
use types::block::SEAL_OVERHEAD;
use types::id::{BlobId, BucketId, TenantId, VersionId};
use types::size::{ByteCount, ByteOffset};
use types::wire::metadata::{
    Bucket, ListParts, Lookup, MAX_EXTENTS, MetadataError, WallTime, Wanted,
};

/// A byte of an object: of which part, of which blob, and where in that.
type Byte = (u32, BlobId, u64);

/// Parts: what their numbers are apart, and the lengths of their pieces.
fn shape() -> impl Strategy<Value = Vec<(u32, Vec<u64>)>> {
    let pieces = prop_oneof![
        6 => Just(vec![1]),
        2 => prop::collection::vec(1..4_u64, 1..6),
        1 => prop::collection::vec(Just(1), 250..262),
    ];
    let count = prop_oneof![2 => 1..8_usize, 1 => 250..260_usize, 1 => 500..520_usize];
    count.prop_flat_map(move |count| prop::collection::vec((1..3_u32, pieces.clone()), count))
}

/// An object on a machine, and the bytes that it is.
struct Trial<'m> {
    machine: &'m Machine,
    bucket: BucketId,
    version: VersionId,
    numbers: Vec<u32>,
    bytes: Vec<Byte>,
}

impl<'m> Trial<'m> {
    fn write(machine: &'m Machine, id: u64, shape: &[(u32, Vec<u64>)], empty_last: bool) -> Self {
        let mut trial = Self {
            machine,
            bucket: BucketId::new(id),
            version: VersionId::new(u128::from(id).to_be_bytes()),
            numbers: Vec::new(),
            bytes: Vec::new(),
        };
        let mut shape = shape.to_vec();
        if empty_last {
            shape.push((1, vec![0]));
        }
        let mut rows: Vec<(u32, PartRow)> = Vec::new();
        let (mut number, mut blob) = (0, id << 20);
        for (apart, pieces) in shape {
            number += apart;
            let mut row = PartRow {
                born: 1,
                modified: WallTime(1),
                length: ByteCount::new(pieces.iter().sum()),
                sealed: Bytes::new(),
                pieces: Vec::new(),
            };
            for length in pieces {
                blob += 1;
                // Pieces of shared blobs begin somewhere in them.
                let offset = blob % 3;
                for at in 0..length {
                    trial.bytes.push((number, BlobId::new(blob), offset + at));
                }
                row.pieces.push(PieceRow {
                    blob: BlobId::new(blob),
                    offset: ByteOffset::new(offset),
                    length: ByteCount::new(length),
                    wrap: Bytes::from_static(b"wrap"),
                });
            }
            trial.numbers.push(number);
            rows.push((number, row));
        }
        trial.store(&rows);
        trial
    }

    fn store(&self, parts: &[(u32, PartRow)]) {
        let mut txn = self.machine.store.begin();
        BUCKETS.put(&mut txn, &self.bucket, &bucket(self.bucket));
        for (number, row) in parts {
            PARTS.put(&mut txn, &(self.version, *number), row);
            for piece in &row.pieces {
                let blob = BlobRow {
                    length: ByteCount::new(100),
                    references: 1,
                    generation: 1,
                    place: BlobPlace::Inline,
                    condemned: None,
                };
                BLOBS.put(&mut txn, &piece.blob, &blob);
                let sealed = Bytes::from(vec![0; 100 + SEAL_OVERHEAD]);
                INLINE.put(&mut txn, &piece.blob, &sealed);
            }
        }
        for laid in lay_out(parts.iter().map(|(number, row)| (*number, row))).unwrap() {
            assert!(laid.entries.len() <= seal::manifest::ROW_PARTS);
            let end = laid.end().get();
            let row = ManifestRow {
                first: laid.first,
                mac: Bytes::from_static(b"mac"),
                entries: laid.entries,
            };
            assert!(!MANIFESTS.contains(&txn, &(self.version, end)).unwrap());
            MANIFESTS.put(&mut txn, &(self.version, end), &row);
        }
        let head = HeadRow {
            version: self.version,
            born: 1,
            modified: WallTime(1),
            length: ByteCount::new(self.bytes.len() as u64),
            attributes: Bytes::new(),
            extents: Vec::new(),
            manifest: Some(ManifestHead {
                parts: u32::try_from(self.numbers.len()).unwrap(),
            }),
            tag_count: 0,
        };
        HEADS.put(&mut txn, &(self.bucket, key("object")), &head);
        self.machine.store.commit(txn.into_changes(), b"").unwrap();
    }

    fn locate(&self, wanted: Wanted) -> Result<Found, MetadataError> {
        let lookup = Lookup {
            bucket: self.bucket,
            key: key("object"),
            wanted,
            version: Some(self.version),
        };
        locate(&self.machine.store, &lookup).unwrap()
    }

    /// The bytes that a lookup tells of, asked for again from where it ended.
    fn read(&self, wanted: Wanted) -> Result<Vec<Byte>, MetadataError> {
        let mut found = self.locate(wanted)?;
        let range = found.wanted.clone();
        let mut bytes = Vec::new();
        let mut next = range.start;
        while next < range.end {
            assert!((1..=MAX_EXTENTS).contains(&found.extents.len()));
            assert!(!found.looked_at.is_empty());
            for at in &found.extents {
                let start = at.object_offset.get();
                let end = start + at.extent.length.get();
                assert!(
                    start <= next && next < end,
                    "an extent too early or too late"
                );
                let last = end.min(range.end);
                let in_blob = |at_object| at.extent.offset.get() + (at_object - start);
                let piece = (next..last)
                    .map(|at_object| (at.extent.part, at.extent.blob, in_blob(at_object)));
                bytes.extend(piece);
                next = last;
            }
            if next < range.end {
                let rest = ByteCount::new(range.end - next);
                found = self.locate(Wanted::Range(ByteOffset::new(next), rest))?;
                assert_eq!(found.wanted, next..range.end);
            }
        }
        assert_eq!(bytes.len() as u64, range.end - range.start);
        Ok(bytes)
    }

    /// The numbers of all parts, listed so many at a time.
    fn listed(&self, limit: u32) -> Vec<u32> {
        let mut numbers: Vec<u32> = Vec::new();
        loop {
            let list = ListParts {
                bucket: self.bucket,
                key: key("object"),
                upload: self.version,
                after: numbers.last().copied().unwrap_or(0),
                limit,
            };
            let page = parts(&self.machine.store, &list).unwrap().unwrap();
            assert!(page.parts.len() <= limit as usize && !page.looked_at.is_empty());
            numbers.extend(page.parts.iter().map(|(number, _)| number));
            if !page.truncated {
                return numbers;
            }
        }
    }
}

fn bucket(id: BucketId) -> BucketRow {
    BucketRow {
        bucket: Bucket {
            id,
            tenant: TenantId::new(1),
            owner: "owner".to_owned(),
            name: crate::fixture::bucket_name("bucket"),
            label: Label::default(),
            profile: crate::fixture::profile(),
            created: WallTime(1),
        },
        kek_version: 1,
        live_keks: vec![1],
        born: 1,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Any range, and any part, is what it would be in a list of bytes: of parts with gaps between their
    /// numbers, of pieces that begin within their blobs, of parts that lie in two rows, with an empty part
    /// at the end. And parts are listed by pages of any size.
    #[test]
    fn lookups_find_what_a_list_of_bytes_has(
        shape in shape(),
        empty_last in any::<bool>(),
        (from, length) in (any::<prop::sample::Index>(), 0..600_u64),
        part in any::<prop::sample::Index>(),
        limit in prop_oneof![1..4_u32, 250..260_u32],
    ) {
        thread_local! {
            static MACHINE: (Machine, Cell<u64>) = (Machine::new(), Cell::new(1));
        }
        MACHINE.with(|(machine, used)| {
            used.set(used.get() + 1);
            let trial = Trial::write(machine, used.get(), &shape, empty_last);
            let bytes = &trial.bytes;
            prop_assert_eq!(&trial.read(Wanted::All).unwrap(), bytes);
            let start = from.index(bytes.len());
            let end = bytes.len().min(start + usize::try_from(length).unwrap());
            let at = ByteOffset::new(start as u64);
            let range = Wanted::Range(at, ByteCount::new(length));
            prop_assert_eq!(trial.read(range).unwrap(), &bytes[start..end]);
            prop_assert_eq!(trial.read(Wanted::From(at)).unwrap(), &bytes[start..]);
            let last = Wanted::Last(ByteCount::new((bytes.len() - start) as u64));
            prop_assert_eq!(trial.read(last).unwrap(), &bytes[start..]);

            let number = trial.numbers[part.index(trial.numbers.len())];
            for number in [number - 1, number, number + 1] {
                let of_part: Vec<_> = bytes.iter().filter(|byte| byte.0 == number).copied().collect();
                let read = trial.read(Wanted::Part(number));
                if trial.numbers.contains(&number) {
                    prop_assert_eq!(read.unwrap(), of_part);
                } else {
                    let parts = u32::try_from(trial.numbers.len()).unwrap();
                    prop_assert_eq!(read, Err(MetadataError::NoSuchPart { parts }));
                }
            }
            prop_assert_eq!(trial.listed(limit), trial.numbers.clone());
            Ok(())
        })?;
    }
}

/// A manifest with a row too few, or one that does not fit its neighbours, is damaged: nothing is made up.
#[test]
fn rows_that_do_not_hang_together_are_damage() {
    let machine = Machine::new();
    let trial = Trial::write(&machine, 1, &vec![(1, vec![1]); 600], false);
    let mut rows: Vec<(u64, ManifestRow)> = MANIFESTS
        .scan(&machine.store, &trial.version.bytes())
        .map(|row| {
            let (row_key, row) = row.unwrap();
            (u64::from_be_bytes(row_key[16..].try_into().unwrap()), row)
        })
        .collect();
    assert_eq!(rows.len(), 3);
    let (end, mut middle) = rows.remove(1);
    for (name, row) in [
        ("missing", None),
        ("beginning later", {
            middle.first = ByteOffset::new(middle.first.get() + 1);
            Some(middle.clone())
        }),
        ("ending elsewhere", {
            middle.first = ByteOffset::new(middle.first.get() - 1);
            middle.entries.pop();
            Some(middle.clone())
        }),
        ("empty", {
            middle.entries.clear();
            Some(middle.clone())
        }),
    ] {
        let mut txn = machine.store.begin();
        match &row {
            Some(row) => MANIFESTS.put(&mut txn, &(trial.version, end), row),
            None => MANIFESTS.delete(&mut txn, &(trial.version, end)),
        }
        machine.store.commit(txn.into_changes(), b"").unwrap();
        let at = ByteOffset::new(255);
        let wanted = Wanted::Range(at, ByteCount::new(1));
        assert_eq!(trial.read(wanted), Err(MetadataError::RowDamaged), "{name}");
        let total = ByteCount::new(600);
        let mut manifest = Manifest::new(&machine.store, trial.version, total);
        let walked = manifest.numbers(0, 1000);
        assert!(matches!(walked, Err(ManifestError::Damaged)), "{name}");
    }
}
