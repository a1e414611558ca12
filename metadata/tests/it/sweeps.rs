//! What is dead and is taken away later: that all of it goes, once, and nothing else.

use crate::fixture::World;
use crate::uploads::{check, next_sweep, rows, trial};
use proptest::prelude::*;
use strongroom_metadata::command::{Command, NamespaceCommand};
use strongroom_metadata::tables::*;
use strongroom_metadata::{Refusal, Reply};
use types::id::VersionId;
use types::wire::metadata::{DeleteBucket, MetadataError};

/// What nobody will see goes: unchosen parts, an aborted upload, one that is old, those into a bucket that
/// is gone. What is seen stays.
#[test]
fn what_nobody_will_see_is_swept() {
    let mut world = World::new();
    let kept = world.begin("kept");
    let parts: Vec<_> = (1..=4)
        .map(|number| (number, world.put_part("kept", kept, number, 3)))
        .collect();
    let chosen = vec![parts[0], parts[2]];
    assert!(matches!(
        world.complete("kept", kept, chosen),
        Reply::Committed { .. }
    ));
    check(&world.machine.store);
    assert_eq!(world.sweep_all(), 1);
    assert_eq!(rows(&world.machine.store, &PARTS), 2);
    assert_eq!(world.lookup("kept", None), Ok(6));
    assert_eq!(world.lookup("kept", Some(kept)), Ok(6));
    check(&world.machine.store);

    let aborted = world.begin("aborted");
    world.put_part("aborted", aborted, 7, 3);
    assert_eq!(world.abort("aborted", aborted), Reply::Done);
    check(&world.machine.store);

    let old = world.begin("old");
    world.put_part("old", old, 1, 3);
    let now_ms = world.machine.tick(5000);
    let young = world.begin("young");
    world.put_part("young", young, 1, 3);
    let began_before_ms = now_ms;
    let expire = NamespaceCommand::ExpireUploads { began_before_ms };
    assert_eq!(world.namespace(expire.clone()), Reply::Done);
    assert_eq!(world.namespace(expire), Reply::Done);
    check(&world.machine.store);
    assert_eq!(world.sweep_all(), 2);
    assert_eq!(rows(&world.machine.store, &UPLOADS), 1);
    assert_eq!(rows(&world.machine.store, &PARTS), 3);
    assert_eq!(
        world.abort("old", old),
        Reply::Refused(Refusal::NoSuchUpload)
    );

    assert_eq!(world.delete("kept"), Reply::Done);
    let delete = DeleteBucket {
        request: world.request(),
        bucket: world.bucket,
    };
    let deleted = world.namespace(NamespaceCommand::DeleteBucket(delete));
    assert_eq!(deleted, Reply::Done);
    let refused = world.abort("young", young);
    assert_eq!(refused, Reply::Refused(Refusal::NoSuchBucket));
    let bucket = world.bucket;
    let clear = NamespaceCommand::ClearBucket { bucket };
    assert_eq!(world.namespace(clear.clone()), Reply::Done);
    assert_eq!(world.namespace(clear), Reply::Done);
    assert_eq!(rows(&world.machine.store, &GONE_BUCKETS), 0);
    world.sweep_all();
    check(&world.machine.store);
    for left in [
        rows(&world.machine.store, &UPLOADS),
        rows(&world.machine.store, &PARTS),
        rows(&world.machine.store, &MANIFESTS),
    ] {
        assert_eq!(left, 0);
    }
    for row in BLOBS.scan(&world.machine.store, &[]) {
        assert_eq!(row.unwrap().1.references, 0);
    }
}

/// More uploads than one command gives up are given up by several, each of them small.
#[test]
fn many_uploads_are_given_up_in_small_commands() {
    let mut world = World::new();
    for number in 0..450 {
        world.begin(&format!("object-{number}"));
    }
    let began_before_ms = world.machine.tick(10);
    let expire = Command::Namespace(NamespaceCommand::ExpireUploads { began_before_ms });
    for left in [310, 170, 30, 0, 0] {
        let (_, changed) = trial(&world.machine.store, &expire);
        assert!(changed <= 1000, "{changed} rows");
        assert_eq!(world.machine.apply(expire.clone()), Reply::Done);
        assert_eq!(rows(&world.machine.store, &UPLOADS), left);
    }
    check(&world.machine.store);
}

