//! Bugs that are planted, each found by the invariant that it breaks: the verdict names it.

use crate::seeds;
use std::panic::{AssertUnwindSafe, catch_unwind};
use strongroom_sim::{Plant, Record, run};

/// By so many seeds a planted bug has to be found.
const PLANTED: u64 = 200;

/// A bug is found by one of the first seeds, by what is named or says this.
fn finds(plant: Plant, by: &str) {
    for seed in seeds(0..PLANTED) {
        // A cluster that breaks a rule of its own over it has found it, too.
        let found = catch_unwind(AssertUnwindSafe(|| {
            run(seed, Some(plant), Record::Digest).verdict
        }));
        let found = found.unwrap_or_else(|_| Err("a rule of the cluster's own".to_owned()));
        if let Err(why) = found
            && why.contains(by)
        {
            let why = why.chars().take(600).collect::<String>();
            eprintln!("{plant:?} is found by seed {seed}: {why}");
            return;
        }
    }
    panic!("{by:?} does not find {plant:?}");
}

/// A server whose disk is put back to an earlier day has forgotten votes and entries: it leads without what was
/// committed.
#[test]
fn rolled_back_disks_break_election_safety() {
    finds(Plant::RolledBackDisks, "election safety: ");
}

/// And others come in the place of entries that were committed.
#[test]
fn rolled_back_disks_break_log_matching() {
    finds(Plant::RolledBackDisks, "log matching: ");
}

/// And what was acknowledged by them is lost.
#[test]
fn rolled_back_disks_lose_acknowledged_commands() {
    finds(Plant::RolledBackDisks, "acknowledged: ");
}

/// An answer that nobody gave acknowledges what is in no log.
#[test]
fn made_up_answers_are_acknowledged_and_lost() {
    finds(Plant::MadeUpAnswers, "acknowledged: ");
}

/// A deletion that is sent again under another number is carried out again.
#[test]
fn fresh_numbers_break_exactly_once() {
    finds(Plant::FreshNumbers, "exactly once: ");
}

/// And what clients see cannot be: what was put in between is gone.
#[test]
fn fresh_numbers_are_not_linearizable() {
    finds(Plant::FreshNumbers, "not linearizable");
}

/// A cache that loses a removal holds other rows than the server wrote.
#[test]
fn lossy_rows_break_equal_digests() {
    finds(Plant::LossyRows, "equal digests: ");
}

/// A cache that loses a row while it is loaded holds other rows than a replay makes.
#[test]
fn lossy_loads_are_no_replay() {
    finds(Plant::LossyLoads, "snapshot is replay: ");
}

/// Storage nodes' disks that answer syncs without doing them lose what was acknowledged at a power cut.
#[test]
fn skipped_syncs_are_missing() {
    finds(Plant::SkippedSyncs, "nothing missing: ");
}

/// Commits that do not record what is missing are found: it stays missing.
#[test]
fn unrecorded_missing_shards_are_missing() {
    finds(Plant::UnrecordedMissing, "nothing missing: ");
}

/// Commits that claim the newest epoch are found: what a disk held that was replaced meanwhile is missing, and
/// nobody knows.
#[test]
fn forged_epochs_are_missing() {
    finds(Plant::ForgedEpochs, "nothing missing: ");
}

/// Two uploads under the same chunk ids, which a disk takes one over the other.
#[test]
fn reused_chunks_are_written_twice() {
    finds(Plant::ReusedChunks, "written once: ");
}

/// Servers that keep what is dead for a shorter time tell disks too soon.
#[test]
fn short_delays_do_not_let_the_dead_rest() {
    finds(Plant::ShortDelay, "dead stays dead: ");
}

/// Orphans that are collected without regard to leases are found: shards go whose upload then commits.
#[test]
fn forgotten_leases_break_fenced_deletes() {
    finds(Plant::ForgottenLeases, "fenced deletes: ");
}

/// Orphans that are judged by two reads are found: shards go whose commit lies between them.
#[test]
fn torn_judgements_break_fenced_deletes() {
    finds(Plant::TornJudgement, "fenced deletes: ");
}

/// What is said to be made again before it is leaves the slot without it.
#[test]
fn hasty_repairs_are_not_moved_last() {
    finds(Plant::HastyRepairs, "moved last: ");
}

/// Bytes whose tag nobody checked reach a reader.
#[test]
fn unchecked_bytes_are_no_plaintext() {
    finds(Plant::UncheckedPlaintext, "checked plaintext: ");
}

/// Deletions that nobody held after a restore remove what the backup does not know of.
#[test]
fn deletions_released_at_once_break_restored_backups() {
    finds(Plant::ReleasedAtOnce, "restored backup: ");
}

/// Lookups that are answered from memory are found by what clients see.
#[test]
fn stale_lookups_are_not_linearizable() {
    finds(Plant::StaleLookups, "not linearizable");
}

/// Readers that do not look up again what they read for long are found: they ask disks for what is gone.
#[test]
fn endless_reads_are_found() {
    finds(Plant::EndlessReads, "slow read");
}

/// A scrub whose findings lead to nothing, as if it had skipped them, is found: damage stays.
#[test]
fn skipped_damage_is_found() {
    finds(Plant::SkippedDamage, "damage stays");
}

/// Repairs that write what they did not prove are found: what they made cannot be read, or is damaged again.
#[test]
fn unproved_repairs_are_found() {
    finds(Plant::UnprovedRepairs, "");
}
