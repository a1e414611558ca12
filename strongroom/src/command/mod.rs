//! The operator's and the steward's commands: each connects to a running cluster as `profile.toml` says.

mod api;
pub(crate) mod certificate;
pub(crate) mod check;
pub(crate) mod disk;
pub(crate) mod group;
pub(crate) mod key;
pub(crate) mod metrics;
pub(crate) mod node;
mod progress;
pub(crate) mod scrub;
mod show;
pub(crate) mod status;
pub(crate) mod user;

use api::write_json;
pub(crate) use api::write_line;
