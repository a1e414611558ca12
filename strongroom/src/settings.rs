//! What is fixed when a cluster is made, and what an operator may change between two starts:
//! `cluster.toml` in its data folder.

use crate::files::{self, Access};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use std::time::Duration;
use storage_node::upkeep::KeeperConfig;
use types::{ClusterId, Profile};

const DEFAULT_DISKS: u16 = 6;
const DEFAULT_PROFILE: &str = "4+2";

/// A cluster's identity and shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Stamped on every disk.
    pub(crate) cluster: ClusterId,
    /// How many folders are disks. 0: disks are in storage processes.
    pub(crate) disks: u16,
    /// How buckets are coded.
    pub(crate) profile: Profile,
    /// How many metadata servers: one or three.
    pub(crate) metadata: u16,
    /// Uploads in parts that are neither completed nor aborted expire after so many days of running. May
    /// be changed.
    pub(crate) abandoned_uploads_days: u32,
    /// Deleted bytes leave the disks after so many seconds of running. May be changed.
    pub(crate) reclaim_after_seconds: u32,
    /// Disks are compared with the metadata every so many seconds. May be changed.
    pub(crate) look_through_seconds: u32,
    /// Every shard is read and proved within so many days of running; 0: only when an operator asks for it. May
    /// be changed.
    pub(crate) scrub_days: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSettings {
    cluster: String,
    disks: u16,
    profile: String,
    #[serde(default = "default_metadata")]
    metadata: u16,
    #[serde(default = "default_abandoned_uploads_days")]
    abandoned_uploads_days: u32,
    #[serde(default = "default_reclaim_after_seconds")]
    reclaim_after_seconds: u32,
    #[serde(default = "default_look_through_seconds")]
    look_through_seconds: u32,
    #[serde(default = "default_scrub_days")]
    scrub_days: u32,
}

/// What every cluster had at first.
fn default_metadata() -> u16 {
    1
}

/// What object stores commonly advise.
fn default_abandoned_uploads_days() -> u32 {
    7
}

/// Ten minutes: readers ask again well before that.
fn default_reclaim_after_seconds() -> u32 {
    600
}

/// What an interrupted upload leaves behind may lie there for an hour.
pub(crate) fn default_look_through_seconds() -> u32 {
    3600
}

/// A shard that a disk has lost silently is found before its chunk's others are likely to be lost, too.
pub(crate) fn default_scrub_days() -> u32 {
    7
}

/// How a storage node's upkeep goes by these.
pub(crate) fn keeper_config(look_through_seconds: u32, scrub_days: u32) -> KeeperConfig {
    let seconds = |count: u32| Duration::from_secs(count.into());
    KeeperConfig {
        look_through: seconds(look_through_seconds),
        scrub: (scrub_days > 0).then(|| 24 * 3600 * seconds(scrub_days)),
        ..KeeperConfig::default()
    }
}

/// Refuses what is too short or too long to be meant.
pub(crate) fn check_seconds(name: &str, seconds: u32) -> Result<()> {
    if !(1..=30 * 24 * 3600).contains(&seconds) {
        bail!("{name} is {seconds}; 1 to 2592000 (30 days) are allowed");
    }
    Ok(())
}

/// Refuses what is too long to be meant.
pub(crate) fn check_scrub_days(days: u32) -> Result<()> {
    if days > 365 {
        bail!("scrub_days is {days}; 0 (never by itself) to 365 are allowed");
    }
    Ok(())
}

impl Settings {
    /// Reads the settings of a data folder, or fixes them; a flag that contradicts them is refused.
    pub(crate) fn load_or_make(
        data: &Path,
        disks: Option<u16>,
        profile: Option<Profile>,
        metadata: Option<u16>,
    ) -> Result<Self> {
        let path = data.join("cluster.toml");
        if !path.exists() {
            return Self::make(&path, disks, profile, metadata);
        }
        let settings = Self::load(data)?;
        if disks.is_some_and(|disks| disks != settings.disks) {
            bail!(
                "this cluster has {} disks; --disks cannot change that",
                settings.disks
            );
        }
        if profile.is_some_and(|profile| profile != settings.profile) {
            bail!(
                "this cluster is coded {}; --profile cannot change that",
                settings.profile
            );
        }
        if metadata.is_some_and(|metadata| metadata != settings.metadata) {
            bail!(
                "this cluster has metadata servers: {}; --metadata cannot change that",
                settings.metadata
            );
        }
        Ok(settings)
    }

