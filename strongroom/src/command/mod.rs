//! The operator's commands: each connects to a running cluster as `profile.toml` says.

pub(crate) mod status;
