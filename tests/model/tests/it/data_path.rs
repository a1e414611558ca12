//! Nothing visible is missing, whatever the order of events.

use std::collections::{BTreeMap, BTreeSet};

use strongroom_model::{
    action::Event,
    check::Violation::{self, Displaced, Hole, Lost, Thin, Unreadable},
    explore::{Report, Verdict},
    fence::{Fence, Fences},
    scene::{self, Scene},
    step::DataPath,
};

use crate::explored;

/// Fences, the scene that shows what each is for, and a shortest way to the loss without it.
const NEEDED: [(Fence, Scene, Violation, usize); 34] = [
    (Fence::AckRule, scene::SHORT, Thin(0), 4),
    (Fence::ShortIsRecorded, scene::SHORT, Hole(0), 5),
    (
        Fence::CommitCarriesEpoch,
        scene::THERE_AND_BACK,
        Hole(0),
        10,
    ),
    (Fence::LeastEpochCounts, scene::BOTH_SLOTS, Hole(0), 11),
    (
        Fence::CloseRaisesNamespace,
        scene::THERE_AND_BACK,
        Hole(0),
        10,
    ),
    (Fence::ListAfterRaise, scene::THERE_AND_BACK, Hole(0), 10),
    (Fence::EnoughRemain, scene::BOTH_SLOTS, Unreadable(0), 10),
    (Fence::ReportCarriesEpoch, scene::BOTH_SLOTS, Hole(0), 12),
    (Fence::NodeWritesOnce, scene::REUSED, Thin(0), 7),
    (Fence::LeaseLive, scene::LEASES, Thin(0), 9),
    (Fence::LeaseOwned, scene::CLAIMED, Displaced(0), 9),
    (Fence::RunInsideLease, scene::OUTSIDE, Thin(1), 10),
    (Fence::RunsDisjoint, scene::RETRIED, Thin(1), 12),
    (Fence::RunsOutliveReclaim, scene::RETRIED, Thin(1), 12),
    (Fence::RefsNeverRise, scene::READER, Thin(0), 9),
    (Fence::DeadBeforeTold, scene::READER, Thin(0), 7),
    (Fence::ReclaimDelay, scene::READER, Lost(0), 10),
    (Fence::DeadStillMoves, scene::READER, Unreadable(0), 15),
    (Fence::DeleteNamesDisk, scene::BOTH_SLOTS, Hole(0), 12),
    (Fence::DeleteNamesSlot, scene::BOTH_SLOTS, Hole(0), 19),
    (Fence::DeleteAfterJoining, scene::GIVEN_UP, Hole(0), 19),
    (Fence::JoinBeforeCopy, scene::BOTH_SLOTS, Hole(0), 14),
    (Fence::OrphanLeaseExpired, scene::LEASES, Thin(0), 8),
    (Fence::LeaseReadBeforeRuns, scene::LEASES, Thin(0), 10),
    (Fence::UnissuedSpared, scene::OUTSIDE, Thin(0), 12),
    (Fence::LeftoverVerified, scene::BOTH_SLOTS, Thin(0), 13),
    (Fence::CopyVerified, scene::THERE_AND_BACK, Hole(0), 11),
    (Fence::SwapCompares, scene::GIVEN_UP, Hole(0), 11),
    (Fence::DeleteAfterSwap, scene::BOTH_SLOTS, Hole(0), 11),
    (Fence::LossClosesFirst, scene::LOST, Hole(0), 12),
    (Fence::LossRecordsFirst, scene::LOST, Hole(0), 9),
    (Fence::LossSwapCompares, scene::BOTH_LOST, Hole(0), 20),
    (Fence::TaskNamesTableEpoch, scene::LOST, Hole(0), 14),
    (Fence::ReportsInOrder, scene::ROTTEN, Hole(0), 9),
];

/// Fences that back each other up: either may go, not both.
const PAIRED: [([Fence; 2], Scene, Violation, usize); 2] = [
    (
        [Fence::OrphanReadAfterInventory, Fence::UnissuedSpared],
        scene::LEASES,
        Thin(0),
        8,
    ),
    (
        [Fence::SwapExpectsItsClose, Fence::GiveUpRaisesEpoch],
        scene::BOTH_SLOTS,
        Hole(0),
        16,
    ),
];

fn without(fences: &[Fence], scene: Scene) -> Report<Event, Violation> {
    let model = DataPath {
        scene,
        fences: Fences::without(fences),
    };
    explored(&format!("{:?} without {fences:?}", scene.name), &model)
}

fn loses(fences: &[Fence], scene: Scene, expected: Violation, steps: usize) {
    let Verdict::Broken { violation, trace } = without(fences, scene).verdict else {
        panic!("{fences:?}: nothing is lost without it in {:?}", scene.name)
    };
    assert_eq!((violation, trace.len()), (expected, steps), "{fences:?}");
}

/// Explores scenes with every fence in place, and returns what happened in them.
fn hold(scenes: &[Scene], at_least: usize) -> BTreeMap<Event, u64> {
    let mut events = BTreeMap::new();
    let mut states = 0;
    for &scene in scenes {
        let report = without(&[], scene);
        assert_eq!(report.verdict, Verdict::Safe, "{:?}", scene.name);
        states += report.states;
        report.events.into_iter().for_each(|(event, count)| {
            *events.entry(event).or_insert(0) += count;
        });
    }
    assert!(states >= at_least, "only {states} states");
    events
}

