//! Virtual-host style: which bucket a request names in its Host header.
//!
//! `bucket.domain` names a bucket, and the whole path is then the key. The domain itself, and any host that
//! is not below a domain (an address, `localhost`, another name of this machine), say nothing of a bucket:
//! the path does, as it always may. So a host can never turn a request in path style into another one.

use s3s::S3Result;
use s3s::host::{DomainError, S3Host, VirtualHost};

/// The domains below which buckets are named.
#[derive(Clone, Debug, Default)]
pub(crate) struct Domains(Vec<String>);

impl Domains {
    /// Checks domains as configured; their case is of no account.
    ///
    /// # Errors
    /// The one that is no domain name, or lies below another one, so that a host would name two buckets.
    pub(crate) fn new(domains: &[String]) -> Result<Self, (String, DomainError)> {
        let mut checked: Vec<String> = Vec::new();
        for domain in domains {
            let lower = domain.to_ascii_lowercase();
            if !is_domain(&lower) {
                return Err((domain.clone(), DomainError::InvalidDomain));
            }
            let overlaps = |other: &String| {
                *other == lower || below(other, &lower).is_some() || below(&lower, other).is_some()
            };
            if checked.iter().any(overlaps) {
                return Err((domain.clone(), DomainError::OverlappingSubdomains));
            }
            checked.push(lower);
        }
        Ok(Self(checked))
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bucket that a Host header names, if it names one.
    pub(crate) fn bucket(&self, host: &str) -> Option<String> {
        let host = without_port(host).to_ascii_lowercase();
        let mut named = self.0.iter().filter_map(|domain| below(&host, domain));
        named.next().map(str::to_owned)
    }
}

impl S3Host for Domains {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let parsed = VirtualHost::new(host);
        Ok(match self.bucket(host) {
            Some(bucket) => parsed.with_bucket(bucket),
            None => parsed,
        })
    }
}

/// What stands before `.domain` in a host.
fn below<'h>(host: &'h str, domain: &str) -> Option<&'h str> {
    let rest = host.strip_suffix(domain)?.strip_suffix('.')?;
    (!rest.is_empty()).then_some(rest)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(label) && text.parse::<std::net::IpAddr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domains(list: &[&str]) -> Result<Domains, String> {
        let list: Vec<String> = list.iter().map(|domain| (*domain).to_owned()).collect();
        Domains::new(&list).map_err(|(domain, _)| domain)
    }

    /// A bucket is what stands before a domain; every other host leaves the bucket to the path.
    /// Method: a table of hosts.
    #[test]
    fn hosts_below_a_domain_name_buckets() {
        let domains = domains(&["s3.example.org", "Store.Local"]).expect("domains");
        for (host, bucket) in [
            ("b.s3.example.org", Some("b")),
            ("b.s3.example.org:9000", Some("b")),
            ("a.b.s3.example.org", Some("a.b")),
            ("B.S3.Example.ORG", Some("b")),
            ("b.store.local", Some("b")),
            ("s3.example.org", None),
            ("s3.example.org:9000", None),
            (".s3.example.org", None),
            ("bs3.example.org", None),
            ("example.org", None),
            ("b.s3.example.org.evil.org", None),
            ("localhost", None),
            ("127.0.0.1:9000", None),
            ("[::1]:9000", None),
            ("[::1]", None),
            ("", None),
        ] {
            assert_eq!(domains.bucket(host).as_deref(), bucket, "{host}");
        }
        assert_eq!(Domains::default().bucket("b.s3.example.org"), None);
    }

    /// What is no domain, or would name two buckets at once, is refused by name.
    #[test]
    fn bad_domains_are_refused() {
        for bad in ["", ".", "a..b", "a_b", "a/b", "a:9000", "127.0.0.1", "-.ü"] {
            assert_eq!(domains(&[bad]).unwrap_err(), bad);
        }
        for second in ["a.b", "A.B", "c.a.b", "b"] {
            assert_eq!(domains(&["a.b", second]).unwrap_err(), second);
        }
        assert!(domains(&["a.b", "ca.b"]).is_ok());
    }
}
