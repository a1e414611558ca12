//! Classification labels. A bucket has exactly one.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// Level, compartments and releasability, each by numeric id; the names live in the label catalogue.
/// Sets are sorted, so that equal labels have equal digests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Label {
    /// The higher, the more sensitive; 0 is the default level.
    pub level: u16,
    /// All of these a reader must be cleared for.
    pub compartments: BTreeSet<u32>,
    /// The nations to which it may be released; empty: not restricted by nation.
    pub releasability: BTreeSet<u32>,
}

impl Label {
    /// Whether who works at this label may read what bears `other`: level at least as high, every
    /// compartment held, and released to no nation that `other` is not released to. An unrestricted
    /// label is released to all, so it does not dominate a restricted one.
    pub fn dominates(&self, other: &Self) -> bool {
        let unrestricted = other.releasability.is_empty();
        let narrower =
            !self.releasability.is_empty() && self.releasability.is_subset(&other.releasability);
        self.level >= other.level
            && self.compartments.is_superset(&other.compartments)
            && (unrestricted || narrower)
    }

    /// SHA-256 over length-prefixed big-endian fields (DESIGN §3, "Encodings"):
    /// `4·len ‖ level`, `4·len ‖ compartments…`, `4·len ‖ releasability…`.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = LengthPrefixed::default();
        hash.field(&self.level.to_be_bytes());
        for set in [&self.compartments, &self.releasability] {
            let ids: Vec<u8> = set.iter().flat_map(|id| id.to_be_bytes()).collect();
            hash.field(&ids);
        }
        hash.finish()
    }
}

/// SHA-256 over fields, each preceded by its length in four big-endian bytes, so that no two lists of
/// fields run together into one input.
#[derive(Default)]
pub struct LengthPrefixed(Sha256);

impl LengthPrefixed {
    /// Appends one field.
    ///
    /// # Panics
    /// When the field is 4 GiB or longer.
    pub fn field(&mut self, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).expect("a field is short");
        self.0.update(length.to_be_bytes());
        self.0.update(bytes);
    }

    /// The digest of all fields.
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reading goes up to what is dominated and no further; dominance is a partial order.
    /// Method: a table of pairs; then reflexivity, antisymmetry and transitivity over all small labels.
    #[test]
    fn dominance_is_a_partial_order() {
        let label = |level, compartments: &[u32], releasability: &[u32]| Label {
            level,
            compartments: compartments.iter().copied().collect(),
            releasability: releasability.iter().copied().collect(),
        };
        for (high, low, expected) in [
            (label(1, &[], &[]), label(0, &[], &[]), true),
            (label(0, &[], &[]), label(1, &[], &[]), false),
            (label(0, &[1, 2], &[]), label(0, &[1], &[]), true),
            (label(9, &[1], &[]), label(0, &[2], &[]), false),
            (label(0, &[], &[1]), label(0, &[], &[]), true),
            (label(0, &[], &[]), label(0, &[], &[1]), false),
            (label(0, &[], &[1]), label(0, &[], &[1, 2]), true),
            (label(0, &[], &[1, 2]), label(0, &[], &[1]), false),
            (label(0, &[], &[3]), label(0, &[], &[1, 2]), false),
        ] {
            assert_eq!(high.dominates(&low), expected, "{high:?} {low:?}");
        }
        let sets: [&[u32]; 4] = [&[], &[1], &[2], &[1, 2]];
        let mut all = Vec::new();
        for level in 0..2 {
            for compartments in sets {
                for releasability in sets {
                    all.push(label(level, compartments, releasability));
                }
            }
        }
        for a in &all {
            assert!(a.dominates(a));
            for b in &all {
                assert!(a == b || !(a.dominates(b) && b.dominates(a)));
                for c in &all {
                    assert!(!(a.dominates(b) && b.dominates(c)) || a.dominates(c));
                }
            }
        }
    }

    /// The digest is in the associated data of every stored key wrap: it must never change.
    #[test]
    fn digests_are_golden_and_tell_labels_apart() {
        assert_eq!(
            hex::encode(Label::default().digest()),
            "918726442c524e40427e012e0b8eaf31b70e0226fb86d06869e91f1d772493fd",
        );
        let level = Label {
            level: 1,
            ..Label::default()
        };
        let compartment = Label {
            compartments: [1].into(),
            ..Label::default()
        };
        let release = Label {
            releasability: [1].into(),
            ..Label::default()
        };
        let all = [Label::default(), level, compartment, release];
        let digests: BTreeSet<_> = all.iter().map(Label::digest).collect();
        assert_eq!(digests.len(), all.len());
    }
}
