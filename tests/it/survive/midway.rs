//! Disks that go while downloads are under way.

use super::{Aside, exact, fill, serving, until};
use crate::scheme::Scheme;
use crate::sizes;
use crate::support::{self, MIB};
use strongroom_tests::{Cluster, Content};

const DISKS: u8 = 6;
/// More than a gateway has read ahead when nobody takes its bytes.
const LONG: u64 = 60 * MIB;

/// Any one or two of six disks may go in the middle of downloads: each ends with every byte as it was.
/// Method: all 21 subsets. A download of each boundary size, and of a long object, is begun; its first bytes
/// are taken; the disks go, and are told as gone; only then the rest is taken. Then all are read anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_two_disks_may_go_midway() {
    let mut cluster = Cluster::start("midway").unwrap();
    support::make_bucket(&support::client(&cluster), "data").await;
    let lengths = sizes::boundaries().into_iter().chain([LONG]);
    let objects = fill(&support::client(&cluster), lengths).await;
    let subsets: Vec<Vec<u8>> = (0..DISKS)
        .flat_map(|a| (a..DISKS).map(move |b| if a == b { vec![a] } else { vec![a, b] }))
        .collect();
    assert_eq!(subsets.len(), 21);
    let mut finished = 0;
    for (round, subset) in subsets.iter().enumerate() {
        let told = format!("without {subset:?}");
        let client = Scheme::turn(round).client(&cluster);
        let mut begun = Vec::new();
        for (key, content) in &objects {
            let mut answer = support::get(&client, "data", key)
                .await
                .expect("it is there");
            let first = match answer.body.next().await {
                Some(piece) => piece.expect("the first bytes"),
                None => Default::default(),
            };
            begun.push((*content, first, answer.body));
        }
        let lost: Vec<Aside> = subset
            .iter()
            .map(|disk| Aside::put(&cluster, *disk))
            .collect();
        let left = usize::from(DISKS) - lost.len();
        until(&format!("{told}: it is told"), || serving(&cluster) == left).await;
        for (content, first, rest) in begun {
            finish(content, &first, rest, &told).await;
            finished += 1;
        }
        exact(&client, &objects, &told).await;
        lost.into_iter().for_each(Aside::back);
        until(&format!("{told}: all are back"), || serving(&cluster) == 6).await;
    }
    assert_eq!(finished, 21 * objects.len());
    assert!(cluster.stop().unwrap().success());
}

/// Takes what is left of a download, and compares all of it.
async fn finish(
    content: Content,
    first: &[u8],
    rest: aws_sdk_s3::primitives::ByteStream,
    told: &str,
) {
    let rest = rest.collect().await;
    let rest = rest.unwrap_or_else(|error| panic!("{told}: {content:?}: {error}"));
    let whole = [first, &rest.to_vec()].concat();
    assert_eq!(whole.len() as u64, content.length, "{told}: {content:?}");
    assert_eq!(content.first_wrong(0, &whole), None, "{told}: {content:?}");
}
