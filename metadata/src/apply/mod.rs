//! What each command does to the rows.
//!
//! Pure: the same rows and the same proposal give the same rows and the same reply on every server.
//! Nothing here looks at a clock, draws randomness, or reads anything but rows and the proposal; a
//! test searches these files for it. A command decides first and writes afterwards, so that one that
//! is refused has changed nothing (but the memory of having been asked, where it is numbered).
//! An error means that the store is broken, never that a command is.

mod accounts;
mod blobs;
mod cluster;
mod copy;
mod count;
mod held;
mod joining;
mod levels;
mod namespace;
mod numbered;
mod objects;
mod pasts;
mod reclaim;
mod repairs;
mod replace;
mod runs;
mod sessions;
mod sweep;
mod tags;
mod uploads;
mod usage;

use crate::command::{Command, Proposal};
use crate::reply::{Refusal, Reply};
use crate::store::StoreError;
use crate::txn::Txn;
use types::id;

pub use blobs::MAX_COMMIT_ROWS;
pub use cluster::MAX_GROUPS;
pub use count::{COUNTED_AT_LEAST, COUNTED_AT_MOST};
pub use joining::MAX_TOKENS;
pub use numbered::{MAX_UNANSWERED, foreseen};
pub use reclaim::{BLOBS_PER_COMMAND, ROWS_PER_COMMAND, forgettable};
pub use repairs::RUNS_PER_WALK;
pub use replace::MAX_SWAPS;
pub use runs::MAX_RUNS;
pub use sessions::{
    LEASE_CHUNKS, LEASE_OPENS_FOR_MS, MAX_LEASES, MAX_SESSIONS, MAX_TICK_MS, SESSION_TTL_MS,
};
pub use sweep::PARTS_PER_SWEEP;
pub use uploads::MAX_MANIFEST_ROWS;
pub use usage::fits;

/// There is one namespace shard.
const NAMESPACE_SHARD: u8 = 0;

/// Applies one proposal.
///
/// # Errors
/// When the store is broken: this server must stop.
pub fn apply(txn: &mut Txn<'_>, proposal: &Proposal) -> Result<Reply, StoreError> {
    let result = match &proposal.command {
        Command::Tick(tick) => sessions::tick(txn, tick),
        Command::Cluster(command) => cluster::apply(txn, proposal.wall, command),
        Command::Namespace(command) => namespace::apply(txn, proposal.wall, command),
        Command::Raise(raise) => levels::raise(txn, *raise),
        Command::Audit => levels::audit(txn),
    };
    answered(result)
}

/// Why a command was not done.
enum Stop {
    /// It may not be.
    Refused(Refusal),
    /// It cannot be.
    Broken(StoreError),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Broken(error)
    }
}

type Applied = Result<Reply, Stop>;

fn answered(result: Applied) -> Result<Reply, StoreError> {
    match result {
        Ok(reply) => Ok(reply),
        Err(Stop::Refused(refusal)) => Ok(Reply::Refused(refusal)),
        Err(Stop::Broken(error)) => Err(error),
    }
}

/// The id that a counter stands for, in an incarnation.
fn id_of(incarnation: u8, counter: u64) -> Result<u64, Refusal> {
    id::compose(incarnation, NAMESPACE_SHARD, counter).ok_or(Refusal::IdsExhausted)
}

/// `count` ids from `next` on; and what comes next. Ids begin at 1.
fn take_ids(incarnation: u8, next: Option<u64>, count: u64) -> Result<(u64, u64), Refusal> {
    let first = next.unwrap_or(1);
    let after = first.checked_add(count).ok_or(Refusal::IdsExhausted)?;
    id_of(incarnation, after)?;
    Ok((id_of(incarnation, first)?, after))
}

/// The first id that a counter which comes to `next` next has not handed out.
pub(crate) fn unissued(incarnation: u8, next: Option<u64>) -> u64 {
    id_of(incarnation, next.unwrap_or(1)).unwrap_or(u64::MAX)
}

/// Whether a counter that comes to `next` next has handed `id` out. What an earlier incarnation handed out behind
/// the backup is not known any more: any id of it may have been.
fn handed_out(incarnation: u8, next: Option<u64>, id: u64) -> bool {
    let Some((of, shard, counter)) = id::parts(id) else {
        return false;
    };
    let before = |next: u64| of < incarnation || of == incarnation && counter < next;
    shard == NAMESPACE_SHARD && next.is_some_and(before)
}
