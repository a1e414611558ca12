//! Lost disks: the m that may be lost, and the one too many.

use crate::scheme::Scheme;
use crate::sizes;
use crate::support::{self, INLINE, MIB, Refusal};
use crate::survive;
use aws_sdk_s3::Client;
use std::fs;
use std::path::PathBuf;
use strongroom_tests::{Cluster, Content};

const DISKS: u8 = 6;

/// How a disk was lost.
#[derive(Clone, Copy, Debug)]
enum Loss {
    /// Its folder is not there: unplugged.
    Gone,
    /// Its folder is there with nothing in it: not mounted, or a new disk.
    Emptied,
}

/// A disk put aside, to be put back.
struct Lost {
    disk: PathBuf,
    aside: PathBuf,
    loss: Loss,
}

impl Lost {
    fn lose(cluster: &Cluster, number: u8, loss: Loss) -> Self {
        let disk = cluster.disk(number);
        let aside = disk.with_extension("aside");
        fs::rename(&disk, &aside).expect("the disk is put aside");
        if let Loss::Emptied = loss {
            fs::create_dir(&disk).expect("an empty folder takes its place");
        }
        Self { disk, aside, loss }
    }

    /// Puts the disk back, after checking that nothing has taken its identity.
    fn restore(self) {
        if self.disk.exists() {
            let names: Vec<_> = fs::read_dir(&self.disk)
                .expect("a folder")
                .map(|entry| entry.unwrap().path())
                .collect();
            for path in &names {
                let original = self.aside.join(path.file_name().expect("a name"));
                let same = original.is_file()
                    && path.is_file()
                    && fs::read(path).unwrap() == fs::read(&original).unwrap();
                assert!(
                    !same,
                    "{} was written again under the old identity ({:?})",
                    path.display(),
                    self.loss
                );
            }
            fs::remove_dir_all(&self.disk).expect("the stand-in is removed");
        }
        fs::rename(&self.aside, &self.disk).expect("the disk is put back");
    }
}

/// With any two of six disks gone or emptied, every object comes back exact; an upload is acknowledged only
/// when enough shards are durable, and otherwise leaves nothing; with the disks back, all of it still holds.
/// Method: all 15 pairs; in each, every boundary size is read, and three sizes are written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_two_disks_may_be_lost() {
    let mut cluster = Cluster::start("two-disks").unwrap();
    let objects = fill(&cluster).await;
    assert_eq!(objects.len(), 18);
    // Acknowledged with a disk or two missing, so that they do not bear two more: checked at the end.
    let mut degraded = Vec::new();
    let pairs: Vec<_> = (0..DISKS)
        .flat_map(|a| (a + 1..DISKS).map(move |b| (a, b)))
        .collect();
    assert_eq!(pairs.len(), 15);
    let (mut accepted, mut refused, mut read) = (0, 0, 0);
    for (round, (first, second)) in pairs.into_iter().enumerate() {
        let losses = if round % 2 == 0 {
            [Loss::Gone, Loss::Emptied]
        } else {
            [Loss::Emptied, Loss::Gone]
        };
        let told = format!(
            "disk {first} {:?}, disk {second} {:?}",
            losses[0], losses[1]
        );
        assert!(cluster.stop().unwrap().success(), "{told}");
        let lost = [
            Lost::lose(&cluster, first, losses[0]),
            Lost::lose(&cluster, second, losses[1]),
        ];
        cluster
            .start_again()
            .unwrap_or_else(|error| panic!("{told}: {error:#}"));
        let client = Scheme::turn(round).client(&cluster);
        for (key, content) in &objects {
            support::check(&client, "data", key, *content)
                .await
                .unwrap_or_else(|error| panic!("{told}: {error}"));
            read += 1;
        }
        // Inline; one segment, which may miss the lost disks; spread over all disks, which cannot.
        for length in [INLINE, 60_000, MIB] {
            let (key, content) = (
                format!("round-{round}-{length}"),
                Content::new(round as u64, length),
            );
            match support::put(&client, "data", &key, content).await {
                Ok(()) => {
                    assert!(length < MIB, "{told}: four shards of six were acknowledged");
                    support::check(&client, "data", &key, content)
                        .await
                        .unwrap_or_else(|error| panic!("{told}: {error}"));
                    degraded.push((key, content));
                    accepted += 1;
                }
                Err(error) => {
                    assert!(
                        length > INLINE,
                        "{told}: an inline object needs no disk: {error:?}"
                    );
                    assert!(error.is(503, "SlowDown"), "{told}: {error:?}");
                    assert_absent(&client, &key).await;
                    refused += 1;
                }
            }
        }
        assert!(cluster.is_alive(), "{told}");
        assert!(cluster.stop().unwrap().success(), "{told}");
        lost.into_iter().for_each(Lost::restore);
        cluster.start_again().unwrap();
    }
    eprintln!(
        "two disks lost, 15 pairs: {read} reads exact, {accepted} uploads accepted, {refused} refused"
    );
    assert!(
        accepted >= 15 && refused >= 15,
        "{accepted} accepted, {refused} refused"
    );
    let client = support::client(&cluster);
    for (key, content) in &objects {
        support::check(&client, "data", key, *content)
            .await
            .unwrap();
    }
    // All disks are back: every size is taken again.
    support::put(&client, "data", "after", Content::new(99, 9 * MIB))
        .await
        .expect("six disks take it");
    support::check(&client, "data", "after", Content::new(99, 9 * MIB))
        .await
        .unwrap();
    assert!(cluster.stop().unwrap().success());
}

