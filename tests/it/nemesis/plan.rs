//! What is done to the cluster in one round.

use std::collections::BTreeMap;
use strongroom_tests::Dice;

/// Disks whose folders may go: the first ones.
const FOLDERS: u64 = 4;
/// Disks on file systems of their own, which may fill up and stall.
pub(super) const MOUNTED: [u8; 2] = [4, 5];

/// What is done to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// `kill -9`, and a start.
    Kill,
    /// SIGTERM, and a start.
    Restart,
    /// Everything stands still for so many milliseconds.
    Freeze(u64),
    /// A disk's folder goes; it is back at the end of the round.
    Lose(u8),
    /// An empty folder takes its place; the disk is back at the end of the round.
    Empty(u8),
    /// A disk's bytes are gone for good; an empty one is admitted in its place at the end of the round.
    Destroy(u8),
    /// No room is left on a disk's file system until the end of the round.
    Fill(u8),
    /// Writes to a disk's file system do not return until the end of the round, or the next start.
    Stall(u8),
    /// A metadata server stops until the end of the round.
    Away(Server),
}

/// One of three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Server {
    Leader,
    Numbered(u64),
}

impl Fault {
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Restart => "restart",
            Self::Freeze(_) => "freeze",
            Self::Lose(_) => "lose",
            Self::Empty(_) => "empty",
            Self::Destroy(_) => "destroy",
            Self::Fill(_) => "fill",
            Self::Stall(_) => "stall",
            Self::Away(Server::Leader) => "leader away",
            Self::Away(Server::Numbered(_)) => "server away",
        }
    }

    fn disk(self) -> Option<u8> {
        match self {
            Self::Lose(disk) | Self::Empty(disk) | Self::Destroy(disk) => Some(disk),
            Self::Fill(disk) | Self::Stall(disk) => Some(disk),
            Self::Kill | Self::Restart | Self::Freeze(_) | Self::Away(_) => None,
        }
    }
}

/// The faults of one round, each after so many milliseconds of load. Never more than two disks are in trouble at
/// a time, and one that is destroyed is the only one; never more than one metadata server is away.
pub(super) fn plan(dice: &mut Dice) -> Vec<(u64, Fault)> {
    let mut faults: Vec<(u64, Fault)> = Vec::new();
    for _ in 0..=dice.below(4) {
        let folder = u8::try_from(dice.below(FOLDERS)).expect("few disks");
        let mounted = *dice.pick(&MOUNTED);
        let fault = match dice.below(17) {
            0..3 => Fault::Kill,
            3 => Fault::Restart,
            4..6 => Fault::Freeze(200 + dice.below(3_000)),
            6..9 => Fault::Lose(folder),
            9..11 => Fault::Empty(folder),
            11 => Fault::Destroy(folder),
            12 => Fault::Fill(mounted),
            13 => Fault::Stall(mounted),
            14..16 => Fault::Away(Server::Leader),
            _ => Fault::Away(Server::Numbered(1 + dice.below(3))),
        };
        if goes_with(fault, &faults) {
            faults.push((dice.below(2_500), fault));
        }
    }
    faults.sort_unstable();
    faults
}

/// Whether the cluster is to bear it on top of the others.
fn goes_with(fault: Fault, others: &[(u64, Fault)]) -> bool {
    let mut others = others.iter().map(|(_, other)| *other);
    let Some(disk) = fault.disk() else {
        let away = |fault| matches!(fault, Fault::Away(_));
        return !(away(fault) && others.any(away));
    };
    let troubled: Vec<Fault> = others.filter(|other| other.disk().is_some()).collect();
    let destroys = |fault: &Fault| matches!(fault, Fault::Destroy(_));
    troubled.len() < 2
        && troubled.iter().all(|other| other.disk() != Some(disk))
        && !troubled.iter().any(destroys)
        && (troubled.is_empty() || !destroys(&fault))
}

/// The same seed makes the same schedule, and every kind of fault comes up.
#[test]
fn schedules_follow_from_the_seed() {
    let schedule = |seed| {
        let mut dice = Dice::new(seed);
        (0..100).map(|_| plan(&mut dice)).collect::<Vec<_>>()
    };
    assert_eq!(schedule(7), schedule(7));
    assert_ne!(schedule(7), schedule(8));
    let kinds: BTreeMap<&str, usize> =
        schedule(7)
            .concat()
            .iter()
            .fold(BTreeMap::new(), |mut kinds, (_, fault)| {
                *kinds.entry(fault.kind()).or_default() += 1;
                kinds
            });
    assert_eq!(kinds.len(), 10, "{kinds:?}");
}
