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
