//! Load for `cargo xtask bench s3`, which starts this program once for each measurement.
//!
//! ```text
//! load certificate DIR     a certificate for 127.0.0.1: cert.pem, key.pem
//! load reference DIR       a server that does nothing but HTTP, with that certificate
//! load run JOB             one measurement, told in JSON; says in JSON what it saw
//! ```
//!
//! One client serves all servers, so that what it costs is the same for each. It is made to cost little, since
//! it shares the machine with the server: a thread and a blocking socket a stream, bytes compared where they
//! were read, no allocation on the way.
//!
//! ```text
//! content.rs      what an object holds; how a wrong byte shows
//! connection.rs   a socket, in TLS or not; heads and bodies
//! request.rs      heads, signed
//! job.rs          what can be asked for
//! work.rs         many clients doing it, against the clock
//! upload.rs       bodies as clients frame them
//! process.rs      what the kernel says of a process
//! reference.rs    the server
//! ```

mod connection;
mod content;
mod job;
mod process;
mod reference;
mod request;
mod upload;
mod work;

use anyhow::{Context, Result, bail};
use mimalloc::MiMalloc;
use std::io::{Write, stdout};
use std::path::Path;
use std::process::ExitCode;

/// As in `strongroom`, for the reference is to have what that has.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["certificate", folder] => reference::certificate(Path::new(folder)),
        ["reference", folder] => reference::serve(Path::new(folder)),
        ["run", job] => {
            let seen = work::run(&serde_json::from_str(job).context("reading the job")?)?;
            writeln!(stdout(), "{}", serde_json::to_string(&seen)?).context("saying what was seen")
        }
        _ => bail!("usage: load certificate DIR | reference DIR | run JOB"),
    }
}
