//! The leader's clock: cluster time, of which it proposes every second how much has passed, and rounds.
//!
//! It is measured with the monotonic clock, from the cluster time that this server last saw. A new
//! leader begins to measure when it first reads that, so what passed without a leader is never added.

use super::{Inner, lock, wall_now};
use crate::command::{Command, Proposal, Tick};
use crate::level;
use crate::reply::{Refusal, Reply};
use crate::tables::CLOCK;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

const INTERVAL: Duration = Duration::from_secs(1);
/// Every so many intervals keys that were left are destroyed.
const INTERVALS_A_ROUND: u32 = 10;

/// Cluster time as it was at a moment here.
#[derive(Clone, Copy)]
struct Reading {
    cluster_ms: u64,
    at: Instant,
}

pub(super) async fn run(server: Arc<Inner>, mut stopped: watch::Receiver<bool>) {
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = None;
    let mut intervals = 0;
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            _ = stopped.wait_for(|stop| *stop) => return,
        }
        // A proposal may wait for a quorum; shutting down does not wait for it.
        tokio::select! {
            next = advance(&server, last) => last = next,
            _ = stopped.wait_for(|stop| *stop) => return,
        }
        if last.is_none() {
            if !server.log.leads() {
                // Another leads, who may destroy keys and buckets without telling this one.
                server.keys.forget_all();
                lock(&server.buckets).clear();
            }
            continue;
        }
        tokio::select! {
            round = server.sweep_round() => if let Err(error) = round {
                tracing::debug!(%error, "what is dead is swept later");
            },
            _ = stopped.wait_for(|stop| *stop) => return,
        }
        intervals = (intervals + 1) % INTERVALS_A_ROUND;
        if intervals == 1 {
            tokio::select! {
                round = server.destroy_what_was_left() => if let Err(error) = round {
                    tracing::debug!(%error, "keys that were left are destroyed later");
                },
                _ = stopped.wait_for(|stop| *stop) => return,
            }
        }
    }
}

/// Proposes what has passed since the last reading; the next reading, if this server leads.
async fn advance(server: &Inner, last: Option<Reading>) -> Option<Reading> {
    if !server.log.leads() {
        return None;
    }
    let Some(last) = last else {
        let clock = server.read(|store| CLOCK.get(store, &())).await.ok()?;
        // A cluster whose time has never moved is new: it has the level of the build that begins it.
        if clock.is_none() {
            server.raise_level(level::KNOWN).await.ok()?;
        }
        return Some(Reading {
            cluster_ms: clock.unwrap_or_default().now_ms,
            at: Instant::now(),
        });
    };
    let at = Instant::now();
    let elapsed = at.duration_since(last.at).as_millis();
    let tick = Tick {
        from_ms: last.cluster_ms,
        elapsed_ms: u64::try_from(elapsed).unwrap_or(u64::MAX),
    };
    let proposal = Proposal {
        wall: wall_now(),
        command: Command::Tick(tick),
    };
    match server.log.propose(proposal).await {
        Ok(Reply::Time { now_ms }) => Some(Reading {
            cluster_ms: now_ms,
            at,
        }),
        Ok(Reply::Refused(Refusal::TimeMoved { now_ms })) => Some(Reading {
            cluster_ms: now_ms,
            at: Instant::now(),
        }),
        Ok(_) | Err(_) => None,
    }
}
