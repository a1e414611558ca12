//! The operator's and the steward's commands: each connects to a running cluster as `profile.toml` says; but `init`,
//! which makes one, and `join`, which a token leads to one.

mod api;
pub(crate) mod bucket;
pub(crate) mod certificate;
pub(crate) mod check;
pub(crate) mod disk;
mod first;
pub(crate) mod group;
pub(crate) mod init;
pub(crate) mod join;
pub(crate) mod key;
pub(crate) mod metadata;
pub(crate) mod metrics;
pub(crate) mod node;
mod progress;
mod quota;
mod restore;
pub(crate) mod scrub;
pub(crate) mod server;
mod servers;
mod show;
pub(crate) mod status;
pub(crate) mod tenant;
pub(crate) mod token;
pub(crate) mod user;

use api::write_json;
pub(crate) use api::write_line;
