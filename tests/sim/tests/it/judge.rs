//! The judge, on histories of which we know the verdict.

use strongroom_sim::{Did, Operation, linearizable};

fn at(did: Did, called: u64, answered: u64) -> Operation {
    let answered = Some(answered);
    Operation {
        did,
        called,
        answered,
    }
}

fn unknown(did: Did, called: u64) -> Operation {
    let answered = None;
    Operation {
        did,
        called,
        answered,
    }
}

/// What may happen is accepted, and what may not is refused.
#[test]
fn verdicts() {
    use Did::{Found, FoundNot, Swapped, Wrote};
    let cases: &[(&[Operation], bool)] = &[
        (&[], true),
        (&[at(Wrote(Some(1)), 1, 2), at(Found(Some(1)), 3, 4)], true),
        (&[at(Wrote(Some(1)), 1, 2), at(Found(None), 3, 4)], false),
        (&[at(Wrote(Some(1)), 1, 4), at(Found(None), 2, 3)], true),
        (&[at(Found(Some(1)), 1, 2), at(Wrote(Some(1)), 3, 4)], false),
        (&[at(Found(Some(1)), 1, 2)], false),
        // What nobody knows may happen late, and once.
        (
            &[
                unknown(Wrote(Some(1)), 1),
                at(Found(None), 2, 3),
                at(Found(Some(1)), 4, 5),
            ],
            true,
        ),
        (
            &[
                unknown(Wrote(None), 1),
                at(Wrote(Some(2)), 2, 3),
                at(Found(Some(2)), 4, 5),
                at(Found(None), 6, 7),
                at(Found(Some(2)), 8, 9),
            ],
            false,
        ),
        // Conditions see what is there.
        (
            &[at(Swapped(None, 1), 1, 2), at(Swapped(None, 2), 3, 4)],
            false,
        ),
        (
            &[
                at(Swapped(None, 1), 1, 2),
                at(FoundNot(None), 3, 4),
                at(Swapped(Some(1), 2), 5, 6),
                at(Wrote(None), 7, 8),
                at(Swapped(None, 3), 9, 10),
            ],
            true,
        ),
        (&[at(FoundNot(None), 1, 2)], false),
    ];
    for (history, verdict) in cases {
        assert_eq!(linearizable(history), *verdict, "{history:?}");
    }
}
