//! Any at most m blocks of a row that are lost come back, over any range.

use crate::loss::{Row, noise, rows};
use erasure::layout::Layout;
use erasure::{Coder, TooFewShards};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reed_solomon_erasure::galois_8::ReedSolomon;
use types::Profile;
use types::block::SEALED_SEGMENT;
use types::profile::DiskClass;

proptest! {
    /// Any at most m lost blocks come back from the same range of any k others, be blocks short or
    /// empty. Lengths lie on both sides of the strips in which a row is worked through.
    #[test]
    fn any_m_lost_blocks_come_back_at_any_range(row in prop_oneof![rows(200), rows(20_000)]) {
        let coder = Coder::new(row.profile);
        row.holds(|present, wanted, out| coder.rebuild_row(present, wanted, out))
            .map_err(TestCaseError::fail)?;
    }

    /// What a block lacks counts as zeros, whichever blocks are short.
    /// Method: the library, given the zeros in full, agrees.
    #[test]
    fn short_blocks_count_as_zeros(
        k in 1u8..=10,
        m in 1u8..=5,
        length in 1usize..100,
        lacking in prop::collection::vec(0usize..200, 10),
    ) {
        let profile = Profile::new(k, m, DiskClass::Flash).unwrap();
        let library = ReedSolomon::new(k.into(), m.into()).unwrap();
        let mut blocks: Vec<Vec<u8>> = (lacking.iter().take(k.into()))
            .map(|lacking| noise(1, length.saturating_sub(*lacking)))
            .collect();
        let mut parity = vec![vec![0xee; length]; m.into()];
        let data: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
        let mut out: Vec<&mut [u8]> = parity.iter_mut().map(Vec::as_mut_slice).collect();
        Coder::new(profile).encode_row(&data, &mut out);
        for block in &mut blocks {
            block.resize(length, 0);
        }
        blocks.extend(parity);
        prop_assert!(library.verify(&blocks).unwrap());
    }

    /// With more than m lost nothing is made up.
    #[test]
    fn more_than_m_lost_is_an_error(row in rows(50), extra in any::<prop::sample::Index>()) {
        let (k, m) = (row.profile.data(), row.profile.parity());
        let lost: Vec<usize> = (0..=m).map(|i| (extra.index(k + m) + i) % (k + m)).collect();
        let present: Vec<Option<&[u8]>> = (row.blocks.iter().enumerate())
            .map(|(shard, block)| (!lost.contains(&shard)).then_some(block.as_slice()))
            .collect();
        let mut out = [7; 4];
        let refused = Coder::new(row.profile).rebuild_row(&present, lost[0], &mut out);
        prop_assert_eq!(refused, Err(TooFewShards { present: k - 1, needed: k }));
        prop_assert_eq!(out, [7; 4]);
    }
}

/// The property above has teeth: decoders that are wrong in one way each fail it.
/// Method: run it with each of them, and expect a counter-example.
#[test]
fn broken_decoders_are_found_out() {
    type Broken = fn(&Coder, &[Option<&[u8]>], usize, &mut [u8]) -> Result<(), TooFewShards>;
    let broken: [(&str, Broken); 4] = [
        ("does nothing", |_, _, _, _| Ok(())),
        ("forgets the last byte", |coder, present, wanted, out| {
            let end = out.len().saturating_sub(1);
            coder.rebuild_row(present, wanted, &mut out[..end])
        }),
        ("takes the neighbour", |coder, present, wanted, out| {
            let neighbour = (wanted + 1) % present.len();
            coder.rebuild_row(present, neighbour, out)
        }),
        ("bears one loss fewer", |coder, present, wanted, out| {
            let mut fewer = present.to_vec();
            let first = fewer.iter_mut().find(|block| block.is_some());
            *first.expect("k are present") = None;
            coder.rebuild_row(&fewer, wanted, out)
        }),
    ];
    for (what, decode) in broken {
        let mut runner = TestRunner::new(Config {
            failure_persistence: None,
            ..Config::default()
        });
        let found = runner.run(&rows(200), |row| {
            let coder = Coder::new(row.profile);
            row.holds(|present, wanted, out| decode(&coder, present, wanted, out))
                .map_err(TestCaseError::fail)
        });
        assert!(found.is_err(), "a decoder that {what} passes");
    }
}

/// Every pair of shards of a real chunk, of every shape that matters, can be lost.
/// Method: real segment lengths at 4+2, chunks of 1, 2, 5, 13 and 64 segments, each pair in turn.
#[test]
fn every_pair_lost_from_real_chunks_comes_back() {
    let profile: Profile = "4+2".parse().unwrap();
    let coder = Coder::new(profile);
    for (segments, last) in [(1, 1), (2, 70), (5, 65_535), (13, 4096), (64, 65_536)] {
        let layout = Layout::new(profile, segments, last);
        for block in [0, layout.rows() - 1] {
            let lengths: Vec<usize> = (0..4)
                .map(|shard| layout.block_length(shard, block))
                .collect();
            let whole = 0..lengths[0];
            let row = Row::new(profile, &lengths, 1, Vec::new(), whole);
            for first in 0..6 {
                for second in 0..first {
                    let lost = vec![second, first];
                    let row = Row {
                        lost,
                        ..row.clone()
                    };
                    row.holds(|present, wanted, out| coder.rebuild_row(present, wanted, out))
                        .unwrap();
                }
            }
        }
    }
}

/// The coefficients of many different losses do not pile up, and dropping them changes nothing.
#[test]
fn rebuilding_goes_on_when_losses_outnumber_the_cache() {
    let profile: Profile = "12+5".parse().unwrap();
    let coder = Coder::new(profile);
    let row = Row::new(profile, &[3; 12], 9, Vec::new(), 0..3);
    for lost in
        (0..17usize).flat_map(|a| (0..a).flat_map(move |b| (0..b).map(move |c| vec![a, b, c])))
    {
        let row = Row {
            lost,
            ..row.clone()
        };
        row.holds(|present, wanted, out| coder.rebuild_row(present, wanted, out))
            .unwrap();
    }
}

/// Stored for ever: the parity of known data at each common profile.
#[test]
fn parity_is_golden() {
    use sha2::{Digest, Sha256};
    for profile in ["4+2", "8+3", "10+4", "2+1", "1+2"] {
        let profile: Profile = profile.parse().unwrap();
        let row = Row::new(
            profile,
            &vec![SEALED_SEGMENT; profile.data()],
            3,
            vec![],
            0..0,
        );
        let parity = row.blocks[profile.data()..].concat();
        let digest = format!("{}\n", hex::encode(Sha256::digest(&parity)));
        golden::check(
            env!("CARGO_MANIFEST_DIR"),
            &format!("parity-{profile}.sha256"),
            digest.as_bytes(),
        );
    }
    // The source of all of the above must itself be stable.
    assert_eq!(hex::encode(noise(3, 4)), "d7037ef3");
}
