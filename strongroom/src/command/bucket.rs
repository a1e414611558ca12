//! `strongroom bucket`: what is in buckets, and how much may be. Buckets are made and deleted over S3.

use super::api::{Api, Target, encode, write_json, write_line};
use super::quota::{self, Change, row};
use super::show;
use anyhow::{Context, Result, bail};
use types::BucketName;
use types::wire::usage::{BucketUsage, Quota};

#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// List all buckets
    Ls,
    /// Show all that is counted of a bucket
    Stat {
        /// Its name; of that name there may be one at each label
        #[arg(value_parser = bucket_name)]
        name: BucketName,
    },
    /// Limit how much may be in a bucket. What is not named stays as it is; so does what is in it already
    Quota {
        /// Its name
        #[arg(value_parser = bucket_name)]
        name: BucketName,
        /// Its id, where buckets of several labels have the name
        #[arg(long)]
        id: Option<u64>,
        #[command(flatten)]
        change: Change,
    },
}

/// Does what was asked for.
pub(crate) fn run(options: Options) -> Result<()> {
    let Options { target, what } = options;
    let api = target.api()?;
    match what {
        What::Ls => list(&api, &target).context("listing the buckets"),
        What::Stat { name } => {
            stat(&api, &target, &name).with_context(|| format!("looking at bucket {name}"))
        }
        What::Quota { name, id, change } => set(&api, &target, &name, id, &change)
            .with_context(|| format!("setting the quota of bucket {name}")),
    }
}

fn list(api: &Api, target: &Target) -> Result<()> {
    let buckets: Vec<BucketUsage> = api.get("/buckets")?;
    if target.json {
        return write_json(&buckets);
    }
    let heading = [
        "BUCKET", "TENANT", "LABEL", "OBJECTS", "BYTES", "QUOTA", "CREATED",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for BucketUsage {
        bucket,
        usage,
        quota,
    } in &buckets
    {
        let [objects, bytes] = quota::brief(usage);
        rows.push(vec![
            bucket.name.to_string(),
            bucket.tenant.get().to_string(),
            show::label(&bucket.label),
            objects,
            bytes,
            quota::shown(quota),
            show::date(bucket.created),
        ]);
    }
    write_line(&show::table(&rows))
}

fn stat(api: &Api, target: &Target, name: &BucketName) -> Result<()> {
    let buckets = named(api, name)?;
    if target.json {
        return write_json(&buckets);
    }
    let tables: Vec<String> = buckets.iter().map(table).collect();
    write_line(&tables.join("\n\n"))
}

fn table(of: &BucketUsage) -> String {
    let BucketUsage {
        bucket,
        usage,
        quota,
    } = of;
    let mut rows = vec![
        row("bucket", bucket.name.as_str()),
        row("id", &bucket.id.get().to_string()),
        row("tenant", &bucket.tenant.get().to_string()),
        row("owner", &bucket.owner),
        row("label", &show::label(&bucket.label)),
        row("profile", &bucket.profile.to_string()),
        row("created", &show::date(bucket.created)),
    ];
    rows.extend(quota::rows(usage));
    rows.push(row("quota", &quota::shown(quota)));
    show::table(&rows)
}

fn set(
    api: &Api,
    target: &Target,
    name: &BucketName,
    id: Option<u64>,
    change: &Change,
) -> Result<()> {
    let mut buckets = named(api, name)?;
    if let Some(id) = id {
        buckets.retain(|of| of.bucket.id.get() == id);
    }
    let bucket = match &buckets[..] {
        [of] => of.bucket.id.get(),
        [] => bail!(
            "no bucket of that name has that id; `strongroom bucket stat {name}` shows which there are"
        ),
        _ => bail!(
            "buckets of several labels have that name; choose one by --id, as `strongroom bucket stat {name}` shows it"
        ),
    };
    let path = format!("/buckets/{bucket}/quota");
    let quota: Quota = api.set(&path, &change.asked())?;
    if target.json {
        return write_json(&quota);
    }
    write_line(&format!("bucket {name}: quota {}", quota::shown(&quota)))
}

/// The buckets of a name: one at least.
fn named(api: &Api, name: &BucketName) -> Result<Vec<BucketUsage>> {
    let path = format!("/buckets?name={}", encode(name.as_str()));
    let buckets: Vec<BucketUsage> = api.get(&path)?;
    if buckets.is_empty() {
        bail!("there is no bucket of that name; list them with `strongroom bucket ls`");
    }
    Ok(buckets)
}

fn bucket_name(text: &str) -> Result<BucketName, String> {
    BucketName::try_from(text.to_owned()).map_err(|error| error.to_string())
}
