//! A gateway over the real metadata service, with one bucket of many objects that never came through S3: each
//! is a proposal of its own. For tests of listings, which S3 clients then do at their own pace.
//!
//! ```text
//! many BUCKET OBJECTS FOLDER      writes FOLDER/credentials; says `s3 ADDRESS` and how long loading took,
//!                                 then `ready`; ends when its standard input does
//! ```

#[path = "../tests/it/cluster.rs"]
#[expect(dead_code, reason = "the tests use the rest of it")]
mod cluster;
#[path = "../tests/it/memory_log.rs"]
mod memory_log;

use bytes::Bytes;
use client::{Client, NewBucket};
use cluster::{ACCESS_KEY, SECRET, World};
use futures::TryStreamExt;
use std::error::Error;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Instant;
use types::size::ByteCount;
use types::wire::metadata::{Bucket, Condition, Tags};
use types::{Attributes, Label, TenantId};

/// Objects in a folder.
const FOLDER: u64 = 1000;
/// Proposals under way at once.
const AT_ONCE: usize = 64;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [bucket, objects, folder] = &words[..] else {
        return Err("usage: many BUCKET OBJECTS FOLDER".into());
    };
    let objects: u64 = objects.parse()?;
    let world = World::new().await;
    let new = NewBucket {
        tenant: TenantId::new(1),
        owner: world.user_id("tester").await,
        name: bucket.clone().try_into()?,
        label: Label::default(),
        profile: None,
    };
    let bucket = world.client.create_bucket(new).await?;
    let began = Instant::now();
    futures::stream::iter((0..objects).map(Ok))
        .try_for_each_concurrent(AT_ONCE, |number| put(&world.client, &bucket, number))
        .await?;
    let took = began.elapsed().as_secs_f64();
    let credentials =
        format!("[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET}\n");
    std::fs::write(Path::new(folder).join("credentials"), credentials)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "s3 {}", world.address)?;
    writeln!(out, "{objects} objects proposed in {took:.0} s")?;
    writeln!(out, "ready")?;
    out.flush()?;
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    world.gateway.shutdown().await;
    Ok(())
}

/// Numbers of unequal length and a letter of two bytes: byte order is neither theirs nor a dictionary's.
async fn put(client: &Client, bucket: &Bucket, number: u64) -> Result<(), Box<dyn Error>> {
    let key = format!("shard-{}/é-{}", number / FOLDER, number % FOLDER);
    let body = Bytes::from_static(b"a small object");
    let length = ByteCount::of(&body);
    let mut upload = client.put(bucket, key.try_into()?, Some(length)).await?;
    upload.write(body).await?;
    let attributes = Attributes {
        etag: "2ea5e1d9f1ed0be9ae4c4c0e0d7bd7a5".into(),
        ..Attributes::default()
    };
    upload
        .finish(attributes, Tags::default(), Condition::default())
        .await?;
    Ok(())
}
