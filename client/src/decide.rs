//! When is a chunk written? The one place that decides it.
//!
//! ```text
//! shards durable, empty ones counted      verdict
//! all                                     landed, nothing missing
//! enough, others still under way          enough: a short grace for them, then landed
//! enough, none under way                  landed, the refused ones missing
//! too few, but it may still be reached    wait
//! too few for ever                        failed: fresh id, another group
//! ```
//!
//! An empty shard of a short chunk is durable from the start: there is nothing of it to lose.

use types::placement::Slot;

/// How one shard of a chunk stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shard {
    /// Neither stored nor sent.
    Empty,
    /// Sent; no answer yet.
    Sent,
    /// Its disk said that it is durable.
    Durable,
    /// Its disk refused it, failed, or did not answer in time.
    Refused,
}

/// What is to be done about a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Wait for answers.
    Wait,
    /// It counts as written; wait a short grace for those still under way.
    Enough,
    /// It is written; these slots miss it.
    Landed(Vec<Slot>),
    /// It cannot be written here.
    Failed,
}

/// Decides for a chunk whose shards stand so, where `needed` must be durable.
pub(crate) fn decide(shards: &[Shard], needed: usize) -> Verdict {
    let durable = durable(shards);
    let sent = shards.iter().filter(|shard| **shard == Shard::Sent).count();
    if durable + sent < needed {
        Verdict::Failed
    } else if durable < needed {
        Verdict::Wait
    } else if sent > 0 {
        Verdict::Enough
    } else {
        Verdict::Landed(missing(shards))
    }
}

/// Shards that nothing short of losing a disk can lose.
pub(crate) fn durable(shards: &[Shard]) -> usize {
    let safe = |shard: &&Shard| matches!(shard, Shard::Empty | Shard::Durable);
    shards.iter().filter(safe).count()
}

/// Slots that did not say that they have their shard. An empty shard is never missing.
fn missing(shards: &[Shard]) -> Vec<Slot> {
    (0..)
        .zip(shards)
        .filter(|(_, shard)| matches!(shard, Shard::Sent | Shard::Refused))
        .map(|(slot, _)| Slot(slot))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::Profile;

    fn shards(text: &str) -> Vec<Shard> {
        let shard = |letter| match letter {
            'e' => Shard::Empty,
            's' => Shard::Sent,
            'd' => Shard::Durable,
            'r' => Shard::Refused,
            other => panic!("{other}"),
        };
        text.chars().map(shard).collect()
    }

    #[test]
    fn the_ack_rule_by_cases() {
        let landed = |slots: &[u8]| Verdict::Landed(slots.iter().map(|slot| Slot(*slot)).collect());
        let cases = [
            // 4+2: five of six
            ("4+2", "ssssss", Verdict::Wait),
            ("4+2", "dddsss", Verdict::Wait),
            ("4+2", "ddddds", Verdict::Enough),
            ("4+2", "dddddd", landed(&[])),
            ("4+2", "dddddr", landed(&[5])),
            ("4+2", "rddddd", landed(&[0])),
            ("4+2", "rsssss", Verdict::Wait),
            ("4+2", "rrssss", Verdict::Failed),
            ("4+2", "rrdddd", Verdict::Failed),
            // one segment: three of its four real shards
            ("4+2", "deeedd", landed(&[])),
            ("4+2", "deeeds", Verdict::Enough),
            ("4+2", "reeedd", landed(&[0])),
            ("4+2", "reeers", Verdict::Failed),
            // 8+3: ten of eleven
            ("8+3", "ddddddddddr", landed(&[10])),
            ("8+3", "dddddddddrr", Verdict::Failed),
            // 2+1 and 1+2
            ("2+1", "ddr", Verdict::Failed),
            ("2+1", "ddd", landed(&[])),
            ("1+2", "drd", landed(&[1])),
            ("1+2", "drr", Verdict::Failed),
        ];
        for (profile, text, expected) in cases {
            let needed = profile.parse::<Profile>().unwrap().durable_before_ack();
            assert_eq!(decide(&shards(text), needed), expected, "{profile} {text}");
        }
    }

    #[test]
    fn the_floor_by_cases() {
        let profile: Profile = "8+3".parse().unwrap();
        let least = profile.least_durable();
        let all = shards("dddddddddrr");
        assert_eq!(durable(&all), 9);
        assert_eq!(
            decide(&all, least),
            Verdict::Landed(vec![Slot(9), Slot(10)])
        );
        assert_eq!(decide(&shards("ddddddddrrr"), least), Verdict::Failed);
        assert_eq!(missing(&shards("dsrede")), [Slot(1), Slot(2)]);
    }
}
