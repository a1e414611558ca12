//! The gateway from outside: HTTP in, over a cluster in memory.

mod access;
mod accounts;
mod acl;
mod admin;
mod bucket;
mod cluster;
mod conditions;
mod copy;
mod dates;
mod framings;
mod headers;
mod label;
mod listing;
mod memory_log;
mod metadata;
mod multipart;
mod object;
mod parts;
mod quotas;
mod server;
mod tagging;
mod upload;
mod virtual_host;
mod wire;
