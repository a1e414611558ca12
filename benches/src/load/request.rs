//! Heads of requests, signed.

use crate::job::Job;
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::net::SocketAddr;
use strongroom_wire::{Signer, now};

/// `x-amz-content-sha256` of a body whose hash is not told.
pub(crate) const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

/// Where requests go, and who signs them.
pub(crate) struct Endpoint {
    pub(crate) tls: bool,
    pub(crate) address: SocketAddr,
    host: String,
    access_key: String,
    secret: String,
}

impl Endpoint {
    pub(crate) fn of(job: &Job) -> Result<Self> {
        let (tls, host) = match job.endpoint.split_once("://") {
            Some(("http", host)) => (false, host),
            Some(("https", host)) => (true, host),
            _ => bail!("{} is neither http:// nor https://", job.endpoint),
        };
        let host = host.trim_end_matches('/');
        let mut found = std::net::ToSocketAddrs::to_socket_addrs(host)
            .with_context(|| format!("looking {host} up; the port must be told"))?;
        Ok(Self {
            tls,
            address: found.next().context("no address")?,
            host: host.into(),
            access_key: job.access_key.clone(),
            secret: job.secret_key.clone(),
        })
    }

    /// A request's head. `headers` have names in lower case; the `x-amz-` ones are signed.
    pub(crate) fn head(
        &self,
        method: &str,
        path: &str,
        query: &str,
        headers: &[(&str, &str)],
        payload: &str,
    ) -> String {
        let signer = Signer {
            access_key: self.access_key.clone(),
            secret: self.secret.clone(),
            date: now(),
        };
        let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut signed = vec![
            own("host", &self.host),
            own("x-amz-content-sha256", payload),
            own("x-amz-date", &signer.date),
        ];
        let (mine, others): (Vec<_>, Vec<_>) = headers
            .iter()
            .partition(|(name, _)| name.starts_with("x-amz-"));
        signed.extend(mine.iter().map(|(name, value)| own(name, value)));
        signed.sort();
        let names: Vec<&str> = signed.iter().map(|(name, _)| name.as_str()).collect();
        let signature = signer.request(method, path, query, &signed, payload);
        let mark = if query.is_empty() { "" } else { "?" };
        let mut head = format!("{method} {path}{mark}{query} HTTP/1.1\r\n");
        let signed = signed
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in signed.chain(others.iter().map(|(name, value)| (*name, *value))) {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let _ = write!(
            head,
            "authorization: AWS4-HMAC-SHA256 Credential={}/{},SignedHeaders={},Signature={signature}\r\n\r\n",
            signer.access_key,
            signer.scope(),
            names.join(";"),
        );
        head
    }
}
