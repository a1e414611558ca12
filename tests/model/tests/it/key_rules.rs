//! Keys outlive their use.

use strongroom_model::{
    explore::Verdict,
    keys::{Event, Fence, KeyRules, Violation},
};

use crate::explored;

/// With every fence in place no row ever becomes unreadable, and everything that can happen does.
/// Method: the whole space.
#[test]
fn rows_stay_readable() {
    let report = explored(
        "keys",
        &KeyRules {
            removed: Vec::new(),
        },
    );
    assert_eq!(report.verdict, Verdict::Safe);
    assert!(report.states > 50_000, "{} states", report.states);
    for event in [
        Event::Issued,
        Event::Expired,
        Event::Committed,
        Event::CommitRefused,
        Event::Rotated,
        Event::RowRead,
        Event::Rewrapped,
        Event::RewrapRefused,
        Event::ScanBegun,
        Event::RowScanned,
        Event::Destroyed,
    ] {
        assert!(
            report.events.contains_key(&event),
            "{event:?} never happens"
        );
    }
}

/// Each fence prevents a loss.
/// Method: take it away; the search must find how a row becomes unreadable, in this many steps.
#[test]
fn each_fence_is_needed() {
    for (fence, expected, steps) in [
        (Fence::RetiredRefused, Violation::Shredded, 7),
        (Fence::ScanAfterRetirement, Violation::Shredded, 7),
        (Fence::ScanFindsNone, Violation::Shredded, 7),
        (Fence::RewrapCompares, Violation::WrongKey, 7),
        (Fence::RewrapToActive, Violation::Shredded, 10),
    ] {
        let report = explored(
            &format!("{fence:?}"),
            &KeyRules {
                removed: vec![fence],
            },
        );
        let Verdict::Broken { violation, trace } = report.verdict else {
            panic!("{fence:?}: nothing is lost without it")
        };
        assert_eq!((violation, trace.len()), (expected, steps), "{fence:?}");
    }
}

/// That an issued wrap expires keeps no row readable: `apply` refuses retired versions anyway. It is
/// there to bound what a captured gateway can still commit.
/// Method: take it away; nothing is lost.
#[test]
fn expiry_of_wraps_prevents_no_loss() {
    let rules = KeyRules {
        removed: vec![Fence::WrapExpires],
    };
    assert_eq!(explored("WrapExpires", &rules).verdict, Verdict::Safe);
}