    /// Reads the settings of a data folder.
    pub(crate) fn load(data: &Path) -> Result<Self> {
        let path = data.join("cluster.toml");
        let text =
            fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("in {}", path.display()))
    }

    fn make(
        path: &Path,
        disks: Option<u16>,
        profile: Option<Profile>,
        metadata: Option<u16>,
    ) -> Result<Self> {
        let mut cluster = [0; 16];
        getrandom::fill(&mut cluster)
            .map_err(std::io::Error::other)
            .context("drawing a cluster id")?;
        let settings = Self {
            cluster: ClusterId::new(cluster),
            disks: disks.unwrap_or(DEFAULT_DISKS),
            profile: profile.map_or_else(|| DEFAULT_PROFILE.parse(), Ok)?,
            metadata: metadata.unwrap_or_else(default_metadata),
            abandoned_uploads_days: default_abandoned_uploads_days(),
            reclaim_after_seconds: default_reclaim_after_seconds(),
            look_through_seconds: default_look_through_seconds(),
            scrub_days: default_scrub_days(),
        };
        settings.check()?;
        let raw = RawSettings {
            cluster: settings.cluster.to_string(),
            disks: settings.disks,
            profile: settings.profile.to_string(),
            metadata: settings.metadata,
            abandoned_uploads_days: settings.abandoned_uploads_days,
            reclaim_after_seconds: settings.reclaim_after_seconds,
            look_through_seconds: settings.look_through_seconds,
            scrub_days: settings.scrub_days,
        };
        files::write(path, toml::to_string(&raw)?.as_bytes(), Access::Public)?;
        Ok(settings)
    }

    fn parse(text: &str) -> Result<Self> {
        let raw: RawSettings = toml::from_str(text)?;
        let cluster = ClusterId::parse(&raw.cluster);
        let settings = Self {
            cluster: cluster.context("cluster must be 32 hex digits")?,
            disks: raw.disks,
            profile: raw.profile.parse()?,
            metadata: raw.metadata,
            abandoned_uploads_days: raw.abandoned_uploads_days,
            reclaim_after_seconds: raw.reclaim_after_seconds,
            look_through_seconds: raw.look_through_seconds,
            scrub_days: raw.scrub_days,
        };
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<()> {
        if !(1..=3650).contains(&self.abandoned_uploads_days) {
            bail!(
                "abandoned_uploads_days is {}; 1 to 3650 are allowed",
                self.abandoned_uploads_days
            );
        }
        check_scrub_days(self.scrub_days)?;
        if ![1, 3].contains(&self.metadata) {
            bail!("metadata is {}; 1 and 3 are allowed", self.metadata);
        }
        for (name, seconds) in [
            ("reclaim_after_seconds", self.reclaim_after_seconds),
            ("look_through_seconds", self.look_through_seconds),
        ] {
            check_seconds(name, seconds)?;
        }
        let (disks, shards) = (self.disks, self.profile.shards());
        if disks == 0 && self.metadata == 1 {
            bail!(
                "disks is 0, and metadata 1: storage processes reach no metadata server unless there are 3"
            );
        }
        if disks > 0 && usize::from(disks) < shards {
            bail!(
                "{} puts {shards} shards of a chunk on a disk each, and there are {disks} disks",
                self.profile
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the first start fixed stays fixed.
    #[test]
    fn settings_are_fixed_at_first_start() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let wide = "8+3".parse().unwrap();
        assert!(
            Settings::load_or_make(data, Some(6), Some(wide), None).is_err(),
            "11 shards on 6 disks"
        );
        assert!(
            Settings::load_or_make(data, Some(0), None, None).is_err(),
            "disks elsewhere, and metadata that nobody reaches"
        );
        let made = Settings::load_or_make(data, None, None, None).unwrap();
        assert_eq!((made.disks, made.profile.to_string().as_str()), (6, "4+2"));
        assert_eq!(
            Settings::load_or_make(data, Some(6), None, Some(1)).unwrap(),
            made
        );
        assert!(Settings::load_or_make(data, Some(7), None, None).is_err());
        assert!(Settings::load_or_make(data, None, None, Some(3)).is_err());
        // Written by an earlier build, then by hand.
        let path = data.join("cluster.toml");
        let text = fs::read_to_string(&path).unwrap();
        let line = "abandoned_uploads_days = 7\n";
        for (days, read) in [
            ("", Some(7)),
            ("abandoned_uploads_days = 30\n", Some(30)),
            ("abandoned_uploads_days = 0\n", None),
        ] {
            fs::write(&path, text.replace(line, days)).unwrap();
            let settings = Settings::load_or_make(data, None, None, None).ok();
            assert_eq!(
                settings.map(|settings| settings.abandoned_uploads_days),
                read
            );
        }
        for (line, days) in [
            ("", Some(7)),
            ("scrub_days = 0\n", Some(0)),
            ("scrub_days = 366\n", None),
        ] {
            fs::write(&path, text.replace("scrub_days = 7\n", line)).unwrap();
            let settings = Settings::load_or_make(data, None, None, None).ok();
            assert_eq!(settings.map(|settings| settings.scrub_days), days);
        }
        for (line, servers) in [
            ("", Some(1)),
            ("metadata = 3\n", Some(3)),
            ("metadata = 2\n", None),
        ] {
            fs::write(&path, text.replace("metadata = 1\n", line)).unwrap();
            let settings = Settings::load_or_make(data, None, None, None).ok();
            assert_eq!(settings.map(|settings| settings.metadata), servers);
        }
        fs::write(&path, &text).unwrap();
        assert!(Settings::load_or_make(data, None, Some(wide), None).is_err());
    }
}
