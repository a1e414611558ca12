//! The metadata store is a cache: whatever happens to its files, nothing is lost.

use crate::load;
use crate::scheme::Scheme;
use crate::support;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use strongroom_tests::{Cluster, Content, Dice};

/// How its folder is hurt.
#[derive(Clone, Copy, Debug)]
enum Harm {
    Deleted,
    Emptied,
    /// Its largest file loses its second half.
    Truncated,
    /// Its largest file loses everything.
    Blanked,
    /// Its largest file gets bits flipped.
    Flipped,
    /// Every file in it is cut in half.
    AllTruncated,
}

/// True for the folder of a sled store, known by its files.
pub(crate) fn is_store(folder: &Path) -> bool {
    folder.join("db").is_file() && folder.join("conf").is_file()
}

/// With the store's folder deleted, truncated or flipped while the cluster is down, it is rebuilt at start:
/// every object and every listing is as before, after a clean stop and after a kill.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_harmed_store_is_rebuilt() {
    let (mut dice, seed) = Dice::announced("harmed store");
    let mut cluster = Cluster::start("cache").unwrap();
    support::make_bucket(&support::client(&cluster), "data").await;
    let mut objects: Vec<(String, Content)> = Vec::new();
    let harms = [
        Harm::Deleted,
        Harm::Emptied,
        Harm::Truncated,
        Harm::Blanked,
        Harm::Flipped,
        Harm::AllTruncated,
    ];
    let mut harmed = 0;
    for killed in [false, true] {
        for harm in harms {
            let told = format!("{harm:?}, killed: {killed}, seed {seed}");
            let client = Scheme::turn(harmed).client(&cluster);
            for length in [100, 5_000, 300_000] {
                let (key, content) = (
                    format!("k{}", objects.len()),
                    Content::new(dice.next_word(), length),
                );
                support::put(&client, "data", &key, content)
                    .await
                    .expect("the upload is accepted");
                objects.push((key, content));
            }
            if killed {
                cluster.kill().unwrap();
            } else {
                assert!(cluster.stop().unwrap().success(), "{told}");
            }
            for store in stores(cluster.data()) {
                hurt(&store, harm, &mut dice);
                harmed += 1;
            }
            cluster
                .start_again()
                .unwrap_or_else(|error| panic!("{told}: {error:#}"));
            let client = support::client(&cluster);
            for (key, content) in &objects {
                support::check(&client, "data", key, *content)
                    .await
                    .unwrap_or_else(|error| panic!("{told}: {error}"));
            }
            let mut names: Vec<&str> = objects.iter().map(|(key, _)| key.as_str()).collect();
            names.sort_unstable();
            assert_eq!(load::listed(&client, "data").await, names, "{told}");
        }
    }
    assert_eq!(
        (harmed, objects.len()),
        (12, 36),
        "each harm was done to the one store"
    );
}

fn stores(data: &Path) -> Vec<PathBuf> {
    let folders = walkdir::WalkDir::new(data)
        .into_iter()
        .filter_map(Result::ok);
    folders
        .map(walkdir::DirEntry::into_path)
        .filter(|path| is_store(path))
        .collect()
}

fn hurt(store: &Path, harm: Harm, dice: &mut Dice) {
    let files: Vec<PathBuf> = walkdir::WalkDir::new(store)
        .into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file())
        .map(walkdir::DirEntry::into_path)
        .collect();
    let length = |path: &PathBuf| fs::metadata(path).expect("a file").len();
    let largest = files
        .iter()
        .max_by_key(|path| length(path))
        .expect("a file");
    let open = |path: &Path| {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .expect("a file")
    };
    match harm {
        Harm::Deleted => fs::remove_dir_all(store).expect("deleted"),
        Harm::Emptied => {
            fs::remove_dir_all(store).expect("deleted");
            fs::create_dir(store).expect("made again");
        }
        Harm::Truncated => open(largest)
            .set_len(length(largest) / 2)
            .expect("truncated"),
        Harm::Blanked => open(largest).set_len(0).expect("truncated"),
        Harm::Flipped => {
            let file = open(largest);
            for _ in 0..64 {
                let place = dice.below(length(largest));
                let mut byte = [0];
                file.read_exact_at(&mut byte, place).expect("read");
                byte[0] ^= 1 << dice.below(8);
                file.write_all_at(&byte, place).expect("written");
            }
        }
        Harm::AllTruncated => files
            .iter()
            .for_each(|path| open(path).set_len(length(path) / 2).expect("truncated")),
    }
}