/// A version that was replaced can be read by who names it, until its sweep begins; then not at all.
#[test]
fn a_replaced_version_is_readable_until_it_is_swept() {
    let mut world = World::new();
    let upload = world.begin("object");
    let parts: Vec<_> = (1..=300)
        .map(|number| (number, world.put_part("object", upload, number, 2)))
        .collect();
    let chosen = parts[..290].to_vec();
    assert!(matches!(
        world.complete("object", upload, chosen),
        Reply::Committed { .. }
    ));
    let plain = world.inline("object", 7);
    assert!(matches!(world.commit(&plain), Reply::Committed { .. }));
    assert_eq!(world.lookup("object", None), Ok(7));
    // As many extents as one lookup tells of.
    assert_eq!(world.lookup("object", Some(upload)), Ok(256));
    let unchosen = next_sweep(&world.machine.store).unwrap();
    world.machine.apply(unchosen);
    assert_eq!(world.lookup("object", Some(upload)), Ok(256));
    check(&world.machine.store);
    let sweep = next_sweep(&world.machine.store).unwrap();
    world.machine.apply(sweep);
    let gone = world.lookup("object", Some(upload));
    assert_eq!(gone, Err(MetadataError::NoSuchObject));
    world.sweep_all();
    assert_eq!(world.lookup("object", Some(plain.version)), Ok(7));
    check(&world.machine.store);
}

#[derive(Clone, Debug)]
enum Step {
    Begin {
        name: u8,
    },
    Part {
        upload: u8,
        number: u32,
        length: u16,
    },
    Complete {
        upload: u8,
        skip: u32,
    },
    Abort {
        upload: u8,
    },
    Put {
        name: u8,
    },
    Delete {
        name: u8,
    },
    Expire {
        age: u16,
    },
    Sweep,
    Tick {
        elapsed: u16,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (name, upload) = (|| 0..3_u8, || 0..4_u8);
    prop_oneof![
        3 => name().prop_map(|name| Step::Begin { name }),
        8 => (upload(), 1..6_u32, 0..3_u16)
            .prop_map(|(upload, number, length)| Step::Part { upload, number, length }),
        3 => (upload(), 0..6_u32).prop_map(|(upload, skip)| Step::Complete { upload, skip }),
        1 => upload().prop_map(|upload| Step::Abort { upload }),
        1 => name().prop_map(|name| Step::Put { name }),
        1 => name().prop_map(|name| Step::Delete { name }),
        1 => any::<u16>().prop_map(|age| Step::Expire { age }),
        2 => Just(Step::Sweep),
        1 => any::<u16>().prop_map(|elapsed| Step::Tick { elapsed }),
    ]
}

/// Takes a step; `begun` are the uploads, also those that are not under way any more.
fn take(world: &mut World, begun: &mut Vec<(String, VersionId)>, step: &Step) {
    let object = |name: &u8| format!("object-{name}");
    let pick = |upload: &u8| begun.iter().rev().nth(usize::from(*upload)).cloned();
    match step {
        Step::Begin { name } => {
            let upload = world.begin(&object(name));
            begun.push((object(name), upload));
        }
        Step::Part {
            upload,
            number,
            length,
        } => {
            if let Some((name, upload)) = pick(upload) {
                let part = world.inline_part(&name, upload, *number, (*length).into());
                world.namespace(NamespaceCommand::CommitPart(part));
            }
        }
        Step::Complete { upload, skip } => {
            if let Some((name, upload)) = pick(upload) {
                let parts: Vec<_> = (1..6)
                    .filter(|number| number != skip)
                    .filter_map(|number| {
                        let row = PARTS.get(&world.machine.store, &(upload, number));
                        row.unwrap().map(|row| (number, row.born))
                    })
                    .collect();
                world.complete(&name, upload, parts);
            }
        }
        Step::Abort { upload } => {
            if let Some((name, upload)) = pick(upload) {
                world.abort(&name, upload);
            }
        }
        Step::Put { name } => {
            let commit = world.inline(&object(name), 3);
            world.commit(&commit);
        }
        Step::Delete { name } => drop(world.delete(&object(name))),
        Step::Expire { age } => {
            let now_ms = world.machine.tick(0);
            let began_before_ms = now_ms.saturating_sub((*age).into());
            world.namespace(NamespaceCommand::ExpireUploads { began_before_ms });
        }
        Step::Sweep => {
            if let Some(sweep) = next_sweep(&world.machine.store) {
                world.machine.apply(sweep);
            }
        }
        Step::Tick { elapsed } => {
            world.machine.tick((*elapsed).into());
            let session = world.session;
            world.namespace(NamespaceCommand::RenewSession { session });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whatever is begun, completed, given up, replaced and swept, in whatever order: references are those
    /// that rows hold, and in the end nothing is left of what is not shown.
    #[test]
    fn references_are_those_that_rows_hold(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        let mut begun = Vec::new();
        for step in &steps {
            take(&mut world, &mut begun, step);
            check(&world.machine.store);
        }
        world.sweep_all();
        let began_before_ms = world.machine.tick(1);
        world.namespace(NamespaceCommand::ExpireUploads { began_before_ms });
        world.sweep_all();
        check(&world.machine.store);
        let store = &world.machine.store;
        let shown: u32 = HEADS
            .scan(store, &[])
            .filter_map(|row| row.unwrap().1.manifest)
            .map(|manifest| manifest.parts)
            .sum();
        prop_assert_eq!(rows(store, &PARTS), shown as usize);
        prop_assert_eq!(rows(store, &UPLOADS), 0);
    }
}