/// With every fence in place nothing is lost when two gateways, a mover, a collector and whoever
/// deletes work at once.
/// Method: the whole space of the largest scene, in which every kind of step must occur.
#[test]
fn nothing_is_lost_in_the_whole() {
    let events = hold(&[scene::WHOLE], 1_000_000);
    for event in [
        Event::LeaseExpired,
        Event::CommittedWhole,
        Event::CommittedShort,
        Event::CommitRefused,
        Event::Died,
        Event::Reclaimed,
        Event::MoveCompleted,
        Event::MoveGivenUp,
        Event::SwapRefused,
        Event::RepairAccepted,
        Event::RepairRefused,
        Event::OrphanFound,
        Event::LeftoverFound,
        Event::DeleteExecuted,
        Event::DeleteRefused,
    ] {
        assert!(events.contains_key(&event), "{event:?} never happens");
    }
}

/// … nor when a slot moves again and again, with copies that go wrong.
/// Method: the whole space.
#[test]
fn nothing_is_lost_there_and_back() {
    let events = hold(&[scene::THERE_AND_BACK], 500_000);
    assert!(events.contains_key(&Event::CopyTorn) && events.contains_key(&Event::WriteLandedLate));
}

/// … nor when disks are lost and replaced while they may live on, and shards go bad.
/// Method: the whole space of each.
#[test]
fn nothing_is_lost_with_a_disk() {
    let lost = [
        scene::LOST,
        scene::LOST_AND_DELETED,
        scene::BOTH_LOST,
        scene::ROTTEN,
    ];
    let events = hold(&lost, 100_000);
    for event in [
        Event::DiskFailed,
        Event::ShardRotted,
        Event::BadReported,
        Event::WalkBrokenOff,
        Event::TakenOver,
        Event::TakeOverRefused,
        Event::RepairAccepted,
        Event::RepairRefused,
        Event::CommittedShort,
        Event::CommitRefused,
        Event::ShardsResent,
        Event::Reclaimed,
        Event::OrphansCollected,
    ] {
        assert!(events.contains_key(&event), "{event:?} never happens");
    }
}

/// … nor when disks judge by themselves what they hold.
/// Method: the whole space of each.
#[test]
fn nothing_is_lost_by_own_judgement() {
    let events = hold(&[scene::OWN, scene::OWN_OUTSIDE], 10_000);
    assert!(events.contains_key(&Event::OrphansCollected));
}

/// A disk that judges by itself needs the fences of a collector that tells it; but what it deletes at once
/// cannot come late, so that a stray shard under an id not yet given out endangers nothing.
/// Method: take each away; the search must find the loss, or none.
#[test]
fn own_judgement_needs_the_same_fences() {
    for (fence, scene, violation, steps) in [
        (Fence::OrphanLeaseExpired, scene::OWN, Thin(0), 8),
        (Fence::LeaseReadBeforeRuns, scene::OWN, Thin(0), 10),
    ] {
        loses(&[fence], scene, violation, steps);
    }
    let unissued = without(&[Fence::UnissuedSpared], scene::OWN_OUTSIDE);
    assert_eq!(unissued.verdict, Verdict::Safe);
}

/// … nor in the small scenes, some of which have a gateway that breaks the rules.
/// Method: the whole space of each.
#[test]
fn nothing_is_lost_in_small_scenes() {
    let small = [
        scene::GIVEN_UP,
        scene::BOTH_SLOTS,
        scene::READER,
        scene::LEASES,
        scene::SHORT,
        scene::REUSED,
        scene::RETRIED,
        scene::STRAYED,
        scene::OUTSIDE,
        scene::CLAIMED,
    ];
    let events = hold(&small, 200_000);
    for event in [
        Event::ShardsResent,
        Event::WriteRefused,
        Event::Shared,
        Event::Unreferenced,
        Event::ReadDone,
    ] {
        assert!(events.contains_key(&event), "{event:?} never happens");
    }
}

/// Each fence prevents a loss.
/// Method: take it away; the search must find that loss, and no shorter way to it than is known.
#[test]
fn each_fence_is_needed() {
    for (fence, scene, violation, steps) in NEEDED {
        loses(&[fence], scene, violation, steps);
    }
}

/// Two pairs of fences back each other up.
/// Method: in the scene where both gone lose data, each gone alone loses none.
#[test]
fn paired_fences_back_each_other_up() {
    for (pair, scene, violation, steps) in PAIRED {
        loses(&pair, scene, violation, steps);
        for fence in pair {
            assert_eq!(
                without(&[fence], scene).verdict,
                Verdict::Safe,
                "{fence:?} alone"
            );
        }
    }
}

/// No fence is left untried.
/// Method: the two tables together name every one.
#[test]
fn every_fence_is_tried() {
    let tried: BTreeSet<Fence> = NEEDED
        .iter()
        .map(|(fence, ..)| *fence)
        .chain(PAIRED.iter().flat_map(|(pair, ..)| *pair))
        .collect();
    assert_eq!(tried, BTreeSet::from(Fence::ALL));
}
