//! Parity from data, and any lost block from k others.
//!
//! The code is systematic Reed-Solomon over GF(2^8) with polynomial 0x11d, its matrix a Vandermonde
//! matrix made systematic, exactly as `reed-solomon-erasure` builds it (`types::profile::Code`). It is
//! linear over each byte position, so that it works on any byte range of a row, the same in all blocks.
//!
//! A block may be shorter than the others, or empty: what it lacks counts as zeros, and costs nothing.
//! No zeros are made and nothing is allocated per row; the coefficients of each loss are worked out
//! once and kept.

use reed_solomon_erasure::galois_8::{self, ReedSolomon};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use types::Profile;
use types::profile::{Code, MAX_SHARDS};

/// A row is coded in strips of this many bytes, so that outputs stay in the first-level cache while
/// one input after the other is added to them.
const STRIP: usize = 4 << 10;

/// Coefficients kept for this many different losses; a few hundred cover every pair lost at 10+4.
const KEPT_LOSSES: usize = 1024;

/// Encodes and rebuilds the rows of one profile. Shared freely between threads.
#[derive(Debug)]
pub struct Coder {
    profile: Profile,
    /// m rows of k coefficients: parity j is the sum over i of `parity[j][i]` × data i.
    parity: Vec<Vec<u8>>,
    losses: Mutex<HashMap<Loss, Arc<Recipe>>>,
}

/// Fewer than k blocks of a row are at hand: it cannot be rebuilt until more are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{present} shards are at hand and rebuilding takes {needed}")]
pub struct TooFewShards {
    /// Blocks that were given, the wanted one not counted.
    pub present: usize,
    /// k.
    pub needed: usize,
}

/// From which shards (a bit each) which one is rebuilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Loss {
    from: u32,
    wanted: usize,
}

const _: () = assert!(MAX_SHARDS <= 32, "a loss has a bit for each shard");

/// The wanted block is the sum of coefficient × block of these k shards.
type Recipe = Vec<(usize, u8)>;

impl Coder {
    /// A coder for a profile.
    pub fn new(profile: Profile) -> Self {
        let parity = match profile.code() {
            Code::ReedSolomon => parity_matrix(profile),
            other => {
                unreachable!("{other:?} is a code of a later build, refused when it was parsed")
            }
        };
        Self {
            profile,
            parity,
            losses: Mutex::default(),
        }
    }

    /// The profile.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Computes the m parity blocks of a row from its k data blocks. A data block may be shorter than
    /// the parity blocks, or empty.
    ///
    /// # Panics
    /// When there are not k data and m parity blocks, or a data block is longer than a parity block.
    pub fn encode_row(&self, data: &[&[u8]], parity: &mut [&mut [u8]]) {
        assert_eq!(data.len(), self.profile.data(), "k data blocks");
        assert_eq!(parity.len(), self.profile.parity(), "m parity blocks");
        let length = parity[0].len();
        assert!(
            parity.iter().all(|block| block.len() == length)
                && data.iter().all(|block| block.len() <= length),
            "no data block is longer than the parity blocks, which are equally long"
        );
        for start in (0..length).step_by(STRIP) {
            let end = length.min(start + STRIP);
            for (coefficients, out) in self.parity.iter().zip(parity.iter_mut()) {
                let inputs = coefficients.iter().copied().zip(data.iter().copied());
                combine(inputs, start, &mut out[start..end]);
            }
        }
    }

    /// Rebuilds `out.len()` bytes of block `wanted` of a row from k of the blocks in `present`: one
    /// entry for each of the k + m shards, `None` where it is lost. A data block that does not exist in
    /// a short chunk is not lost: it is `Some(&[])`. What `present` says of the wanted block itself is
    /// not looked at. A longer block than `out` counts as far as `out` goes.
    ///
    /// # Errors
    /// When fewer than k blocks are present. `out` is untouched then.
    ///
    /// # Panics
    /// When there are not k + m entries, or `wanted` is none of them.
    pub fn rebuild_row(
        &self,
        present: &[Option<&[u8]>],
        wanted: usize,
        out: &mut [u8],
    ) -> Result<(), TooFewShards> {
        assert_eq!(present.len(), self.profile.shards(), "k + m entries");
        assert!(wanted < present.len(), "no shard {wanted}");
        let recipe = self.recipe(self.choose(present, wanted)?);
        for start in (0..out.len()).step_by(STRIP) {
            let end = out.len().min(start + STRIP);
            let inputs = recipe
                .iter()
                .map(|(shard, coefficient)| (*coefficient, present[*shard].unwrap_or_default()));
            combine(inputs, start, &mut out[start..end]);
        }
        Ok(())
    }

