//! The one binary of Strongroom: every server role, the operator's commands, and `dev`, a whole cluster
//! in one process.
//!
//! Exit codes: 0 done, 1 failed, 2 used wrongly.

mod ca;
mod certificate;
mod cluster;
mod command;
mod credentials;
mod dev;
mod disks;
mod files;
mod fleet;
mod home;
mod log;
mod operations;
mod profile;
mod role;
mod root;
mod settings;
mod status;
mod stop;

use anyhow::Result;
use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;
use std::process::ExitCode;

/// Why this one: decision 0027.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Parser)]
#[command(
    name = "strongroom",
    version,
    about = "A sovereign, S3-compatible object store for training data"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a whole cluster in one process, kept in one folder
    Dev(dev::Options),
    /// Make a new cluster: its first metadata server
    Init(command::init::Options),
    /// Make a server of a cluster, by a token
    Join(command::join::Options),
    /// Run one metadata server, as a process of its own; or show, add and remove metadata servers
    Metadata(command::metadata::Options),
    /// Serve the disks of one machine, as a process of its own
    Storage(role::storage::Options),
    /// Serve S3, as a process of its own
    Gateway(role::gateway::Options),
    /// Make, list and withdraw tokens with which servers join
    Token(command::token::Options),
    /// List the servers of a cluster, and have one's certificate open nothing any more
    Server(command::server::Options),
    /// Make the certificate of a server process
    Certificate(command::certificate::Options),
    /// Give ids to server processes
    Node(command::node::Options),
    /// Lay out the groups of a cluster of processes
    Group(command::group::Options),
    /// Show the disks and the metadata servers of a running cluster
    Status(command::status::Options),
    /// Show what a running cluster counts, as Prometheus reads it
    Metrics(command::metrics::Options),
    /// List disks, and put a new one in the place of a lost one
    Disk(command::disk::Options),
    /// Compare what the disks hold with what they should
    Check(command::check::Options),
    /// Read and prove every shard of the disks, or show how far that is
    Scrub(command::scrub::Options),
    /// Show what is in buckets, and limit how much may be
    Bucket(command::bucket::Options),
    /// Show what is in all buckets of a tenant, and limit how much may be
    Tenant(command::tenant::Options),
    /// Add, list and remove users
    User(command::user::Options),
    /// Add, list, rotate, disable and remove access keys
    Key(command::key::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("strongroom: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Dev(options) => dev::run(options),
        Command::Init(options) => command::init::run(options),
        Command::Join(options) => command::join::run(options),
        Command::Metadata(options) => command::metadata::run(options),
        Command::Token(options) => command::token::run(options),
        Command::Server(options) => command::server::run(options),
        Command::Storage(options) => role::storage::run(options),
        Command::Gateway(options) => role::gateway::run(options),
        Command::Certificate(options) => command::certificate::run(options),
        Command::Node(options) => command::node::run(options),
        Command::Group(options) => command::group::run(options),
        Command::Status(options) => command::status::run(options),
        Command::Metrics(options) => command::metrics::run(options),
        Command::Disk(options) => command::disk::run(options),
        Command::Check(options) => command::check::run(options),
        Command::Scrub(options) => command::scrub::run(options),
        Command::Bucket(options) => command::bucket::run(options),
        Command::Tenant(options) => command::tenant::run(options),
        Command::User(options) => command::user::run(options),
        Command::Key(options) => command::key::run(options),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// No command contradicts itself.
    #[test]
    fn commands_are_well_formed() {
        Arguments::command().debug_assert();
    }
}
