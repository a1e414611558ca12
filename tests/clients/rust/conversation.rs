//! The client's side of the harness, as `../adapter.py` tells it: a JSON line in, a JSON line out.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::env;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;

/// Where the cluster is, and with which keys.
pub(crate) struct Place {
    /// As in `https://127.0.0.1:4711`.
    pub(crate) endpoint: String,
    /// Of the access key.
    pub(crate) access_key: String,
    /// Signs.
    pub(crate) secret_key: String,
    /// The authority's certificate, in PEM.
    pub(crate) authority: Vec<u8>,
}

impl Place {
    /// Reads the environment.
    pub(crate) fn read() -> Result<Self> {
        let variable = |name: &str| env::var(name).with_context(|| format!("reading ${name}"));
        let bundle = variable("AWS_CA_BUNDLE")?;
        Ok(Self {
            endpoint: variable("CLIENT_ENDPOINT")?,
            access_key: variable("AWS_ACCESS_KEY_ID")?,
            secret_key: variable("AWS_SECRET_ACCESS_KEY")?,
            authority: std::fs::read(&bundle).with_context(|| format!("reading {bundle}"))?,
        })
    }
}

/// One request: a verb and what it needs.
pub(crate) struct Words(Value);

impl Words {
    /// The verb.
    pub(crate) fn verb(&self) -> Result<&str> {
        self.text("verb")
    }

    /// A word that is text.
    pub(crate) fn text(&self, name: &str) -> Result<&str> {
        self.0[name].as_str().with_context(|| format!("no {name}"))
    }

    /// A word that is a number.
    pub(crate) fn number(&self, name: &str) -> Result<u64> {
        self.0[name].as_u64().with_context(|| format!("no {name}"))
    }

    /// A word that is a path.
    pub(crate) fn file(&self) -> Result<PathBuf> {
        self.text("file").map(PathBuf::from)
    }

    /// A word that is a list of texts.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<String>> {
        let list = self.0[name]
            .as_array()
            .with_context(|| format!("no {name}"))?;
        let texts = list.iter().filter_map(Value::as_str).map(str::to_owned);
        Ok(texts.collect())
    }

    /// A word that is a map of texts.
    pub(crate) fn pairs(&self, name: &str) -> Result<Vec<(String, String)>> {
        let map = self.0[name]
            .as_object()
            .with_context(|| format!("no {name}"))?;
        let pairs = map
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
        Ok(pairs.collect())
    }
}

/// Greets, then answers until there is no more to read.
pub(crate) async fn serve(
    verbs: &[&str],
    algorithms: &[&str],
    answer: impl AsyncFn(&Words) -> Result<Value>,
) -> Result<()> {
    // The version in the lock file is told by cargo to nobody but cargo: the harness fills it in.
    say(&json!({"version": "", "verbs": verbs, "algorithms": algorithms}))?;
    for line in io::stdin().lock().lines() {
        let words = Words(serde_json::from_str(&line?)?);
        say(&match answer(&words).await {
            Ok(value) => json!({ "ok": value }),
            Err(error) => json!({"error": format!("{error:?}")}),
        })?;
    }
    Ok(())
}

fn say(words: &Value) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{words}")?;
    Ok(out.flush()?)
}