    /// The first k that are present: data shards first, since an empty one costs nothing.
    fn choose(&self, present: &[Option<&[u8]>], wanted: usize) -> Result<Loss, TooFewShards> {
        let needed = self.profile.data();
        let at_hand = |shard: &usize| *shard != wanted && present[*shard].is_some();
        let (count, from) = (0..present.len())
            .filter(at_hand)
            .take(needed)
            .fold((0, 0), |(count, from), shard| {
                (count + 1, from | 1 << shard)
            });
        if count < needed {
            return Err(TooFewShards {
                present: count,
                needed,
            });
        }
        Ok(Loss { from, wanted })
    }

    fn recipe(&self, loss: Loss) -> Arc<Recipe> {
        let mut losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(recipe) = losses.get(&loss) {
            return Arc::clone(recipe);
        }
        if losses.len() == KEPT_LOSSES {
            losses.clear();
        }
        let recipe = Arc::new(self.derive(loss));
        losses.insert(loss, Arc::clone(&recipe));
        recipe
    }

    /// present = M × data, where M has one row for each present shard; so data = M⁻¹ × present, and
    /// wanted = (its row of the code) × M⁻¹ × present.
    fn derive(&self, loss: Loss) -> Recipe {
        let k = self.profile.data();
        let from: Vec<usize> = (0..self.profile.shards())
            .filter(|shard| loss.from & 1 << shard != 0)
            .collect();
        let inverse = invert(from.iter().map(|shard| self.code_row(*shard)).collect());
        let wanted = self.code_row(loss.wanted);
        let coefficient = |column: usize| {
            (0..k).fold(0, |sum, i| {
                sum ^ galois_8::mul(wanted[i], inverse[i][column])
            })
        };
        from.iter()
            .enumerate()
            .map(|(column, shard)| (*shard, coefficient(column)))
            .collect()
    }

    /// How a shard depends on the k data shards.
    fn code_row(&self, shard: usize) -> Vec<u8> {
        let k = self.profile.data();
        match shard.checked_sub(k) {
            Some(parity) => self.parity[parity].clone(),
            None => (0..k).map(|i| u8::from(i == shard)).collect(),
        }
    }
}

/// The code's coefficients, read off its parities over unit vectors.
fn parity_matrix(profile: Profile) -> Vec<Vec<u8>> {
    let (k, m) = (profile.data(), profile.parity());
    let code = ReedSolomon::new(k, m).expect("a profile's k and m are in range");
    let mut matrix = vec![vec![0; k]; m];
    for column in 0..k {
        let data: Vec<[u8; 1]> = (0..k).map(|i| [u8::from(i == column)]).collect();
        let mut parity = vec![[0; 1]; m];
        code.encode_sep(&data, &mut parity)
            .expect("k and m blocks of one byte");
        for (row, [coefficient]) in matrix.iter_mut().zip(parity) {
            row[column] = coefficient;
        }
    }
    matrix
}

/// out = Σ coefficient × block, over the bytes of each block that lie at `start` and behind.
fn combine<'a>(inputs: impl Iterator<Item = (u8, &'a [u8])>, start: usize, out: &mut [u8]) {
    let mut begun = 0;
    for (coefficient, block) in inputs {
        let end = block.len().min(start + out.len());
        let Some(input) = block.get(start..end).filter(|input| !input.is_empty()) else {
            continue;
        };
        if coefficient == 0 {
            continue;
        }
        // Up to `begun` there is a sum to add to; behind it the first product is the sum.
        let (more, fresh) = input.split_at(begun.min(input.len()));
        if !more.is_empty() {
            galois_8::mul_slice_xor(coefficient, more, &mut out[..more.len()]);
        }
        if !fresh.is_empty() {
            galois_8::mul_slice(coefficient, fresh, &mut out[more.len()..input.len()]);
            begun = input.len();
        }
    }
    out[begun..].fill(0);
}

/// Inverts a square matrix over GF(2^8) by Gauss and Jordan. Any k rows of the code are independent.
fn invert(mut matrix: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let k = matrix.len();
    for (i, row) in matrix.iter_mut().enumerate() {
        row.extend((0..k).map(|column| u8::from(column == i)));
    }
    for column in 0..k {
        let pivot = (column..k)
            .find(|row| matrix[*row][column] != 0)
            .expect("any k rows of the code are independent");
        matrix.swap(column, pivot);
        let scale = galois_8::div(1, matrix[column][column]);
        for value in &mut matrix[column] {
            *value = galois_8::mul(*value, scale);
        }
        let pivot_row = matrix[column].clone();
        for row in (0..k).filter(|row| *row != column) {
            let factor = matrix[row][column];
            for (value, pivot_value) in matrix[row].iter_mut().zip(&pivot_row) {
                *value ^= galois_8::mul(factor, *pivot_value);
            }
        }
    }
    matrix.into_iter().map(|row| row[k..].to_vec()).collect()
}
