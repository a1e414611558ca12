//! The checker against histories that are known, and against trying every order.

use super::*;

fn wrote(value: u64, called: u64, answered: u64) -> Operation {
    Operation {
        register: 1,
        did: Did::Wrote(value),
        called,
        answered: Some(answered),
    }
}

fn read(value: Option<u64>, called: u64, answered: u64) -> Operation {
    Operation {
        register: 1,
        did: Did::Read(value),
        called,
        answered: Some(answered),
    }
}

fn unknown(operation: Operation) -> Operation {
    Operation {
        answered: None,
        ..operation
    }
}

/// Known histories, good and bad.
#[test]
fn known_histories() {
    let good: &[&[Operation]] = &[
        &[],
        &[read(None, 1, 2), wrote(1, 3, 4), read(Some(1), 5, 6)],
        // While it is written, both may be seen, in order.
        &[
            wrote(1, 1, 2),
            wrote(2, 3, 9),
            read(Some(1), 4, 5),
            read(Some(2), 6, 7),
        ],
        // Nobody knows; seen or not.
        &[wrote(1, 1, 2), unknown(wrote(2, 3, 0)), read(Some(1), 4, 5)],
        &[
            wrote(1, 1, 2),
            unknown(wrote(2, 3, 0)),
            read(Some(1), 4, 5),
            read(Some(2), 6, 7),
        ],
    ];
    for history in good {
        assert!(check(history).is_ok(), "{history:?}");
    }
    let stale = |one, other| Violation::Stale {
        register: 1,
        one,
        other,
    };
    let nowhere = Violation::FromNowhere {
        register: 1,
        value: 1,
    };
    let bad: &[(&[Operation], Violation)] = &[
        // A stale read; a lost write; back to nothing.
        (
            &[wrote(1, 1, 2), wrote(2, 3, 4), read(Some(1), 5, 6)],
            stale(Some(1), Some(2)),
        ),
        (&[wrote(1, 1, 2), read(None, 3, 4)], stale(None, Some(1))),
        // Both were seen while the second was written, in the wrong order.
        (
            &[
                wrote(1, 1, 2),
                wrote(2, 3, 9),
                read(Some(2), 4, 5),
                read(Some(1), 6, 7),
            ],
            stale(Some(1), Some(2)),
        ),
        (&[read(Some(1), 1, 2)], nowhere),
        (&[read(Some(1), 1, 2), wrote(1, 3, 4)], nowhere),
        // It took effect once it was seen, and stays.
        (
            &[
                wrote(1, 1, 2),
                unknown(wrote(2, 3, 0)),
                read(Some(2), 4, 5),
                read(Some(1), 6, 7),
            ],
            stale(Some(1), Some(2)),
        ),
    ];
    for (history, violation) in bad {
        assert_eq!(check(history), Err(*violation), "{history:?}");
    }
}

/// Whether some order of all operations, each between its call and its answer, is one that a register
/// shows. `done` are those before.
fn some_order(history: &[Operation], done: u32, held: Option<u64>) -> bool {
    let open = |at: usize| done & (1 << at) == 0;
    let must = |at: usize| history[at].answered.is_some();
    if (0..history.len()).all(|at| !open(at) || !must(at)) {
        return true;
    }
    (0..history.len()).filter(|at| open(*at)).any(|at| {
        let next = history[at];
        let overtakes = (0..history.len()).any(|other| {
            open(other) && history[other].answered.is_some_and(|end| end < next.called)
        });
        let held_after = match next.did {
            Did::Wrote(value) => Some(value),
            Did::Read(value) if value == held => held,
            Did::Read(_) => return false,
        };
        !overtakes && some_order(history, done | 1 << at, held_after)
    })
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }
}

/// The checker finds exactly what trying every order finds.
/// Method: small random histories, most of them of a register that is sometimes stale.
#[test]
fn agrees_with_trying_every_order() {
    let mut verdicts = [0; 2];
    for seed in 0..20_000 {
        let mut random = Random(seed);
        let length = 1 + random.below(7);
        let mut moments: Vec<u64> = (1..=2 * length).collect();
        for at in (1..moments.len()).rev() {
            moments.swap(at, random.index(at + 1));
        }
        let values = 1 + random.below(length);
        let mut history: Vec<Operation> = Vec::new();
        for (moments, value) in moments.chunks(2).zip(1..) {
            let writes = value <= values;
            let did = if writes {
                Did::Wrote(value)
            } else {
                // Seldom one that nobody writes.
                let strange = u64::from(random.below(20) == 0);
                let seen = random.below(values + 1 + strange);
                Did::Read((seen > 0).then_some(seen))
            };
            let lost = writes && random.below(10) == 0;
            history.push(Operation {
                register: 1,
                did,
                called: moments[0].min(moments[1]),
                answered: (!lost).then_some(moments[0].max(moments[1])),
            });
        }
        let possible = some_order(&history, 0, None);
        let verdict = check(&history);
        assert_eq!(verdict.is_ok(), possible, "seed {seed}: {history:?}");
        verdicts[usize::from(possible)] += 1;
    }
    assert!(verdicts.iter().all(|count| *count > 1000), "{verdicts:?}");
}
