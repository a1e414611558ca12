//! The cable of a living storage process is cut: nothing is refused there, nothing is answered.

use super::{SOON, check_all, client, content};
use crate::support::{self, KIB, MIB, make_bucket};
use aws_sdk_s3::Client;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use strongroom_tests::{Content, Processes, wait_until};

/// Objects that are read all the time.
const READ: [u64; 4] = [70 * KIB, 300 * KIB, MIB, 9 * MIB];
/// What is written: each has a shard on every disk.
const WRITTEN: u64 = 300 * KIB;
/// How long a read may take whatever happens: connecting is given up after three seconds and a shard after ten; a
/// hedge comes before either.
const READS_WITHIN: Duration = Duration::from_secs(15);
/// How long a write may take: four groups are tried, each for a shard's patience.
const WRITES_WITHIN: Duration = Duration::from_secs(60);
/// How long it is cut, at least: longer than the 23 seconds that a call to a storage node may take.
const CUT_FOR: Duration = Duration::from_secs(24);

/// Reads and writes, one of each under way at a time, and what came of them.
#[derive(Default)]
struct Traffic {
    reads: Mutex<Vec<Done>>,
    writes: Mutex<Vec<Done>>,
    ends: AtomicBool,
}

/// Something that has ended.
#[derive(Clone, Debug)]
struct Done {
    key: String,
    began: Instant,
    took: Duration,
    /// The status of what was refused.
    refused: Option<u16>,
}

impl Traffic {
    fn goes_on(&self) -> bool {
        !self.ends.load(Ordering::Relaxed)
    }

    async fn read(self: Arc<Self>, client: Client) {
        for at in (0..).take_while(|_| self.goes_on()) {
            let (began, length) = (Instant::now(), READ[at % READ.len()]);
            let key = format!("object-{length}");
            let read = support::check(&client, "processes", &key, content(length)).await;
            read.unwrap_or_else(|error| panic!("{error} after {:?}", began.elapsed()));
            note(&self.reads, key, began, None);
        }
    }

    async fn write(self: Arc<Self>, client: Client) {
        for number in (0..).take_while(|_| self.goes_on()) {
            let (began, key) = (Instant::now(), format!("written-{number}"));
            let put = support::put(&client, "processes", &key, written(number)).await;
            note(
                &self.writes,
                key,
                began,
                put.err().map(|refusal| refusal.status.unwrap_or(0)),
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until so many reads and writes have ended that began behind a moment.
    async fn since(&self, moment: Instant, reads: usize, writes: usize) {
        let deadline = Instant::now() + SOON;
        let ended = |done| since(done, moment).len();
        while ended(&self.reads) < reads || ended(&self.writes) < writes {
            assert!(Instant::now() < deadline, "nothing ends any more");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn note(done: &Mutex<Vec<Done>>, key: String, began: Instant, refused: Option<u16>) {
    let took = began.elapsed();
    let one = Done {
        key,
        began,
        took,
        refused,
    };
    done.lock().unwrap().push(one);
}

/// What began behind a moment.
fn since(done: &Mutex<Vec<Done>>, moment: Instant) -> Vec<Done> {
    let done = done.lock().unwrap();
    done.iter()
        .filter(|one| one.began >= moment)
        .cloned()
        .collect()
}

fn written(number: u64) -> Content {
    Content::new(1000 + number, WRITTEN)
}

/// The longest that one took.
fn longest(done: &Mutex<Vec<Done>>) -> Duration {
    let done = done.lock().unwrap();
    done.iter().map(|one| one.took).max().unwrap_or_default()
}

/// What becomes of writes while one of three disks does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writes {
    /// Enough others make them durable; what the one lacks is made again.
    GoOn,
    /// They would be one disk short of the rule: 503.
    AreRefused,
}

/// Reads go on and are exact; writes follow the rule; everything ends in time. Once the cable is whole the node is
/// used again, and what it missed is made again: then the others may go.
async fn outlives_a_cut(name: &str, (data, parity): (u8, u8), expected: Writes) {
    let mut cluster = Processes::start(name, data, parity).unwrap();
    let client = client(&cluster);
    make_bucket(&client, "processes").await;
    for length in READ {
        let key = format!("object-{length}");
        let put = support::put(&client, "processes", &key, content(length)).await;
        put.unwrap();
    }
    let traffic = Arc::new(Traffic::default());
    let story = async {
        let began = Instant::now();
        traffic.since(began, 4, 3).await;
        cluster.cables[1].cut();
        let cut = Instant::now();
        tokio::time::sleep(CUT_FOR).await;
        traffic.since(cut, 8, 1).await;
        let serving = tokio::task::block_in_place(|| cluster.serving().unwrap());
        assert_eq!(serving, 2);
        let missing = tokio::task::block_in_place(|| cluster.missing().unwrap());
        let writes = since(&traffic.writes, cut);
        let refused: Vec<Option<u16>> = writes.iter().map(|one| one.refused).collect();
        match expected {
            Writes::GoOn => {
                assert!(refused.iter().all(Option::is_none), "{writes:?}");
                assert!(missing > 0, "nobody knows what the node lacks");
            }
            Writes::AreRefused => {
                assert!(
                    refused.iter().all(|status| *status == Some(503)),
                    "{writes:?}"
                );
            }
        }
        cluster.cables[1].heal();
        tokio::task::block_in_place(|| {
            wait_until("it is used again, and lacks nothing", SOON, || {
                cluster.serving().unwrap() == 3 && cluster.missing().unwrap() == 0
            });
        });
        let deadline = Instant::now() + SOON;
        let healed = Instant::now();
        while since(&traffic.writes, healed)
            .iter()
            .all(|one| one.refused.is_some())
        {
            assert!(Instant::now() < deadline, "writes are taken again");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        traffic.ends.store(true, Ordering::Relaxed);
        eprintln!(
            "{name}: {} reads and {} writes while it was cut",
            since(&traffic.reads, cut).len(),
            writes.len()
        );
    };
    // In tasks of their own: the story waits for commands, and they must not.
    let reads = tokio::spawn(Arc::clone(&traffic).read(client.clone()));
    let writes = tokio::spawn(Arc::clone(&traffic).write(client.clone()));
    story.await;
    reads.await.unwrap();
    writes.await.unwrap();
    let (reads, writes) = (longest(&traffic.reads), longest(&traffic.writes));
    eprintln!("{name}: the longest read took {reads:?}, the longest write {writes:?}");
    assert!(reads < READS_WITHIN && writes < WRITES_WITHIN);

    tokio::task::block_in_place(|| {
        wait_until("all is whole", SOON, || cluster.missing().unwrap() == 0);
        cluster.storage_command(1, &["check", "--deep"]).unwrap();
        // As many as the others may be.
        for other in [0, 2].into_iter().take(usize::from(parity)) {
            cluster.storage[other].kill().unwrap();
        }
    });
    check_all(&client, &READ).await;
    let writes = std::mem::take(&mut *traffic.writes.lock().unwrap());
    for (number, one) in (0..).zip(writes) {
        if one.refused.is_none() {
            let read = support::check(&client, "processes", &one.key, written(number)).await;
            read.unwrap();
        }
    }
}

/// Two durable copies of three are enough: neither reads nor writes are refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_costs_nothing_where_enough_others_are_left() {
    outlives_a_cut("processes-cut-copies", (1, 2), Writes::GoOn).await;
}

/// All three shards must be durable: uploads are refused, and reads go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_costs_uploads_where_every_disk_is_needed() {
    outlives_a_cut("processes-cut-coded", (2, 1), Writes::AreRefused).await;
}
