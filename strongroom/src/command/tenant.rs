//! `strongroom tenant`: what is in all buckets of a tenant, and how much may be. A tenant has no name: it is the
//! number that users and buckets carry.

use super::api::{Api, Target, write_json, write_line};
use super::quota::{self, Change, row};
use super::show;
use anyhow::{Context, Result};
use types::wire::usage::{Quota, TenantUsage};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// List all tenants
    Ls,
    /// Show all that is counted of a tenant
    Stat {
        /// Its number
        tenant: u64,
    },
    /// Limit how much may be in all buckets of a tenant together. What is not named stays as it is; so does what is
    /// in them already
    Quota {
        /// Its number
        tenant: u64,
        #[command(flatten)]
        change: Change,
    },
}

/// Does what was asked for.
pub(crate) fn run(options: Options) -> Result<()> {
    let Options { target, what } = options;
    let api = target.api()?;
    match what {
        What::Ls => list(&api, &target).context("listing the tenants"),
        What::Stat { tenant } => {
            stat(&api, &target, tenant).with_context(|| format!("looking at tenant {tenant}"))
        }
        What::Quota { tenant, change } => set(&api, &target, tenant, &change)
            .with_context(|| format!("setting the quota of tenant {tenant}")),
    }
}

fn list(api: &Api, target: &Target) -> Result<()> {
    let tenants: Vec<TenantUsage> = api.get("/tenants")?;
    if target.json {
        return write_json(&tenants);
    }
    let heading = ["TENANT", "BUCKETS", "OBJECTS", "BYTES", "QUOTA"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for of in &tenants {
        let [objects, bytes] = quota::brief(&of.usage);
        rows.push(vec![
            of.tenant.get().to_string(),
            of.buckets.to_string(),
            objects,
            bytes,
            quota::shown(&of.quota),
        ]);
    }
    write_line(&show::table(&rows))
}

fn stat(api: &Api, target: &Target, tenant: u64) -> Result<()> {
    let tenants: Vec<TenantUsage> = api.get("/tenants")?;
    let of = tenants.iter().find(|of| of.tenant.get() == tenant);
    let of = of.context("there is no such tenant; list them with `strongroom tenant ls`")?;
    if target.json {
        return write_json(of);
    }
    let mut rows = vec![
        row("tenant", &tenant.to_string()),
        row("buckets", &of.buckets.to_string()),
    ];
    rows.extend(quota::rows(&of.usage));
    rows.push(row("quota", &quota::shown(&of.quota)));
    write_line(&show::table(&rows))
}

fn set(api: &Api, target: &Target, tenant: u64, change: &Change) -> Result<()> {
    let path = format!("/tenants/{tenant}/quota");
    let quota: Quota = api.set(&path, &change.asked())?;
    if target.json {
        return write_json(&quota);
    }
    write_line(&format!("tenant {tenant}: quota {}", quota::shown(&quota)))
}
