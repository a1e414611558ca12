//! Structured logs: pretty on a terminal, JSON lines otherwise, always on standard error.
//!
//! `RUST_LOG` chooses what is told; the default is `info`, which is what an operator acts on.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts logging for the life of the process.
pub(crate) fn start() {
    // sled and openraft narrate themselves at info; an operator acts on warnings of theirs.
    let default = "info,sled=warn,openraft=warn";
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    // Whatever was chosen: s3s would print names.
    let silenced = gateway::LOG_FILTER.parse().expect("a directive");
    let filter = filter.add_directive(silenced);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.init();
    } else {
        builder.json().init();
    }
}
