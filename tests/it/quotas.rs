//! Usage and quotas, from the command line to S3.

use crate::accounts::{failed, json};
use crate::support::{self, MIB, Refusal};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use futures::future::join_all;
use serde_json::Value;
use strongroom_tests::{Cluster, Content};

fn put_of(mib: u64) -> Content {
    Content::new(mib, mib * MIB)
}

fn full(refused: &Refusal) {
    assert!(refused.is(403, "QuotaExceeded"), "{refused:?}");
}

/// What `bucket stat` tells of a bucket: objects, bytes, uploads, bytes of their parts.
fn counted(cluster: &Cluster, bucket: &str) -> [u64; 4] {
    let told = json(cluster, &["bucket", "stat", bucket, "--json"]);
    let usage = told[0]["usage"]["Counted"].clone();
    ["objects", "bytes", "uploads", "upload_bytes"].map(|name| usage[name].as_u64().unwrap_or(0))
}

/// How often an operation was answered with a status.
fn answered(cluster: &Cluster, operation: &str, status: u16) -> u64 {
    let output = cluster.run(&["metrics"]).expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let of = format!("operation=\"{operation}\",status=\"{status}\"");
    let line = text
        .lines()
        .find(|line| line.starts_with("strongroom_gateway_requests_total") && line.contains(&of));
    let count = line.and_then(|line| line.rsplit(' ').next());
    count.map_or(0, |count| count.parse().expect("a number"))
}

/// A client that tries again as SDKs do.
fn stubborn(cluster: &Cluster) -> Client {
    let client = support::client(cluster);
    let config = client.config().to_builder();
    Client::from_conf(config.retry_config(RetryConfig::standard()).build())
}

/// A bucket takes what fits and nothing more, whoever writes at once; what is deleted makes room; numbers are exact,
/// after a restart and after a kill, too. No client tries again what a quota refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_bucket_takes_again_what_fits() {
    let mut cluster = Cluster::start("quotas").expect("it starts");
    let client = stubborn(&cluster);
    support::make_bucket(&client, "data").await;
    let quota = json(
        &cluster,
        &["bucket", "quota", "data", "--bytes", "20MiB", "--json"],
    );
    assert_eq!(quota["bytes"], 20 * MIB);
    for key in ["a", "b"] {
        support::put(&client, "data", key, put_of(9))
            .await
            .expect("it fits");
    }
    let before = answered(&cluster, "PutObject", 403);
    full(
        &support::put(&client, "data", "c", put_of(3))
            .await
            .expect_err("too much"),
    );
    assert_eq!(answered(&cluster, "PutObject", 403), before + 1);

    let keys: Vec<String> = (0..8).map(|number| format!("race-{number}")).collect();
    let race = keys
        .iter()
        .map(|key| support::put(&client, "data", key, put_of(1)));
    let answers = join_all(race).await;
    let refused: Vec<_> = answers
        .iter()
        .filter_map(|answer| answer.as_ref().err())
        .collect();
    assert_eq!(refused.len(), 6);
    refused.into_iter().for_each(full);
    assert_eq!(counted(&cluster, "data"), [4, 20 * MIB, 0, 0]);
    full(
        &support::put(&client, "data", "d", Content::new(1, 1))
            .await
            .expect_err("full"),
    );

    support::delete(&client, "data", "a").await.expect("it may");
    support::put(&client, "data", "c", put_of(3))
        .await
        .expect("there is room");
    support::check(&client, "data", "c", put_of(3))
        .await
        .unwrap();
    parts_count(&client, &cluster).await;

    let numbers = counted(&cluster, "data");
    assert_eq!(numbers, [4, 14 * MIB, 1, 5 * MIB]);
    cluster.stop().expect("it stops");
    cluster.start_again().expect("it starts");
    assert_eq!(counted(&cluster, "data"), numbers);
    cluster.kill().expect("it is killed");
    cluster.start_again().expect("it starts");
    assert_eq!(counted(&cluster, "data"), numbers);
    let client = stubborn(&cluster);
    full(
        &support::put(&client, "data", "d", put_of(2))
            .await
            .expect_err("full"),
    );
    tenants(&client, &cluster).await;
    assert!(cluster.stop().expect("it stops").success());
}

/// A part counts as soon as it is uploaded.
async fn parts_count(client: &Client, cluster: &Cluster) {
    let upload = crate::multipart::Upload::begin(client, "data", "parts", None).await;
    let part = |number, mib| {
        client
            .upload_part()
            .bucket("data")
            .key("parts")
            .upload_id(&upload.id)
            .part_number(number)
            .body(put_of(mib).all().into())
            .send()
    };
    part(1, 5).await.map_err(support::refusal).expect("it fits");
    assert_eq!(counted(cluster, "data"), [4, 14 * MIB, 1, 5 * MIB]);
    full(&support::refusal(part(2, 2).await.expect_err("too much")));
}

/// A tenant's quota is over all its buckets; quotas go; what is asked wrongly is said so.
async fn tenants(client: &Client, cluster: &Cluster) {
    support::make_bucket(client, "other").await;
    let tenants = json(cluster, &["tenant", "ls", "--json"]);
    let tenant = tenants[0]["tenant"].to_string();
    assert_eq!(tenants[0]["buckets"], 2);
    let set = ["tenant", "quota", &tenant, "--objects", "5", "--json"];
    assert_eq!(json(cluster, &set)["objects"], 5);
    support::put(client, "other", "one", put_of(2))
        .await
        .expect("it fits");
    full(
        &support::put(client, "other", "two", put_of(2))
            .await
            .expect_err("one too many"),
    );
    let told = json(cluster, &["tenant", "stat", &tenant, "--json"]);
    let usage = &told["usage"]["Counted"];
    assert_eq!(
        (&usage["objects"], &usage["bytes"]),
        (&5.into(), &(16 * MIB).into())
    );
    let none = json(cluster, &["tenant", "quota", &tenant, "--none", "--json"]);
    assert_eq!(none["objects"], Value::Null);
    json(
        cluster,
        &["bucket", "quota", "data", "--bytes", "none", "--json"],
    );
    support::put(client, "data", "two", put_of(9))
        .await
        .expect("nothing limits it");

    let table = cluster.run(&["bucket", "ls"]).expect("it runs").stdout;
    let table = String::from_utf8(table).expect("text");
    let names: Vec<_> = table
        .lines()
        .filter_map(|line| line.split("  ").next())
        .collect();
    assert_eq!(names, ["BUCKET", "data", "other"]);
    for (arguments, code) in [
        (&["bucket", "stat", "nothing"][..], 1),
        (&["bucket", "quota", "nothing", "--none"], 1),
        (&["bucket", "quota", "data", "--none", "--id", "999"], 1),
        (&["tenant", "stat", "999"], 1),
        (&["tenant", "quota", "999", "--none"], 1),
        (&["bucket", "quota", "data"], 2),
        (&["bucket", "quota", "data", "--bytes", "10GB"], 2),
        (&["bucket", "quota", "data", "--none", "--bytes", "1"], 2),
    ] {
        let (status, why) = failed(cluster, arguments);
        assert_eq!(status, Some(code), "{arguments:?}: {why}");
    }
}
