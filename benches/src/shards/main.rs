//! How fast are shards of 1 MiB read through the HTTP API? Estimate: as fast as bare hyper over TLS, or as the
//! disk, whichever is slower; the service adds a lookup and a checksum (68 GB/s a core) and no copy.
//!
//! ```text
//! shards serve DIR COUNT                     a storage node with one disk, DIR/disk, filled with so many shards
//! shards memory DIR                          the same service, whose one shard is in memory: what HTTP and TLS cost
//! shards read DIR ADDRESS COUNT AT_ONCE SECONDS    GETs of whole shards over HTTP, by a gateway
//! shards bare DIR                            hyper over the same TLS, and nothing else: the reference
//! shards read-bare DIR ADDRESS COUNT AT_ONCE SECONDS    the same reads by a client that is no more than hyper
//! shards direct DIR COUNT AT_ONCE SECONDS    the same reads by function calls: what the disk gives
//! ```
//!
//! `serve`, `memory` and `bare` print their address, then `ready`, and run until they are killed; the authority is in
//! DIR. Server and reader are two processes, so that each one's processor time can be told. `read` and `direct`
//! print one line: `GB/s 1.234  shards 5678  p50 0.812 ms  p99 2.345 ms`.

mod bare;
mod node;
mod reading;

use anyhow::{Context, Result, bail};
use mimalloc::MiMalloc;
use std::path::Path;
use std::process::ExitCode;

/// As in `strongroom`.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    match runtime
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(run()))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shards: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let number = |word: &str| {
        word.parse::<u64>()
            .with_context(|| format!("{word:?} is no number"))
    };
    match words[..] {
        ["serve", folder, count] => node::serve(Path::new(folder), number(count)?).await,
        ["memory", folder] => node::memory(Path::new(folder)).await,
        ["bare", folder] => bare::serve(Path::new(folder)).await,
        ["read-bare", folder, address, count, at_once, seconds] => {
            let shards = bare::remote(Path::new(folder), address.parse()?)?;
            reading::read(shards, number(count)?, number(at_once)?, number(seconds)?).await
        }
        ["read", folder, address, count, at_once, seconds] => {
            let shards = node::remote(Path::new(folder), address.parse()?)?;
            reading::read(shards, number(count)?, number(at_once)?, number(seconds)?).await
        }
        ["direct", folder, count, at_once, seconds] => {
            let shards = node::filled(Path::new(folder), number(count)?).await?;
            reading::read(shards, number(count)?, number(at_once)?, number(seconds)?).await
        }
        _ => bail!(
            "usage: shards serve DIR COUNT | memory DIR | bare DIR | read|read-bare DIR ADDRESS COUNT AT_ONCE SECONDS | direct DIR COUNT AT_ONCE SECONDS"
        ),
    }
}
