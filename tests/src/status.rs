//! What a cluster says of itself, and faults that it can be seen to suffer.

use crate::cluster::Cluster;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::PathBuf;

impl Cluster {
    /// What `strongroom status` says.
    pub fn status(&self) -> Result<Value> {
        let output = self.run(&["status", "--json"])?;
        ensure!(output.status.success(), "strongroom status: {output:?}");
        serde_json::from_slice(&output.stdout).context("reading the status")
    }

    /// What `strongroom metrics` says of one of them: the sum over its labels.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let output = self.run(&["metrics"])?;
        ensure!(output.status.success(), "strongroom metrics: {output:?}");
        sum_in(output.stdout, name)
    }

    /// How many disks serve.
    pub fn serving(&self) -> Result<usize> {
        let status = self.status()?;
        let disks = status["disks"].as_array().context("no disks")?;
        Ok(disks
            .iter()
            .filter(|disk| disk["state"] == "Serving")
            .count())
    }

    /// The metadata servers.
    pub fn servers(&self) -> Result<Vec<Value>> {
        let mut status = self.status()?;
        serde_json::from_value(status["metadata"].take()).context("no metadata servers")
    }

    /// One of them.
    pub fn server(&self, node: u64) -> Result<Value> {
        let mut servers = self.servers()?.into_iter();
        let found = servers.find(|server| server["node"] == node);
        found.with_context(|| format!("no metadata server {node}"))
    }

    /// The metadata server that leads, if one does.
    pub fn leader(&self) -> Result<Option<u64>> {
        let servers = self.servers()?;
        let leader = servers.iter().find(|server| server["leader"] == true);
        Ok(leader.and_then(|server| server["node"].as_u64()))
    }

    /// The hook of debug builds: while this file is there, the metadata server is not.
    pub fn away(&self, node: u64) -> PathBuf {
        self.data().join(format!("metadata-{}/away", node - 1))
    }
}

/// The sum of a metric over its labels, of all metrics as Prometheus reads them.
pub(crate) fn sum_in(metrics: Vec<u8>, name: &str) -> Result<f64> {
    let text = String::from_utf8(metrics).context("metrics that are no text")?;
    let mut values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (_, value) = rest.rsplit_once(' ')?;
        rest.starts_with([' ', '{']).then(|| value.parse::<f64>())
    });
    values.try_fold(0.0, |sum, value| Ok(sum + value?))
}