/// With one disk lost, uploads of every size go on, and what is written then survives another loss.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_lost_disk_stops_nobody() {
    let mut cluster = Cluster::start("one-disk").unwrap();
    support::make_bucket(&support::client(&cluster), "data").await;
    cluster.stop().unwrap();
    let first = Lost::lose(&cluster, 2, Loss::Emptied);
    cluster.start_again().unwrap();
    let objects = fill_with(&Scheme::Https.client(&cluster)).await;
    cluster.stop().unwrap();
    let second = Lost::lose(&cluster, 5, Loss::Gone);
    cluster.start_again().unwrap();
    let client = support::client(&cluster);
    for (key, content) in &objects {
        support::check(&client, "data", key, *content)
            .await
            .unwrap();
    }
    cluster.stop().unwrap();
    [first, second].into_iter().for_each(Lost::restore);
}

/// With three disks lost, what needs them fails clearly: never a wrong byte, never a crash; what does not
/// is served. When they are back, everything is.
/// Method: all 20 trios; in each, every boundary size is read, whole and by ranges, and one is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_lost_disks_fail_clearly() {
    let mut cluster = Cluster::start("three-disks").unwrap();
    let objects = fill(&cluster).await;
    let trios: Vec<[u8; 3]> = (0..DISKS)
        .flat_map(|a| (a + 1..DISKS).map(move |b| (a, b)))
        .flat_map(|(a, b)| (b + 1..DISKS).map(move |c| [a, b, c]))
        .collect();
    assert_eq!(trios.len(), 20);
    for (round, trio) in trios.into_iter().enumerate() {
        cluster.stop().unwrap();
        let lost = trio.map(|number| {
            Lost::lose(
                &cluster,
                number,
                if number % 2 == 0 {
                    Loss::Gone
                } else {
                    Loss::Emptied
                },
            )
        });
        cluster
            .start_again()
            .unwrap_or_else(|error| panic!("without {trio:?}: {error:#}"));
        let client = Scheme::turn(round).client(&cluster);
        let (mut served, mut failed) = (0, 0);
        for (key, content) in &objects {
            match support::check(&client, "data", key, *content).await {
                Ok(()) => served += 1,
                Err(error) => {
                    assert!(!error.contains("WRONG BYTE"), "without {trio:?}: {error}");
                    assert!(
                        content.length > INLINE,
                        "without {trio:?}: an inline object needs no disk: {error}"
                    );
                    assert!(is_clear(&error), "without {trio:?}: {error}");
                    failed += 1;
                }
            }
        }
        // Nine of the sizes fill all four data shards, and a lost trio holds at least one of them.
        assert!(
            failed >= 9 && served >= 4,
            "without {trio:?}: {failed} failed, {served} served"
        );
        let (exact, refused) = read_by_ranges(&client, objects.last().expect("the largest")).await;
        assert!(
            exact > 0 && refused > 0,
            "without {trio:?}: {exact} ranges exact, {refused} refused"
        );
        let refused = support::put(&client, "data", "late", Content::new(1, 2 * MIB))
            .await
            .expect_err("too few disks");
        assert!(refused.is(503, "SlowDown"), "{refused:?}");
        assert_absent(&client, "late").await;
        assert!(cluster.is_alive(), "without {trio:?}");
        assert!(cluster.stop().unwrap().success(), "without {trio:?}");
        lost.into_iter().for_each(Lost::restore);
        cluster.start_again().unwrap();
        let client = support::client(&cluster);
        for (key, content) in &objects {
            support::check(&client, "data", key, *content)
                .await
                .unwrap();
        }
    }
}

/// True for an answer that says no, or an answer that visibly ends too early. Which of them a client sees
/// depends on whether the lost bytes are the first that it asked for.
fn is_clear(error: &str) -> bool {
    error.contains("status: Some(503)")
        || error.contains("broken off")
        || error.contains("connection closed before message completed")
}

/// Reads a sample from each shard: exact, or refused with 503 before the first byte. Counts both.
async fn read_by_ranges(client: &Client, (key, content): &(String, Content)) -> (u32, u32) {
    let (mut exact, mut refused) = (0, 0);
    for first in (0..content.length - 1_000).step_by(300_000) {
        let asked = format!("bytes={first}-{}", first + 999);
        match client
            .get_object()
            .bucket("data")
            .key(key)
            .range(&asked)
            .send()
            .await
        {
            Ok(answer) => {
                let bytes = answer
                    .body
                    .collect()
                    .await
                    .expect("a short range is whole")
                    .to_vec();
                assert_eq!(
                    (bytes.len(), content.first_wrong(first, &bytes)),
                    (1_000, None),
                    "{asked}"
                );
                exact += 1;
            }
            Err(error) => {
                let error = support::refusal(error);
                assert_eq!(error.status, Some(503), "{asked}: {error:?}");
                refused += 1;
            }
        }
    }
    (exact, refused)
}

async fn fill(cluster: &Cluster) -> Vec<(String, Content)> {
    let client = support::client(cluster);
    support::make_bucket(&client, "data").await;
    fill_with(&client).await
}

async fn fill_with(client: &Client) -> Vec<(String, Content)> {
    survive::fill(client, sizes::boundaries()).await
}

async fn assert_absent(client: &Client, key: &str) {
    let absent = support::get(client, "data", key).await;
    let absent: Refusal = absent.expect_err("a refused upload left something");
    assert!(absent.is(404, "NoSuchKey"), "{key}: {absent:?}");
}
